"""Solve a model with networks in it, by HiGHS through Pyomo's solver interface.

Outputs in the formulation ``cuts`` start with a few affine functions. After each solve those
that are below f at the solution get the affine piece there, as a new row of the persistent
solver; in a model with integers the linear relaxation goes first, and the mixed-integer program
is solved again after each round. f is the maximum of finitely many pieces, all of which are
valid, so that this ends; what it ends with is optimal up to the solver's and this loop's
tolerance.

References
----------
M. A. Duran, I. E. Grossmann. An outer-approximation algorithm for a class of mixed-integer
nonlinear programs. Mathematical Programming 36, 1986.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import pyomo.environ as pyo
from pyomo.contrib.solver.common.base import LegacySolverWrapper, PersistentSolverBase
from pyomo.contrib.solver.common.results import SolutionStatus, TerminationCondition
from pyomo.contrib.solver.common.util import IncompatibleModelError
from pyomo.contrib.solver.solvers.highs import Highs

from jensen.errors import (
    InfeasibleError,
    OptionError,
    SolverError,
    UnboundedError,
    UndecidedError,
)
from jensen.surrogate.direction import pushes_on
from jensen.surrogate.handle import GUARD, Formulation, NetworkHandle, Output
from jensen.surrogate.limits import beyond_highs, narrow_input
from jensen.surrogate.scaling import objective_exponent
from jensen.text import shown
from jensen.verdicts.options import checked_number, checked_seconds
from jensen_encodings.deadline import Deadline

# HiGHS's own are 1e-6 and 1e-7: with them, optima moved by as much times the weights, and boxes
# of that width had none
TOLERANCES = {"mip_feasibility_tolerance": 1e-9, "primal_feasibility_tolerance": 1e-9}
STALLED = 1e-3  # share of the tolerance by which a round has to move something


@dataclass(frozen=True, eq=False)
class SurrogateResult:
    """The end of a solve; the values are in the model.

    Attributes
    ----------
    value : float
        Of the objective, with every output at ``f(inputs)``.
    bound : float
        The solver's bound, up to its tolerances.
    optimal : bool
        Whether value and bound met; False where a limit ended the search.
    error : float
        By how much an output missed f before it was set to it, at most.
    rounds, cuts : int
    seconds : float
        Wall clock.
    results : object
        Pyomo's own record of the last solve.

    See :func:`solve` for an example.
    """

    value: float
    bound: float
    optimal: bool
    error: float
    rounds: int
    cuts: int
    seconds: float
    results: Any


def handles(model: Any) -> list[NetworkHandle]:
    """Return the networks in a model."""
    if not hasattr(model, "block_data_objects"):
        raise OptionError(f"model {shown(model)}: a Pyomo model is needed")
    blocks = model.block_data_objects(active=True, descend_into=True)
    found = [getattr(block, "jensen_handle", None) for block in blocks]
    return [handle for handle in found if isinstance(handle, NetworkHandle)]


def check(model: Any) -> list[NetworkHandle]:
    """Make sure that every network of a model has a formulation that is right in it.

    Outputs whose formulation was picked by ``auto`` change to big_m where they have to.

    Returns
    -------
    list of NetworkHandle

    Raises
    ------
    OptionError
        If one is pushed the wrong way, or a parameter has changed that a domain was made of.
    """
    found = handles(model)
    for handle in found:
        handle.parts[0].arguments.check_parameters()
    parts = [part for handle in found for part in handle.parts]
    variables = [part.variable for part in parts]
    read = [(h.block.name, given) for h in found for given in h.parts[0].arguments.inputs]
    pushes = pushes_on(model, variables, [handle.block for handle in found], read)
    for handle in found:
        handle.check(pushes)
    return found


def solve(
    model: Any,
    *,
    solver: Any = None,
    tolerance: float = 1e-7,
    time_limit: float | None = None,
    max_rounds: int = 10_000,
) -> SurrogateResult:
    """Minimise or maximise a model with networks in it.

    Parameters
    ----------
    model : pyomo ConcreteModel
        With one active objective. Its variables get the solution.
    solver : pyomo.contrib.solver.solvers.highs.Highs, optional
        With options of your own.
    tolerance : float
        By how much an output may miss f, relative to f and to what f varies.
    time_limit : float or None
        Seconds of wall clock for everything.
    max_rounds : int

    Returns
    -------
    SurrogateResult

    Raises
    ------
    InfeasibleError, UnboundedError
        If HiGHS says so.
    SolverError
        If HiGHS fails, or finds no point where an input varies by as little as its tolerances.
    UndecidedError
        If a limit ended the search without a feasible point, or cuts of unbounded inputs do not
        bound the objective.
    OptionError
        If a formulation would be wrong in this model, if it holds no network, or if it is beyond
        HiGHS: rows that are not linear, objectives that are neither linear nor quadratic, or
        quadratic ones beside integers or binaries.

    Examples
    --------
    >>> import jensen, pyomo.environ as pyo
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])  # |x|
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0], bounds=(1, 2))
    >>> f = jensen.surrogate.add_network(model, net, model.x)
    >>> model.cost = pyo.Objective(expr=f.output)
    >>> found = solve(model)
    >>> round(found.value, 6), found.optimal
    (1.0, True)
    """
    began = time.monotonic()
    tolerance = checked_number(tolerance, "tolerance", positive=True)
    time_limit = checked_seconds(time_limit)
    if not isinstance(max_rounds, Integral) or max_rounds < 1:
        raise OptionError(f"max_rounds {shown(max_rounds)}: a whole number >= 1 is needed")
    solver = Highs() if solver is None else solver
    if not isinstance(solver, PersistentSolverBase) or isinstance(solver, LegacySolverWrapper):
        raise OptionError(
            f"solver {shown(solver)}: pyomo.contrib.solver.solvers.highs.Highs() is needed"
        )
    found = check(model)
    if not found:
        raise OptionError("the model holds no network: add one with add_network")
    parts = [part for handle in found for part in handle.parts]
    cut = [part for part in parts if part.formulation is Formulation.CUTS]
    spreads = {
        id(part.variable): part.spread
        for part in parts
        if part.spread or part.arguments.ground.bounded
    }
    loop = _Loop(model, cut, solver, tolerance, time_limit, max_rounds, began, spreads)
    try:
        with _unguarded(parts):
            if cut and loop.integers:
                with loop.relaxed():
                    loop.run()
            done = loop.run()
    except (InfeasibleError, SolverError) as error:
        if narrow := narrow_input(parts):
            raise SolverError(f"{error}; but {narrow}") from None
        raise
    return loop.result(parts, done)


class _Loop:
    def __init__(
        self,
        model: Any,
        parts: list[Output],
        solver: Any,
        tolerance: float,
        time_limit: float | None,
        max_rounds: int,
        began: float,
        spreads: Mapping[int, float],
    ) -> None:
        self._model, self._parts, self._tolerance = model, parts, tolerance
        self._began, self._max_rounds = began, max_rounds
        self._deadline = Deadline.after(time_limit)
        self._solver = solver
        self._rounds = self._cuts = 0
        self._last: Any = None
        objectives = list(model.component_data_objects(pyo.Objective, active=True))
        if len(objectives) != 1:
            raise OptionError(f"the model has {len(objectives)} active objectives: one is needed")
        self._objective = objectives[0]
        self._options = self._scaled_objective(spreads)
        variables = model.component_data_objects(pyo.Var, descend_into=True)
        self.integers = [v for v in variables if not v.is_continuous() and not v.fixed]

    def _scaled_objective(self, spreads: Mapping[int, float]) -> dict[str, Any]:
        """Return the solver's options, which scale an objective that varies little.

        What the caller's solver says of itself comes first.
        """
        own = dict(self._solver.config.solver_options)
        exponent = objective_exponent(self._objective, spreads)
        return {"user_objective_scale": exponent} | TOLERANCES | own

    @contextmanager
    def relaxed(self) -> Iterator[None]:
        """Let the integers be continuous for a while, within the same bounds."""
        kept = [(v, v.domain, v.lower, v.upper) for v in self.integers]
        try:
            for v, _, _, _ in kept:
                low, high = v.bounds
                v.domain = pyo.Reals
                v.setlb(low)
                v.setub(high)
            yield
        finally:
            for v, domain, low, high in kept:
                v.setlb(low)
                v.setub(high)
                v.domain = domain

    def run(self) -> bool:
        """Solve and cut until nothing is missed; whether that was reached."""
        solver = self._solver
        try:
            solver.set_instance(self._model)
        except IncompatibleModelError as error:
            raise OptionError(self._beyond() or f"HiGHS: {error}") from None
        watching = dict.fromkeys(solver.config.auto_updates.keys(), False)
        while True:
            self._last = self._solve(watching)
            self._rounds += 1
            rows = [row for part in self._parts for row in self._cut(part)]
            if not rows:
                return bool(self._last.solution_status == SolutionStatus.optimal)
            self._cuts += len(rows)
            over = self._deadline.over() or self._rounds >= self._max_rounds
            if over:
                return False
            solver.add_constraints(rows)

    def _cut(self, part: Output) -> list[Any]:
        """Add the affine piece of an output that is missed."""
        assert part.term is not None
        miss = part.miss()
        accepted = self._tolerance * max(abs(part.value()), part.spread)
        if not miss > accepted:
            return []
        x = part.point()
        _, cuts = part.term.at(x)
        now = part.sign * float(pyo.value(part.variable))
        risen = float((cuts.gradient @ x + cuts.offset).max()) - now
        # what the solver's own tolerance hides cannot be cut off
        return part.add_cuts(cuts) if risen > STALLED * accepted else []

    def _run_solver(self, watching: dict[str, bool]) -> Any:
        left = self._deadline.seconds(0.01)
        return self._solver.solve(
            self._model,
            auto_updates=watching,
            load_solutions=False,
            raise_exception_on_nonoptimal_result=False,
            solver_options=self._options,
            rel_gap=min(self._tolerance, 1e-6),
            abs_gap=0.0,  # HiGHS's 1e-6 is large where f is small
            **({} if left is None else {"time_limit": left}),
        )

    def _told_apart(self, watching: dict[str, bool]) -> TerminationCondition:
        """Tell infeasible from unbounded: without an objective there is only one of them."""
        objective, expression = self._objective, self._objective.expr
        try:
            objective.set_value(0.0)
            self._solver.set_objective(objective)
            ended = self._run_solver(watching).termination_condition
        finally:
            objective.set_value(expression)
            self._solver.set_objective(objective)
        feasible = TerminationCondition.convergenceCriteriaSatisfied
        return TerminationCondition.unbounded if ended == feasible else ended

    def _solve(self, watching: dict[str, bool]) -> Any:
        results = self._run_solver(watching)
        ended = results.termination_condition
        if ended == TerminationCondition.infeasibleOrUnbounded:
            ended = self._told_apart(watching)
        if ended in (
            TerminationCondition.provenInfeasible,
            TerminationCondition.locallyInfeasible,
        ):
            raise InfeasibleError("HiGHS: no point satisfies the model's rows")
        if ended in (TerminationCondition.unbounded, TerminationCondition.infeasibleOrUnbounded):
            if all(part.arguments.ground.bounded for part in self._parts):
                raise UnboundedError(f"HiGHS: the model is {_words(ended)}: bound the inputs")
            # f may grow faster than the pieces that are known: only with bounded inputs it cannot
            raise UndecidedError(
                f"HiGHS: with the affine pieces found so far the model is {_words(ended)}: "
                "bound the inputs, or use the formulation epigraph"
            )
        if results.solution_status in (SolutionStatus.optimal, SolutionStatus.feasible):
            results.solution_loader.load_vars()
            return results
        if ended == TerminationCondition.maxTimeLimit:
            raise UndecidedError("the time limit came before a feasible point")
        if beyond := self._beyond():
            raise OptionError(beyond)
        raise SolverError(f"HiGHS stopped with {_words(ended)}")

    def _beyond(self) -> str:
        return beyond_highs(self._model, self._objective, bool(self.integers))

    def result(self, parts: list[Output], done: bool) -> SurrogateResult:
        """Set every output to f, and say how good that is."""
        error = max((abs(part.miss()) for part in parts), default=0.0)
        for part in parts:
            part.variable.set_value(part.value(), skip_validation=True)
        bound = self._last.objective_bound
        return SurrogateResult(
            float(pyo.value(self._objective)),
            math.nan if bound is None else float(bound),
            done,
            error,
            self._rounds,
            self._cuts,
            time.monotonic() - self._began,
            self._last,
        )


@contextmanager
def _unguarded(parts: list[Output]) -> Iterator[None]:
    guards = [getattr(part.block, GUARD, None) for part in parts]
    try:
        for guard in guards:
            if guard is not None:
                guard.deactivate()
        yield
    finally:
        for guard in guards:
            if guard is not None:
                guard.activate()


def _words(condition: TerminationCondition) -> str:
    if condition == TerminationCondition.infeasibleOrUnbounded:
        return "infeasible or unbounded"
    return str(condition.name)
