"""Which groups may share a hyperplane with another one (docs/theory.md, section 9).

Two groups coincide under a pattern if one's pre-activation is a multiple of the other's.
As long as few units in front are free this is a question of linear algebra: with forms
``z_j = v + sum_i a_i v_i``, a_i in {0, 1} the states of the free units, and ``z_g = u``,
they do not coincide under any completion if v is outside the span of u and the v_i, or
if the only combination that gives it needs an a_i that is neither 0 nor 1.
"""

from __future__ import annotations

from collections.abc import Iterable

import flint
import numpy as np
from numpy.typing import NDArray

from jensen.forms import ExactForms
from jensen.groups import SOURCE, GroupedNetwork
from jensen.jump import FREE, OFF, ON, Activations
from jensen.rational import ONE, ZERO

Unit = tuple[int, int]
BoolArray = NDArray[np.bool_]


class Dependence:
    """Which free units the pre-activations depend on, under a partial pattern.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
        It passes nothing on: its pre-activation is 0.
    activations : sequence of int8 arrays

    Attributes
    ----------
    free : list of (level, unit)
        The free units, in layer order.
    """

    def __init__(self, net: GroupedNetwork, group: Unit, activations: Activations) -> None:
        self.free: list[Unit] = [
            (k, int(u))
            for k, level in enumerate(net.levels)
            for u in np.flatnonzero(level.kink & (activations[k] == FREE))
            if (k, int(u)) != group
        ]
        number = {unit: i for i, unit in enumerate(self.free)}
        self._depends: list[BoolArray] = []
        self._nested: list[BoolArray] = []  # a free unit in front of a free unit
        passed: list[BoolArray] = []
        for k, level in enumerate(net.levels):
            depends = np.zeros((level.size, len(self.free)), dtype=bool)
            nested = np.zeros(level.size, dtype=bool)
            for source, slopes in level.slopes.items():
                if source == SOURCE:
                    continue
                act = activations[source]
                reads = (slopes.on != 0) & (act != OFF)
                if slopes.off is not None:
                    reads |= (slopes.off != 0) & (act != ON)
                if source == group[0]:
                    reads[:, group[1]] = False
                depends |= reads @ passed[source]
                inner = self._nested[source] | ((act == FREE) & self._depends[source].any(axis=1))
                nested |= reads @ inner
            self._depends.append(depends)
            self._nested.append(nested)
            passes = depends.copy()
            for unit, column in number.items():
                if unit[0] == k:
                    passes[unit[1], column] = True
            passed.append(passes)

    def of(self, unit: Unit) -> list[Unit]:
        """Return the free units that a unit's z depends on, in layer order."""
        return [self.free[i] for i in np.flatnonzero(self._depends[unit[0]][unit[1]])]

    def is_nested(self, unit: Unit) -> bool:
        """Whether a free unit that it depends on depends on another one."""
        return bool(self._nested[unit[0]][unit[1]])


def may_coincide(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    others: Iterable[Unit],
    depends: Dependence,
) -> list[Unit]:
    """Return those of other groups that could not be shown not to coincide with a group.

    Parameters
    ----------
    activations : sequence of int8 arrays
        A partial pattern; the answer holds for all its completions.
    others : iterable of (level, unit)
    depends : Dependence
        Of the same pattern.
    """
    others = list(others)
    if depends.of(group):
        return others
    dim = net.working_set.dim
    asked = {}
    for other in others:
        units = depends.of(other)
        # more unknowns than equations: some combination is there as a rule
        if not depends.is_nested(other) and len(units) <= dim:
            asked[other] = units
    variables = {
        unit: dim + i for i, unit in enumerate(sorted({u for f in asked.values() for u in f}))
    }
    forms = ExactForms(net, group, activations, variables)
    return [
        other
        for other in others
        if other not in asked or _combines(forms, dim, group, other, asked[other])
    ]


def _combines(forms: ExactForms, dim: int, group: Unit, other: Unit, units: list[Unit]) -> bool:
    """Whether ``v + sum a_i v_i = lambda u`` may have a solution with all a_i in {0, 1}."""
    form = forms.form(*other)
    columns = []
    for unit in units:
        weight = form[1 + forms.variables[unit]]
        if weight != 0:
            columns.append(weight * forms.form(*unit)[: 1 + dim])
    count = len(columns)
    columns += [forms.form(*group)[: 1 + dim], form[: 1 + dim]]
    system = flint.fmpq_mat([[column[i] for column in columns] for i in range(1 + dim)])
    reduced, rank = system.rref()
    pivots = []
    for row in range(rank):
        pivots.append(next(c for c in range(len(columns)) if reduced[row, c] != 0))
    if pivots and pivots[-1] == count + 1:
        return False
    if len(pivots) < count + 1:
        return True
    # v = -sum a_i v_i + lambda u has one solution only
    return all(reduced[i, count + 1] in (ZERO, -ONE) for i in range(count))
