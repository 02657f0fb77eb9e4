"""Rationals to doubles and back, and null spaces: exact at every size."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jensen.arithmetic.exact import nearest_double, root_to_double, to_double
from jensen.arithmetic.rational import (
    ONE,
    ZERO,
    SparseRows,
    decimal,
    float_below,
    floats,
    fraction,
    null_space,
    project_to_null_space,
    rational,
    rationals,
)

LARGEST, SMALLEST = sys.float_info.max, 5e-324
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
# far beyond the doubles on both ends
WIDE = st.builds(
    lambda p, q, e: Fraction(p, q) * Fraction(2) ** e,
    st.integers(-(10**30), 10**30),
    st.integers(1, 10**30),
    st.integers(-2500, 2500),
)
SMALL = st.integers(-3, 3).map(flint.fmpq)


@given(DOUBLES)
def test_a_double_survives_the_way_to_a_rational_and_back(value):
    assert to_double(fraction(rational(value))) == value


@pytest.mark.parametrize("value", [np.float64(0.1), np.float32(0.1), 7, Fraction(1, 3)])
def test_numbers_of_every_kind_are_taken_at_their_exact_value(value):
    exact = Fraction(value) if isinstance(value, int | Fraction) else Fraction(value.item())
    assert fraction(rational(value)) == exact


@given(WIDE)
def test_the_nearest_double_is_finite_keeps_the_sign_and_is_nearest(value):
    rounded = to_double(value)
    assert math.isfinite(rounded)
    assert (rounded > 0) == (value > 0)
    assert (rounded < 0) == (value < 0)
    if abs(value) <= Fraction(LARGEST) and abs(rounded) > SMALLEST:
        for neighbour in (math.nextafter(rounded, -math.inf), math.nextafter(rounded, math.inf)):
            if math.isfinite(neighbour):
                assert abs(Fraction(rounded) - value) <= abs(Fraction(neighbour) - value)


def test_numbers_beyond_the_doubles_end_at_the_last_ones():
    assert nearest_double(10**400) == LARGEST
    assert nearest_double(-(10**400)) == -LARGEST
    assert nearest_double(1, 10**400) == SMALLEST
    # numerator and denominator are both too large for a double, their ratio is too small
    assert nearest_double(-(3**2000), 2**6000) == -SMALLEST
    assert nearest_double(0, 10**400) == 0.0


@given(WIDE)
def test_arrays_round_like_single_numbers(value):
    exact = flint.fmpq(value.numerator, value.denominator)
    assert floats(np.array([[exact, ZERO]], dtype=object)).tolist() == [[to_double(value), 0.0]]


@given(WIDE)
def test_a_double_below_is_below_and_no_other_double_lies_between(value):
    exact = flint.fmpq(value.numerator, value.denominator)
    below = float_below(exact)
    assert below == -math.inf or Fraction(below) <= value
    above = math.nextafter(below, math.inf)
    # a number next to 0 may keep one double of distance: only 0 becomes 0
    if abs(value) > Fraction(2) ** -1000:
        assert above == math.inf or Fraction(above) > value


@given(WIDE)
def test_roots_are_rounded_without_under_or_overflow(value):
    root = root_to_double(value * value)
    exact = abs(value)
    assert math.isfinite(root)
    if Fraction(2) ** -1000 < exact < Fraction(LARGEST):
        assert abs(Fraction(root) - exact) <= exact / 2**52
    assert (root > 0) == (value != 0)


@given(arrays(np.float64, st.tuples(st.integers(0, 3), st.integers(0, 3)), elements=DOUBLES))
def test_arrays_of_doubles_become_rationals_of_the_same_shape(values):
    exact = rationals(values)
    assert exact.shape == values.shape
    assert (floats(exact) == values).all()


@given(WIDE)
def test_decimal_notation_can_be_read_back(value):
    text = decimal(value)
    if len(text) < 4000:
        assert Fraction(text) == value


# ----------------------------------------------------------------------------- null spaces


@st.composite
def systems(draw):
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(SMALL, min_size=width, max_size=width), min_size=1, max_size=5))


def combination(y, rows):
    return [
        sum((a * row[k] for a, row in zip(y, rows, strict=True)), ZERO) for k in range(len(rows[0]))
    ]


@given(systems())
def test_a_null_space_has_the_right_dimension_and_solves_the_system(rows):
    basis = null_space(rows)
    rank = flint.fmpq_mat([list(row) for row in rows]).rref()[1]
    assert len(basis) == len(rows) - rank
    for vector in basis:
        assert not any(combination(vector, rows))
    if basis:
        assert flint.fmpq_mat(basis).rref()[1] == len(basis)


@given(systems(), st.data())
def test_a_projection_solves_the_system_and_a_solution_is_its_own(rows, data):
    guess = [data.draw(st.floats(-2, 2, allow_subnormal=False)) for _ in rows]
    y = project_to_null_space(rows, guess)
    basis = null_space(rows)
    assert bool(y) == bool(basis)
    if y:
        assert not any(combination(y, rows))
    if len(basis) > 1:  # with one vector any positive multiple will do
        weights = [data.draw(st.integers(-4, 4)) for _ in basis]
        solution = [
            sum((flint.fmpq(w) * v[i] for w, v in zip(weights, basis, strict=True)), ZERO)
            for i in range(len(rows))
        ]
        assume(all(v.q < 2**20 and v == rational(float(fraction(v))) for v in solution))
        again = project_to_null_space(rows, [float(fraction(v)) for v in solution])
        assert again == solution


def test_a_single_solution_points_the_way_of_the_guess():
    rows = [[ONE], [flint.fmpq(-1, 3)]]
    assert project_to_null_space(rows, [1e-20, 3e-20]) == [flint.fmpq(1, 3), ONE]
    assert project_to_null_space(rows, [-1.0, -3.0]) == [flint.fmpq(-1, 3), -ONE]


def test_without_columns_everything_is_a_solution():
    assert null_space([[], []]) == [[ONE, ZERO], [ZERO, ONE]]
    assert null_space([]) == []


def test_sparse_rows_multiply_like_the_dense_matrix() -> None:
    matrix = rationals(np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 0.0], [-3.0, 0.1, 2.0]]))
    vector = rationals(np.array([7.0, -0.3, 1e-300]))
    assert (SparseRows(matrix) @ vector).tolist() == (matrix @ vector).tolist()
    assert (SparseRows(matrix[:0]) @ vector).tolist() == []
