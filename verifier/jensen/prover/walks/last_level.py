"""Jumps on the edges of a complex that the last level of kinks has not cut.

Behind an edge's unit the slopes are known up to the last level, whose units change sign at
points of the edge; between two of them J is a sum over those that are on. The order of the
points is taken from floating point where it is certain; where it is not, J is bounded over
all states of the units in question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.cells.complex import SignArray
from jensen.cells.jumps import Bends, carry, rounding_of, to_output
from jensen.cells.subdivide import Subdivision
from jensen.types import FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of edges between the kinks of the last level, and J on each.

    Attributes
    ----------
    edge : int array (parts,)
        Position among the edges asked for.
    low, high : arrays (parts,)
        Where on the edge, as shares.
    jump, error : arrays (parts,)
        J, and a bound of its rounding error.
    certain : bool array (parts,)
        Whether the part lies where it seems to, and no unit that matters vanishes all along;
        elsewhere ``jump`` is a lower bound of J.
    """

    edge: IndexArray
    low: FloatArray
    high: FloatArray
    jump: FloatArray
    error: FloatArray
    certain: np.ndarray


def jumps_on_parts(
    division: Subdivision, level: int, edges: IndexArray, bends: Bends, weights: FloatArray
) -> Parts:
    """Return J on all parts of some edges, a lower bound where units of the last level vanish.

    Parameters
    ----------
    division : Subdivision
        In which the last level has been evaluated, and no more.
    level : int
        The last hidden level.
    edges : int array (edges,)
    bends : (level, unit)
        A unit that vanishes on each of them; others in front of the last level are of its level.
    weights : array (units,)
        Of the output on the level.
    """
    layers, cells = division.layers, division.cells
    signs = cells.vertices.signs[level]
    start, end = cells.edges[edges, 0], cells.edges[edges, 1]
    at_start, at_end = signs[start], signs[end]
    passed = cells.edge_signs[edges]
    carried = carry(layers, bends, passed, level)
    direct, direct_size = to_output(layers, carried, bends, passed, without=level)
    if level in carried:
        change, change_size = carried[level]
        share_of, size_of = change * weights, change_size * np.abs(weights)
    else:
        share_of = size_of = np.zeros(at_start.shape)
    cut = at_start * at_end < 0
    base = np.sign(at_start + at_end)
    # one that vanishes all along counts with the state that lowers J
    idle = (base == 0) & ~cut & (size_of != 0)
    base[idle] = np.where(share_of[idle] < 0, 1, -1)
    edge, unit = np.nonzero(cut)
    share, spread = division.shares(level, start[edge], end[edge], unit)
    order = np.lexsort((share, edge))
    edge, unit, share, spread = edge[order], unit[order], share[order], spread[order]
    row, inner, table = _places(edge, unit, at_start, len(edges))
    low, high, width = np.zeros(len(row)), np.ones(len(row)), np.zeros(len(row))
    behind = np.flatnonzero(inner) + 1
    high[inner], low[behind] = share, share
    width[inner] += spread
    width[behind] += spread
    certain = high - low > 1.01 * width
    on = np.where(table, at_end[row], np.where(cut[row], at_start[row], base[row])) > 0
    jump = np.einsum("ij,ij->i", on, share_of[row]) + direct[row]
    error = np.einsum("ij,ij->i", on, size_of[row]) + direct_size[row]
    if not certain.all():
        unsure = np.flatnonzero(~certain)
        at = row[unsure]
        free = np.minimum(np.where(cut[at], share_of[at], 0.0), 0.0).sum(axis=1)
        fixed = np.where((base[at] > 0) & ~cut[at], share_of[at], 0.0).sum(axis=1)
        jump[unsure] = free + fixed + direct[at]
        error[unsure] = size_of[at].sum(axis=1) + direct_size[at]
    if idle.any():
        certain &= ~idle.any(axis=1)[row]
        error += np.where(idle, size_of, 0.0).sum(axis=1)[row]
    return Parts(row, low, high, jump, rounding_of(layers) * error, certain)


def _places(
    edge: IndexArray, unit: IndexArray, at_start: SignArray, count: int
) -> tuple[IndexArray, np.ndarray, np.ndarray]:
    """Lay out the parts of edges in order, given the sorted cuts.

    Returns
    -------
    row : int array (parts,)
        The edge of each part.
    inner : bool array (parts,)
        Whether another part of the edge follows.
    behind : bool array (parts, units)
        Whether a unit has changed its sign on the edge before the part.
    """
    counts = np.bincount(edge, minlength=count)
    row = np.repeat(np.arange(count), counts + 1)
    first = np.cumsum(counts) - counts
    inner = np.ones(len(row), dtype=bool)
    inner[np.cumsum(counts + 1) - 1] = False
    ranks = np.full(at_start.shape, np.iinfo(np.int32).max, dtype=np.int32)
    ranks[edge, unit] = np.arange(len(edge)) - first[edge]
    place = np.arange(len(row)) - first[row] - row
    return row, inner, place[:, None] > ranks[row]
