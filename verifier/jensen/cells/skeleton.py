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

BITS = 62  # of a set of units in one number
KEY = 62  # bits of a face and a unit in one number
WIDEST = 52  # units of a level: sums of their bits are exact in doubles
SIDES = 6  # of the domain, at most

Bits = NDArray[np.int64]

# odd, of 63 bits: for words of sets, and for what else tells parts apart
MIXERS = np.array([0x1E3779B97F4A7C15, 0x51B54A32D192ED03, 0x2545F4914F6CDD1D], dtype=np.int64)


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
    place : list of (int, int)
        For each level the word that holds its units in a set, and the bit of the first of them.
    words : int
        How many numbers hold a set of units of all levels.
    bit : int array (words, units + sides)
        The set of each unit alone; nothing for a side.
    sizes_of : list of arrays (networks, out, in)
        Absolute values of the weights.
    """

    def __init__(
        self, weights: Sequence[FloatArray], biases: Sequence[FloatArray], asked: BoolArray
    ) -> None:
        self.weights, self.biases, self.asked = tuple(weights), tuple(biases), asked
        self.networks = len(asked)
        self.sizes = [weight.shape[1] for weight in weights[:-1]]
        self.first = [0, *np.cumsum(self.sizes).tolist()]
        self.units: int = self.first[-1]
        self.place = places(self.sizes)
        self.words = 1 + self.place[-1][0]
        self.bit: Bits = np.zeros((self.words, self.units + SIDES), dtype=np.int64)
        for first, size, (word, shift) in zip(self.first, self.sizes, self.place, strict=False):
            self.bit[word, first : first + size] = np.int64(1) << np.arange(shift, shift + size)
        self.sizes_of = [np.abs(weight) for weight in weights]
        self._asked = np.zeros((len(asked), self.units + SIDES), dtype=bool)
        self._asked[:, : self.units] = asked
        self._bits_of_form = (self.units + SIDES).bit_length()
        self._bits_of_network = (self.networks - 1).bit_length()
        self._bits_of_unit = max(self.sizes).bit_length()
        bits = self.units + self._bits_of_form + self._bits_of_unit + self._bits_of_network
        self._packs = self.words == 1 and bits <= KEY

    def keys(
        self, network: IndexArray, on: Bits, form: IndexArray, unit: IndexArray | None = None
    ) -> Bits:
        """Return one number for each (network, set, form, unit), ascending with the network.

        Different ones may have equal numbers where not all bits fit: :meth:`are_same`.

        Parameters
        ----------
        network : int array (parts,)
        on : int array (words, parts)
        form, unit : int arrays (parts,)
            Numbers of a unit or a side, and of a unit within its level.
        """
        key: Bits
        bits, last = self._bits_of_form, form
        if unit is not None:
            bits += self._bits_of_unit
            last = (form << self._bits_of_unit) | unit
        if self._packs:
            key = (on[0] << bits) | last
            if self.networks > 1:
                key |= network << (self.units + bits)
            return key
        mixed = last * MIXERS[-1]
        for word, mixer in zip(on, MIXERS, strict=False):
            mixed += (word ^ (word >> 32)) * mixer
        kept = KEY - self._bits_of_network
        key = ((mixed >> (64 - kept)) & ((1 << kept) - 1)) | (network << kept)
        return key

    def are_same(self, one: IndexArray, other: IndexArray, *parts: Bits) -> bool:
        """Whether of arrays (..., parts) all columns of one choice are those of another.

        True unasked where equal keys say so.
        """
        if self._packs:
            return True
        return all(
            np.array_equal(part.take(one, axis=-1), part.take(other, axis=-1)) for part in parts
        )

    def asks(self, network: IndexArray, form: IndexArray) -> BoolArray:
        """Whether forms are units whose kinks are asked for in their networks."""
        found: BoolArray = self._asked[network, form]
        return found

    def apply(self, level: int, passed: FloatArray, network: IndexArray) -> FloatArray:
        """Return z of a level and how far it may be off, from what it reads.

        Parameters
        ----------
        level : int
        passed : array (2, vertices, units of the level before)
            What is read, and how far that may be off.
        network : int array (vertices,)

        Returns
        -------
        array (2, vertices, units)
        """
        bias, rounding = self.biases[level], (passed.shape[2] + 4) * UNIT
        h = passed[0]
        off = rounding * np.abs(h)
        off += passed[1]
        values = np.empty((2, len(h), bias.shape[1]))
        if self.networks == 1:
            np.matmul(h, self.weights[level][0].T, out=values[0])
            np.matmul(off, self.sizes_of[level][0].T, out=values[1])
            values[0] += bias[0]
            values[1] += rounding * np.abs(bias[0])
        else:
            order = network.argsort(kind="stable")
            ordered = network.take(order)
            z = products(self.weights[level], h.take(order, axis=0), ordered)
            values[0, order] = z + bias.take(ordered, axis=0)
            values[1, order] = products(self.sizes_of[level], off.take(order, axis=0), ordered)
            values[1] += rounding * np.abs(bias).take(network, axis=0)
        values[1] *= MORE
        return values


def places(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each level a word and a bit of it; no level is split between words."""
    found, word, used = [], 0, 0
    for size in sizes:
        if used + size > BITS:
            word, used = word + 1, 0
        found.append((word, used))
        used += size
    return found


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges from vertex to vertex: two forms that vanish there, and the units that are on.

    Attributes
    ----------
    table : int array (4 + words, edges)
        Two vertices, numbers of two units or sides of the domain, and a bit set.
    """

    table: Bits

    @property
    def ends(self) -> tuple[IndexArray, IndexArray]:
        """The vertices: (start, end)."""
        return self.table[0], self.table[1]

    @property
    def forms(self) -> tuple[IndexArray, IndexArray]:
        """What vanishes: numbers of units, or of sides of the domain."""
        return self.table[2], self.table[3]

    @property
    def on(self) -> Bits:
        """Bit sets of the units that are on: (words, edges)."""
        on: Bits = self.table[4:]
        return on

    def __len__(self) -> int:
        return len(self.table[0])

    def take(self, some: IndexArray) -> Edges:
        """Return some edges."""
        return Edges(self.table.take(some, axis=1))


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Vertices and edges of the cells that some levels cut a bounded domain into.

    Attributes
    ----------
    levels : Levels
    values : array (2, vertices, units of the last of these levels)
        z, exactly 0 where it is known to vanish, and how far it may be off.
    place : int array (vertices,)
        Twice the number of the network, and 1 more where the domain goes on
        (:mod:`jensen.cells.skeleton_start`).
    edges : Edges
    endless : bool
        Whether the first side is not one of the domain.
    """

    levels: Levels
    values: FloatArray
    place: Bits
    edges: Edges
    endless: bool

    @property
    def z(self) -> FloatArray:
        """Values of the last level: (vertices, units)."""
        z: FloatArray = self.values[0]
        return z

    @property
    def error(self) -> FloatArray:
        """How far they may be off."""
        error: FloatArray = self.values[1]
        return error

    @property
    def network(self) -> IndexArray:
        """Whose the vertices are."""
        network: IndexArray = self.place >> 1
        return network

    def without(self, networks: IndexArray) -> Skeleton:
        """Return what belongs to the other networks."""
        there = np.ones(self.levels.networks, dtype=bool)
        there[networks] = False
        return self._of_edges(there.take(self.network.take(self.edges.ends[0])))

    def on_asked(self) -> Skeleton:
        """Return the edges on the kinks that are asked for."""
        network = self.network.take(self.edges.ends[0])
        one, other = (self.levels.asks(network, form) for form in self.edges.forms)
        return self._of_edges(one | other)

    def _of_edges(self, some: BoolArray) -> Skeleton:
        """Return some edges and their vertices."""
        edges = self.edges.take(some.nonzero()[0])
        kept = np.zeros(len(self.place), dtype=bool)
        kept[edges.table[:2]] = True
        edges.table[:2] = (kept.cumsum() - 1).take(edges.table[:2])
        left = kept.nonzero()[0]
        values, place = self.values.take(left, axis=1), self.place.take(left)
        return replace(self, values=values, place=place, edges=edges)

    def evaluated(self, level: int) -> Skeleton:
        """Return the same with z of a level instead of the one before it."""
        # signs are certain, so that what is off passes on no error
        passed = np.where(self.z > 0, self.values, 0.0)
        values = self.levels.apply(level, passed, self.network)
        return Skeleton(self.levels, values, self.place, self.edges, self.endless)

    def faces(self) -> tuple[IndexArray, IndexArray, Bits, IndexArray]:
        """Return faces on kinks that are asked for: (network, unit, units on by words, edge).

        Each is there as often as it has edges.
        """
        unit, on, at = around(self.levels, self.edges)
        network = self.network.take(self.edges.ends[0].take(at))
        some = self.levels.asks(network, unit).nonzero()[0]
        return network.take(some), unit.take(some), on.take(some, axis=1), at.take(some)

    def goes_on(self, level: int, units: IndexArray, *, known: bool = True) -> None:
        """Check that no unit of an evaluated level changes its sign on edges beyond the domain.

        Parameters
        ----------
        level : int
        units : int array
            Those of the level that are looked at.
        known : bool
            Whether they have cut the edges, so that all their signs are certain.

        Raises
        ------
        UncertainSignsError
            If that is not certain.

        References
        ----------
        docs/theory.md, section 4, Lemma 4a.
        """
        edges, sides = self.edges, self.levels.units
        far = self.place.take(edges.table[:2]) & 1
        leaving = far[0] != far[1]
        leaving &= (edges.table[2] < sides) & (edges.table[3] < sides)
        at = leaving.nonzero()[0]
        some, first = edges.table[:2].take(at, axis=1), far[0].take(at) != 0
        outside, inside = np.where(first, some, some[::-1])
        there, here = self.values.take(outside, axis=1), self.values.take(inside, axis=1)
        if len(units) < there.shape[2]:
            there, here = there.take(units, axis=2), here.take(units, axis=2)
        (z, off_there), (other, off_here) = there, here
        size = np.abs(z)
        off = (off_there + off_here) * MORE + 4 * UNIT * (size + np.abs(other))
        grows = size - np.where(z > 0, other, -other) > off
        if not known:
            grows &= size > 2 * off_there
        grows |= (z == 0) & (other == 0)
        left = (~grows.all(axis=1)).nonzero()[0]
        if left.size:
            left = left[~self._stays(edges.take(at[left]), level)]
        if left.size:
            raise UncertainSignsError(np.unique(self.network[outside[left]]))

    def _stays(self, edges: Edges, level: int) -> BoolArray:
        """Whether a level is constant along edges, by what it reads there.

        If as many kinks behind a level meet in an edge as the level has units that are on there,
        all of these are constant on it, and so is everything behind them.
        """
        levels, (one, other) = self.levels, edges.forms
        found = np.zeros(len(edges), dtype=bool)
        for before in range(level):
            behind, (word, shift) = levels.first[before + 1], levels.place[before]
            on = np.bitwise_count((edges.on[word] >> shift) & ((1 << levels.sizes[before]) - 1))
            found |= (one >= behind).astype(np.intp) + (other >= behind) >= on
        return found


def products(matrices: FloatArray, rows: FloatArray, network: IndexArray) -> FloatArray:
    """Return the products of matrices of networks with rows each, ordered by network.

    Parameters
    ----------
    matrices : array (networks, out, in)
    rows : array (rows, in)
    network : int array (rows,)
        Ascending.
    """
    found: FloatArray
    if len(matrices) == 1:
        found = rows @ matrices[0].T
        return found
    found = np.empty((len(rows), matrices.shape[1]))
    ends = network.searchsorted(np.arange(len(matrices) + 1)).tolist()
    for matrix, first, last in zip(matrices, ends[:-1], ends[1:], strict=True):
        np.matmul(rows[first:last], matrix.T, out=found[first:last])
    return found


def around(levels: Levels, edges: Edges) -> tuple[IndexArray, Bits, IndexArray]:
    """Return the faces around edges: (form that vanishes, units on by words, edge).

    Around an edge where two units vanish are four: on each of their kinks, one where the other
    unit is on, and one where it is off. Around one in a side of the domain only the inner ones.
    """
    (one, other), on = edges.forms, edges.on
    inner_one, inner_other = ((form < levels.units).nonzero()[0] for form in (one, other))
    number = np.arange(len(edges))
    at = np.concatenate([number, number, inner_other, inner_one])
    form = np.concatenate([one, other, one.take(inner_other), other.take(inner_one)])
    bits = levels.bit.take(edges.table[2:4], axis=1)
    bits |= on[:, None]
    inner = on.take(inner_other, axis=1), on.take(inner_one, axis=1)
    return form, np.concatenate([bits[:, 1], bits[:, 0], *inner], axis=1), at
