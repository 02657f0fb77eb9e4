"""Domains on which convexity is decided: a box, a polyhedron, all of R^n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jensen.errors import DomainError

FloatArray = NDArray[np.float64]


def _numbers(value: ArrayLike, what: str) -> FloatArray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DomainError(f"{what}: not numbers ({error})") from None
    if np.isnan(array).any():
        raise DomainError(f"{what} holds NaN")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Box:
    """The box ``lower <= x <= upper``.

    Parameters
    ----------
    lower, upper : float or array of shape (inputs,)
        Scalars hold for every input. Input tensors are flattened in C order.

    Raises
    ------
    DomainError
        For NaN, infinite sides, ``lower > upper`` or mismatching shapes.

    Examples
    --------
    >>> Box(-1, [1, 2]).bounds(2)
    (array([-1., -1.]), array([1., 2.]))
    """

    lower: FloatArray
    upper: FloatArray

    def __init__(self, lower: ArrayLike, upper: ArrayLike) -> None:
        low, high = _numbers(lower, "box lower side"), _numbers(upper, "box upper side")
        for name, side in (("lower", low), ("upper", high)):
            if np.isinf(side).any():
                raise DomainError(f"box {name} side is infinite: use Everywhere() or a Polyhedron")
            if side.ndim > 1:
                raise DomainError(f"box {name} side has shape {side.shape}: a vector is needed")
        if low.ndim == high.ndim == 1 and low.shape != high.shape:
            raise DomainError(f"box sides have {low.size} and {high.size} numbers")
        if (low > high).any():
            where = np.argwhere(np.broadcast_to(low > high, np.broadcast(low, high).shape))
            at = f" at input {where[0][0]}" if where.shape[1] else ""
            raise DomainError(f"box is empty: lower > upper{at}")
        object.__setattr__(self, "lower", low)
        object.__setattr__(self, "upper", high)

    def bounds(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return both sides as arrays of shape (inputs,)."""
        for side in (self.lower, self.upper):
            if side.ndim == 1 and side.size != inputs:
                raise DomainError(f"box has {side.size} dimensions, the network {inputs} inputs")
        return np.full(inputs, self.lower), np.full(inputs, self.upper)

    def check(self, inputs: int) -> None:
        """Raise :class:`DomainError` unless the box fits a network of so many inputs."""
        self.bounds(inputs)

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Decide exactly whether a rational point lies in the box."""
        lower, upper = self.bounds(len(x))
        return all(
            Fraction(float(a)) <= v <= Fraction(float(b))
            for a, v, b in zip(lower, x, upper, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {"type": "box", "lower": self.lower.tolist(), "upper": self.upper.tolist()}

    def __str__(self) -> str:
        if self.lower.ndim == self.upper.ndim == 0:
            return f"box [{float(self.lower):g}, {float(self.upper):g}]"
        return f"box of {max(self.lower.size, self.upper.size)} sides"


@dataclass(frozen=True, eq=False)
class Polyhedron:
    """The polyhedron ``A x <= b``, bounded or not.

    Parameters
    ----------
    A : array of shape (rows, inputs)
    b : array of shape (rows,)

    Raises
    ------
    DomainError
        For NaN, infinities or mismatching shapes. Emptiness is found when it is used.
    """

    A: FloatArray
    b: FloatArray

    def __init__(self, A: ArrayLike, b: ArrayLike) -> None:
        matrix, vector = _numbers(A, "polyhedron A"), _numbers(b, "polyhedron b")
        if matrix.ndim != 2 or vector.ndim != 1 or matrix.shape[0] != vector.size:
            raise DomainError(
                f"polyhedron A has shape {matrix.shape}, b {vector.shape}: "
                "needed are (rows, inputs) and (rows,)"
            )
        if np.isinf(matrix).any() or np.isinf(vector).any():
            raise DomainError("polyhedron A or b is infinite: leave out rows that bind nothing")
        object.__setattr__(self, "A", matrix)
        object.__setattr__(self, "b", vector)

    def check(self, inputs: int) -> None:
        """Raise :class:`DomainError` unless it fits a network of so many inputs."""
        if self.A.shape[1] != inputs:
            raise DomainError(
                f"polyhedron has {self.A.shape[1]} dimensions, the network {inputs} inputs"
            )

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Decide exactly whether a rational point lies in the polyhedron."""
        self.check(len(x))
        return all(
            sum((Fraction(float(a)) * v for a, v in zip(row, x, strict=True)), Fraction(0))
            <= Fraction(float(limit))
            for row, limit in zip(self.A, self.b, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {"type": "polyhedron", "A": self.A.tolist(), "b": self.b.tolist()}

    def __str__(self) -> str:
        return f"polyhedron of {self.A.shape[0]} rows"


@dataclass(frozen=True)
class Everywhere:
    """All of R^n."""

    def check(self, inputs: int) -> None:
        """Fits every network."""

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Every point lies in it."""
        return True

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {"type": "everywhere"}

    def __str__(self) -> str:
        return "all of R^n"


Domain = Box | Polyhedron | Everywhere


def domain_from_json(data: Any) -> Domain:
    """Build a domain from its JSON description (docs/domain-format.md).

    Raises
    ------
    DomainError
        If it is no such description.
    """
    if not isinstance(data, dict):
        raise DomainError("domain: a table with a 'type' is needed")
    fields = {"box": {"lower", "upper"}, "polyhedron": {"A", "b"}, "everywhere": set()}
    kind = data.get("type")
    if kind not in fields:
        raise DomainError(f"domain type {kind!r}: supported are {', '.join(fields)}")
    given = set(data) - {"type"}
    if given != fields[kind]:
        raise DomainError(
            f"domain {kind}: found keys {sorted(given)}, needed are {sorted(fields[kind])}"
        )
    if kind == "box":
        return Box(data["lower"], data["upper"])
    if kind == "polyhedron":
        return Polyhedron(data["A"], data["b"])
    return Everywhere()
