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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.kink_walk import KinkWalk
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
            walk = self._walk(which[part], chosen[part], NEAR)
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
            walk = self._walk(which[part], chosen, schedule)
            yield from self._descend(walk, which[part], steps, schedule, wanted)

    def _parts(self, count: int) -> Iterator[slice]:
        """Yield slices of so many descents that can go together, while there is time."""
        widest = max(self._net.working_set.dim, *(level.size for level in self._net.levels))
        chunk = max(1, BLOCK // (widest * max(1, len(self._net.levels))))
        for first in range(0, count, chunk):
            if self._deadline.over():
                return
            yield slice(first, first + chunk)

    def _walk(self, which: IndexArray, chosen: IndexArray, schedule: Schedule) -> KinkWalk:
        owners = self._levels[which], self._units[which]
        return KinkWalk(self._net, self._pieces, chosen, owners, schedule.inertia, self._rng)

    def _descend(
        self,
        walk: KinkWalk,
        which: IndexArray,
        steps: int,
        schedule: Schedule,
        wanted: tuple[int, float],
    ) -> Iterator[tuple[Unit, FloatArray]]:
        starts = [None if start is None else start[which] for start in self._starts]
        with np.errstate(all="ignore"):
            walk.to_kink(3)
            scales = [np.abs(z).mean(axis=0) + 1e-300 for z in walk.values()]
        for i in range(steps):
            if self._deadline.over():
                return
            if i in self._looks:
                value = self._jumps(walk, which, 1)
                yield from islice(self._lowest(walk, value, which, FIRST), EARLY)
            tau = schedule.blunt * (schedule.sharp / schedule.blunt) ** (i / max(steps - 1, 1))
            with np.errstate(all="ignore"):
                z = walk.values()
                slope = self._jump_gradient(z, starts, scales, tau)
                walk.move(z, slope, schedule.step * np.sqrt(tau))
        value = self._jumps(walk, which, 3)
        if self._ends is not None:
            self._ends += self._lowest_ends(walk, which, value)
        yield from self._lowest(walk, value, which, wanted)

    @np.errstate(all="ignore")
    def _jumps(self, walk: KinkWalk, which: IndexArray, rounds: int) -> FloatArray:
        """Step to the kinks; return the jump of each point's group there, infinite off its kink."""
        walk.to_kink(rounds)
        z = walk.values()
        starts = [None if start is None else start[which] for start in self._starts]
        jumps = self._carried(starts, lambda k: np.where(self._net.levels[k].kink, z[k] > 0, 1.0))
        last = jumps[-1][0]
        if last is None:
            return np.full(len(which), np.inf)
        off_kink = np.abs(walk.own(z))
        # a candidate is on its kink up to rounding; the exact crossing decides
        near = off_kink <= 1e-7 * np.abs(np.concatenate(z, axis=1)).max(axis=1)
        return np.where(near, last[:, 0], np.inf)

    def _lowest(
        self, walk: KinkWalk, value: FloatArray, which: IndexArray, wanted: tuple[int, float]
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

    def _lowest_ends(self, walk: KinkWalk, which: IndexArray, value: FloatArray) -> Iterator[Seed]:
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

    def _carried(
        self, starts: Sequence[FloatArray | None], states: Callable[[int], FloatArray]
    ) -> list[tuple[FloatArray | None, FloatArray | None]]:
        """Carry the jumps forward; return what arrives at every level, and its states if any does.

        States are asked for where a jump arrives and nowhere else.
        """
        found: list[tuple[FloatArray | None, FloatArray | None]] = []
        for k, level in enumerate(self._net.levels):
            total = starts[k]
            for source, slopes in level.slopes.items():
                arriving, soft = (None, None) if source == SOURCE else found[source]
                if arriving is None or soft is None:
                    continue
                part = (arriving * soft) @ slopes.on.T
                if slopes.off is not None:
                    part += (arriving * (1.0 - soft)) @ slopes.off.T
                total = part if total is None else total + part
            behind = total is not None and k < self._net.output_level
            found.append((total, states(k) if behind else None))
        return found

    def _jump_gradient(
        self,
        z: list[FloatArray],
        starts: Sequence[FloatArray | None],
        scales: list[FloatArray],
        tau: float,
    ) -> list[FloatArray | None]:
        """Return the derivative of the smoothed jump by the z of every level."""

        def soft_states(k: int) -> FloatArray:
            soft = z[k] * (-1.0 / (scales[k] * tau))
            np.maximum(np.minimum(soft, 40.0, out=soft), -40.0, out=soft)
            np.exp(soft, out=soft)
            soft += 1.0
            np.reciprocal(soft, out=soft)
            kink = self._net.levels[k].kink
            return soft if kink.all() else np.where(kink, soft, 1.0)

        jumps = self._carried(starts, soft_states)
        back: list[FloatArray | None] = [None] * len(z)
        slopes_by_z: list[FloatArray | None] = [None] * len(z)
        back[-1] = np.ones((1, 1))  # the same for all
        for k in range(len(z) - 1, 0, -1):
            behind = back[k]
            if behind is None:
                continue
            for source, slopes in self._net.levels[k].slopes.items():
                arriving, soft = (None, None) if source == SOURCE else jumps[source]
                if arriving is None or soft is None:
                    continue
                bend = behind @ slopes.on
                passed = soft * bend
                if slopes.off is not None:
                    off = behind @ slopes.off
                    passed += (1.0 - soft) * off
                    bend = bend - off
                previous = back[source]
                back[source] = passed if previous is None else previous + passed
                part = soft * (1.0 - soft)
                part *= arriving
                part *= bend / (scales[source] * tau)
                earlier = slopes_by_z[source]
                slopes_by_z[source] = part if earlier is None else earlier + part
        return slopes_by_z
