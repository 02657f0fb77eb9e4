"""Lower bounds that hold in real arithmetic, from multipliers that are only hints.

Let ``f_s(x) >= g_i x + c_i`` for the cuts i of term s. For ``lam >= 0`` with sum 1 over the
cuts of each term, ``mu >= 0`` and any nu, every feasible x has

    c x + sum_s w_s f_s(x) >= k + v x,   k = sum_s w_s sum_i lam_i c_i - mu b - nu e,
                                         v = c + sum_s w_s sum_i lam_i g_i + mu A + nu E.

*In a box* the minimum of ``v x`` is taken side by side, with v and k enclosed by outward
rounding [Neumaier and Shcherbina 2004]: every choice of multipliers gives a bound. *Elsewhere* v
has to be 0 exactly: the multipliers that matter are projected on the rational solutions of v = 0,
with the cuts as exact rationals.

References
----------
A. Neumaier, O. Shcherbina. Safe bounds in linear and mixed-integer linear programming.
Mathematical Programming 99, 2004.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jensen.arithmetic.exact_lp import maximise
from jensen.arithmetic.intervals import SUBNORMAL, round_down, rounding_factor
from jensen.arithmetic.rational import (
    ONE,
    ZERO,
    fraction,
    project_to_null_space,
    rational,
    rationals,
)
from jensen.optimise.cuts import Convex, Cuts
from jensen.optimise.epigraph import Duals, LpPoint
from jensen.optimise.feasible import FeasibleSet
from jensen.types import FloatArray, IndexArray

ACTIVE = 16  # cuts and rows, beside some per input, of an exact program
GRAIN = 2.0**50  # multipliers are rounded to multiples of its inverse, whose sums are exact
LIGHTEST = 2.0**-900  # products of lighter weights with multipliers may underflow
SMALL = 1e-10  # multipliers below this share of the largest are left out of exact systems


def box_bound(
    linear: FloatArray,
    weights: FloatArray,
    cuts: Cuts,
    duals: Duals,
    feasible: FeasibleSet,
    lower: FloatArray,
    upper: FloatArray,
) -> float:
    """Return a lower bound that holds on the feasible points of a box.

    Parameters
    ----------
    linear : array (inputs,)
    weights : array (terms,)
        Positive.
    cuts : Cuts
        Whose doubles hold as they are.
    duals : Duals
    feasible : FeasibleSet
    lower, upper : arrays (inputs,)
        Finite.
    """
    shares = convex_shares(duals.cuts, cuts.term, len(weights))
    if shares is None or weights.min(initial=1.0) < LIGHTEST:
        return -math.inf
    used = np.flatnonzero(shares)
    rows = np.flatnonzero(duals.rows)
    with np.errstate(over="ignore", invalid="ignore"):
        # p = w lam, one rounding; everything else is one long sum of products
        p = weights[cuts.term[used]] * shares[used]
        columns = np.concatenate([cuts.gradient[used], feasible.A[rows], feasible.E])
        constants = np.concatenate([cuts.offset[used], -feasible.b[rows], -feasible.e])
        factors = np.concatenate([p, duals.rows[rows], duals.equations])
        slope = linear + factors @ columns
        size = np.abs(linear) + np.abs(factors) @ np.abs(columns)
        terms = len(factors) + 3
        error = rounding_factor(terms) * size + 2.0 * terms * SUBNORMAL
        low, high = np.nextafter(slope - error, -np.inf), np.nextafter(slope + error, np.inf)
        sides = np.stack([low * lower, low * upper, high * lower, high * upper]).min(axis=0)
        products = np.nextafter(factors * constants, -np.inf)
        # the rounding of p acts on its product with the constant, too
        products -= np.abs(products) * 2.0**-52
        total = [*np.nextafter(sides, -np.inf).tolist(), *np.nextafter(products, -np.inf).tolist()]
    return sum_below(total)


def sum_below(terms: list[float]) -> float:
    """Return a number below a sum, whose rounding it covers; -inf where it leaves the doubles."""
    if not all(map(math.isfinite, terms)):
        return -math.inf
    try:
        return math.nextafter(math.fsum(terms), -math.inf)
    except OverflowError:
        return -math.inf


def proves_empty(duals: Duals, feasible: FeasibleSet, lower: FloatArray, upper: FloatArray) -> bool:
    """Whether multipliers prove that a box holds no feasible point (Farkas).

    For ``mu >= 0`` and any nu, feasible points have ``(mu A + nu E) x <= mu b + nu e``.
    """
    none = np.zeros(0)
    nothing = Cuts(np.zeros((0, len(lower))), none, np.zeros(0, dtype=np.intp))
    rest = Duals(none, duals.rows, duals.equations)
    return box_bound(np.zeros(len(lower)), none, nothing, rest, feasible, lower, upper) > 0


def slope_left(linear: FloatArray, cuts: Cuts, duals: Duals, feasible: FeasibleSet) -> FloatArray:
    """Return, relative to its terms, the slope v that multipliers leave; 0 without any box."""
    factors = np.concatenate([duals.cuts, duals.rows, duals.equations])
    columns = np.concatenate([cuts.gradient, feasible.A, feasible.E])
    size = np.abs(linear) + np.abs(factors) @ np.abs(columns)
    return np.asarray(np.abs(linear + factors @ columns) / np.where(size > 0, size, 1.0))


def convex_shares(duals: FloatArray, term: IndexArray, terms: int) -> FloatArray | None:
    """Return multipliers >= 0 that add up to exactly 1 over the cuts of each term.

    None if a term has none. They are multiples of 2**-50, so that sums of doubles are exact.

    Examples
    --------
    >>> convex_shares(np.array([1.0, 2.0, 5.0]), np.array([0, 0, 1]), 2).sum()
    np.float64(2.0)
    """
    totals = np.zeros(terms)
    np.add.at(totals, term, duals)
    if not (np.isfinite(totals).all() and (totals > 0).all()):
        return None
    shares = np.floor(duals / totals[term] * GRAIN) / GRAIN
    sums = np.zeros(terms)
    np.add.at(sums, term, shares)
    largest = np.full(terms, -1)
    for i in np.argsort(duals):
        largest[term[i]] = i
    shares[largest] += 1.0 - sums
    return shares if (shares >= 0).all() else None


def exact_bound(
    linear: FloatArray, convex: Convex, cuts: Cuts, point: LpPoint, feasible: FeasibleSet
) -> float:
    """Return a lower bound that holds without any box; minus infinity if none was found.

    The cuts keep their patterns. First the multipliers that matter are projected on the exact
    solutions; where that makes one negative, the program over the cuts and rows that are active
    at the point is solved exactly.
    """
    duals = point.duals
    heavy = np.flatnonzero(duals.cuts > SMALL * duals.cuts.max(initial=0.0))
    rows = np.flatnonzero(duals.rows > SMALL * duals.rows.max(initial=0.0))
    system = _System(linear, convex, cuts, feasible)
    guess = np.concatenate([duals.cuts[heavy], duals.rows[rows], duals.equations])
    bound = system.projected(heavy, rows, guess)
    if bound is None:
        values = cuts.gradient @ point.x + cuts.offset
        top = np.full(len(convex.weights), -np.inf)
        np.maximum.at(top, cuts.term, values)
        order = np.argsort(top[cuts.term] - values, kind="stable")
        near = np.union1d(heavy, order[: ACTIVE + 2 * len(linear)])
        slack = feasible.b - feasible.A @ point.x
        bound = system.solved(near, np.union1d(rows, np.argsort(slack)[: ACTIVE + len(linear)]))
    return -math.inf if bound is None else round_down(fraction(bound))


class _System:
    """The equations ``sum_i y_i (g_i, e_s) + mu (A, 0) + nu (E, 0) = (-c, w)``, exactly."""

    def __init__(
        self, linear: FloatArray, convex: Convex, cuts: Cuts, feasible: FeasibleSet
    ) -> None:
        self._convex, self._cuts, self._feasible = convex, cuts, feasible
        self._terms = len(convex.weights)
        self._goal = [*rationals(linear), *(-rational(float(w)) for w in convex.weights)]

    def _lines(self, chosen: IndexArray, rows: IndexArray) -> tuple[list[list[Any]], list[Any]]:
        """Return the vectors of the multipliers, and what each adds to the bound."""
        vectors: list[list[Any]] = []
        constants: list[Any] = []
        for k in chosen.tolist():
            gradient, offset = self._convex.exact_cut(self._cuts, k)
            unit = [ONE if s == self._cuts.term[k] else ZERO for s in range(self._terms)]
            vectors.append([*(rational(v) for v in gradient), *unit])
            constants.append(rational(offset))
        matrix = np.concatenate([self._feasible.A[rows], self._feasible.E])
        side = np.concatenate([self._feasible.b[rows], self._feasible.e])
        vectors += [[*rationals(row), *([ZERO] * self._terms)] for row in matrix]
        constants += [-rational(v) for v in side.tolist()]
        return vectors, constants

    def projected(self, chosen: IndexArray, rows: IndexArray, guess: FloatArray) -> Any | None:
        """Return the bound of the exact multipliers next to a guess, if these are any."""
        vectors, constants = self._lines(chosen, rows)
        found = project_to_null_space([self._goal, *vectors], [1.0, *guess.tolist()])
        if not found or found[0] == 0:
            return None
        multipliers = [y / found[0] for y in found[1:]]
        if any(y < 0 for y in multipliers[: len(chosen) + len(rows)]):
            return None
        return _dot(multipliers, constants)

    def solved(self, chosen: IndexArray, rows: IndexArray) -> Any | None:
        """Return the best bound that these cuts and rows give, by an exact linear program."""
        vectors, constants = self._lines(chosen, rows)
        equality = [i >= len(chosen) + len(rows) for i in range(len(vectors))]
        # the dual of  max -goal (x, -t)  over  vectors (x, -t) <= -constants
        found = maximise([-v for v in self._goal], vectors, [-c for c in constants], equality)
        if found is None or not found.feasible:
            return None
        return _dot(found.multipliers, constants)


def _dot(left: list[Any], right: list[Any]) -> Any:
    return sum((y * c for y, c in zip(left, right, strict=True)), ZERO)
