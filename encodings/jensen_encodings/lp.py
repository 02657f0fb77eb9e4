"""Dense linear programs for HiGHS, passed as arrays (adding rows one by one is slow)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum

import highspy
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
INFINITY = highspy.kHighsInf


class LpStatus(StrEnum):
    """How a linear program ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class LpResult:
    """Solution of ``max c x`` subject to ``A x <= b`` (equalities for some rows).

    Attributes
    ----------
    status : LpStatus
    objective : float
    x : array (columns,), empty unless optimal
    multipliers : array (rows,)
        ``>= 0`` on inequality rows up to the solver's tolerance: the dual solution
        with ``multipliers @ A = c`` if optimal, a Farkas ray with
        ``multipliers @ A = 0, multipliers @ b < 0`` if infeasible. Hints, not proofs.
    """

    status: LpStatus
    objective: float
    x: FloatArray
    multipliers: FloatArray


class QuietHighs(highspy.Highs):
    """HiGHS without its banner, which the constructor prints when it enables callbacks."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def enableCallbacks(self) -> None:  # noqa: N802  (HiGHS's name)
        """Silence the instance before anything can be logged."""
        self.silent()
        super().enableCallbacks()  # type: ignore[no-untyped-call]

    def run(self) -> highspy.HighsStatus:
        """Run, whatever number of threads HiGHS had in this process before.

        HiGHS keeps one pool per calling thread and refuses to run with another number of
        threads than it has: a model that someone solved with the defaults would make every
        program here fail.
        """
        status = super().run()
        if (
            status == highspy.HighsStatus.kError
            and self.getModelStatus() == highspy.HighsModelStatus.kNotset
        ):
            highspy.Highs.resetGlobalScheduler(True)
            status = super().run()
        return status


class LpSolver:
    """One silent HiGHS instance, reused for many small programs.

    Parameters
    ----------
    deadline : float or None
        On the clock of ``time.monotonic``; a program that runs into it ends as FAILED.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._highs = QuietHighs()
        self._highs.setOptionValue("threads", 1)
        # rays of infeasible programs are only there without presolve
        self._highs.setOptionValue("presolve", "off")
        self._highs.setOptionValue("solver", "simplex")

    def maximise(
        self,
        c: FloatArray,
        A: FloatArray,
        b: FloatArray,
        equality: NDArray[np.bool_],
        box: tuple[FloatArray, FloatArray] | None = None,
    ) -> LpResult:
        """Solve ``max c x``, ``A x <= b``, with ``A x = b`` on the ``equality`` rows.

        x is free, or in a box (lower, upper), whose sides have no multipliers.
        """
        rows, columns = A.shape
        empty = np.empty(0)
        if not (np.isfinite(A).all() and np.isfinite(c).all() and (b > -INFINITY).all()):
            # HiGHS neither refuses a NaN nor ends: not even at its time limit
            return LpResult(LpStatus.FAILED, np.nan, empty, empty)
        lp = highspy.HighsLp()
        lp.num_col_ = columns
        lp.num_row_ = rows
        lp.sense_ = highspy.ObjSense.kMaximize
        lp.col_cost_ = c
        everywhere = np.full(columns, -INFINITY), np.full(columns, INFINITY)
        lp.col_lower_, lp.col_upper_ = everywhere if box is None else box
        lp.row_lower_ = np.where(equality, b, -INFINITY)
        lp.row_upper_ = b
        row_index, column_index = np.nonzero(A)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.searchsorted(row_index, np.arange(rows + 1)).astype(np.int32)
        lp.a_matrix_.index_ = column_index.astype(np.int32)
        lp.a_matrix_.value_ = A[row_index, column_index]
        if self._highs.passModel(lp) == highspy.HighsStatus.kError:
            return LpResult(LpStatus.FAILED, np.nan, empty, empty)
        if self._deadline is not None:
            # HiGHS's clock runs on over all programs of an instance
            left = max(0.0, self._deadline - time.monotonic())
            self._highs.setOptionValue("time_limit", self._highs.getRunTime() + left)
        self._highs.run()
        status = self._highs.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            solution = self._highs.getSolution()
            return LpResult(
                LpStatus.OPTIMAL,
                self._highs.getInfo().objective_function_value,
                np.array(solution.col_value),
                _signed(np.array(solution.row_dual), equality),
            )
        if status == highspy.HighsModelStatus.kInfeasible:
            _, found, ray = self._highs.getDualRay()  # type: ignore[attr-defined]
            multipliers = _signed(np.array(ray), equality) if found else empty
            return LpResult(LpStatus.INFEASIBLE, -np.inf, empty, multipliers)
        return LpResult(LpStatus.FAILED, np.nan, empty, empty)


def _signed(multipliers: FloatArray, equality: NDArray[np.bool_]) -> FloatArray:
    """Fix HiGHS's sign, which depends on the sense, so that inequality rows get ``>= 0``."""
    return -multipliers if multipliers[~equality].sum() < 0 else multipliers
