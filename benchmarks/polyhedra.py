"""Polyhedra to ask about: simplices, boxes with a cut, random polytopes. All are seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jensen.domains.domain import Polyhedron

Array = NDArray[np.float64]

CUT_AT = 0.1  # of a box's reach along the cut, from its centre
DISTANCE = 0.4  # of the faces of a polytope from its centre, in half sides


def simplex(inputs: int) -> Polyhedron:
    """``x >= 0, sum x = 1``: shares of a whole."""
    rows = np.vstack([-np.eye(inputs), np.ones(inputs), -np.ones(inputs)])
    return Polyhedron(rows, [*[0.0] * inputs, 1.0, -1.0])


def around_zero(inputs: int) -> Polyhedron:
    """Inputs from ``-1 / (inputs - 1)`` to 1 whose sum is 0."""
    rows = np.vstack([-np.eye(inputs), np.ones(inputs), -np.ones(inputs)])
    return Polyhedron(rows, [*[1 / (inputs - 1)] * inputs, 0.0, 0.0])


def cut_box(lower: Array, upper: Array, seed: int, *, equation: bool = False) -> Polyhedron:
    """A box on one side of a plane near its centre, or in that plane."""
    inputs = len(lower)
    normal = np.random.default_rng(seed).normal(size=inputs).round(3)
    limit = normal @ (lower + upper) / 2 + CUT_AT * np.abs(normal) @ (upper - lower) / 2
    sign = np.array([1.0, -1.0])[: 1 + equation]
    rows = np.vstack([np.eye(inputs), -np.eye(inputs), sign[:, None] * normal])
    return Polyhedron(rows, np.concatenate([upper, -lower, sign * limit]))


def polytope(lower: Array, upper: Array, faces: int, seed: int) -> Polyhedron:
    """A bounded polyhedron with random faces, about in a box."""
    rng = np.random.default_rng(seed)
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    while True:
        normals = rng.normal(size=(faces, len(lower)))
        rows = normals / np.linalg.norm(normals, axis=1)[:, None] / half
        found = Polyhedron(rows, DISTANCE + rows @ centre)
        if not found.working_set(len(lower)).lifted:
            return Polyhedron(found.A, found.b)


def half_space(inputs: int, seed: int) -> Polyhedron:
    """One side of a plane: unbounded."""
    return Polyhedron(np.random.default_rng(seed).normal(size=(1, inputs)).round(3), [1.0])
