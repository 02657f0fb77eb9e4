"""Convex networks over integer points: branch and bound with bounds that hold.

Every node is a box of the integer inputs. Its linear program over the cuts goes on from the last
basis; multipliers give a bound of the node that holds in real arithmetic, and a node that HiGHS
finds empty is closed by a bound above everything (Farkas multipliers, evaluated the same way).
Where the integer inputs of a node's point are integral, a cut at that point is added and the
node solved again. All cuts hold at all nodes. The node with the least bound comes first.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from jensen.errors import InfeasibleError, OptionError, UndecidedError
from jensen.optimise.answers import Minimum, answer
from jensen.optimise.cutting_planes import CuttingPlanes, EmptyCubeError, Pool
from jensen.optimise.dual_bound import box_bound, proves_empty
from jensen.optimise.epigraph import EpigraphLp, LpEnd, LpPoint
from jensen.optimise.problem import Limits, Problem
from jensen.types import FloatArray
from jensen_encodings.deadline import Deadline

INTEGRAL = 1e-7  # how near an integer the solver's value has to be


@dataclass(frozen=True, eq=False)
class BoxNode:
    """A box of the inputs, and a bound of the objective in it that holds."""

    lower: FloatArray
    upper: FloatArray
    bound: float


class IntegerSearch:
    """One search over integer points.

    Parameters
    ----------
    problem : Problem
        Some of whose inputs are integers; on a bounded domain.
    limits : Limits
    pool : Pool

    References
    ----------
    R. J. Dakin. A tree-search algorithm for mixed integer programming problems. The Computer
    Journal 8, 1965.
    """

    def __init__(self, problem: Problem, limits: Limits, pool: Pool) -> None:
        if not problem.feasible.bounded:
            raise OptionError("integer inputs need a bounded domain: a box, or rows around it")
        self.problem, self.limits, self.pool = problem, limits, pool
        self._integers = np.array(problem.integers, dtype=np.intp)
        self._relaxed = CuttingPlanes(problem, limits, pool)
        self._best: Minimum | None = None
        self._closed = math.inf
        self._lost = False  # a node that HiGHS calls empty, which was not proved
        self._nodes = 0
        self._evaluations = 0
        self._deadline = Deadline.after(limits.time_limit)

    def run(self) -> Minimum:
        """Search until no node can hold a better point."""
        lower, upper = self._rounded(self.problem.feasible.lower, self.problem.feasible.upper)
        if (lower > upper).any():
            raise InfeasibleError("no integer lies between the bounds of an integer input")
        try:
            relaxed = self._relaxed.run()
        except EmptyCubeError:
            self.problem.feasible.restore((lower + upper) / 2)
            raise UndecidedError(
                "HiGHS takes the rows for infeasible, which they are not"
            ) from None
        lp = EpigraphLp(
            self.problem.feasible,
            lower,
            upper,
            self.problem.linear,
            self.problem.convex.weights,
            self.pool.cuts,
            self.problem.integers,
        )
        self._find_good_points(lp, relaxed.x, lower, upper)
        order = itertools.count()
        heap = [(relaxed.lower, next(order), BoxNode(lower, upper, relaxed.lower))]
        while heap and heap[0][0] < self._cutoff() and not self._over():
            for child in self._expand(lp, heapq.heappop(heap)[2]):
                heapq.heappush(heap, (child.bound, next(order), child))
        self.pool.keep(lp.cuts, np.zeros(len(lp.cuts)))
        if self._best is None:
            if heap:
                raise UndecidedError("no integer point was found within the limits")
            if self._lost:
                raise UndecidedError(
                    "no integer point was found, and it is not proved that none is there"
                )
            raise InfeasibleError("no integer point of the domain satisfies all rows")
        proved = min([self._closed, self._best.value, *(entry[0] for entry in heap)])
        evaluations = self._relaxed.evaluations + self._evaluations
        return replace(self._best, lower=proved, evaluations=evaluations, nodes=self._nodes)

    def _find_good_points(
        self, lp: EpigraphLp, x: FloatArray, lower: FloatArray, upper: FloatArray
    ) -> None:
        """Try the integers next to the relaxed point; where they fail, let HiGHS search once.

        Its search is not repeated until it agrees with f, as is usual: with hundreds of cuts
        each takes longer than all nodes here.
        """
        self._solve_fixed(lp, *self._fixed(x, lower, upper))
        if self._best is not None or self._over():
            return
        whole = EpigraphLp(
            self.problem.feasible,
            lower,
            upper,
            self.problem.linear,
            self.problem.convex.weights,
            lp.cuts,
            self.problem.integers,
        )
        point = whole.solve_integer(self._deadline.seconds(1e-2))
        if point.end is LpEnd.OPTIMAL:
            self._solve_fixed(lp, *self._fixed(point.x, lower, upper))

    def _fixed(
        self, x: FloatArray, lower: FloatArray, upper: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return a box with the integer inputs fixed at the integers next to x."""
        low, high = lower.copy(), upper.copy()
        nearest = np.rint(x[self._integers])
        nearest = np.clip(nearest, lower[self._integers], upper[self._integers])
        low[self._integers] = high[self._integers] = nearest
        return low, high

    def _solve_fixed(self, lp: EpigraphLp, lower: FloatArray, upper: FloatArray) -> float:
        """Add cuts until the integer inputs' choice is worth what the program says; its bound."""
        lp.set_bounds(lower, upper)
        bound = -math.inf
        while True:
            point = lp.solve()
            if point.end is not LpEnd.OPTIMAL:
                return self._bound_of_empty(lp, point, lower, upper, bound)
            bound = max(bound, self._bound(lp, point, lower, upper))
            if bound >= self._cutoff() or self._over():
                return bound
            before = lp.values_at(point.x)
            self._look_at(lp, point.x, lower, upper)
            if not lp.values_at(point.x) > before + 0.1 * self._accepted():
                return bound

    def _look_at(self, lp: EpigraphLp, x: FloatArray, lower: FloatArray, upper: FloatArray) -> None:
        """Add the cut at a point whose integer inputs are integral; keep it if it is the best."""
        low, high = self._fixed(x, lower, upper)
        x = np.clip(x, low, high)
        self._evaluations += 1
        value, cuts = self.problem.convex.at(x)
        lp.add(cuts)
        value += float(self.problem.linear @ x)
        if self._best is not None and value >= self._best.value:
            return
        fixed = replace_bounds(self.problem, low, high)
        try:
            found = answer(fixed, x)
        except InfeasibleError:
            return
        if self._best is None or found.value < self._best.value:
            self._best = found

    def _expand(self, lp: EpigraphLp, node: BoxNode) -> list[BoxNode]:
        """Bound a node; return what it falls into, nothing if it is closed."""
        self._nodes += 1
        lp.set_bounds(node.lower, node.upper)
        bound = node.bound
        while True:
            point = lp.solve()
            if point.end is not LpEnd.OPTIMAL:
                bound = self._bound_of_empty(lp, point, node.lower, node.upper, bound)
                self._lost = self._lost or bound < math.inf
                return self._close(bound)
            bound = max(bound, self._bound(lp, point, node.lower, node.upper))
            if bound >= self._cutoff():
                return self._close(bound)
            values = point.x[self._integers]
            away = np.abs(values - np.rint(values))
            free = node.lower[self._integers] < node.upper[self._integers]
            if away.max() > INTEGRAL:
                index = int(self._integers[away.argmax()])
                return self._split(node, index, math.floor(point.x[index]), bound)
            before = lp.values_at(point.x)
            self._look_at(lp, point.x, node.lower, node.upper)
            if lp.values_at(point.x) > before + 0.1 * self._accepted() and not self._over():
                continue
            if not free.any():
                return self._close(bound)
            index = int(self._integers[free.argmax()])
            middle = math.floor(node.lower[index] / 2 + node.upper[index] / 2)
            return self._split(node, index, middle, bound)

    def _split(self, node: BoxNode, index: int, last: float, bound: float) -> list[BoxNode]:
        """Return the parts of a node below and above an integer."""
        upper, lower = node.upper.copy(), node.lower.copy()
        upper[index], lower[index] = last, last + 1.0
        return [BoxNode(node.lower, upper, bound), BoxNode(lower, node.upper, bound)]

    def _close(self, bound: float) -> list[BoxNode]:
        self._closed = min(self._closed, bound)
        return []

    def _bound(self, lp: EpigraphLp, point: LpPoint, lower: FloatArray, upper: FloatArray) -> float:
        problem = self.problem
        return box_bound(
            problem.linear,
            problem.convex.weights,
            lp.cuts,
            point.duals,
            problem.feasible,
            lower,
            upper,
        )

    def _bound_of_empty(
        self, lp: EpigraphLp, point: LpPoint, lower: FloatArray, upper: FloatArray, bound: float
    ) -> float:
        """Return infinity if a box is proved to hold no feasible point, else its old bound."""
        feasible = self.problem.feasible
        if point.end is LpEnd.INFEASIBLE and proves_empty(point.duals, feasible, lower, upper):
            return math.inf
        try:
            replace_bounds(self.problem, lower, upper).feasible.restore((lower + upper) / 2)
        except InfeasibleError:
            return math.inf
        return bound

    def _accepted(self) -> float:
        return self._relaxed.accepted(math.inf if self._best is None else self._best.value)

    def _cutoff(self) -> float:
        return math.inf if self._best is None else self._best.value - self._accepted()

    def _over(self) -> bool:
        spent = self._evaluations + self._relaxed.evaluations >= self.limits.evaluations
        return spent or self._deadline.over()

    def _rounded(self, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        low, high = lower.copy(), upper.copy()
        low[self._integers] = np.ceil(lower[self._integers])
        high[self._integers] = np.floor(upper[self._integers])
        return low, high


def replace_bounds(problem: Problem, lower: FloatArray, upper: FloatArray) -> Problem:
    """Return a problem with its feasible set cut to a box."""
    return replace(problem, feasible=problem.feasible.within(lower, upper))
