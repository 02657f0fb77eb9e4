"""Which unit a joint program branches on (docs/theory.md, section 11).

States come before values. Of the states that the solution leaves undecided the one with the
largest ``w sqrt(min(a, 1 - a))`` is taken, where w is how much the state can move J: what
decides the size of the tree is w, and a state near 0 or 1 is nearly as good as one in the
middle.

Where no state is undecided, some units have a state at the solution, or z_g = 0, that the network
itself does not have at that point: the relaxed values h above relu(z) make up for it. The one that
makes up for most is taken. Other values may be as far off, but nothing rests on them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import JumpProblem, JumpState
from jensen.prover.joint.forms import JointForms
from jensen.prover.joint.kink_bounds import Ranges
from jensen.prover.joint.proof import Path
from jensen.types import BoolArray, FloatArray, Unit

FRACTION = 1e-7  # distance from 0 and 1, times weight, below which a state counts as decided
GAP = 1e-9  # the same for the distance of h from relu(z)
LEAST = 1e-12  # units whose |z| stays below this share of the largest are no finer judged
UNMET = 1e-6  # of the largest |z| on the kink: by so much the network misses a state


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
    ranges : Ranges
        Bounds on the kink.
    path : tuple of ((level, unit), on)
        States that hold.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        jump: JumpProblem,
        state: JumpState,
        forms: JointForms,
        states: Mapping[Unit, int],
        ranges: Ranges,
        path: Path,
    ) -> None:
        self._net, self._group, self._forms, self._ranges = net, group, forms, ranges
        self._given = [unit for unit, _ in path]
        self._given_signs = np.array([1.0 if on else -1.0 for _, on in path])
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
        gap = np.abs(x[self._value_columns] - np.maximum(z, 0.0))
        gap = np.where(_free(self._values, fixed), gap, 0.0)
        missed = gap * self._value_weights
        if missed.max(initial=0.0) <= GAP * self._scale:
            return None
        made_up = np.where(missed > GAP * self._scale, gap * self._support(x, z), 0.0)
        i = int(np.argmax(made_up if made_up.any() else missed))
        return Choice(self._values[i], bool(z[i] > 0), bool(z[i] > 0), 0.0, is_state=False)

    def _at(self, forms: FloatArray, x: FloatArray) -> FloatArray:
        z: FloatArray = forms[..., 0] + forms[..., 1:] @ x[: self._forms.width]
        return z

    def _stacked(self, units: Sequence[Unit]) -> FloatArray:
        found = np.zeros((len(units), 1 + self._forms.width))
        for i, (k, u) in enumerate(units):
            found[i] = self._forms.forms[k][u]
        return found

    def _support(self, x: FloatArray, z: FloatArray) -> FloatArray:
        """Return how much a value above relu(z) helps the states that the network has not.

        Parameters
        ----------
        x : array (columns,)
            A solution.
        z : array (values,)
            What the units with an h have there.
        """
        judged, forms, reach = self._judged
        true = self._net.pre_activations(x[: self._forms.dim])
        found = np.array([true[k][u] for k, u in judged])
        states = np.where(x[self._columns] >= 0.5, 1.0, -1.0)
        wanted = np.concatenate([states, self._given_signs, [-np.sign(found[-1])]])
        missed = -wanted * found > UNMET * reach
        pull: FloatArray = (missed * wanted / reach) @ forms
        # h of deeper levels passes on what it helps by: along the line above it, or as it is below
        for k in sorted({k for k, _ in self._values if k}, reverse=True):
            here = np.flatnonzero([level == k for level, _ in self._values])
            units = [self._values[i][1] for i in here]
            low, high = self._ranges.lower[k][units], self._ranges.upper[k][units]
            helps = pull[1 + self._value_columns[here]]
            slope = np.where(helps > 0, high / (high - low), z[here] > 0)
            pull = pull + (helps * slope) @ self._value_z[here]
        return np.maximum(pull[1 + self._value_columns], 0.0)

    @cached_property
    def _judged(self) -> tuple[list[Unit], FloatArray, FloatArray]:
        """Units whose z decides, with their forms and the largest ``|z|``, nowhere 0."""
        units = [*self._states, *self._given, self._group]
        reach = np.array([self._ranges.reach(k)[u] for k, u in units])
        return units, self._stacked(units), np.maximum(reach, LEAST * (reach.max() or 1.0))

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
        for k, u in (*self._given, self._group):
            needs[k][u] += self._scale
        for k in sorted(needs, reverse=True):
            for source, slopes in self._net.levels[k].slopes.items():
                if source in needs:
                    needs[source] += needs[k] @ slopes.size
        return np.array([needs[k][u] for k, u in self._values])


def _free(units: Sequence[Unit], fixed: Container[Unit]) -> BoolArray:
    return np.array([unit not in fixed for unit in units], dtype=bool)
