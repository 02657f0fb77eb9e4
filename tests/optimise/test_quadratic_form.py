"""Quadratic forms in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracle_convex import random_form

from jensen.optimise.quadratic_form import QuadraticForm


@given(st.integers(0, 10_000))
def test_a_floor_is_below_the_form(seed):
    rng = np.random.default_rng(seed)
    rows, _ = random_form(4, int(rng.integers(1, 7)), seed)
    H = rows.T @ rows
    exact = [{j: Fraction(float(v)) for j, v in enumerate(row) if v} for row in H]
    form = QuadraticForm(tuple(exact), (Fraction(0),) * 4, Fraction(0))
    assert form.is_convex()
    floor = form.floor
    assert min(floor) >= 0
    less = [dict(row) for row in exact]
    for i, m in enumerate(floor):
        less[i][i] = less[i].get(i, Fraction(0)) - m
    assert QuadraticForm(tuple(less), form.linear, form.constant).is_convex()
    if np.linalg.eigvalsh(H)[0] > 1e-6:
        assert form.steep
