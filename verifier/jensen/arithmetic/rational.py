"""Exact linear algebra over the rationals, on python-flint's ``fmpq``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.exact import nearest_double
from jensen.types import ObjectArray

ZERO = flint.fmpq(0)
ONE = flint.fmpq(1)


def rational(value: float | int | Fraction) -> Any:
    """Return the exact value of a number as ``fmpq``."""
    numerator, denominator = value.as_integer_ratio()
    return flint.fmpq(int(numerator), int(denominator))


def fraction(value: Any) -> Fraction:
    """Return an ``fmpq`` as a ``Fraction``."""
    return Fraction(int(value.p), int(value.q))


def decimal(value: Fraction) -> str:
    """Write a fraction as ``str`` does, but however long (Python stops at 4,300 digits)."""
    return str(flint.fmpq(value.numerator, value.denominator))


def rationals(values: NDArray[np.float64]) -> ObjectArray:
    """Return the exact values of an array of doubles as an object array of ``fmpq``."""
    out = np.empty(values.shape, dtype=object)
    flat = out.reshape(-1)
    flat[:] = [rational(v) if v else ZERO for v in values.reshape(-1).tolist()]
    return out


def floats(values: ObjectArray) -> NDArray[np.float64]:
    """Round an object array of ``fmpq`` to the nearest finite doubles; only 0 becomes 0."""
    out = np.zeros(values.shape)
    flat = values.reshape(-1)
    filled = np.flatnonzero(flat)  # most are 0 where there are many
    out.reshape(-1)[filled] = [_nearest(v) for v in flat[filled].tolist()]
    return out


def _nearest(value: Any) -> float:
    return nearest_double(int(value.p), int(value.q))


def float_below(value: Any) -> float:
    """Return a double that is <= an ``fmpq``."""
    rounded = _nearest(value)
    return rounded if rational(rounded) <= value else math.nextafter(rounded, -math.inf)


def null_space(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return a basis of ``{y : sum_i y_i rows[i] = 0}``, in echelon form.

    Parameters
    ----------
    rows : sequence of equally long sequences of ``fmpq``

    Returns
    -------
    basis : list of vectors of length ``len(rows)``
        Each has a 1 at its own free position and 0 at the other free positions.
    """
    basis, _ = echelon_null_space(rows)
    return basis


def project_to_null_space(rows: Sequence[Sequence[Any]], guess: Sequence[float]) -> list[Any]:
    """Return the exact solution of ``sum_i y_i rows[i] = 0`` next to a float guess.

    The free coordinates keep the guess's value, the pivot coordinates follow from
    them. Empty if only ``y = 0`` solves the system.
    """
    basis, free = echelon_null_space(rows)
    if not basis:
        return []
    total = [ZERO] * len(rows)
    for vector, position in zip(basis, free, strict=True):
        weight = rational(float(guess[position])) if len(basis) > 1 else ONE
        total = [t + weight * v for t, v in zip(total, vector, strict=True)]
    if (
        len(basis) == 1
        and sum(t * rational(float(g)) for t, g in zip(total, guess, strict=True)) < 0
    ):
        total = [-t for t in total]
    return total


def echelon_null_space(rows: Sequence[Sequence[Any]]) -> tuple[list[list[Any]], list[int]]:
    """Return the basis of :func:`null_space`, and the free position of each of its vectors."""
    count, width = len(rows), len(rows[0]) if rows else 0
    if not width:
        identity = [[ONE if i == j else ZERO for j in range(count)] for i in range(count)]
        return identity, list(range(count))
    transposed = flint.fmpq_mat(
        width, count, [rows[i][k] for k in range(width) for i in range(count)]
    )
    reduced, rank = transposed.rref()
    pivots = []
    column = 0
    for row in range(rank):
        while reduced[row, column] == 0:
            column += 1
        pivots.append(column)
        column += 1
    free = [j for j in range(count) if j not in set(pivots)]
    basis = []
    for position in free:
        vector = [ZERO] * count
        vector[position] = ONE
        for row, pivot in enumerate(pivots):
            vector[pivot] = -reduced[row, position]
        basis.append(vector)
    return basis, free


def product(left: ObjectArray, right: ObjectArray) -> ObjectArray:
    """Return the product of two exact matrices: ``left @ right`` at a hundredth of the cost.

    Parameters
    ----------
    left, right : object arrays (rows, inner) and (inner, columns) of ``fmpq``
    """
    (rows, inner), columns = left.shape, right.shape[1]
    found = flint.fmpq_mat(rows, inner, left.reshape(-1).tolist()) * flint.fmpq_mat(
        inner, columns, right.reshape(-1).tolist()
    )
    out = np.empty((rows, columns), dtype=object)
    out.reshape(-1)[:] = found.entries()
    return out


class SparseRows:
    """The non-zeros of an exact matrix, for products with exact vectors.

    Parameters
    ----------
    matrix : object array (rows, columns) of ``fmpq``
    """

    def __init__(self, matrix: ObjectArray) -> None:
        self._rows = [
            [(j, value) for j, value in enumerate(row) if value != 0] for row in matrix.tolist()
        ]

    def __matmul__(self, vector: ObjectArray) -> ObjectArray:
        entries = vector.tolist()
        product = np.empty(len(self._rows), dtype=object)
        for i, row in enumerate(self._rows):
            product[i] = sum((value * entries[j] for j, value in row), ZERO)
        return product
