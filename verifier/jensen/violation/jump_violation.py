"""The worst facet of a domain, and what is proved of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.text import html_table, markup, point, printable
from jensen.verdicts.counterexample import Point


@dataclass(frozen=True, repr=False)
class JumpViolation:
    """Proved bounds of the worst gradient jump, and the facet that shows the lower one.

    Attributes
    ----------
    lower, upper : float
        Across no facet of the domain does the gradient of f fall by more than ``upper``;
        across the facet below it falls by the square root of ``exact_squared``, of which
        ``lower`` is the double below. Units of f per unit of length in the inputs.
    point : tuple of Fraction, length inputs, or None
        A relative interior point of that facet; None if no facet was found to bend down.
    normal : tuple of float
        Its unit normal, from ``x`` to ``y``, rounded.
    exact_squared : Fraction
        The square of the gradient's jump there, in rational arithmetic.
    x, y : tuple of Fraction
        Points on both sides, ``point`` in the middle and ``y - x`` an exact normal; the
        facet is the only one between them.
    exact_violation : Fraction
        ``f(point) - (f(x) + f(y)) / 2``, so ``exact_squared = (4 v)**2 / |x - y|**2``.
    slopes : (float, float) or None
        Of f along the normal, before and behind the facet, rounded.
    concave : bool
        Concavity was asked for: all of this is about ``-f`` but the slopes, which rise.
    neurons : tuple of (block name, index)
        Neurons that kink on the facet, the lead of the group first.
    status : str
        ``"optimal"`` within the gap asked for, else what ended the search.
    nodes, lps : int
    times : mapping from stage to seconds
    tolerance : None
        Both bounds hold in real arithmetic.

    Examples
    --------
    >>> import jensen
    >>> cap = jensen.ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0], [0]])  # -relu(x)
    >>> worst = jensen.worst_jump(cap, jensen.Box(-1, 1))
    >>> worst.lower, worst.upper, worst.to_json()["status"]
    (1.0, 1.0, 'optimal')
    """

    lower: float
    upper: float
    point: Point | None
    normal: tuple[float, ...]
    exact_squared: Fraction
    x: Point
    y: Point
    exact_violation: Fraction
    slopes: tuple[float, float] | None
    neurons: tuple[tuple[str, int], ...]
    status: str
    nodes: int = 0
    lps: int = 0
    times: Mapping[str, float] = field(default_factory=dict)
    tolerance: None = None
    concave: bool = False

    @property
    def gap(self) -> float:
        """What is left between the bounds."""
        return self.upper - self.lower

    @property
    def name(self) -> str:
        """What is bounded, in words."""
        return "worst gradient jump" + (" upwards" if self.concave else "")

    @property
    def summary(self) -> str:
        """What is proved, in one sentence."""
        return f"{self.lower:.6g} <= {self.name} <= {self.upper:.6g} ({self.status})"

    def __repr__(self) -> str:
        """Return one line; the exact numbers are attributes."""
        return f"JumpViolation({self.summary!r})"

    def __str__(self) -> str:
        """Return the summary, and where the facet is."""
        if self.point is None:
            return self.summary
        names = ", ".join(f"{printable(block)}[{index}]" for block, index in self.neurons[:6])
        where = point(map(to_double, self.point))
        return f"{self.summary}\n  at {where}, kink of {names}"

    def _repr_html_(self) -> str:
        """Return the bounds and the facet for a notebook."""
        title = f"<div>{markup(self.summary)}</div>"
        if self.point is None:
            return f"<div>{title}</div>"
        names = ", ".join(f"{block}[{index}]" for block, index in self.neurons[:6])
        rows = [
            ["point of the facet", point(map(to_double, self.point))],
            ["unit normal", point(self.normal)],
            ["neurons", names],
        ]
        if self.slopes is not None:
            before, behind = self.slopes
            rows.append(["slope along the normal", f"{before:.6g}, then {behind:.6g}"])
        return f"<div>{title}{html_table(['', 'the facet'], rows)}</div>"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; exact numbers are strings.

        Returns
        -------
        dict
        """
        return {
            "measure": "jump",
            "concave": self.concave,
            "lower": self.lower,
            "upper": self.upper,
            "point": None if self.point is None else [decimal(v) for v in self.point],
            "point_float": None if self.point is None else [to_double(v) for v in self.point],
            "normal": list(self.normal),
            "exact_squared": decimal(self.exact_squared),
            "x": [decimal(v) for v in self.x],
            "y": [decimal(v) for v in self.y],
            "exact_violation": decimal(self.exact_violation),
            "slopes": None if self.slopes is None else list(self.slopes),
            "neurons": [f"{block}[{index}]" for block, index in self.neurons],
            "status": self.status,
            "tolerance": self.tolerance,
            "nodes": self.nodes,
            "lps": self.lps,
            "times": dict(self.times),
        }
