"""Bounds of a group's gradient jump J_g under partial activation patterns (section 3).

The jump starts as the column ``on - off`` of the group and is carried forward through the
units behind it. A unit with fixed activation multiplies by its slope; a free one
contributes the hull of both. Only units that the jump can reach are looked at, and a
branching recomputes only the levels behind the branched unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.exact import dyadic_integers
from jensen.arithmetic.rational import ZERO, float_below, floats
from jensen.groups.groups import GroupedNetwork
from jensen.groups.slopes import Slopes
from jensen.types import FloatArray, ObjectArray

Activations = Sequence[NDArray[np.int8]]
FREE, OFF, ON = -1, 0, 1
UNIT_ROUNDOFF = 2.0**-53
UNDERFLOW_EXPONENT = -900
OVERFLOW_SIZE = 2.0**900
SMALL = 4096  # slopes that are copied to stand side by side, at most


@dataclass(frozen=True, eq=False)
class _Read:
    """What a support reads of some others side by side, split by sign and kind of their units."""

    sources: tuple[int, ...]  # positions in the supports
    plus: FloatArray  # positive part of the on-slopes of one-sided units
    minus: FloatArray
    two_sided: NDArray[np.intp]  # columns with off-slopes
    on: FloatArray  # slopes of the two-sided columns
    off: FloatArray


@dataclass(frozen=True, eq=False)
class _Edge(_Read):
    """Slopes between two supports."""

    size: FloatArray  # |on|, or max(|on|, |off|)
    slopes: Slopes
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @property
    def source(self) -> int:
        return self.sources[0]


@dataclass(frozen=True, eq=False)
class JumpState:
    """Proved intervals of the jump on every support level, rounded outward."""

    lower: tuple[FloatArray, ...]
    upper: tuple[FloatArray, ...]

    @property
    def output(self) -> tuple[float, float]:
        """Proved lower and upper bound of J_g."""
        if not self.lower[-1].size:
            return 0.0, 0.0
        return float(self.lower[-1][0]), float(self.upper[-1][0])


class JumpProblem:
    """The part of the network that the jump of one group can reach.

    Attributes
    ----------
    supports : list of (level, units)
        Levels behind the group with the units reached, the output last.
    magnitude : float
        Bounds ``|J|`` under all patterns.
    step : float
        J is a multiple of it under every full pattern; 0 if none is known. Where weights are
        small integers, J < 0 means that J <= -1.
    """

    def __init__(self, net: GroupedNetwork, level: int, unit: int) -> None:
        self.net = net
        self.group = (level, unit)
        self._start: dict[int, tuple[FloatArray, ObjectArray | None]] = {}
        self.supports: list[tuple[int, NDArray[np.intp]]] = []
        self._edges: list[list[_Edge]] = []
        self._parts: dict[int, Sequence[_Read]] = {}
        self._build(level, unit)
        self.only_rationals = False
        self.magnitude = self.step = 0.0
        self._rounds = not self._doubles_are_exact()

    # ------------------------------------------------------------------ building

    def _build(self, level: int, unit: int) -> None:
        position: dict[int, int] = {}
        for k in range(level + 1, len(self.net.levels)):
            target = self.net.levels[k]
            reached = np.zeros(target.size, dtype=bool)
            if level in target.slopes:
                difference, exact = _start_column(target.slopes[level], unit)
                self._start[k] = (difference, exact)
                reached |= difference != 0
                if exact is not None:
                    reached |= np.array([v != 0 for v in exact], dtype=bool)
            for source in target.slopes:
                if source in position:
                    columns = self.supports[position[source]][1]
                    reached |= _touched(target.slopes[source], columns)
            if reached.any():
                position[k] = len(self.supports)
                self.supports.append((k, np.flatnonzero(reached)))
        out = self.net.output_level
        if out not in position:
            position[out] = len(self.supports)
            self.supports.append((out, np.empty(0, dtype=np.intp)))
        for k, rows in self.supports:
            slopes = self.net.levels[k].slopes
            self._edges.append(
                [
                    _edge(position[s], slopes[s], rows, self.supports[position[s]][1])
                    for s in slopes
                    if s in position and s != k
                ]
            )

    def _doubles_are_exact(self) -> bool:
        """Whether no sum can round: all values are multiples of one unit, below 2**53 of it.

        Also notes whether products could under- or overflow, where only rationals are trusted.
        """
        magnitudes: list[FloatArray] = []
        exponents: list[int] = []
        exact = multiples = True
        for (k, rows), edges in zip(self.supports, self._edges, strict=True):
            magnitude = np.zeros(len(rows))
            exponent = 0
            if k in self._start:
                start, rational_start = self._start[k]
                multiples &= rational_start is None
                magnitude += np.abs(start[rows])
                exponent = min(exponent, dyadic_integers(start[rows])[1])
            for edge in edges:
                multiples &= edge.slopes.is_exact
                magnitude += 2 * (edge.size @ magnitudes[edge.source])
                exponent = min(exponent, edge.slopes.exponent + exponents[edge.source])
            magnitudes.append(magnitude)
            exponents.append(exponent)
            if exponent < UNDERFLOW_EXPONENT or not magnitude.max(initial=0.0) < OVERFLOW_SIZE:
                self.only_rationals = True
            exact &= not magnitude.size or magnitude.max() < 2.0 ** (52 + max(exponent, -1000))
        self.magnitude = float(magnitudes[-1].max(initial=0.0))
        if multiples and exponents[-1] > UNDERFLOW_EXPONENT:
            self.step = 2.0 ** min(exponents[-1], -UNDERFLOW_EXPONENT)
        return exact and multiples

    def start(self, level: int) -> FloatArray | None:
        """Return the jump that arrives at a level's units from the group itself, rounded.

        None if the level does not read the group.
        """
        return self._start[level][0] if level in self._start else None

    # ------------------------------------------------------------------- bounding

    def bound(
        self,
        activations: Activations,
        parent: JumpState | None = None,
        changed: int = -1,
        within: JumpState | None = None,
    ) -> JumpState:
        """Return the intervals of the jump under a partial activation pattern.

        Parameters
        ----------
        activations : sequence of int8 arrays, one per level
            ``ON``, ``OFF`` or ``FREE`` for every unit.
        parent, changed : JumpState and level, optional
            A state that differs in this level's activations only.
        within : JumpState, optional
            What is known besides; the intervals found lie in it.
        """
        lower: list[FloatArray] = []
        upper: list[FloatArray] = []
        for index, (k, rows) in enumerate(self.supports):
            if parent is not None and k <= changed:
                lower.append(parent.lower[index])
                upper.append(parent.upper[index])
                continue
            sums = _Sums(len(rows), self._start[k][0][rows] if k in self._start else None)
            for parts in self._read_by(index):
                read = [self.supports[source] for source in parts.sources]
                act = _joined([activations[level][units] for level, units in read])
                least = _joined([lower[source] for source in parts.sources])
                sums.add(parts, act, least, _joined([upper[source] for source in parts.sources]))
            lo, hi = sums.rounded_outward() if self._rounds else (sums.lower, sums.upper)
            lower.append(lo if within is None else np.maximum(lo, within.lower[index]))
            upper.append(hi if within is None else np.minimum(hi, within.upper[index]))
        return JumpState(tuple(lower), tuple(upper))

    def _read_by(self, index: int) -> Sequence[_Read]:
        """Return what a support reads, in one piece where that is small."""
        if index not in self._parts:
            edges = self._edges[index]
            small = sum(edge.plus.size for edge in edges) <= SMALL
            self._parts[index] = [_side_by_side(edges)] if small and len(edges) > 1 else edges
        return self._parts[index]

    def is_nonnegative(self, state: JumpState, activations: Activations, least: Any) -> bool:
        """Prove ``J_g >= least`` (``fmpq``, <= 0) for all completions of the pattern.

        Floating point decides where it can; where rounding is in the way, rationals do.
        """
        low = state.output[0]
        if not self.only_rationals:
            if low >= -float_below(-least):
                return True
            if not self._rounds or low < -1e-6 * self.magnitude + 2 * float_below(least):
                return False
        return bool(self.exact_bound(activations)[0] >= least)

    def exact_bound(self, activations: Activations) -> tuple[Any, Any]:
        """Return the interval of J_g in rational arithmetic, ``fmpq``."""
        lower: list[ObjectArray] = []
        upper: list[ObjectArray] = []
        for index, (k, rows) in enumerate(self.supports):
            lo = self._exact_start(k)[rows]
            hi = lo.copy()
            for edge in self._edges[index]:
                level, units = self.supports[edge.source]
                _accumulate_exact(
                    edge, activations[level][units], lower[edge.source], upper[edge.source], lo, hi
                )
            lower.append(lo)
            upper.append(hi)
        if not lower[-1].size:
            return ZERO, ZERO
        return lower[-1][0], upper[-1][0]

    def _exact_start(self, k: int) -> ObjectArray:
        size = self.net.levels[k].size
        level, unit = self.group
        slopes = self.net.levels[k].slopes.get(level)
        if slopes is None:
            return np.full(size, ZERO, dtype=object)
        column = slopes.rational_on[:, unit].copy()
        if slopes.rational_off is not None:
            column = column - slopes.rational_off[:, unit]
        return column

    @cached_property
    def slopes_behind(self) -> list[tuple[FloatArray, FloatArray]]:
        """Per support level, float intervals of the output's slope per unit of z.

        All activations free; a heuristic for the choice of the branching unit.
        """
        backward = [(np.zeros(len(rows)), np.zeros(len(rows))) for _, rows in self.supports]
        backward[-1][0][:] = 1.0
        backward[-1][1][:] = 1.0
        for index in range(len(self.supports) - 1, 0, -1):
            lo, hi = backward[index]
            # a free unit passes its slope or (one-sided) nothing
            level, units = self.supports[index]
            free = self.net.levels[level].kink[units]
            lo, hi = np.where(free, np.minimum(lo, 0), lo), np.where(free, np.maximum(hi, 0), hi)
            for edge in self._edges[index]:
                blo, bhi = backward[edge.source]
                blo += edge.plus.T @ lo + edge.minus.T @ hi
                bhi += edge.plus.T @ hi + edge.minus.T @ lo
                if len(edge.two_sided):
                    difference = edge.on - edge.off
                    up, down = np.maximum(difference, 0), np.minimum(difference, 0)
                    blo[edge.two_sided] += up.T @ lo + down.T @ hi
                    bhi[edge.two_sided] += up.T @ hi + down.T @ lo
        return backward


def _start_column(slopes: Slopes, unit: int) -> tuple[FloatArray, ObjectArray | None]:
    """Return ``on - off`` of a unit, with its exact value where the double is rounded."""
    on = slopes.on[:, unit]
    if slopes.off is None and slopes.is_exact:
        return on.copy(), None
    if slopes.is_exact and slopes.off is not None and not slopes.off[:, unit].any():
        return on.copy(), None
    exact = slopes.rational_on[:, unit].copy()
    if slopes.rational_off is not None:
        exact = exact - slopes.rational_off[:, unit]
    rounded = floats(exact)
    return rounded, exact


def _touched(slopes: Slopes, columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    touched: NDArray[np.bool_] = (slopes.on[:, columns] != 0).any(axis=1)
    if slopes.off is not None:
        touched |= (slopes.off[:, columns] != 0).any(axis=1)
    return touched


def _edge(source: int, slopes: Slopes, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> _Edge:
    two_sided = np.flatnonzero(slopes.two_sided[columns])
    if not len(two_sided) and slopes.on.shape == (len(rows), len(columns)):
        # a dense network: all groups share the parts of the whole matrix
        none = np.empty((len(rows), 0))
        parts = (slopes.plus, slopes.minus, two_sided, none, none)
        return _Edge((source,), *parts, slopes.size, slopes, rows, columns)
    block = np.ix_(rows, columns)
    on, size = slopes.on[block], slopes.size[block]
    off = np.empty((len(rows), 0)) if slopes.off is None else slopes.off[block][:, two_sided]
    on_two = on[:, two_sided]
    on[:, two_sided] = 0.0
    plus, minus = np.maximum(on, 0), np.minimum(on, 0)
    return _Edge((source,), plus, minus, two_sided, on_two, off, size, slopes, rows, columns)


def _side_by_side(edges: Sequence[_Edge]) -> _Read:
    sizes = [edge.plus.shape[1] for edge in edges]
    first = (np.cumsum(sizes) - sizes).tolist()
    parts = (
        (e.plus, e.minus, e.two_sided + at, e.on, e.off) for e, at in zip(edges, first, strict=True)
    )
    sources = tuple(edge.source for edge in edges)
    return _Read(sources, *(_joined(part) for part in zip(*parts, strict=True)))


def _joined(arrays: Sequence[Any]) -> Any:
    """Return arrays behind one another along their last axis; one is returned as it is."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=-1)


class _Sums:
    """Interval sums over the sources of one level, with the size of their terms."""

    def __init__(self, size: int, start: FloatArray | None) -> None:
        self.lower = np.zeros(size) if start is None else start.copy()
        self.upper = self.lower.copy()
        self._terms = 1
        self._lower_size = np.abs(self.lower)
        self._upper_size = np.abs(self.lower)

    def add(
        self, parts: _Read, act: NDArray[np.int8], lower: FloatArray, upper: FloatArray
    ) -> None:
        """Add the contributions of what is read."""
        low = np.where(act == FREE, np.minimum(lower, 0), np.where(act == ON, lower, 0.0))
        high = np.where(act == FREE, np.maximum(upper, 0), np.where(act == ON, upper, 0.0))
        self.lower += parts.plus @ low + parts.minus @ high
        self.upper += parts.plus @ high + parts.minus @ low
        low_size, high_size = np.abs(low), np.abs(high)
        self._lower_size += parts.plus @ low_size - parts.minus @ high_size
        self._upper_size += parts.plus @ high_size - parts.minus @ low_size
        self._terms += len(low) + 2
        if len(parts.two_sided):
            act, ul, uu = act[parts.two_sided], lower[parts.two_sided], upper[parts.two_sided]
            on = np.where(act == OFF, parts.off, parts.on)
            off = np.where(act == ON, parts.on, parts.off)
            products = np.stack([on * ul, on * uu, off * ul, off * uu])
            least, most = products.min(axis=0), products.max(axis=0)
            self.lower += least.sum(axis=1)
            self.upper += most.sum(axis=1)
            self._lower_size += np.abs(least).sum(axis=1)
            self._upper_size += np.abs(most).sum(axis=1)

    def rounded_outward(self) -> tuple[FloatArray, FloatArray]:
        """Return the sums moved outward by a bound of their rounding error."""
        gamma = 2.2 * UNIT_ROUNDOFF * (self._terms + 6)
        return self.lower - gamma * self._lower_size, self.upper + gamma * self._upper_size


def _accumulate_exact(
    edge: _Edge,
    act: NDArray[np.int8],
    lower: ObjectArray,
    upper: ObjectArray,
    lo: ObjectArray,
    hi: ObjectArray,
) -> None:
    on_all = edge.slopes.rational_on
    off_all = edge.slopes.rational_off
    for c, column in enumerate(edge.columns):
        ends = (lower[c],) if lower[c] == upper[c] else (lower[c], upper[c])
        if len(ends) == 1 and ends[0] == 0:
            continue
        for r, row in enumerate(edge.rows):
            on = on_all[row, column]
            off = ZERO if off_all is None else off_all[row, column]
            slopes = (on,) if act[c] == ON else (off,) if act[c] == OFF else (on, off)
            products = [s * u for s in slopes for u in ends]
            lo[r] += min(products)
            hi[r] += max(products)
