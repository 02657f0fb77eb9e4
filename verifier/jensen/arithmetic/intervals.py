"""Interval products that hold in real arithmetic, computed in float64.

NumPy has no directed rounding. A computed sum of ``n`` products differs from the real
one by at most ``gamma_n * sum |terms|`` in whatever order it is added up (with fused
multiply-adds or without), plus half a subnormal for every product that underflows. Both are
subtracted. A sum whose terms are all zero is exact and stays exact, so that a
pre-activation whose interval ends at 0 keeps ending at 0.

References
----------
N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., section 3.1.
S. M. Rump, "Verification methods: rigorous results using floating-point arithmetic", 2010.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.types import FloatArray, IndexArray, Interval

UNIT = 2.0**-53
SUBNORMAL = 2.0**-1074
_SMALLEST_NORMAL = 2.0**-1022
# the error bound is itself computed in floating point: 1 % more than covers that
SAFETY = 1.01
_CHUNK = 1 << 17
_SETTLED_TERMS = 100_000
SWAPPED = [1, 0, 3, 2]
SIDES = np.array([-1.0, 1.0])  # which way the lower and the upper end are rounded
ENDS = SIDES * np.inf
_LEAST, _MOST = 2.0**-900, 2.0**1000


def rounding_factor(terms: int) -> float:
    """Bound the relative error of a sum of so many rounded products, with margin."""
    return SAFETY * (terms + 4) * UNIT / (1.0 - (terms + 4) * UNIT)


def interval_affine(terms: Sequence[tuple[Matrix, Interval]], bias: FloatArray) -> Interval:
    """Enclose ``sum_j W_j h_j + bias`` for all ``h_j`` in given intervals.

    Parameters
    ----------
    terms : sequence of (matrix of shape (m, n_j), (lower, upper) of shape (n_j,))
        Dense matrices, also transposed views, or CSR/CSC, which stay sparse.
    bias : array of shape (m,)

    Returns
    -------
    lower, upper : arrays of shape (m,)
        True bounds of the real-valued result; infinite where float64 overflows.
        Where rounding alone would hide the sign of a side, that side is recomputed
        in rational arithmetic.
    """
    # both ends, and their sizes
    total = np.empty((len(bias), 4))
    total[:, :2] = bias[:, None]
    np.abs(total[:, :2], out=total[:, 2:])
    count = 2
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for matrix, interval in terms:
            sides = _with_sizes(*interval)
            swapped = sides[:, SWAPPED]
            np.negative(swapped[:, 2:], out=swapped[:, 2:])
            positive, negative = _signed_products(matrix, sides, swapped)
            total += positive
            total += negative
            count += _longest_row(matrix) + 2
        value, magnitude = total[:, :2], total[:, 2:]
        error = rounding_factor(count) * magnitude
        if _is_plain(magnitude):
            # the margin of the error is far more than all that underflows
            bound = np.nextafter(value + SIDES * error, ENDS)
            low, high = bound[:, 0].copy(), bound[:, 1].copy()
            if not np.count_nonzero(np.abs(value) <= error):
                return low, high
            finite = np.isfinite(bound)
        else:
            error = _with_underflow(terms, magnitude, error)
            bound = np.where(error > 0, np.nextafter(value + SIDES * error, ENDS), value)
            finite = np.isfinite(bound)
            bound = np.where(finite, bound, ENDS)
            low, high = bound[:, 0].copy(), bound[:, 1].copy()
        # sides whose sign is lost in rounding
        unsure = finite & (SIDES * bound > 0) & (SIDES * value <= error)
        if unsure.any():
            _settle(terms, bias, low, np.flatnonzero(unsure[:, 0]), side=0)
            _settle(terms, bias, high, np.flatnonzero(unsure[:, 1]), side=1)
    return low, high


def _with_sizes(lower: FloatArray, upper: FloatArray) -> FloatArray:
    sides = np.empty((len(lower), 4))
    sides[:, 0], sides[:, 1] = lower, upper
    np.abs(sides[:, :2], out=sides[:, 2:])
    return sides


def _is_plain(magnitude: FloatArray) -> bool:
    """Whether sums are so large that underflow does not matter, and so small that none overflows.

    Of an error of at least ``4 UNIT magnitude`` SAFETY leaves 1 %, and a product that underflows
    costs half a subnormal.
    """
    least = np.minimum.reduce(magnitude, axis=None, initial=1.0)
    most = np.maximum.reduce(magnitude, axis=None, initial=1.0)
    return bool(least >= _LEAST and most <= _MOST)  # not so if one is not a number


def _with_underflow(
    terms: Sequence[tuple[Matrix, Interval]], magnitude: FloatArray, error: FloatArray
) -> FloatArray:
    """Return errors that cover what underflows."""
    # the error may itself underflow although the terms do not vanish
    tiny = (magnitude > 0) & (magnitude < _LEAST)
    error = np.where(tiny, error + SUBNORMAL, error)
    for matrix, interval in terms:
        sides = _with_sizes(*interval)
        if _may_underflow(matrix, sides[:, 2:]):
            error += 2.0 * SUBNORMAL * _active_terms(matrix, sides[:, :2])
    return error


def round_down(value: Fraction) -> float:
    """Return the largest double not above a rational (minus infinity below all doubles)."""
    try:
        near = float(value)
    except OverflowError:
        return float(np.finfo(np.float64).max) if value > 0 else -np.inf
    return float(np.nextafter(near, -np.inf)) if Fraction(near) > value else near


def round_up(value: Fraction) -> float:
    """Return the smallest double not below a rational."""
    return 0.0 - round_down(-value)  # 0 is 0.0, not -0.0


def product_below(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return products, rounded down where no double holds them.

    Parameters
    ----------
    left, right : arrays that broadcast
        Zeros, and sizes between 1e-140 and 1e140.

    References
    ----------
    T. J. Dekker, "A floating-point technique for extending the available precision", 1971.
    """
    product = left * right
    (a, b), (c, d) = _halves(left), _halves(right)
    error = ((a * c - product) + a * d + b * c) + b * d  # exactly
    return np.where(error < 0, np.nextafter(product, -np.inf), product)


def _halves(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return two parts of 26 bits each that add up to the values."""
    scaled = 134217729.0 * values  # 2^27 + 1
    upper = scaled - (scaled - values)
    return upper, values - upper


def absolute(matrix: Matrix) -> Matrix:
    """Return ``|W|`` in the storage of W."""
    return abs(matrix)


def row_norms(matrix: Matrix) -> FloatArray:
    """Return the lengths of all rows, to a few roundings; squares neither under- nor overflow."""
    if not sp.issparse(matrix):
        largest = np.abs(matrix).max(axis=1, initial=0.0)
        scaled = matrix / np.where(largest > 0, largest, 1.0)[:, None]
        lengths: FloatArray = largest * np.linalg.norm(scaled, axis=1)
        return lengths
    rows = sp.csr_array(matrix)
    at = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    largest = np.zeros(rows.shape[0])
    np.maximum.at(largest, at, np.abs(rows.data))
    scaled = rows.data / np.where(largest > 0, largest, 1.0)[at]
    return largest * np.sqrt(np.bincount(at, scaled * scaled, minlength=rows.shape[0]))


def _signed_products(
    matrix: Matrix, right: FloatArray, swapped: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ``max(W, 0) @ right`` and ``min(W, 0) @ swapped``."""
    if sp.issparse(matrix):
        parts = [
            type(matrix)((clip(matrix.data, 0.0), matrix.indices, matrix.indptr), matrix.shape)
            for clip in (np.maximum, np.minimum)
        ]
        return parts[0] @ right, parts[1] @ swapped
    if matrix.size <= _CHUNK:
        return np.maximum(matrix, 0.0) @ right, np.minimum(matrix, 0.0) @ swapped
    positive = np.zeros((matrix.shape[0], right.shape[1]))
    negative = np.zeros_like(positive)
    for rows, columns in _chunks(matrix):
        block = matrix[rows, columns]
        positive[rows] += np.maximum(block, 0.0) @ right[columns]
        negative[rows] += np.minimum(block, 0.0) @ swapped[columns]
    return positive, negative


def _chunks(matrix: FloatArray) -> Iterator[tuple[slice, slice]]:
    """Cut along the slow axis, so that the signed parts stay in cache."""
    rows, columns = matrix.shape
    everything = slice(None)
    if matrix.flags.f_contiguous and not matrix.flags.c_contiguous:
        step = max(1, _CHUNK // max(rows, 1))
        for start in range(0, columns, step):
            yield everything, slice(start, start + step)
    else:
        step = max(1, _CHUNK // max(columns, 1))
        for start in range(0, rows, step):
            yield slice(start, start + step), everything


def _longest_row(matrix: Matrix) -> int:
    if not sp.issparse(matrix):
        return int(matrix.shape[1])
    if not matrix.nnz:
        return 0
    if matrix.format == "csr":
        return int(np.diff(matrix.indptr).max())
    return int(np.bincount(matrix.indices).max())


def _smallest(sizes: FloatArray) -> float:
    """Return the smallest size that is not zero."""
    least = float(sizes.min(initial=np.inf))
    return least if least > 0 else float(sizes[sizes > 0].min(initial=np.inf))


def _may_underflow(matrix: Matrix, sizes: FloatArray) -> bool:
    data = np.abs(matrix.data if sp.issparse(matrix) else matrix)
    return _smallest(data) < _SMALLEST_NORMAL / _smallest(sizes)


def _active_terms(matrix: Matrix, sides: FloatArray) -> FloatArray:
    """Count, per row, the products of two non-zero numbers (an upper bound)."""
    active = (sides != 0).any(axis=1).astype(np.float64)
    filled = (matrix != 0).astype(np.float64)
    counts: FloatArray = np.asarray(filled @ active)[:, None]
    return counts


def _settle(
    terms: Sequence[tuple[Matrix, Interval]],
    bias: FloatArray,
    bound: FloatArray,
    rows: IndexArray,
    side: int,
) -> None:
    """Recompute, in place and exactly, some rows of a side."""
    width = max(1, sum(_longest_row(matrix) for matrix, _ in terms))
    for row in rows[: _SETTLED_TERMS // width]:
        total = Fraction(float(bias[row]))
        for matrix, interval in terms:
            columns, weights = _row_entries(matrix, int(row))
            for column, weight in zip(columns, weights, strict=True):
                pick = interval[side if weight > 0 else 1 - side]
                total += Fraction(float(weight)) * Fraction(float(pick[column]))
        bound[row] = round_down(total) if side == 0 else round_up(total)


def _row_entries(matrix: Matrix, row: int) -> tuple[NDArray[np.intp], FloatArray]:
    if sp.issparse(matrix):
        single = sp.csr_array(matrix[[row], :])
        return single.indices, single.data
    columns = np.flatnonzero(matrix[row])
    return columns, matrix[row, columns]
