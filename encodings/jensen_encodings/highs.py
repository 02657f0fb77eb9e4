"""Mixed-integer programs by HiGHS.

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
from typing import Any

import highspy
import numpy as np

from jensen_encodings.errors import SolverFailure
from jensen_encodings.program import Program, Progress, SolveOptions, SolveResult, SolveStatus
from jensen_encodings.solver import Compressed, QuietHighs, accepts, linear_program, started
from jensen_encodings.types import FloatArray

__all__ = ["Program", "Progress", "SolveOptions", "SolveResult", "SolveStatus", "solve"]


# seconds between two reports of a search
PROGRESS_INTERVAL = 0.5

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


def _prepared(program: Program, options: SolveOptions) -> QuietHighs:
    settings: dict[str, int | float | str] = {
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
    highs = started(settings)
    lp = linear_program(
        program.cost,
        (program.lower, program.upper),
        Compressed.of_csr(program.A),
        (program.row_lower, program.row_upper),
        maximise=program.maximise,
        offset=program.offset,
    )
    if program.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in program.integer]
    if not accepts(highs, lp):
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
