"""Bounds on the kink of a group by linear programs (docs/theory.md, section 11).

Backward linear bounds lose much over several levels. Where a search takes long, the joint
program itself bounds every unit in turn, level by level, and the jump that arrives there, so that
the programs behind are built with the bounds in front. Only points count where J may still be
below what closes a node. Two programs for each unit begin at the basis of the last one; a bound
that points already seen come close to is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.arithmetic.intervals import SAFETY
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, Activations, JumpProblem, JumpState
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.kink_bounds import Ranges
from jensen.prover.joint.program import JointProgram, JointSolution
from jensen.prover.joint.proof import Path
from jensen.prover.joint.root import decided
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import Deadline

CLOSE = 0.2  # of a unit's range: a bound that is so close to a point seen can hardly be better


class Tightening:
    """Bounds of the units on the kink of one group, on one piece or a part of it.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    jump : JumpProblem
        The group's.
    piece : Piece
    deadline : Deadline
    path : tuple of ((level, unit), on)
        States that hold in the part.
    floor : float
        Points where J is at least this do not count.

    Attributes
    ----------
    lps : int
        Programs solved so far.
    within : JumpState or None
        Where the jumps that arrive at units were found to be.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        jump: JumpProblem,
        piece: Piece,
        deadline: Deadline,
        path: Path = (),
        floor: float = np.inf,
    ) -> None:
        self._net, self._group, self._jump = net, group, jump
        self._piece, self._deadline = piece, deadline
        self._path, self._floor = path, floor
        self.lps = 0
        self.within: JumpState | None = None

    def run(self, ranges: Ranges, within: JumpState | None = None) -> Ranges | None:
        """Return narrower ranges; None if it is proved that no point counts.

        Parameters
        ----------
        ranges : Ranges
            Bounds on the kink.
        within : JumpState, optional
            Where the jumps that arrive at units are known to be.
        """
        found = ranges.copy()
        self.within = within
        for k, level in enumerate(self._net.levels):
            activations = decided(self._net, self._group, found, self._path)
            units = np.flatnonzero(level.kink & (activations[k] == FREE)).tolist()
            units = [u for u in units if (k, u) != self._group]
            if units and not self._narrow_level(k, units, found, activations):
                return None
        return found

    def _narrow_level(
        self, k: int, units: Sequence[int], ranges: Ranges, activations: Activations
    ) -> bool:
        """Bound the free units of a level; False if no point is left."""
        program = JointProgram(
            self._net,
            self._group,
            self._jump,
            self._jump.bound(activations, within=self.within),
            activations,
            ranges,
            self._piece,
            jump_may_change=True,
            path=self._path,
            below=self._floor,
        )
        units = [u for u in units if k in program.forms.needed and program.forms.needed[k][u]]
        if not units:
            return True
        solution = self._solved(program)
        if solution.bound == np.inf:
            return False
        program.keep_primal()
        points = [] if solution.x is None else [solution.x]
        ranges.lower[k], ranges.upper[k] = ranges.lower[k].copy(), ranges.upper[k].copy()
        for u in units:
            form, error = program.forms.forms[k][u], program.forms.errors[k][u]
            for sign, side in ((1.0, ranges.lower[k]), (-1.0, ranges.upper[k])):
                room = CLOSE * (ranges.upper[k][u] - ranges.lower[k][u])
                end = self._raised(program, (sign * form, error), sign * side[u], room, points)
                if end == np.inf:
                    return False
                side[u] = sign * end
            if self._deadline.over():
                break
        return self._narrow_jumps(k, program, points)

    def _narrow_jumps(self, k: int, program: JointProgram, points: list[FloatArray]) -> bool:
        """Bound the jumps that arrive at a level's units, from both sides; False as above."""
        sides = ([*program.state.lower], [*program.state.upper])
        for i, place, jump in program.arriving(k):
            room, error = CLOSE * (jump.upper - jump.lower), SAFETY * jump.error
            for sign, ends in zip((1.0, -1.0), sides, strict=True):
                known = sign * float(ends[i][place])
                end = self._raised(program, (sign * jump.form, error), known, room, points)
                if end == np.inf:
                    return False
                ends[i] = ends[i].copy()
                ends[i][place] = sign * end
            if self._deadline.over():
                break
        self.within = JumpState(tuple(sides[0]), tuple(sides[1]))
        return True

    def _raised(
        self,
        program: JointProgram,
        form: tuple[FloatArray, float],
        known: float,
        room: float,
        points: list[FloatArray],
    ) -> float:
        """Return a lower bound of a form with an error, not below the known one.

        Infinite if no point is left; the known one where a point seen is within the room above it.
        """
        if _least(form[0], points) - known <= room:
            return known
        program.set_objective(form[0])
        solution = self._solved(program)
        if solution.x is not None:
            points.append(solution.x)
        if solution.bound == np.inf:
            return np.inf
        return max(known, float(np.nextafter(solution.bound - form[1], -np.inf)))

    def _solved(self, program: JointProgram) -> JointSolution:
        self.lps += 1
        return program.solve(np.inf, self._deadline)


def _least(form: FloatArray, points: Sequence[FloatArray]) -> float:
    """Return the least value of a form at some points."""
    width = len(form) - 1
    return min((float(form[0] + form[1:] @ x[:width]) for x in points), default=np.inf)
