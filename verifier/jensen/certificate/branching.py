"""Which unit a node of a joint program is branched on, at a solution (docs/FORMAT.md, `empty`)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from jensen.certificate.joint_rows import JointRows
from jensen.types import BoolArray, FloatArray

INTEGRAL = 1e-6  # distance from 0 and 1 below which a state is decided
EXACT = 1e-7  # distance of a value from the kinked line below which it is exact


@dataclass(frozen=True)
class Choice:
    """A unit to branch on.

    Attributes
    ----------
    unit : int
    real : bool
        The state that the unit has at the solution's point.
    gain : float
        By how much the jump at the solution grows when the state is the real one.
    is_state : bool
        Whether it is the state that is undecided, not the value.
    """

    unit: int
    real: bool
    gain: float
    is_state: bool


class Branching:
    """The units of one joint program.

    Parameters
    ----------
    rows : JointRows
    """

    def __init__(self, rows: JointRows) -> None:
        self._rows = rows
        self._states, self._values = list(rows.states), list(rows.values)
        self._columns = np.array(list(rows.states.values()), dtype=np.intp)
        self._value_columns = np.array(list(rows.values.values()), dtype=np.intp)
        self._weights = np.array([rows.weights[unit] for unit in self._states])
        most = rows.most[self._value_columns]
        self._reach = np.where(most > 0, most, 1.0)

    def choose(self, x: FloatArray, fixed: Container[int]) -> Choice | None:
        """Return the unit whose relaxation is furthest off; states come before values.

        None if the solution satisfies everything, up to tolerance.
        """
        share = x[self._columns]
        miss = np.minimum(share, 1.0 - share)
        open_states = _free(self._states, fixed) & (miss > INTEGRAL)
        if open_states.any():
            i = int(np.argmax(np.where(open_states, miss * self._weights, -1.0)))
            real = self._at(self._states[i], x) > 0
            gain = float(self._weights[i] * abs(real - share[i]))
            return Choice(self._states[i], real, gain, is_state=True)
        if not self._values:
            return None
        z = np.array([self._at(unit, x) for unit in self._values])
        gap = np.abs(x[self._value_columns] - np.maximum(z, 0.0)) / self._reach
        gap = np.where(_free(self._values, fixed), gap, 0.0)
        i = int(np.argmax(gap))
        if gap[i] <= EXACT:
            return None
        return Choice(self._values[i], bool(z[i] > 0), 0.0, is_state=False)

    def _at(self, unit: int, x: FloatArray) -> float:
        form = self._rows.forms[unit]
        return float(form[0] + form[1:] @ x)


def _free(units: list[int], fixed: Container[int]) -> BoolArray:
    return np.array([unit not in fixed for unit in units], dtype=bool)
