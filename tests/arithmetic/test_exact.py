"""Integer arithmetic on doubles is exact, whatever the exponents."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jensen.arithmetic.exact import ExactMatrix, ExactVector, dyadic_integers, exact_fractions

DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


def reference(matrix: np.ndarray, vector: list[Fraction]) -> list[Fraction]:
    return [
        sum((Fraction(float(w)) * v for w, v in zip(row, vector, strict=True)), Fraction(0))
        for row in matrix
    ]


@given(arrays(np.float64, st.integers(0, 6), elements=DOUBLES))
def test_dyadic_integers_are_the_doubles(values):
    integers, exponent = dyadic_integers(values)
    assert all(type(i) is int for i in integers)
    for integer, value in zip(integers, values, strict=True):
        assert integer * Fraction(2) ** exponent == Fraction(float(value))


def test_the_smallest_and_the_largest_double_share_an_exponent():
    values = np.array([5e-324, -np.finfo(float).max, 2.2250738585072014e-308])
    integers, exponent = dyadic_integers(values)
    assert [i * Fraction(2) ** exponent for i in integers] == exact_fractions(values)


@given(
    arrays(np.float64, (3, 4), elements=DOUBLES),
    st.lists(st.fractions(max_denominator=10**30), min_size=4, max_size=4),
)
def test_matrix_times_vector_is_the_sum_of_products(matrix, vector):
    expected = reference(matrix, vector)
    point = ExactVector.from_fractions(vector)
    assert (ExactMatrix(matrix) @ point).to_fractions() == expected
    assert (ExactMatrix(sp.csr_array(matrix)) @ point).to_fractions() == expected


def test_rows_without_entries_are_zero():
    matrix = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [0.0, -1.0], [0.0, 0.0]])
    result = ExactMatrix(matrix) @ ExactVector.from_fractions([1, 1])
    assert result.to_fractions() == [0, 3, 0, -1, 0]
    zero = ExactMatrix(np.zeros((2, 2))) @ ExactVector.from_fractions([1, 1])
    assert zero.to_fractions() == [0, 0]


def test_duplicate_sparse_entries_add_up():
    doubled = sp.csr_array((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 1))
    assert (ExactMatrix(doubled) @ ExactVector.from_fractions([3])).to_fractions() == [9]


@given(
    st.lists(st.fractions(), min_size=3, max_size=3),
    st.lists(st.fractions(), min_size=3, max_size=3),
)
def test_sums_and_reduced_vectors_keep_their_value(left, right):
    total = ExactVector.from_fractions(left) + ExactVector.from_fractions(right)
    expected = [a + b for a, b in zip(left, right, strict=True)]
    assert total.to_fractions() == expected
    assert total.reduced().to_fractions() == expected
    assert total.positive().tolist() == [v > 0 for v in expected]
    mask = total.positive()
    assert total.masked(mask).to_fractions() == [max(v, Fraction(0)) for v in expected]


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, float, np.float64, np.float32])
def test_every_kind_of_number_is_taken_at_its_exact_value_and_never_overflows(kind):
    huge = ExactMatrix(np.array([[2.0**200]]))
    vector = ExactVector.from_fractions([kind(3)])
    assert all(type(i) is int for i in vector.integers)
    assert (huge @ vector).to_fractions() == [Fraction(3 * 2**200)]


def test_an_empty_vector_is_fine():
    assert ExactVector.from_fractions([]).to_fractions() == []
