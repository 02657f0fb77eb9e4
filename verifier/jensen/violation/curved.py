"""How far graphs with smooth functions are from convex: proved bounds, not always close ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.intervals import round_down, round_up
from jensen.arithmetic.rational import ZERO, fraction
from jensen.arithmetic.semidefinite import negative_direction
from jensen.composition.engine import sides_of
from jensen.composition.pairs import BALL_WORK, counterexample
from jensen.composition.piecewise_quadratic import PiecewiseQuadratic, split
from jensen.decide import verify
from jensen.domains.domain import Domain
from jensen.errors import OutOfTimeError
from jensen.graphs.enclosures import enclose
from jensen.graphs.function_graph import FunctionGraph
from jensen.midpoint.pair_violation import Violation
from jensen.network.block import OUTPUT
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline

PROVED, OPTIMAL, BOUNDED, OPEN = "proved convex", "optimal", "bounds", "no upper bound"
ROUNDS, STARTS = 60, 32
NOTHING = Fraction(0)
Measure = Callable[[ReluNetwork, float | None], Violation]


def curved_violation(
    graph: FunctionGraph,
    domain: Domain,
    piecewise: Measure,
    *,
    output: int,
    time_limit: float | None,
    gap: float,
    seed: int,
) -> Violation:
    """Bound the worst midpoint violation of a graph.

    The lower bound is that of a pair, proved, and improved by ascent on a box. The upper one is 0
    for a proved convex graph. On a bounded domain it is the width of the enclosed range of f, or,
    for a ReLU network plus a quadratic form, the sum of the bounds of both parts, whichever is
    less; elsewhere it is infinite.

    Parameters
    ----------
    graph : FunctionGraph
    domain : Domain
    piecewise : callable (network, time limit) -> Violation
        Measures the piecewise-linear part.
    output : int
    time_limit : float or None
    gap : float
    seed : int
    """
    began, deadline = time.monotonic(), Deadline.after(time_limit)
    scalar = graph.select_output(output)
    share = None if time_limit is None else max(time_limit / 3, 1e-3)
    verdict = verify(scalar, domain, time_limit=share, seed=seed)
    sides = sides_of(domain, graph.input_size, deadline)
    start = np.where(np.isfinite(sides[0]), sides[0], 0.0)
    point = tuple(Fraction(float(v)) for v in start)
    if verdict.status is Status.CONVEX:
        seconds = time.monotonic() - began
        return Violation(0.0, 0.0, point, point, NOTHING, PROVED, times={"prover": seconds})
    found = Violation(0.0, math.inf, point, point, NOTHING, BOUNDED)
    if verdict.counterexample is not None:
        pair = verdict.counterexample
        found = replace(found, x=pair.x, y=pair.y, exact_lower=pair.violation)
        if domain.box_sides(graph.input_size) is not None and graph.work <= BALL_WORK:
            found = _climbed(scalar, domain, found, sides, seed)
    upper = _upper(scalar, sides, piecewise, share, deadline)
    found = replace(found, lower=round_down(found.exact_lower), upper=upper)
    close = upper - found.lower <= gap * found.lower
    status = OPTIMAL if close else BOUNDED if math.isfinite(upper) else OPEN
    return replace(found, status=status, times={"all": time.monotonic() - began})


def _climbed(
    graph: FunctionGraph,
    domain: Domain,
    found: Violation,
    sides: tuple[FloatArray, FloatArray],
    seed: int,
) -> Violation:
    """Move both ends of the pair at random within the box, and keep what is better."""
    rng = np.random.default_rng(seed)
    low, high = sides
    best = np.array([[to_double(v) for v in end] for end in (found.x, found.y)])
    worst = -np.inf
    for k in range(ROUNDS):
        size = (high - low) * 0.5 * 0.9**k
        moved = best + rng.normal(size=(STARTS, *best.shape)) * size
        moved = np.concatenate([best[None], np.clip(moved, low, high)])
        values = graph(
            np.concatenate([moved, moved.mean(axis=1, keepdims=True)], axis=1).reshape(
                -1, graph.input_size
            )
        ).reshape(len(moved), 3)
        with np.errstate(all="ignore"):
            rise = values[:, 2] - values[:, 0] / 2 - values[:, 1] / 2
        rise = np.where(np.isfinite(rise), rise, -np.inf)
        top = int(np.argmax(rise))
        if rise[top] > worst:
            best, worst = moved[top], float(rise[top])
    x, y = ([Fraction(float(v)) for v in end] for end in best)
    pair = counterexample(graph, domain, x, y)
    if pair is None or pair.violation <= found.exact_lower:
        return found
    return replace(found, x=pair.x, y=pair.y, exact_lower=pair.violation)


def _upper(
    graph: FunctionGraph,
    sides: tuple[FloatArray, FloatArray],
    piecewise: Measure,
    time_limit: float | None,
    deadline: Deadline,
) -> float:
    if not np.isfinite(sides).all():
        return math.inf
    low, high = enclose(graph, *sides).pre_activations[OUTPUT]
    width = Fraction(0)
    bounds = []
    if np.isfinite([low[0], high[0]]).all():
        width = Fraction(float(high[0])) - Fraction(float(low[0]))
        bounds.append(round_up(width))
    parts = split(graph)
    if parts is not None:
        kinks = piecewise(parts.piecewise, time_limit).upper
        if math.isfinite(kinks):
            bounds.append(round_up(Fraction(kinks) + _of_the_form(parts, sides, deadline)))
    return min(bounds, default=math.inf)


def _of_the_form(
    parts: PiecewiseQuadratic, sides: tuple[FloatArray, FloatArray], deadline: Deadline
) -> Fraction:
    """Bound ``-d'Qd / 8`` over all differences d of two points of a box, term by term."""
    widths = [Fraction(float(b)) - Fraction(float(a)) for a, b in zip(*sides, strict=True)]
    hessian = parts.hessian(0)
    try:
        if negative_direction(hessian, deadline) is None:
            return Fraction(0)
    except OutOfTimeError:
        pass  # the sum below holds of all forms
    total = Fraction(0)
    for i, row in enumerate(hessian):
        for j, entry in enumerate(row):
            size = max(ZERO, -entry) if i == j else abs(entry)
            total += fraction(size) * widths[i] * widths[j]
    return total / 8
