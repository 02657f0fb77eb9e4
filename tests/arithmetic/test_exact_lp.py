"""Exact linear programs against the enumeration of all vertices."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lp_oracle import dot, holds, vertices

from jensen.arithmetic import exact_lp, simplex
from jensen.arithmetic.rational import ONE, ZERO, fraction
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

REACH = 5  # all vertices lie in |v_i| <= REACH
NUMBERS = st.sampled_from([0, 0, 1, -1, 2, -3, Fraction(1, 3), Fraction(-5, 2)])
TINY = Fraction(1, 10**40)


def rational(value):
    value = Fraction(value)
    return flint.fmpq(value.numerator, value.denominator)


def solve(c, A, b, equality, maximise=exact_lp.maximise, **more):
    numbers = [rational(v) for v in c], [[rational(v) for v in r] for r in A]
    return maximise(*numbers, [rational(v) for v in b], equality, **more)


def by_basis(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_lp, "FEW", 0)
        return exact_lp.maximise(*arguments)


def check(c, A, b, equality):
    """Compare both ways with brute force; return whether the program is feasible."""
    candidates = [v for v in vertices(A, b, len(c)) if holds(A, b, equality, v)]
    for maximise in (by_basis, simplex.maximise):
        check_one(c, A, b, equality, candidates, solve(c, A, b, equality, maximise))
    return bool(candidates)


def check_one(c, A, b, equality, candidates, found):
    """Re-check the evidence."""
    n = len(c)
    assert found.feasible == bool(candidates)
    y = [fraction(v) for v in found.multipliers]
    assert len(y) == len(A)
    assert all(v >= 0 for v, equal in zip(y, equality, strict=True) if not equal)
    columns = [
        sum((w * row[k] for w, row in zip(y, A, strict=True)), Fraction(0)) for k in range(n)
    ]
    if not found.feasible:
        assert found.v is None
        assert not any(columns)
        assert dot(b, y) < 0
        return
    v = [fraction(x) for x in found.v]
    best = max(dot(c, w) for w in candidates)
    assert holds(A, b, equality, v)
    assert dot(c, v) == best
    assert columns == list(c)
    assert dot(b, y) == best


def boxed(A, b, equality, n):
    sides = [[s * (i == k) for i in range(n)] for k in range(n) for s in (1, -1)]
    return [*A, *sides], [*b, *[REACH] * (2 * n)], [*equality, *[False] * (2 * n)]


@st.composite
def programs(draw):
    n = draw(st.integers(1, 3))
    count = draw(st.integers(0, 4))
    vector = st.lists(NUMBERS, min_size=n, max_size=n)
    A = [draw(vector) for _ in range(count)]
    if A and draw(st.booleans()):
        A[-1] = [draw(st.sampled_from([1, -1, 2])) * v for v in A[0]]  # parallel rows
    b = [draw(NUMBERS) for _ in A]
    equality = [draw(st.booleans()) for _ in A]
    return draw(vector), *boxed(A, b, equality, n)


@given(programs())
def test_optimum_point_and_multipliers_are_those_of_brute_force(program):
    check(*program)


@pytest.mark.parametrize(
    ("A", "b", "equality", "feasible"),
    [
        ([], [], [], True),
        ([[0, 0]], [0], [False], True),
        ([[0, 0]], [0], [True], True),
        ([[0, 0]], [-TINY], [False], False),
        ([[0, 0]], [TINY], [True], False),
        ([[1, 1], [-1, -1]], [1, -1], [False, False], True),  # a hyperplane
        ([[1, 1], [-1, -1]], [1, -1 - TINY], [False, False], False),
        ([[1, 1], [2, 2]], [1, 2], [True, True], True),  # redundant equalities
        ([[1, 1], [2, 2]], [1, 2 + TINY], [True, True], False),
        ([[1, 0], [0, 1], [1, 1], [1, 1]], [0, 0, 0, 0], [False] * 4, True),  # degenerate corner
        ([[1, 0], [1, 0]], [TINY, 2 * TINY], [False, False], True),
    ],
)
def test_degenerate_programs(A, b, equality, feasible):
    for c in ([1, 1], [0, 0], [-1, 2], [TINY, -1]):
        assert check(c, *boxed(A, b, equality, 2)) == feasible


def test_a_program_without_variables_only_asks_for_the_signs_of_its_limits():
    assert solve([], [[], []], [0, 1], [False, False]).feasible
    found = solve([], [[], []], [1, -1], [False, False])
    assert not found.feasible
    assert found.multipliers[1] > 0


def test_an_unbounded_objective_is_no_answer():
    assert solve([1, 0], [[0, 1]], [1], [False]) is None
    assert solve([1], [[-1]], [0], [False]) is None


def test_it_does_not_cycle_on_beales_example():
    # maximise c x, x >= 0, three rows that all hold with equality at the start
    A = [
        [Fraction(1, 4), Fraction(1, 2), 0],
        [-60, -90, 0],
        [Fraction(-1, 25), Fraction(-1, 50), 1],
    ]
    A += [[9, 3, 0]]
    c = [Fraction(3, 4), -150, Fraction(1, 50), -6]
    columns = [[row[k] for row in A] for k in range(3)]
    rows = columns + [[-int(i == k) for i in range(4)] for k in range(4)]
    assert check(c, rows, [0, 0, 1, 0, 0, 0, 0], [False] * 7)


def test_without_time_there_is_no_answer():
    assert solve([1], [[1]], [1], [False], out_of_time=lambda: True) is None


def larger_program(seed, n=12, shift=0):
    """A program with a bounded optimum; without feasible points for a large shift."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(3 * n, n))
    b = np.abs(rng.normal(size=3 * n))
    b[:2] -= shift
    A, b = A.tolist(), b.tolist()
    return rng.normal(size=n).tolist(), *boxed(A, b, [False] * len(b), n)


@pytest.mark.parametrize("seed", range(4))
def test_larger_programs_are_settled_by_the_basis_alone(monkeypatch, seed):
    def never(*_, **__):
        raise AssertionError("the tableau was needed")

    expected = [solve(*larger_program(seed, shift=shift), simplex.maximise) for shift in (0, 99)]
    monkeypatch.setattr(exact_lp, "pivot_to_optimum", never)
    found = [solve(*larger_program(seed, shift=shift)) for shift in (0, 99)]
    c = [rational(v) for v in larger_program(seed)[0]]
    values = [sum(x * y for x, y in zip(c, s[0].v, strict=True)) for s in (expected, found)]
    assert values[0] == values[1]
    assert [s.feasible for s in found] == [s.feasible for s in expected] == [True, False]


def test_where_the_basis_is_not_exactly_optimal_the_tableau_pivots(monkeypatch):
    monkeypatch.setattr(exact_lp, "_from_basis", lambda *_: None)
    assert check([1, 1], *boxed([[1, 1]], [1], [False], 2))


def test_the_program_that_proposes_a_basis_has_the_deadline(monkeypatch):
    asked = []

    class Watched(LpSolver):
        def __init__(self, deadline: Deadline) -> None:
            asked.append(deadline)
            super().__init__(deadline)

    monkeypatch.setattr("jensen.arithmetic.exact_lp.LpSolver", Watched)
    eye = [[ONE if i == j else ZERO for j in range(5)] for i in range(5)]
    deadline = Deadline.after(60.0)
    found = exact_lp.maximise([ONE] * 5, eye, [ONE] * 5, [False] * 5, deadline=deadline)
    assert found is not None
    assert asked == [deadline]
