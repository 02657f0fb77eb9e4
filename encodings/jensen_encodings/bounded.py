"""Linear programs whose variables are all bounded, changed a little and solved again.

For searches that fix variables one after the other: a change of bounds leaves the last
basis dual feasible, so that a few pivots lead to the next optimum. What HiGHS returns are
hints: any multipliers give a bound, which the caller evaluates with its own rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import highspy
import numpy as np
from numpy.typing import NDArray

from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.solver import (
    INFINITY,
    SIMPLEX,
    Compressed,
    accepts_arrays,
    limit_time,
    started,
)
from jensen_encodings.types import FloatArray

# few pivots lead from one program to the next, in which weights of edges do not pay
OPTIONS: dict[str, int | float | str] = SIMPLEX | {
    "simplex_dual_edge_weight_strategy": 0,
    "no_unnecessary_rebuild_refactor": False,
    "simplex_scale_strategy": 0,
    "dual_simplex_cost_perturbation_multiplier": 0.0,
}
PERTURBED: dict[str, int | float | str] = {"dual_simplex_cost_perturbation_multiplier": 1.0}
# where all those pivot in circles, as they may do with many ties and no objective left
CAREFUL: dict[str, int | float | str] = PERTURBED | {"simplex_dual_edge_weight_strategy": -1}
UNLIMITED = 2**31 - 1
PRIMAL = 4  # HiGHS's number of the primal simplex


class BoundedStatus(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    CUTOFF = "cutoff"  # the dual objective passed the target
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class BoundedSolution:
    """What a solve left.

    Attributes
    ----------
    status : BoundedStatus
    x : array (columns,)
        Empty unless optimal.
    multipliers : array (rows,)
        The objective's derivative by the side of each row that binds; may be empty.
    ray : array (rows,)
        If infeasible a ray of the dual, up to its sign; may be empty.
    """

    status: BoundedStatus
    x: FloatArray
    multipliers: FloatArray
    ray: FloatArray


class BoundedProgram:
    """``min cost x, row_lower <= A x <= row_upper, lower <= x <= upper``.

    Parameters
    ----------
    cost : array (columns,)
    A : array (rows, columns)
    row_lower, row_upper : arrays (rows,)
        Minus or plus infinity on sides that are not there.
    lower, upper : arrays (columns,)
        Finite.
    perturbed : bool
        Whether the solver moves costs a little while it works. It pays where vertices tie, as in
        programs whose columns were scaled to similar ranges.

    Examples
    --------
    >>> program = BoundedProgram(np.array([1.0, 1.0]), np.array([[1.0, 2.0]]),
    ...     np.array([2.0]), np.array([np.inf]), np.zeros(2), np.full(2, 5.0))
    >>> program.solve().x.tolist()
    [0.0, 1.0]
    >>> program.set_columns(np.array([1]), np.zeros(1), np.zeros(1))
    >>> program.solve().x.tolist()
    [2.0, 0.0]
    """

    def __init__(
        self,
        cost: FloatArray,
        A: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        *,
        perturbed: bool = False,
    ) -> None:
        self._highs = started(OPTIONS | (PERTURBED if perturbed else {}))
        rows = Compressed.of_dense(A)
        self._accepted = accepts_arrays(
            self._highs, cost, (lower, upper), rows, (row_lower, row_upper)
        )
        # more pivots than that go in circles, nearly always
        self._careful, self._pivots = False, sum(A.shape)
        self._highs.setOptionValue("simplex_iteration_limit", self._pivots)

    def set_columns(self, columns: NDArray[np.intp], lower: FloatArray, upper: FloatArray) -> None:
        """Change the bounds of some variables."""
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def set_row(self, row: int, lower: float, upper: float) -> None:
        """Change the sides of a row."""
        self._highs.changeRowBounds(row, lower, upper)

    def add_rows(self, rows: FloatArray, limits: FloatArray) -> bool:
        """Add rows ``rows x <= limits``; the last basis stays dual feasible.

        Returns
        -------
        bool
            False if the solver takes no such numbers; then nothing is added.
        """
        entries = Compressed.of_dense(rows)
        absent = np.full(len(limits), -INFINITY)
        count, parts = len(limits), (entries.start[:-1], entries.index, entries.value)
        status = self._highs.addRows(count, absent, limits, len(entries.value), *parts)
        if status == highspy.HighsStatus.kError:
            return False
        self._pivots += count
        if not self._careful:
            self._highs.setOptionValue("simplex_iteration_limit", self._pivots)
        return True

    def set_cost(self, cost: FloatArray) -> None:
        """Change the objective; the last basis stays primal feasible."""
        columns = np.arange(len(cost), dtype=np.int32)
        self._highs.changeColsCost(len(cost), columns, cost)

    def keep_primal(self) -> None:
        """Go on from primal feasible bases, for programs that differ in the objective."""
        self._highs.setOptionValue("simplex_strategy", PRIMAL)

    def solve(self, target: float = np.inf, deadline: Deadline = NEVER) -> BoundedSolution:
        """Solve from the last basis; stop once the dual objective is above a target.

        Parameters
        ----------
        target : float
        deadline : Deadline
        """
        empty = np.empty(0)
        highs = self._highs
        if not self._accepted:
            return BoundedSolution(BoundedStatus.FAILED, empty, empty, empty)
        highs.setOptionValue("objective_bound", min(target, INFINITY))
        limit_time(highs, deadline)
        highs.run()
        status = highs.getModelStatus()
        if status == highspy.HighsModelStatus.kIterationLimit and not self._careful:
            self._take_care()
            limit_time(highs, deadline)
            highs.run()
            status = highs.getModelStatus()
        solution = highs.getSolution()
        multipliers = np.array(solution.row_dual) if solution.dual_valid else empty
        if status == highspy.HighsModelStatus.kOptimal:
            x = np.array(solution.col_value)
            return BoundedSolution(BoundedStatus.OPTIMAL, x, multipliers, empty)
        if status == highspy.HighsModelStatus.kObjectiveBound:
            return BoundedSolution(BoundedStatus.CUTOFF, empty, multipliers, empty)
        if status == highspy.HighsModelStatus.kInfeasible:
            _, found, ray = highs.getDualRay()  # type: ignore[attr-defined]
            ray = np.array(ray) if found else empty
            return BoundedSolution(BoundedStatus.INFEASIBLE, empty, multipliers, ray)
        return BoundedSolution(BoundedStatus.FAILED, empty, multipliers, empty)

    def _take_care(self) -> None:
        """Perturb and weigh edges from now on: the programs that follow are mostly alike."""
        self._careful = True
        for name, value in CAREFUL.items():
            self._highs.setOptionValue(name, value)
        self._highs.setOptionValue("simplex_iteration_limit", UNLIMITED)
