"""From a pair that looks wrong in doubles to one whose violation is proved."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jensen.domains.domain import Domain
from jensen.graphs.enclosures import enclose
from jensen.graphs.exact import ball_values, ball_violation, fraction_below
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.block import OUTPUT
from jensen.verdicts.counterexample import Point, admits, confirmed
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

FIRST_BITS, MOST_BITS = 64, 4096
BALL_WORK = 4e6  # products; more are enclosed in doubles
PRODUCTS_PER_SECOND = 5e5  # of the three points together


def proved_violation(
    graph: FunctionGraph, x: Point, y: Point, deadline: Deadline = NEVER
) -> Fraction | None:
    """Return a lower bound > 0 of ``f((x + y) / 2) - (f(x) + f(y)) / 2``; None if not proved.

    Exact where all values are rational. Elsewhere balls of more and more bits, until their
    lower end is positive or their upper end is not. Of large graphs, and where there is no
    time for more, intervals of doubles.

    Parameters
    ----------
    graph : FunctionGraph
        With one output.
    x, y : tuples of Fraction, length inputs
    deadline : Deadline
    """
    middle = tuple((a + b) / 2 for a, b in zip(x, y, strict=True))
    if graph.work > min(BALL_WORK, PRODUCTS_PER_SECOND * deadline.left()):
        return _by_intervals(graph, x, y, middle)
    if graph.is_rational and not graph.has_poles:
        (fx,), (fy,), (fm,) = graph.exact(x), graph.exact(y), graph.exact(middle)
        exact = fm - (fx + fy) / 2
        return exact if exact > 0 else None
    bits = FIRST_BITS
    while bits <= MOST_BITS and not deadline.over():
        (fx,), (fy,), (fm,) = (
            ball_values(graph.input_size, graph.nodes, point, bits) for point in (x, y, middle)
        )
        violation = ball_violation(fx, fy, fm, bits)
        if violation > 0:
            lower = fraction_below(violation)
            if lower > 0:
                return lower
        if violation <= 0:
            return None
        bits *= 2
    return None


def _by_intervals(graph: FunctionGraph, x: Point, y: Point, middle: Point) -> Fraction | None:
    """Enclose the three values in intervals of doubles, rounded outward.

    These are balls of 53 bits. The points have to be doubles, the middle too.
    """
    ends = []
    for point in (x, y, middle):
        values = np.array([float(v) for v in point])
        if any(Fraction(v) != exact for v, exact in zip(values.tolist(), point, strict=True)):
            return None
        lower, upper = enclose(graph, values, values).pre_activations[OUTPUT]
        if not np.isfinite([lower[0], upper[0]]).all():
            return None
        ends.append((Fraction(float(lower[0])), Fraction(float(upper[0]))))
    (_, fx), (_, fy), (fm, _) = ends
    least = fm - (fx + fy) / 2
    return least if least > 0 else None


def counterexample(
    graph: FunctionGraph,
    domain: Domain,
    x: Sequence[Fraction],
    y: Sequence[Fraction],
    *,
    inputs: Sequence[int] | None = None,
    deadline: Deadline = NEVER,
) -> Counterexample | None:
    """Return a pair as a counterexample if it is proved to be one; None otherwise.

    Both points are in the domain and agree in all inputs but the chosen ones, exactly. The
    violation of the record is a proved lower bound of the true one.
    """
    x, y = tuple(x), tuple(y)
    if not admits(domain, x, y, inputs):
        return None
    violation = proved_violation(graph, x, y, deadline)
    return None if violation is None else confirmed(x, y, violation)
