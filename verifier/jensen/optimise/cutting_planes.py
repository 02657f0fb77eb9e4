"""Cutting planes: minimise a convex network over a polyhedron by linear programs.

The program over the cuts found so far gives a point and a lower bound; f and its gradient there
give the next cut [Kelley 1960]. f is piecewise affine, so that this ends after finitely many
cuts, and mostly after a few per input. While the gap is wide the cut is taken half-way between
that point and the best one, which steadies the search where there are many inputs
[Ben-Ameur and Neto 2007].

Where the domain is unbounded x is first kept in a cube, which grows until its sides carry no
multipliers; the bound that is proved in the end knows nothing of the cube.

References
----------
J. E. Kelley. The cutting-plane method for solving convex programs. J. SIAM 8, 1960.
W. Ben-Ameur, J. Neto. Acceleration of cutting-plane and column generation algorithms.
Networks 49, 2007.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from jensen.errors import UnboundedError, UndecidedError
from jensen.optimise.cuts import Cuts, no_cuts
from jensen.optimise.dual_bound import box_bound, exact_bound, slope_left
from jensen.optimise.epigraph import Duals, EpigraphLp, LpEnd, LpPoint
from jensen.optimise.feasible import FeasibleSet
from jensen.optimise.ground import dot
from jensen.optimise.problem import Limits, Problem
from jensen.types import FloatArray
from jensen_encodings.deadline import Deadline

STEADY_INPUTS = 16  # from so many inputs on the search is steadied
STEADY_GAP = 1e-3  # until the gap is this share of the first one
HALF_WAY = 0.5
FIRST_REACH, LAST_REACH, GROWTH = 2.0**6, 2.0**48, 2.0**6
NO_SLOPE = 1e-7  # what multipliers of the cube's sides leave at most, if they are 0
LEAST_SECONDS = 1e-2  # for a search that begins when time is up
KEPT = 400  # cuts, beside five per input, that later problems start from


@dataclass(eq=False)
class Pool:
    """The cuts of a function, kept for later problems.

    The cuts hold on the whole domain, so that each problem makes the next one cheaper.
    """

    cuts: Cuts

    def keep(self, cuts: Cuts, used: FloatArray) -> None:
        """Keep cuts of one problem, those with multipliers last."""
        most = KEPT + 5 * cuts.gradient.shape[1] * (1 + int(cuts.term.max(initial=0)))
        order = np.argsort(used > 0, kind="stable")
        chosen = order if len(order) <= most else order[-most:]
        self.cuts = cuts.only(np.sort(chosen))


@dataclass(frozen=True, eq=False)
class Found:
    """The end of a search.

    Attributes
    ----------
    x : array (inputs,)
        Feasible up to the solver's tolerance.
    lower : float
        Proved.
    evaluations : int
    """

    x: FloatArray
    lower: float
    evaluations: int


class CuttingPlanes:
    """One search.

    Parameters
    ----------
    problem : Problem
    limits : Limits
    pool : Pool
        Cuts to start from; those of the search are added.
    """

    def __init__(self, problem: Problem, limits: Limits, pool: Pool) -> None:
        self.problem, self.limits, self.pool = problem, limits, pool
        self.evaluations = 0
        self._deadline = Deadline.after(limits.time_limit)
        self._first_gap = math.nan

    def run(self) -> Found:
        """Search, prove, and keep the cuts."""
        feasible = self.problem.feasible
        if feasible.bounded:
            found, point, lp = self._search(feasible.lower, feasible.upper)
            lower = self.box_bound(lp, point.duals, feasible.lower, feasible.upper)
            self.pool.keep(lp.cuts, point.duals.cuts)
            return Found(found, lower, self.evaluations)
        return self._unbounded()

    def _unbounded(self) -> Found:
        feasible, reach = self.problem.feasible, FIRST_REACH
        while True:
            lower, upper = np.maximum(feasible.lower, -reach), np.minimum(feasible.upper, reach)
            beside = np.clip(self.middle(), -reach, reach)
            lower, upper = np.minimum(lower, beside - reach), np.maximum(upper, beside + reach)
            lower, upper = np.maximum(lower, feasible.lower), np.minimum(upper, feasible.upper)
            try:
                x, point, lp = self._search(lower, upper)
            except EmptyCubeError:
                # the cube misses the rows; where nothing satisfies them this raises
                center = np.abs(feasible.restore(beside).x).max(initial=0.0)
                reach = max(GROWTH * reach, 2.0 * float(center))
                if reach > LAST_REACH:
                    raise UndecidedError("the rows hold nowhere near the origin") from None
                continue
            self.pool.keep(lp.cuts, point.duals.cuts)
            bound = self._bound_without_cube(point, lp)
            if bound > -math.inf:
                return Found(x, bound, self.evaluations)
            if reach == FIRST_REACH:
                self._refuse_rays()
            if reach >= LAST_REACH or self._over():
                return Found(x, bound, self.evaluations)
            reach *= GROWTH

    def _bound_without_cube(self, point: LpPoint, lp: EpigraphLp) -> float:
        """Return a bound that holds beyond the cube, if its sides carry no multipliers."""
        linear, feasible = self.problem.linear, self.problem.feasible
        left = slope_left(linear, lp.cuts, point.duals, feasible)
        if left.max(initial=0.0) > NO_SLOPE:
            return -math.inf
        return exact_bound(linear, self.problem.convex, lp.cuts, point, feasible)

    def _refuse_rays(self) -> None:
        """Raise if the objective falls for ever along a direction of the set, or if it is empty.

        ``lim f(x + s d) / s`` is the network without its biases, and convex in d on the
        recession cone of the domain: it is minimised over the directions of the unit cube.
        """
        feasible = self.problem.feasible
        cone = self.problem.convex.recession()
        rows = np.flatnonzero(np.arange(len(feasible.b)) >= len(feasible.ground.b))
        beside = (feasible.A[rows], np.zeros(len(rows)))
        directions = FeasibleSet(cone.ground, beside, (feasible.E, np.zeros(len(feasible.e))))
        problem = Problem(cone, self.problem.linear, directions)
        left = self._deadline.seconds(LEAST_SECONDS)
        limits = Limits(time_limit=left, evaluations=self.limits.evaluations)
        found = CuttingPlanes(problem, limits, Pool(no_cuts(len(feasible.lower)))).run()
        ray = directions.restore(found.x)
        rate = cone.exact(ray.point) + dot(self.problem.linear.tolist(), ray.point)
        if rate < 0:
            feasible.restore(self.middle())  # a set without points has no direction: this says so
            text = ", ".join(f"{v:.4g}" for v in ray.x[:6]) + (", ..." if len(ray.x) > 6 else "")
            raise UnboundedError(
                f"the objective falls for ever along ({text}): bound the domain, or add rows",
                ray.x,
            )

    def _search(
        self, lower: FloatArray, upper: FloatArray
    ) -> tuple[FloatArray, LpPoint, EpigraphLp]:
        """Minimise over a box until the gap closes."""
        problem, convex = self.problem, self.problem.convex
        start = np.clip(self.middle(), lower, upper)
        lp = EpigraphLp(
            problem.feasible, lower, upper, problem.linear, convex.weights, self._start(start)
        )
        best, best_x, steady = math.inf, start, len(lower) >= STEADY_INPUTS
        self._first_gap = math.nan
        while True:
            point = self._solved(lp)
            x = point.x
            if steady and best < math.inf:
                x = HALF_WAY * x + (1.0 - HALF_WAY) * best_x
            value, cuts = self._evaluate(x)
            if value < best:
                best, best_x = value, x
            gap = best - point.objective
            if math.isnan(self._first_gap):
                self._first_gap = gap
            if gap <= self.accepted(best) or self._over():
                return best_x, point, lp
            steady = steady and gap > STEADY_GAP * self._first_gap
            before = lp.values_at(x)
            lp.add(cuts)
            # half-way cuts that change nothing, and cuts that the solver's tolerance hides
            if not lp.values_at(x) > before + 0.1 * self.accepted(best):
                if not steady:
                    return best_x, self._solved(lp), lp
                steady = False

    def _start(self, x: FloatArray) -> Cuts:
        """Return cuts to start from, at least one of each term."""
        known = self.pool.cuts
        if len(set(known.term.tolist())) == len(self.problem.convex.weights):
            return known
        return known.joined(self._evaluate(x)[1])

    def _evaluate(self, x: FloatArray) -> tuple[float, Cuts]:
        self.evaluations += 1
        value, cuts = self.problem.convex.at(x)
        return value + float(self.problem.linear @ x), cuts

    def _solved(self, lp: EpigraphLp) -> LpPoint:
        point = lp.solve()
        if point.end is LpEnd.OPTIMAL:
            return point
        if point.end is LpEnd.INFEASIBLE:
            raise EmptyCubeError
        raise UndecidedError("HiGHS could not solve the program over the cuts")

    def accepted(self, value: float) -> float:
        """Return the gap at which a search may stop."""
        varies = 0.0 if math.isnan(self._first_gap) else abs(self._first_gap)
        return self.limits.tolerance * max(abs(value), varies)

    def middle(self) -> FloatArray:
        """Return a point of the domain, about, within the bounds of the set."""
        center = np.array([float(v) for v in self.problem.convex.ground.center])
        return np.asarray(np.clip(center, self.problem.feasible.lower, self.problem.feasible.upper))

    def box_bound(
        self, lp: EpigraphLp, duals: Duals, lower: FloatArray, upper: FloatArray
    ) -> float:
        """Return a lower bound that holds on the feasible points of a box."""
        problem = self.problem
        return box_bound(
            problem.linear, problem.convex.weights, lp.cuts, duals, problem.feasible, lower, upper
        )

    def _over(self) -> bool:
        return self.evaluations >= self.limits.evaluations or self._deadline.over()


class EmptyCubeError(Exception):
    """No feasible point in the box that was looked at."""
