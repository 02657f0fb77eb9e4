"""Mixed-integer programs as arrays, how they are solved, and what comes out: plain records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen_encodings.errors import EncodingError
from jensen_encodings.types import FloatArray


class SolveStatus(StrEnum):
    """How a solve ended.

    Examples
    --------
    >>> SolveStatus.OPTIMAL.value
    'optimal'
    """

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    INFEASIBLE_OR_UNBOUNDED = "infeasible or unbounded"
    TIME_LIMIT = "time limit"
    NODE_LIMIT = "node limit"
    OBJECTIVE_LIMIT = "objective limit"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False)
class Program:
    """A mixed-integer linear program as arrays.

    ``row_lower <= A x <= row_upper``, ``lower <= x <= upper``, ``x[integer]`` integral;
    the objective is ``offset + cost @ x``.
    """

    cost: FloatArray
    offset: float
    maximise: bool
    A: sp.csr_array
    row_lower: FloatArray
    row_upper: FloatArray
    lower: FloatArray
    upper: FloatArray
    integer: NDArray[np.bool_]
    columns: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.A.shape[0]), int(self.A.shape[1])


@dataclass(frozen=True)
class Progress:
    """What a running solve knows: best value, proved bound, nodes and seconds so far."""

    objective: float | None
    bound: float
    nodes: int
    seconds: float


@dataclass(frozen=True)
class SolveOptions:
    """How HiGHS runs.

    Parameters
    ----------
    time_limit : float or None
        Seconds of wall clock.
    threads : int
    relative_gap, absolute_gap : float
        HiGHS's own default of 1e-4 relative passes for "optimal"; here both must be chosen.
    node_limit : int or None
    objective_limit : float or None
        Stop as soon as a solution at least this good is known.
    feasibility_tolerance : float or None
        Of rows and integrality; None keeps HiGHS's 1e-6. Values below 1e-9 are rejected,
        and 1e-9 itself has made feasible models infeasible.
    seed : int

    Examples
    --------
    >>> SolveOptions(time_limit=10, seed=1).seed
    1
    """

    time_limit: float | None = None
    threads: int = 1
    relative_gap: float = 0.0
    absolute_gap: float = 1e-6
    node_limit: int | None = None
    objective_limit: float | None = None
    feasibility_tolerance: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.time_limit is not None and not self.time_limit >= 0:
            raise EncodingError(f"time limit {self.time_limit}: seconds >= 0 are needed")
        if self.threads < 1:
            raise EncodingError(f"threads {self.threads}: at least 1 is needed")
        if not (self.relative_gap >= 0 and self.absolute_gap >= 0):
            raise EncodingError("gaps must be >= 0")
        tolerance = self.feasibility_tolerance
        if tolerance is not None and not 1e-9 <= tolerance <= 1e-2:
            raise EncodingError(f"feasibility tolerance {tolerance}: supported are 1e-9 to 1e-2")


@dataclass(frozen=True, eq=False)
class SolveResult:
    """How a solve ended and what it left.

    Attributes
    ----------
    status : SolveStatus
    objective : float or None
        Value of the best solution, None if there is none.
    bound : float
        The solver's dual bound, up to its tolerances (infinite if it has none).
    values : array of shape (columns,) or None
        The best solution.
    duals : array of shape (rows,) or None
        Row duals of a linear program solved to optimality.
    nodes : int
    seconds : float
        Wall clock in HiGHS, passing the model included.

    See :func:`jensen_encodings.solve_model` for an example.
    """

    status: SolveStatus
    objective: float | None
    bound: float
    values: FloatArray | None
    duals: FloatArray | None
    nodes: int
    seconds: float
