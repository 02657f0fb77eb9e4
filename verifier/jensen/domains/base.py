"""What a domain is: a convex set, given by finitely many linear rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.arithmetic.exact import exact_fractions
from jensen.domains.lines import Chords, Lines
from jensen.domains.working_set import WorkingSet, polyhedral_set
from jensen.errors import DomainError
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline


class Domain(ABC):
    """A set on which convexity is decided.

    A kind of domain says which rows describe it, how it is written in JSON and which words
    name it; all else follows from the rows, and is overridden where a kind knows better.

    Attributes
    ----------
    kind, fields : its ``type`` in JSON, and its other keys, which are the constructor's
    place : str
        Where it is, in words: "no pair of *the box* ...".
    may_be_empty : bool
        Whether emptiness is only found by looking closer.
    has_rows : bool
        Whether more than the sides of a box restrict it.

    Examples
    --------
    >>> from jensen.domains.box import Box
    >>> square = Box(-1, [1, 1])
    >>> square.check(2)
    >>> A, b = square.inequalities(2)
    >>> A.shape, b.tolist()
    ((4, 2), [1.0, 1.0, 1.0, 1.0])
    >>> square == Box(-1.0, (1, 1)), square == Box(-1, 1)
    (True, False)
    >>> square.contains([1, Fraction(1, 3)]), square.sides()
    (True, '[-1, 1] × [-1, 1]')
    >>> square.to_json()
    {'type': 'box', 'lower': -1.0, 'upper': [1.0, 1.0]}
    >>> str(Box.from_json({"lower": 0, "upper": 1}))
    'box [0, 1]'
    >>> square.exact_record(2)["upper"]
    [Fraction(1, 1), Fraction(1, 1)]
    >>> square.box_sides(2)[1].tolist(), type(square.working_set(2)).__name__
    ([1.0, 1.0], 'WorkingSet')
    >>> square.clipped(np.array([[0.0, 5.0]])).tolist()
    [[0.0, 1.0]]
    >>> type(square.lines(2, 1.0)).__name__
    'BoxLines'
    """

    kind: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    place: ClassVar[str] = "the polyhedron"
    may_be_empty: ClassVar[bool] = True
    has_rows: ClassVar[bool] = True

    def __eq__(self, other: object) -> bool:
        """Whether another domain of its kind is given by the same numbers."""
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in self.fields
        )

    def __hash__(self) -> int:
        """Return a number that is the same for equal domains."""
        sides = (np.asarray(getattr(self, name)) + 0.0 for name in self.fields)  # -0 is 0
        return hash((type(self), *((side.shape, side.tobytes()) for side in sides)))

    @abstractmethod
    def check(self, inputs: int) -> None:
        """Raise :class:`DomainError` unless it fits a network of so many inputs.

        Parameters
        ----------
        inputs : int
        """

    @abstractmethod
    def inequalities(self, inputs: int) -> tuple[FloatArray, FloatArray]:
        """Return A, shape (rows, inputs), and b: the domain is ``A x <= b``.

        Parameters
        ----------
        inputs : int

        Returns
        -------
        A : array of shape (rows, inputs)
        b : array of shape (rows,)
        """

    @abstractmethod
    def __str__(self) -> str:
        """Return a few words that name it."""

    @property
    def dimension(self) -> int | None:
        """The one number of inputs that it fits; None where it fits several."""
        return None

    def sides(self, most: int = 8) -> str:
        """Return the sides of a box in words, at most so many; "" where nothing is to be said.

        Parameters
        ----------
        most : int

        Returns
        -------
        str
        """
        return ""

    # ----------------------------------------------------------------------- writing

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Build one from the keys of a JSON description.

        Parameters
        ----------
        data : dict
            Its :attr:`fields`; other keys are left out.

        Returns
        -------
        Domain
        """
        return cls(**{name: data[name] for name in cls.fields})

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready description.

        Returns
        -------
        dict
        """
        values = {name: np.asarray(getattr(self, name)).tolist() for name in self.fields}
        return {"type": self.kind, **values}

    def exact_record(self, inputs: int) -> dict[str, Any]:
        """Describe it in fractions, in the terms of certificates (docs/FORMAT.md).

        Parameters
        ----------
        inputs : int

        Returns
        -------
        dict
        """
        A, b = self.inequalities(inputs)
        rows = [exact_fractions(row) for row in A]
        return {"type": "polyhedron", "A": rows, "b": exact_fractions(b)}

    # ---------------------------------------------------------------------- geometry

    def box_sides(self, inputs: int) -> tuple[FloatArray, FloatArray] | None:
        """Return both sides, of shape (inputs,), where it is a box; None elsewhere.

        Parameters
        ----------
        inputs : int

        Returns
        -------
        lower, upper : arrays of shape (inputs,), or None
        """
        return None

    def contains(self, x: Sequence[Fraction]) -> bool:
        """Decide exactly whether a rational point lies in it.

        Parameters
        ----------
        x : sequence of Fraction

        Returns
        -------
        bool
        """
        self.check(len(x))
        A, b = self.inequalities(len(x))
        return all(
            sum((a * v for a, v in zip(exact_fractions(row), x, strict=True)), Fraction(0)) <= limit
            for row, limit in zip(A, exact_fractions(b), strict=True)
        )

    def working_set(self, inputs: int, deadline: Deadline = NEVER) -> WorkingSet:
        """Return the full-dimensional set that the provers work in.

        Parameters
        ----------
        inputs : int
        deadline : Deadline

        Returns
        -------
        WorkingSet

        Raises
        ------
        DomainError
            If the domain does not fit or is empty.
        OutOfTimeError
            If time was up before that was known.
        """
        self.check(inputs)
        return polyhedral_set(*self.inequalities(inputs), deadline)

    def lines(self, inputs: int, scale: float) -> Lines:
        """Return where to draw random lines from, near kinks at this distance from 0.

        Parameters
        ----------
        inputs : int
        scale : float

        Returns
        -------
        Lines
        """
        return Chords(*self.inequalities(inputs), scale)

    def clipped(self, points: FloatArray) -> FloatArray:
        """Return points, those of rounding's making moved back into it where that is easy.

        Parameters
        ----------
        points : array of shape (n, inputs)

        Returns
        -------
        array of shape (n, inputs)
        """
        return points


def numbers(value: ArrayLike, what: str) -> FloatArray:
    """Return numbers as a frozen array of doubles.

    Raises
    ------
    DomainError
        For what is no array of numbers that doubles hold exactly, and for NaN.
    """
    try:
        array = exact_doubles(value)
    except NotADoubleError as error:
        raise DomainError(f"{what}: {error}") from None
    if np.isnan(array).any():
        raise DomainError(f"{what} holds NaN")
    array.flags.writeable = False
    return array
