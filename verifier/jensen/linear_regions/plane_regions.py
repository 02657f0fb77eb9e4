"""The linear regions of one output, in the plane or on a line; in space they are derived."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from jensen.arithmetic.exact import root_to_double, to_double
from jensen.arithmetic.intervals import row_norms
from jensen.arithmetic.rational import fraction
from jensen.cells.facets import exact_forms
from jensen.domains.domain import Domain
from jensen.linear_regions.build import subdivide
from jensen.linear_regions.items import Cell, Edge, Facet, Listed, Point
from jensen.linear_regions.parts import Parts
from jensen.linear_regions.pieces import affine_pieces, largest_slopes
from jensen.network.relu_network import ReluNetwork
from jensen.text import counted
from jensen.types import BoolArray, FloatArray, IndexArray, Neurons

VAGUE = 1e-9  # of the last coordinate of a homogeneous point: what may hide in rounding errors
# Exact values of so many weights cost too much for each vertex. There radii are sums over wide
# layers, 1e-6 where points are off by 1e-14: near the origin, larger ones will do.
MANY, NEAR = 200_000, 1e-3


class Regions:
    """The linear regions of one output on a domain; see :func:`regions`.

    Attributes
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    vertices : array (vertices, inputs)
        Rounded; directions for those at infinity.
    at_infinity : bool array (vertices,)
    patterns : bool array (cells, neurons)
        Which neurons are on in each cell, the blocks in topological order.
    pieces : array (cells, inputs + 1)
        Slopes and offset of f, rounded.

    Examples
    --------
    >>> import jensen
    >>> net = jensen.ReluNetwork.from_layers([[[1.0, 0.0]], [[-2.0]]], [[0], [1]])  # 1 - 2 relu(x)
    >>> found = jensen.regions(net, jensen.Box(-1, 1))
    >>> len(found.cells), len(found.facets), found.facets[0].jump
    (2, 1, -2.0)
    >>> found.exact_jump(0), found.exact_bend(0, ("relu_1", 0))
    ((Fraction(4, 1), -1), Fraction(-2, 1))
    >>> found.exact_middle(0)
    (Fraction(0, 1), Fraction(0, 1))
    >>> sorted(found.exact_piece(cell)[0][0] for cell in range(2))
    [Fraction(-2, 1), Fraction(0, 1)]
    >>> len(found.exact_vertex(0))
    2
    """

    def __init__(self, network: ReluNetwork, domain: Domain, parts: Parts) -> None:
        self.network = network
        self.domain = domain
        self._parts = parts
        vertices = parts.complex.vertices
        used = np.zeros(vertices.count, dtype=bool)
        used[parts.ends] = True
        self._used = np.flatnonzero(used)
        self._ends: IndexArray = (np.cumsum(used) - 1)[parts.ends]
        self._sides = parts.sides
        self.at_infinity: BoolArray = vertices.infinite[self._used]
        points = vertices.points[self._used]
        points[self.at_infinity, -1] = 1.0
        self.vertices: FloatArray = _dehomogenised(points, len(parts.scale)) * parts.scale
        # what the fan of an unbounded domain makes of vertices far from it may be their rounding
        vague = self._vague(points, vertices.radius[self._used]) & ~self.at_infinity
        for index in np.flatnonzero(vague).tolist():
            point = self._exact_homogeneous(int(self._used[index]))
            self.vertices[index] = _rounded(point)

    # ------------------------------------------------------------------ what there is

    @cached_property
    def inner_points(self) -> FloatArray:
        """A point inside each cell: (cells, inputs)."""
        points, radius = self._parts.interior
        scale = self._parts.scale
        found: FloatArray = _dehomogenised(points, len(scale)) * scale
        for cell in np.flatnonzero(self._vague(points, radius)).tolist():
            corners = self._parts.corners(int(self._parts.chosen[cell])).tolist()
            total = zip(*map(self._exact_homogeneous, corners), strict=True)
            found[cell] = _rounded([sum(column, Fraction(0)) for column in total])
        return found

    @property
    def cells(self) -> Sequence[Cell]:
        """The full-dimensional cells."""
        return Listed(len(self._parts.cell_signs), self._cell)

    @property
    def facets(self) -> Sequence[Facet]:
        """The facets between two cells."""
        return Listed(len(self._facet_edges), self._facet)

    @property
    def edges(self) -> Sequence[Edge]:
        """All edges of the cells (points on a line), those on the domain's boundary included."""
        return Listed(len(self._ends), self._edge)

    @cached_property
    def patterns(self) -> BoolArray:
        """Which neurons are on in each cell."""
        columns = [self._parts.layers.span(k) for k, _ in self._relu_levels]
        signs = self._parts.cell_signs
        return np.concatenate([signs[:, span] > 0 for span in columns], axis=1)

    @cached_property
    def pieces(self) -> FloatArray:
        """Slopes and offset of f on each cell, rounded."""
        pieces = self._homogeneous_pieces
        slopes = pieces[:, : self.network.input_size] / self._parts.scale
        return np.column_stack([slopes, pieces[:, -1]])

    @cached_property
    def jumps(self) -> FloatArray:
        """By how much the slope of f rises across each facet, per unit of length, rounded."""
        jumps, certain = self.rounded_jumps
        jumps = jumps.copy()
        for i in np.flatnonzero(~certain):
            # slopes that differ in their last digits only may be equal once they are rounded
            squared, sign = self.exact_jump(int(i))
            jumps[i] = sign * root_to_double(squared)
        return jumps

    @cached_property
    def rounded_jumps(self) -> tuple[FloatArray, BoolArray]:
        """The jumps as floating point has them, and which of their signs are certain."""
        one, two = self._sides[self._facet_edges].T
        homogeneous = self._homogeneous_pieces
        change = homogeneous[two] - homogeneous[one]
        interior, radius = self._parts.interior
        inside = interior[two]
        # the second piece against the first one, at a point inside the second cell
        rise = (change * inside).sum(axis=1)
        error = 4 * self._slope_error * (self._largest_slopes * np.abs(inside)).sum(axis=1)
        reach = np.abs(change).sum(axis=1) + 4 * self._slope_error * self._largest_slopes.sum()
        error += reach * radius[two]
        slopes = change[:, : self.network.input_size] / self._parts.scale
        jumps: FloatArray = np.copysign(row_norms(slopes), rise)
        certain: BoolArray = np.abs(rise) > error
        return jumps, certain

    @property
    def jump_error(self) -> float:
        """A bound of the rounding error of the absolute jumps; the signs of ``jumps`` are exact."""
        inputs = self.network.input_size
        size = row_norms((self._largest_slopes[:inputs] / self._parts.scale)[None])
        return float(6 * self._slope_error * size[0])

    @property
    def _slope_error(self) -> float:
        return self._parts.layers.rounding + 1e-15

    @cached_property
    def _largest_slopes(self) -> FloatArray:
        return largest_slopes(self._parts.layers)

    @cached_property
    def _homogeneous_pieces(self) -> FloatArray:
        return affine_pieces(self._parts.layers, self._parts.cell_signs)

    # ------------------------------------------------------------------- exact numbers

    def exact_vertex(self, index: int) -> Point | None:
        """Return a vertex in rational arithmetic; None at infinity.

        Parameters
        ----------
        index : int

        Returns
        -------
        tuple of Fraction, or None
        """
        if self.at_infinity[index]:
            return None
        entries = self._parts.exact.point(int(self._used[index])).entries()
        scale = [Fraction(float(v)) for v in self._parts.scale]
        return tuple(s * fraction(v / entries[-1]) for s, v in zip(scale, entries, strict=False))

    def exact_bend(self, index: int, neuron: tuple[str, int]) -> Fraction:
        """Return by how much f bends across a facet, per unit of a neuron's pre-activation.

        Parameters
        ----------
        neuron : (block name, index)
            One of those that change sign there.
        index : int
            The facet.

        Returns
        -------
        Fraction
        """
        level = next(k for k, name in self._relu_levels if name == neuron[0])
        column = self._parts.layers.span(level).start + neuron[1]
        one, two = self._sides[int(self._facet_edges[index])].tolist()
        if self._parts.cell_signs[one][column] > 0:
            one, two = two, one
        change = [b - a for a, b in zip(self._form(one), self._form(two), strict=True)]
        # z of the neuron is the same form on both sides, up to what vanishes on the facet
        forms = exact_forms(self._parts.layers, self._parts.cell_signs[two], level)
        normal = [forms[-1][neuron[1], k] for k in range(forms[-1].ncols())]
        at = next(k for k, v in enumerate(normal) if v != 0)
        return fraction(change[at] / normal[at])

    def _form(self, cell: int) -> list[Any]:
        if cell not in self._forms:
            layers = self._parts.layers
            signs = self._parts.cell_signs[cell]
            self._forms[cell] = exact_forms(layers, signs, len(layers.layers) - 1)[-1].entries()
        found: list[Any] = self._forms[cell]
        return found

    @cached_property
    def _forms(self) -> dict[int, Any]:
        return {}

    def exact_middle(self, index: int) -> Point | None:
        """Return a point inside a facet in rational arithmetic; None if it is at infinity.

        Parameters
        ----------
        index : int

        Returns
        -------
        tuple of Fraction, or None
        """
        edge = int(self._facet_edges[index])
        ends = self._parts.ends[edge].tolist()
        if self._parts.complex.vertices.infinite[ends].all():
            ends = [int(self._parts.through[edge])]
        total = [sum(v) for v in zip(*map(self._exact_homogeneous, ends), strict=True)]
        return None if total[-1] == 0 else tuple(v / total[-1] for v in total[:-1])

    def exact_piece(self, index: int) -> tuple[Point, Fraction]:
        """Return slopes and offset of f on a cell in rational arithmetic.

        Parameters
        ----------
        index : int
            The cell.

        Returns
        -------
        slopes : tuple of Fraction
        offset : Fraction
        """
        entries = [fraction(v) for v in self._form(index)]
        scale = [Fraction(float(v)) for v in self._parts.scale]
        return tuple(v / s for v, s in zip(entries, scale, strict=False)), entries[-1]

    def exact_jump(self, index: int) -> tuple[Fraction, int]:
        """Return the square of a facet's jump and its sign, in rational arithmetic.

        Parameters
        ----------
        index : int
            The facet.

        Returns
        -------
        square : Fraction
        sign : int
        """
        edge = int(self._facet_edges[index])
        one, two = self._sides[edge].tolist()
        (slope, offset), (other, other_offset) = self.exact_piece(one), self.exact_piece(two)
        change = [b - a for a, b in zip(slope, other, strict=True)]
        sign = 0
        for vertex in self._parts.corners(int(self._parts.chosen[two])).tolist():
            point = self._exact_homogeneous(vertex)
            rise = sum((c * x for c, x in zip(change, point, strict=False)), Fraction(0))
            rise += (other_offset - offset) * point[-1]
            if rise:
                sign = 1 if rise > 0 else -1
                break
        return sum((v * v for v in change), Fraction(0)), sign

    def _vague(self, points: FloatArray, radius: FloatArray) -> BoolArray:
        """Whether homogeneous points in cubes of these radii may be far from what they mean."""
        last = np.abs(points[:, -1])
        share = np.full(len(points), VAGUE)
        if sum(math.prod(w.shape) for b in self.network.blocks for w in b.weights.values()) > MANY:
            share[np.abs(points[:, :-1]).max(axis=1) <= last] = NEAR
        vague: BoolArray = ~(last * share > radius)
        return vague

    def _exact_homogeneous(self, vertex: int) -> Point:
        entries = self._parts.exact.point(vertex).entries()
        scale = [Fraction(float(v)) for v in self._parts.scale]
        found = [s * fraction(v) for s, v in zip(scale, entries, strict=False)]
        return (*found, fraction(entries[-1]))

    # ------------------------------------------------------------------------- items

    @cached_property
    def _relu_levels(self) -> list[tuple[int, str]]:
        first = self._parts.first
        return [
            (k + first, block.name) for k, block in enumerate(self.network.hidden) if block.is_relu
        ]

    @cached_property
    def _facet_edges(self) -> IndexArray:
        return np.flatnonzero(self._sides[:, 1] >= 0)

    @cached_property
    def _edges_of_cells(self) -> tuple[IndexArray, IndexArray]:
        """Return edges sorted by cell, and where each cell's begin."""
        cell = self._sides.reshape(-1)
        edge = np.repeat(np.arange(len(self._sides)), 2)[cell >= 0]
        cell = cell[cell >= 0]
        order = np.argsort(cell, kind="stable")
        starts = np.searchsorted(cell[order], np.arange(len(self._parts.cell_signs) + 1))
        return edge[order], starts

    def _cell(self, index: int) -> Cell:
        signs = self._parts.cell_signs[index]
        span = self._parts.layers.span
        pattern = {name: signs[span(k)] > 0 for k, name in self._relu_levels}
        piece = self.pieces[index]
        return Cell(index, pattern, piece[:-1], float(piece[-1]), self._around(index))

    def _around(self, index: int) -> tuple[int, ...]:
        """Return a cell's vertices in order."""
        edges, starts = self._edges_of_cells
        corners = np.unique(self._ends[edges[starts[index] : starts[index + 1]]])
        if self.network.input_size == 1:
            return tuple(corners.tolist())
        away = self.vertices[corners] - self.inner_points[index]
        infinite = self.at_infinity[corners]
        away[infinite] = self.vertices[corners[infinite]]
        away /= self._parts.scale
        order = np.argsort(np.arctan2(away[:, 1], away[:, 0]))
        return tuple(corners[order].tolist())

    def _facet(self, index: int) -> Facet:
        edge = int(self._facet_edges[index])
        one, two = self._sides[edge].tolist()
        ends = tuple(self._ends[edge].tolist())
        return Facet(index, ends, (one, two), self._neurons(edge), float(self.jumps[index]))

    def _neurons(self, edge: int) -> Neurons:
        """Return the neurons that change sign across an edge."""
        one, two = self._parts.cell_signs[self._sides[edge]]
        vanishing = self._parts.vanishing(edge)
        found = []
        for level, name in self._relu_levels:
            span = self._parts.layers.span(level)
            vanish = vanishing[span] & (one[span] != two[span])
            found += [(name, int(i)) for i in np.flatnonzero(vanish)]
        return tuple(found)

    def _edge(self, index: int) -> Edge:
        sides = tuple(int(c) for c in self._sides[index] if c >= 0)
        return Edge(tuple(self._ends[index].tolist()), sides)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what the regions are of; they are found again when they are read."""
        return _found_again, (type(self), self.network, self.domain)

    def __repr__(self) -> str:
        return (
            f"Regions({counted(len(self.cells), 'cell')}, {counted(len(self.facets), 'facet')}, "
            f"{counted(len(self.vertices), 'vertex', 'vertices')} on {self.domain})"
        )


def _dehomogenised(points: FloatArray, inputs: int) -> FloatArray:
    found: FloatArray = points[:, :inputs] / np.where(points[:, -1:] == 0, 1.0, points[:, -1:])
    return found


def _rounded(point: Sequence[Fraction]) -> list[float]:
    return [to_double(v / point[-1]) for v in point[:-1]]


def _found_again(kind: type[Regions], network: ReluNetwork, domain: Domain) -> Regions:
    with np.errstate(all="ignore"):
        return kind(network, domain, subdivide(network, domain))
