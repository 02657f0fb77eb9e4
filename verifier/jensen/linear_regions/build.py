"""From a finished complex to regions: cells by pattern, facets between two cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jensen.cells.complex import Complex, ExactVertices, SignArray
from jensen.cells.layers import Layers, layers_of_network
from jensen.cells.start import coordinate_scale, domain_rows, keep_inside, starting_complex
from jensen.cells.subdivide import Subdivision
from jensen.domains.domain import Domain
from jensen.errors import DomainError, NetworkError
from jensen.network.relu_network import ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class Parts:
    """Cells, edges and vertices, without what only helped to find them.

    Attributes
    ----------
    layers : Layers
    exact : ExactVertices
    scale : array (inputs,)
        The coordinates are ``x / scale``.
    first : int
        The level of the first block.
    cell_signs : int8 array (cells, units)
    interior : array (cells, coordinates)
        A point inside each cell, homogeneous.
    interior_radius : array (cells,)
        Of a cube around it that holds a point which is truly inside.
    ends : int array (edges, 2), (edges, 1) on a line
        Vertices of the complex.
    through : int array (edges,)
        A vertex of the complex on each edge, finite if one is.
    sides : int array (edges, 2)
        The cells on both sides; -1 outside the domain.
    vanishing : bool array (edges, units)
        Which units vanish on an edge.
    """

    layers: Layers
    exact: ExactVertices
    complex: Complex
    scale: FloatArray
    first: int
    cell_signs: SignArray
    interior: FloatArray
    interior_radius: FloatArray
    ends: IndexArray
    through: IndexArray
    sides: IndexArray
    vanishing: BoolArray


def subdivide(network: ReluNetwork, domain: Domain) -> Parts:
    """Subdivide a domain of one or two dimensions by all kinks of a network with one output.

    Raises
    ------
    DomainError
        If the domain has no interior.
    NetworkError
        If weights are so large or small that error bounds would not hold.
    """
    scale = coordinate_scale(network, domain)
    rows = domain_rows(domain, scale)
    layers = layers_of_network(network, scale, rows)
    if not layers.usable:
        raise NetworkError("weights beyond 1e60 or below 1e-60: regions are not found reliably")
    cells = starting_complex(domain, scale, layers.width)
    exact = ExactVertices(layers, cells.vertices, None)
    division = Subdivision(layers, cells, exact)
    for level in layers.hidden:
        division.evaluate(level)
        division.split(level)
        division.forget(level)
        if rows is not None and level == 0:
            division.cells = keep_inside(division.cells, rows.size)
            if not len(division.cells.face_signs):
                raise DomainError("the domain has no interior: fix inputs that cannot vary")
    first = 0 if rows is None else 1
    columns = 0 if rows is None else rows.size
    is_box = domain.box_sides(network.input_size) is not None
    return _joined(division, exact, scale, first, columns, is_box)


def _joined(
    division: Subdivision,
    exact: ExactVertices,
    scale: FloatArray,
    first: int,
    columns: int,
    is_box: bool,
) -> Parts:
    """Join the faces of one cell: the fan that an unbounded domain starts from cuts some."""
    cells = division.cells
    infinite = cells.vertices.infinite[cells.edges].all(axis=1)
    if is_box:
        cell_of = chosen = np.arange(len(cells.face_signs))
    else:
        packed = np.packbits(cells.face_signs[:, columns:] > 0, axis=1)
        packed = np.ascontiguousarray(np.column_stack([packed, np.zeros(len(packed), np.uint8)]))
        keys = packed.view([("", packed.dtype)] * packed.shape[1]).reshape(-1)
        _, chosen, cell_of = np.unique(keys, return_index=True, return_inverse=True)
    interior = np.zeros((len(cells.face_signs), cells.vertices.points.shape[1]))
    corners = cells.vertices.points[cells.edges[cells.at_edge]].sum(axis=1)
    for k in range(interior.shape[1]):
        interior[:, k] = np.bincount(cells.at_face, corners[:, k], minlength=len(interior))
    radii = cells.vertices.radius[cells.edges[cells.at_edge]].sum(axis=1)
    # sums of many corners are rounded, too
    radius = 1e-13 * np.abs(interior).sum(axis=1)
    radius += np.bincount(cells.at_face, radii, minlength=len(interior))
    order = np.argsort(cells.at_edge, kind="stable")
    edge, face = cells.at_edge[order], cells.at_face[order]
    opens = np.diff(edge, prepend=-1) > 0
    sides = np.full((len(cells.edges), 2), -1, dtype=np.intp)
    sides[edge[opens], 0] = cell_of[face[opens]]
    sides[edge[~opens], 1] = cell_of[face[~opens]]
    kept = np.flatnonzero((sides[:, 0] != sides[:, 1]) & (sides[:, 0] >= 0) & ~infinite)
    ends, sides = cells.edges[kept], np.sort(sides[kept], axis=1)[:, ::-1]
    vanishing = cells.edge_signs[kept] == 0
    through = ends[:, 0]
    if len(scale) == 1:
        # the line is a strip of the plane: what runs across it are points
        at = cells.vertices.points[ends]
        across = (sides >= 0).all(axis=1) | (at[:, 0, 0] == at[:, 1, 0]) & is_box
        ends, sides, vanishing = ends[across, :1], sides[across], vanishing[across]
        through = ends[:, 0]
    elif not is_box:
        finite = ~cells.vertices.infinite
        ends, sides, vanishing, through = _whole_edges(ends, sides, vanishing, finite)
    return Parts(
        division.layers,
        exact,
        cells,
        scale,
        first,
        cells.face_signs[chosen],
        interior[chosen],
        radius[chosen],
        ends,
        through,
        sides,
        vanishing,
    )


def _whole_edges(
    ends: IndexArray, sides: IndexArray, vanishing: BoolArray, finite: BoolArray
) -> tuple[IndexArray, IndexArray, BoolArray, IndexArray]:
    """Join the parts of an edge: those between the same cells (or outside, on the same row)."""
    packed = np.packbits(vanishing, axis=1)
    _, kind = np.unique(packed, axis=0, return_inverse=True)
    inner = (sides >= 0).all(axis=1)
    table = np.column_stack([sides, np.where(inner, 0, 1 + kind.reshape(-1))])
    _, chosen, label = np.unique(table, axis=0, return_index=True, return_inverse=True)
    label = label.reshape(-1)
    # the ends of the whole are the vertices that only one part has
    both = np.stack([np.repeat(label, 2), ends.reshape(-1)], axis=1)
    found, counts = np.unique(both, axis=0, return_counts=True)
    single = found[counts == 1]
    whole = single[np.argsort(single[:, 0], kind="stable"), 1].reshape(-1, 2)
    # of a whole line both ends are at infinity: a point of it is some vertex between parts
    through = whole[:, 0].copy()
    inside = np.flatnonzero(finite[ends].any(axis=1))
    some = np.where(finite[ends[inside, 0]], ends[inside, 0], ends[inside, 1])
    through[label[inside]] = some
    return whole, sides[chosen], vanishing[chosen], through


def affine_pieces(layers: Layers, signs: SignArray, chunk: int = 1 << 22) -> FloatArray:
    """Return f on every cell as a row over the homogeneous coordinates.

    Parameters
    ----------
    signs : int8 array (cells, units)
    """
    pieces = np.zeros((len(signs), layers.coordinates))
    step = max(1, chunk // max(1, layers.width))
    for start in range(0, len(signs), step):
        part = slice(start, start + step)
        pieces[part] = _pieces(layers, signs[part])
    return pieces


def _pieces(layers: Layers, signs: SignArray) -> FloatArray:
    slopes: dict[int, Any] = {len(layers.layers) - 1: np.ones((len(signs), 1))}
    total = np.zeros((len(signs), layers.coordinates))
    for k in range(len(layers.layers) - 1, -1, -1):
        slope = slopes.pop(k, None)
        if slope is None:
            continue
        layer = layers.layers[k]
        if layer.source is not None:
            total += slope @ layer.source
        for read in layer.reads:
            passed = signs[:, layers.span(read.level)]
            arrived = np.where(passed > 0, slope @ read.on, 0.0)
            if read.off is not None:
                arrived += np.where(passed < 0, slope @ read.off, 0.0)
            slopes[read.level] = slopes.get(read.level, 0.0) + arrived
    return total


def largest_slopes(layers: Layers) -> FloatArray:
    """Return, per coordinate, the sum of the absolute weight products of all paths to f.

    The slopes of :func:`affine_pieces` are off by at most ``layers.rounding`` times these.
    """
    size: dict[int, FloatArray] = {len(layers.layers) - 1: np.ones(1)}
    total = np.zeros(layers.coordinates)
    for k in range(len(layers.layers) - 1, -1, -1):
        reached = size.pop(k, None)
        if reached is None:
            continue
        layer = layers.layers[k]
        if layer.source is not None:
            total += reached @ np.abs(layer.source)
        for read in layer.reads:
            weights = np.abs(read.on)
            if read.off is not None:
                weights = np.maximum(weights, np.abs(read.off))
            size[read.level] = size.get(read.level, 0.0) + reached @ weights
    return total * (1 + 1e-12)
