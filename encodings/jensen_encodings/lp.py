"""Dense linear programs for HiGHS, passed as arrays (adding rows one by one is slow)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import highspy
import numpy as np
from numpy.typing import NDArray

from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.solver import (
    INFINITY,
    SIMPLEX,
    Compressed,
    QuietHighs,
    accepts,
    limit_time,
    linear_program,
    started,
)
from jensen_encodings.types import FloatArray


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


class LpSolver:
    """One silent HiGHS instance, reused for many small programs; started at the first one.

    Parameters
    ----------
    deadline : Deadline
        A program that runs into it ends as FAILED.
    """

    def __init__(self, deadline: Deadline = NEVER) -> None:
        self.deadline = deadline

    @cached_property
    def _highs(self) -> QuietHighs:
        return started(SIMPLEX)

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
        columns = A.shape[1]
        empty = np.empty(0)
        if not (np.isfinite(A).all() and np.isfinite(c).all() and (b > -INFINITY).all()):
            # HiGHS neither refuses a NaN nor ends: not even at its time limit
            return LpResult(LpStatus.FAILED, np.nan, empty, empty)
        free = np.full(columns, INFINITY)
        lp = linear_program(
            c,
            (-free, free) if box is None else box,
            Compressed.of_dense(A),
            (np.where(equality, b, -INFINITY), b),
            maximise=True,
        )
        if not accepts(self._highs, lp):
            return LpResult(LpStatus.FAILED, np.nan, empty, empty)
        limit_time(self._highs, self.deadline)
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

    def basis(self) -> tuple[list[int], list[int]]:
        """Return the last program's basic columns, and the rows that hold with equality.

        As many of these as of those; all other variables are 0.
        """
        basis, basic = self._highs.getBasis(), highspy.HighsBasisStatus.kBasic
        columns = [j for j, status in enumerate(basis.col_status) if status == basic]
        tight = [i for i, status in enumerate(basis.row_status) if status != basic]
        return columns, tight


def _signed(multipliers: FloatArray, equality: NDArray[np.bool_]) -> FloatArray:
    """Fix HiGHS's sign, which depends on the sense, so that inequality rows get ``>= 0``."""
    return -multipliers if multipliers[~equality].sum() < 0 else multipliers
