"""Facets that bend down, by how much, and the nodes in which they are looked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from jensen.arithmetic.exact import root_to_double
from jensen.arithmetic.rational import ZERO, float_below
from jensen.prover.trees.nodes import Node
from jensen.prover.trees.tree import Tree
from jensen.types import Unit
from jensen.verdicts.crossing import Crossing

SUM_ROUNDING = 1 + 1e-12


@dataclass(frozen=True)
class Facet:
    """A facet that bends down, and by how much.

    Attributes
    ----------
    crossing : Crossing
    group : (level, unit)
    squared : Fraction
        The square of the gradient's jump.
    """

    crossing: Crossing
    group: Unit
    squared: Fraction

    @property
    def lower(self) -> float:
        """The largest double that is not above the jump."""
        return root_below(self.squared)


def root_below(squared: Fraction) -> float:
    """Return a double that is not above the square root of a fraction, and next to it."""
    root = root_to_double(squared)
    return root if Fraction(root) ** 2 <= squared else math.nextafter(root, 0.0)


def root_above(squared: Fraction) -> float:
    """Return a double that is not below the square root of a fraction, and next to it."""
    root = root_to_double(squared)
    return root if Fraction(root) ** 2 >= squared else math.nextafter(root, math.inf)


def sum_above(values: Iterable[float]) -> float:
    """Bound a sum from above."""
    try:
        return math.fsum(values) * SUM_ROUNDING
    except OverflowError:
        return math.inf


def product_above(size: float, gradient: float) -> float:
    """Bound a product from above; infinite where it is not a number."""
    product = size * gradient * (1 + 1e-15)
    return math.inf if math.isnan(product) else math.nextafter(product, math.inf)


def share_above(tree: Tree, node: Node, gradient: float) -> float:
    """Bound ``-J_g |grad z_g|`` from above; exactly 0 where J_g >= 0 is proved."""
    if tree.jump.is_nonnegative(node.state, node.activations, ZERO):
        return 0.0
    low = node.state.output[0]
    if tree.jump.only_rationals:
        low = float_below(tree.jump.exact_bound(node.activations)[0])
    return product_above(-low, gradient)


def largest_share(floor: float, others: Iterable[float]) -> float:
    """Return the largest t with ``t + sum of min(t, others) <= floor``.

    Examples
    --------
    >>> largest_share(1.0, []), round(largest_share(1.0, [0.0, 0.25, 2.0]), 9)
    (1.0, 0.375)
    """
    rising = sorted(others)
    if not rising:
        return floor
    below, count = 0.0, len(rising)
    for k, other in enumerate(rising):
        if (floor - below) / (1 + count - k) <= other:
            break
        below += other
    else:
        k = count
    return max(0.0, (floor - below) / (1 + count - k)) / SUM_ROUNDING**2


@dataclass(frozen=True, eq=False)
class Entry:
    """A node of the search.

    Attributes
    ----------
    share : float
        Proved upper bound of ``-J_g |grad z_g|`` of the leader below this node.
    gradient : float
        Proved upper bound of ``|grad z_g|``.
    others : tuple of (level, unit)
        Groups that may share the leader's hyperplane.
    bound : float
        Proved upper bound of the jump of all facets below this node.
    """

    group: Unit
    node: Node
    share: float
    gradient: float
    others: tuple[Unit, ...]
    bound: float


@dataclass(frozen=True, eq=False)
class Waiting:
    """A group that joint programs are bounding.

    Attributes
    ----------
    entries : tuple of Entry
        Nodes that cover all patterns of the group, but for what is below nodes on the heap.
    """

    entries: tuple[Entry, ...]

    @property
    def bound(self) -> float:
        """Proved upper bound of the jump of all facets below these nodes."""
        return max((entry.bound for entry in self.entries), default=0.0)

    def each(self, change: Callable[[Entry], Entry]) -> Waiting:
        """Return the same with every node changed."""
        return Waiting(tuple(change(entry) for entry in self.entries))

    def capped(self, share: float) -> Waiting:
        """Return the same with another bound of the group's share."""
        return self.each(lambda entry: replace(entry, share=min(entry.share, share)))
