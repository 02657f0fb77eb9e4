"""Proximal points of a certified network: ``argmin f(u) + |u - x|^2 / (2 step)``.

With the cuts ``g_i u + c_i`` in place of f this is a quadratic program, whose dual has one
multiplier per cut and row, however many inputs there are. For multipliers y and mu, and
``v = sum_i y_i g_i + mu A``, the minimum over the bounds of the domain separates:

    d(y) = sum_i y_i c_i - mu b + sum_j min over u_j of  v_j u_j + (u_j - x_j)^2 / (2 step),

attained at ``u = clip(x - step v)``. Every y gives a lower bound. Small programs are solved in u;
with many inputs d is maximised by Newton's method: quadratic programs that keep the bounds
active which are so now, with a line search. u gives the next cut. The objective is strongly
convex, so that the gap bounds the distance to the proximal point.

References
----------
C. Lemaréchal, J.-B. Hiriart-Urruty. Convex Analysis and Minimization Algorithms II, 1993, ch. XV.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import root_to_double
from jensen.arithmetic.intervals import SUBNORMAL, round_down, round_up, rounding_factor
from jensen.errors import SolverError
from jensen.optimise.answers import Proximal
from jensen.optimise.cuts import Cuts
from jensen.optimise.cutting_planes import Pool
from jensen.optimise.dual_bound import LIGHTEST, convex_shares, sum_below
from jensen.optimise.ground import dot
from jensen.optimise.multipliers import Distances, Dual
from jensen.optimise.problem import Limits, Problem
from jensen.optimise.quadratic import nearest_point
from jensen.types import FloatArray
from jensen_encodings.deadline import Deadline

PRIMAL_INPUTS = 128  # beyond these, and without rows, programs in the multipliers are smaller
VARIES = 1e-3  # the share of the first gap that counts as a size where the value is near 0
CALM = 25  # rounds after which a cut without multiplier is dropped


def proximal(
    problem: Problem, center: FloatArray, step: float, limits: Limits, pool: Pool
) -> Proximal:
    """Return the proximal point of a problem's objective.

    Parameters
    ----------
    problem : Problem
        Without a linear part and without integers.
    center : array (inputs,)
    step : float
        Positive.
    limits : Limits
    pool : Pool
        Cuts to start from.
    """
    return Search(problem, center, step, limits, pool).run()


class Search:
    """One search; :mod:`jensen.optimise.curved` puts other quadratic functions beside f."""

    def __init__(
        self, problem: Problem, center: FloatArray, step: float, limits: Limits, pool: Pool
    ) -> None:
        self._convex, self._feasible = problem.convex, problem.feasible
        self._center, self._step = center, step
        self._limits, self._pool = limits, pool
        self._rows = np.concatenate([self._feasible.A, self._feasible.E])
        self._sides = np.concatenate([self._feasible.b, self._feasible.e])
        self._deadline = Deadline.after(limits.time_limit)

    def run(self) -> Proximal:
        """Search, prove, and keep the cuts."""
        return self._answer(*self.search())

    def search(self) -> tuple[FloatArray, Cuts, Dual, int]:
        """Return the best point, the cuts, their multipliers, and how often f was evaluated."""
        weights = self._convex.weights
        _, first = self._convex.at(self._center)
        cuts = self._pool.cuts.joined(first)
        calm = np.zeros(len(cuts), dtype=np.intp)
        best, best_u, evaluations, gap_before = math.inf, self._center, 1, math.nan
        dual = self._maximise(cuts, None)
        while True:
            value, new = self._convex.at(dual.u)
            evaluations += 1
            if (objective := value + self._square(dual.u)) < best:
                best, best_u = objective, dual.u
            gap = best - dual.value
            gap_before = gap if math.isnan(gap_before) else gap_before
            accepted = self._limits.tolerance * max(abs(best), VARIES * abs(gap_before))
            over = evaluations >= self._limits.evaluations or self._deadline.over()
            before, after = (_model(some, dual.u, len(weights)) for some in (cuts, new))
            risen = float(weights @ (after - before))
            if gap <= accepted or over or not risen > 0.1 * accepted:
                break
            calm = np.where(dual.y[: len(cuts)] > 0, 0, calm + 1)
            kept = np.flatnonzero(calm <= CALM)
            own = np.concatenate([dual.y[: len(cuts)][kept], np.zeros(len(new))])
            cuts = cuts.only(kept).joined(new)
            calm = np.append(calm[kept], np.zeros(len(new), dtype=np.intp))
            try:
                dual = self._maximise(cuts, Dual(own, dual.u, dual.value))
            except SolverError:  # what is known so far has its proved gap
                dual = Dual(np.append(own, np.zeros(len(self._sides))), dual.u, dual.value)
                break
        self._pool.keep(cuts, dual.y[: len(cuts)])
        return best_u, cuts, dual, evaluations

    # ------------------------------------------------------------------------ the dual

    def _maximise(self, cuts: Cuts, dual: Dual | None) -> Dual:
        """Return the best multipliers for some cuts."""
        matrix = np.concatenate([cuts.gradient, self._rows])
        constants = np.concatenate([cuts.offset, -self._sides])
        term = np.concatenate([cuts.term, np.full(len(self._sides), -1)])
        sides = self._feasible.lower, self._feasible.upper
        if len(self._center) > PRIMAL_INPUTS and not len(self._sides):
            program = Distances(
                self._center, self._step, *sides, matrix, constants, term, self._convex.weights
            )
            return program.solve(np.zeros(0) if dual is None else dual.y)
        u, y = nearest_point(
            self._center,
            self._step,
            matrix,
            constants,
            term,
            self._convex.weights,
            len(self._feasible.e),
            sides,
        )
        return Dual(y, u, float(y @ (constants + matrix @ u)) + self._square(u))

    def _square(self, u: FloatArray) -> float:
        return float(((u - self._center) ** 2).sum()) / (2.0 * self._step)

    def _exact_square(self, u: Sequence[Fraction]) -> Fraction:
        way = [a - Fraction(b) for a, b in zip(u, self._center.tolist(), strict=True)]
        return sum((w * w for w in way), Fraction(0)) / (2 * Fraction(self._step))

    # ---------------------------------------------------------------------- the answer

    def _answer(self, u: FloatArray, cuts: Cuts, dual: Dual, evaluations: int) -> Proximal:
        restored = self._feasible.restore(u)
        value = self._convex.exact(restored.point) + self._exact_square(restored.point)
        lower = self.lower(cuts, dual)
        distance = distance_within(value, lower, self._step)
        return Proximal(restored.x, round_up(value), lower, distance, restored.point, evaluations)

    def lower(self, cuts: Cuts, dual: Dual) -> float:
        """Return d at multipliers, in real arithmetic, rounded down."""
        convex, count = self._convex, len(cuts)
        shares = convex_shares(np.maximum(dual.y[:count], 0.0), cuts.term, len(convex.weights))
        if shares is None:
            return -math.inf
        rows = dual.y[count:].copy()
        inequalities = len(self._feasible.b)
        rows[:inequalities] = np.maximum(rows[:inequalities], 0.0)
        return self._bound(cuts, shares, rows, dual.u)

    def _bound(self, cuts: Cuts, shares: FloatArray, rows: FloatArray, u: FloatArray) -> float:
        if not cuts.patterns:
            return self._rounded_bound(cuts, shares, rows)
        # the cuts' exact gradients; no bounds on u
        slope, constant = self._combined(cuts, shares, rows)
        linear = dot(slope, self._center.tolist())
        squares = sum((s * s for s in slope), Fraction(0)) * Fraction(self._step) / 2
        return round_down(constant + linear - squares)

    def _combined(
        self, cuts: Cuts, shares: FloatArray, rows: FloatArray
    ) -> tuple[list[Fraction], Fraction]:
        """Return the affine function below f on the feasible points that multipliers give."""
        slope = [Fraction(0)] * len(self._center)
        constant = Fraction(0)
        weighted = [Fraction(w) for w in self._convex.weights.tolist()]
        for i in np.flatnonzero(shares):
            gradient: Sequence[Fraction] = ()
            if cuts.patterns:
                gradient, offset = self._convex.exact_cut(cuts, int(i))
            else:
                gradient = [Fraction(g) for g in cuts.gradient[i].tolist()]
                offset = Fraction(float(cuts.offset[i]))
            factor = weighted[int(cuts.term[i])] * Fraction(float(shares[i]))
            slope = [s + factor * g for s, g in zip(slope, gradient, strict=True)]
            constant += factor * offset
        for k in np.flatnonzero(rows):
            factor = Fraction(float(rows[k]))
            row = self._rows[k].tolist()
            slope = [s + factor * Fraction(a) for s, a in zip(slope, row, strict=True)]
            constant -= factor * Fraction(float(self._sides[k]))
        return slope, constant

    def _rounded_bound(self, cuts: Cuts, shares: FloatArray, rows: FloatArray) -> float:
        """Evaluate d with outward rounding.

        For v in [v_l, v_h], any w within the bounds and ``r = v + (w - x) / step``, the minimum of
        ``v u + (u - x)^2 / (2 step)`` over the bounds is at least its value at w, less
        ``step r^2 / 2`` unless r only pushes u against a bound at w.
        """
        feasible, x, step = self._feasible, self._center, self._step
        if self._convex.weights.min() < LIGHTEST:
            return -math.inf
        p = self._convex.weights[cuts.term] * shares
        factors = np.concatenate([p, rows])
        matrix = np.concatenate([cuts.gradient, self._rows])
        with np.errstate(over="ignore", invalid="ignore"):
            slope = factors @ matrix
            error = rounding_factor(len(factors) + 3) * (np.abs(factors) @ np.abs(matrix))
            error += len(factors) * 4.0 * SUBNORMAL
            low, high = np.nextafter(slope - error, -np.inf), np.nextafter(slope + error, np.inf)
            w = np.clip(x - step * slope, feasible.lower, feasible.upper)
            moved = (w - x) / step
            blur = 2.0**-50 * (np.abs(w) + np.abs(x)) / step + 4.0 * SUBNORMAL
            above, below = high + moved + blur, low + moved - blur
            rest = np.where(w <= feasible.lower, np.maximum(-below, 0.0), 0.0)
            rest = np.where(w >= feasible.upper, np.maximum(above, 0.0), rest)
            inner = (feasible.lower < w) & (w < feasible.upper)
            rest = np.where(inner, np.maximum(np.abs(above), np.abs(below)), rest)
            rest = np.where(feasible.lower == feasible.upper, 0.0, rest)
            linear = np.minimum(low * w, high * w)
            # w and x as they are, the difference rounded once: 8 roundings at most; what a
            # square loses when it underflows may be large beside a step that is tiny or huge
            square = np.maximum((w - x) ** 2 - SUBNORMAL, 0.0) / (2.0 * step)
            square *= 1.0 - 8.0 * 2.0**-53
            loss = step * (rest**2 + SUBNORMAL) / 2.0 * (1.0 + 2.0**-20) + 4.0 * SUBNORMAL
            constants = factors * np.concatenate([cuts.offset, -self._sides])
            constants -= np.abs(constants) * 2.0**-51 + SUBNORMAL
            terms = [np.nextafter(v, -np.inf) for v in (linear, square, -loss, constants)]
            total = np.concatenate(terms)
        return sum_below(total.tolist())


def distance_within(value: Fraction, lower: float, step: float) -> float:
    """Bound how far a point with this value is from the proximal point, ``1/step`` convex."""
    if lower == -math.inf:
        return math.inf
    room = 2 * Fraction(step) * max(value - Fraction(lower), Fraction(0))
    return root_to_double(room) * (1.0 + 2.0**-50)


def _model(cuts: Cuts, u: FloatArray, terms: int) -> FloatArray:
    """Return the largest cut of each term at a point."""
    top = np.full(terms, -np.inf)
    np.maximum.at(top, cuts.term, cuts.gradient @ u + cuts.offset)
    return top
