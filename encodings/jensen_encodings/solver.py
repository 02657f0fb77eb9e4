"""The one place that starts HiGHS and hands programs over to it; it prints nothing.

A program is passed as arrays in one call: HiGHS's row-by-row API costs more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen_encodings.deadline import Deadline
from jensen_encodings.errors import SolverFailure
from jensen_encodings.types import FloatArray

Int32Array = NDArray[np.int32]
Sides = tuple[FloatArray, FloatArray]
INFINITY = highspy.kHighsInf
# rays of infeasible programs are only there without presolve
SIMPLEX: dict[str, int | float | str] = {"threads": 1, "presolve": "off", "solver": "simplex"}


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


def started(options: Mapping[str, int | float | str]) -> QuietHighs:
    """Return a silent instance with some options.

    Raises
    ------
    SolverFailure
        If HiGHS does not take an option.
    """
    highs = QuietHighs()
    for name, value in options.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverFailure(f"HiGHS refuses the option {name} = {value}")
    return highs


@dataclass(frozen=True, eq=False)
class Compressed:
    """A sparse matrix, row by row or column by column.

    Attributes
    ----------
    start : int array (rows + 1,), or (columns + 1,)
    index : int array (entries,)
    value : array (entries,)
    by_rows : bool
    """

    start: Int32Array
    index: Int32Array
    value: FloatArray
    by_rows: bool = True

    @classmethod
    def of_dense(cls, A: FloatArray) -> Compressed:
        """Compress a dense matrix by rows."""
        rows, columns = np.nonzero(A)
        start = np.searchsorted(rows, np.arange(len(A) + 1)).astype(np.int32)
        return cls(start, columns.astype(np.int32), A[rows, columns])

    @classmethod
    def of_csr(cls, A: Any, *, by_rows: bool = True) -> Compressed:
        """Take the rows of a scipy.sparse array for rows, or for columns."""
        A = sp.csr_array(A)
        return cls(
            A.indptr.astype(np.int32),
            A.indices.astype(np.int32),
            A.data.astype(np.float64, copy=False),
            by_rows,
        )


def linear_program(
    cost: FloatArray,
    sides: Sides,
    matrix: Compressed,
    row_sides: Sides,
    *,
    maximise: bool = False,
    offset: float = 0.0,
) -> highspy.HighsLp:
    """Return HiGHS's record of a linear program.

    Parameters
    ----------
    cost : array (columns,)
    sides : pair of arrays (columns,)
        Bounds of the variables, infinite where there is none.
    matrix : Compressed
    row_sides : pair of arrays (rows,)
    maximise : bool
    offset : float
        Of the objective.
    """
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(row_sides[0])
    lp.sense_ = highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize
    lp.col_cost_, lp.offset_ = cost, offset
    lp.col_lower_, lp.col_upper_ = sides
    lp.row_lower_, lp.row_upper_ = row_sides
    kinds = highspy.MatrixFormat
    lp.a_matrix_.format_ = kinds.kRowwise if matrix.by_rows else kinds.kColwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = lp.num_col_, lp.num_row_
    lp.a_matrix_.start_ = matrix.start
    lp.a_matrix_.index_ = matrix.index
    lp.a_matrix_.value_ = matrix.value
    return lp


def accepts(highs: QuietHighs, lp: highspy.HighsLp) -> bool:
    """Pass a program to an instance; False if HiGHS rejects it, as it does infinite numbers."""
    return bool(highs.passModel(lp) != highspy.HighsStatus.kError)


def accepts_arrays(
    highs: QuietHighs, cost: FloatArray, sides: Sides, matrix: Compressed, row_sides: Sides
) -> bool:
    """Pass a program to minimise without HiGHS's record of it, which small programs notice."""
    kinds = highspy.MatrixFormat
    kind = kinds.kRowwise if matrix.by_rows else kinds.kColwise
    status = highs.passModel(
        len(cost),
        len(row_sides[0]),
        len(matrix.value),
        int(kind),
        int(highspy.ObjSense.kMinimize),
        0.0,
        cost,
        *sides,
        *row_sides,
        matrix.start,
        matrix.index,
        matrix.value,
        np.zeros(len(cost), dtype=np.int32),  # none is an integer
    )
    return bool(status != highspy.HighsStatus.kError)


def limit_time(highs: QuietHighs, deadline: Deadline) -> None:
    """Let the next run end at a deadline; HiGHS's clock runs on over all runs of an instance."""
    if deadline.at < np.inf:
        highs.setOptionValue("time_limit", highs.getRunTime() + deadline.left())
