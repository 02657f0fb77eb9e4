"""Affine forms of the units under a partial activation pattern, in floats and exactly.

A form is a vector ``(constant, coefficients of y, coefficients of h)``, where every free
unit in front contributes a variable h with ``relu(z)`` for its value. The group whose
hyperplane is looked at contributes nothing: its z is 0 there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.exact import dyadic_integers
from jensen.arithmetic.rational import ONE, ZERO, rational, rationals
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations
from jensen.groups.slopes import Slopes
from jensen.types import FloatArray, ObjectArray, Unit


@dataclass(frozen=True)
class RowName:
    """One row of the program: which rule it comes from, and the unit or set row it concerns.

    ``kind`` is ``group``, ``fixed``, ``nonnegative``, ``above``, ``below`` or ``domain``.
    """

    kind: str
    level: int = -1
    unit: int = -1


class FloatForms:
    """Forms of the units that matter for a partial pattern.

    Attributes
    ----------
    dim : int
        Number of working variables.
    variables : dict from free unit to its column in the program (y first, then h)
    width : int
        Columns of the program: y, h and the margin.
    """

    def __init__(self, net: GroupedNetwork, group: Unit, activations: Activations) -> None:
        self._net = net
        self._group = group
        self._activations = activations
        self.dim = net.working_set.dim
        self._needed = _needed(net, group, activations)
        self.variables: dict[Unit, int] = {}
        for k, mask in self._needed.items():
            free = mask & (activations[k] == FREE) & net.levels[k].kink
            for u in np.flatnonzero(free):
                if (k, int(u)) != group:
                    self.variables[k, int(u)] = self.dim + len(self.variables)
        self.width = self.dim + len(self.variables) + 1
        self._forms: dict[int, FloatArray] = {}
        for k in sorted(self._needed):
            self._forms[k] = self._level_forms(k)

    def _level_forms(self, k: int) -> FloatArray:
        level = self._net.levels[k]
        rows = np.flatnonzero(self._needed[k])
        forms = np.zeros((level.size, self.width))
        total = np.zeros((len(rows), self.width))
        total[:, 0] = level.bias[rows]
        for source, slopes in level.slopes.items():
            if source == SOURCE:
                total[:, 1 : 1 + self.dim] += slopes.on[rows]
                continue
            if source not in self._forms:
                continue
            columns = np.flatnonzero(self._needed[source])
            act = self._activations[source][columns].copy()
            on = slopes.on[np.ix_(rows, columns)]
            off = np.zeros_like(on) if slopes.off is None else slopes.off[np.ix_(rows, columns)]
            passed = np.where(act == ON, on, off)
            if source == self._group[0]:
                passed[:, columns == self._group[1]] = 0.0
            total += passed @ self._forms[source][columns]
            for c in np.flatnonzero(act == FREE):
                variable = self.variables.get((source, int(columns[c])))
                if variable is not None:
                    total[:, 1 + variable] += on[:, c] - off[:, c]
        forms[rows] = total
        return forms

    def form(self, level: int, unit: int) -> FloatArray:
        """Return (constant, y coefficients, h coefficients) of a unit's z."""
        form: FloatArray = self._forms[level][unit]
        return form

    def group_form(self) -> FloatArray:
        """Return the form of the group's own z."""
        return self.form(*self._group)

    def needed_units(self) -> list[Unit]:
        """Return the kinking units that take part, in layer order."""
        return [
            (k, int(u))
            for k in sorted(self._needed)
            for u in np.flatnonzero(self._needed[k] & self._net.levels[k].kink)
        ]


def _needed(
    net: GroupedNetwork, group: Unit, activations: Activations
) -> dict[int, NDArray[np.bool_]]:
    """Return the units that the group and the fixed units depend on, themselves included."""
    needed = {
        k: (activations[k] != FREE) & level.kink
        for k, level in enumerate(net.levels)
        if k != net.output_level
    }
    needed[group[0]] = needed[group[0]].copy()
    needed[group[0]][group[1]] = True
    for k in range(net.output_level - 1, -1, -1):
        rows = needed[k]
        if not rows.any():
            del needed[k]
            continue
        for source, slopes in net.levels[k].slopes.items():
            if source != SOURCE:
                used = (slopes.on[rows] != 0).any(axis=0)
                if slopes.off is not None:
                    used |= (slopes.off[rows] != 0).any(axis=0)
                if source == group[0]:
                    used[group[1]] = needed[source][group[1]]
                needed[source] = needed[source] | used
    return needed


class ExactForms:
    """The same forms in rational arithmetic, computed for the units that are asked for."""

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        activations: Activations,
        variables: dict[Unit, int],
    ) -> None:
        self._net = net
        self._group = group
        self._activations = activations
        self.variables = variables
        self._dim = net.working_set.dim
        self._width = 1 + self._dim + len(variables)
        self._cache: dict[Unit, ObjectArray] = {}

    def form(self, level: int, unit: int) -> ObjectArray:
        """Return (constant, y coefficients, h coefficients) of a unit's z as ``fmpq``."""
        key = (level, unit)
        if key not in self._cache:
            self._cache[key] = self._compute(level, unit)
        return self._cache[key]

    def _compute(self, level: int, unit: int) -> ObjectArray:
        total = np.full(self._width, ZERO, dtype=object)
        total[0] = self._net.levels[level].exact_bias[unit]
        for source, slopes in self._net.levels[level].slopes.items():
            on, off = _exact_row(slopes, unit)
            if source == SOURCE:
                total[1 : 1 + self._dim] += on
                continue
            for u in np.flatnonzero(
                [v != 0 for v in on]
                if off is None
                else [a != 0 or b != 0 for a, b in zip(on, off, strict=True)]
            ):
                if (source, int(u)) != self._group:
                    self._add_unit(total, source, int(u), on[u], ZERO if off is None else off[u])
        return total

    def _add_unit(self, total: ObjectArray, source: int, unit: int, on: Any, off: Any) -> None:
        act = self._activations[source][unit]
        passed = on if act == ON else off
        if passed != 0:
            total += passed * self.form(source, unit)
        if act == FREE:
            total[1 + self.variables[source, unit]] += on - off

    def is_affine(self, level: int, unit: int) -> bool:
        """Whether no free unit takes part in a unit's z."""
        return not any(v != 0 for v in self.form(level, unit)[1 + self._dim :])

    def is_coincident(self, level: int, unit: int) -> bool:
        """Whether a unit's z is a multiple of the group's (0 included)."""
        return is_multiple(self.form(level, unit), self.form(*self._group))

    def is_strict(self, row: RowName) -> bool:
        """Whether a row holds strictly inside every genuine facet of the pattern."""
        if row.kind == "domain":
            return True
        if row.kind != "fixed" or not self.is_affine(*self._group):
            return False
        key = (row.level, row.unit)
        return self.is_affine(*key) and not self.is_coincident(*key)

    def row(self, row: RowName, activations: Activations) -> list[Any]:
        """Return a program row exactly, as (limit, coefficients of y and h)."""
        if row.kind == "domain":
            working = self._net.working_set
            padded = [ZERO] * self._width
            padded[0] = working.limits[row.unit]
            padded[1 : 1 + self._dim] = working.rows[row.unit].tolist()
            return padded
        if row.kind == "group":
            form = self.form(*self._group)
            return [-form[0], *form[1:]]
        form = self.form(row.level, row.unit)
        if row.kind == "fixed":
            if activations[row.level][row.unit] == ON:
                return [form[0], *(-form[1:])]
            return [-form[0], *form[1:]]
        return self._relaxation(row, form)

    def _relaxation(self, row: RowName, form: ObjectArray) -> list[Any]:
        column = 1 + self.variables[row.level, row.unit]
        if row.kind == "nonnegative":
            out = [ZERO] * self._width
            out[column] = -ONE
            return out
        if row.kind == "above":
            out = [-form[0], *form[1:]]
            out[column] -= ONE
            return out
        level = self._net.levels[row.level]
        lower, upper = (
            rational(float(level.lower[row.unit])),
            rational(float(level.upper[row.unit])),
        )
        slope = upper / (upper - lower)
        out = [slope * (form[0] - lower), *(-slope * form[1:])]
        out[column] += ONE
        return out


def form_in_pattern(
    net: GroupedNetwork, unit: Unit, group: Unit, activations: Activations
) -> ObjectArray:
    """Return (constant, y coefficients) of a unit's z under a full pattern, as ``fmpq``.

    What :class:`ExactForms` gives where no unit in front is free, but by products of one row
    with matrices, from level to level: it costs as much as one pass through the network.

    Parameters
    ----------
    unit : (level, unit)
    group : (level, unit)
        What lies on its hyperplane passes nothing on there.
    activations : sequence of int8 arrays
    """
    dim = net.working_set.dim
    total = np.full(1 + dim, ZERO, dtype=object)
    start = np.full(net.levels[unit[0]].size, ZERO, dtype=object)
    start[unit[1]] = ONE
    rows = {unit[0]: start}
    for k in range(unit[0], -1, -1):
        if k not in rows:
            continue
        level, row = net.levels[k], rows.pop(k)
        if k == group[0] and k < unit[0]:
            row[group[1]] = ZERO
        used = np.flatnonzero(row != ZERO)
        if not len(used):
            continue
        row = row[used]
        total[0] += row @ level.exact_bias[used]
        for source, slopes in level.slopes.items():
            if source == SOURCE:
                total[1:] += _row_product(row, slopes.on, slopes.exact_on, used)
                continue
            act = activations[source] == ON
            passed = np.full(len(act), ZERO, dtype=object)
            passed[act] = _row_product(row, slopes.on, slopes.exact_on, used, act)
            if slopes.off is not None:
                passed[~act] = _row_product(row, slopes.off, slopes.exact_off, used, ~act)
            rows[source] = rows[source] + passed if source in rows else passed
    return total


def is_multiple(form: ObjectArray, of: ObjectArray) -> bool:
    """Whether a form (constant, coefficients) is a multiple of another one (0 included)."""
    pivot = next((i for i, v in enumerate(of) if i and v != 0), None)
    if pivot is None:
        return not any(v != 0 for v in form)
    ratio = form[pivot] / of[pivot]
    return all(a == ratio * b for a, b in zip(form, of, strict=True))


def _row_product(
    row: ObjectArray,
    doubles: FloatArray,
    exact: ObjectArray | None,
    used: NDArray[np.intp],
    columns: NDArray[np.bool_] | slice = slice(None),
) -> ObjectArray:
    """Return a row of ``fmpq`` times some rows and columns of a matrix."""
    found = np.empty(doubles[0, columns].shape, dtype=object)
    if exact is not None:
        found[:] = row @ exact[used][:, columns]
        return found
    matrix = doubles[used][:, columns]
    if len(row) == 1:
        found[:] = row[0] * rationals(matrix[0])
        return found
    integers, exponent = dyadic_integers(matrix)
    below = math.lcm(*(int(v.q) for v in row))
    above = np.array([int(v.p) * (below // int(v.q)) for v in row], dtype=object)
    if exponent < 0:
        below <<= -exponent
    else:
        above = above << exponent
    found[:] = [flint.fmpq(v, below) for v in (above @ integers).tolist()]
    return found


def _exact_row(slopes: Slopes, unit: int) -> tuple[Any, Any]:
    if slopes.exact_on is not None:
        on = slopes.exact_on[unit]
    else:
        on = np.array([rational(v) if v else ZERO for v in slopes.on[unit].tolist()], dtype=object)
    if slopes.off is None:
        return on, None
    if slopes.exact_off is not None:
        return on, slopes.exact_off[unit]
    off = np.array([rational(v) if v else ZERO for v in slopes.off[unit].tolist()], dtype=object)
    return on, off
