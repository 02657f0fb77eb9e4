"""The jumps that arrive at the units of a joint program, as forms over its columns.

A form is a constant and one coefficient for each column (:mod:`jensen.prover.joint.program`): a
free state passes ``a`` times what arrives, which is linear where that is a constant; elsewhere
the product gets a column of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, rounding_factor
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations, JumpProblem, JumpState
from jensen.prover.joint.assembly import Arriving
from jensen.types import FloatArray, IndexArray, Unit


class ArrivingJumps:
    """Forms of the jump that arrives at every support level.

    Parameters
    ----------
    net : GroupedNetwork
    jump : JumpProblem
    state : JumpState
        Intervals of the jump under the activations.
    activations : sequence of int8 arrays
    states : mapping from unit to the column of its a
        They follow the columns of y and h.
    inner : int
        Number of the columns of y and h, which take no part.

    Attributes
    ----------
    forms : list of pairs of arrays
        Per support level the forms, (units, 1 + columns), and bounds of their errors, (units,).
    products : dict from unit to the column of its product
    width : int
        Number of columns with those of the products.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        jump: JumpProblem,
        state: JumpState,
        activations: Activations,
        states: Mapping[Unit, int],
        inner: int,
    ) -> None:
        self._net, self._jump, self._state = net, jump, state
        self.products: dict[Unit, int] = {}
        self.width = inner + len(states)
        self.forms = self._found(activations, states, inner)

    def at(self, unit: Unit) -> Arriving:
        """Return the jump that arrives at a unit."""
        supports = self._jump.supports
        index = next(i for i, (level, _) in enumerate(supports) if level == unit[0])
        p = int(np.flatnonzero(supports[index][1] == unit[1])[0])
        forms, errors = self.forms[index]
        low, high = float(self._state.lower[index][p]), float(self._state.upper[index][p])
        return Arriving(forms[p], float(errors[p]), low, high)

    def _found(
        self, activations: Activations, states: Mapping[Unit, int], inner: int
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Carry the forms from level to level; products get their columns on the way."""
        state_of = _places(self._net, states)
        net, supports, state = self._net, self._jump.supports, self._state
        found: list[tuple[FloatArray, FloatArray]] = []
        products = [np.full(level.size, -1, dtype=np.intp) for level in net.levels]
        place = {k: i for i, (k, _) in enumerate(supports)}
        # at most every state has a product
        most = 1 + self.width + len(states)
        reaches = np.ones(most)
        reaches[: 1 + inner] = 0.0  # y and h take no part
        reaches[0] = 1.0
        for k, units in supports:
            total = np.zeros((len(units), most))
            error = np.zeros(len(units))
            size = np.zeros(len(units))
            terms = 16
            start = self._jump.start(k)
            if start is not None:
                total[:, 0] += start[units]
                size += np.abs(start[units])
            for source, slopes in net.levels[k].slopes.items():
                if source not in place or source == k:
                    continue
                i = place[source]
                columns = supports[i][1]
                on = slopes.on[np.ix_(units, columns)]
                off = (
                    np.zeros_like(on) if slopes.off is None else slopes.off[np.ix_(units, columns)]
                )
                act = np.where(net.levels[source].kink, activations[source], ON)[columns]
                forms, errors = found[i]
                passed = np.where(act == ON, on, off)
                total += passed @ forms
                both = np.abs(on) + np.abs(off)
                reach = np.maximum(np.abs(state.lower[i]), np.abs(state.upper[i]))
                error += both @ errors
                size += 2 * both @ (reach + np.abs(forms) @ reaches)
                terms += 4 * len(columns)
                bend, free = on - off, act == FREE
                made, plain = products[source][columns], state_of[source][columns]
                ours = np.flatnonzero(free & (made >= 0))
                total[:, 1 + made[ours]] += bend[:, ours]
                ours = np.flatnonzero(free & (made < 0) & (plain >= 0))
                total[:, 1 + plain[ours]] += bend[:, ours] * forms[ours, 0]
            error = SAFETY * (error + rounding_factor(terms) * size) + SUBNORMAL * 8 * terms
            with_state = (state_of[k][units] >= 0) & total[:, 1:].any(axis=1)
            for p in np.flatnonzero(with_state).tolist():
                u = int(units[p])
                self.products[k, u] = products[k][u] = self.width
                ends = state.lower[place[k]][p], state.upper[place[k]][p]
                reaches[1 + self.width] = max(abs(ends[0]), abs(ends[1]))
                self.width += 1
            found.append((total, error))
        return [(total[:, : 1 + self.width], error) for total, error in found]


def _places(net: GroupedNetwork, columns: Mapping[Unit, int]) -> list[IndexArray]:
    """Return, per level, the column of every unit, or -1."""
    found = [np.full(level.size, -1, dtype=np.intp) for level in net.levels]
    for (k, u), column in columns.items():
        found[k][u] = column
    return found
