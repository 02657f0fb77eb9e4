"""From a suspicion in floating point to a pair that violates convexity exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from jensen.arithmetic.exact import root_to_double
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.evidence import Counterexample

Point = tuple[Fraction, ...]


def exact_violation(network: ReluNetwork, x: Point, y: Point) -> Fraction:
    """Return ``f((x + y) / 2) - (f(x) + f(y)) / 2`` in rational arithmetic.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    x, y : tuples of Fraction, length inputs
    """
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    (fx,), (fy,), (fm,) = network.exact_at((x, y, middle))
    return fm - (fx + fy) / 2


def slope_change(violation: Fraction, x: Point, y: Point) -> float | None:
    """Return ``-4 violation / |x - y|`` as a finite double; None if the points are equal.

    Where one facet lies between the points, that is how much the slope changes there.
    """
    below = math.lcm(*(value.denominator for value in (*x, *y)))
    ways = [
        a.numerator * (below // a.denominator) - b.numerator * (below // b.denominator)
        for a, b in zip(x, y, strict=True)
    ]
    squared = sum(way * way for way in ways)  # of integers, which cost a fifth of fractions
    if not squared:
        return None
    above = 4 * violation.numerator * below
    size = root_to_double(Fraction(above * above, violation.denominator**2 * squared))
    return -size if violation > 0 else size


def admits(domain: Domain, x: Point, y: Point, inputs: Sequence[int] | None = None) -> bool:
    """Decide exactly whether a pair may speak against a claim on a domain.

    Parameters
    ----------
    domain : Domain
        Both points have to lie in it.
    x, y : tuples of Fraction, length inputs
    inputs : sequence of int or None
        Inputs in which they may differ (partial convexity); None for all.
    """
    if inputs is not None:
        moving = set(inputs)
        if any(a != b for i, (a, b) in enumerate(zip(x, y, strict=True)) if i not in moving):
            return False
    return domain.contains(x) and domain.contains(y)


def counterexample(
    network: ReluNetwork,
    domain: Domain,
    x: Sequence[Fraction],
    y: Sequence[Fraction],
    neuron: tuple[str, int] | None = None,
    *,
    inputs: Sequence[int] | None = None,
) -> Counterexample | None:
    """Return a pair as a counterexample if it is one, exactly; None otherwise.

    Every refutation passes here or through :func:`confirmed`, whatever found the pair: both
    points are in the domain, they agree in all inputs but the chosen ones, and they violate
    midpoint convexity in rational arithmetic. It is the rule by which the checker of
    certificates judges a pair (docs/FORMAT.md).

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    x, y : sequences of Fraction, length inputs
    neuron : (block name, index), optional
        One whose kink lies between the points.
    inputs : sequence of int or None
        Inputs in which the points may differ; None for all.
    """
    x, y = tuple(x), tuple(y)
    if not admits(domain, x, y, inputs):
        return None
    return confirmed(x, y, exact_violation(network, x, y), neuron)


def confirmed(
    x: Point,
    y: Point,
    violation: Fraction,
    neuron: tuple[str, int] | None = None,
    slope: float | None = None,
) -> Counterexample | None:
    """Return a pair that :func:`admits` accepts, with its exact violation, if that is > 0.

    Parameters
    ----------
    x, y : tuples of Fraction
    violation : Fraction
        ``f((x + y) / 2) - (f(x) + f(y)) / 2``, exactly; of functions without rational values a
        proved lower bound.
    neuron : (block name, index), optional
    slope : float, optional
        The change of slope where it is known (:func:`slope_change`).
    """
    if violation <= 0:
        return None
    change = slope_change(violation, x, y) if slope is None else slope
    return Counterexample(x, y, violation, neuron, change)
