"""Hyperplane groups and the network they form (docs/theory.md, section 2).

Twins, neurons whose pre-activations are proportional, kink on one hyperplane. A group
acts like a single unit with two slopes: with ``z_i = c_i z_lead`` the next layer receives
``on * z_lead`` for ``z_lead >= 0`` and ``off * z_lead`` for ``z_lead <= 0``, where

    on  = sum of c_i W[:, i] over the twins with c_i > 0,
    off = sum of c_i W[:, i] over the twins with c_i < 0.

``on == off`` is a linear pass-through (``relu(b) - relu(-b) = b``), ``on - off`` the start
of a jump. Stably active neurons and affine blocks are linear units; stably inactive
neurons are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.rational import ONE, ZERO, floats, rationals
from jensen.domains.working_set import WorkingSet
from jensen.errors import NetworkError, OutOfTimeError
from jensen.groups.lifted import lifted_network
from jensen.groups.slopes import Slopes
from jensen.groups.twins import Member, find_twins
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork
from jensen.types import Bounds, FloatArray, Neurons, ObjectArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

SOURCE = -1  # the level of the working variables
DENSE_LIMIT = 2 * 10**8  # numbers kept at most (1.6 GB): a clear refusal before memory runs out
QUICK = 10**6  # numbers that are grouped in some hundredths of a second
SECONDS = 2e-8  # for one of them


@dataclass(eq=False)
class Level:
    """Units that read the same earlier levels.

    Attributes
    ----------
    units : list of tuple of Member
        The twins of each unit, the lead first (``c = 1``).
    kink : bool array (units,)
        False for linear units.
    lower, upper : arrays (units,)
        Proved bounds of the lead's pre-activation on the working set.
    slopes : mapping from the level read to its weights
    bias : array (units,), ``exact_bias`` its exact value
    """

    units: list[tuple[Member, ...]]
    kink: NDArray[np.bool_]
    lower: FloatArray
    upper: FloatArray
    slopes: dict[int, Slopes]
    exact_bias: ObjectArray
    bias: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.bias = floats(self.exact_bias)

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.units)


@dataclass(frozen=True, eq=False)
class GroupedNetwork:
    """A scalar network over a working set, as levels of two-slope units.

    The last level is the output, one linear unit.

    Attributes
    ----------
    levels : tuple of Level
    working_set : WorkingSet
    passed : tuple of tuples of (block, index)
        Groups that are no units, as they bend nothing (:mod:`jensen.groups.folded`).
    unfolded : GroupedNetwork or None
        The network in which these are units, and affine blocks.
    """

    levels: tuple[Level, ...]
    working_set: WorkingSet
    passed: tuple[Neurons, ...] = ()
    unfolded: GroupedNetwork | None = None

    @property
    def output_level(self) -> int:
        """Index of the last level."""
        return len(self.levels) - 1

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For every level, the later levels that read it."""
        found: list[list[int]] = [[] for _ in self.levels]
        for index, level in enumerate(self.levels):
            for source in level.slopes:
                if source != SOURCE:
                    found[source].append(index)
        return tuple(tuple(r) for r in found)

    @property
    def input_weights(self) -> FloatArray:
        """The weights (units, dim) of all hidden units that read the working variables."""
        read = [level.slopes[SOURCE].on for level in self.levels[:-1] if SOURCE in level.slopes]
        return np.concatenate([np.empty((0, self.working_set.dim)), *read])

    @property
    def has_no_bias(self) -> bool:
        """Whether hidden units have the same signs at all multiples of an input, exactly.

        On a lift biases are weights of t, the last variable.
        """
        hidden = self.levels[:-1]
        if self.working_set.lifted and self.working_set.identity:
            read = [level.slopes[SOURCE] for level in hidden if SOURCE in level.slopes]
            return not any(slopes.rational_on[:, -1].any() for slopes in read)
        return not any(level.exact_bias.any() for level in hidden)

    @cached_property
    def leads(self) -> tuple[NDArray[np.bool_], ...]:
        """For every level, the units from which weights that are not 0 lead to the output."""
        found = [np.zeros(level.size, dtype=bool) for level in self.levels]
        found[-1][:] = True
        for k in range(self.output_level, 0, -1):
            for source, slopes in self.levels[k].slopes.items():
                if source != SOURCE:
                    found[source] |= (slopes.size[found[k]] != 0).any(axis=0)
        return tuple(found)

    def pre_activations(self, points: FloatArray) -> list[FloatArray]:
        """Return z of every level's units at working points, in floating point.

        Parameters
        ----------
        points : array (..., dim)

        Returns
        -------
        z : list of arrays (..., units)
        """
        found: list[FloatArray] = []
        for level in self.levels:
            z = np.empty((*points.shape[:-1], level.size))
            z[...] = level.bias
            for source, slopes in level.slopes.items():
                if source == SOURCE:
                    z += points @ slopes.on.T
                    continue
                reads = self.levels[source]
                h = np.where(reads.kink, np.maximum(found[source], 0.0), found[source])
                z += h @ slopes.on.T
                if slopes.off is not None:
                    z += np.where(reads.kink, np.minimum(found[source], 0.0), 0.0) @ slopes.off.T
            found.append(z)
        return found

    def groups(self) -> list[Unit]:
        """Return (level, unit) of every unit that may kink."""
        return [
            (k, int(u)) for k, level in enumerate(self.levels) for u in np.flatnonzero(level.kink)
        ]

    def neurons(self, group: Unit) -> Neurons:
        """Return (block, index) of a group's twins, the lead first."""
        level, unit = group
        return tuple((member.block, member.index) for member in self.levels[level].units[unit])


def group_network(
    network: ReluNetwork, bounds: Bounds, working: WorkingSet, deadline: Deadline = NEVER
) -> GroupedNetwork:
    """Group a scalar network's neurons into two-slope units.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    bounds : mapping from block to (lower, upper)
        Proved pre-activation bounds, over the lifted network where the set is lifted.
    working : WorkingSet
    deadline : Deadline
        Small networks, whose groups take milliseconds, are grouped after it, too.

    Raises
    ------
    NetworkError
        If it has several outputs, or is too large to be held densely.
    OutOfTimeError
        If time was up before a large one was grouped.
    """
    if network.output_size != 1:
        raise NetworkError(f"the network has {network.output_size} outputs: select one")
    if working.lifted:
        network = lifted_network(network)
    stored = sum(b.size * network.size_of(s) for b in network.blocks for s in b.weights)
    if stored > DENSE_LIMIT:
        raise NetworkError(f"{stored} weights are too many for the prover (limit {DENSE_LIMIT})")
    deadline = NEVER if stored <= QUICK else deadline
    return _Builder(network, bounds, working, deadline).build()


class _Builder:
    """Walks the blocks in topological order and forms levels of units."""

    def __init__(
        self, network: ReluNetwork, bounds: Bounds, working: WorkingSet, deadline: Deadline
    ) -> None:
        self._network = network
        self._bounds = bounds
        self._working = working
        self._deadline = deadline
        self._levels: list[Level] = []
        # for every level and block in it: (neuron, unit, c) of the neurons that are kept
        self._kept: list[dict[str, list[tuple[int, int, Any]]]] = []
        self._level_of: dict[str, int] = {INPUT: SOURCE}

    def build(self) -> GroupedNetwork:
        for blocks in self._layers():
            self._add_level(blocks)
        return GroupedNetwork(tuple(self._levels), self._working)

    def _layers(self) -> list[list[Block]]:
        """Put blocks that read the same layers side by side, so that twins can meet."""
        layers: list[list[Block]] = []
        by_sources: dict[frozenset[int], int] = {}
        for block in self._network.blocks:
            sources = frozenset(self._level_of[s] for s, w in block.weights.items() if _nonzero(w))
            index = by_sources.get(sources)
            if index is None or block.name == OUTPUT:
                index = by_sources[sources] = len(layers)
                layers.append([])
            layers[index].append(block)
            self._level_of[block.name] = index
        # a block may have joined an earlier layer than its number of predecessors suggests
        return layers

    def _check_time(self, numbers: int = 0) -> None:
        """Raise OutOfTimeError where a level of so many numbers cannot be formed in time."""
        if self._deadline.left() <= SECONDS * numbers:
            raise OutOfTimeError("time was up before the groups were looked at")

    def _add_level(self, blocks: list[Block]) -> None:
        sizes = (b.size * self._network.size_of(s) for b in blocks for s in b.weights)
        self._check_time(sum(sizes))
        neurons = [(block, i) for block in blocks for i in self._alive(block)]
        slopes, bias = self._rows(blocks, neurons)
        lower = np.array([self._bounds[b.name][0][i] for b, i in neurons])
        upper = np.array([self._bounds[b.name][1][i] for b, i in neurons])
        kink = np.array(
            [
                b.is_relu and lo < 0 < up
                for (b, _), lo, up in zip(neurons, lower, upper, strict=True)
            ],
            dtype=bool,
        )
        self._check_time()
        groups = find_twins(slopes, bias, np.flatnonzero(kink))
        leads = np.array([group[0][0] for group in groups], dtype=np.intp)
        order = np.concatenate([leads, np.flatnonzero(~kink)])
        members = [
            tuple(Member(neurons[i][0].name, neurons[i][1], c) for i, c in group)
            for group in groups
        ] + [(Member(neurons[i][0].name, neurons[i][1], ONE),) for i in np.flatnonzero(~kink)]
        self._levels.append(
            Level(
                members,
                np.arange(len(order)) < len(leads),
                lower[order],
                upper[order],
                {source: s.take_rows(order) for source, s in slopes.items()},
                bias[order],
            )
        )
        kept: dict[str, list[tuple[int, int, Any]]] = {block.name: [] for block in blocks}
        for unit, twins in enumerate(members):
            for member in twins:
                kept[member.block].append((member.index, unit, member.c))
        self._kept.append(kept)

    def _alive(self, block: Block) -> list[int]:
        """Return the neurons that are not stably inactive."""
        if not block.is_relu:
            return list(range(block.size))
        return [int(i) for i in np.flatnonzero(self._bounds[block.name][1] > 0)]

    def _rows(
        self, blocks: list[Block], neurons: list[tuple[Block, int]]
    ) -> tuple[dict[int, Slopes], ObjectArray]:
        """Return the rows of the kept neurons over the units of the levels they read."""
        alive = {block.name: [i for b, i in neurons if b is block] for block in blocks}
        parts: dict[int, list[tuple[str, int, Any]]] = {}
        start = 0
        for block in blocks:
            rows = alive[block.name]
            for source, weight in block.weights.items():
                if _nonzero(weight):
                    self._check_time()
                    dense = weight.toarray() if hasattr(weight, "toarray") else weight
                    level = self._level_of[source]
                    parts.setdefault(level, []).append((source, start, dense[rows]))
            start += len(rows)
        bias = rationals(np.concatenate([b.bias[alive[b.name]] for b in blocks]))
        slopes: dict[int, Slopes] = {}
        for level, pieces in sorted(parts.items()):
            if level == SOURCE:
                raw = np.zeros((start, self._network.input_size))
                for _, offset, piece in pieces:
                    raw[offset : offset + len(piece)] += piece
                slopes[SOURCE], shift = self._source_slopes(raw)
                if shift is not None:
                    bias = bias + shift
            else:
                slopes[level] = self._unit_slopes(level, pieces, start)
        return slopes, bias

    def _source_slopes(self, raw: FloatArray) -> tuple[Slopes, ObjectArray | None]:
        if self._working.identity:
            return Slopes(raw), None
        matrix, offset = self._working.matrix, self._working.offset
        if not self._working.lifted:
            matrix, offset = matrix[:-1], offset[:-1]
        exact = rationals(raw)
        on = exact @ matrix if matrix.shape[1] else np.empty((len(raw), 0), dtype=object)
        return Slopes(floats(on), exact_on=on), exact @ offset

    def _unit_slopes(self, level: int, pieces: list[tuple[str, int, Any]], rows: int) -> Slopes:
        units = self._levels[level]
        on = np.zeros((rows, units.size))
        off = np.zeros((rows, units.size))
        exact: dict[tuple[bool, int], ObjectArray] = {}
        for source, offset, piece in pieces:
            span = slice(offset, offset + len(piece))
            self._check_time()
            for neuron, unit, c in self._kept[level][source]:
                column, positive = piece[:, neuron], c > 0
                target = on if positive else off
                if abs(c) == 1 and not target[span, unit].any() and (positive, unit) not in exact:
                    target[span, unit] = column if positive else -column
                    continue
                key = (positive, unit)
                if key not in exact:
                    exact[key] = rationals(target[:, unit])
                exact[key][span] = exact[key][span] + c * rationals(column)
        return _with_exact_columns(on, off, exact)


def _with_exact_columns(
    on: FloatArray, off: FloatArray, exact: dict[tuple[bool, int], ObjectArray]
) -> Slopes:
    """Round the columns that are sums of twins, keeping their exact values where they differ."""
    exact_parts: dict[bool, ObjectArray | None] = {True: None, False: None}
    for (positive, unit), column in exact.items():
        target = on if positive else off
        target[:, unit] = floats(column)
        if any(a != b for a, b in zip(column, rationals(target[:, unit]), strict=True)):
            if exact_parts[positive] is None:
                exact_parts[positive] = rationals(target)
            exact_parts[positive][:, unit] = column  # type: ignore[index]
    for positive in (True, False):
        part = exact_parts[positive]
        if part is not None:
            for (sign, unit), column in exact.items():
                if sign == positive:
                    part[:, unit] = column
    has_off = bool(off.any()) or exact_parts[False] is not None
    return Slopes(on, off if has_off else None, exact_parts[True], exact_parts[False])


def _nonzero(weight: Any) -> bool:
    return bool(weight.nnz if hasattr(weight, "nnz") else weight.any())


__all__ = ["SOURCE", "ZERO", "GroupedNetwork", "Level", "Slopes", "group_network"]
