"""The skeleton of the domain before any unit cuts it: a box, or space as far as vertices reach.

Space is cut by three kinks of the first level, and ends beside a plane in each of the eight
cells, which lies further out than any vertex: whether it does is found out as levels cut
(:meth:`Skeleton.goes_on`).
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, product

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import MORE
from jensen.cells.first_cones import independent
from jensen.cells.skeleton import Bits, Edges, Levels, Skeleton, UncertainSignsError
from jensen.types import FloatArray, IndexArray, Interval

SPACE = 3  # inputs
REACH = 23  # bits, from values where three kinks meet to the far ends of the domain


def skeleton_of_box(levels: Levels, box: Interval) -> Skeleton:
    """Return the corners and edges of a box, for each of the networks; z of the first level.

    Parameters
    ----------
    levels : Levels
    box : two arrays (3,)
        With an interior.
    """
    corners, table = _box(levels.units)
    network = np.repeat(np.arange(levels.networks), len(corners))
    points = np.tile(np.where(corners, box[1], box[0]), (levels.networks, 1))
    passed = np.stack([points, np.zeros(points.shape)])
    edges = _for_each(levels, len(corners), table)
    return Skeleton(levels, levels.apply(0, passed, network), 2 * network, edges, endless=False)


@cache
def _box(units: int) -> tuple[IndexArray, Bits]:
    """Return the corners of a box, 0 or 1 by coordinate, and its edges as of :class:`Edges`."""
    corners = np.array(list(product((0, 1), repeat=SPACE)))
    columns = []
    for one, two in combinations(range(len(corners)), 2):
        same = (corners[one] == corners[two]).nonzero()[0]
        if same.size == SPACE - 1:
            columns.append([one, two, *(units + 2 * same + corners[one][same]).tolist(), 0])
    return corners, np.array(columns).T


def _for_each(levels: Levels, vertices: int, table: Bits) -> Edges:
    """Return the same edges for all networks; only units of the first level are on."""
    count = levels.networks
    edges = Edges(np.zeros((len(table) + levels.words - 1, count * table.shape[1]), dtype=np.int64))
    edges.table[: len(table)] = np.tile(table, count)
    edges.table[:2] += np.repeat(np.arange(count) * vertices, table.shape[1])
    return edges


def skeleton_of_space(levels: Levels, reach: int = REACH) -> Skeleton:
    """Return all of space between three kinks of the first level, for each of the networks.

    Parameters
    ----------
    levels : Levels
        The last three units of the first level are those whose kinks meet (:func:`meeting`).
    reach : int
        How far out space ends: bits, from values where the three meet.

    Returns
    -------
    Skeleton
        With z of the first level, which only its other units have still to cut.

    Raises
    ------
    UncertainSignsError
        If rounding hides where the three meet in some networks.
    """
    pairs = zip(levels.weights[0], levels.biases[0], strict=True)
    found = [_values(weight, bias, reach) for weight, bias in pairs]
    hidden = np.flatnonzero([some is None for some in found])
    if hidden.size:
        raise UncertainSignsError(hidden)
    values = [some for some in found if some is not None]
    count, vertices = levels.networks, 1 + 2 * SPACE
    edges = _for_each(levels, vertices, _space(levels.units, levels.sizes[0]))
    far = np.arange(vertices) > 0
    place = (2 * np.arange(count)[:, None] + far).reshape(-1)
    return Skeleton(levels, np.concatenate(values, axis=1), place, edges, endless=True)


@cache
def _space(units: int, width: int) -> Bits:
    """Return the edges of space between the last three of the first level's units.

    Vertex 0 is where they meet, 1 + k and 4 + k where all but the k-th vanish, far out.
    """
    chosen = [width - SPACE + k for k in range(SPACE)]
    columns = []
    for k in range(SPACE):
        others = chosen[:k] + chosen[k + 1 :]
        columns += [[0, 1 + k, *others, 1 << chosen[k]], [0, 1 + SPACE + k, *others, 0]]
    for (i, j), up, high in product(combinations(range(SPACE), 2), (0, 1), (0, 1)):
        ends = 1 + i + SPACE * (1 - up), 1 + j + SPACE * (1 - high)
        on = (up << chosen[i]) | (high << chosen[j])
        columns.append([*ends, chosen[SPACE - i - j], units, on])
    return np.array(columns, dtype=np.int64).T


def meeting(weights: FloatArray) -> IndexArray | None:
    """Return an order of a level's units that ends with three whose kinks meet in a point.

    Parameters
    ----------
    weights : array (units, 3)
    """
    chosen = independent(weights)
    if chosen is None:
        return None
    others = np.ones(len(weights), dtype=bool)
    others[chosen] = False
    return np.concatenate([others.nonzero()[0], chosen])


def _values(weight: FloatArray, bias: FloatArray, bits: int) -> FloatArray | None:
    """Return z of one network's first level at the vertices, and how far it may be off.

    With ``y`` the values of the last three units, z is ``M (y - c) + b``, ``M`` being the weights
    times an inverse; its error is bounded by ``|A^-1 - B|`` at most ``|B| e / (1 - e)``.
    """
    rows, offsets = weight[-SPACE:], bias[-SPACE:]
    try:
        inverse = np.linalg.inv(rows)
    except np.linalg.LinAlgError:
        return None
    size = np.abs(inverse)
    off = np.abs(np.eye(SPACE) - rows @ inverse) + 8 * UNIT * (np.abs(rows) @ size)
    defect = float(off.sum(axis=1).max()) * MORE
    if not defect < 1 / 4:
        return None
    slopes = weight @ inverse
    largest = (np.abs(weight) @ size).sum(axis=1)
    scale = max(float(np.abs(bias - slopes @ offsets).max()), float(np.abs(offsets).max()))
    if not 0 < scale < np.inf:
        return None
    reach = np.ldexp(1.0, bits + int(np.ceil(np.log2(scale))))
    y = np.concatenate([np.zeros((1, SPACE)), reach * np.eye(SPACE), -reach * np.eye(SPACE)])
    z = (y - offsets) @ slopes.T + bias
    far = np.abs(y).max(axis=1) + float(np.abs(offsets).max())
    uncertain = largest * (defect / (1 - defect) + 20 * UNIT)
    error = (far[:, None] * uncertain + 10 * UNIT * np.abs(bias)) * MORE
    z[:, -SPACE:], error[:, -SPACE:] = y, 0.0
    return np.stack([z, error])
