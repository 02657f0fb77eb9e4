"""Patterns that no side of the kink has (docs/theory.md, section 4, the rule *side*).

Where numbers are sorted by comparators, kinks coincide: two equal numbers meet again further
on, in a unit whose z is a multiple of the group's own. On either side of the kink it then has one
sign, whatever the units in front do; a pattern with the other state belongs to no facet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jensen.groups.forms import ExactForms
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.types import ObjectArray, Unit

NOBODY: Unit = (-1, -1)  # no unit's contribution is left out of the forms
CREDIT, REWARD, MOST = 16, 16, 64  # nodes that may be looked at in vain


class Sides:
    """Looks for units behind one group whose state contradicts both sides of its kink.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    supports : sequence of (level, units)
        The units that its jump can reach, the output last.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        supports: Sequence[tuple[int, NDArray[np.intp]]],
    ) -> None:
        self._net, self._group = net, group
        self._behind = [
            (level, int(unit))
            for level, units in supports[:-1]
            for unit in units[net.levels[level].kink[units]]
        ]
        self._credit = CREDIT if self._behind else 0

    def contradict(self, activations: Activations) -> tuple[Unit, Unit] | None:
        """Return units whose states contradict the two sides of the kink, on and off.

        None if there are none. Gives up for good after some patterns in a row without any.
        """
        if self._credit <= 0:
            return None
        off = self._contradicts(activations, OFF)
        on = None if off is None else self._contradicts(activations, ON)
        if off is None or on is None:
            self._credit -= 1
            return None
        self._credit = min(self._credit + REWARD, MOST)
        return on, off

    def _contradicts(self, activations: Activations, state: int) -> Unit | None:
        """Return a unit that cannot have its state where the group has this one."""
        changed = self._from_the_group_on(activations, state)
        forms = ExactForms(self._net, NOBODY, changed, self._variables(changed))
        own = forms.form(*self._group)
        pivot = next((i for i, v in enumerate(own) if v != 0), None)
        if pivot is None:
            return None
        above = state == ON
        for level, unit in reversed(self._behind):
            if changed[level][unit] == FREE:
                continue
            form = forms.form(level, unit)
            # z_j = c z_g, and z_g > 0 where the group is on
            if _are_parallel(form, own, pivot) and (
                ((form[pivot] / own[pivot] > 0) == above) != (changed[level][unit] == ON)
            ):
                return level, unit
        return None

    def _from_the_group_on(self, activations: Activations, state: int) -> Activations:
        """Free the units in front of the group in the order; put the group in a state."""
        level, unit = self._group
        changed = [act.copy() for act in activations]
        for k in range(level):
            changed[k][self._net.levels[k].kink] = FREE
        changed[level][:unit][self._net.levels[level].kink[:unit]] = FREE
        changed[level][unit] = state
        return changed

    def _variables(self, activations: Activations) -> dict[Unit, int]:
        free = [
            (k, int(unit))
            for k, level in enumerate(self._net.levels)
            for unit in np.flatnonzero(level.kink & (activations[k] == FREE))
        ]
        return {unit: self._net.working_set.dim + i for i, unit in enumerate(free)}


def _are_parallel(form: ObjectArray, own: ObjectArray, pivot: int) -> bool:
    """Whether a form is a multiple of the group's, and not 0."""
    return bool(form[pivot] != 0) and all(
        a * own[pivot] == form[pivot] * b for a, b in zip(form, own, strict=True)
    )
