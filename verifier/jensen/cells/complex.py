"""A polyhedral complex in floating point whose combinatorics are exact.

Vertices carry a radius: the true vertex is within it. The sign of a pre-activation at a
vertex is read off where it is larger than what the radius and rounding can account for, and
computed in rational arithmetic where it is not. All that follows uses these signs alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flint
import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.rational import ONE, rational
from jensen.cells.layers import Layers
from jensen.types import BoolArray, FloatArray, IndexArray

SignArray = NDArray[np.int8]


class TooDegenerateError(ArithmeticError):
    """More signs had to be decided exactly than was allowed."""


@dataclass(eq=False)
class Vertices:
    """The vertices of a complex.

    Attributes
    ----------
    points : array (vertices, coordinates)
        Homogeneous; the last one is 0 at infinity.
    radius : array (vertices,)
        Of a cube around the point that holds the true vertex.
    parents : int array (vertices, 4)
        The ends of the edge that a unit cut here, and the unit as (level, unit); -1 for
        vertices of the domain, which are exact.
    infinite : bool array (vertices,)
        Whether a vertex is at infinity: its last coordinate is exactly 0.
    z : dict from level to array (vertices, units)
        Pre-activations of the levels that are still read, but for those of the coordinates alone.
    signs : dict from level to int8 array (vertices, units)
        Their exact signs; 1 throughout for linear units.
    """

    points: FloatArray
    radius: FloatArray
    parents: IndexArray
    infinite: BoolArray
    z: dict[int, FloatArray] = field(default_factory=dict)
    signs: dict[int, SignArray] = field(default_factory=dict)

    @classmethod
    def given(cls, points: FloatArray) -> Vertices:
        """Return exact vertices: those of the domain."""
        count = len(points)
        parents = np.full((count, 4), -1, dtype=np.intp)
        return cls(points, np.zeros(count), parents, points[:, -1] == 0)

    @property
    def size(self) -> FloatArray:
        """Largest coordinate of the true vertices, at most."""
        size: FloatArray = np.abs(self.points).max(axis=1) + self.radius
        return size

    @property
    def count(self) -> int:
        """Number of vertices."""
        return len(self.points)


@dataclass(eq=False)
class Complex:
    """Vertices, edges and two-dimensional faces, each with the signs of all units so far.

    Attributes
    ----------
    edges : int array (edges, 2) of vertices
    edge_signs : int8 array (edges, units); 0 for units that vanish on the edge
    at_edge, at_face : int arrays (incidences,)
        Which edge bounds which face.
    face_signs : int8 array (faces, units)
    """

    vertices: Vertices
    edges: IndexArray
    edge_signs: SignArray
    at_edge: IndexArray
    at_face: IndexArray
    face_signs: SignArray

    def of_faces(self, faces: IndexArray) -> Complex:
        """Return some faces with their edges, over the same vertices.

        Parameters
        ----------
        faces : int array, each at most once
        """
        place = np.full(len(self.face_signs), -1, dtype=np.intp)
        place[faces] = np.arange(len(faces))
        kept = place[self.at_face] >= 0
        used, at_edge = np.unique(self.at_edge[kept], return_inverse=True)
        return Complex(
            self.vertices,
            self.edges[used],
            self.edge_signs[used],
            at_edge,
            place[self.at_face[kept]],
            self.face_signs[faces],
        )


@dataclass(eq=False)
class Solid:
    """The three-dimensional cells over the faces of a complex.

    Attributes
    ----------
    at_face, at_cell : int arrays (incidences,)
        Which face bounds which cell.
    cell_signs : int8 array (cells, units)
    """

    at_face: IndexArray
    at_cell: IndexArray
    cell_signs: SignArray

    def inner_faces(self, faces: int) -> BoolArray:
        """Return which of so many faces lie between two cells."""
        inner: BoolArray = np.bincount(self.at_face, minlength=faces) == 2
        return inner


class ExactVertices:
    """Vertices and pre-activations in rational arithmetic, computed when asked for.

    Parameters
    ----------
    layers : Layers
    vertices : Vertices
    limit : int or None
        How many pre-activations of a level at a vertex may be computed.
    """

    def __init__(self, layers: Layers, vertices: Vertices, limit: int | None) -> None:
        self._layers = layers
        self._vertices = vertices
        self._limit = limit
        self._points: dict[int, Any] = {}
        self._passed: dict[tuple[int, int], Any] = {}
        self._units: dict[tuple[int, int, int], Any] = {}

    def point(self, vertex: int) -> Any:
        """Return a vertex as an ``fmpq_mat`` column, its last coordinate 1, 0 or -1."""
        found = self._points.get(vertex)
        if found is None:
            found = self._points[vertex] = self._compute(vertex)
        return found

    def _compute(self, vertex: int) -> Any:
        start, end, level, unit = self._vertices.parents[vertex].tolist()
        if start < 0:
            values = [rational(v) for v in self._vertices.points[vertex].tolist()]
            return flint.fmpq_mat(len(values), 1, values)
        at_start, at_end = abs(self.z(start, level, unit)), abs(self.z(end, level, unit))
        point = at_end * self.point(start) + at_start * self.point(end)
        last = abs(point[point.nrows() - 1, 0])
        scale = last if last != 0 else max(abs(row[0]) for row in point.tolist())
        return point * (ONE / scale)

    def passed(self, vertex: int, level: int) -> Any:
        """Return what a level passes on at a vertex."""
        key = (vertex, level)
        if key not in self._passed:
            self._count()
            value = self._layers.exact_value(level, self.point(vertex), self._before(vertex, level))
            self._passed[key] = self._layers.exact_passed(level, value)
        return self._passed[key]

    def _before(self, vertex: int, level: int) -> dict[int, Any]:
        reads = self._layers.layers[level].reads
        return {read.level: self.passed(vertex, read.level) for read in reads}

    def z(self, vertex: int, level: int, unit: int) -> Any:
        """Return a pre-activation at a vertex as ``fmpq``."""
        key = (vertex, level, unit)
        if key not in self._units:
            self._count()
            self._units[key] = self._layers.exact_unit(
                level, unit, self.point(vertex), self._before(vertex, level)
            )
        return self._units[key]

    def _count(self) -> None:
        if self._limit is not None and len(self._passed) + len(self._units) >= self._limit:
            raise TooDegenerateError(f"more than {self._limit} exact evaluations")

    def sign(self, vertex: int, level: int, unit: int) -> int:
        """Return the exact sign of a pre-activation at a vertex."""
        value = self.z(vertex, level, unit)
        return int(value > 0) - int(value < 0)
