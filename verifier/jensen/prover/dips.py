"""Descents around dips: where J was low before, it may be lower nearby.

Needles that are left in a trained network hardly any random start meets. But descents end in dips
of J, and solutions of joint programs lie where the relaxed J is least: from points strewn around
these, short steps lead on from dip to dip (docs/theory.md, section 11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.prover.descent import FINE, WIDE, Descent, Seed
from jensen.prover.pieces import Piece
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

STEPS, SHORT_STEPS = 40, 20  # of descents from random points, and from nearby
LOOKS = (5, 10, 20)  # steps after which J is looked at on the way
DIPS = 8  # remembered of each group
COPIES = 4  # points that are strewn around each
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
        self._dips: dict[Unit, list[Seed]] = {}

    def glance(self, groups: Sequence[Unit]) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend once for each group; descents that follow are the same without it."""
        descent = Descent(self._net, groups, self._pieces, self._seed, self._deadline, looks=LOOKS)
        return descent.candidates(1, STEPS, WIDE)

    def wide(self, groups: Sequence[Unit], starts: int) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend from random points with blunt states, which lead to dips from afar."""
        return self._descent(groups).candidates(starts, STEPS, WIDE)

    def fine(self, groups: Sequence[Unit], starts: int) -> Iterator[tuple[Unit, FloatArray]]:
        """Descend from random points with sharp states, which end in many dips."""
        return self._descent(groups).candidates(starts, STEPS, FINE)

    def near(
        self, groups: Sequence[Unit], solutions: Sequence[Seed], count: int
    ) -> Iterator[Iterator[tuple[Unit, FloatArray]]]:
        """Descend from solutions and around dips, then from around dips found there, and so on.

        Parameters
        ----------
        groups : sequence of (level, unit)
        solutions : sequence of Seed
            Points where programs of these groups have their optimum.
        count : int
            Of descents.
        """
        seeds = list(solutions)
        while count > 0 and not self._deadline.over():
            self._sort_in()
            seeds += [seed for group in groups for seed in self._strewn(group)]
            if not seeds:
                return
            if len(seeds) > count:
                seeds = [seeds[i] for i in self._rng.permutation(len(seeds))[:count].tolist()]
            yield self._descent(groups).around(seeds, SHORT_STEPS)
            count -= len(seeds)
            seeds = []

    def _descent(self, groups: Sequence[Unit]) -> Descent:
        seed = int(self._rng.integers(2**32))
        return Descent(self._net, groups, self._pieces, seed, self._deadline, self._ends, LOOKS)

    def _sort_in(self) -> None:
        """Remember the lowest ends of each group."""
        for seed in self._ends:
            self._dips.setdefault(seed.group, []).append(seed)
        for group in {seed.group for seed in self._ends}:
            self._dips[group] = sorted(self._dips[group], key=lambda seed: seed.jump)[:DIPS]
        self._ends.clear()

    def _strewn(self, group: Unit) -> Iterator[Seed]:
        """Yield points around the dips of a group."""
        for dip in self._dips.get(group, ()):
            piece = self._pieces[dip.piece]
            sides = piece.upper - piece.lower
            spreads = self._rng.choice(SPREADS, size=(COPIES, 1)) * sides.max(initial=0.0)
            ways = np.where(sides > 0, self._rng.normal(size=(COPIES, len(sides))), 0.0)
            for point in dip.point + spreads * ways:
                yield Seed(group, dip.piece, point)
