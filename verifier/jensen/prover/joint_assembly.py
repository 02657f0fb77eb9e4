"""The rows of a joint program, their sides moved outward by what rounding may have cost.

The program and the meaning of its columns are those of :mod:`jensen.prover.joint_program`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT
from jensen.groups.forms import RowName
from jensen.prover.joint_forms import JointForms
from jensen.prover.kink_bounds import Ranges
from jensen.types import FloatArray, Unit


@dataclass(frozen=True, eq=False)
class Arriving:
    """The jump U that arrives at a unit: a form over the columns, its error and its bounds."""

    form: FloatArray
    error: float
    lower: float
    upper: float


class ProgramRows:
    """Rows that are collected unit by unit.

    Parameters
    ----------
    forms : JointForms
    ranges : Ranges
        Bounds of z on the kink.
    states : mapping from unit to the column of its a
    width : int
        Number of columns.

    Attributes
    ----------
    names : list of RowName
        What each row says.
    above : dict from unit to (row, slack)
        Where ``h >= z`` is, and by how much ``h = z`` may be off.
    """

    def __init__(
        self, forms: JointForms, ranges: Ranges, states: Mapping[Unit, int], width: int
    ) -> None:
        self._forms, self._ranges, self._states, self._width = forms, ranges, states, width
        self._rows: list[FloatArray] = []
        self._lower: list[float] = []
        self._upper: list[float] = []
        self.names: list[RowName] = []
        self.above: dict[Unit, tuple[int, float]] = {}

    def row(self, coefficients: FloatArray | None = None) -> FloatArray:
        """Return a new row that starts with some coefficients."""
        row = np.zeros(self._width)
        if coefficients is not None:
            row[: len(coefficients)] = coefficients
        return row

    def add(self, name: RowName, row: FloatArray, lower: float, upper: float) -> None:
        """Add a row, its sides moved outward by a rounding."""
        self.names.append(name)
        self._rows.append(row if len(row) == self._width else self.row(row))
        self._lower.append(float(np.nextafter(lower, -np.inf)))
        self._upper.append(upper if upper == 0.0 else float(np.nextafter(upper, np.inf)))

    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the matrix and the sides."""
        return np.array(self._rows), np.array(self._lower), np.array(self._upper)

    def error(self, unit: Unit) -> float:
        """Bound how far a unit's form is off, its constant moved to the other side included."""
        k, u = unit
        constant = abs(self._forms.forms[k][u][0])
        return float(SAFETY * self._forms.errors[k][u] + 4 * UNIT * constant)

    def add_value(self, unit: Unit) -> None:
        """Add the rows of a unit with a variable h."""
        k, u = unit
        form, error = self._forms.forms[k][u], self.error(unit)
        low, high = float(self._ranges.lower[k][u]), float(self._ranges.upper[k][u])
        column = self._forms.h[unit]
        above = self.row(form[1:])
        above[column] -= 1.0
        self.above[unit] = (len(self.names), 4 * error + 4 * SUBNORMAL)
        self.add(RowName("above", k, u), above, -np.inf, -form[0] + error)
        if unit in self._states:
            state = self._states[unit]
            on = self.row()
            on[column], on[state] = 1.0, -high
            self.add(RowName("on", k, u), on, -np.inf, 0.0)
            off = self.row(-form[1:])
            off[column] += 1.0
            off[state] -= low
            limit = form[0] - low + error + 4 * UNIT * (abs(low) + abs(form[0]))
            self.add(RowName("off", k, u), off, -np.inf, limit)
            return
        slope = min(max(high / (high - low), 0.0), 1.0)
        # any slope is valid with the offset that lifts the line over both ends
        lift = max(-slope * low, high * (1.0 - slope)) * (1.0 + 8 * UNIT) + 2 * SUBNORMAL
        below = self.row(-slope * form[1:])
        below[column] += 1.0
        size = float(np.abs(form) @ self._forms.reach) + lift
        limit = slope * form[0] + lift + 2 * error + 8 * UNIT * size
        self.add(RowName("below", k, u), below, -np.inf, limit)

    def add_state(self, unit: Unit) -> None:
        """Add the rows of a unit whose state matters but whose value does not."""
        k, u = unit
        form, error = self._forms.forms[k][u], self.error(unit)
        low, high = float(self._ranges.lower[k][u]), float(self._ranges.upper[k][u])
        on = self.row(form[1:])
        on[self._states[unit]] -= high
        self.add(RowName("on", k, u), on, -np.inf, -form[0] + error)
        off = self.row(-form[1:])
        off[self._states[unit]] -= low
        limit = form[0] - low + error + 4 * UNIT * (abs(low) + abs(form[0]))
        self.add(RowName("off", k, u), off, -np.inf, limit)

    def add_product(self, unit: Unit, column: int, arriving: Arriving) -> tuple[float, float]:
        """Add the rows of a product ``g = a U`` with its column; return the bounds of g."""
        k, u = unit
        form, low, high = arriving.form, arriving.lower, arriving.upper
        error = arriving.error
        error = SAFETY * error + 8 * UNIT * (abs(form[0]) + abs(low) + abs(high)) + SUBNORMAL
        state = self._states[unit]
        for sign, end, kinds in ((1.0, high, "ad"), (-1.0, low, "bc")):
            # sign g <= sign end a
            most = self.row()
            most[column], most[state] = sign, -sign * end
            self.add(RowName(f"product {kinds[0]}", k, u), most, -np.inf, 0.0)
        for sign, end, kind in ((1.0, low, "c"), (-1.0, high, "d")):
            # sign g <= sign U - sign end (1 - a)
            row = self.row(-sign * form[1:])
            row[column] += sign
            row[state] -= sign * end
            limit = sign * form[0] - sign * end + error
            self.add(RowName(f"product {kind}", k, u), row, -np.inf, limit)
        return min(low, 0.0), max(high, 0.0)
