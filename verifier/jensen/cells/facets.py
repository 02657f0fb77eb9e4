"""Affine pieces and jumps of a complex in rational arithmetic, computed when asked for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.rational import ZERO, fraction
from jensen.cells.complex import SignArray
from jensen.cells.layers import Layers
from jensen.cells.subdivide import Subdivision


class ExactFacets:
    """The edges of a finished planar complex, seen from the faces on both sides.

    Parameters
    ----------
    division : Subdivision
        Of which every level has been cut.
    """

    def __init__(self, division: Subdivision) -> None:
        self._division = division
        cells = division.cells
        order = np.argsort(cells.at_edge, kind="stable")
        self._faces = cells.at_face[order]
        self._starts = np.searchsorted(cells.at_edge[order], np.arange(len(cells.edges) + 1))
        self._pieces: dict[int, Any] = {}

    def faces(self, edge: int) -> list[int]:
        """Return the faces that an edge bounds: two, or one at the domain's boundary."""
        found: list[int] = self._faces[self._starts[edge] : self._starts[edge + 1]].tolist()
        return found

    def piece(self, face: int) -> Any:
        """Return f on a face as a row ``fmpq_mat`` over the coordinates."""
        if face not in self._pieces:
            layers = self._division.layers
            signs = self._division.cells.face_signs[face]
            self._pieces[face] = exact_forms(layers, signs, len(layers.layers) - 1)[-1]
        return self._pieces[face]

    def bends_down(self, edge: int) -> bool:
        """Decide whether f lies below its piece on one side, at the corners of the other."""
        one, two = self.faces(edge)
        piece = self.piece(one)
        difference = self.piece(two) - piece
        if not any(v != 0 for v in difference.entries()):
            return False
        cells = self._division.cells
        corners = np.unique(cells.edges[cells.at_edge[cells.at_face == two]])
        exact = self._division.exact
        return any((difference * exact.point(int(v)))[0, 0] < 0 for v in corners)

    def normal(self, edge: int) -> list[Fraction]:
        """Return the difference of the pieces on both sides: the facet's normal, or 0."""
        one, two = self.faces(edge)
        return [fraction(v) for v in (self.piece(two) - self.piece(one)).entries()]


def exact_forms(layers: Layers, signs: SignArray, last: int) -> list[Any]:
    """Return z of the levels up to ``last`` as rows over the coordinates, under given signs."""
    found: list[Any] = []
    for k in range(last + 1):
        layer, weights = layers.layers[k], layers.layers[k].exact_weights
        total = flint.fmpq_mat(layer.size, layers.coordinates)
        if weights.source is not None:
            total += weights.source
        for read, weight in zip(layer.reads, weights.reads, strict=True):
            here = signs[layers.span(read.level)]
            total += weight * _rows_where(found[read.level], here > 0)
        found.append(total)
    return found


def exact_jump(layers: Layers, level: int, unit: int, signs: SignArray) -> Any:
    """Return J of one unit as ``fmpq``, under the signs of the units behind it."""
    change: dict[int, Any] = {}
    for k in range(level + 1, len(layers.layers)):
        layer, weights = layers.layers[k], layers.layers[k].exact_weights
        total = flint.fmpq_mat(layer.size, 1)
        for read, weight in zip(layer.reads, weights.reads, strict=True):
            if read.level == level:
                column = [weight[i, unit] for i in range(layer.size)]
                total += flint.fmpq_mat(layer.size, 1, column)
            elif read.level in change:
                here = signs[layers.span(read.level)]
                total += weight * _rows_where(change[read.level], here > 0)
        change[k] = total
    return change[len(layers.layers) - 1][0, 0] if change else ZERO


def _rows_where(matrix: Any, chosen: Any) -> Any:
    """Return a matrix with the other rows set to 0."""
    columns = matrix.ncols()
    zero = [ZERO] * columns
    rows = [row if keep else zero for row, keep in zip(matrix.tolist(), chosen, strict=True)]
    return flint.fmpq_mat(matrix.nrows(), columns, [v for row in rows for v in row])
