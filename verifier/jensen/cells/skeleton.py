"""Vertices and edges of the cells of three inputs alone, without points, faces and cells.

An edge lies on two kinks, or on sides of the domain, and says with its signs which faces and
cells it belongs to. A vertex is what the units of the level in question are there: values of the
next level follow from these, and where a unit vanishes between two vertices from theirs. All
edges of a level are cut by all units of the next one at once, of many networks if need be
(docs/theory.md, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE
from jensen.types import BoolArray, FloatArray, IndexArray

BITS = 62  # of a face and a unit in one number
SIDES = 6  # of the domain, at most

Bits = NDArray[np.int64]


class UncertainSignsError(ArithmeticError):
    """Signs that a cut needs are hidden by rounding, in some networks."""

    def __init__(self, networks: IndexArray) -> None:
        super().__init__("signs hidden by rounding")
        self.networks = networks


class Levels:
    """The hidden levels of networks of one architecture, and which of their kinks matter.

    Parameters
    ----------
    weights : sequence of arrays (networks, out, in)
        Of all layers.
    biases : sequence of arrays (networks, out)
    asked : bool array (networks, units)
        Units of all hidden levels whose kinks may bend down.

    Attributes
    ----------
    first : int array (levels + 1,)
        Number of the first unit of each level; the sides of the domain come behind the last.
    bit : int array (units + sides,)
        2 to the unit's number; 0 for a side.
    """

    def __init__(
        self, weights: Sequence[FloatArray], biases: Sequence[FloatArray], asked: BoolArray
    ) -> None:
        self.weights, self.biases, self.asked = tuple(weights), tuple(biases), asked
        self.networks = len(asked)
        self.sizes = [weight.shape[1] for weight in weights[:-1]]
        self.first = [0, *np.cumsum(self.sizes).tolist()]
        self.units: int = self.first[-1]
        bit = np.int64(1) << np.arange(self.units)
        self.bit: Bits = np.concatenate([bit, np.zeros(SIDES, dtype=np.int64)])
        self._sizes_of = [np.abs(weight) for weight in weights]
        self.bits_of_form = self.form_bits(self.units)
        self.bits_of_unit = max(self.sizes).bit_length()

    @staticmethod
    def form_bits(units: int) -> int:
        """Return how many bits the number of a unit or a side takes."""
        return (units + SIDES).bit_length()

    def apply(
        self, level: int, h: FloatArray, error: FloatArray, network: IndexArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return z of a level and how far it may be off, from what it reads.

        Parameters
        ----------
        level : int
        h, error : arrays (vertices, units of the level before)
            What is read, and how far it may be off.
        network : int array (vertices,)
        """
        weight, bias = self.weights[level], self.biases[level]
        size, rounding = self._sizes_of[level], (h.shape[1] + 4) * UNIT
        off = error + rounding * np.abs(h)
        if self.networks == 1:
            z = h @ weight[0].T + bias[0]
            return z, (off @ size[0].T + rounding * np.abs(bias[0])) * MORE
        z = (weight[network] @ h[:, :, None])[:, :, 0] + bias[network]
        off = (size[network] @ off[:, :, None])[:, :, 0] + rounding * np.abs(bias[network])
        return z, off * MORE


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges from vertex to vertex: two forms that vanish there, and the units that are on.

    Attributes
    ----------
    start, end : int arrays (edges,)
        Vertices.
    one, other : int arrays (edges,)
        Numbers of units, or of sides of the domain.
    on : int array (edges,)
        Bit sets.
    """

    start: IndexArray
    end: IndexArray
    one: IndexArray
    other: IndexArray
    on: Bits

    def take(self, some: IndexArray) -> Edges:
        """Return some edges."""
        return Edges(
            self.start[some], self.end[some], self.one[some], self.other[some], self.on[some]
        )


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Vertices and edges of the cells that some levels cut a bounded domain into.

    Attributes
    ----------
    levels : Levels
    z : array (vertices, units of the last of these levels)
        Exactly 0 where it is known to vanish.
    error : array (vertices, units)
        How far z may be off.
    network : int array (vertices,)
    far : bool array (vertices,)
        Whether it lies where the domain goes on (:mod:`jensen.cells.skeleton_start`).
    edges : Edges
    endless : bool
        Whether the first side is not one of the domain.
    """

    levels: Levels
    z: FloatArray
    error: FloatArray
    network: IndexArray
    far: BoolArray
    edges: Edges
    endless: bool

    def without(self, networks: IndexArray) -> Skeleton:
        """Return what belongs to the other networks."""
        there = np.ones(self.levels.networks, dtype=bool)
        there[networks] = False
        kept = there[self.network]
        number = np.cumsum(kept) - 1
        edges = self.edges.take(np.flatnonzero(kept[self.edges.start]))
        edges = replace(edges, start=number[edges.start], end=number[edges.end])
        return replace(
            self,
            z=self.z[kept],
            error=self.error[kept],
            network=self.network[kept],
            far=self.far[kept],
            edges=edges,
        )

    def on_asked(self) -> Skeleton:
        """Return the edges on the kinks that are asked for."""
        asked = self._asked(self.edges.one) | self._asked(self.edges.other)
        return replace(self, edges=self.edges.take(np.flatnonzero(asked)))

    def _asked(self, form: IndexArray) -> BoolArray:
        levels, network = self.levels, self.network[self.edges.start]
        inner = form < levels.units
        found: BoolArray = inner & levels.asked[network, np.where(inner, form, 0)]
        return found

    def evaluated(self, level: int) -> Skeleton:
        """Return the same with z of a level instead of the one before it."""
        # signs are certain, so that what is off passes on no error
        on = self.z > 0
        h, error = np.where(on, self.z, 0.0), np.where(on, self.error, 0.0)
        z, error = self.levels.apply(level, h, error, self.network)
        return replace(self, z=z, error=error)

    def faces(self) -> tuple[IndexArray, IndexArray, Bits, IndexArray]:
        """Return faces on kinks that are asked for: (network, unit, units on, edge).

        Each is there as often as it has edges.
        """
        levels, edges = self.levels, self.edges
        unit, on, at = around(levels, edges)
        network = self.network[edges.start[at]]
        inner = unit < levels.units
        inner &= levels.asked[network, np.where(inner, unit, 0)]
        some = np.flatnonzero(inner)
        return network[some], unit[some], on[some], at[some]

    def goes_on(self, level: int, *, known: bool = True) -> None:
        """Check that no unit of an evaluated level changes its sign on edges beyond the domain.

        Parameters
        ----------
        level : int
        known : bool
            Whether it has cut the edges, so that all its signs are certain.

        Raises
        ------
        UncertainSignsError
            If that is not certain.

        References
        ----------
        docs/theory.md, section 4, Lemma 2c.
        """
        levels, edges = self.levels, self.edges
        first, last = self.far[edges.start], self.far[edges.end]
        inner = (edges.one < levels.units) & (edges.other < levels.units)
        leaving = np.flatnonzero((first != last) & inner)
        some = edges.take(leaving)
        outside = np.where(first[leaving], some.start, some.end)
        inside = np.where(first[leaving], some.end, some.start)
        there, here = self.z[outside], self.z[inside]
        off = (self.error[outside] + self.error[inside]) * MORE
        off += 4 * UNIT * (np.abs(there) + np.abs(here))
        grows = np.where(there > 0, there - here, here - there) > off
        if not known:
            grows &= np.abs(there) > 2 * self.error[outside]
        sure = (grows | ((there == 0) & (here == 0))).all(axis=1)
        left = np.flatnonzero(~sure)
        if left.size and not self._stays(some.take(left), level).all():
            stays = self._stays(some.take(left), level)
            raise UncertainSignsError(np.unique(self.network[outside[left[~stays]]]))

    def _stays(self, edges: Edges, level: int) -> BoolArray:
        """Whether a level is constant along edges, by what it reads there.

        If as many kinks behind a level meet in an edge as the level has units that are on there,
        all of these are constant on it, and so is everything behind them.
        """
        levels = self.levels
        found = np.zeros(len(edges.on), dtype=bool)
        for before in range(level):
            first, behind = levels.first[before], levels.first[before + 1]
            on = np.bitwise_count((edges.on >> first) & ((1 << levels.sizes[before]) - 1))
            kinks = (edges.one >= behind).astype(np.intp) + (edges.other >= behind)
            found |= kinks >= on
        return found


def around(levels: Levels, edges: Edges) -> tuple[IndexArray, Bits, IndexArray]:
    """Return the faces around edges: (form that vanishes, units on, edge).

    Around an edge where two units vanish are four: on each of their kinks, one where the other
    unit is on, and one where it is off. Around one in a side of the domain only the inner ones.
    """
    one, other, on = edges.one, edges.other, edges.on
    inner_one, inner_other = (np.flatnonzero(form < levels.units) for form in (one, other))
    number = np.arange(len(on))
    at = np.concatenate([number, number, inner_other, inner_one])
    form = np.concatenate([one, other, one[inner_other], other[inner_one]])
    units = np.concatenate(
        [on | levels.bit[other], on | levels.bit[one], on[inner_other], on[inner_one]]
    )
    return form, units, at
