"""Proportional rows are found exactly, and only they."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.arithmetic.rational import fraction, rational, rationals
from jensen.groups.slopes import Slopes
from jensen.groups.twins import find_twins

FACTORS = st.sampled_from([1.0, -1.0, 2.0, -0.5, 3.0, 1 / 3, 1e-200, -1e200])


def twins_of(rows: list[list[float]], bias: list[float], candidates: list[int] | None = None):
    exact = np.array([rational(v) for v in bias], dtype=object)
    chosen = np.arange(len(rows)) if candidates is None else np.array(candidates, dtype=np.intp)
    matrix = np.array(rows).reshape(len(rows), -1)
    return [
        [(row, fraction(c)) for row, c in group]
        for group in find_twins({0: Slopes(matrix)}, exact, chosen)
    ]


def proportional(a: list[float], b: list[float]) -> Fraction | None:
    x, y = [Fraction(v) for v in a], [Fraction(v) for v in b]
    pivot = next((i for i, v in enumerate(x) if v), None)
    if pivot is None or not y[pivot]:
        return None
    c = y[pivot] / x[pivot]
    return c if all(q == c * p for p, q in zip(x, y, strict=True)) else None


@st.composite
def tables(draw):
    width = draw(st.integers(1, 3))
    number = st.sampled_from([0.0, 1.0, -1.0, 0.1, 3.0, 1 / 3])
    rows = draw(st.lists(st.lists(number, min_size=width, max_size=width), min_size=1, max_size=4))
    for _ in range(draw(st.integers(0, 4))):
        factor, row = draw(FACTORS), draw(st.sampled_from(rows))
        rows.insert(draw(st.integers(0, len(rows))), [factor * v for v in row])
    return [row for row in rows if any(row)]


@given(tables())
def test_groups_are_the_classes_of_exact_proportionality(table):
    if not table:
        return
    rows, bias = [row[1:] for row in table], [row[0] for row in table]
    groups = twins_of(rows, bias)
    assert sorted(row for group in groups for row, _ in group) == list(range(len(table)))
    of = {row: (group[0][0], c) for group in groups for row, c in group}
    for i, a in enumerate(table):
        for j, b in enumerate(table[:i]):
            together = of[i][0] == of[j][0]
            assert together == (proportional(b, a) is not None), (a, b)
    for lead, c in ((group[0], c) for group in groups for c in group[1:]):
        assert lead[1] == 1
        assert lead[0] < c[0]
        assert proportional(table[lead[0]], table[c[0]]) == c[1]


@pytest.mark.parametrize("factor", [0.1, 1 / 3, 7.7])
def test_rows_that_are_proportional_up_to_rounding_are_no_twins(factor):
    row = [0.3, -1.1, 2.7]
    twin = [factor * v for v in row]
    exact = proportional(row, twin) is not None
    assert (len(twins_of([row, twin], [0.0, 0.0])) == 1) == exact
    assert len(twins_of([row, [2 * v for v in row]], [0.3, np.nextafter(0.6, 1)])) == 2


def test_the_bias_belongs_to_the_row():
    assert len(twins_of([[1.0], [2.0]], [1.0, 2.0])) == 1
    assert len(twins_of([[1.0], [2.0]], [1.0, 1.0])) == 2
    assert len(twins_of([[1.0], [-1.0]], [0.0, 0.0])) == 1


def test_only_candidates_are_grouped_and_the_first_leads():
    groups = twins_of([[4.0], [1.0], [-2.0], [3.0]], [0.0] * 4, [3, 2, 1])
    assert groups == [[(1, 1), (2, -2), (3, 3)]]
    assert twins_of([[1.0], [2.0]], [0.0, 0.0], []) == []


def test_off_slopes_and_exact_slopes_are_compared_too():
    third = flint.fmpq(1, 3)
    on = np.array([[1 / 3], [2 / 3], [2 / 3]])
    exact = np.array([[third], [2 * third], [2 * third]], dtype=object)
    off = np.array([[1.0], [2.0], [1.0]])
    bias = np.array([flint.fmpq(0)] * 3, dtype=object)
    groups = find_twins({0: Slopes(on, off, exact)}, bias, np.arange(3))
    assert [[row for row, _ in group] for group in groups] == [[0, 1], [2]]
    nearly = exact.copy()
    nearly[1, 0] = 2 * third + flint.fmpq(1, 10**40)
    groups = find_twins({0: Slopes(on, off, nearly)}, bias, np.arange(3))
    assert [[row for row, _ in group] for group in groups] == [[0], [1], [2]]


def test_many_rows_with_one_signature_stay_apart():
    """Rows that differ in the last bit only, next to true twins."""
    values = [1.0]
    for _ in range(20):
        values.append(float(np.nextafter(values[-1], 2)))
    rows = [[v, 0.5] for v in values] + [[-2 * v, -1.0] for v in values]
    groups = twins_of(rows, [0.25] * 21 + [-0.5] * 21)
    assert [[row for row, _ in group] for group in groups] == [[k, 21 + k] for k in range(21)]
    assert rationals(np.array(values)).tolist() == [rational(v) for v in values]
