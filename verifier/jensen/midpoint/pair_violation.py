"""The worst pair of a domain, and what is proved of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.text import html_table, markup, point
from jensen.verdicts.counterexample import Point

UNBOUNDED = "unbounded"  # on all of R^n, by multiples of the pair


@dataclass(frozen=True, repr=False)
class Violation:
    """Proved bounds of the worst midpoint violation, and the pair that shows the lower one.

    Attributes
    ----------
    lower, upper : float
        No pair of the box violates midpoint convexity by more than ``upper``; the pair
        below does by ``exact_lower``, of which ``lower`` is the double below.
    x, y : tuple of Fraction, length inputs
        Points of the domain.
    exact_lower : Fraction
        ``f((x + y) / 2) - (f(x) + f(y)) / 2`` in rational arithmetic.
    concave : bool
        Concavity was asked for: all of this is about ``-f``.
    status : str
        ``"optimal"`` where ``upper - lower <= gap * lower`` for the gap asked for;
        ``"precision limit"`` where that does not hold, and the rest cannot be told from
        the rounding of numbers of the network's size; else what ended the search.
    tolerance : float or None
        None: ``upper`` holds in real arithmetic. Otherwise it is HiGHS's dual bound, and
        holds as far as rows and integrality may be violated by this number.
    nodes : int
    times : mapping from stage to seconds

    Examples
    --------
    >>> import jensen
    >>> cap = jensen.ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0], [0]])  # -relu(x)
    >>> worst = jensen.worst_violation(cap, jensen.Box(-1, 1))
    >>> round(worst.lower, 3), round(worst.upper, 3), worst.to_json()["status"]
    (0.5, 0.5, 'optimal')
    """

    lower: float
    upper: float
    x: Point
    y: Point
    exact_lower: Fraction
    status: str
    tolerance: float | None = None
    nodes: int = 0
    times: Mapping[str, float] = field(default_factory=dict)
    concave: bool = False

    @property
    def gap(self) -> float:
        """What is left between the bounds."""
        return self.upper - self.lower

    @property
    def name(self) -> str:
        """What is bounded, in words."""
        return "midpoint violation" + (" of concavity" if self.concave else "")

    @property
    def summary(self) -> str:
        """What is proved, in one sentence."""
        if self.status == UNBOUNDED:
            return f"the {self.name} is unbounded, and {self.lower:.6g} at this pair"
        exact = "" if self.tolerance is None else f", the upper one up to {self.tolerance:g}"
        return f"{self.lower:.6g} <= worst {self.name} <= {self.upper:.6g} ({self.status}{exact})"

    def __repr__(self) -> str:
        """Return one line; the exact numbers are attributes."""
        return f"Violation({self.summary!r})"

    def __str__(self) -> str:
        """Return the summary and the pair."""
        if not self.exact_lower:
            return self.summary
        pair = (f"{name} = {point(map(to_double, getattr(self, name)))}" for name in "xy")
        return "\n  ".join([self.summary, *pair])

    def _repr_html_(self) -> str:
        """Return the bounds and the pair for a notebook."""
        title = f"<div>{markup(self.summary)}</div>"
        if not self.exact_lower:
            return f"<div>{title}</div>"
        middle = [(a + b) / 2 for a, b in zip(self.x, self.y, strict=True)]
        ends = (("x", self.x), ("(x+y)/2", middle), ("y", self.y))
        rows = [[name, point(map(to_double, values))] for name, values in ends]
        return f"<div>{title}{html_table(['', 'the pair'], rows)}</div>"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; exact numbers are strings.

        Returns
        -------
        dict
        """
        return {
            "concave": self.concave,
            "lower": self.lower,
            "upper": self.upper,
            "x": [decimal(v) for v in self.x],
            "y": [decimal(v) for v in self.y],
            "x_float": [to_double(v) for v in self.x],
            "y_float": [to_double(v) for v in self.y],
            "exact_lower": decimal(self.exact_lower),
            "status": self.status,
            "tolerance": self.tolerance,
            "nodes": self.nodes,
            "times": dict(self.times),
        }
