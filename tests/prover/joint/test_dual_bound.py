"""Bounds of linear programs from any multipliers hold in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from jensen.prover.joint.dual_bound import LinearProgram


def exact_bound(program: LinearProgram, multipliers: np.ndarray, *, with_cost: bool) -> Fraction:
    """The bound of the module's text, in Fractions; sides that are not there do not count."""
    total = Fraction(program.shift) if with_cost else Fraction(0)
    reduced = [Fraction(c) if with_cost else Fraction(0) for c in program.cost.tolist()]
    for y, row, low, high in zip(
        multipliers.tolist(), program.A.tolist(), program.row_lower, program.row_upper, strict=True
    ):
        side = low if y > 0 else high
        if y == 0 or np.isinf(side):
            continue
        total += Fraction(y) * Fraction(float(side))
        reduced = [r - Fraction(y) * Fraction(a) for r, a in zip(reduced, row, strict=True)]
    for r, low, high in zip(reduced, program.lower, program.upper, strict=True):
        total += r * Fraction(float(low if r > 0 else high))
    return total


def random_program(seed: int) -> LinearProgram:
    rng = np.random.default_rng(seed)
    rows, columns = 7, 5
    scale = 10.0 ** rng.integers(-12, 12, (rows, 1)) if seed % 2 else np.ones((rows, 1))
    A = rng.normal(size=(rows, columns)) * scale
    lower = -rng.random(columns) * (rng.random(columns) < 0.8)
    upper = rng.random(columns) * 10.0 ** rng.integers(-3, 3, columns)
    row_lower = np.where(rng.random(rows) < 0.5, -np.inf, -rng.random(rows))
    row_upper = np.where(rng.random(rows) < 0.3, np.inf, rng.random(rows))
    cost = rng.normal(size=columns) * (rng.random(columns) < 0.7)
    return LinearProgram(
        cost, float(rng.normal()), A, row_lower, row_upper, lower.copy(), upper.copy()
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_bound_is_never_above_that_of_the_same_multipliers_in_rationals(seed):
    program = random_program(seed)
    rng = np.random.default_rng(seed)
    for _ in range(8):
        multipliers = rng.normal(size=7) * (rng.random(7) < 0.7)
        for with_cost in (True, False):
            exact = exact_bound(program, multipliers, with_cost=with_cost)
            bound = program.least(multipliers, with_cost=with_cost)
            assert Fraction(bound) <= exact
            size = np.abs(multipliers) @ np.abs(program.A) @ program._reach + 100.0
            assert float(exact) - bound < 1e-12 * size
        column = int(rng.integers(5))  # narrowed, as branching does
        program.lower[column] = program.upper[column]


def test_the_interval_is_the_bound_without_multipliers():
    for seed in range(20):
        program = random_program(seed)
        assert program.interval() == program.least(np.zeros(7))
        assert Fraction(program.interval()) <= exact_bound(program, np.zeros(7), with_cost=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_multipliers_that_are_no_numbers_prove_nothing(bad):
    program = random_program(0)
    program.row_lower[:], program.row_upper[:] = -1.0, 1.0
    multipliers = np.ones(7)
    multipliers[3] = bad
    assert program.least(multipliers) == -np.inf
    assert program.least(multipliers, with_cost=False) == -np.inf
