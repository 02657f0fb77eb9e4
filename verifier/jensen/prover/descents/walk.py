"""Points that move along the kinks of their groups, all at once (docs/theory.md, section 11).

One step costs one pass forward and one backward: at the points as they are, each group's z and
its gradient, and the gradient of the smoothed jump. From these follow a step of Newton back to
the kink and one along it. Rows are sorted, so that groups of one level lie side by side, and
those whose jump is a constant come last: nothing leads them along their kink.

Points are single precision, half the work of doubles, unless the network is small, or the network
or the domain of scales that these do not hold. What is found is looked at in doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.descents.pieces import Piece
from jensen.types import FloatArray, IndexArray

FEW = 16  # units that doubles carry as fast
SINGLE = (1e-12, 1e12)  # sizes of weights and bounds that single precision may take
THIN = 1e-3  # of its distance from the origin: sides that are too short for single precision
TINY = 1e-37
FAR = 40.0  # a unit that is off by more still pulls as at this distance
NEAR = {np.float32: 1e-4, np.float64: 1e-7}  # of the largest |z|


@dataclass(frozen=True, eq=False)
class _Read:
    """The slopes of a level over one that it reads, laid out for both directions."""

    source: int
    on: FloatArray  # (units, read)
    on_t: FloatArray
    off: FloatArray | None
    off_t: FloatArray | None


@dataclass(frozen=True, eq=False)
class _Layer:
    reads: tuple[_Read, ...]
    bias: FloatArray
    linear: FloatArray | None  # which units do not kink, None if all do


class WalkNetwork:
    """The slopes of a network as walks need them.

    Parameters
    ----------
    net : GroupedNetwork
    pieces : sequence of Piece
        Where points move.
    single : bool
        Whether single precision will do, where it holds all scales.
    """

    def __init__(
        self, net: GroupedNetwork, pieces: Sequence[Piece], *, single: bool = True
    ) -> None:
        self.dtype: Any = np.float32 if single and _single(net, pieces) else np.float64
        self.layers = [self._layer(level) for level in net.levels]

    def _layer(self, level: Any) -> _Layer:
        reads = []
        for source, slopes in level.slopes.items():
            on, off = self.cast(slopes.on), None if slopes.off is None else self.cast(slopes.off)
            off_t = None if off is None else np.ascontiguousarray(off.T)
            reads.append(_Read(source, on, np.ascontiguousarray(on.T), off, off_t))
        linear = None if level.kink.all() else ~level.kink
        return _Layer(tuple(reads), self.cast(level.bias), linear)

    def cast(self, array: FloatArray) -> FloatArray:
        """Return numbers in the precision of the walks."""
        return np.ascontiguousarray(array, dtype=self.dtype)


def _single(net: GroupedNetwork, pieces: Sequence[Piece]) -> bool:
    """Whether single precision is faster, and holds all scales."""
    if sum(level.size for level in net.levels) <= FEW:
        return False
    sizes = [np.abs(slopes.on) for level in net.levels for slopes in level.slopes.values()]
    sizes += [np.maximum(-level.lower, level.upper) for level in net.levels]
    most = np.concatenate([np.atleast_1d(size.max(axis=-1, initial=0.0)) for size in sizes])
    if not ((most < SINGLE[1]) & ((most > SINGLE[0]) | (most == 0))).all():
        return False
    return all(
        bool(np.all((piece.radius == 0) | (piece.radius >= THIN * piece.reach)))
        and float(piece.reach.max(initial=0.0)) < SINGLE[1]
        for piece in pieces
    )


class Walk:
    """Rows of points, each with a group to whose kink it keeps.

    Parameters
    ----------
    net : WalkNetwork
    pieces : sequence of Piece
    chosen : int array (rows,)
        The piece of each row.
    groups : tuple of int arrays (rows,)
        Level and unit of each row's group, rows sorted by constant and level.
    starts : sequence of arrays (rows, units) or None
        What the jump of each row's group begins with, on every level; None where all are 0.
    moving : int
        So many rows, the first ones, have a jump that varies.
    inertia : float
        Share of the last direction that is kept.
    points : array (rows, dim)
    """

    def __init__(
        self,
        net: WalkNetwork,
        pieces: Sequence[Piece],
        chosen: IndexArray,
        groups: tuple[IndexArray, IndexArray],
        starts: Sequence[FloatArray | None],
        moving: int,
        inertia: float,
        points: FloatArray,
    ) -> None:
        self._net, self.chosen, self._moving = net, chosen, moving
        one = len(pieces) == 1
        rows = slice(0, 1) if one else chosen
        self._lower = net.cast(np.array([piece.lower for piece in pieces])[rows])
        self._upper = net.cast(np.array([piece.upper for piece in pieces])[rows])
        self._rows, self._limits = net.cast(pieces[0].rows), net.cast(pieces[0].limits)
        self._side = (self._upper - self._lower).max(axis=1, keepdims=True, initial=0.0)
        self._starts, self._inertia = starts, inertia
        self._blocks = _blocks(*groups)
        self.points = np.clip(net.cast(points), self._lower, self._upper)
        self._way: FloatArray | None = None
        self._into_domain()
        self._z: list[FloatArray] = []
        self._on: list[FloatArray] = []
        self._scales: list[FloatArray] = []

    # -------------------------------------------------------------------- the network

    def look(self) -> None:
        """Evaluate the network, but for its output, at the points."""
        self._z, self._on = [], []
        active: list[FloatArray] = []
        for layer in self._net.layers[:-1]:
            z = np.empty((len(self.points), len(layer.bias)), dtype=self._net.dtype)
            z[:] = layer.bias
            for read in layer.reads:
                if read.source == SOURCE:
                    z += self.points @ read.on_t
                    continue
                h = active[read.source]
                z += h @ read.on_t
                if read.off_t is not None:
                    z += (self._z[read.source] - h) @ read.off_t
            h = np.maximum(z, 0.0)
            on = (z > 0).astype(self._net.dtype)
            if layer.linear is not None:
                h[:, layer.linear] = z[:, layer.linear]
                on[:, layer.linear] = 1.0
            self._z.append(z)
            self._on.append(on)
            active.append(h)

    def measure(self) -> None:
        """Take the sizes of z at the points for the scales of the states."""
        self._scales = [np.abs(z).mean(axis=0) + TINY for z in self._z]

    def near(self) -> NDArray[np.bool_]:
        """Return which points are on their kinks up to rounding; the exact crossing decides."""
        largest = np.max([np.abs(z).max(axis=1, initial=0.0) for z in self._z], axis=0)
        found: NDArray[np.bool_] = np.abs(self.own()) <= NEAR[self._net.dtype] * largest
        return found

    def own(self) -> FloatArray:
        """Return z of each row's group."""
        found = np.zeros(len(self.points), dtype=self._net.dtype)
        for level, rows, units in self._blocks:
            found[rows] = self._z[level][np.arange(rows.start, rows.stop), units]
        return found

    def _normals(self) -> FloatArray:
        """Return the gradient of z of each row's group."""
        found = np.zeros_like(self.points)
        for level, rows, units in self._blocks:
            carried: list[FloatArray | None] = [None] * level
            self._pass_back(level, None, units, carried, found[rows], rows)
            self._go_back(level - 1, carried, found[rows], rows)
        return found

    def _go_back(
        self, first: int, carried: list[FloatArray | None], total: FloatArray, rows: slice
    ) -> None:
        """Add to the total what slopes by z of the levels mean by the points."""
        for k in range(first, -1, -1):
            if carried[k] is not None:
                self._pass_back(k, carried[k], None, carried, total, rows)

    def _pass_back(
        self,
        level: int,
        behind: FloatArray | None,
        units: IndexArray | None,
        carried: list[FloatArray | None],
        total: FloatArray,
        rows: slice,
    ) -> None:
        """Pass slopes by z of a level, or its units' own, on to what it reads."""
        for read in self._net.layers[level].reads:
            on = read.on[units] if behind is None else behind @ read.on
            if read.source == SOURCE:
                total += on
                continue
            part = on * self._on[read.source][rows]
            if read.off is not None:
                off = read.off[units] if behind is None else behind @ read.off
                part += off * (1.0 - self._on[read.source][rows])
            earlier = carried[read.source]
            carried[read.source] = part if earlier is None else earlier + part

    # ----------------------------------------------------------------------- the jump

    def jumps(self) -> FloatArray:
        """Return the jump of each row's group under the states at the points."""
        last = self._carried(self._on, slice(None))[-1]
        if last is None:
            return np.full(len(self.points), np.inf)
        return last[:, 0]

    def _carried(self, states: Sequence[FloatArray], rows: slice) -> list[FloatArray | None]:
        """Carry the jumps forward through all levels, under soft states."""
        found: list[FloatArray | None] = []
        for layer, start in zip(self._net.layers, self._starts, strict=True):
            total = None if start is None else start[rows]
            for read in layer.reads:
                arriving = None if read.source == SOURCE else found[read.source]
                if arriving is None:
                    continue
                passed = arriving * states[read.source]
                part = passed @ read.on_t
                if read.off_t is not None:
                    part += (arriving - passed) @ read.off_t
                total = part if total is None else total + part
            found.append(total)
        return found

    def _descent(self, tau: float) -> FloatArray:
        """Return the gradient of the smoothed jump, for the rows where it varies."""
        rows = slice(0, self._moving)
        states, bends = [], []
        for z, scale, layer in zip(self._z, self._scales, self._net.layers, strict=False):
            sharp = (1.0 / (scale * tau)).astype(self._net.dtype)
            state = 1.0 / (1.0 + np.exp(-np.maximum(z[rows] * sharp, -FAR)))
            bend = state * (1.0 - state) * sharp
            if layer.linear is not None:
                state[:, layer.linear], bend[:, layer.linear] = 1.0, 0.0
            states.append(state)
            bends.append(bend)
        _, slopes = self._jump_slopes(states, rows)
        slopes = [
            None if slope is None else slope * bend
            for slope, bend in zip(slopes, bends, strict=True)
        ]
        total = np.zeros((self._moving, self.points.shape[1]), dtype=self._net.dtype)
        self._go_back(len(slopes) - 1, slopes, total, rows)
        return total

    def _jump_slopes(
        self, states: Sequence[FloatArray], rows: slice
    ) -> tuple[FloatArray, list[FloatArray | None]]:
        """Return the jumps under soft states, and their slopes by the states of each level."""
        jumps = self._carried(states, rows)
        back: list[FloatArray | None] = [None] * len(jumps)
        slopes: list[FloatArray | None] = [None] * (len(jumps) - 1)
        back[-1] = np.ones((1, 1), dtype=self._net.dtype)
        for k in range(len(jumps) - 1, 0, -1):
            behind = back[k]
            if behind is None:
                continue
            for read in self._net.layers[k].reads:
                source = read.source
                arriving = None if source == SOURCE else jumps[source]
                if arriving is None:
                    continue
                bend = behind @ read.on
                passed = states[source] * bend
                if read.off is not None:
                    off = behind @ read.off
                    passed += (1.0 - states[source]) * off
                    bend = bend - off
                previous = back[source]
                back[source] = passed if previous is None else previous + passed
                part = arriving * bend
                earlier = slopes[source]
                slopes[source] = part if earlier is None else earlier + part
        last = jumps[-1]
        whole = np.zeros(rows.stop, dtype=self._net.dtype) if last is None else last[:, 0]
        return whole, slopes

    # --------------------------------------------------------------------------- steps

    def to_kink(self, rounds: int = 3) -> FloatArray:
        """Evaluate the network and step to z_g = 0 by Newton; return the gradients of z_g.

        Each round goes as far as the box lets it.
        """
        self.look()
        normals = self._normals()
        left = self.own()
        for _ in range(rounds):
            # coordinates on their way out of the box stay where they are
            free = normals * self._loose(left[:, None] * normals)
            share = left / np.maximum(dot(free, free), TINY)
            before = self.points
            self.points = np.clip(before - share[:, None] * free, self._lower, self._upper)
            left = left + dot(self.points - before, normals)
        return normals

    def step(self, tau: float, length: float) -> None:
        """Go back to the kinks, and down the smoothed jump along them."""
        normals = self.to_kink(1)
        self.points, self.met = self.points.copy(), self.points
        n = self._moving
        if not n:
            return
        way = self._descent(tau)
        way /= np.maximum(np.abs(way).max(axis=1, initial=0.0), TINY)[:, None]
        way = self._along(way, normals[:n])
        size = np.sqrt(dot(way, way))
        way = way / np.maximum(size, TINY)[:, None]
        if self._inertia:
            way *= 1.0 - self._inertia
            if self._way is not None:
                way += self._inertia * self._way
            self._way = way
        lower, upper, side = self._lower, self._upper, self._side
        if len(side) > 1:
            lower, upper, side = lower[:n], upper[:n], side[:n]
        self.points[:n] = np.clip(self.points[:n] - length * side * way, lower, upper)
        self._into_domain()

    def _along(self, way: FloatArray, normal: FloatArray) -> FloatArray:
        """Return the part of a way down that stays in the box and on the kink."""
        loose = self._loose(way)
        free, way = normal * loose, way * loose
        way -= (dot(way, free) / np.maximum(dot(free, free), TINY))[:, None] * free
        return way

    def _loose(self, way: FloatArray) -> FloatArray:
        """Return 0 for the coordinates that a way down leads out of the box, else 1."""
        points, lower, upper = self.points[: len(way)], self._lower, self._upper
        if len(lower) > 1:
            lower, upper = lower[: len(way)], upper[: len(way)]
        stuck = ((points <= lower) & (way > 0)) | ((points >= upper) & (way < 0))
        return (~stuck).astype(self._net.dtype)

    def _into_domain(self) -> None:
        """Project on the rows that are violated, one after the other."""
        for row, limit in zip(self._rows, self._limits, strict=True):
            beyond = np.maximum(self.points @ row - limit, 0.0) / max(float(row @ row), TINY)
            if beyond.any():
                moved = self.points - beyond[:, None] * row
                self.points = np.clip(moved, self._lower, self._upper)


def _blocks(levels: IndexArray, units: IndexArray) -> list[tuple[int, slice, IndexArray]]:
    """Return runs of rows whose groups are of one level."""
    ends = np.flatnonzero(np.diff(levels)) + 1
    found = []
    for first, last in zip([0, *ends.tolist()], [*ends.tolist(), len(levels)], strict=True):
        if last > first:
            found.append((int(levels[first]), slice(first, last), units[first:last]))
    return found


def dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the inner products of rows."""
    found: FloatArray = np.einsum("ij,ij->i", a, b)
    return found
