"""Cells as cones over their extreme rays, each for itself: cut without a complex around them.

A cell of the domain is held as the cone over it in homogeneous coordinates, by its extreme
rays. To cut it takes the pairs of rays that may be neighbours, which the forms that vanish at
both tell; what the cells have in common is not needed (docs/theory.md, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import UNIT
from jensen.cells.bit_sets import BitSets, members, one_each, sizes
from jensen.types import BoolArray, FloatArray, IndexArray

MORE = 1 + 1e-9  # of error bounds, for the rounding in themselves
SOLID = -1  # label of a cell with interior


class UncertainSignError(ArithmeticError):
    """A sign that a cut needs is hidden by rounding."""


@dataclass(eq=False)
class Cones:
    """Cells, and pieces of kinks in them, with what is known of the units there.

    Attributes
    ----------
    points : array (rays, coordinates)
        Homogeneous, of whatever positive length; the last one is exactly 0 at infinity.
    radius : array (rays,)
        Of a cube around the point that holds the true one.
    vanish : bit sets (rays, words)
        The forms that bound the cell and are 0 on the ray.
    cell : int array (rays,)
        Whose rays they are, ascending.
    states : int8 array (cells, units)
        1 where a unit is on all over the cell, -1 where it is off, else 0.
    label : int array (cells,)
        The unit that is 0 all over the cell; ``SOLID`` for cells with interior.
    asked : bool array (cells, units)
        Of cells with interior: the units whose kinks there have still to be looked at.
    """

    points: FloatArray
    radius: FloatArray
    vanish: BitSets
    cell: IndexArray
    states: NDArray[np.int8]
    label: IndexArray
    asked: BoolArray

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.label)

    @property
    def first(self) -> IndexArray:
        """The first ray of each cell."""
        return np.searchsorted(self.cell, np.arange(self.count))

    @property
    def size(self) -> FloatArray:
        """Largest coordinate of each ray, as far as it is known."""
        size: FloatArray = np.abs(self.points).max(axis=1)
        return size

    def vanishing(self, units: int) -> BoolArray:
        """Return whether the first so many units are exactly 0 on the rays: (rays, units)."""
        return members(self.vanish, units)

    def take(self, cells: IndexArray) -> Cones:
        """Return some cells, each as often as it is asked for."""
        return self._part(cells)[0]

    def beside(self, others: Cones) -> Cones:
        """Return these cells and others behind them."""
        return Cones(
            np.concatenate([self.points, others.points]),
            np.concatenate([self.radius, others.radius]),
            np.concatenate([self.vanish, others.vanish]),
            np.concatenate([self.cell, self.count + others.cell]),
            np.concatenate([self.states, others.states]),
            np.concatenate([self.label, others.label]),
            np.concatenate([self.asked, others.asked]),
        )

    def _part(self, cells: IndexArray) -> tuple[Cones, IndexArray]:
        """Return some cells, and which of the rays theirs are."""
        first = np.append(self.first, len(self.cell))
        each = np.diff(first)[cells]
        owner = np.repeat(np.arange(len(cells)), each)
        rays = np.arange(len(owner)) - np.repeat(np.cumsum(each) - each, each)
        rays += first[cells][owner]
        part = Cones(
            self.points[rays],
            self.radius[rays],
            self.vanish[rays],
            owner,
            self.states[cells],
            self.label[cells],
            self.asked[cells],
        )
        return part, rays

    def cut(
        self,
        cells: IndexArray,
        units: IndexArray,
        apart: BoolArray,
        z: FloatArray,
        error: FloatArray,
        shared: int,
    ) -> Cones:
        """Cut cells, each by one unit that is linear on it and has both signs there.

        Parameters
        ----------
        cells, units : int arrays (cuts,)
            A cell may be cut several times.
        apart : bool array (cuts,)
            Whether its two parts are wanted, else only the piece where the unit is 0.
        z, error : arrays (rays, units)
            Values of all units on the rays, and how far they may be off.
        shared : int
            Forms that vanish at both of two neighbouring rays, at least.

        Raises
        ------
        UncertainSignError
        """
        part, rays = self._part(cells)
        unit = units[part.cell]
        z, error = z[rays, unit], error[rays, unit]
        plus, minus = z > error, z < -error
        zero = (z == 0) & (error == 0)
        if not (plus | minus | zero).all():
            raise UncertainSignError("a sign on a ray")
        bit = one_each(unit, self.vanish.shape[1])
        part.vanish[zero] |= bit[zero]
        above, below = np.flatnonzero(plus), np.flatnonzero(minus)
        there = (np.bincount(part.cell[rays], minlength=len(cells)) for rays in (above, below))
        if not all(number.all() for number in there):
            raise UncertainSignError("a unit that does not cut its cell")
        up, down = pairs_within(part.cell, above, below, len(cells))
        common = part.vanish[up] & part.vanish[down]
        near = sizes(common) >= shared
        up, down, common = up[near], down[near], common[near]
        points, radius = part._between(up, down, z, error)
        made = Cones(
            np.concatenate([part.points, points]),
            np.concatenate([part.radius, radius]),
            np.concatenate([part.vanish, common | bit[up]]),
            np.concatenate([part.cell, part.cell[up]]),
            part.states,
            part.label,
            part.asked,
        )
        on = np.concatenate([np.flatnonzero(zero), len(z) + np.arange(len(up))])
        return made._parted(apart, units, above, below, on)

    def _parted(
        self,
        apart: BoolArray,
        units: IndexArray,
        above: IndexArray,
        below: IndexArray,
        on: IndexArray,
    ) -> Cones:
        """Return the two parts of some cells, and of the others what lies on the kink."""
        split, flat = np.flatnonzero(apart), np.flatnonzero(~apart)
        number = np.empty(len(apart), dtype=np.intp)
        number[split], number[flat] = np.arange(len(split)), np.arange(len(flat))
        kept = [rays[apart[self.cell[rays]]] for rays in (above, below, on)]
        pieces = on[~apart[self.cell[on]]]
        rays = np.concatenate([kept[0], kept[2], kept[1], kept[2], pieces])
        at = number[self.cell[rays]]
        upper = len(kept[0]) + len(kept[2])
        lower = upper + len(kept[1]) + len(kept[2])
        at[upper:lower] += len(split)
        at[lower:] += 2 * len(split)
        order = np.argsort(at, kind="stable")
        rays = rays[order]
        states = self.states[np.concatenate([split, split, flat])]
        asked = self.asked[np.concatenate([split, split, flat])]
        label = self.label[np.concatenate([split, split, flat])]
        part = np.arange(len(split))
        states[part, units[split]] = 1
        states[len(split) + part, units[split]] = -1
        asked[part, units[split]] = asked[len(split) + part, units[split]] = False
        label[2 * len(split) :] = units[flat]
        asked[2 * len(split) :] = False
        return Cones(
            self.points[rays],
            self.radius[rays],
            self.vanish[rays],
            at[order],
            states,
            label,
            asked,
        )

    def _between(
        self, up: IndexArray, down: IndexArray, z: FloatArray, error: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return where a unit vanishes between pairs of rays, and the radius of that.

        Raises
        ------
        UncertainSignError
            If a finite point would seem to lie at infinity, where its share of a ray is lost.
        """
        a, b, ea, eb = z[up], -z[down], error[up], error[down]
        share, rest = a / (a + b), b / (a + b)  # 1 - share may be rounded to 0
        points = rest[:, None] * self.points[up] + share[:, None] * self.points[down]
        far = (self.points[up, -1] == 0) & (self.points[down, -1] == 0)
        if not (far | (points[:, -1] > 0)).all():
            raise UncertainSignError("a point that seems to be at infinity")
        off = ((b + eb) * ea + (a + ea) * eb) / ((a + b) * (a + b - ea - eb))
        away = np.abs(self.points[up] - self.points[down]).max(axis=1)
        away += self.radius[up] + self.radius[down]
        radius = np.maximum(self.radius[up], self.radius[down]) + (off + 4 * UNIT) * away
        radius += 4 * UNIT * np.maximum(self.size[up], self.size[down])
        return points, radius * MORE


def pairs_within(
    cell: IndexArray, one: IndexArray, other: IndexArray, cells: int
) -> tuple[IndexArray, IndexArray]:
    """Return all pairs of one's and another's rays of the same cell; both are ascending."""
    there = np.bincount(cell[other], minlength=cells)
    first = np.cumsum(there) - there
    each = there[cell[one]]
    left = np.repeat(one, each)
    offset = np.arange(len(left)) - np.repeat(np.cumsum(each) - each, each)
    return left, other[first[cell[left]] + offset]


def recentred(
    cones: Cones, rays: IndexArray, forms: FloatArray, place: IndexArray, rounding: float
) -> None:
    """Compute rays anew from the forms that vanish there: errors of many cuts do not add up.

    Parameters
    ----------
    cones : Cones
        Its points and radii are replaced where that makes the radii smaller.
    rays : int array (rays,)
        Those that are computed.
    forms : array (cells, forms, coordinates)
        What may vanish on the rays of some cells, in the order of the bits in ``vanish``.
    place : int array (rays,)
        Which of these cells each ray belongs to.
    rounding : float
        How far entries of the forms may be off.
    """
    points, radius = cones.points[rays], cones.radius[rays]
    size, rank = np.abs(points).max(axis=1), points.shape[1] - 1
    vanish = members(cones.vanish[rays], forms.shape[1])
    chosen = np.argsort(~vanish, axis=1, kind="stable")[:, :rank]
    usable = np.count_nonzero(vanish, axis=1) >= rank
    usable &= radius * (2 * rank + 2) < size  # the solution is the ray, not its opposite
    rows = np.empty((len(points), rank + 1, rank + 1))
    rows[:, :rank] = forms[place[:, None], chosen]
    scale = np.abs(rows[:, :rank]).max(axis=2)
    usable &= (scale > 0).all(axis=1)
    scale[scale == 0] = 1.0
    rows[:, :rank] /= scale[:, :, None]
    rows[:, rank] = points / size[:, None]
    usable &= np.isfinite(rows).all(axis=(1, 2))
    if not usable.any():
        return
    left = np.flatnonzero(usable)
    found = _solved(rows[left], points[left], size[left], rounding / scale[left].min(axis=1))
    if found is None:
        return
    new, near = found
    better = near < radius[left]  # never if it is not a number
    better &= (new[:, -1] > 0) | (points[left, -1] == 0)
    replaced = rays[left[better]]
    cones.points[replaced] = new[better]
    cones.radius[replaced] = near[better]


def _solved(rows: FloatArray, points: FloatArray, size: FloatArray, off: FloatArray) -> Any:
    """Return where all but the last of the rows vanish, and a bound of the error."""
    count = rows.shape[1]
    try:
        inverse = np.linalg.inv(rows)
    except np.linalg.LinAlgError:
        return None
    value = (points * points).sum(axis=1) / size
    new = inverse[:, :, -1] * value[:, None]
    new[points[:, -1] == 0, -1] = 0.0
    norm = np.abs(inverse).sum(axis=2).max(axis=1)
    uncertain = (off + 4 * count * UNIT) * count  # of the sum of a row
    distance = np.abs(np.eye(count) - inverse @ rows).sum(axis=2).max(axis=1) + norm * uncertain
    result = (rows @ new[:, :, None])[:, :, 0]
    result[:, -1] -= value
    residual = np.abs(result).max(axis=1) + uncertain * np.abs(new).max(axis=1)
    residual += 4 * UNIT * np.abs(value)
    radius = np.where(distance < 0.5, norm * residual / (1 - distance), np.inf)
    return new, radius * MORE
