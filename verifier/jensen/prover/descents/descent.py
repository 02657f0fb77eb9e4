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
from functools import cached_property
from itertools import islice

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.prover.descents.aim import AimedWalk
from jensen.prover.descents.pieces import Piece
from jensen.prover.descents.walk import Walk, WalkNetwork
from jensen.types import FloatArray, IndexArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

BLOCK = 1 << 21  # numbers per level at a time
FIRST = (1, 0.0)  # one point of a group, where J < 0
EARLY = 2  # of such points that are yielded on the way, each time
LOOKED_AT = 16  # points at a time that are evaluated in doubles
ENDS = 8  # of the descents of a group that are remembered
MISSES = 16  # of descents that aim, at a time
MORE_STARTS = 4  # times as many where there is nothing to descend
SHORT = 3  # ends of each group next to its kink, at a time


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
    aims : bool
        Whether to make for the nearest states under which J is negative (:class:`AimedWalk`);
        then tau says how far z is to be behind its kink, and steps have their own length.
    """

    blunt: float
    sharp: float
    step: float
    inertia: float
    aims: bool = False


# nearly all starts are led to the widest of the dips: most needles are seen from afar
WIDE = Schedule(1.0, 0.01, 0.3, 0.0)
# starts end in many places, and a few of them in dips that states so blunt smooth away
FINE = Schedule(0.1, 0.001, 3.0, 0.7)
# starts are near a dip already
NEAR = Schedule(0.3, 0.003, 0.1, 0.0)
# starts may be further away, and needles as narrow as single precision allows
AIMED = Schedule(0.02, 1e-4, 0.0, 0.0, aims=True)


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


@dataclass(frozen=True, eq=False)
class Miss:
    """A pattern under which J is negative, nearly reached: its facet may be there all the same.

    Attributes
    ----------
    missed : float
        How far, in all, units were from their states.
    group : (level, unit)
    pattern : activations
        The group's own unit is free.
    """

    missed: float
    group: Unit
    pattern: Activations


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
        Steps after which points are yielded where J is negative by then.
    walked : WalkNetwork, optional
        The network for walks on these pieces, where it is at hand.
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
        walked: WalkNetwork | None = None,
    ) -> None:
        self._net, self._looks = net, looks
        self._groups, self._ends = groups, ends
        self.misses: list[Miss] | None = None  # where it is a list, it gets some
        self.short: list[Seed] | None = None  # the same: ends next to kinks that all would refute
        self._pieces = pieces
        self._rng = np.random.default_rng(seed)
        self._deadline = deadline
        self._levels = np.array([level for level, _ in groups], dtype=np.intp)
        self._units = np.array([unit for _, unit in groups], dtype=np.intp)
        self._starts = self._jump_starts()
        # where J is a constant, there is nothing to descend
        self._varies = np.zeros(len(groups), dtype=bool)
        for start in self._starts[:-1]:
            if start is not None:
                self._varies |= start.any(axis=1)
        self._fast = WalkNetwork(net, pieces) if walked is None else walked
        self._place = {group: i for i, group in enumerate(groups)}

    def _jump_starts(self) -> list[FloatArray | None]:
        """Return what the jumps of all groups begin with, on every level that reads one of them."""
        found: list[FloatArray | None] = []
        for level in self._net.levels:
            start = np.zeros((len(self._levels), level.size))
            for source, slopes in level.slopes.items():
                here = np.flatnonzero(self._levels == source)
                start[here] = slopes.on[:, self._units[here]].T
                if slopes.off is not None:
                    start[here] -= slopes.off[:, self._units[here]].T
            found.append(start if start.any() else None)
        return found

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

    def around(
        self, seeds: Sequence[Seed], steps: int, schedule: Schedule = NEAR
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """As :meth:`candidates`, from points near which J is low."""
        which = np.array([self._place[seed.group] for seed in seeds], dtype=np.intp)
        chosen = np.array([seed.piece for seed in seeds], dtype=np.intp)
        points = np.array([seed.point for seed in seeds])
        for part in self._parts(len(which)):
            rows = which[part], chosen[part], points[part]
            yield from self._descend(*rows, steps, schedule, FIRST)

    def lowest(
        self,
        starts: int,
        steps: int,
        each: int,
        schedule: Schedule = WIDE,
        below: float = np.inf,
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield groups with points on their kinks, so many of each, per part the lowest J first.

        Those where J is not below a value are left out.
        """
        return self._ordered(starts, steps, schedule, (each, below))

    def _ordered(
        self, starts: int, steps: int, schedule: Schedule, wanted: tuple[int, float]
    ) -> Iterator[tuple[Unit, FloatArray]]:
        # steps to a kink alone cost little, and of many starts some end where ascents get there
        more = 1 if self.short is None else MORE_STARTS
        which = np.repeat(
            np.arange(len(self._groups)), np.where(self._varies, starts, more * starts)
        )
        for part in self._parts(len(which)):
            chosen = np.zeros(len(which[part]), dtype=np.intp)
            if len(self._pieces) > 1:
                chosen = self._rng.permutation(np.arange(len(chosen)) % len(self._pieces))
            lower = np.array([piece.lower for piece in self._pieces])[chosen]
            upper = np.array([piece.upper for piece in self._pieces])[chosen]
            points = lower + self._rng.random(lower.shape) * (upper - lower)
            yield from self._descend(which[part], chosen, points, steps, schedule, wanted)

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
        which: IndexArray,
        chosen: IndexArray,
        points: FloatArray,
        steps: int,
        schedule: Schedule,
        wanted: tuple[int, float],
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend from points in pieces; yield what is found on the way and at the end."""
        order = np.lexsort((self._levels[which], ~self._varies[which]))
        which, chosen, points = which[order], chosen[order], points[order]
        with np.errstate(all="ignore"):
            walk = self._walk(self._fast, which, chosen, points, schedule)
            for _ in range(2):
                walk.to_kink()
            walk.look()
            walk.measure()
        for i in range(steps):
            if self._deadline.over():
                return
            tau = schedule.blunt * (schedule.sharp / schedule.blunt) ** (i / max(steps - 1, 1))
            with np.errstate(all="ignore"):
                walk.step(tau, schedule.step * np.sqrt(tau))
            if i in self._looks:
                early = self._lowest(walk.met, which, chosen, walk.jumps(), FIRST)
                yield from islice(early, EARLY)
        with np.errstate(all="ignore"):
            for _ in range(2):
                walk.to_kink()
            walk.look()
            value = np.where(walk.near(), walk.jumps(), np.inf)
        if self.misses is not None and isinstance(walk, AimedWalk):
            self.misses += self._nearly(walk, which, schedule.sharp)
        if self._ends is not None:
            self._ends += self._lowest_ends(walk, which, value)
        if self.short is not None:
            self.short += self._fallen_short(walk, which)
        yield from self._lowest(walk.points, which, chosen, value, wanted)

    def _walk(
        self,
        net: WalkNetwork,
        which: IndexArray,
        chosen: IndexArray,
        points: FloatArray,
        schedule: Schedule = NEAR,
    ) -> Walk:
        groups = self._levels[which], self._units[which]
        starts = [None if start is None else net.cast(start[which]) for start in self._starts]
        moving = int(self._varies[which].sum())
        parts = (net, self._pieces, chosen, groups, starts, moving, schedule.inertia, points)
        return AimedWalk(*parts, rng=self._rng) if schedule.aims else Walk(*parts)

    def _lowest(
        self,
        points: FloatArray,
        which: IndexArray,
        chosen: IndexArray,
        value: FloatArray,
        wanted: tuple[int, float],
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield groups with points, so many of each and below a value, the lowest first."""
        each, below = wanted
        seen: Counter[int] = Counter()
        rows = []
        for row in np.argsort(value):
            group = int(which[row])
            seen[group] += value[row] < below
            if value[row] < below and seen[group] <= each:
                rows.append(row)
        for first in range(0, len(rows), LOOKED_AT):
            part = np.array(rows[first : first + LOOKED_AT], dtype=np.intp)
            yield from self._in_doubles(points[part], which[part], chosen[part], below)

    @np.errstate(all="ignore")
    def _in_doubles(
        self, points: FloatArray, which: IndexArray, chosen: IndexArray, below: float
    ) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield those of some points that are on their kinks, and J below a value, in doubles."""
        order = np.argsort(self._levels[which], kind="stable")
        which = which[order]
        walk = self._walk(self._exact, which, chosen[order], points[order])
        for _ in range(3):
            walk.to_kink()
        walk.look()
        value = np.where(walk.near(), walk.jumps(), np.inf)
        for row in np.argsort(value, kind="stable"):
            if not value[row] < below:
                return
            yield self._groups[which[row]], walk.points[row]

    def _nearly(self, walk: AimedWalk, which: IndexArray, margin: float) -> Iterator[Miss]:
        """Yield the patterns that were missed least."""
        with np.errstate(all="ignore"):
            nearest = list(walk.nearest(MISSES, margin))
        for row, missed, states in nearest:
            level, unit = self._groups[which[row]]
            pattern = [np.full(here.size, ON, dtype=np.int8) for here in self._net.levels]
            for act, here, on in zip(pattern, self._net.levels, states, strict=False):
                act[here.kink & ~on] = OFF
            pattern[level][unit] = FREE
            yield Miss(missed, (level, unit), tuple(pattern))

    def _fallen_short(self, walk: Walk, which: IndexArray) -> Iterator[Seed]:
        """Yield the ends nearest to their kinks, of groups whose jump is a constant.

        Those that are on them up to rounding have been yielded already, but may miss them.
        """
        rows = np.flatnonzero(~self._varies[which])
        order = rows[np.lexsort((np.abs(walk.own()[rows]), which[rows]))]
        seen: Counter[int] = Counter()
        for row in order.tolist():
            group = int(which[row])
            seen[group] += 1
            if seen[group] <= SHORT:
                point = walk.points[row].astype(float)
                yield Seed(self._groups[group], int(walk.chosen[row]), point)

    @cached_property
    def _exact(self) -> WalkNetwork:
        return WalkNetwork(self._net, self._pieces, single=False)

    def _lowest_ends(self, walk: Walk, which: IndexArray, value: FloatArray) -> Iterator[Seed]:
        """Yield a few ends of each group where J is low, one for each value of J."""
        order = np.lexsort((value, which))
        first = np.ones(len(order), dtype=bool)
        groups, values = which[order], value[order]
        first[1:] = (groups[1:] != groups[:-1]) | (values[1:] != values[:-1])
        seen: Counter[int] = Counter()
        for row in order[first & np.isfinite(values)].tolist():
            group = int(which[row])
            seen[group] += 1
            if seen[group] <= ENDS:
                piece, jump = int(walk.chosen[row]), float(value[row])
                yield Seed(self._groups[group], piece, walk.points[row].astype(float), jump)
