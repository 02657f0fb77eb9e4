"""All of R^n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from jensen.domains.base import Domain
from jensen.domains.lines import FreeLines
from jensen.domains.working_set import WorkingSet, whole_cone
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True)
class Everywhere(Domain):
    """All of R^n.

    The default of :func:`jensen.verify`.

    Examples
    --------
    >>> str(Everywhere())
    'all of R^n'
    """

    kind: ClassVar[str] = "everywhere"
    place: ClassVar[str] = "R^n"
    may_be_empty: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False

    def check(self, inputs: int) -> None:
        """Fits every network."""

    def inequalities(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return no rows."""
        return np.empty((0, inputs)), np.empty(0)

    def exact_record(self, inputs: int) -> dict[str, Any]:
        """Describe it in the terms of certificates."""
        return self.to_json()

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Every point lies in it."""
        return True

    def working_set(self, inputs: int, deadline: Deadline = NEVER) -> WorkingSet:
        """Return the lift's cube."""
        return whole_cone(inputs)

    def lines(self, inputs: int, scale: float) -> FreeLines:
        """Return where to draw random lines from."""
        return FreeLines(scale)

    def __str__(self) -> str:
        return "all of R^n"
