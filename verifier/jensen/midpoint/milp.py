"""The midpoint program solved by HiGHS: the second way to the worst violation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from jensen.arithmetic.intervals import round_up
from jensen.errors import SolverError
from jensen.groups.twin_groups import Twins
from jensen.midpoint.raised import Neuron
from jensen.midpoint.search import Found, Judge, PairIncumbent, width_bound
from jensen.types import FloatArray
from jensen_encodings import MidpointProgram, NetworkData, SolverFailure, midpoint_program
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Program, Progress, SolveOptions, solve
from jensen_encodings.jensen_gap import Strengthening, strengthen
from jensen_encodings.pyomo_model import compile_model

MILP_TOLERANCE = 1e-6  # HiGHS's, on rows and integrality
ENTRIES_PER_SECOND = 3e5  # of a model, built and handed to HiGHS; a slow machine does as many
ROWS = Strengthening(gap_lower=True, gap_upper=False, differences=False, symmetry=True)


def solve_midpoint_program(
    data: NetworkData,
    judge: Judge,
    *,
    twins: Sequence[Twins] = (),
    gap: float,
    deadline: Deadline,
    threads: int,
    seed: int,
    progress: Callable[[Progress], None] | None,
    rows: Strengthening | None = ROWS,
    search: bool = True,
    amounts: Mapping[Neuron, float] | None = None,
) -> Found:
    """Solve the three-copy program; its upper bound holds up to :data:`MILP_TOLERANCE`.

    Parameters
    ----------
    twins : sequence of groups
        Whose members share a binary in each copy.
    rows : Strengthening or None
        Rows that are added to the plain program.
    search : bool
        Look for a pair first, and give it to HiGHS as a start.
    amounts : mapping from (block, index) to float, optional
        Of :func:`jensen.midpoint.raised.raises`, for one more row.

    Raises
    ------
    SolverError
        If HiGHS fails.
    """
    began = time.perf_counter()
    incumbent = PairIncumbent(data, judge, deadline)
    if _entries(data) > ENTRIES_PER_SECOND * deadline.left():
        # the model would be built long after time is up
        if search:
            incumbent.start(seed, deadline)
        return _without_program(data, incumbent, began)
    program = midpoint_program(data, groups=twins)
    if rows is not None:
        strengthen(program, rows)
    if amounts is not None and any(amounts.values()):
        _add_convexity_row(program, amounts)
    if deadline.over():
        return _without_program(data, incumbent, began)
    compiled = compile_model(program.model)
    if search:
        incumbent.start(seed, deadline)
    start = _start(program, compiled, incumbent) if incumbent.best[0] else None
    built = time.perf_counter()
    options = SolveOptions(
        time_limit=deadline.left(),
        threads=threads,
        relative_gap=gap,
        absolute_gap=MILP_TOLERANCE,
        seed=seed,
    )
    try:
        result = solve(compiled, options, start=start, progress=progress)
    except SolverFailure as error:
        raise SolverError(str(error)) from error
    exact, _, x, y = incumbent.best
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
        if found > exact:
            exact, (x, y) = found, pair
    upper = max(result.bound, 0.0, round_up(exact) if exact else 0.0)
    return Found(
        status=str(result.status),
        exact=exact,
        x=x,
        y=y,
        upper=min(width_bound(data), upper),
        nodes=result.nodes,
        times={"build": built - began, "solve": result.seconds},
    )


def _add_convexity_row(program: MidpointProgram, amounts: Mapping[Neuron, float]) -> None:
    """Say that the violation is at most ``sum d e`` (theory, section 6)."""
    copies = (program.at_x, program.at_y, program.at_m)
    violation: Any = copies[2].output - 0.5 * copies[0].output - 0.5 * copies[1].output
    gaps: Any = 0.0
    for neuron, amount in amounts.items():
        h: list[Any] = [copy.post(*neuron) for copy in copies]
        gaps = gaps + amount * (0.5 * (h[0] + h[1]) - h[2])
    program.model.convexity = pyo.Constraint(expr=violation - gaps <= 0)


def _entries(data: NetworkData) -> int:
    """Return how many weights the three copies of the network hold."""
    return 3 * sum(len(weight.data) for layer in data.layers for weight in layer.csr.values())


def _without_program(data: NetworkData, incumbent: PairIncumbent, began: float) -> Found:
    """Return what is known where time is up before HiGHS starts."""
    exact, _, x, y = incumbent.best
    bound = max(width_bound(data), round_up(exact) if exact else 0.0)
    spent = {"build": time.perf_counter() - began, "solve": 0.0}
    return Found(status="time limit", exact=exact, x=x, y=y, upper=bound, nodes=0, times=spent)


def _start(program: MidpointProgram, compiled: Program, incumbent: PairIncumbent) -> FloatArray:
    """Return a pair and its activations as a start; HiGHS finds the rest."""
    column = {id(v): i for i, v in enumerate(compiled.columns)}
    start = np.full(len(compiled.columns), np.nan)
    _, _, x, y = incumbent.best
    for copy, point in ((program.at_x, x), (program.at_y, y), (program.at_m, (x + y) / 2)):
        for variable, value in zip(copy.inputs, point, strict=True):
            start[column[id(variable)]] = value
        z = program.data.evaluate_layers(point)
        for (name, index), switch in copy.switches.items():
            if switch.variable is not None and id(switch.variable) in column:
                on = float(z[name][0, index] > 0)
                start[column[id(switch.variable)]] = (on - switch.constant) / switch.slope
    return start
