"""The domain as a complex, before any unit cuts it."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.rational import rationals
from jensen.cells.complex import Complex, Solid, TooDegenerateError, Vertices
from jensen.cells.keys import labels
from jensen.cells.layers import Layer, is_usable, rows_layer
from jensen.domains.domain import Domain
from jensen.network.block import INPUT
from jensen.network.relu_network import ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray

# Directions of the fan that covers the plane, and its centre: no kink of a network that people
# write down passes through them. Whether one does is found out, and costs time only.
FAN = np.array([[0.8947, 0.3125, 0.0], [-0.7162, 0.6143, 0.0], [-0.1279, -0.9238, 0.0]])
CENTRE = np.array([0.0371, -0.0593, 1.0])
SOLID_FAN = np.array(
    [
        [0.8947, 0.3125, 0.1733, 0.0],
        [-0.5162, 0.7143, 0.2381, 0.0],
        [-0.2279, -0.6238, 0.6917, 0.0],
        [-0.0871, -0.2919, -0.9341, 0.0],
    ]
)
SOLID_CENTRE = np.array([0.0371, -0.0593, 0.0217, 1.0])


def coordinate_scale(network: ReluNetwork, domain: Domain) -> FloatArray:
    """Return powers of two, per input, about the size of the domain or of its kinks.

    They are 1 where numbers at the ends of the range of doubles would be rounded by them.
    """
    scale = _handy_scale(network, domain)
    A, _ = domain.inequalities(network.input_size)
    rows = [dense(block.weights[INPUT]) for block in network.blocks if INPUT in block.weights]
    with np.errstate(all="ignore"):
        scaled = [(row, row * scale, scale) for row in (*rows, A)]
        sides = domain.box_sides(network.input_size) or ()
        scaled += [(side, side / scale, 1 / scale) for side in sides]
        exact = all((by * (1 / s) == of).all() and np.isfinite(by).all() for of, by, s in scaled)
    return scale if exact else np.ones(network.input_size)


def dense(weight: Matrix) -> FloatArray:
    """Return the weights of a block as an array."""
    found: FloatArray = weight.toarray() if hasattr(weight, "toarray") else weight
    return found


def _handy_scale(network: ReluNetwork, domain: Domain) -> FloatArray:
    inputs = network.input_size
    box = domain.box_sides(inputs)
    if box is not None:
        lower, upper = box
        size = np.maximum(np.maximum(np.abs(lower), np.abs(upper)), 2.0**-100)
        return 2.0 ** np.ceil(np.log2(size))
    blocks = [block for block in network.blocks if INPUT in block.weights]
    offsets = np.concatenate([np.abs(block.bias) for block in blocks])
    slopes = np.concatenate([np.abs(block.weights[INPUT]).sum(axis=1) for block in blocks])
    usable = (offsets > 0) & (slopes > 0)
    if not usable.any():
        return np.ones(inputs)
    ratio = float(np.median(offsets[usable]) / np.median(slopes[usable]))
    return np.full(inputs, 2.0 ** np.clip(np.round(np.log2(ratio)), -60, 60))


def is_flat(domain: Domain, inputs: int) -> bool:
    """Whether a box has a side of width zero."""
    box = domain.box_sides(inputs)
    return box is not None and bool((box[0] == box[1]).any())


def domain_rows(domain: Domain, scale: FloatArray) -> Layer | None:
    """Return the domain's rows as a level of units, which are positive inside; None without."""
    if not domain.has_rows:
        return None
    inputs = len(scale)
    A, b = domain.inequalities(inputs)
    rows = np.zeros((len(A), max(inputs, 2) + 1))  # a line is a strip of the plane
    rows[:, :inputs], rows[:, -1] = -A * scale, b
    return rows_layer(rationals(rows))


def starting_complex(domain: Domain, scale: FloatArray, width: int) -> Complex:
    """Return the complex of a domain in the plane; its rows, if any, have still to cut it.

    Parameters
    ----------
    scale : array (inputs,)
        The coordinates are ``x / scale``.
    width : int
        Number of units that will cut it.

    Raises
    ------
    TooDegenerateError
        If coordinates are so large or small that error bounds would not hold.
    """
    box = domain.box_sides(len(scale))
    if len(scale) == 1:
        points, edges, faces = _strip(box, scale)
    elif box is not None:
        lower, upper = (side / scale for side in box)
        left, right = lower[0], upper[0]
        corners = [[left, lower[1]], [right, lower[1]], [right, upper[1]], [left, upper[1]]]
        points = np.column_stack([corners, np.ones(4)])
        edges, faces = np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), [[0, 1, 2, 3]]
    else:
        points = np.concatenate([[CENTRE], FAN])
        edges = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [2, 3], [3, 1]])
        faces = [[0, 1, 3], [1, 2, 4], [2, 0, 5]]
    return Complex(
        _vertices(points),
        edges,
        np.zeros((len(edges), width), dtype=np.int8),
        np.concatenate(faces).astype(np.intp),
        np.repeat(np.arange(len(faces)), [len(face) for face in faces]),
        np.zeros((len(faces), width), dtype=np.int8),
    )


def _vertices(points: FloatArray) -> Vertices:
    """Return exact vertices, none of which can make a product under- or overflow."""
    if not is_usable(np.abs(points)):
        raise TooDegenerateError("coordinates beyond 1e60 or below 1e-60")
    return Vertices.given(points)


def _strip(
    box: tuple[FloatArray, FloatArray] | None, scale: FloatArray
) -> tuple[FloatArray, IndexArray, list[list[int]]]:
    """Return a line, or a segment of it, as a strip of the plane: kinks become edges across it."""
    if box is None:
        points = [[CENTRE[0], 0, 1], [CENTRE[0], 1, 1], [1, 0, 0], [-1, 0, 0]]
        edges = [[0, 1], [0, 2], [1, 2], [0, 3], [1, 3]]
        return np.array(points, dtype=float), np.array(edges), [[0, 1, 2], [0, 3, 4]]
    lower, upper = (float(side[0] / scale[0]) for side in box)
    points = [[lower, 0, 1], [upper, 0, 1], [upper, 1, 1], [lower, 1, 1]]
    return np.array(points), np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), [[0, 1, 2, 3]]


def starting_solid(domain: Domain, scale: FloatArray, width: int) -> tuple[Complex, Solid]:
    """Return the complex of a domain in space; its rows, if any, have still to cut it.

    Parameters
    ----------
    scale : array (3,)
    width : int
        As for :func:`starting_complex`.
    """
    box = domain.box_sides(3)
    if box is not None:
        corners = np.indices((2, 2, 2)).reshape(3, -1).T
        at = np.stack([box[0] / scale, box[1] / scale])
        points = np.column_stack([at[corners, np.arange(3)], np.ones(8)])
        faces = [np.flatnonzero(corners[:, k] == side) for k in range(3) for side in (0, 1)]
        cells = [list(range(6))]
    else:
        points = np.concatenate([[SOLID_CENTRE], SOLID_FAN])
        faces = [np.array(face) for face in combinations(range(5), 3)]
        cells = [
            [k for k, face in enumerate(faces) if set(face.tolist()) <= {0, *others}]
            for others in combinations(range(1, 5), 3)
        ]
    # an edge of the box moves along one axis; any two points of the fan are joined
    pairs = [
        (i, j)
        for i, j in combinations(range(len(points)), 2)
        if box is None or np.count_nonzero(corners[i] != corners[j]) == 1
    ]
    bounds = [
        (k, m)
        for m, face in enumerate(faces)
        for k, pair in enumerate(pairs)
        if set(pair) <= set(face)
    ]
    at_edge, at_face = np.array(bounds, dtype=np.intp).T
    complex_ = Complex(
        _vertices(points),
        np.array(pairs, dtype=np.intp),
        np.zeros((len(pairs), width), dtype=np.int8),
        at_edge,
        at_face,
        np.zeros((len(faces), width), dtype=np.int8),
    )
    owner = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    signs = np.zeros((len(cells), width), dtype=np.int8)
    return complex_, Solid(np.concatenate(cells).astype(np.intp), owner, signs)


def solid_inside(cells: Complex, solid: Solid, rows: int) -> tuple[Complex, Solid]:
    """Drop the cells where one of the first so many units, a row of the domain, is negative."""
    inside: BoolArray = np.all(solid.cell_signs[:, :rows] >= 0, axis=1)
    number = np.cumsum(inside) - 1
    kept = inside[solid.at_cell]
    bounding = solid.at_face[kept]
    chosen, at_face = labels(bounding)
    left = Solid(at_face, number[solid.at_cell[kept]], solid.cell_signs[inside])
    return cells.of_faces(bounding[chosen]), left


def keep_inside(cells: Complex, rows: int) -> Complex:
    """Drop the faces where one of the first so many units, a row of the domain, is negative."""
    return cells.of_faces(np.flatnonzero(np.all(cells.face_signs[:, :rows] >= 0, axis=1)))
