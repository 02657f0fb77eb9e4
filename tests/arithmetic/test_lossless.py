"""Sums and products are given exactly or not at all."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jensen.arithmetic.lossless import exact_product, exact_row_scaling, exact_sum

entries = st.one_of(
    st.sampled_from(
        [0.0, 0.0, 1.0, -1.0, 0.5, 3.0, 0.1, 1e-300, 1e300, 5e-324, 2.0**-540, -(2.0**60)]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.integers(-8, 8).map(float),
)


def matrices(rows, columns):
    return arrays(np.float64, (rows, columns), elements=entries)


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


def fractions(matrix):
    return [[Fraction(v) for v in row] for row in dense(matrix).tolist()]


def product_of(left, right):
    return [
        [
            sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0))
            for column in zip(*right, strict=True)
        ]
        for row in left
    ]


@given(matrices(2, 3), matrices(3, 2), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_product_that_is_given_is_exact(left, right, sparse_left, sparse_right):
    a = sp.csr_array(left) if sparse_left else left
    b = sp.csr_array(right) if sparse_right else right
    found = exact_product(a, b)
    if found is not None:
        assert fractions(found) == product_of(fractions(left), fractions(right))


@given(matrices(2, 3), matrices(2, 3), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_sum_is_given_exactly_if_it_is_a_double(left, right, sparse_left, sparse_right):
    a = sp.csr_array(left) if sparse_left else left
    b = sp.csr_array(right) if sparse_right else right
    true = [
        [x + y for x, y in zip(r, s, strict=True)]
        for r, s in zip(fractions(left), fractions(right), strict=True)
    ]
    limit = Fraction(np.finfo(float).max)
    fits = all(abs(v) <= limit and Fraction(float(v)) == v for row in true for v in row)
    found = exact_sum(a, b)
    assert (found is not None) == fits
    if found is not None:
        assert fractions(found) == true


@given(matrices(3, 2), arrays(np.float64, 3, elements=entries), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_scaling_that_is_given_is_exact(matrix, factors, sparse):
    found = exact_row_scaling(sp.csr_array(matrix) if sparse else matrix, factors)
    if found is not None:
        expected = [
            [Fraction(f) * v for v in row]
            for f, row in zip(factors.tolist(), fractions(matrix), strict=True)
        ]
        assert fractions(found) == expected


def test_float32_weights_times_float32_factors_and_selections_are_given():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 5)).astype(np.float32).astype(float)
    factors = rng.normal(size=5).astype(np.float32).astype(float)
    selection = sp.csr_array((factors, ([0, 1, 2, 3, 4], [3, 0, 1, 4, 2])), shape=(5, 6))
    expected = weight @ selection.toarray()
    np.testing.assert_array_equal(dense(exact_product(weight, selection)), expected)
    np.testing.assert_array_equal(dense(exact_product(sp.csr_array(weight), selection)), expected)
    assert exact_row_scaling(weight, factors[:4]) is not None


@pytest.mark.parametrize("left", [np.array, sp.csr_array])
@pytest.mark.parametrize("right", [np.array, sp.csr_array])
def test_products_that_vanish_below_the_smallest_double_are_refused(left, right):
    tiny = [[2.0**-1074, 0.0], [2.0**-540, 2.0**-540]]
    assert exact_product(left(tiny), right([[2.0**-1], [0.0]])) is None
    assert exact_product(left(tiny), right([[0.0], [2.0**-600]])) is None
    assert exact_row_scaling(left(tiny), np.array([0.5, 1.0])) is None


def test_products_of_trained_weights_are_refused():
    rng = np.random.default_rng(0)
    assert exact_product(rng.normal(size=(4, 5)), rng.normal(size=(5, 3))) is None


def test_read_only_arrays_are_accepted():
    left, right = sp.csr_array(np.eye(3) * 2), sp.csr_array(np.ones((3, 3)))
    for matrix in (left, right):
        matrix.data.flags.writeable = False
    assert exact_product(left, right) is not None
    assert exact_sum(left, sp.csr_array(-left)).nnz == 0
