"""From a problem to an answer: search, exact feasibility, proved bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jensen.errors import SolverError, UndecidedError
from jensen.optimise.answers import Minimum, Proximal, answer
from jensen.optimise.curved import CurvedTerm, minimise_curved, proximal_curved
from jensen.optimise.cuts import no_cuts
from jensen.optimise.cutting_planes import CuttingPlanes, EmptyCubeError, Pool
from jensen.optimise.integers import IntegerSearch
from jensen.optimise.problem import Limits, Problem
from jensen.optimise.proximal import proximal
from jensen.optimise.quadratic_form import QuadraticForm
from jensen.types import FloatArray


@np.errstate(over="ignore", invalid="ignore")  # what overflows proves nothing
def solve(problem: Problem, limits: Limits, pool: Pool) -> Minimum:
    """Minimise, and prove how good the answer is.

    Raises
    ------
    InfeasibleError
        If no point is feasible.
    UnboundedError
        If the objective falls for ever.
    UndecidedError
        If neither a point nor either of these was found within the limits.
    """
    if isinstance(problem.convex, CurvedTerm):
        if not problem.integers:
            return minimise_curved(problem, limits, pool)
        problem.convex.refuse_unbounded()
        pool = Pool(no_cuts(len(problem.linear)))  # the other one keeps cuts of the network alone
    if problem.integers:
        return IntegerSearch(problem, limits, pool).run()
    search = CuttingPlanes(problem, limits, pool)
    try:
        found = search.run()
    except EmptyCubeError:
        # exact arithmetic decides: this raises if no point is feasible
        problem.feasible.restore(search.middle())
        raise UndecidedError(
            "HiGHS takes the rows for infeasible, though a point satisfies them: "
            "the set is thinner than its tolerance"
        ) from None
    return replace(answer(problem, found.x, found.lower), evaluations=found.evaluations)


def proximal_point(
    problem: Problem, center: FloatArray, step: float, limits: Limits, pool: Pool
) -> Proximal:
    """Return the proximal point of a problem's objective, which has no linear part."""
    convex = problem.convex
    if not isinstance(convex, CurvedTerm):
        try:
            return proximal(problem, center, step, limits, pool)
        except SolverError:  # at extreme scales: steps in between have other ones
            nothing = QuadraticForm.of_polynomial({}, len(center))
            convex = CurvedTerm(convex, nothing, convex.values)
    return proximal_curved(replace(problem, convex=convex), center, step, limits, pool)
