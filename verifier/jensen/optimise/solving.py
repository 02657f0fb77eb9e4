"""From a problem to an answer: search, exact feasibility, proved bounds."""

from __future__ import annotations

from dataclasses import replace

from jensen.errors import UndecidedError
from jensen.optimise.answers import Minimum, answer
from jensen.optimise.cutting_planes import CuttingPlanes, EmptyCubeError, Pool
from jensen.optimise.integers import IntegerSearch
from jensen.optimise.problem import Limits, Problem


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
