"""Which unit a joint program branches on (docs/theory.md, section 11).

States come before values. Of the states that the solution leaves undecided the one with the
largest ``w sqrt(min(a, 1 - a))`` is taken, where w is how much the state can move J: what
decides the size of the tree is w, and a state near 0 or 1 is nearly as good as one in the
middle.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import JumpProblem, JumpState
from jensen.prover.joint_forms import JointForms
from jensen.types import BoolArray, FloatArray, Unit

FRACTION = 1e-7  # distance from 0 and 1, times weight, below which a state counts as decided
GAP = 1e-9  # the same for the distance of h from relu(z)


@dataclass(frozen=True)
class Choice:
    """A unit to branch on.

    Attributes
    ----------
    unit : (level, unit)
    on : bool
        The state that the solution is closer to.
    real : bool
        The state that the unit has at the solution's point.
    gain : float
        By how much J at the solution grows when the state is the real one.
    is_state : bool
        Whether it is the state that is undecided, not the value.
    """

    unit: Unit
    on: bool
    real: bool
    gain: float
    is_state: bool


class Branching:
    """The units of one joint program, with weights.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    jump : JumpProblem
    state : JumpState
        Intervals of the jump under what the piece decides.
    forms : JointForms
    states : mapping from unit to the column of its a
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        jump: JumpProblem,
        state: JumpState,
        forms: JointForms,
        states: Mapping[Unit, int],
    ) -> None:
        self._net, self._group, self._forms = net, group, forms
        self._states, self._values = list(states), list(forms.h)
        self._columns = np.array(list(states.values()), dtype=np.intp)
        self._value_columns = np.array(list(forms.h.values()), dtype=np.intp)
        self._z, self._value_z = self._stacked(self._states), self._stacked(self._values)
        self._weights = self._pulls(jump, state)
        self._scale = float(self._weights.max(initial=0.0)) or 1.0
        self._value_weights = self._needs()

    def reweigh(self, weights: Mapping[Unit, float]) -> None:
        """Replace the weights of some states; the others keep theirs, on the scale they have."""
        most = max(weights.values(), default=0.0)
        if most:
            for i, unit in enumerate(self._states):
                if unit in weights:
                    self._weights[i] = weights[unit] * self._scale / most

    def choose(self, x: FloatArray, fixed: Container[Unit]) -> Choice | None:
        """Return the unit whose relaxation matters most at a solution.

        None if the solution satisfies everything exactly, up to tolerance.
        """
        share = x[self._columns]
        miss = np.minimum(share, 1.0 - share)
        undecided = _free(self._states, fixed)
        undecided &= self._weights * miss > FRACTION * self._scale
        if undecided.any():
            i = int(np.argmax(np.where(undecided, self._weights**2 * miss, -1.0)))
            real = bool(self._at(self._z[i], x) > 0)
            gain = float(self._weights[i] * abs(real - share[i]))
            return Choice(self._states[i], bool(share[i] >= 0.5), real, gain, is_state=True)
        z = self._at(self._value_z, x)
        gap = np.abs(x[self._value_columns] - np.maximum(z, 0.0)) * self._value_weights
        gap = np.where(_free(self._values, fixed), gap, 0.0)
        if gap.max(initial=0.0) <= GAP * self._scale:
            return None
        i = int(np.argmax(gap))
        return Choice(self._values[i], bool(z[i] > 0), bool(z[i] > 0), 0.0, is_state=False)

    def _at(self, forms: FloatArray, x: FloatArray) -> FloatArray:
        z: FloatArray = forms[..., 0] + forms[..., 1:] @ x[: self._forms.width]
        return z

    def _stacked(self, units: Sequence[Unit]) -> FloatArray:
        found = np.zeros((len(units), 1 + self._forms.width))
        for i, (k, u) in enumerate(units):
            found[i] = self._forms.forms[k][u]
        return found

    def _pulls(self, jump: JumpProblem, state: JumpState) -> FloatArray:
        """Return how much each state can move J."""
        pull, weights = jump.slopes_behind, dict.fromkeys(self._states, 0.0)
        for i, (k, units) in enumerate(jump.supports[:-1]):
            low, high = pull[i]
            reach = np.maximum(np.abs(state.lower[i]), np.abs(state.upper[i]))
            moved = reach * np.maximum(np.abs(low), np.abs(high))
            for p, u in enumerate(units.tolist()):
                if (k, u) in weights:
                    weights[k, u] = float(moved[p])
        return np.array(list(weights.values()))

    def _needs(self) -> FloatArray:
        """Return how much of the weight depends on each value."""
        needs = {k: np.zeros(self._net.levels[k].size) for k in self._forms.needed}
        for (k, u), weight in zip(self._states, self._weights, strict=True):
            needs[k][u] += weight
        needs[self._group[0]][self._group[1]] += self._scale
        for k in sorted(needs, reverse=True):
            for source, slopes in self._net.levels[k].slopes.items():
                if source in needs:
                    needs[source] += needs[k] @ slopes.size
        return np.array([needs[k][u] for k, u in self._values])


def _free(units: Sequence[Unit], fixed: Container[Unit]) -> BoolArray:
    return np.array([unit not in fixed for unit in units], dtype=bool)
