"""Semidefiniteness over the rationals."""

from __future__ import annotations

import numpy as np
import pytest

from jensen.arithmetic.rational import rationals
from jensen.arithmetic.semidefinite import negative_direction
from jensen.errors import OutOfTimeError
from jensen_encodings.deadline import Deadline


def test_it_agrees_with_eigenvalues_and_every_direction_is_negative():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(400):
        n = int(rng.integers(1, 6))
        rank = int(rng.integers(0, n + 1))
        factor = rng.integers(-2, 3, (n, rank)).astype(float)
        matrix = factor @ factor.T
        if rng.random() < 0.5:
            extra = rng.integers(-2, 3, n).astype(float)
            matrix -= rng.choice([0, 1, 4]) * np.outer(extra, extra)
        exact = rationals(matrix)
        v = negative_direction(exact)
        least = np.linalg.eigvalsh(matrix)[0]
        seen.add(v is None)
        if v is None:
            assert least > -1e-9
        else:
            assert v @ exact @ v < 0
    assert seen == {True, False}


def test_an_eigenvalue_below_zero_by_one_rounding_is_seen():
    tiny = np.array([[1.0, 1.0], [1.0, 1.0 - 2.0**-53]])
    assert negative_direction(rationals(tiny)) is not None
    assert negative_direction(rationals(np.ones((2, 2)))) is None


def test_zeros_and_nothing_are_semidefinite():
    assert negative_direction(rationals(np.zeros((3, 3)))) is None
    assert negative_direction(rationals(np.zeros((0, 0)))) is None


def test_a_large_dense_matrix_knows_the_deadline():
    rng = np.random.default_rng(0)
    factor = rationals(rng.normal(size=(60, 61)))
    with pytest.raises(OutOfTimeError, match="time was up"):
        negative_direction(factor @ factor.T, Deadline.after(0.0))


@pytest.mark.parametrize("dent", [1e-3, 1e-12])
@pytest.mark.parametrize("size", [1.0, 2.0**-900, 2.0**400])
def test_a_large_matrix_bends_down_along_a_vector_in_doubles(dent, size):
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    matrix = rationals(size * (turn @ np.diag(np.r_[np.ones(39), -dent]) @ turn.T))
    matrix = matrix + matrix.T
    v = negative_direction(matrix)
    assert v is not None
    assert v @ (matrix @ v) < 0


def test_large_matrices_of_zeros_and_singular_ones_are_semidefinite():
    assert negative_direction(rationals(np.zeros((30, 30)))) is None
    assert negative_direction(rationals(np.ones((30, 30)))) is None
