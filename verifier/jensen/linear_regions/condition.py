"""One path condition, and what a pair that breaks convexity has to have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.linear_regions.items import Point
from jensen.network.relu_network import Pattern
from jensen.types import Neurons


class Conditions(tuple["Condition", ...]):
    """Path conditions in order, and whether time sufficed for all that are looked for.

    Attributes
    ----------
    complete : bool
        False where time was up: those that are there hold, others may be missing.
    """

    complete: bool = True

    @classmethod
    def of(cls, conditions: Iterable[Condition], *, complete: bool) -> Conditions:
        """Return conditions with what is known of their number."""
        found = cls(conditions)
        found.complete = complete
        return found


@dataclass(frozen=True, eq=False)
class Condition:
    """One path condition: J of a hyperplane group under one pattern of the neurons behind.

    Attributes
    ----------
    neurons : tuple of (block name, index)
        Those that bend together; J is per unit of the first one's pre-activation.
    pattern : mapping from block name to bool array, or None
        Which neurons of the blocks behind are on. None: whatever they are.
    value : Fraction
        J; where ``pattern`` is None a lower bound.
    point : tuple of Fraction or None
        A point of a facet that asks for it.
    reachable : bool or None
        Whether some point of the domain asks for it; None where that was not looked into.
    reason : str
        Why not, or what is known instead.

    Examples
    --------
    >>> import jensen
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -2.0]]], [[0, -1], [0]])
    >>> worst = jensen.path_conditions(net, jensen.Box(-2, 2))[0]
    >>> worst.neurons, worst.value, worst.is_violated
    ((('relu_1', 1),), Fraction(-2, 1), True)
    >>> worst.to_json()["value"]
    '-2'
    """

    neurons: Neurons
    pattern: Pattern | None
    value: Fraction
    point: Point | None = None
    reachable: bool | None = None
    reason: str = ""

    @property
    def is_violated(self) -> bool:
        """Whether it is asked for, and J is negative."""
        return bool(self.reachable) and self.value < 0

    @property
    def pattern_text(self) -> str:
        """The pattern as digits per block, 1 for on; ``any`` without one."""
        if self.pattern is None:
            return "any"
        parts = (f"{name}:{''.join('01'[int(v)] for v in on)}" for name, on in self.pattern.items())
        return " ".join(parts) or "nothing behind"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; exact numbers are strings."""
        pattern = self.pattern
        return {
            "neurons": [f"{block}[{index}]" for block, index in self.neurons],
            "pattern": None if pattern is None else {k: v.tolist() for k, v in pattern.items()},
            "value": decimal(self.value),
            "value_float": to_double(self.value),
            "point": None if self.point is None else [decimal(v) for v in self.point],
            "point_float": None if self.point is None else [to_double(v) for v in self.point],
            "reachable": self.reachable,
            "violated": self.is_violated,
            "reason": self.reason,
        }


class Pair(Protocol):
    """Two points that break convexity: what a counterexample has."""

    @property
    def x(self) -> Point:
        """One point."""

    @property
    def y(self) -> Point:
        """The other one."""
