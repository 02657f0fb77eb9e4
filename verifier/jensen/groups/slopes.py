"""The weights between two levels of hyperplane groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.exact import dyadic_integers
from jensen.arithmetic.rational import rationals
from jensen.types import FloatArray, ObjectArray


@dataclass(eq=False)
class Slopes:
    """The weights between two levels: columns ``on`` for z >= 0, ``off`` for z <= 0.

    ``off`` is None where it is zero everywhere. ``exact_on`` and ``exact_off`` are None
    where the doubles themselves are exact.
    """

    on: FloatArray
    off: FloatArray | None = None
    exact_on: ObjectArray | None = None
    exact_off: ObjectArray | None = None

    @cached_property
    def rational_on(self) -> ObjectArray:
        """The exact on-slopes."""
        return rationals(self.on) if self.exact_on is None else self.exact_on

    @cached_property
    def rational_off(self) -> ObjectArray | None:
        """The exact off-slopes, None where zero."""
        if self.off is None:
            return None
        return rationals(self.off) if self.exact_off is None else self.exact_off

    @cached_property
    def plus(self) -> FloatArray:
        """The positive part of the on-slopes."""
        return np.maximum(self.on, 0)

    @cached_property
    def minus(self) -> FloatArray:
        """The negative part of the on-slopes."""
        return np.minimum(self.on, 0)

    @cached_property
    def size(self) -> FloatArray:
        """The larger of the absolute slopes."""
        size = np.abs(self.on)
        return size if self.off is None else np.maximum(size, np.abs(self.off))

    @cached_property
    def two_sided(self) -> NDArray[np.bool_]:
        """Which columns have off-slopes."""
        if self.off is None:
            return np.zeros(self.on.shape[1], dtype=bool)
        return np.asarray(self.off.any(axis=0), dtype=bool)

    @cached_property
    def exponent(self) -> int:
        """All doubles are integers times two to this power."""
        exponents = [dyadic_integers(self.on)[1]]
        if self.off is not None:
            exponents.append(dyadic_integers(self.off)[1])
        return min(exponents)

    @property
    def is_exact(self) -> bool:
        """Whether the doubles are exact."""
        return self.exact_on is None and self.exact_off is None

    def take_rows(self, rows: NDArray[np.intp]) -> Slopes:
        """Return the slopes of some units of the target level."""
        parts = (self.on, self.off, self.exact_on, self.exact_off)
        return Slopes(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]
