"""Put vertices where their definition says: where the units that vanish there do.

The error bound of a vertex that was cut from an edge grows with those of the edge's ends, and with
every level by more than vertices are really off. But a vertex of d coordinates is the one
solution of d linear equations: the forms of the units that vanish there, and the sides of a
box. Their solution in floating point, with a bound of its error, depends on no other vertex
(Neumaier, "Interval Methods for Systems of Equations", 1990, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.cells.complex import SignArray, Vertices
from jensen.cells.layers import UNIT_ROUNDOFF, Layers
from jensen.types import BoolArray, FloatArray, IndexArray

CHUNK = 1 << 11  # vertices at a time
SAFETY = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Forms:
    """z of levels as linear forms under the signs of each vertex.

    Attributes
    ----------
    slope, size : dict from level to array (vertices, units, coordinates)
        Rounded; and the sums of the absolute terms: the slopes are off by at most
        ``layers.rounding`` times these.
    """

    slope: dict[int, FloatArray]
    size: dict[int, FloatArray]


def forms_at(layers: Layers, signs: dict[int, SignArray], last: int, count: int) -> Forms:
    """Return z of the levels up to ``last`` as forms, at so many vertices of given signs."""
    slope: dict[int, FloatArray] = {}
    size: dict[int, FloatArray] = {}
    for k in range(last + 1):
        layer = layers.layers[k]
        here, about = np.zeros((2, count, layer.size, layers.coordinates))
        if layer.source is not None:
            here += layer.source
            about += np.abs(layer.source)
        for read in layer.reads:
            passed = (signs[read.level] > 0)[:, :, None]
            here += read.weights @ (slope[read.level] * passed)
            about += np.abs(read.weights) @ (size[read.level] * passed)
        slope[k], size[k] = here, about
    return Forms(slope, size)


def z_at(
    layers: Layers, vertices: Vertices, level: int, vertex: IndexArray, unit: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Return the size of z of one unit each at vertices, and a bound of its error.

    Parameters
    ----------
    vertices : Vertices
        Which keep the signs of all levels.
    level : int
    vertex, unit : int arrays
    """
    size, error = np.empty((2, len(vertex)))
    for first in range(0, len(vertex), CHUNK):
        part = slice(first, first + CHUNK)
        which, row = np.unique(vertex[part], return_inverse=True)
        signs = {k: vertices.signs[k][which] for k in range(level)}
        forms = forms_at(layers, signs, level, len(which))
        slope, about = (f[level][row, unit[part]] for f in (forms.slope, forms.size))
        points, radius = vertices.points[vertex[part]], vertices.radius[vertex[part]]
        size[part] = np.abs((slope * points).sum(axis=1))
        reach = np.abs(points) + radius[:, None]
        error[part] = SAFETY * np.abs(slope).sum(axis=1) * radius
        error[part] += 4 * layers.rounding * (about * reach).sum(axis=1)
    return size, error


class Recentring:
    """Recentres vertices of one complex.

    Parameters
    ----------
    layers : Layers
    vertices : Vertices
        Which keep the signs of all levels. At the start those of the domain: if it is a box,
        vertices on its sides stay there.
    """

    def __init__(self, layers: Layers, vertices: Vertices) -> None:
        self._layers = layers
        self._vertices = vertices
        self._sides: tuple[FloatArray, FloatArray] | None = None
        corners = vertices.points[:, :-1]
        lower, upper = corners.min(axis=0), corners.max(axis=0)
        if not vertices.infinite.any() and ((corners == lower) | (corners == upper)).all():
            self._sides = lower, upper

    def settle(
        self, level: int, z: FloatArray, rows: IndexArray, units: IndexArray
    ) -> tuple[IndexArray, IndexArray]:
        """Recentre vertices with doubtful signs of a level; return (vertex, unit) left in doubt.

        Parameters
        ----------
        level : int
        z : array (vertices, units)
            Is made better.
        rows, units : int arrays
            The vertices and units in doubt, sorted by vertex.
        """
        which = np.unique(rows)
        left = []
        for first in range(0, len(which), CHUNK):
            part = which[first : first + CHUNK]
            signs = {k: self._vertices.signs[k][part] for k in range(level)}
            forms = forms_at(self._layers, signs, level, len(part))
            moved = self._move(level, part, signs, forms)
            doubt = self._evaluate(level, part, moved, forms, z)
            ours = np.isin(rows, part[~moved])
            left += [np.stack([rows, units])[:, ours], doubt]
        found = np.concatenate(left, axis=1)
        return found[0], found[1]

    def _move(
        self, level: int, which: IndexArray, signs: dict[int, SignArray], forms: Forms
    ) -> BoolArray:
        """Solve for the vertices; return which have a better place now."""
        points, inputs = self._vertices.points[which], self._layers.coordinates - 1
        vanish = np.concatenate([signs[k] == 0 for k in range(level)], axis=1)
        fixed = np.zeros((len(which), inputs), dtype=bool)
        if self._sides is not None:
            fixed = (points[:, :-1] == self._sides[0]) | (points[:, :-1] == self._sides[1])
        usable = np.count_nonzero(vanish, axis=1) + np.count_nonzero(fixed, axis=1) == inputs
        usable &= ~self._vertices.infinite[which] & (self._vertices.parents[which, 0] >= 0)
        at = np.flatnonzero(usable)
        moved = np.zeros(len(which), dtype=bool)
        if not len(at):
            return moved
        slope = np.concatenate([forms.slope[k] for k in range(level)], axis=1)
        size = np.concatenate([forms.size[k] for k in range(level)], axis=1)
        unit = np.eye(inputs, inputs + 1)
        system = np.concatenate([slope[at], np.broadcast_to(unit, (len(at), *unit.shape))], axis=1)
        about = np.concatenate([size[at], np.zeros((len(at), *unit.shape))], axis=1)
        chosen = np.concatenate([vanish[at], fixed[at]], axis=1)
        shape = (len(at), inputs, inputs + 1)
        system, about = system[chosen].reshape(shape), about[chosen].reshape(shape)
        of_unit = chosen[:, : vanish.shape[1]]
        is_form = np.arange(inputs) < np.count_nonzero(of_unit, axis=1)[:, None]
        place, radius = self._solved(points[at], fixed[at], (system, about), is_form)
        better = np.isfinite(radius) & (radius < self._vertices.radius[which[at]])
        chosen_rows = which[at[better]]
        self._vertices.points[chosen_rows] = place[better]
        self._vertices.radius[chosen_rows] = radius[better]
        moved[at[better]] = True
        return moved

    def _solved(
        self,
        points: FloatArray,
        fixed: BoolArray,
        equations: tuple[FloatArray, FloatArray],
        is_form: BoolArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return solutions near points, and bounds of their errors; infinite where none holds."""
        system, about = equations
        rounding = self._layers.rounding
        square = system[:, :, :-1]
        radius = np.full(len(points), np.inf)
        place = points.copy()
        with np.errstate(all="ignore"):
            regular = np.abs(np.linalg.det(square)) > 0
            regular &= np.isfinite(square).all(axis=(1, 2))
            at = np.flatnonzero(regular)
            inverse = np.linalg.inv(square[at])
            for _ in range(2):
                residual = (system[at] @ place[at, :, None])[:, :, 0] * is_form[at]
                step = (inverse @ residual[:, :, None])[:, :, 0]
                place[at, :-1] -= np.where(fixed[at], 0.0, step)
            residual = np.abs((system[at] @ place[at, :, None])[:, :, 0]) * is_form[at]
            # forms are off by what rounding made of them, and their values once more
            doubt = 4 * rounding * (about[at] @ np.abs(place[at])[:, :, None])[:, :, 0]
            size = np.abs(inverse)
            error = (size @ (residual + doubt)[:, :, None])[:, :, 0].max(axis=1)
            contraction = np.abs(np.eye(square.shape[1]) - inverse @ square[at])
            contraction += size @ (about[at][:, :, :-1] * (4 * rounding))
            contraction += 8 * UNIT_ROUNDOFF * (size @ np.abs(square[at])) + 1e-14
            share = contraction.sum(axis=2).max(axis=1)
            found = SAFETY * error / (1 - share)
            found += 8 * rounding * np.abs(place[at]).max(axis=1)
            radius[at] = np.where(share < 0.5, found, np.inf)
        return place, radius

    def _evaluate(
        self, level: int, which: IndexArray, moved: BoolArray, forms: Forms, z: FloatArray
    ) -> IndexArray:
        """Evaluate z where vertices have moved; return (vertex, unit) that stay in doubt."""
        at = np.flatnonzero(moved)
        if not len(at):
            return np.empty((2, 0), dtype=np.intp)
        vertices, rows = self._vertices, which[at]
        points, radius = vertices.points[rows], vertices.radius[rows]
        for k, table in vertices.z.items():
            if k < level:
                values = (forms.slope[k][at] @ points[:, :, None])[:, :, 0]
                values[vertices.signs[k][rows] == 0] = 0.0
                table[rows] = values
        slope, size = forms.slope[level][at], forms.size[level][at]
        z[rows] = values = (slope @ points[:, :, None])[:, :, 0]
        reach = np.abs(points) + radius[:, None]
        bound = np.abs(slope[:, :, :-1]).sum(axis=2) * radius[:, None]
        bound += 4 * self._layers.rounding * (size @ reach[:, :, None])[:, :, 0]
        row, unit = np.nonzero((np.abs(values) <= SAFETY * bound) & self._layers.layers[level].kink)
        return np.stack([rows[row], unit])
