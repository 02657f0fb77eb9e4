"""The output's slopes on grouped units as linear functions of the output weights."""

from __future__ import annotations

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import ON, Activations, JumpProblem, JumpState
from jensen.repairs.features import Features
from jensen.types import FloatArray, Unit


class OutputSlopes:
    """On- and off-slopes of the levels that the output reads, per unit of each output weight.

    Twins ``z_i = c_i z_lead`` pass ``c_i w_i`` on where ``c_i > 0``, off where ``c_i < 0``.

    Parameters
    ----------
    features : Features
    net : GroupedNetwork
        Of the same hidden layers.

    Attributes
    ----------
    on, off : dict from level to array (units, output weights)
    """

    def __init__(self, features: Features, net: GroupedNetwork) -> None:
        starts: dict[str, int] = {}
        total = 0
        for block in features.sources:
            starts[block.name] = total
            total += block.size
        self._total = total
        self.on: dict[int, FloatArray] = {}
        self.off: dict[int, FloatArray] = {}
        for k in net.levels[net.output_level].slopes:
            if k < 0:
                continue
            units = net.levels[k].units
            on, off = np.zeros((len(units), total)), np.zeros((len(units), total))
            for u, members in enumerate(units):
                for member in members:
                    if member.block in starts:
                        target = on if member.c > 0 else off
                        target[u, starts[member.block] + member.index] = float(member.c)
            self.on[k], self.off[k] = on, off

    def row(
        self, group: Unit, jump: JumpProblem, state: JumpState, pattern: Activations
    ) -> FloatArray:
        """Return J of a full pattern as a linear function of the output weights.

        Parameters
        ----------
        group : (level, unit)
        jump : JumpProblem
            The group's.
        state : JumpState
            The jump under the pattern.
        pattern : sequence of int8 arrays
        """
        level, unit = group
        row = np.zeros(self._total)
        if level in self.on:
            row += self.on[level][unit] - self.off[level][unit]
        for i, (k, units) in enumerate(jump.supports[:-1]):
            if k in self.on:
                active = (pattern[k][units] == ON)[:, None]
                passed = np.where(active, self.on[k][units], self.off[k][units])
                row += state.lower[i] @ passed
        return row
