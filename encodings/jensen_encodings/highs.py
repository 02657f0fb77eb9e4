"""The one module that talks to HiGHS: Pyomo model -> arrays -> ``highspy``.

A model is compiled once into arrays (Pyomo's standard-form compiler) and passed to HiGHS
in one call. HiGHS's own row-by-row API and Pyomo's solver interfaces cost more per model
(PERFORMANCE.md has the numbers). The solver prints nothing.

Everything HiGHS reports holds up to its tolerances: 1e-6 on every row and on
integrality, which a big-M constant multiplies, and a gap. Bounds that must hold in real
arithmetic have to be computed anew from the duals.

References
----------
Huangfu, Hall, "Parallelizing the dual revised simplex method", Math. Prog. Comp. 10, 2018.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import highspy
import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from jensen_encodings.errors import EncodingError, SolverFailure
from jensen_encodings.lp import QuietHighs

FloatArray = NDArray[np.float64]

# seconds between two reports of a search
PROGRESS_INTERVAL = 0.5


class SolveStatus(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    INFEASIBLE_OR_UNBOUNDED = "infeasible or unbounded"
    TIME_LIMIT = "time limit"
    NODE_LIMIT = "node limit"
    OBJECTIVE_LIMIT = "objective limit"
    INTERRUPTED = "interrupted"


_STATUS = {
    highspy.HighsModelStatus.kOptimal: SolveStatus.OPTIMAL,
    highspy.HighsModelStatus.kModelEmpty: SolveStatus.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: SolveStatus.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: SolveStatus.UNBOUNDED,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: SolveStatus.INFEASIBLE_OR_UNBOUNDED,
    highspy.HighsModelStatus.kTimeLimit: SolveStatus.TIME_LIMIT,
    highspy.HighsModelStatus.kIterationLimit: SolveStatus.NODE_LIMIT,
    highspy.HighsModelStatus.kSolutionLimit: SolveStatus.NODE_LIMIT,
    highspy.HighsModelStatus.kObjectiveTarget: SolveStatus.OBJECTIVE_LIMIT,
    highspy.HighsModelStatus.kInterrupt: SolveStatus.INTERRUPTED,
}


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
    """

    status: SolveStatus
    objective: float | None
    bound: float
    values: FloatArray | None
    duals: FloatArray | None
    nodes: int
    seconds: float


def compile_model(model: pyo.ConcreteModel) -> Program:
    """Turn a linear Pyomo model with one objective into arrays.

    Raises
    ------
    EncodingError
        If the model has not exactly one active objective.
    """
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1:
        raise EncodingError(f"the model has {len(objectives)} active objectives: one is needed")
    try:
        form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=None)
    except InfeasibleConstraintException as error:
        raise EncodingError(f"a row without variables is violated: {error}") from None
    sense = np.array([row.bound_type for row in form.rows], dtype=np.int8)
    rhs = np.asarray(form.rhs, dtype=np.float64)
    limits = [column.bounds for column in form.columns]
    return Program(
        cost=np.asarray(form.c.toarray(), dtype=np.float64).reshape(-1),
        offset=float(form.c_offset[0]),
        maximise=objectives[0].sense == pyo.maximize,
        A=sp.csr_array(form.A),
        row_lower=np.where(sense <= 0, rhs, -np.inf),
        row_upper=np.where(sense >= 0, rhs, np.inf),
        lower=np.array([-np.inf if low is None else low for low, _ in limits]),
        upper=np.array([np.inf if high is None else high for _, high in limits]),
        integer=np.array([not column.is_continuous() for column in form.columns], dtype=bool),
        columns=tuple(form.columns),
    )


def solve(
    program: Program,
    options: SolveOptions | None = None,
    *,
    start: FloatArray | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SolveResult:
    """Solve a program; Ctrl-C ends the search and returns what is known.

    Parameters
    ----------
    program : Program
    options : SolveOptions, optional
    start : array of shape (columns,), optional
        A feasible point to start from; NaN entries are left to HiGHS.
    progress : callable, optional
        Called from the solver's thread now and then during a mixed-integer search.

    Raises
    ------
    SolverFailure
        If HiGHS rejects the program or stops with an error.
    """
    options = options or SolveOptions()
    began = time.perf_counter()
    highs = _prepared(program, options)
    if start is not None:
        given = np.flatnonzero(np.isfinite(start)).astype(np.int32)
        highs.setSolution(len(given), given, np.asarray(start, dtype=np.float64)[given])
    _run(highs, began, progress)
    return _result(highs, program, time.perf_counter() - began)


def solve_model(
    model: pyo.ConcreteModel,
    options: SolveOptions | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> SolveResult:
    """Compile and solve a Pyomo model and store the best values in its variables.

    Examples
    --------
    >>> model = pyo.ConcreteModel()
    >>> model.n = pyo.Var(domain=pyo.Integers, bounds=(0, 9))
    >>> model.row = pyo.Constraint(expr=2 * model.n <= 7)
    >>> model.goal = pyo.Objective(expr=model.n, sense=pyo.maximize)
    >>> solve_model(model).status, pyo.value(model.n)
    (<SolveStatus.OPTIMAL: 'optimal'>, 3.0)
    """
    program = compile_model(model)
    result = solve(program, options, progress=progress)
    if result.values is not None:
        for column, value in zip(program.columns, result.values, strict=True):
            column.set_value(float(value), skip_validation=True)
    return result


def to_highs(program: Program) -> highspy.HighsLp:
    """Return the program as HiGHS's own record, to be passed in one call."""
    rows, columns = program.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns, rows
    lp.col_cost_, lp.offset_ = program.cost, program.offset
    lp.sense_ = highspy.ObjSense.kMaximize if program.maximise else highspy.ObjSense.kMinimize
    lp.col_lower_, lp.col_upper_ = program.lower, program.upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = columns, rows
    lp.a_matrix_.start_ = program.A.indptr.astype(np.int32)
    lp.a_matrix_.index_ = program.A.indices.astype(np.int32)
    lp.a_matrix_.value_ = program.A.data
    if program.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in program.integer]
    return lp


def _prepared(program: Program, options: SolveOptions) -> Any:
    highs = QuietHighs()
    settings: dict[str, Any] = {
        "threads": options.threads,
        "mip_rel_gap": options.relative_gap,
        "mip_abs_gap": options.absolute_gap,
        "random_seed": options.seed,
    }
    if options.time_limit is not None:
        settings["time_limit"] = options.time_limit
    if options.node_limit is not None:
        settings["mip_max_nodes"] = options.node_limit
    if options.objective_limit is not None:
        settings["objective_target"] = options.objective_limit
    if options.feasibility_tolerance is not None:
        settings["mip_feasibility_tolerance"] = options.feasibility_tolerance
        settings["primal_feasibility_tolerance"] = options.feasibility_tolerance
    for name, value in settings.items():
        if highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
            raise SolverFailure(f"HiGHS refuses the option {name} = {value}")
    if highs.passModel(to_highs(program)) == highspy.HighsStatus.kError:
        raise SolverFailure("HiGHS rejects the model: are all coefficients finite?")
    return highs


def _run(highs: Any, began: float, progress: Callable[[Progress], None] | None) -> None:
    """Run in a second thread, so that Ctrl-C reaches this one and ends the search."""
    stop, over = threading.Event(), threading.Event()
    failures: list[BaseException] = []
    callback = highspy.cb.HighsCallbackType

    def on_event(kind: Any, _message: str, out: Any, into: Any, _data: Any) -> None:
        if kind in (callback.kCallbackMipInterrupt, callback.kCallbackSimplexInterrupt):
            into.user_interrupt = stop.is_set()
        elif progress is not None and not stop.is_set():
            best = out.mip_primal_bound
            known = best if math.isfinite(best) else None
            seconds = time.perf_counter() - began
            try:
                progress(Progress(known, out.mip_dual_bound, int(out.mip_node_count), seconds))
            except Exception as error:
                failures.append(error)
                stop.set()

    def work() -> None:
        try:
            highs.run()
        except Exception as error:
            failures.append(error)
        finally:
            over.set()

    highs.setCallback(on_event, None)
    for kind in (callback.kCallbackMipInterrupt, callback.kCallbackSimplexInterrupt):
        highs.startCallback(kind)
    if progress is not None:
        highs.setOptionValue("mip_min_logging_interval", PROGRESS_INTERVAL)
        highs.startCallback(callback.kCallbackMipLogging)
        highs.startCallback(callback.kCallbackMipImprovingSolution)
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    # not Thread.join: up to Python 3.12 an interrupted join takes the thread for dead
    while not over.is_set():
        try:
            over.wait(0.2)
        except KeyboardInterrupt:
            stop.set()
    worker.join()
    highs.setCallback(None, None)
    if failures:
        raise failures[0]


def _result(highs: Any, program: Program, seconds: float) -> SolveResult:
    reported = highs.getModelStatus()
    status = _STATUS.get(reported)
    if status is None:
        raise SolverFailure(f"HiGHS stopped with {highs.modelStatusToString(reported)!r}")
    info, solution = highs.getInfo(), highs.getSolution()
    mixed = bool(program.integer.any())
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = np.array(solution.col_value) if found else None
    objective = float(info.objective_function_value) if found else None
    if mixed:
        bound = float(info.mip_dual_bound)
    else:
        bound = objective if status is SolveStatus.OPTIMAL and objective is not None else math.inf
        bound = bound if math.isfinite(bound) or program.maximise else -math.inf
    has_duals = not mixed and status is SolveStatus.OPTIMAL
    duals = np.array(solution.row_dual) if has_duals else None
    nodes = max(0, int(info.mip_node_count)) if mixed else 0
    return SolveResult(status, objective, bound, values, duals, nodes, seconds)
