"""The midpoint program solved by HiGHS: the second way to the worst violation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from jensen.errors import SolverError
from jensen.midpoint_data import Twins
from jensen.midpoint_search import Found, Judge, width_bound
from jensen_encodings import NetworkData, SolverFailure, midpoint_program
from jensen_encodings.highs import Progress, SolveOptions, compile_model, solve
from jensen_encodings.jensen_gap import Strengthening, strengthen

MILP_TOLERANCE = 1e-6  # HiGHS's, on rows and integrality
ROWS = Strengthening(gap_lower=True, gap_upper=False, differences=False, symmetry=True)


def solve_midpoint_program(
    data: NetworkData,
    judge: Judge,
    *,
    twins: Sequence[Twins] = (),
    gap: float,
    deadline: float | None,
    threads: int,
    seed: int,
    progress: Callable[[Progress], None] | None,
    rows: Strengthening | None = ROWS,
) -> Found:
    """Solve the three-copy program; its upper bound holds up to :data:`MILP_TOLERANCE`.

    Parameters
    ----------
    twins : sequence of groups
        Whose members share a binary in each copy.
    rows : Strengthening or None
        Rows that are added to the plain program.

    Raises
    ------
    SolverError
        If HiGHS fails.
    """
    began = time.perf_counter()
    program = midpoint_program(data, groups=twins)
    if rows is not None:
        strengthen(program, rows)
    compiled = compile_model(program.model)
    built = time.perf_counter()
    options = SolveOptions(
        time_limit=None if deadline is None else max(0.0, deadline - time.monotonic()),
        threads=threads,
        relative_gap=gap,
        absolute_gap=MILP_TOLERANCE,
        seed=seed,
    )
    try:
        result = solve(compiled, options, progress=progress)
    except SolverFailure as error:
        raise SolverError(str(error)) from error
    exact, x, y = Fraction(0), data.input_lower, data.input_lower
    if result.values is not None:
        column = {id(v): i for i, v in enumerate(compiled.columns)}
        pair = [
            np.clip(
                result.values[[column[id(v)] for v in copy.inputs]],
                data.input_lower,
                data.input_upper,
            )
            for copy in (program.at_x, program.at_y)
        ]
        found = judge(*pair)
        if found > 0:
            exact, (x, y) = found, pair
    upper = max(result.bound, 0.0, float(np.nextafter(float(exact), np.inf)) if exact else 0.0)
    return Found(
        status=str(result.status),
        exact=exact,
        x=x,
        y=y,
        upper=min(width_bound(data), upper),
        nodes=result.nodes,
        times={"build": built - began, "solve": result.seconds},
    )
