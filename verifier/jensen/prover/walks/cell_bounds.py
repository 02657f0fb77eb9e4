"""Bounds of all units and of all J on cells, from what they are at the cells' extreme rays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import Cones, UncertainSignError
from jensen.cells.layers import Layers
from jensen.types import BoolArray, FloatArray


@dataclass(eq=False)
class CellValues:
    """What is known of all units on the rays, and of J on the cells.

    Attributes
    ----------
    z, error : arrays (rays, units)
        Exact up to the error where a unit is linear on the ray's cell.
    both : bool array (cells, units)
        Whether a unit surely has both signs.
    gap : array (cells, units)
        Most by which relu is below the line above it, or 0 where a unit may have one sign.
    low, high : arrays (cells, units)
        Bounds of J.
    """

    z: FloatArray
    error: FloatArray
    both: BoolArray
    gap: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class Passed:
    """What a level passes on: bounds (rays, units), and the rays at infinity where that is 0."""

    low: FloatArray
    high: FloatArray
    nothing: BoolArray


@dataclass(frozen=True, eq=False)
class Link:
    """Weights between two levels: of one that reads and one that is read."""

    level: int  # the other one
    weights: FloatArray  # (units that read, units read)
    sizes: FloatArray


class CellBounds:
    """Bounds on the cells of one network.

    Parameters
    ----------
    layers : Layers

    Attributes
    ----------
    spans : list of slice
        Places of each level's units.
    sources : list of arrays (units, coordinates)
        Weights of each level on the homogeneous coordinates.
    lipschitz_of_units : array (units,)
        ``|z| <= lipschitz |v|`` of homogeneous coordinates v.
    reads, readers : list of lists of Link
        Of each hidden level: the levels that it reads, and those hidden ones that read it.
    """

    def __init__(self, layers: Layers) -> None:
        hidden, last = [layers.layers[k] for k in layers.hidden], layers.layers[-1]
        self.spans = [layers.span(k) for k in layers.hidden]
        self.reads = [
            [Link(r.level, r.weights, np.abs(r.weights)) for r in layer.reads] for layer in hidden
        ]
        self.readers: list[list[Link]] = [[] for _ in hidden]
        for k, links in enumerate(self.reads):
            for link in links:
                self.readers[link.level].append(Link(k, link.weights, link.sizes))
        self.sources = [
            np.zeros((layer.size, layers.coordinates)) if layer.source is None else layer.source
            for layer in hidden
        ]
        self._reads_coordinates = [bool(source[:, :-1].any()) for source in self.sources]
        self._output = [np.zeros(layer.size) for layer in hidden]
        for read in last.reads:
            self._output[read.level] = self._output[read.level] + read.weights[0]
        self._lipschitz = [float(layers.lipschitz[k].max(initial=0.0)) for k in layers.hidden]
        self.lipschitz_of_units = np.concatenate([layers.lipschitz[k] for k in layers.hidden])
        self._rounding = 4 * layers.rounding
        self.form_rounding = self._rounding * max(*self._lipschitz, 1.0)

    def reach(self, cones: Cones) -> FloatArray:
        """Return how far values of a unit of slope 1 may be off on the rays: (rays, 1)."""
        reach = cones.radius + self._rounding * (cones.size + cones.radius)
        return reach[:, None]

    def first_values(self, cones: Cones) -> tuple[FloatArray, FloatArray]:
        """Return z of the first level's units on the rays, and how far it may be off."""
        return cones.points @ self.sources[0].T, self._lipschitz[0] * self.reach(cones)

    def of(self, cones: Cones) -> CellValues:
        """Bound all units on all cells, note which keep their sign, and bound J."""
        first, owner, far = cones.first, cones.cell, cones.points[:, -1] == 0
        reach, has_far, shape = self.reach(cones), bool(far.any()), cones.states.shape
        z, error = np.empty((2, len(owner), shape[1]))
        both, gap = np.empty(shape, dtype=bool), np.empty(shape)
        nonzero = ~cones.vanishing(shape[1])
        passed_on: list[Passed] = []
        for level, span in enumerate(self.spans):
            middle, apart = self._read(level, cones.points, passed_on)
            off = self._lipschitz[level] * reach
            dead = self._is_dead(level, far, passed_on) if has_far else None
            if dead is not None:
                off[dead] = 0.0
            around = off if apart is None else apart + off
            z[:, span], error[:, span] = middle, around
            least, most = middle - around, middle + around
            tops, bottoms = np.maximum.reduceat(least, first), np.minimum.reduceat(most, first)
            top, bottom = np.maximum.reduceat(most, first), np.minimum.reduceat(least, first)
            up, down = tops > 0, bottoms < 0  # surely reached
            on, never = up & (bottom >= 0), down & (top <= 0)
            states = cones.states[:, span]
            unknown = states == 0
            self._check_sides(cones, span, unknown & (on | never), least, most)
            states[on & unknown] = 1
            states[never & unknown] = -1
            both[:, span] = up & down
            with np.errstate(all="ignore"):
                gap[:, span] = np.where(up & down, tops / (1 - tops / bottoms), 0.0)
            if level + 1 == len(self.spans):
                break
            passed = nonzero[:, span] & (states >= 0)[owner]
            if dead is not None:
                passed[dead] = False
            sure = states > 0
            high = middle if apart is None else middle + apart
            high = np.maximum(high, np.where(sure, -np.inf, 0.0)[owner]) * passed
            low = middle if apart is None else middle - apart
            low = low * (passed & (sure | (bottom + top > 0))[owner])
            nothing: BoolArray = np.count_nonzero(passed, axis=1) == 0 if has_far else far
            passed_on.append(Passed(low, high, nothing))
        return CellValues(z, error, both, gap, *self._jumps(cones.states))

    def _read(
        self, level: int, points: FloatArray, passed: Sequence[Passed]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the middle of what bounds z of a level, and how far it may be from that."""
        source, apart = self.sources[level], None
        if self._reads_coordinates[level]:
            middle = points @ source.T
        else:
            middle = points[:, -1:] * source[:, -1]
        for link in self.reads[level]:
            read = passed[link.level]
            middle = middle + (read.low + read.high) @ (link.weights.T / 2)
            more = (read.high - read.low) @ (link.sizes.T / 2)
            apart = more if apart is None else apart + more
        return middle, apart

    def _is_dead(self, level: int, far: BoolArray, passed: Sequence[Passed]) -> BoolArray:
        """Return the rays at infinity on which all that a level reads is exactly 0."""
        if self._reads_coordinates[level]:
            return np.zeros_like(far)
        dead = far
        for link in self.reads[level]:
            dead = dead & passed[link.level].nothing
        return dead

    def _check_sides(
        self, cones: Cones, span: slice, kept: BoolArray, least: FloatArray, most: FloatArray
    ) -> None:
        """Give up where a kink that is asked for may lie in a side of a cell."""
        kept = kept & cones.asked[:, span]
        if not kept.any():
            return
        near = cones.points[:, -1:] != 0
        if (kept[cones.cell] & near & (least <= 0) & (most >= 0)).any():
            raise UncertainSignError("a kink in a side of a cell")

    def _jumps(self, states: NDArray[np.int8]) -> tuple[FloatArray, FloatArray]:
        """Bound J of all units under the states of each cell."""
        low, high = np.empty((2, *states.shape))
        passed: dict[int, tuple[FloatArray, FloatArray]] = {}
        for level in range(len(self.spans) - 1, -1, -1):
            span = self.spans[level]
            own = self._output[level]
            least = most = np.broadcast_to(own, (len(states), len(own)))
            if self.readers[level]:
                least, most = self._jumps_behind(level, passed)
            low[:, span], high[:, span] = least, most
            if not self.reads[level]:
                continue
            on, never = states[:, span] > 0, states[:, span] < 0
            least = np.where(on, least, np.where(never, 0.0, np.minimum(least, 0.0)))
            most = np.where(on, most, np.where(never, 0.0, np.maximum(most, 0.0)))
            passed[level] = least, most
        return low, high

    def _jumps_behind(
        self, level: int, passed: Mapping[int, tuple[FloatArray, FloatArray]]
    ) -> tuple[FloatArray, FloatArray]:
        """Bound the slopes of the output on what a level passes on, which others read."""
        middle, apart = self._output[level], np.zeros(1)
        size, terms = np.abs(middle), 4
        for link in self.readers[level]:
            least, most = passed[link.level]
            middle = middle + (least + most) / 2 @ link.weights
            apart = apart + (most - least) / 2 @ link.sizes
            size = size + np.maximum(np.abs(least), np.abs(most)) @ link.sizes
            terms += least.shape[1] + 1
        apart = apart + 8 * terms * UNIT * size
        return middle - apart, middle + apart
