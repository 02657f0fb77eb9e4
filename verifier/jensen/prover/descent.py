"""Refute first: descend a smoothed jump along the kinks (docs/theory.md, section 11).

Random points on a kink hardly ever meet what is left of non-convexity in a trained network.
So J_g is made smooth: the state of each unit behind is ``sigmoid(z / (scale tau))``, and
its gradient, projected on the kink, leads to the states that pull J down, while tau goes to
0. All starts of all groups go together, as rows of one matrix. Where J_g is a constant there
is nothing to descend, and the steps back to the kink alone look for a point on it. What
is found are candidates: the crossing is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.pieces import Piece
from jensen.types import FloatArray, IndexArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

BLOCK = 1 << 21  # numbers per level at a time
FIRST = (1, 0.0)  # one point of a group, where J < 0
EARLY = 2  # of such points that are yielded on the way, each time
ENDS = 8  # of the descents of a group that are remembered


@dataclass(frozen=True)
class Schedule:
    """How descents sharpen the states and slow down.

    Attributes
    ----------
    blunt, sharp : float
        The first and the last tau, in units of a unit's typical size of z.
    step : float
        Length of a step, in units of the piece's sides, times the root of tau.
    inertia : float
        Share of the last direction that is kept.
    """

    blunt: float
    sharp: float
    step: float
    inertia: float


# nearly all starts are led to the widest of the dips: most needles are seen from afar
WIDE = Schedule(1.0, 0.01, 0.3, 0.0)
# starts end in many places, and a few of them in dips that states so blunt smooth away
FINE = Schedule(0.1, 0.001, 3.0, 0.7)
# starts are near a dip already
NEAR = Schedule(0.3, 0.003, 0.1, 0.0)


@dataclass(frozen=True, eq=False)
class Seed:
    """Where a descent may begin.

    Attributes
    ----------
    group : (level, unit)
    piece : int
        Number of the piece.
    point : array (dim,)
    jump : float
        J there, where it is known.
    """

    group: Unit
    piece: int
    point: FloatArray
    jump: float = np.inf


class Descent:
    """Descents for some groups of a network.

    Parameters
    ----------
    net : GroupedNetwork
    groups : sequence of (level, unit)
    pieces : sequence of Piece
        Where to start; every point stays in its piece's box.
    seed : int
    deadline : Deadline
        Descents that are under way then find nothing.
    ends : list of Seed, optional
        Gets a few points of each group where J is low.
    looks : sequence of int
        Steps before which points are yielded where J is negative by then.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        groups: Sequence[Unit],
        pieces: Sequence[Piece],
        seed: int,
        deadline: Deadline = NEVER,
        ends: list[Seed] | None = None,
        looks: Sequence[int] = (),
    ) -> None:
        self._net, self._looks = net, looks
        self._groups, self._ends = groups, ends
        self._pieces = pieces
        self._rng = np.random.default_rng(seed)
        self._deadline = deadline
        self._levels = np.array([level for level, _ in groups], dtype=np.intp)
        self._units = np.array([unit for _, unit in groups], dtype=np.intp)
        self._starts: list[FloatArray | None] = []
        for level in net.levels:
            start = np.zeros((len(groups), level.size))
            for i, (source, unit) in enumerate(groups):
                slopes = level.slopes.get(source)
                if slopes is not None:
                    start[i] = slopes.on[:, unit]
                    if slopes.off is not None:
                        start[i] -= slopes.off[:, unit]
            self._starts.append(start if start.any() else None)
        self._place = {group: i for i, group in enumerate(groups)}

    def candidates(
        self, starts: int, steps: int, schedule: Schedule = WIDE
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield groups with points on their kinks where J is negative, the lowest J first.

        Parameters
        ----------
        starts : int
            Random starts of each group.
        steps : int
        schedule : Schedule
        """
        return self._ordered(starts, steps, schedule, FIRST)

    def around(self, seeds: Sequence[Seed], steps: int) -> Iterator[tuple[Unit, FloatArray]]:
        """As :meth:`candidates`, from points near which J is low."""
        which = np.array([self._place[seed.group] for seed in seeds], dtype=np.intp)
        chosen = np.array([seed.piece for seed in seeds], dtype=np.intp)
        points = np.array([seed.point for seed in seeds])
        for part in self._parts(len(which)):
            walk = _Walk(self._net, self._pieces, chosen[part], NEAR.inertia, self._rng)
            walk.points = points[part]
            yield from self._descend(walk, which[part], steps, NEAR, FIRST)

    def lowest(self, starts: int, steps: int, each: int) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield groups with points on their kinks, so many of each, per part the lowest J first."""
        return self._ordered(starts, steps, WIDE, (each, np.inf))

    def _ordered(
        self, starts: int, steps: int, schedule: Schedule, wanted: tuple[int, float]
    ) -> Iterator[tuple[Unit, FloatArray]]:
        which = np.repeat(np.arange(len(self._groups)), starts)
        for part in self._parts(len(which)):
            chosen = np.zeros(len(which[part]), dtype=np.intp)
            if len(self._pieces) > 1:
                chosen = self._rng.permutation(np.arange(len(chosen)) % len(self._pieces))
            walk = _Walk(self._net, self._pieces, chosen, schedule.inertia, self._rng)
            yield from self._descend(walk, which[part], steps, schedule, wanted)

    def _parts(self, count: int) -> Iterator[slice]:
        """Yield slices of so many descents that can go together, while there is time."""
        widest = max(self._net.working_set.dim, *(level.size for level in self._net.levels))
        chunk = max(1, BLOCK // (widest * max(1, len(self._net.levels))))
        for first in range(0, count, chunk):
            if self._deadline.over():
                return
            yield slice(first, first + chunk)

    def _descend(
        self,
        walk: _Walk,
        which: IndexArray,
        steps: int,
        schedule: Schedule,
        wanted: tuple[int, float],
    ) -> Iterator[tuple[Unit, FloatArray]]:
        levels, units = self._levels[which], self._units[which]
        with np.errstate(all="ignore"):
            walk.to_kink(levels, units, 3)
            scales = [np.abs(z).mean(axis=0) + 1e-300 for z in walk.values()]
        for i in range(steps):
            if self._deadline.over():
                return
            if i in self._looks:
                value = self._jumps(walk, which, 1)
                yield from islice(self._lowest(walk, value, which, FIRST), EARLY)
            tau = schedule.blunt * (schedule.sharp / schedule.blunt) ** (i / max(steps - 1, 1))
            with np.errstate(all="ignore"):
                grad = walk.to_kink(levels, units, 1)
                z = walk.values()
                slope = self._jump_gradient(z, which, scales, tau)
                walk.move(z, slope, grad, schedule.step * np.sqrt(tau))
        value = self._jumps(walk, which, 3)
        if self._ends is not None:
            self._ends += self._lowest_ends(walk, which, value)
        yield from self._lowest(walk, value, which, wanted)

    @np.errstate(all="ignore")
    def _jumps(self, walk: _Walk, which: IndexArray, rounds: int) -> FloatArray:
        """Step to the kinks; return the jump of each point's group there, infinite off its kink."""
        walk.to_kink(self._levels[which], self._units[which], rounds)
        z = walk.values()
        states = [np.where(b.kink, v > 0, 1.0) for b, v in zip(self._net.levels, z, strict=True)]
        jumps = self._carry(states, which)[-1]
        if jumps is None:
            return np.full(len(which), np.inf)
        off_kink = np.abs(walk.own(z, self._levels[which], self._units[which]))
        # a candidate is on its kink up to rounding; the exact crossing decides
        near = off_kink <= 1e-7 * np.abs(np.concatenate(z, axis=1)).max(axis=1)
        return np.where(near, jumps[:, 0], np.inf)

    def _lowest(
        self, walk: _Walk, value: FloatArray, which: IndexArray, wanted: tuple[int, float]
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield groups with points, so many of each and below a value, the lowest first."""
        each, below = wanted
        seen: Counter[int] = Counter()
        for row in np.argsort(value):
            if not value[row] < below:
                break
            group = int(which[row])
            seen[group] += 1
            if seen[group] <= each:
                yield self._groups[group], walk.points[row]

    def _lowest_ends(self, walk: _Walk, which: IndexArray, value: FloatArray) -> Iterator[Seed]:
        """Yield a few ends of each group where J is low, one for each value of J."""
        order = np.lexsort((value, which))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(which[order]) != 0) | (np.diff(value[order]) != 0)
        seen: Counter[int] = Counter()
        for row in order[first & np.isfinite(value[order])].tolist():
            group = int(which[row])
            seen[group] += 1
            if seen[group] <= ENDS:
                piece, jump = int(walk.chosen[row]), float(value[row])
                yield Seed(self._groups[group], piece, walk.points[row], jump)

    def _carry(self, states: list[FloatArray], which: IndexArray) -> list[FloatArray | None]:
        """Carry the jumps forward through all levels, under soft states."""
        found: list[FloatArray | None] = []
        for k, level in enumerate(self._net.levels):
            start = self._starts[k]
            total: FloatArray | None = None if start is None else start[which]
            for source, slopes in level.slopes.items():
                arriving = None if source == SOURCE else found[source]
                if arriving is None:
                    continue
                part = (arriving * states[source]) @ slopes.on.T
                if slopes.off is not None:
                    part += (arriving * (1.0 - states[source])) @ slopes.off.T
                total = part if total is None else total + part
            found.append(total)
        return found

    def _jump_gradient(
        self, z: list[FloatArray], which: IndexArray, scales: list[FloatArray], tau: float
    ) -> list[FloatArray | None]:
        """Return the derivative of the smoothed jump by the z of every level."""
        states: list[FloatArray] = []
        for level, values, scale in zip(self._net.levels, z, scales, strict=True):
            soft = 1.0 / (1.0 + np.exp(-np.clip(values / (scale * tau), -40.0, 40.0)))
            states.append(np.where(level.kink, soft, 1.0))
        jumps = self._carry(states, which)
        back: list[FloatArray | None] = [None] * len(z)
        slopes_by_z: list[FloatArray | None] = [None] * len(z)
        back[-1] = np.ones((len(which), 1))
        for k in range(len(z) - 1, 0, -1):
            behind = back[k]
            if behind is None:
                continue
            for source, slopes in self._net.levels[k].slopes.items():
                arriving = None if source == SOURCE else jumps[source]
                if arriving is None:
                    continue
                bend = behind @ slopes.on
                passed = states[source] * bend
                if slopes.off is not None:
                    off = behind @ slopes.off
                    passed += (1.0 - states[source]) * off
                    bend = bend - off
                previous = back[source]
                back[source] = passed if previous is None else previous + passed
                soft = states[source] * (1.0 - states[source])
                part = arriving * bend * soft / (scales[source] * tau)
                earlier = slopes_by_z[source]
                slopes_by_z[source] = part if earlier is None else earlier + part
        return slopes_by_z


class _Walk:
    """Points that move in the boxes of their pieces."""

    def __init__(
        self,
        net: GroupedNetwork,
        pieces: Sequence[Piece],
        chosen: IndexArray,
        inertia: float,
        rng: np.random.Generator,
    ) -> None:
        self._net, self.chosen = net, chosen
        self._lower = np.array([piece.lower for piece in pieces])[chosen]
        self._upper = np.array([piece.upper for piece in pieces])[chosen]
        self._rows, self._limits = pieces[0].rows, pieces[0].limits
        self.points = self._lower + rng.random(self._lower.shape) * (self._upper - self._lower)
        self._side = (self._upper - self._lower).max(axis=1, keepdims=True)
        self._inertia, self._way = inertia, np.zeros_like(self.points)
        self._into_domain()

    def values(self) -> list[FloatArray]:
        """Return z of all levels."""
        return self._net.pre_activations(self.points)

    def own(self, z: list[FloatArray], levels: IndexArray, units: IndexArray) -> FloatArray:
        """Return every point's own group's z."""
        found = np.zeros(len(levels))
        for k in np.unique(levels):
            here = np.flatnonzero(levels == k)
            found[here] = z[k][here, units[here]]
        return found

    def to_kink(self, levels: IndexArray, units: IndexArray, rounds: int) -> FloatArray:
        """Step to z_g = 0 by Newton; return the gradients of z_g."""
        for _ in range(rounds):
            z = self.values()
            seeds: list[FloatArray | None] = [None] * len(z)
            for k in np.unique(levels):
                here = np.flatnonzero(levels == k)
                seed = np.zeros_like(z[k])
                seed[here, units[here]] = 1.0
                seeds[k] = seed
            grad = self._gradient(z, seeds)
            left = self.own(z, levels, units)
            for _ in range(3):
                # coordinates on their way out of the box stay where they are
                way = np.sign(left)[:, None] * grad
                free = np.where(self._stuck(way), 0.0, grad)
                share = left / np.maximum((free * free).sum(axis=1), 1e-300)
                before = self.points
                self.points = np.clip(before - share[:, None] * free, self._lower, self._upper)
                left = left + ((self.points - before) * grad).sum(axis=1)
        return grad

    def move(
        self, z: list[FloatArray], seeds: list[FloatArray | None], normal: FloatArray, step: float
    ) -> None:
        """Go down a function of z along the kinks."""
        way = self._gradient(z, seeds)
        for _ in range(2):
            stuck = self._stuck(way)
            way = np.where(stuck, 0.0, way)
            free = np.where(stuck, 0.0, normal)
            share = (way * free).sum(axis=1) / np.maximum((free * free).sum(axis=1), 1e-300)
            way = way - share[:, None] * free
        size = np.sqrt((way * way).sum(axis=1, keepdims=True))
        unit = way / np.maximum(size, 1e-300)
        self._way = self._inertia * self._way + (1.0 - self._inertia) * unit
        moved = self.points - step * self._side * self._way
        self.points = np.clip(moved, self._lower, self._upper)
        self._into_domain()

    def _stuck(self, way: FloatArray) -> NDArray[np.bool_]:
        stuck: NDArray[np.bool_] = ((self.points <= self._lower) & (way > 0)) | (
            (self.points >= self._upper) & (way < 0)
        )
        return stuck

    def _into_domain(self) -> None:
        """Project on the rows that are violated, one after the other."""
        for row, limit in zip(self._rows, self._limits, strict=True):
            beyond = np.maximum(self.points @ row - limit, 0.0) / max(float(row @ row), 1e-300)
            if beyond.any():
                moved = self.points - beyond[:, None] * row
                self.points = np.clip(moved, self._lower, self._upper)

    def _gradient(self, z: list[FloatArray], seeds: list[FloatArray | None]) -> FloatArray:
        """Return the gradient by the working variables of ``sum seed z``, as the network is."""
        total: FloatArray = np.zeros_like(self.points)
        carried = list(seeds)
        for k in range(len(z) - 1, -1, -1):
            behind = carried[k]
            if behind is None:
                continue
            for source, slopes in self._net.levels[k].slopes.items():
                if source == SOURCE:
                    total += behind @ slopes.on
                    continue
                active = ~self._net.levels[source].kink | (z[source] > 0)
                off = 0.0 if slopes.off is None else behind @ slopes.off
                part = np.where(active, behind @ slopes.on, off)
                earlier = carried[source]
                carried[source] = part if earlier is None else earlier + part
        return total
