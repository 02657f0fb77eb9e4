"""Leaves that leave units free (docs/theory.md, section 11, Lemma 14).

Where all units are fixed on which a group and its jump depend, others may stay free: those whose
kinks are others, because they are affine there and no multiples of the group's, and those that
never bend f downwards. What is left is known on both sides of the kink, in exact arithmetic:
it bends down there or it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jensen.arithmetic.rational import ZERO
from jensen.groups.forms import ExactForms
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpProblem
from jensen.types import BoolArray, FloatArray, ObjectArray, Unit

NOBODY: Unit = (-1, -1)  # no unit's contribution is left out of the forms
NEAR = 1e-7  # of the largest |z|: what vanishes at a point


class LooseLeaves:
    """Decides leaves of the tree of one group that leave units free.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    """

    def __init__(self, net: GroupedNetwork, group: Unit) -> None:
        self._net, self._group = net, group
        self._jumps: dict[Unit, JumpProblem] = {}

    def close(self, activations: Activations, point: FloatArray | None) -> Unit | None:
        """Prove that f does not bend down across a facet of a partial pattern.

        Parameters
        ----------
        activations : sequence of int8 arrays
            The group and the units that are fixed read no free ones.
        point : array (dim,) or None
            A point of the pattern; units that vanish there are likely to be in the way.

        Returns
        -------
        (level, unit) or None
            None if it is proved, else a free unit to fix.
        """
        free = [
            (k, int(u))
            for k, level in enumerate(self._net.levels)
            for u in np.flatnonzero(level.kink & (activations[k] == FREE))
            if (k, int(u)) != self._group
        ]
        variables = {unit: self._net.working_set.dim + i for i, unit in enumerate(free)}
        reading, fixed = self._reading(free), [act != FREE for act in activations]
        fixed[self._group[0]][self._group[1]] = True
        if any(
            (level.kink & reading[k] & fixed[k]).any() for k, level in enumerate(self._net.levels)
        ):
            return free[0]
        normal = ExactForms(self._net, self._group, activations, variables).form(*self._group)
        if not any(normal[1:]):
            return free[0]
        ahead, back = (self._side(activations, variables, normal, side) for side in (1, -1))
        carried = [u for u in free if (ahead.form(*u) != back.form(*u)).any()]
        near = [
            (k, u) for k, u in free if reading[k][u] or _ratio(ahead.form(k, u), normal) is not None
        ]
        output = self._net.output_level, 0
        bend = _ratio(ahead.form(*output) - back.form(*output), normal)
        if not carried and bend is not None and bend >= 0:
            near = [unit for unit in near if not self._never_bends_down(unit, activations)]
            if not near:
                return None
        return self._first(free, carried or near, point)

    def _first(
        self, free: Sequence[Unit], wanted: Sequence[Unit], point: FloatArray | None
    ) -> Unit:
        """Return the first free unit that one of some units reads, or is."""
        if point is not None:
            values = self._net.pre_activations(point)
            small = NEAR * max(float(np.abs(z).max(initial=0.0)) for z in values)
            wanted = [(k, u) for k, u in wanted if abs(values[k][u]) <= small] or wanted
        if not wanted:
            return free[0]
        level, unit = wanted[0]
        return next(u for u in free if u == wanted[0] or self._reading([u])[level][unit])

    def _reading(self, free: Sequence[Unit]) -> list[BoolArray]:
        """Return, per level, the units that read a free one, directly or through others."""
        levels = self._net.levels
        passing = [np.zeros(level.size, dtype=bool) for level in levels]
        reading = [np.zeros(level.size, dtype=bool) for level in levels]
        for k, u in free:
            passing[k][u] = True
        for k, level in enumerate(levels):
            for source, slopes in level.slopes.items():
                if source == SOURCE or not passing[source].any():
                    continue
                parts = [slopes.rational_on, slopes.rational_off]
                for part in parts:
                    if part is not None:
                        reading[k] |= (part[:, passing[source]] != 0).any(axis=1)
            passing[k] |= reading[k]
        return reading

    def _side(
        self,
        activations: Activations,
        variables: Mapping[Unit, int],
        normal: ObjectArray,
        side: int,
    ) -> ExactForms:
        """Return the forms on one side of the kink, where each fixed unit has its sign there."""
        states = tuple(act.copy() for act in activations)
        forms = ExactForms(self._net, NOBODY, states, dict(variables))
        for k, level in enumerate(self._net.levels):
            for u in np.flatnonzero(level.kink).tolist():
                if (k, u) not in variables:
                    ratio = _ratio(forms.form(k, u), normal)
                    if ratio is not None:
                        states[k][u] = ON if ratio * side > 0 else OFF
        return forms

    def _never_bends_down(self, unit: Unit, activations: Activations) -> bool:
        """Whether J of a unit is >= 0 under all patterns of the leaf."""
        if unit not in self._jumps:
            self._jumps[unit] = JumpProblem(self._net, *unit)
        jump = self._jumps[unit]
        return jump.is_nonnegative(jump.bound(activations), activations, ZERO)


def _ratio(form: ObjectArray, normal: ObjectArray) -> Any:
    """Return the number that makes a form of the normal, None if there is none."""
    pivot = next(i for i, v in enumerate(normal) if i and v != 0)
    ratio = form[pivot] / normal[pivot]
    return ratio if all(a == ratio * b for a, b in zip(form, normal, strict=True)) else None
