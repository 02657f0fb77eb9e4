"""Sums and products of float64 matrices, given only where nothing is rounded.

The verified function is the one with the stored weights as exact rationals.
Merging two affine maps is therefore only allowed where every entry of the merged
matrix is the exact real number; the functions here return ``None`` otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.types import FloatArray, IntArray

# products that would cost more are not tried: they are hardly ever exact
MAX_PRODUCT_COST = 2**28
MAX_PRODUCT_SIZE = 2**24
_SAFE_EXPONENT = 400
_SPLITTER = float(2**27 + 1)
_NO_BITS = 2**20
_SMALLEST_BIT = -1074


def exact_sum(left: Matrix, right: Matrix) -> Matrix | None:
    """Return ``left + right`` if no entry is rounded.

    Parameters
    ----------
    left, right : arrays or csr arrays of equal shape

    Notes
    -----
    The difference of the sum and the larger summand is always exact (Fast2Sum), so
    that recovering both summands proves the sum.

    References
    ----------
    T. J. Dekker, "A floating-point technique for extending the available
    precision", Numerische Mathematik 18 (1971), section 4.
    """
    if sp.issparse(left) != sp.issparse(right):
        left, right = _dense(left), _dense(right)
    with np.errstate(over="ignore", invalid="ignore"):
        total = left + right
        if sp.issparse(total):
            exact = ((total - left) != right).nnz == 0 and ((total - right) != left).nnz == 0
        else:
            exact = np.array_equal(total - left, right) and np.array_equal(total - right, left)
    if not exact:
        return None
    return _without_zeros(total) if sp.issparse(total) else total


def exact_row_scaling(matrix: Matrix, factors: FloatArray) -> Matrix | None:
    """Return ``diag(factors) @ matrix`` if no entry is rounded.

    Parameters
    ----------
    matrix : array or csr array of shape (n, m), or a vector of shape (n,)
    factors : array of shape (n,)
    """
    if sp.issparse(matrix):
        data = _exact_products(matrix.data, np.repeat(factors, np.diff(matrix.indptr)))
        if data is None:
            return None
        return _without_zeros(sp.csr_array((data, matrix.indices, matrix.indptr), matrix.shape))
    column = factors.reshape(factors.shape + (1,) * (matrix.ndim - 1))
    return _exact_products(matrix, column)


def exact_product(left: Matrix, right: Matrix) -> Matrix | None:
    """Return ``left @ right`` if it is cheap enough to try and no entry is rounded.

    Parameters
    ----------
    left : array or csr array of shape (n, k)
    right : array or csr array of shape (k, m)

    Notes
    -----
    Where ``right`` has at most one non-zero per row and column, every entry is a
    single product. Otherwise all terms of entry (i, j) are multiples of one power of
    two, the lowest bit of row i times the lowest bit of column j; if the sum of their
    magnitudes stays below 2**52 such units, every partial sum in any order is exact.
    """
    if (single := _single_entries(right)) is not None:
        return _select_columns(left, *single, width=int(right.shape[1]))
    rows, inner = left.shape
    cost = _stored(left) * _stored(right) / max(1, inner)
    sparse = sp.issparse(left) and sp.issparse(right)
    if cost > MAX_PRODUCT_COST or (cost if sparse else rows * right.shape[1]) > MAX_PRODUCT_SIZE:
        return None
    row_units, column_units = _lowest_bits(left, axis=1), _lowest_bits(right, axis=0)
    if row_units.min(initial=_NO_BITS) + column_units.min(initial=_NO_BITS) < _SMALLEST_BIT:
        return None  # a product may vanish below the smallest double
    # most products of trained weights fail in their first row already
    for stop in (min(rows, 1), rows):
        with np.errstate(over="ignore"):
            magnitude = abs(left[:stop]) @ abs(right)
        if not _fits(magnitude, row_units[:stop], column_units):
            return None
    product = left @ right
    return _without_zeros(product) if sp.issparse(product) else product


def nonzero_lines(matrix: Matrix, axis: int) -> NDArray[np.bool_]:
    """Return which rows (axis 1) or columns (axis 0) of a matrix hold a non-zero."""
    if sp.issparse(matrix):
        result = np.zeros(matrix.shape[1 - axis], dtype=bool)
        result[matrix.tocoo().coords[1 - axis][matrix.data != 0]] = True
        return result
    # trained weights are hardly ever zero: the first line tells it all
    first = matrix.take(0, axis=axis) != 0 if matrix.shape[axis] else np.zeros(0, dtype=bool)
    return first if first.size and first.all() else np.asarray(matrix.any(axis=axis))


def is_nonzero(matrix: Matrix) -> bool:
    """Whether a matrix holds a non-zero."""
    if sp.issparse(matrix):
        return bool(matrix.data.any())
    return bool(matrix.size and (matrix.flat[0] != 0 or matrix.any()))


def _exact_products(a: FloatArray, b: FloatArray) -> FloatArray | None:
    """Multiply elementwise (with broadcasting) if no product is rounded."""
    if (np.abs(b) == 1).all() or (np.abs(a) == 1).all():
        return a * b
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product: FloatArray = a * b
        if not (_moderate(a) and _moderate(b)):
            return None
        a_high, a_low = _split(a)
        b_high, b_low = _split(b)
        error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product if not error.any() else None


def _split(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split into two halves of 26 bits (Veltkamp), so that products of halves are exact."""
    scaled = values * _SPLITTER
    high = scaled - (scaled - values)
    return high, values - high


def _moderate(values: FloatArray) -> bool:
    """Whether products of these numbers are far from overflow and underflow."""
    exponents = np.frexp(values)[1]
    return bool((np.abs(exponents) <= _SAFE_EXPONENT).all())


def _single_entries(matrix: Matrix) -> tuple[IntArray, IntArray, FloatArray] | None:
    """Return (rows, columns, values) if no row and no column has two non-zeros."""
    if not sp.issparse(matrix):
        return None
    counts = np.diff(matrix.indptr)
    if matrix.nnz > min(matrix.shape) or (counts > 1).any():
        return None
    rows, columns = np.flatnonzero(counts), matrix.indices
    if np.bincount(columns, minlength=1).max(initial=0) > 1:
        return None
    return rows, columns, matrix.data


def _select_columns(
    left: Matrix, rows: IntArray, columns: IntArray, values: FloatArray, *, width: int
) -> Matrix | None:
    unit = bool((values == 1).all())
    if unit and len(rows) == width == left.shape[1] and np.array_equal(rows, columns):
        return left
    if sp.issparse(left):
        factor = np.zeros(left.shape[1])
        target = np.zeros(left.shape[1], dtype=left.indices.dtype)
        factor[rows], target[rows] = values, columns
        data = _exact_products(left.data, factor[left.indices])
        if data is None:
            return None
        parts = (data, target[left.indices], left.indptr.copy())
        selected = sp.csr_array(parts, shape=(left.shape[0], width))
        selected.sort_indices()
        return _without_zeros(selected)
    chosen = left[:, rows] if unit else _exact_products(left[:, rows], values[None, :])
    if chosen is None:
        return None
    dense = np.zeros((left.shape[0], width))
    dense[:, columns] = chosen
    return dense


def _lowest_bits(matrix: Matrix, axis: int) -> IntArray:
    """Return per row (axis 1) or column (axis 0) the exponent of the lowest bit set."""
    values = matrix.data if sp.issparse(matrix) else matrix
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    lowest = np.where(mantissa == 0, 1, mantissa & -mantissa).astype(np.float64)
    bits = np.frexp(lowest)[1].astype(np.int64) - 1 + exponent - 53
    bits = np.where(mantissa == 0, _NO_BITS, bits)
    if not sp.issparse(matrix):
        return np.asarray(np.min(bits, axis=axis, initial=_NO_BITS))
    result = np.full(matrix.shape[1 - axis], _NO_BITS, dtype=np.int64)
    np.minimum.at(result, matrix.tocoo().coords[1 - axis], bits)
    return result


def _fits(magnitude: Matrix, row_units: IntArray, column_units: IntArray) -> bool:
    if sp.issparse(magnitude):
        coo = magnitude.tocoo()
        values, units = coo.data, row_units[coo.coords[0]] + column_units[coo.coords[1]]
    else:
        values, units = magnitude, row_units[:, None] + column_units[None, :]
    fine = (np.frexp(values)[1] <= 52 + units) & np.isfinite(values)
    return bool((fine | (values == 0)).all())


def _without_zeros(matrix: Any) -> Any:
    if matrix.nnz and not matrix.data.all():
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def _dense(matrix: Matrix) -> FloatArray:
    return np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix)


def _stored(matrix: Matrix) -> int:
    return int(matrix.nnz) if sp.issparse(matrix) else int(matrix.size)
