"""A network as levels of units over homogeneous coordinates, with bounds of rounding errors.

A point x is held as ``v = (x, 1)``, a direction at infinity as ``(d, 0)``; a bias is the
weight on the last coordinate. Every pre-activation is then positively homogeneous,
``z(s v) = s z(v)`` for s > 0, and one kind of vertex serves boxes, polyhedra and R^n
(docs/theory.md, section 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.rational import ZERO, floats, rationals
from jensen.groups.groups import SOURCE
from jensen.network.block import INPUT, OUTPUT
from jensen.network.relu_network import ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray, ObjectArray

ExactRow = tuple[Any | None, list[Any]]

UNIT_ROUNDOFF = 2.0**-53
SHALLOW = 2  # hidden levels up to which error bounds of vertices stay small
CHUNK = 1 << 15  # numbers of a table that are worked on at a time
# beyond these sizes products could under- or overflow, and error bounds would not hold
SMALLEST, LARGEST = 2.0**-200, 2.0**200
SMALLEST_PRODUCT = -900  # exponent of what the smallest weights of all levels multiply to


@dataclass(frozen=True, eq=False)
class Reading:
    """The weights on what one earlier level passes on, (units, its units)."""

    level: int
    weights: FloatArray

    @cached_property
    def bend(self) -> FloatArray:
        """By how much slopes change where a unit of the level read bends: (its units, units)."""
        return np.ascontiguousarray(self.weights.T)


@dataclass(frozen=True, eq=False)
class Layer:
    """Units that read the same levels.

    Attributes
    ----------
    source : array (units, coordinates) or None
        Weights on the homogeneous coordinates.
    reads : tuple of Reading
    kink : bool array (units,)
        False for linear units, which pass z on.
    exact : callable
        Returns the same weights as ``fmpq_mat``.
    """

    source: FloatArray | None
    reads: tuple[Reading, ...]
    kink: BoolArray
    exact: Callable[[], ExactWeights]

    @cached_property
    def all_kink(self) -> bool:
        """Whether no unit is linear."""
        return bool(self.kink.all())

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.kink)

    @property
    def is_first(self) -> bool:
        """Whether its units read the coordinates alone."""
        return not self.reads and self.source is not None

    @cached_property
    def exact_weights(self) -> ExactWeights:
        """The weights as exact matrices."""
        return self.exact()


@dataclass(frozen=True, eq=False)
class ExactWeights:
    """Exact weights of one level: on the coordinates, and per level read."""

    source: Any | None
    reads: tuple[Any, ...]


class Layers:
    """Levels of units in topological order; the last one is the output, one linear unit.

    Parameters
    ----------
    layers : sequence of Layer
    coordinates : int
        Number of homogeneous coordinates.

    Attributes
    ----------
    lipschitz : list of arrays (units,)
        ``|z(v) - z(v')| <= lipschitz * |v - v'|_inf``, and ``|z(v)| <= lipschitz |v|_inf``.
    rounding : float
        The computed z at v is off by at most ``lipschitz * rounding * |v|_inf``.
    """

    def __init__(self, layers: Sequence[Layer], coordinates: int) -> None:
        self.layers = tuple(layers)
        self.coordinates = coordinates
        self.lipschitz: list[FloatArray] = []
        terms = 0
        smallest = 0  # exponent of the product of the smallest weights: no path's is less
        usable = True
        for layer in self.layers:
            bound = np.zeros(layer.size)
            matrices = []
            if layer.source is not None:
                matrices.append(np.abs(layer.source))
                bound += matrices[-1].sum(axis=1)
                terms += coordinates
            for read in layer.reads:
                matrices.append(np.abs(read.weights))
                bound += matrices[-1] @ self.lipschitz[read.level]
                terms += read.weights.shape[1]
            usable &= all(map(is_usable, matrices))
            least = min((float(m.min(initial=1.0, where=m > 0)) for m in matrices), default=1.0)
            smallest += math.frexp(least)[1] - 1
            terms += 8
            self.lipschitz.append(bound * (1 + 4 * UNIT_ROUNDOFF * terms))
        self.usable = (
            usable
            and smallest >= SMALLEST_PRODUCT
            and all(
                np.isfinite(bound).all() and bound.max(initial=0.0) < LARGEST
                for bound in self.lipschitz
            )
        )
        self.rounding = 1.1 * UNIT_ROUNDOFF * terms
        sizes = [layer.size for layer in self.layers[:-1]]
        self.columns = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)

    @property
    def hidden(self) -> range:
        """Indices of all levels but the output."""
        return range(len(self.layers) - 1)

    @property
    def width(self) -> int:
        """Units of all hidden levels."""
        return int(self.columns[-1])

    def span(self, level: int) -> slice:
        """Return the columns of a level among all hidden units."""
        return slice(int(self.columns[level]), int(self.columns[level + 1]))

    def unit_of(self, column: IndexArray) -> tuple[IndexArray, IndexArray]:
        """Return the (level, unit) of columns among all hidden units."""
        level = np.searchsorted(self.columns, column, side="right") - 1
        return level, column - self.columns[level]

    @property
    def keeps_signs(self) -> bool:
        """Whether vertices keep the signs of all levels, of which deep networks ask again."""
        return len(self.hidden) > SHALLOW

    @cached_property
    def last_reader(self) -> list[int]:
        """For every level, the last hidden level that reads it."""
        last = list(range(len(self.layers)))
        for k, layer in enumerate(self.layers[:-1]):
            for read in layer.reads:
                last[read.level] = k
        return last

    def evaluate(self, level: int, X: FloatArray, Z: Mapping[int, FloatArray]) -> FloatArray:
        """Return z of a level at points ``X``, from z of the levels that it reads.

        Levels that read the coordinates alone need not be in ``Z``.
        """
        layer = self.layers[level]
        total = np.empty((len(X), layer.size))
        widest = max([layer.size, *(self.layers[read.level].size for read in layer.reads)])
        step = max(1, CHUNK // max(1, widest))
        for first in range(0, len(X), step):
            part = slice(first, first + step)
            if layer.source is None:
                total[part] = 0.0
            else:
                np.matmul(X[part], layer.source.T, out=total[part])
            for read in layer.reads:
                reads = self.layers[read.level]
                z = Z[read.level][part] if read.level in Z else X[part] @ _source_of(reads).T
                h = np.maximum(z, 0.0)
                if not reads.all_kink:
                    h = np.where(reads.kink, h, z)
                total[part] += h @ read.weights.T
        return total

    def exact_passed(self, level: int, z: Any) -> Any:
        """Return what a level passes on at an exact point, as an ``fmpq_mat`` column."""
        kink = self.layers[level].kink
        values = [row[0] for row in z.tolist()]
        passed = [v if v > 0 or not k else ZERO for v, k in zip(values, kink, strict=True)]
        return flint.fmpq_mat(len(passed), 1, passed)

    def exact_value(self, level: int, point: Any, passed: Mapping[int, Any]) -> Any:
        """Return z of a level at one exact point as an ``fmpq_mat`` column."""
        layer, weights = self.layers[level], self.layers[level].exact_weights
        total = flint.fmpq_mat(layer.size, 1)
        if weights.source is not None:
            total += weights.source * point
        for read, weight in zip(layer.reads, weights.reads, strict=True):
            total += weight * passed[read.level]
        return total

    def exact_unit(self, level: int, unit: int, point: Any, passed: Mapping[int, Any]) -> Any:
        """Return z of one unit at one exact point as ``fmpq``."""
        source, reads = self._exact_row(level, unit)
        total = ZERO if source is None else (source * point)[0, 0]
        for read, weight in zip(self.layers[level].reads, reads, strict=True):
            total += (weight * passed[read.level])[0, 0]
        return total

    def _exact_row(self, level: int, unit: int) -> ExactRow:
        key = (level, unit)
        if key not in self._rows:
            weights = self.layers[level].exact_weights
            self._rows[key] = (
                None if weights.source is None else _row(weights.source, unit),
                [_row(weight, unit) for weight in weights.reads],
            )
        return self._rows[key]

    @cached_property
    def _rows(self) -> dict[tuple[int, int], ExactRow]:
        return {}


def _source_of(layer: Layer) -> FloatArray:
    if layer.source is None or layer.reads:
        raise ValueError("z of a level that reads others has to be given")
    return layer.source


def _row(values: Any, row: int) -> Any:
    return flint.fmpq_mat(1, values.ncols(), [values[row, k] for k in range(values.ncols())])


def is_usable(size: FloatArray) -> bool:
    """Whether all sizes are zero or far from under- and overflow."""
    return bool((size <= LARGEST).all() and ((size == 0) | (size >= SMALLEST)).all())


def layers_of_network(network: ReluNetwork, scale: FloatArray, rows: Layer | None = None) -> Layers:
    """Take a network with one output as it is: every neuron is a unit.

    A network of one input gets a second one that nothing depends on.

    Parameters
    ----------
    scale : array (inputs,)
        Powers of two; the first coordinates are ``x / scale``.
    rows : Layer, optional
        A level to put in front.
    """
    first = 0 if rows is None else 1
    index = {INPUT: SOURCE} | {block.name: k + first for k, block in enumerate(network.blocks)}
    layers = [] if rows is None else [rows]
    inputs = network.input_size
    coordinates = max(inputs, 2) + 1
    for block in network.blocks:
        source = np.zeros((block.size, coordinates))
        if INPUT in block.weights:
            source[:, :inputs] = _dense(block.weights[INPUT]) * scale
        source[:, -1] = block.bias
        reads = tuple(
            Reading(index[name], _dense(weight))
            for name, weight in block.weights.items()
            if name != INPUT
        )
        kink = np.full(block.size, block.is_relu and block.name != OUTPUT)
        layers.append(Layer(source, reads, kink, _exact_of(source, reads)))
    return Layers(layers, coordinates)


def _dense(weight: Any) -> FloatArray:
    dense: FloatArray = weight.toarray() if hasattr(weight, "toarray") else weight
    return dense


def _exact_of(source: FloatArray, reads: tuple[Reading, ...]) -> Callable[[], ExactWeights]:
    return lambda: ExactWeights(
        matrix(rationals(source)), tuple(matrix(rationals(read.weights)) for read in reads)
    )


def matrix(values: ObjectArray) -> Any:
    """Return an object array of ``fmpq`` as an ``fmpq_mat``."""
    return flint.fmpq_mat(values.shape[0], values.shape[1], list(values.reshape(-1)))


def rows_layer(rows: ObjectArray) -> Layer:
    """Return exact rows as a level that nothing reads: it cuts, and changes no function."""
    return Layer(
        floats(rows), (), np.ones(len(rows), dtype=bool), lambda: ExactWeights(matrix(rows), ())
    )
