"""Bounds on the kink of a group by linear programs (docs/theory.md, section 11).

Backward linear bounds lose much over several levels. Where a search takes long, the joint
program itself bounds every unit in turn, level by level, so that the programs behind are
built with the bounds in front. Two programs for each unit begin at the basis of the last one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, Activations, JumpProblem
from jensen.prover.joint_program import JointProgram
from jensen.prover.kink_bounds import Ranges
from jensen.prover.pieces import Piece
from jensen.types import Unit
from jensen_encodings.deadline import Deadline


class Tightening:
    """Bounds of the units on the kink of one group, on one piece.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    jump : JumpProblem
        The group's.
    piece : Piece
    deadline : Deadline

    Attributes
    ----------
    lps : int
        Programs solved so far.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        jump: JumpProblem,
        piece: Piece,
        deadline: Deadline,
    ) -> None:
        self._net, self._group, self._jump = net, group, jump
        self._piece, self._deadline = piece, deadline
        self.lps = 0

    def run(self, ranges: Ranges, decided: Callable[[Ranges], Activations]) -> Ranges | None:
        """Return narrower ranges; None if the kink is proved not to meet the piece.

        Parameters
        ----------
        ranges : Ranges
            Bounds on the kink.
        decided : function
            What ranges decide strictly.
        """
        found = ranges.copy()
        for k, level in enumerate(self._net.levels):
            activations = decided(found)
            units = np.flatnonzero(level.kink & (activations[k] == FREE)).tolist()
            units = [u for u in units if (k, u) != self._group]
            if units and not self._narrow_level(k, units, found, activations):
                return None
        return found

    def _narrow_level(
        self, k: int, units: list[int], ranges: Ranges, activations: Activations
    ) -> bool:
        """Bound the free units of a level; False if the relaxed kink has no point."""
        state = self._jump.bound(activations)
        program = JointProgram(
            self._net,
            self._group,
            self._jump,
            state,
            activations,
            ranges,
            self._piece,
            jump_may_change=True,
        )
        forms = program.forms
        if k not in forms.needed:
            return True
        objective = np.zeros(1 + program.width)
        ranges.lower[k], ranges.upper[k] = ranges.lower[k].copy(), ranges.upper[k].copy()
        for u in units:
            if not forms.needed[k][u]:
                continue
            form, error = forms.forms[k][u], forms.errors[k][u]
            for sign, side in ((1.0, ranges.lower[k]), (-1.0, ranges.upper[k])):
                objective[: len(form)] = sign * form
                program.set_jump(objective)
                self.lps += 1
                bound = program.solve(np.inf, self._deadline).bound
                if bound == np.inf:
                    return False
                least = np.nextafter(bound - error, -np.inf)
                side[u] = sign * max(sign * side[u], least)
            if self._deadline.over():
                break
        return True
