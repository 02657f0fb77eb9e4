"""From a finished complex of the plane to regions: cells by pattern, edges between two cells."""

from __future__ import annotations

import numpy as np

from jensen.cells.incidences import Incidences
from jensen.cells.subdivide import Subdivision
from jensen.linear_regions.parts import PlaneParts, same_cells, two_sides, whole_ends
from jensen.types import BoolArray, FloatArray, IndexArray


def joined_plane(
    division: Subdivision, scale: FloatArray, first: int, columns: int, *, is_box: bool
) -> PlaneParts:
    """Join the faces of one cell: the fan that an unbounded domain starts from cuts some.

    Parameters
    ----------
    division : Subdivision
        Of which every level has been cut.
    scale : array (inputs,)
    first : int
        The level of the first block.
    columns : int
        Units in front of its: the rows of the domain.
    is_box : bool
        Whether the domain is a box: nothing is to be joined.
    """
    cells = division.cells
    infinite = cells.vertices.infinite[cells.edges].all(axis=1)
    signs = cells.face_signs
    if is_box:
        cell_of = chosen = np.arange(len(signs))
    else:
        chosen, cell_of = same_cells(signs[:, columns:])
        signs = signs[chosen]
    sides = two_sides(cells.at_edge, cell_of[cells.at_face], len(cells.edges))
    item = np.flatnonzero((sides[:, 0] != sides[:, 1]) & ~infinite)
    ends, sides = cells.edges[item], sides[item]
    through = ends[:, 0]
    if len(scale) == 1:
        # the line is a strip of the plane: what runs across it are points
        at = cells.vertices.points[ends]
        across = (sides >= 0).all(axis=1) | (at[:, 0, 0] == at[:, 1, 0]) & is_box
        if columns:
            ends_there = np.asarray(division.layers.layers[0].source)[:, 0] != 0
            across |= (cells.edge_signs[item, :columns] == 0)[:, ends_there].any(axis=1)
        ends, sides, item = ends[across, :1], sides[across], item[across]
        through = ends[:, 0]
    elif not is_box:
        chosen_edges, label = _same_edges(sides, cells.edge_signs[item] == 0)
        finite = ~cells.vertices.infinite
        whole = whole_ends(label, ends)
        # of a whole line both ends are at infinity: a point of it is some vertex between parts
        through = whole[:, 0].copy()
        inside = np.flatnonzero(finite[ends].any(axis=1))
        some = np.where(finite[ends[inside, 0]], ends[inside, 0], ends[inside, 1])
        through[label[inside]] = some
        ends, sides, item = whole, sides[chosen_edges], item[chosen_edges]
    return PlaneParts(
        division.layers,
        division.exact,
        cells,
        scale,
        first,
        signs,
        chosen,
        ends,
        sides,
        item,
        through,
    )


def _same_edges(sides: IndexArray, vanishing: BoolArray) -> Incidences:
    """Find parts of one edge: between the same cells, or outside and on the same row."""
    packed = np.packbits(vanishing, axis=1)
    _, kind = np.unique(packed, axis=0, return_inverse=True)
    inner = (sides >= 0).all(axis=1)
    table = np.column_stack([sides, np.where(inner, 0, 1 + kind.reshape(-1))])
    _, chosen, label = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return chosen, label.reshape(-1)
