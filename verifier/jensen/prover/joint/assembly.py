"""The rows of a joint program, their sides moved outward by what rounding may have cost.

The program and the meaning of its columns are those of :mod:`jensen.prover.joint.program`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT
from jensen.arithmetic.powers import exponents_near
from jensen.groups.forms import RowName
from jensen.prover.joint.forms import JointForms
from jensen.prover.joint.kink_bounds import Ranges
from jensen.types import FloatArray, IndexArray, Unit

# HiGHS takes z = 0 for kept where it is so up to 1e-7, whatever the sizes of z are
SMALL_FORM = 2.0**-8
MOST_BITS = 200


@dataclass(frozen=True, eq=False)
class Arriving:
    """The jump U that arrives at a unit: a form over the columns, its error and its bounds."""

    form: FloatArray
    error: float
    lower: float
    upper: float


@dataclass(frozen=True)
class OneSided:
    """The one row of a unit whose state takes part in the objective alone.

    While it is free the objective pulls its state to one side, and only the row that stands
    against that can bind. Where the unit is fixed on the other side the row gets a second side,
    which says what the row that is left out would say.

    Attributes
    ----------
    row : int
    on : bool
        The state in which the second side holds.
    low : float
        The second side.
    """

    row: int
    on: bool
    low: float


@dataclass(frozen=True, eq=False)
class _Units:
    """Forms of some units, with bounds of their errors and of z on the kink."""

    forms: FloatArray
    error: FloatArray  # the constant moved to the other side included
    low: FloatArray
    high: FloatArray

    @property
    def index(self) -> IndexArray:
        return np.arange(len(self.forms))

    @property
    def constant(self) -> FloatArray:
        return self.forms[:, 0]

    @property
    def limit(self) -> FloatArray:
        """The side of a row ``off``."""
        sizes = np.abs(self.low) + np.abs(self.constant)
        limit: FloatArray = self.constant - self.low + self.error + 4 * UNIT * sizes
        return limit

    def rows(self, factor: float | FloatArray, width: int) -> FloatArray:
        """Return the forms without their constants, times a factor, as rows."""
        rows = np.zeros((len(self.forms), width))
        rows[:, : self.forms.shape[1] - 1] = factor * self.forms[:, 1:]
        return rows


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
    above : dict from unit to (row, slack)
        Where ``h >= z`` is, and by how much ``h = z`` may be off.
    one_sided : dict from unit to OneSided
    kink_factor : float
        What the row of the kink was multiplied by.
    """

    def __init__(
        self, forms: JointForms, ranges: Ranges, states: Mapping[Unit, int], width: int
    ) -> None:
        self._forms, self._ranges, self._states, self._width = forms, ranges, states, width
        self._rows: list[FloatArray] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []
        self._kinds: list[tuple[Sequence[str], Sequence[Unit]]] = []
        self._count = 0
        self.above: dict[Unit, tuple[int, float]] = {}
        self.one_sided: dict[Unit, OneSided] = {}
        self.kink_factor = 1.0

    def row(self, coefficients: FloatArray | None = None) -> FloatArray:
        """Return a new row that starts with some coefficients."""
        row = np.zeros(self._width)
        if coefficients is not None:
            row[: len(coefficients)] = coefficients
        return row

    def add(self, name: RowName, row: FloatArray, lower: float, upper: float) -> None:
        """Add a row, its sides moved outward by a rounding."""
        self._note(name.kind, [(name.level, name.unit)])
        self._rows.append((row if len(row) == self._width else self.row(row))[None])
        self._lower.append(np.nextafter([lower], -np.inf))
        self._upper.append(_above(np.array([upper])))

    def add_kink(self, name: RowName, form: FloatArray, error: float) -> None:
        """Add the row ``z = 0`` of the group, multiplied by a power of two where it is small."""
        factor = self.kink_factor = _up_to_scale(form[1:])
        self.add(name, factor * form[1:], factor * (-form[0] - error), factor * (-form[0] + error))

    def add_sign(self, unit: Unit, on: bool) -> None:
        """Add the row of a unit whose sign is known."""
        taken = self._taken([unit])
        row, side, error = taken.forms[0, 1:], -float(taken.constant[0]), float(taken.error[0])
        ends = (side - error, np.inf) if on else (-np.inf, side + error)
        self.add(RowName("sign", *unit), row, *ends)

    def add_jump(self, form: FloatArray, rounding: float, most: float) -> None:
        """Add the row ``J <= most``, J being a form up to a rounding."""
        constant = float(form[0])
        limit = most - constant + SAFETY * rounding + 4 * UNIT * (abs(most) + abs(constant))
        self.add(RowName("jump"), form[1:], -np.inf, limit)

    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the matrix and the sides."""
        return np.vstack(self._rows), np.concatenate(self._lower), np.concatenate(self._upper)

    @property
    def names(self) -> list[RowName]:
        """What each row says."""
        return [
            RowName(kind, k, u)
            for kinds, units in self._kinds
            for kind, (k, u) in zip(kinds, units, strict=True)
        ]

    def _note(self, kinds: str | Sequence[str], units: Sequence[Unit]) -> None:
        self._kinds.append(([kinds] * len(units) if isinstance(kinds, str) else kinds, units))
        self._count += len(units)

    def error(self, unit: Unit) -> float:
        """Bound how far a unit's form is off, its constant moved to the other side included."""
        return float(self._taken([unit]).error[0])

    def add_values(self, units: Sequence[Unit]) -> None:
        """Add the rows of units with a variable h."""
        if not units:
            return
        taken = self._taken(units)
        columns = np.array([self._forms.h[unit] for unit in units])
        above = taken.rows(1.0, self._width)
        above[taken.index, columns] -= 1.0
        slacks = 4 * taken.error + 4 * SUBNORMAL
        for i, unit in enumerate(units):
            self.above[unit] = (self._count + i, float(slacks[i]))
        self._add_below("above", units, above, -taken.constant + taken.error)
        stated = np.array([unit in self._states for unit in units])
        if not stated.all():
            chosen = [unit for unit in units if unit not in self._states]
            self._add_lines(chosen, columns[~stated])
        if stated.any():
            chosen = [unit for unit in units if unit in self._states]
            self._add_switched(chosen, columns[stated])

    def _add_lines(self, units: Sequence[Unit], columns: IndexArray) -> None:
        """Add the lines above the h of units without a state."""
        taken = self._taken(units)
        low, high, constant = taken.low, taken.high, taken.constant
        slope = np.clip(high / (high - low), 0.0, 1.0)
        # any slope is valid with the offset that lifts the line over both ends
        lift = np.maximum(-slope * low, high * (1.0 - slope)) * (1.0 + 8 * UNIT) + 2 * SUBNORMAL
        below = taken.rows(-slope[:, None], self._width)
        below[taken.index, columns] += 1.0
        size = np.abs(taken.forms) @ self._forms.reach + lift
        limit = slope * constant + lift + 2 * taken.error + 8 * UNIT * size
        self._add_below("below", units, below, limit)

    def _add_switched(self, units: Sequence[Unit], columns: IndexArray) -> None:
        """Add the rows of units with an h and a state."""
        taken = self._taken(units)
        states = np.array([self._states[unit] for unit in units])
        on = np.zeros((len(units), self._width))
        on[taken.index, columns], on[taken.index, states] = 1.0, -taken.high
        self._add_below("on", units, on, np.zeros(len(units)))
        off = taken.rows(-1.0, self._width)
        off[taken.index, columns] += 1.0
        off[taken.index, states] -= taken.low
        self._add_below("off", units, off, taken.limit)

    def add_states(self, units: Sequence[Unit], cost: FloatArray | None = None) -> None:
        """Add the rows of units whose state matters but whose value does not.

        Parameters
        ----------
        units : sequence of (level, unit)
        cost : array (columns,), optional
            The objective, if it is fixed and no other rows read the states: then one row each
            is enough.
        """
        if not units:
            return
        taken = self._taken(units)
        states = np.array([self._states[unit] for unit in units])
        on = taken.rows(1.0, self._width)
        on[taken.index, states] -= taken.high
        off = taken.rows(-1.0, self._width)
        off[taken.index, states] -= taken.low
        above, below = -taken.constant + taken.error, taken.limit
        if cost is None:
            self._add_below("on", units, on, above)
            self._add_below("off", units, off, below)
            return
        wants_off = cost[states] > 0
        # z >= 0 where a is 1, z <= 0 where it is 0
        rounding = taken.error + 4 * UNIT * (np.abs(taken.constant) + np.abs(taken.high))
        low = np.where(
            wants_off, -taken.constant - taken.high - rounding, taken.constant - taken.error
        )
        sides = zip(units, wants_off.tolist(), np.nextafter(low, -np.inf).tolist(), strict=True)
        for i, (unit, state, side) in enumerate(sides):
            self.one_sided[unit] = OneSided(self._count + i, state, side)
        limits = np.where(wants_off, above, below)
        kinds = ["on" if wants else "off" for wants in wants_off]
        self._add_below(kinds, units, np.where(wants_off[:, None], on, off), limits)

    def _taken(self, units: Sequence[Unit]) -> _Units:
        forms, ranges = self._forms, self._ranges
        runs = [(k, [u for _, u in run]) for k, run in groupby(units, key=itemgetter(0))]
        stacked = np.concatenate([forms.forms[k][here] for k, here in runs])
        errors = np.concatenate([forms.errors[k][here] for k, here in runs])
        low = np.concatenate([ranges.lower[k][here] for k, here in runs])
        high = np.concatenate([ranges.upper[k][here] for k, here in runs])
        return _Units(stacked, SAFETY * errors + 4 * UNIT * np.abs(stacked[:, 0]), low, high)

    def _add_below(
        self,
        kinds: str | Sequence[str],
        units: Sequence[Unit],
        rows: FloatArray,
        limits: FloatArray,
    ) -> None:
        self._note(kinds, units)
        self._rows.append(rows)
        self._lower.append(np.full(len(rows), -np.inf))
        self._upper.append(_above(limits))

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


def _up_to_scale(form: FloatArray) -> float:
    """Return the power of two by which a form of small coefficients is multiplied."""
    largest = float(np.abs(form).max(initial=0.0))
    if not 0.0 < largest < SMALL_FORM:
        return 1.0
    return 2.0 ** min(MOST_BITS, -int(exponents_near(largest)))


def _above(limits: FloatArray) -> FloatArray:
    """Return sides that are moved up by a rounding, but for those that are 0 exactly."""
    return np.where(limits == 0.0, limits, np.nextafter(limits, np.inf))
