"""From a suspicion in floating point to a pair that violates convexity exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from jensen.domain import Domain
from jensen.network import ReluNetwork
from jensen.verdict import Counterexample

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
    length = sum((float(a - b) ** 2 for a, b in zip(x, y, strict=True)), 0.0) ** 0.5
    change = -4 * float(violation) / length if length > 0 else None
    return Counterexample(x, y, violation, neuron, change)
