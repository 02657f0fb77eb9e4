"""Linear programs by columns that are switched on and off, solved from the last basis.

For searches that solve thousands of programs which differ in few columns. What HiGHS
returns is a hint: multipliers of any status are worth trying, none is a proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.solver import (
    INFINITY,
    SIMPLEX,
    Compressed,
    accepts,
    limit_time,
    linear_program,
    started,
)
from jensen_encodings.types import BoolArray, FloatArray

# a few pivots lead from the parent's basis to the optimum: preparing for many costs more
OPTIONS: dict[str, int | float | str] = SIMPLEX | {
    "simplex_scale_strategy": 0,
    "simplex_dual_edge_weight_strategy": 0,
    "dual_simplex_cost_perturbation_multiplier": 0.0,
}


class ColumnStatus(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    CUTOFF = "cutoff"  # the dual objective fell below the target
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class ColumnSolution:
    """What a solve left.

    Attributes
    ----------
    status : ColumnStatus
    value : float
        The objective at the end: of the optimum, or of the dual where it was cut off.
    x : array (columns,)
        Empty unless optimal.
    duals : array (rows,)
        The objective's derivative by the right side of each row; may be empty.
    ray : array (rows,)
        If infeasible a ray of the dual, up to its sign; may be empty.
    basis : object
        If optimal; to be given back to :meth:`ColumnProgram.solve`.
    """

    status: ColumnStatus
    value: float
    x: FloatArray
    duals: FloatArray
    ray: FloatArray
    basis: Any = None


class ColumnProgram:
    """``max cost x, A x = b, lower <= x <= upper``, the last columns ``>= 0`` or switched off.

    Parameters
    ----------
    cost : array (columns,)
    columns : scipy.sparse array (columns, rows)
        The transpose of A.
    right : array (rows,)
        b.
    lower, upper : arrays (free,)
        Bounds of the first columns; all others are >= 0 and can be switched off.

    Examples
    --------
    >>> A = sp.csr_array(np.array([[-1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
    >>> program = ColumnProgram(np.array([1.0, 0.0, 0.0]), A, np.array([0.0, 1.0]),
    ...                         np.array([-5.0]), np.array([5.0]))
    >>> program.solve(np.array([True, True]), -np.inf).value
    2.0
    >>> abs(program.solve(np.array([True, False]), -np.inf).value)
    0.0
    """

    def __init__(
        self,
        cost: FloatArray,
        columns: Any,
        right: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
    ) -> None:
        count, rows = columns.shape
        self._fixed = len(lower)
        self._switched = np.ones(count - self._fixed, dtype=bool)
        self._indices = np.arange(max(count, rows), dtype=np.int32)
        self._zeros = np.zeros(count)
        self._highs = started(OPTIONS)
        # HiGHS cuts off at its objective bound when it minimises
        lp = linear_program(
            -cost,
            (
                np.concatenate([lower, np.zeros(count - self._fixed)]),
                np.concatenate([upper, np.full(count - self._fixed, INFINITY)]),
            ),
            Compressed.of_csr(columns, by_rows=False),
            (right, right),
        )
        self._accepted = accepts(self._highs, lp)

    def set_cost(self, cost: FloatArray) -> None:
        """Change the objective."""
        self._highs.changeColsCost(len(cost), self._indices, -cost)

    def set_right(self, right: FloatArray) -> None:
        """Change b."""
        rows = self._indices[: len(right)]
        self._highs.changeRowsBounds(  # type: ignore[attr-defined]
            len(right), rows, right, right
        )

    def add_rows(self, rows: Any, right: FloatArray) -> None:
        """Add rows ``<=`` to a program, with duals ``>= 0``: a scipy.sparse array."""
        rows = sp.csr_array(rows)
        self._highs.addRows(
            len(right),
            np.full(len(right), -INFINITY),
            right,
            rows.nnz,
            rows.indptr[:-1].astype(np.int32),
            rows.indices.astype(np.int32),
            rows.data.astype(np.float64),
        )

    def solve(
        self, on: BoolArray, target: float, basis: Any = None, deadline: Deadline = NEVER
    ) -> ColumnSolution:
        """Solve with the given columns of those that can be switched, and no others.

        Starts from a basis, the last one by default; stops once the optimum is below target,
        or at a deadline.
        """
        empty = np.empty(0)
        if not self._accepted:
            return ColumnSolution(ColumnStatus.FAILED, np.inf, empty, empty, empty)
        self._switch(on)
        highs = self._highs
        if basis is not None:
            highs.setBasis(basis)
        highs.setOptionValue("objective_bound", float(-target))
        limit_time(highs, deadline)
        highs.run()
        status = highs.getModelStatus()
        value = -float(highs.getObjectiveValue())
        solution = highs.getSolution()
        duals = -np.array(solution.row_dual) if solution.dual_valid else empty
        if status == highspy.HighsModelStatus.kOptimal:
            x = np.array(solution.col_value)
            return ColumnSolution(ColumnStatus.OPTIMAL, value, x, duals, empty, highs.getBasis())
        if status == highspy.HighsModelStatus.kObjectiveBound:
            return ColumnSolution(ColumnStatus.CUTOFF, value, empty, duals, empty)
        if status == highspy.HighsModelStatus.kInfeasible:
            _, found, ray = highs.getDualRay()  # type: ignore[attr-defined]
            ray = np.array(ray) if found else empty
            return ColumnSolution(ColumnStatus.INFEASIBLE, -np.inf, empty, duals, ray)
        return ColumnSolution(ColumnStatus.FAILED, np.inf, empty, duals, empty)

    def solve_all(self, basis: Any = None) -> ColumnSolution:
        """Solve with all columns, from a basis, the last one by default."""
        return self.solve(np.ones_like(self._switched), -np.inf, basis)

    def _switch(self, on: BoolArray) -> None:
        changed = np.flatnonzero(on != self._switched)
        if changed.size:
            self._highs.changeColsBounds(
                len(changed),
                self._indices[changed + self._fixed],
                self._zeros[: len(changed)],
                np.where(on[changed], INFINITY, 0.0),
            )
            self._switched = on
