"""The cuts of edges, sorted edge by edge, and the parts between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.cells.complex import SignArray
from jensen.types import BoolArray, IndexArray


@dataclass(eq=False)
class Runs:
    """Sorted cuts, edge by edge.

    Attributes
    ----------
    edge : int array (cuts,)
    first, last : bool arrays (cuts,)
        Which are the first and the last ones on their edges.
    uncut : int array
        The edges without cuts.
    """

    edge: IndexArray
    first: BoolArray
    last: BoolArray
    uncut: IndexArray


def runs_of(edge: IndexArray, count: int) -> Runs:
    """Return where the cuts of each of so many edges begin and end."""
    whole = np.ones(count, dtype=bool)
    whole[edge] = False
    first = np.ones(len(edge), dtype=bool)
    np.not_equal(edge[1:], edge[:-1], out=first[1:])
    last = np.ones(len(edge), dtype=bool)
    last[:-1] = first[1:]
    return Runs(edge, first, last, np.flatnonzero(whole))


def signs_of_parts(runs: Runs, unit: IndexArray, here: SignArray, begins: SignArray) -> SignArray:
    """Return the signs on parts of edges, from those at sorted cuts by one unit each."""
    uncut, last = len(runs.uncut), runs.last
    cuts = uncut + len(unit)
    signs = np.empty((cuts + int(np.count_nonzero(last)), begins.shape[1]), dtype=np.int8)
    signs[:uncut], signs[uncut:cuts], signs[cuts:] = begins[runs.uncut], here, here[last]
    change = begins[runs.edge, unit]
    signs[np.arange(uncut, cuts), unit] = change
    signs[np.arange(cuts, len(signs)), unit[last]] = -change[last]
    return signs


def parts_of_edges(
    runs: Runs, vertex: IndexArray, start: IndexArray, end: IndexArray
) -> tuple[IndexArray, IndexArray, IndexArray]:
    """Return (parent, start, end) of the parts of edges cut in sorted vertices."""
    edge, last = runs.edge, runs.last
    before = start[edge]
    inner = np.flatnonzero(~runs.first)
    before[inner] = vertex[inner - 1]
    parent = np.concatenate([runs.uncut, edge, edge[last]])
    starts = np.concatenate([start[runs.uncut], before, vertex[last]])
    ends = np.concatenate([end[runs.uncut], vertex, end[edge[last]]])
    return parent, starts, ends
