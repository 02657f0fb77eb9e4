"""Descents around dips: where J was low before, it may be lower nearby.

Needles that are left in a trained network hardly any random start meets. But descents end in dips
of J, and solutions of joint programs lie where the relaxed J is least: from points strewn around
these, short steps lead on from dip to dip (docs/theory.md, section 11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.prover.descents.ascent import KinkAscent
from jensen.prover.descents.descent import AIMED, FINE, WIDE, Descent, Miss, Seed
from jensen.prover.descents.pieces import Piece
from jensen.prover.descents.walk import WalkNetwork
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

STEPS, SHORT_STEPS = 40, 24  # of descents from random points, and from nearby
AIMED_STEPS = 32  # of those from nearby that aim, in every other round
LOOKS = (5, 10, 20)  # steps after which J is looked at on the way
DIPS = 12  # remembered of each group
ROUND = 512  # descents at most that begin around dips before the dips they found are used
EVEN = 0.3  # share of them that all groups get alike
TINY = 1e-300
SPREADS = (0.3, 0.15, 0.08, 0.04)  # their distances, in units of the piece's longest side


class Dips:
    """Where descents along the kinks of some groups ended low.

    Parameters
    ----------
    net : GroupedNetwork
    pieces : sequence of Piece
    seed : int
    deadline : Deadline
    """

    def __init__(
        self,
        net: GroupedNetwork,
        pieces: Sequence[Piece],
        seed: int,
        deadline: Deadline = NEVER,
    ) -> None:
        self._net, self._pieces, self._deadline, self._seed = net, pieces, deadline, seed
        self._rng = np.random.default_rng(seed)
        self._ends: list[Seed] = []
        self._misses: list[Miss] = []  # of the last of them
        self._short: list[Seed] = []  # of the wide ones
        self._told: set[tuple[Unit, bytes]] = set()
        self._aims = True  # in the next round of descents from nearby
        self._dips: dict[Unit, list[Seed]] = {}
        self._sides = [piece.upper - piece.lower for piece in pieces]

    def glance(self, groups: Sequence[Unit]) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend once for each group; descents that follow are the same without it."""
        descent = Descent(
            self._net,
            groups,
            self._pieces,
            self._seed,
            self._deadline,
            looks=LOOKS,
            walked=self._walked,
        )
        return descent.candidates(1, STEPS, WIDE)

    def wide(self, groups: Sequence[Unit], starts: int) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend from random points with blunt states, which lead to dips from afar."""
        descent = self._descent(groups)
        descent.short = self._short
        return descent.candidates(starts, STEPS, WIDE)

    def fine(self, groups: Sequence[Unit], starts: int) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend from random points with sharp states, which end in many dips."""
        return self._descent(groups).candidates(starts, STEPS, FINE)

    def near(
        self,
        groups: Sequence[Unit],
        solutions: Sequence[Seed],
        count: int,
        bounds: Mapping[Unit, float] | None = None,
    ) -> Iterator[Iterator[tuple[Unit, FloatArray]]]:
        """Descend from solutions and around dips, then from around dips found there, and so on.

        Parameters
        ----------
        groups : sequence of (level, unit)
        solutions : sequence of Seed
            Points where programs of these groups have their optimum.
        count : int
            Of descents.
        bounds : mapping from (level, unit) to float, optional
            Below 0: of each group's J. Where the lowest J found is close to 0 beside it, most
            descents begin.
        """
        seeds = list(solutions)
        while count > 0 and not self._deadline.over():
            self._sort_in()
            size = min(count, ROUND)
            if len(seeds) > size:
                seeds = [seeds[i] for i in self._rng.permutation(len(seeds))[:size].tolist()]
            seeds += self._strewn(groups, size - len(seeds), bounds or {})
            if not seeds:
                return
            count -= len(seeds)
            descent = self._descent(groups)
            descent.misses = self._misses = []
            if self._aims:
                yield descent.around(seeds, AIMED_STEPS, AIMED)
            else:
                yield descent.around(seeds, SHORT_STEPS)
            self._aims = not self._aims
            seeds = []

    def misses(self, count: int) -> Iterator[Miss]:
        """Yield patterns that the last round missed least, none of them twice."""
        for miss in sorted(self._misses, key=lambda miss: miss.missed):
            key = miss.group, b"".join(part.tobytes() for part in miss.pattern)
            if count and key not in self._told:
                self._told.add(key)
                count -= 1
                yield miss

    def ascended(self) -> Iterator[tuple[Unit, FloatArray]]:
        """Yield points on kinks where J is a constant, from where wide descents ended near them."""
        ascents: dict[tuple[Unit, int], KinkAscent] = {}
        while self._short and not self._deadline.over():
            end = self._short.pop(0)
            key = end.group, end.piece
            if key not in ascents:
                where = self._net, end.group, self._pieces[end.piece], self._deadline
                ascents[key] = KinkAscent(*where)
            point = ascents[key].across(end.point)
            if point is not None:
                yield end.group, point

    def _descent(self, groups: Sequence[Unit]) -> Descent:
        seed = int(self._rng.integers(2**32))
        return Descent(
            self._net,
            groups,
            self._pieces,
            seed,
            self._deadline,
            self._ends,
            LOOKS,
            self._walked,
        )

    @cached_property
    def _walked(self) -> WalkNetwork:
        return WalkNetwork(self._net, self._pieces)

    def _sort_in(self) -> None:
        """Remember the lowest ends of each group."""
        for seed in self._ends:
            self._dips.setdefault(seed.group, []).append(seed)
        for group in {seed.group for seed in self._ends}:
            self._dips[group] = sorted(self._dips[group], key=lambda seed: seed.jump)[:DIPS]
        self._ends.clear()

    def _strewn(
        self, groups: Sequence[Unit], count: int, bounds: Mapping[Unit, float]
    ) -> list[Seed]:
        """Return points around dips, most of them around those of the groups that look best."""
        known = [group for group in groups if self._dips.get(group)]
        if not known or not count:
            return []
        # a dip that reaches down far towards the bound of J is likelier to have deeper ones nearby
        known.sort(
            key=lambda group: self._dips[group][0].jump / -min(bounds.get(group, -1.0), -TINY)
        )
        weights = 1.0 / np.arange(1, len(known) + 1)
        weights = (1.0 - EVEN) * weights / weights.sum() + EVEN / len(known)
        chosen = np.sort(self._rng.choice(len(known), size=count, p=weights)).tolist()
        dips = [self._dips[known[i]] for i in chosen]
        picked = [
            ends[int(share * len(ends))]
            for ends, share in zip(dips, self._rng.random(count), strict=True)
        ]
        sides = np.array([self._sides[dip.piece] for dip in picked])
        spreads = self._rng.choice(SPREADS, size=(count, 1)) * sides.max(axis=1, keepdims=True)
        ways = np.where(sides > 0, self._rng.normal(size=sides.shape), 0.0)
        points = np.array([dip.point for dip in picked]) + spreads * ways
        return [
            Seed(dip.group, dip.piece, point) for dip, point in zip(picked, points, strict=True)
        ]
