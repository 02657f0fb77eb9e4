"""Exact linear algebra on float64 data: every double is an integer times a power of two.

A matrix is held as Python integers over one common power of two, a vector as
Python integers over one common denominator, so that products need integer
arithmetic only and no greatest common divisors in the inner loop.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.types import ObjectArray

# a float64 ndarray or a scipy csr_array; scipy ships no type information
Matrix: TypeAlias = Any

LARGEST = sys.float_info.max
SMALLEST = 5e-324
_ROOT_BITS = 128  # of the integer square root that a double is rounded from


def dyadic_integers(values: NDArray[np.float64]) -> tuple[ObjectArray, int]:
    """Write finite doubles as ``integers * 2**exponent`` with one exponent.

    Parameters
    ----------
    values : array of any shape
        Finite float64 numbers.

    Returns
    -------
    integers : object array of ``int``, same shape
    exponent : int

    Examples
    --------
    >>> dyadic_integers(np.array([0.5, -3.0, 0.0]))
    (array([1, -6, 0], dtype=object), -1)
    """
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    exponent = exponent.astype(np.int64) - 53
    nonzero = mantissa != 0
    if not nonzero.any():
        return np.zeros(values.shape, dtype=np.int64).astype(object), 0
    # strip trailing zero bits first: float32 weights then stay 24-bit integers
    lowest = np.where(nonzero, mantissa & -mantissa, 1)
    trailing = np.log2(lowest.astype(np.float64)).astype(np.int64)
    mantissa >>= trailing
    exponent += trailing
    base = int(exponent[nonzero].min())
    shift = np.where(nonzero, exponent - base, 0)
    return mantissa.astype(object) << shift.astype(object), base


@dataclass(frozen=True)
class ExactVector:
    """The rational vector ``integers / denominator``, or several as the columns of integers."""

    integers: ObjectArray
    denominator: int

    @classmethod
    def from_fractions(cls, values: Iterable[Fraction | int | float]) -> ExactVector:
        """Build from numbers; floats are taken at their exact value."""
        fractions = plain_fractions(values)
        denominator = math.lcm(*(f.denominator for f in fractions)) if fractions else 1
        integers = [f.numerator * (denominator // f.denominator) for f in fractions]
        out = np.empty(len(integers), dtype=object)
        out[:] = integers
        return cls(out, denominator)

    @classmethod
    def from_columns(cls, vectors: Sequence[Sequence[Fraction]]) -> ExactVector:
        """Build from vectors of one length, as columns."""
        flat = cls.from_fractions(value for vector in vectors for value in vector)
        return cls(flat.integers.reshape(len(vectors), -1).T, flat.denominator)

    @classmethod
    def from_floats(cls, values: NDArray[np.float64]) -> ExactVector:
        """Build from finite doubles."""
        integers, exponent = dyadic_integers(values)
        return cls(*_apply_power(integers, exponent))

    def to_fractions(self) -> list[Fraction]:
        """Return the entries as reduced fractions."""
        return [Fraction(int(i), self.denominator) for i in self.integers]

    def __add__(self, other: ExactVector) -> ExactVector:
        common = math.lcm(self.denominator, other.denominator)
        left = self.integers * (common // self.denominator)
        right = other.integers * (common // other.denominator)
        return ExactVector(left + right, common)

    def reduced(self) -> ExactVector:
        """Divide numerator and denominator by their common factor."""
        divisor = math.gcd(self.denominator, *(int(i) for i in self.integers.flat))
        if divisor <= 1:
            return self
        return ExactVector(self.integers // divisor, self.denominator // divisor)

    def masked(self, mask: NDArray[np.bool_]) -> ExactVector:
        """Set the entries outside ``mask`` to zero."""
        return ExactVector(np.where(mask, self.integers, 0), self.denominator)

    def positive(self) -> NDArray[np.bool_]:
        """Return which entries are > 0."""
        return np.asarray(self.integers > 0, dtype=bool)

    def like(self, other: ExactVector) -> ExactVector:
        """Return a single vector as a column that goes with those of another one."""
        shape = (-1,) + (1,) * (other.integers.ndim - 1)
        return ExactVector(self.integers.reshape(shape), self.denominator)


def plain_fractions(values: Iterable[Fraction | int | float]) -> list[Fraction]:
    """Return numbers as fractions; floats are taken at their exact value."""
    # item(): a NumPy integer would survive inside the Fraction and overflow in silence
    plain = (v.item() if isinstance(v, np.generic) else v for v in values)
    # what is a Fraction already stays: building it anew is most of the time
    return [v if type(v) is Fraction else Fraction(v) for v in plain]


def _apply_power(integers: ObjectArray, exponent: int) -> tuple[ObjectArray, int]:
    if exponent >= 0:
        return integers * (1 << exponent), 1
    return integers, 1 << -exponent


class ExactMatrix:
    """A float64 matrix, dense or sparse, as integers over a power of two.

    Only the non-zero entries are stored, row by row, so that a convolution
    costs what its non-zeros cost.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.shape: tuple[int, int] = (int(matrix.shape[0]), int(matrix.shape[1]))
        if sp.issparse(matrix):
            csr = sp.csr_array(matrix, copy=True)  # the network's arrays are read-only
            csr.sum_duplicates()
            csr.eliminate_zeros()
            starts, self._columns, data = csr.indptr, csr.indices, csr.data
        else:
            rows, self._columns = np.nonzero(matrix)
            starts = np.searchsorted(rows, np.arange(self.shape[0] + 1))
            data = np.asarray(matrix)[rows, self._columns]
        self._filled = np.diff(starts) > 0
        self._starts = starts[:-1][self._filled]
        self._integers, self._exponent = dyadic_integers(data)

    def __matmul__(self, vector: ExactVector) -> ExactVector:
        columns = vector.integers.shape[1:]
        integers = self._integers.reshape((-1,) + (1,) * len(columns))
        products = integers * vector.integers[self._columns]
        total = np.zeros((self.shape[0], *columns), dtype=np.int64).astype(object)
        if products.size:
            total[self._filled] = np.add.reduceat(products, self._starts, axis=0)
        integers, power = _apply_power(total, self._exponent)
        return ExactVector(integers, vector.denominator * power)


def exact_fractions(values: Sequence[float] | NDArray[np.float64]) -> list[Fraction]:
    """Return the exact values of finite doubles."""
    return [Fraction(float(v)) for v in values]


def nearest_double(numerator: int, denominator: int = 1) -> float:
    """Round a rational to the nearest finite double; only 0 becomes 0.

    Parameters
    ----------
    numerator, denominator : int
        The denominator is positive.

    Examples
    --------
    >>> nearest_double(-(10**400)), nearest_double(1, 10**400)
    (-1.7976931348623157e+308, 5e-324)
    """
    try:
        rounded = numerator / denominator
    except OverflowError:
        return LARGEST if numerator > 0 else -LARGEST
    if rounded == 0 and numerator:
        return SMALLEST if numerator > 0 else -SMALLEST
    return rounded


def to_double(value: Fraction) -> float:
    """Round a fraction to the nearest finite double; only 0 becomes 0."""
    return nearest_double(value.numerator, value.denominator)


def root_to_double(value: Fraction) -> float:
    """Return the square root of a fraction >= 0 as a finite double, without under- or overflow.

    Examples
    --------
    >>> root_to_double(Fraction(10**500))
    1e+250
    """
    numerator, denominator = value.numerator, value.denominator
    bits = numerator.bit_length() - denominator.bit_length()
    shift = (_ROOT_BITS - bits) // 2  # the root is that of value * 4**shift, over 2**shift
    if shift >= 0:
        return nearest_double(math.isqrt((numerator << 2 * shift) // denominator), 1 << shift)
    return nearest_double(math.isqrt(numerator // (denominator << -2 * shift)) << -shift)
