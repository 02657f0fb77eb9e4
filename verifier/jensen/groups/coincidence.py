"""Which groups may share a hyperplane with another one (docs/theory.md, section 9).

Two groups coincide under a pattern if one's pre-activation is a multiple of the other's.
As long as few units in front are free this is a question of linear algebra: with forms
``z_j = v + sum_i a_i v_i``, a_i in {0, 1} the states of the free units, and ``z_g = u``,
they do not coincide under any completion if v is outside the span of u and the v_i, or
if the only combination that gives it needs an a_i that is neither 0 nor 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import flint
import numpy as np

from jensen.arithmetic.rational import ONE, ZERO
from jensen.groups.forms import ExactForms
from jensen.groups.general_position import enumeration_work, never_parallel
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.types import BoolArray, Unit

# multiply-adds for trying all states of the units in front: once at the start, and in a node
ROOT_WORK, NODE_WORK = 4e9, 2e6


class Dependence:
    """Which free units the pre-activations depend on, under a partial pattern.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit) or None
        It passes nothing on: its pre-activation is 0.
    activations : sequence of int8 arrays

    Attributes
    ----------
    free : list of (level, unit)
        The free units, in layer order.
    """

    def __init__(self, net: GroupedNetwork, group: Unit | None, activations: Activations) -> None:
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
                if group is not None and source == group[0]:
                    reads[:, group[1]] = False
                # as sums of ones: NumPy multiplies matrices of truth values one by one
                depends |= reads.astype(np.float32) @ passed[source].astype(np.float32) > 0
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
) -> list[Unit]:
    """Return those of other groups that could not be shown not to coincide with a group.

    Parameters
    ----------
    activations : sequence of int8 arrays
        A partial pattern; the answer holds for all its completions.
    others : iterable of (level, unit)
    """
    depends = Dependence(net, group, activations)
    left = _not_enumerated(net, group, activations, list(others), depends)
    if depends.of(group):
        return left
    dim = net.working_set.dim
    asked = {}
    for other in left:
        units = depends.of(other)
        # more unknowns than equations: some combination is there as a rule
        if not depends.is_nested(other) and len(units) <= dim:
            asked[other] = units
    free = sorted({unit for units in asked.values() for unit in units})
    variables = {unit: dim + i for i, unit in enumerate(free)}
    forms = ExactForms(net, group, activations, variables)
    return [
        other
        for other in left
        if other not in asked or _combines(forms, dim, group, other, asked[other])
    ]


def _not_enumerated(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    others: list[Unit],
    depends: Dependence,
) -> list[Unit]:
    """Leave out others that coincide under no state of the few units that matter."""
    chosen: set[Unit] = set(depends.of(group))
    asked = []
    # those that need few units first: each may share the units of the ones before
    for other in sorted(others, key=lambda unit: len(depends.of(unit))):
        union = chosen.union(depends.of(other))
        if enumeration_work(net, len(union), max(other, group)[0]) <= NODE_WORK:
            asked.append(other)
            chosen = union
    pairs = [(group, other) for other in asked]
    proved = never_parallel(net, activations, sorted(chosen), pairs)
    gone = {other for other, alone in zip(asked, proved, strict=True) if alone}
    return [other for other in others if other not in gone]


def coinciding_pairs(
    net: GroupedNetwork,
    activations: Activations,
    groups: Sequence[Unit],
    out_of_time: Callable[[], bool] = lambda: False,
) -> dict[Unit, list[Unit]]:
    """Return, for every group, the others that it may share a hyperplane with.

    Level by level all states of the units in front are tried where they are few enough.

    Parameters
    ----------
    activations : sequence of int8 arrays
        The pattern in which everything that may kink is free.
    groups : sequence of (level, unit)
    out_of_time : callable
    """
    depends = Dependence(net, None, activations)
    found: dict[Unit, list[Unit]] = {group: [] for group in groups}
    for level in sorted({group[0] for group in groups}):
        here = [group for group in groups if group[0] == level]
        before = [group for group in groups if group[0] < level]
        pairs = [(a, b) for i, a in enumerate(here) for b in (*here[:i], *before)]
        free = sorted({unit for group in (*here, *before) for unit in depends.of(group)})
        if enumeration_work(net, len(free), level) * (1 + len(here)) <= ROOT_WORK:
            proved = never_parallel(net, activations, free, pairs, out_of_time)
            pairs = [pair for pair, apart in zip(pairs, proved, strict=True) if not apart]
        for one, two in pairs:
            found[one].append(two)
            found[two].append(one)
    return found


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
