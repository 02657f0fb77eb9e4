"""Convex quadratic functions in rational arithmetic: what a potential adds to its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import ZERO, fraction, rational, rationals
from jensen.arithmetic.semidefinite import negative_direction
from jensen.composition.quadratic import BIAS
from jensen.optimise.ground import Vector, dot
from jensen.types import FloatArray, ObjectArray
from jensen_encodings.deadline import NEVER, Deadline

CURVED = 1e-10  # the smallest eigenvalue, as a share of the largest, that programs can use
NOTHING = Fraction(0)


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """``q(x) = x H x / 2 + l x + c``.

    Attributes
    ----------
    hessian : tuple of mappings from input to Fraction
        The rows of H, without zeros.
    linear : tuple of Fraction
    constant : Fraction
    known_floor : tuple of Fraction, optional
        :attr:`floor`, where it is known.
    """

    hessian: tuple[Mapping[int, Fraction], ...]
    linear: Vector
    constant: Fraction
    known_floor: Vector | None = None

    @classmethod
    def of_polynomial(cls, terms: Mapping[tuple[int, int], Any], inputs: int) -> QuadraticForm:
        """Return a sum of products ``factor x_i x_j``, with ``fmpq`` factors; BIAS stands for 1.

        Examples
        --------
        >>> two, three = rational(2), rational(3)
        >>> q = QuadraticForm.of_polynomial({(0, 0): two, (0, 1): two, (BIAS, 1): three}, 2)
        >>> q.value((Fraction(1), Fraction(2)))
        Fraction(12, 1)
        """
        rows: list[dict[int, Fraction]] = [{} for _ in range(inputs)]
        linear, constant = [Fraction(0)] * inputs, Fraction(0)
        for (i, j), factor in terms.items():
            value = fraction(factor)
            if i == j == BIAS:
                constant += value
            elif i == BIAS:
                linear[j] += value
            else:
                rows[i][j] = rows[i].get(j, Fraction(0)) + value
                rows[j][i] = rows[j].get(i, Fraction(0)) + value
        return cls(tuple(rows), tuple(linear), constant)

    def gradient(self, x: Sequence[Fraction]) -> Vector:
        """Return ``H x + l``."""
        return tuple(
            sum((h * x[j] for j, h in row.items() if x[j]), slope)
            for row, slope in zip(self.hessian, self.linear, strict=True)
        )

    def value(self, x: Sequence[Fraction]) -> Fraction:
        """Return q(x)."""
        ends = [g + slope for g, slope in zip(self.gradient(x), self.linear, strict=True)]
        return self.constant + dot(ends, x) / 2

    def plus_linear(self, linear: Sequence[float]) -> QuadraticForm:
        """Return q plus a linear function."""
        slopes = tuple(a + Fraction(b) for a, b in zip(self.linear, linear, strict=True))
        return QuadraticForm(self.hessian, slopes, self.constant, self.floor)

    def plus_square(self, center: Sequence[float], step: float) -> QuadraticForm:
        """Return ``q(u) + |u - center|^2 / (2 step)``, of a convex q."""
        pace, at = 1 / Fraction(step), [Fraction(v) for v in center]
        rows = [dict(row) for row in self.hessian]
        for i, row in enumerate(rows):
            row[i] = row.get(i, Fraction(0)) + pace
        slopes = tuple(a - pace * b for a, b in zip(self.linear, at, strict=True))
        floor = tuple(m + pace for m in self.floor)
        return QuadraticForm(tuple(rows), slopes, self.constant + pace * dot(at, at) / 2, floor)

    def mixed(
        self, free: Sequence[int], points: Sequence[Sequence[float]], weights: Sequence[float]
    ) -> QuadraticForm:
        """Return ``sum_s w_s q(u, c_s)`` in the free inputs u.

        Parameters
        ----------
        free : sequence of int
        points : sequence of sequences (inputs,)
            The values c_s of the other inputs; zeros at the free ones.
        weights : sequence of float

        Examples
        --------
        >>> product = QuadraticForm.of_polynomial({(0, 1): rational(1), (0, 0): rational(1)}, 2)
        >>> half = product.mixed([0], [(0.0, 1.0), (0.0, 3.0)], [0.5, 0.5])
        >>> half.linear, half.value((Fraction(2),))
        ((Fraction(2, 1),), Fraction(8, 1))
        """
        place = {i: k for k, i in enumerate(free)}
        shares, exact = [*map(Fraction, weights)], [[*map(Fraction, c)] for c in points]
        whole = sum(shares)
        rows = tuple(
            {place[j]: whole * h for j, h in self.hessian[i].items() if j in place} for i in free
        )
        slopes = [self.gradient(c) for c in exact]
        linear = tuple(dot(shares, [slope[i] for slope in slopes]) for i in free)
        return QuadraticForm(rows, linear, dot(shares, [self.value(c) for c in exact]))

    def is_convex(self, deadline: Deadline = NEVER) -> bool:
        """Return whether H is positive semidefinite on all of R^n, decided exactly.

        Raises
        ------
        OutOfTimeError
            If that was not known in time.
        """
        return negative_direction(self._matrix(), deadline) is None

    @property
    def diagonal(self) -> bool:
        """Whether H is."""
        return all(set(row) <= {i} for i, row in enumerate(self.hessian))

    @cached_property
    def in_doubles(self) -> tuple[FloatArray, FloatArray]:
        """H and l, rounded."""
        H = np.zeros((len(self.linear), len(self.linear)))
        for i, row in enumerate(self.hessian):
            for j, value in row.items():
                H[i, j] = to_double(value)
        return H, np.array([to_double(v) for v in self.linear])

    @cached_property
    def floor(self) -> Vector:
        """Return m >= 0 with ``H - diag(m)`` positive semidefinite, of a convex q.

        Of a diagonal H all of it. Else a multiple of 1, less than the smallest eigenvalue: with
        ``H = s 1 + L L' + E`` in rational arithmetic, ``s - max_i sum_j |E_ij|``.
        """
        if self.known_floor is not None:
            return self.known_floor
        n, H = len(self.linear), self.in_doubles[0]
        if self.diagonal:
            return tuple(row.get(i, Fraction(0)) for i, row in enumerate(self.hessian))
        share, rest = Fraction(0), Fraction(0)
        try:
            share = Fraction(max(float(np.linalg.eigvalsh(H)[0]) / 2, 0.0))
            root = np.linalg.cholesky(H - float(share) * np.eye(n))
            if share > 0 and np.isfinite(root).all():
                factor = flint.fmpq_mat(rationals(np.asarray(root)).tolist())
                product = (factor * factor.transpose()).tolist()
                misses = self._matrix(share) - np.array(product, dtype=object)
                rest = max(fraction(sum((abs(v) for v in row), ZERO)) for row in misses)
        except np.linalg.LinAlgError:
            return (Fraction(0),) * n
        return (max(share - rest, Fraction(0)),) * n

    @cached_property
    def steep(self) -> bool:
        """Whether H bends enough in every direction for programs in doubles."""
        H = self.in_doubles[0]
        return bool(min(self.floor) > CURVED * float(np.abs(H).sum(axis=1).max()))

    def _matrix(self, less: Fraction = NOTHING) -> ObjectArray:
        n = len(self.linear)
        matrix: ObjectArray = np.full((n, n), ZERO, dtype=object)
        for i, row in enumerate(self.hessian):
            for j, value in row.items():
                matrix[i, j] = rational(value)
            matrix[i, i] -= rational(less)
        return matrix
