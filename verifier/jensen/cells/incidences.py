"""Which part bounds which whole: edges and faces, faces and cells."""

from __future__ import annotations

import numpy as np

from jensen.cells.complex import SignArray
from jensen.types import IndexArray

Incidences = tuple[IndexArray, IndexArray]


def first_of(vertex: IndexArray) -> IndexArray:
    """Return one position of each number."""
    if not len(vertex):
        return vertex
    least = int(vertex.min())
    place = np.full(int(vertex.max()) - least + 1, -1, dtype=np.intp)
    place[vertex - least] = np.arange(len(vertex))
    return place[place >= 0]


def one_sided(signs: SignArray, part: IndexArray, whole: IndexArray, count: int) -> SignArray:
    """Return the signs of wholes, of which no unit has both, from those of their parts."""
    units = signs.shape[1]
    side = signs.max(axis=0, initial=0) + signs.min(axis=0, initial=0)
    found = np.broadcast_to(side, (count, units)).copy()
    row, unit = np.divmod(np.flatnonzero(signs == 0), max(1, units))
    if len(row):
        # z is 0 on a whole where it is on all of its parts
        position, its_whole = inherit(row, part, whole, len(signs))
        zeros = np.bincount(its_whole * units + unit[position], minlength=count * units)
        parts = np.bincount(whole, minlength=count)
        found[zeros.reshape(count, units) == parts[:, None]] = 0
    return found


def inherit(
    edge: IndexArray, at_edge: IndexArray, at_face: IndexArray, edges: int
) -> tuple[IndexArray, IndexArray]:
    """Return (position, face) for every face at each of some edges."""
    place = np.argsort(at_edge, kind="stable")
    counts = np.bincount(at_edge, minlength=edges)
    first = np.cumsum(counts) - counts
    each = counts[edge]
    position = np.repeat(np.arange(len(edge)), each)
    offset = np.arange(len(position)) - np.repeat(np.cumsum(each) - each, each)
    return position, at_face[place[first[edge[position]] + offset]]
