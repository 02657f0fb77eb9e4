"""What shows a claim: a reason for every hyperplane group, or a pair of points."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.text import point, printable


class Reason(StrEnum):
    """Why a hyperplane group cannot break convexity, or that it was left open.

    Examples
    --------
    >>> assert Reason.SIGN == "sign"
    """

    NEVER_CROSSES = "never crosses"
    SIGN = "sign"
    WALK = "walk"
    TREE = "tree"
    JOINT = "joint"
    MILP = "milp bound"
    MIDPOINT = "midpoint bound"
    COMPOSITION = "composition"
    QUADRATIC = "quadratic form"
    OPEN = "open"


@dataclass(frozen=True)
class GroupEvidence:
    """Why the kinks of one hyperplane group all bend upwards.

    Attributes
    ----------
    neurons : tuple of (block name, index)
        The twins that kink on the same hyperplane; the first one leads.
    reason : Reason
    nodes, lps : int
        Size of the search (0 for the screens).
    exact : bool
        Whether the reason holds in rational arithmetic; if not, a solver tolerance
        enters and the verdict prints it.
    jump_lower_bound : float or None
        Proved lower bound of the gradient jump per unit of pre-activation, where known.

    Examples
    --------
    >>> import jensen
    >>> bend = jensen.ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    >>> group = jensen.verify(bend).evidence[0]
    >>> group.neurons, group.reason
    ((('relu_1', 0),), <Reason.SIGN: 'sign'>)
    >>> group.to_json()["reason"]
    'sign'
    """

    neurons: tuple[tuple[str, int], ...]
    reason: Reason
    nodes: int = 0
    lps: int = 0
    exact: bool = True
    jump_lower_bound: float | None = None

    @property
    def label(self) -> str:
        """The leading neuron, and how many twins it has, in words."""
        block, index = self.neurons[0]
        twins = f" and {len(self.neurons) - 1} twins" if len(self.neurons) > 1 else ""
        return f"{printable(block)}[{index}]{twins}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "neurons": [f"{block}[{index}]" for block, index in self.neurons],
            "reason": str(self.reason),
            "nodes": self.nodes,
            "lps": self.lps,
            "exact": self.exact,
            "jump_lower_bound": self.jump_lower_bound,
        }


@dataclass(frozen=True, repr=False)
class Counterexample:
    """A pair of points of the domain that breaks midpoint convexity, exactly.

    Attributes
    ----------
    x, y : tuple of Fraction, length inputs
    violation : Fraction
        ``f((x + y) / 2) - (f(x) + f(y)) / 2 > 0`` in rational arithmetic
        (with ``-f`` for f when concavity was asked for).
    neuron : (block name, index) or None
        A neuron whose kink lies between the points.
    slope_change : float or None
        Change of the directional slope from x to y along the unit direction; negative.

    Examples
    --------
    >>> import jensen
    >>> cap = jensen.ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0], [0]])  # -relu(x)
    >>> pair = jensen.verify(cap).counterexample
    >>> pair.violation > 0
    True
    >>> sorted(pair.to_json())[:2]
    ['neuron', 'slope_change']
    """

    x: tuple[Fraction, ...]
    y: tuple[Fraction, ...]
    violation: Fraction
    neuron: tuple[str, int] | None = None
    slope_change: float | None = None

    @property
    def midpoint(self) -> tuple[Fraction, ...]:
        """The point between x and y."""
        return tuple((a + b) / 2 for a, b in zip(self.x, self.y, strict=True))

    @property
    def ends(self) -> list[str]:
        """Both points, rounded, in words."""
        return [f"{name} = {point(map(to_double, getattr(self, name)))}" for name in "xy"]

    def __repr__(self) -> str:
        """Return one line; the exact numbers are attributes."""
        size = f"violation = {to_double(self.violation):.3g}"
        return f"Counterexample({', '.join([size, *self.ends])})"

    def to_json(self) -> dict[str, Any]:
        """Return exact fractions as strings, and doubles for the eye."""
        return {
            "x": [decimal(v) for v in self.x],
            "y": [decimal(v) for v in self.y],
            "x_float": [to_double(v) for v in self.x],
            "y_float": [to_double(v) for v in self.y],
            "violation": decimal(self.violation),
            "violation_float": to_double(self.violation),
            "neuron": None if self.neuron is None else f"{self.neuron[0]}[{self.neuron[1]}]",
            "slope_change": self.slope_change,
        }
