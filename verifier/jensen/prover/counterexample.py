"""From a suspicion in floating point to a pair that violates convexity exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from jensen.arithmetic.exact import root_to_double
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.prover.verdict import Counterexample

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
    (fx,), (fy,), (fm,) = network.exact(x), network.exact(y), network.exact(middle)
    return fm - (fx + fy) / 2


def slope_change(violation: Fraction, x: Point, y: Point) -> float | None:
    """Return ``-4 violation / |x - y|`` as a finite double; None if the points are equal.

    Where one facet lies between the points, that is how much the slope changes there.
    """
    squared = sum(((a - b) ** 2 for a, b in zip(x, y, strict=True)), Fraction(0))
    if not squared:
        return None
    size = root_to_double(16 * violation**2 / squared)
    return -size if violation > 0 else size


def counterexample(
    network: ReluNetwork,
    domain: Domain,
    x: Sequence[Fraction],
    y: Sequence[Fraction],
    neuron: tuple[str, int] | None = None,
) -> Counterexample | None:
    """Return the pair as a counterexample if it is one, exactly; None otherwise."""
    x, y = tuple(x), tuple(y)
    if not (domain.contains(x) and domain.contains(y)):
        return None
    violation = exact_violation(network, x, y)
    if violation <= 0:
        return None
    change = slope_change(violation, x, y)
    return Counterexample(x, y, violation, neuron, change)
