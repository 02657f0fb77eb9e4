"""Pyomo models: compiled into arrays once, solved, and the values put back.

HiGHS's own row-by-row API and Pyomo's solver interfaces cost more per model
(PERFORMANCE.md has the numbers).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from jensen_encodings.errors import EncodingError
from jensen_encodings.highs import solve
from jensen_encodings.program import Program, Progress, SolveOptions, SolveResult


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


def solve_model(
    model: pyo.ConcreteModel,
    options: SolveOptions | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> SolveResult:
    """Compile and solve a Pyomo model and store the best values in its variables.

    Parameters
    ----------
    model : pyomo ConcreteModel
    options : SolveOptions, optional
    progress : callable, optional
        Called with what HiGHS knows so far.

    Returns
    -------
    SolveResult

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
