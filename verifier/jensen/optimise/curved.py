"""Potentials: a convex network p plus a convex quadratic function q.

Cuts are known of p alone. With ``v = sum_i y_i g_i + mu A + nu E`` and k the constant of these
multipliers, every feasible u has ``p(u) >= k + v u``. With ``H - diag(m)`` positive semidefinite,
at any w:

    p(u) + q(u) >= k + v w + q(w) + sum_j [ r_j (u_j - w_j) + m_j (u_j - w_j)^2 / 2 ],

where ``r = v + H w + l``. The minimum over the bounds of u is taken side by side, in rational
arithmetic. The programs over the cuts are least distances after a change of variables, as those
of proximal points are (:mod:`jensen.optimise.proximal`).

Where H does not bend enough for that, the program gets ``|u - center|^2 / (2 step)`` beside, whose
center follows the search [Rockafellar 1976]; the bound stays that of q, and needs bounds of u where
m is 0. With integers q enters by its tangents, affine functions below it.

References
----------
R. T. Rockafellar. Monotone operators and the proximal point algorithm. SIAM Journal on Control and
Optimization 14, 1976.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.intervals import round_down
from jensen.arithmetic.powers import exponents_near
from jensen.errors import DomainError, SolverError
from jensen.optimise.answers import Minimum, Proximal, answer
from jensen.optimise.cuts import Convex, Cuts
from jensen.optimise.cutting_planes import Pool
from jensen.optimise.ground import dot
from jensen.optimise.multipliers import Distances, Dual
from jensen.optimise.problem import Limits, Problem
from jensen.optimise.proximal import PRIMAL_INPUTS, VARIES, Search, distance_within
from jensen.optimise.quadratic import nearest_point
from jensen.optimise.quadratic_form import QuadraticForm
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline

BEND = 1e-4  # of proximal steps, as a share of what q bends, or falls on the way across the box
STEPS = 12
LONGER, SHORTER = 8.0, 2.0**-6  # than the step before; where that led nowhere
MOST_STEP = 2.0**900
NEEDS_BOUNDS = (
    "a quadratic part with directions in which it does not bend, or with integers, "
    "needs a bounded domain: give a box around the points that matter"
)


class CurvedTerm:
    """``p + q`` as the algorithms see it (:class:`jensen.optimise.cuts.Convex`).

    Parameters
    ----------
    term : Term, or another function made of such terms
        p.
    form : QuadraticForm
        q, convex on R^n.
    values : function of an array (points, inputs)
        ``p + q`` in doubles.
    """

    def __init__(
        self, term: Convex, form: QuadraticForm, values: Callable[[FloatArray], FloatArray]
    ) -> None:
        self.term, self.form, self.values = term, form, values
        self.ground, self.weights = term.ground, term.weights

    def at(self, x: FloatArray) -> tuple[float, Cuts]:
        """Return about f at a point near the domain, and p's cuts there, one with q's tangent."""
        self.refuse_unbounded()
        x = np.clip(x, self.ground.lower, self.ground.upper)
        value, cut = self.term.at(x)
        point = [Fraction(v) for v in x.tolist()]
        height, slope = self.form.value(point), self.form.gradient(point)
        share = 1 / Fraction(float(self.weights[cut.term[0]]))  # of the sum, one term carries q
        first = cut.gradient[0].tolist()
        exact = [Fraction(g) + share * s for g, s in zip(first, slope, strict=True)]
        rounded = np.array([to_double(g) for g in exact])
        reach = np.maximum(np.abs(self.ground.lower), np.abs(self.ground.upper)).tolist()
        misses = [abs(g - Fraction(r)) for g, r in zip(exact, rounded.tolist(), strict=True)]
        tangent = share * (height - dot(slope, point))
        offset = Fraction(float(cut.offset[0])) + tangent - dot(misses, reach)
        gradients, offsets = cut.gradient.copy(), cut.offset.copy()
        gradients[0], offsets[0] = rounded, round_down(offset)
        return value + to_double(height), Cuts(gradients, offsets, cut.term)

    def gradients(self, X: FloatArray) -> FloatArray:
        """Return subgradients, rounded, at points of the domain."""
        slopes = np.array([self.slope(x) for x in X]).reshape(X.shape)
        return np.asarray(self.term.gradients(X) + slopes)

    def slope(self, x: FloatArray) -> FloatArray:
        """Return the gradient of q, rounded."""
        return np.array([to_double(v) for v in self.form.gradient([*map(Fraction, x.tolist())])])

    def exact(self, point: Sequence[Fraction]) -> Fraction:
        """Return f at a rational point."""
        return self.term.exact(point) + self.form.value(point)

    def exact_cut(self, cuts: Cuts, index: int) -> tuple[Sequence[Fraction], Fraction]:
        """Refuse: tangents are kept on bounded domains only, as doubles."""
        raise DomainError(NEEDS_BOUNDS)

    def recession(self) -> CurvedTerm:
        """Refuse: unbounded domains are no matter of tangents."""
        raise DomainError(NEEDS_BOUNDS)

    def refuse_unbounded(self) -> None:
        """Say that what is done by tangents needs bounds.

        Raises
        ------
        DomainError
        """
        if not self.ground.bounded:
            raise DomainError(NEEDS_BOUNDS)


class CurvedSearch(Search):
    """Minimise ``p + q`` by least distances over the cuts of p.

    Parameters
    ----------
    problem : Problem
        Of a CurvedTerm, without integers.
    form : QuadraticForm
        Everything beside p.
    limits : Limits
    pool : Pool
        Of cuts of p.
    start : array (inputs,)
        Near a feasible point.
    program : QuadraticForm
        Steep: the form, or what takes its place in the programs.
    """

    def __init__(
        self,
        problem: Problem,
        form: QuadraticForm,
        limits: Limits,
        pool: Pool,
        start: FloatArray,
        program: QuadraticForm,
    ) -> None:
        assert isinstance(problem.convex, CurvedTerm)
        network_alone = replace(problem, convex=problem.convex.term)
        super().__init__(network_alone, start, math.inf, limits, pool)
        self._form, self._program = form, program
        self._constant = to_double(self._program.constant)
        self._width = float((self._feasible.upper - self._feasible.lower).max())

    def _maximise(self, cuts: Cuts, dual: Dual | None) -> Dual:
        """Solve the program over the cuts in ``z = R u`` with ``H = size R' R``."""
        H, linear = self._program.in_doubles
        # such that z moves by about 1, since tolerances are absolute
        bend, slope = float(np.abs(H).max()), float(np.abs(cuts.gradient).max())
        way = min(slope / bend if slope else 1.0, self._width or 1.0)
        size = float(np.ldexp(1.0, exponents_near(bend * way * way)))
        H, linear = H / size, linear / size
        inequalities, equations = len(self._feasible.b), len(self._feasible.e)
        matrix = np.concatenate([cuts.gradient, self._rows])
        constants = np.concatenate([cuts.offset, -self._sides])
        term = np.concatenate([cuts.term, np.full(len(self._sides), -1)])
        lower, upper = self._feasible.lower, self._feasible.upper
        if self._program.diagonal:
            root, weights = np.sqrt(np.diag(H)), self._convex.weights
            center, step, scaled = -linear / root, 1.0 / size, matrix / root
            sides = lower * root, upper * root
            if len(linear) > PRIMAL_INPUTS and not len(self._sides):
                program = Distances(center, step, *sides, scaled, constants, term, weights)
                found = program.solve(np.zeros(0) if dual is None else dual.y)
                z, y = found.u, found.y
            else:
                z, y = nearest_point(
                    center, step, scaled, constants, term, weights, equations, sides
                )
            u = np.clip(z / root, lower, upper)
            return Dual(y, u, float(y @ (constants + matrix @ u)) + self._square(u))
        # bounds become rows in front of the equations
        eye, place = np.eye(len(linear)), len(cuts) + inequalities
        above, below = np.isfinite(upper), np.isfinite(lower)
        bounds = np.concatenate([eye[above], -eye[below]])
        limits = np.concatenate([-upper[above], lower[below]])
        matrix = np.insert(matrix, [place], bounds, axis=0)
        constants = np.insert(constants, [place], limits)
        term = np.insert(term, [place], np.full(len(limits), -1))
        try:
            triangle = np.linalg.cholesky(H)
        except np.linalg.LinAlgError:
            raise SolverError("the quadratic part is too flat for programs in doubles") from None
        free = np.full(len(linear), np.inf)
        z, y = nearest_point(
            -np.linalg.solve(triangle, linear),
            1.0 / size,
            np.linalg.solve(triangle, matrix.T).T,
            constants,
            term,
            self._convex.weights,
            equations,
            (-free, free),
        )
        u = np.linalg.solve(triangle.T, z)
        value = float(y @ (constants + matrix @ u)) + self._square(u)
        own = np.delete(y, slice(place, place + len(limits)))
        return Dual(own, np.clip(u, lower, upper), value)

    def _square(self, u: FloatArray) -> float:
        H, linear = self._program.in_doubles
        return float((0.5 * (H @ u) + linear) @ u) + self._constant

    def _bound(self, cuts: Cuts, shares: FloatArray, rows: FloatArray, u: FloatArray) -> float:
        """Evaluate the bound at w = u in rational arithmetic."""
        if not np.isfinite(u).all():
            return -math.inf
        slope, constant = self._combined(cuts, shares, rows)
        w = [Fraction(v) for v in u.tolist()]
        total = constant + dot(slope, w) + self._form.value(w)
        rest = [v + g for v, g in zip(slope, self._form.gradient(w), strict=True)]
        sides = self._feasible.lower.tolist(), self._feasible.upper.tolist()
        for r, m, at, low, high in zip(rest, self._form.floor, w, *sides, strict=True):
            if not r:
                continue
            side = low if r > 0 else high
            move = None if math.isinf(side) else Fraction(side) - at
            if m > 0 and (move is None or abs(r) < m * abs(move)):
                move = -r / m
            if move is None:
                return -math.inf
            total += (r + m * move / 2) * move
        return round_down(total)


def proximal_curved(
    problem: Problem, center: FloatArray, step: float, limits: Limits, pool: Pool
) -> Proximal:
    """Return the proximal point of ``p + q``: the square beside is part of another q."""
    convex = problem.convex
    assert isinstance(convex, CurvedTerm)
    form = convex.form.plus_square(center.tolist(), step)
    whole = CurvedTerm(convex.term, form, convex.values)
    found = minimise_curved(replace(problem, convex=whole), limits, pool)
    if math.isinf(found.value):
        raise SolverError(
            "no point was found whose value is a double: the network's numbers are too large"
        )
    return Proximal(
        found.x,
        found.value,
        found.lower,
        distance_within(Fraction(found.value), found.lower, step),
        found.point,
        found.evaluations,
    )


def minimise_curved(problem: Problem, limits: Limits, pool: Pool) -> Minimum:
    """Minimise ``p + q`` and a linear function, without integers.

    Raises
    ------
    InfeasibleError
        If no point is feasible.
    DomainError
        If q is flat in some direction and the domain unbounded.
    """
    convex, deadline = problem.convex, Deadline.after(limits.time_limit)
    assert isinstance(convex, CurvedTerm)
    form = convex.form.plus_linear(problem.linear.tolist())
    if not form.steep:
        convex.refuse_unbounded()
    H, linear = form.in_doubles
    lowest, highest = problem.feasible.lower, problem.feasible.upper
    x = np.array([to_double(v) for v in convex.ground.center])
    if form.steep:  # from where q is least
        least = np.linalg.solve(H, -linear)
        x = np.where(np.isfinite(least), np.clip(least, lowest, highest), x)
    x = problem.feasible.restore(x).x
    _, cut = convex.term.at(x)
    search = CurvedSearch(problem, form, limits, pool, x, form)
    best, evaluations, varies = answer(problem, x), 1, math.nan
    lower = search.lower(cut, Dual(convex.weights[cut.term], x, math.nan))
    if best.value - lower <= limits.tolerance * abs(best.value):
        return replace(best, lower=lower, evaluations=evaluations)
    width = float((highest - lowest).max()) or 1.0
    fall = float(np.abs(linear).max()) + float(np.abs(cut.gradient).max())
    size = float(np.abs(H).sum(axis=1).max()) + fall / width
    step = float(np.clip(1.0 / (BEND * (size or 1.0)), 1.0 / MOST_STEP, MOST_STEP))
    program = form if form.steep else None
    for _ in range(STEPS):
        around = program or form.plus_square(best.x.tolist(), step)
        left = replace(limits, time_limit=None if deadline is NEVER else deadline.seconds(1e-2))
        search = CurvedSearch(problem, form, left, pool, best.x, around)
        program = None
        try:
            u, cuts, dual, count = search.search()
        except SolverError:
            if deadline.over():
                break
            step *= SHORTER
            continue
        evaluations += count
        lower = max(lower, search.lower(cuts, dual))
        found = answer(problem, u)
        stuck = not found.value < best.value
        best = best if stuck else found
        gap = best.value - lower
        varies = gap if math.isnan(varies) else varies
        accepted = limits.tolerance * max(abs(best.value), VARIES * varies)
        if gap <= accepted or deadline.over():
            break
        step *= SHORTER if stuck else LONGER
    return replace(best, lower=lower, evaluations=evaluations)
