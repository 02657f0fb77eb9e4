"""What minimising a certified network returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.intervals import round_up
from jensen.arithmetic.rational import decimal
from jensen.optimise.ground import dot
from jensen.optimise.problem import Problem
from jensen.text import point as text_of_point
from jensen.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Minimum:
    """A minimiser with its proof.

    Attributes
    ----------
    x : array (inputs,)
        The minimiser in doubles.
    value : float
        At least the objective at ``point``, in real arithmetic, and the next double to it.
    lower : float
        No feasible point has a smaller objective, in real arithmetic; minus infinity
        where no bound could be proved.
    point : tuple of Fraction
        The minimiser in rationals: feasible for the domain, all rows and all equations
        exactly. It equals ``x`` unless equations, or a domain without interior, leave no doubles.
    residual : float
        How far ``x`` is from satisfying the equations, at most; 0 without equations.
    evaluations : int
        How often f and its gradient were evaluated.
    nodes : int
        Nodes of the search over integers.
    """

    x: FloatArray
    value: float
    lower: float
    point: tuple[Fraction, ...]
    residual: float = 0.0
    evaluations: int = 0
    nodes: int = 0

    @property
    def gap(self) -> float:
        """``value - lower``: what the minimum can differ by."""
        return self.value - self.lower

    @property
    def summary(self) -> str:
        """What is proved, in one sentence."""
        return f"{self.lower:.12g} <= minimum <= {self.value:.12g}"

    def __repr__(self) -> str:
        """Return one line; the exact numbers are attributes."""
        return f"Minimum({self.summary!r}, x = {text_of_point(self.x)})"

    def __str__(self) -> str:
        """Return the summary and the point."""
        return f"{self.summary}\n  x = {text_of_point(self.x)}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "x": self.x.tolist(),
            "value": self.value,
            "lower": self.lower,
            "gap": self.gap,
            "point": [decimal(v) for v in self.point],
            "point_float": [to_double(v) for v in self.point],
            "residual": self.residual,
            "evaluations": self.evaluations,
            "nodes": self.nodes,
        }


@dataclass(frozen=True, eq=False)
class Conjugate:
    """The value of the convex conjugate ``f*(y) = sup over x of y x - f(x)`` at one y.

    Attributes
    ----------
    y : array (inputs,)
    x : array (inputs,) or None
        The maximiser, a subgradient of f* at y; None where ``f*(y)`` is infinite.
    value : float
        At most ``f*(y)``: what x attains, rounded down. Infinite where f*(y) is.
    upper : float
        ``f*(y)`` is at most this.
    ray : array (inputs,) or None
        A direction along which ``y x - f(x)`` grows for ever, where ``f*(y)`` is infinite.
    """

    y: FloatArray
    x: FloatArray | None
    value: float
    upper: float
    ray: FloatArray | None = None

    @property
    def gap(self) -> float:
        """``upper - value``; 0 where both are infinite."""
        return 0.0 if self.value == self.upper else self.upper - self.value


@dataclass(frozen=True, eq=False)
class Proximal:
    """The proximal point ``argmin f(u) + |u - center|^2 / (2 step)``.

    Attributes
    ----------
    x : array (inputs,)
        In the domain.
    value : float
        At least the objective at x.
    lower : float
        No point of the domain has a smaller objective.
    distance : float
        The true proximal point is at most this far from x, since the objective is strongly
        convex: ``sqrt(2 step (value - lower))``.
    point : tuple of Fraction
        As in :class:`Minimum`.
    evaluations : int
    """

    x: FloatArray
    value: float
    lower: float
    distance: float
    point: tuple[Fraction, ...]
    evaluations: int = 0

    @property
    def gap(self) -> float:
        """``value - lower``."""
        return self.value - self.lower


def answer(problem: Problem, x: FloatArray, lower: float = -math.inf) -> Minimum:
    """Return the exactly feasible point next to a solver's, with its value.

    Raises
    ------
    InfeasibleError
        If there is none.
    """
    restored = problem.feasible.restore(x)
    value = problem.convex.exact(restored.point) + dot(problem.linear.tolist(), restored.point)
    residual = problem.feasible.residual(restored.x)
    return Minimum(restored.x, round_up(value), lower, restored.point, residual)
