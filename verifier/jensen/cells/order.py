"""In which order units cut an edge: from shares of its length, with what they may be off by."""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import Vertices
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.cells.recentre import z_at
from jensen.types import BoolArray, FloatArray, IndexArray

Measured = tuple[FloatArray, FloatArray]  # a size and a bound of its error


def share_of(start: Measured, end: Measured) -> Measured:
    """Return how far from the start z vanishes, as a share, and its uncertainty.

    Parameters
    ----------
    start, end : (size, error)
        Of z at both ends, where it has different signs.
    """
    (a, ea), (b, eb) = start, end
    total = a + b
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, a / total, 0.5)
        room = total - ea - eb
        spread = ((b + eb) * ea + (a + ea) * eb) / (total * room)
    spread = np.where((room > 0) & (spread < 1), spread, 1.0)
    return share, spread + 4 * UNIT_ROUNDOFF


def refined_shares(
    layers: Layers,
    vertices: Vertices,
    level: int,
    ends: tuple[IndexArray, IndexArray],
    unit: IndexArray,
) -> Measured:
    """Return shares from the slopes that units have at the ends, not from bounds of any slopes."""
    start, end = (z_at(layers, vertices, level, vertex, unit) for vertex in ends)
    return share_of(start, end)


def ranked(
    edge: IndexArray, share: FloatArray, spread: FloatArray
) -> tuple[IndexArray, IndexArray]:
    """Return the ranks of cuts on their edges, and the edges where two are too close to tell."""
    order = np.lexsort((share, edge))
    by_edge = edge[order]
    first = np.ones(len(order), dtype=bool)
    np.not_equal(by_edge[1:], by_edge[:-1], out=first[1:])
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    gap = share[order[1:]] - share[order[:-1]]
    close = ~first[1:] & (gap <= 1.01 * (spread[order[1:]] + spread[order[:-1]]))
    return rank, np.unique(by_edge[1:][close])


def changed_before(row: IndexArray, unit: IndexArray, rank: IndexArray, size: int) -> BoolArray:
    """Return (cuts, units): which units have changed sign on the same edge before a cut."""
    kind = np.uint8 if size < np.iinfo(np.uint8).max else np.int32
    ranks = np.full((int(row.max()) + 1, size), np.iinfo(kind).max, dtype=kind)
    ranks[row, unit] = rank
    changed: BoolArray = ranks[row] < rank.astype(kind)[:, None]
    return changed


def sorted_cuts(edge: IndexArray, rank: IndexArray, size: int) -> IndexArray:
    """Return the order by rank of cuts that are sorted by edge."""
    first = np.ones(len(edge), dtype=bool)
    np.not_equal(edge[1:], edge[:-1], out=first[1:])
    place = np.flatnonzero(first)[np.cumsum(first) - 1] + rank
    order = np.full(len(edge), -1, dtype=np.intp)
    order[place] = np.arange(len(edge))
    if (order < 0).any():  # equal ranks
        return np.argsort(edge * (size + 1) + rank, kind="stable")
    return order
