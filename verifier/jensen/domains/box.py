"""Boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.exact import exact_fractions
from jensen.domains.base import Domain, numbers
from jensen.domains.lines import BoxLines
from jensen.domains.working_set import WorkingSet, box_set
from jensen.errors import DomainError
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline

_SHOWN = 3  # sides in a name: it has to fit into a column


@dataclass(frozen=True, eq=False)
class Box(Domain):
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

    kind: ClassVar[str] = "box"
    fields: ClassVar[tuple[str, ...]] = ("lower", "upper")
    place: ClassVar[str] = "the box"
    may_be_empty: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False

    lower: FloatArray
    upper: FloatArray
    _sides: dict[int, tuple[FloatArray, FloatArray]] = field(init=False, repr=False)

    def __init__(self, lower: ArrayLike, upper: ArrayLike) -> None:
        low, high = numbers(lower, "box lower side"), numbers(upper, "box upper side")
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
        object.__setattr__(self, "_sides", {})

    def bounds(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return both sides as arrays of shape (inputs,).

        Parameters
        ----------
        inputs : int

        Returns
        -------
        lower, upper : arrays of shape (inputs,)

        Raises
        ------
        DomainError
            If the box has another number of sides.
        """
        for side in (self.lower, self.upper):
            if side.ndim == 1 and side.size != inputs:
                raise DomainError(f"box has {side.size} dimensions, the network {inputs} inputs")
        return np.full(inputs, self.lower), np.full(inputs, self.upper)

    def check(self, inputs: int) -> None:
        """Raise :class:`DomainError` unless the box fits a network of so many inputs."""
        self.box_sides(inputs)

    @property
    def dimension(self) -> int | None:
        """Number of sides; None where all are the same."""
        shape = np.broadcast_shapes(self.lower.shape, self.upper.shape)
        return shape[0] if shape else None

    def inequalities(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return ``x <= upper`` and ``-x <= -lower``."""
        lower, upper = self.box_sides(inputs)
        eye = np.eye(inputs)
        return np.concatenate([eye, -eye]), np.concatenate([upper, -lower])

    def exact_record(self, inputs: int) -> dict[str, Any]:
        """Describe it in fractions, in the terms of certificates."""
        lower, upper = self.bounds(inputs)
        return {
            "type": self.kind,
            "lower": exact_fractions(lower),
            "upper": exact_fractions(upper),
        }

    def box_sides(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return :meth:`bounds`, the same frozen arrays for every call."""
        found: tuple[FloatArray, FloatArray] | None = self._sides.get(inputs)
        if found is None:
            found = self._sides[inputs] = self.bounds(inputs)
            for side in found:
                side.flags.writeable = False
        return found

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Decide exactly whether a rational point lies in the box."""
        lower, upper = self.box_sides(len(x))
        return all(
            _between(a, v, b) for a, v, b in zip(lower.tolist(), x, upper.tolist(), strict=True)
        )

    def working_set(self, inputs: int, deadline: Deadline = NEVER) -> WorkingSet:
        """Return the box of its sides that are not points."""
        return box_set(*self.bounds(inputs))

    def lines(self, inputs: int, scale: float) -> BoxLines:
        """Return where to draw random lines from."""
        return BoxLines(*self.bounds(inputs))

    def clipped(self, points: FloatArray) -> FloatArray:
        """Return points, each moved into the box."""
        clipped: FloatArray = np.clip(points, *self.bounds(points.shape[-1]))
        return clipped

    def sides(self, most: int = 8) -> str:
        """Return the sides in words, the first few of them; "" where all are the same.

        Examples
        --------
        >>> Box([0, -1], 1).sides()
        '[0, 1] × [-1, 1]'
        """
        if self.lower.ndim == self.upper.ndim == 0:
            return ""
        sides = list(zip(*np.broadcast_arrays(self.lower, self.upper), strict=True))
        shown = " × ".join(f"[{low:g}, {high:g}]" for low, high in sides[:most])
        return shown + (" × …" if len(sides) > most else "")

    def __str__(self) -> str:
        if self.lower.ndim == self.upper.ndim == 0:
            return f"box [{float(self.lower):g}, {float(self.upper):g}]"
        sides = list(zip(*np.broadcast_arrays(self.lower, self.upper), strict=True))
        if len(sides) > 1 and len(set(sides)) == 1:
            return f"box {self.sides(1).removesuffix(' × …')}^{len(sides)}"
        more = f" ({len(sides)} sides)" if len(sides) > _SHOWN else ""
        return f"box {self.sides(_SHOWN)}{more}"


def _between(low: float, value: Fraction, high: float) -> bool:
    """Decide ``low <= value <= high`` exactly, in most cases by the nearest double."""
    try:
        # rounded to nearest, which keeps the order: strictly inside is inside
        if low < value.numerator / value.denominator < high:
            return True
    except OverflowError:
        pass
    return Fraction(low) <= value <= Fraction(high)
