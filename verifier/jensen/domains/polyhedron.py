"""Polyhedra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from jensen.domains.base import Domain, numbers
from jensen.domains.working_set import WorkingSet
from jensen.errors import DomainError
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True, eq=False)
class Polyhedron(Domain):
    """The polyhedron ``A x <= b``, bounded or not.

    Parameters
    ----------
    A : array of shape (rows, inputs)
    b : array of shape (rows,)

    Raises
    ------
    DomainError
        For NaN, infinities or mismatching shapes. Emptiness is found when it is used.

    Examples
    --------
    >>> half = Polyhedron([[1, 1]], [1])  # x + y <= 1
    >>> half.dimension, half.contains([3, -2])
    (2, True)
    """

    kind: ClassVar[str] = "polyhedron"
    fields: ClassVar[tuple[str, ...]] = ("A", "b")

    A: FloatArray
    b: FloatArray

    def __init__(self, A: ArrayLike, b: ArrayLike) -> None:
        matrix, vector = numbers(A, "polyhedron A"), numbers(b, "polyhedron b")
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

    @property
    def dimension(self) -> int:
        """Number of columns of A."""
        return int(self.A.shape[1])

    def inequalities(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return A and b."""
        return self.A, self.b

    def working_set(self, inputs: int, deadline: Deadline = NEVER) -> WorkingSet:
        """Return the set of the provers, which takes up to seconds, found once."""
        self.check(inputs)
        found = _FOUND.get(self)
        if found is None:
            found = _FOUND[self] = super().working_set(inputs, deadline)
        return found

    def __str__(self) -> str:
        rows = self.A.shape[0]
        return f"polyhedron of {rows} row{'s' * (rows != 1)}"


# not kept in the polyhedron itself: it may be sent to another process
_FOUND: WeakKeyDictionary[Polyhedron, WorkingSet] = WeakKeyDictionary()
