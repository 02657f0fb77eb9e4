"""Whether a symmetric rational matrix is positive semidefinite: LDL' over the rationals."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np

from jensen.arithmetic.rational import ONE, ZERO, floats, rationals
from jensen.errors import OutOfTimeError
from jensen.types import ObjectArray
from jensen_encodings.deadline import NEVER, Deadline

LARGE = 24  # inputs, from which on elimination takes longer than eigenvalues


def negative_direction(matrix: ObjectArray, deadline: Deadline = NEVER) -> ObjectArray | None:
    """Return v with ``v' M v < 0``; None if M is positive semidefinite.

    Parameters
    ----------
    matrix : object array (n, n) of ``fmpq``
        Symmetric.
    deadline : Deadline
        Numbers grow: large dense matrices take long.

    Raises
    ------
    OutOfTimeError
        If neither was known in time.

    Notes
    -----
    Symmetric elimination with pivots > 0 only. A Schur complement with a diagonal entry < 0, or
    an entry of 0 beside one that is not, is indefinite, and the direction that shows it
    is continued to the eliminated coordinates so that they contribute nothing. Otherwise the
    matrix is a sum of squares. Of large ones the vector of the least eigenvalue, in doubles, is
    tried first.

    Examples
    --------
    >>> from jensen.arithmetic.rational import rationals
    >>> negative_direction(rationals(np.array([[1.0, -1.0], [-1.0, 1.0]]))) is None
    True
    >>> v = negative_direction(rationals(np.array([[0.0, 1.0], [1.0, 0.0]])))
    >>> bool(2 * v[0] * v[1] < 0)
    True
    """
    n = len(matrix)
    nearly = floats(matrix)
    size = np.abs(nearly).max(initial=0.0)
    if n > LARGE and size > 0:
        guess = rationals(np.linalg.eigh(nearly / size)[1][:, 0])
        if guess @ (matrix @ guess) < 0:
            return guess
    schur = matrix.copy()
    pivots: list[int] = []
    for k in range(n):
        entry = schur[k, k]
        if entry < 0:
            return _continued(matrix, pivots, {k: ONE})
        if entry == 0:
            for j in range(k + 1, n):
                if schur[k, j] != 0:
                    share = -(schur[j, j] + 1) / (2 * schur[k, j])
                    return _continued(matrix, pivots, {k: share, j: ONE})
            continue
        pivots.append(k)
        for i in range(k + 1, n):
            if deadline.over():
                raise OutOfTimeError("time was up before a quadratic form was found semidefinite")
            if schur[i, k] != 0:
                schur[i, k + 1 :] = schur[i, k + 1 :] - schur[k, k + 1 :] * (schur[i, k] / entry)
    return None


def _continued(matrix: ObjectArray, pivots: list[int], start: dict[int, Any]) -> ObjectArray:
    """Extend a vector to the pivots, so that ``v' M v`` is its value in the Schur complement."""
    vector: ObjectArray = np.full(len(matrix), ZERO, dtype=object)
    for k, value in start.items():
        vector[k] = value
    if pivots:
        block = flint.fmpq_mat([[matrix[i, j] for j in pivots] for i in pivots])
        right = flint.fmpq_mat([[-(matrix[i] @ vector)] for i in pivots])
        for i, (value,) in zip(pivots, block.solve(right).tolist(), strict=True):
            vector[i] = value
    return vector
