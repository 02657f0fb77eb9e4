"""Facets that bend down, by how much, and the nodes in which they are looked for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from jensen.arithmetic.exact import root_to_double
from jensen.prover.crossing import Crossing
from jensen.prover.nodes import Node
from jensen.types import Unit

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
