"""Cuts for the values of units in front: relu(z) on the box (docs/theory.md, section 11).

The line above relu(z) knows the bounds of z alone. Where z is ``w y + b``, relu(z) is supermodular
in the ``w_j y_j``, so that its least concave upper bound on the box is their Lovasz extension: take
the coordinates in the order of how far y is towards larger z in them; the slope of each is what
relu(z) gains as it goes from one end to the other, those before it being there already. On the
kink any multiple of z_g may be added to z first, so that it varies less on the box.

These slopes C are hints: with any, ``h <= C y + c`` holds if ``C y + c`` is at least 0 and z on the
box and the kink. The least such c is found with outward rounding.

References
----------
C. Tjandraatmadja et al., "The convex relaxation barrier, revisited: tightened single-neuron
relaxations for neural network verification", NeurIPS 2020.
"""

from __future__ import annotations

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.forms import JointForms
from jensen.prover.joint.kink_bounds import Kink, Ranges, best_multipliers, least_values
from jensen.types import FloatArray, IndexArray, Unit

DEEP = 0.02  # of a unit's largest z: how far cuts lie below a solution's value at least
AT_ONCE = 4  # cuts at a solution, the deepest ones
EACH = 4  # cuts of each unit at most, on average


class ValueCuts:
    """Cuts of one joint program.

    Parameters
    ----------
    forms : JointForms
    ranges : Ranges
        Bounds on the kink.
    piece : Piece
    kink : Kink or None
        Where the kink is affine, with doubles that are exact.
    width : int
        Number of columns.
    """

    def __init__(
        self,
        forms: JointForms,
        ranges: Ranges,
        piece: Piece,
        kink: Kink | None,
        width: int,
    ) -> None:
        dim = forms.dim
        units = [(k, u) for k, u in forms.h if not forms.forms[k][u, 1 + dim :].any()]
        self._units = units
        self._columns = np.array([forms.h[unit] for unit in units], dtype=np.intp)
        rows = [forms.forms[k][u, : 1 + dim] for k, u in units]
        self._forms = np.array(rows).reshape(-1, 1 + dim)
        self._errors = np.array([forms.errors[k][u] for k, u in units])
        self._tops = np.array([ranges.upper[k][u] for k, u in units])
        self._piece, self._kink, self._width = piece, kink, width
        self._side = piece.upper - piece.lower
        # on the faces of a cone, where one side is 0, they save nothing
        self._left = EACH * len(units) if (self._side > 0).all() else 0
        by = np.zeros(1 + dim) if kink is None else np.append(kink.offset, kink.normal)
        moved = self._forms + self._multiples()[..., None] * by
        w = moved[..., 1:]
        self._rising, self._terms = w > 0, np.abs(w) * self._side
        ends = np.where(self._rising, w * piece.lower, w * piece.upper)
        self._starts = moved[..., 0] + ends.sum(axis=-1)

    def _multiples(self) -> FloatArray:
        """Return multiples of z_g to be tried for each unit: none, and some that shrink z."""
        found = [np.zeros(len(self._forms))]
        if self._kink is None or not self._left:
            return np.array(found)
        slopes, normal = self._forms[:, 1:], self._kink.normal
        weighted = normal * self._side**2
        size = float(normal @ weighted)
        if size > 0:
            found.append(-(slopes @ weighted) / size)
        # those of the best bounds
        for sign in (1.0, -1.0):
            found.append(-sign * best_multipliers(sign * slopes, self._piece, self._kink))
        return np.array(found)

    def separate(self, x: FloatArray) -> tuple[FloatArray, FloatArray, list[Unit]]:
        """Return rows and limits that hold on the piece and the kink but not at x, and their units.

        Parameters
        ----------
        x : array (columns,)
            A solution.
        """
        none = np.empty((0, self._width)), np.empty(0), list[Unit]()
        if not self._left:
            return none
        y = x[: len(self._side)]
        z = self._forms[:, 0] + self._forms[:, 1:] @ y
        h = x[self._columns]
        chosen = np.flatnonzero(h - np.maximum(z, 0.0) > DEEP * self._tops)
        if not chosen.size:
            return none
        slopes, least = self._least_above(chosen, y)
        deepest = np.argsort((least - h[chosen]) / self._tops[chosen], kind="stable")[:AT_ONCE]
        chosen, slopes = chosen[deepest], slopes[deepest]
        limits = self._limits(chosen, slopes)
        deep = h[chosen] - slopes @ y - limits > DEEP * self._tops[chosen]
        chosen, slopes, limits = chosen[deep], slopes[deep], limits[deep]
        self._left = max(0, self._left - len(chosen))
        rows = np.zeros((len(chosen), self._width))
        rows[:, : len(y)] = -slopes
        rows[np.arange(len(chosen)), self._columns[chosen]] = 1.0
        return rows, limits, [self._units[i] for i in chosen.tolist()]

    def _least_above(self, chosen: IndexArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return slopes and values at y of the least upper bounds, by the best multiples."""
        rising, starts = self._rising[:, chosen], self._starts[:, chosen, None]
        up = (y - self._piece.lower) / self._side
        share = np.where(rising, up, 1.0 - up)
        order = np.argsort(-share, axis=-1)
        reached = starts + np.cumsum(np.take_along_axis(self._terms[:, chosen], order, -1), axis=-1)
        starts = np.maximum(starts, 0.0)
        gains = np.diff(np.maximum(reached, 0.0), axis=-1, prepend=starts)
        values = starts[..., 0] + (gains * np.take_along_axis(share, order, -1)).sum(axis=-1)
        best = np.argmin(values, axis=0), np.arange(len(chosen))
        slopes = np.zeros((len(chosen), len(y)))
        np.put_along_axis(slopes, order[best], gains[best], axis=-1)
        return np.where(rising[best], slopes, -slopes) / self._side, values[best]

    def _limits(self, chosen: IndexArray, slopes: FloatArray) -> FloatArray:
        """Return the least constants, moved up by what rounding may have cost."""
        forms, reach = self._forms[chosen], self._piece.reach
        above_zero = least_values(slopes, np.zeros(len(slopes)), self._piece, self._kink)
        rest = slopes - forms[:, 1:]
        above_z = least_values(rest, -forms[:, 0], self._piece, self._kink)
        error = self._errors[chosen] + 2 * UNIT * ((np.abs(slopes) + np.abs(forms[:, 1:])) @ reach)
        error += SUBNORMAL * 8 * len(reach)
        above_z = np.nextafter(above_z - SAFETY * error, -np.inf)
        limits: FloatArray = np.nextafter(-np.minimum(above_zero, above_z), np.inf)
        return limits
