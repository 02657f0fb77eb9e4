"""Signs of J that hold since states are linked: twins, and neurons on wherever others are.

Intervals of J over all patterns forget which states go together. Two links cost next to nothing:

* twins have one state (:mod:`jensen.bounds.stacked_units`);
* ``z_k >= c z_j`` for some c > 0, of two neurons that read what is not negative: k is on wherever
  j is. Where J of k is in addition at least r times that of j, a weight on k makes up for r times
  as negative a weight on j.

All is done for many networks at once, the network on the first axis. What is not shown to be
``>= 0`` is left to the provers.

References
----------
docs/theory.md, sections 2 and 3; N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
2nd ed., section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jensen.arithmetic.intervals import rounding_factor
from jensen.bounds.made_up import Rows, without_made_up
from jensen.bounds.stacked_units import UnitLayer, unit_layers
from jensen.types import BoolArray, FloatArray, Interval

SMALLEST, LARGEST = 1e-140, 1e140  # sizes whose products neither under- nor overflow
GRID, MOST = 2.0**-20, 2.0**12  # sums of products of multiples of GRID up to MOST are exact


@dataclass(frozen=True, eq=False)
class LinkedSigns:
    """Which units of every network bend nothing down.

    Attributes
    ----------
    convex : bool array (networks,)
    layers : list of UnitLayer
    crossing : list of bool arrays (networks, neurons)
        Neurons that are neither always on nor always off, as far as is known.
    jumps : list of arrays (networks, units)
        Lower bounds of J, of both twins together.
    """

    convex: BoolArray
    layers: list[UnitLayer]
    crossing: list[BoolArray]
    jumps: list[FloatArray]

    def open_neurons(self) -> BoolArray:
        """Return (networks, neurons) of all layers: those that may bend down."""
        layers = zip(self.jumps, self.crossing, strict=True)
        return np.concatenate([~(low >= 0) & crosses for low, crosses in layers], axis=1)

    def known_of(self, sound: BoolArray) -> LinkedSigns:
        """Return the same with nothing known of the other networks.

        Parameters
        ----------
        sound : bool array (networks,)
            Those whose numbers no product loses.
        """
        crossing = [crosses | ~sound[:, None] for crosses in self.crossing]
        jumps = [np.where(sound[:, None], low, -np.inf) for low in self.jumps]
        return replace(self, convex=self.convex & sound, crossing=crossing, jumps=jumps)


def linked_signs(
    weights: Sequence[FloatArray],
    biases: Sequence[FloatArray],
    stable: Sequence[tuple[BoolArray, BoolArray]],
    *,
    thorough: bool = True,
    forward: bool = True,
    twins: bool = True,
) -> LinkedSigns:
    """Bound J of every unit, under all patterns that respect the links.

    Parameters
    ----------
    weights : sequence of arrays (networks, out, in)
        Of all layers; the last one has one output.
    biases : sequence of arrays (networks, out)
    stable : sequence of (on, off), bool arrays (networks, units), one per hidden layer
        Neurons that are never off, and never on, on the domain.
    thorough : bool
        Look for pairs of neurons, and sweep forward, too; otherwise one sweep backward.
    forward : bool
        False: do not sweep forward, and no further back than to a layer that stays open in all
        networks; nothing is said of those in front of it.
    twins : bool
        False: there are no rows that are equal up to signs.
    """
    with np.errstate(all="ignore"):  # what overflows is not settled
        sweeps = _Sweeps(weights, biases, stable, twins=twins)
        return sweeps.run(pairs=thorough, forward=thorough and forward)


class _Sweeps:
    """The sweeps over the layers of some networks."""

    def __init__(
        self,
        weights: Sequence[FloatArray],
        biases: Sequence[FloatArray],
        stable: Sequence[tuple[BoolArray, BoolArray]],
        *,
        twins: bool,
    ) -> None:
        self._weights, self._biases, self._stable = weights, biases, stable
        self._crossing = [~(on | off) for on, off in stable]
        self._layers = unit_layers(weights, biases, self._crossing, twins=twins)
        self._ties = any(layer.paired for layer in self._layers)
        self._count = len(weights[0])
        # of the slopes of f over z of each layer, the lower bounds
        self._least: list[FloatArray] = [np.empty(0)] * len(self._layers)
        numbers = [array.reshape(self._count, -1) for array in (*weights, *biases)]
        self._sound = _fine(np.concatenate(numbers, axis=1))

    def run(self, *, pairs: bool, forward: bool) -> LinkedSigns:
        """Sweep backward, and forward from the units that this leaves open."""
        hidden = len(self._layers)
        # J of the last layer is what the output weighs it with, whatever the states
        sinks = self._open(hidden - 1) & (self._layers[-1].kink[:, 0] < 0)
        if sinks.any(axis=1).all():
            nothing = [np.full(crossing.shape, -np.inf) for crossing in self._crossing]
            none = np.zeros(self._count, dtype=bool)
            return LinkedSigns(none, self._layers, self._crossing, nothing)
        jumps = self._backward([None] * hidden, pairs=pairs, stop=pairs and not forward)
        # of two levels without twins, sums over the second one are the same either way
        deep = hidden > 2 or self._ties
        if forward and deep and not self._closed(jumps).all():
            jumps = self._backward(self._forward(), pairs=True)
        signs = LinkedSigns(self._closed(jumps), self._layers, self._crossing, jumps)
        return signs.known_of(self._sound)

    def _closed(self, jumps: Sequence[FloatArray]) -> BoolArray:
        closed = np.ones(self._count, dtype=bool)
        for k, low in enumerate(jumps):
            closed &= ((low >= 0) | ~self._open(k)).all(axis=1)
        return closed

    def _open(self, layer: int) -> BoolArray:
        return self._crossing[layer] & self._layers[layer].lead

    def _backward(
        self, known: Sequence[FloatArray | None], *, pairs: bool, stop: bool = False
    ) -> list[FloatArray]:
        """Return lower bounds of J of all units, from the output to the first layer."""
        jumps: list[FloatArray] = []
        slope = (np.ones((self._count, 1, 1)),) * 2
        for k in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[k]
            matrix = layer.kink
            if layer.paired:
                matrix = np.concatenate([matrix, layer.on, layer.off], axis=2)
            lows, highs = (side[:, :, 0] for side in self._product(matrix, slope, turned=True))
            if pairs and k + 1 < len(self._layers):
                lows = self._with_pairs(k, matrix, lows, jumps[-1], slope)
            low = lows[:, : layer.size]
            more = known[k]
            if more is not None:
                low = np.maximum(low, more)
            jumps.append(low)
            if stop and (self._open(k) & ~(low >= 0)).any(axis=1).all():
                jumps += [np.full(part.shape, -np.inf) for part in self._crossing[k - 1 :: -1][:k]]
                break
            slope = self._passed(k, low, lows, highs)
        return jumps[::-1]

    def _passed(self, k: int, low: FloatArray, lows: FloatArray, highs: FloatArray) -> Interval:
        """Return the slopes of f over z of a layer.

        Parameters
        ----------
        k : int
        low : array (networks, units)
            The best lower bounds of J.
        lows, highs : arrays (networks, units or three times as many)
            Bounds of J, and where there are twins of the slopes where z > 0 and where z < 0.
        """
        layer, (on, off) = self._layers[k], self._stable[k]
        high = highs[:, : layer.size]
        least, most = np.minimum(low, 0.0), np.maximum(high, 0.0)
        if layer.paired:
            _, up, down = np.split(lows, 3, axis=1)
            least = np.where(layer.twin < 0, least, np.minimum(up, down))
            _, up, down = np.split(highs, 3, axis=1)
            most = np.where(layer.twin < 0, most, np.maximum(up, down))
            off = off | ~layer.lead  # the other twin has its share
        least = np.where(off, 0.0, np.where(on, low, least))
        most = np.where(off, 0.0, np.where(on, high, most))
        self._least[k] = least
        return least[:, :, None], most[:, :, None]

    def _forward(self) -> list[FloatArray | None]:
        """Return lower bounds of J by sweeps from single units towards the output."""
        low = high = np.empty((self._count, self._weights[0].shape[1], 0))
        spans, started = [], 0
        for k, layer in enumerate(self._layers):
            on, off = (side[:, :, None] for side in self._stable[k])
            bent = (
                np.where(off, 0.0, np.where(on, low, np.minimum(low, 0.0))),
                np.where(off, 0.0, np.where(on, high, np.maximum(high, 0.0))),
            )
            weight = layer.kink
            if layer.paired:
                weight = np.concatenate([weight, layer.off], axis=2)
                bent = (
                    np.concatenate([bent[0], low], axis=1),
                    np.concatenate([bent[1], high], axis=1),
                )
            low, high = self._product(weight, bent)
            low = np.concatenate([low, layer.kink], axis=2)
            high = np.concatenate([high, layer.kink], axis=2)
            spans.append(slice(started, started + layer.kink.shape[2]))
            started = spans[-1].stop
        return [low[:, 0, span] for span in spans]

    def _product(self, matrix: FloatArray, sides: Interval, *, turned: bool = False) -> Interval:
        """Enclose products of matrices with intervals (networks, in, columns).

        Positive and negative terms are summed apart: sums of one sign have a small relative
        error, so that what is not negative stays so.
        """
        low, high = sides
        self._sound &= _fine(low) & _fine(high)
        if turned:
            matrix = matrix.transpose(0, 2, 1)
        columns = low.shape[2]
        parts = [np.maximum(low, 0.0), np.maximum(-low, 0.0)]
        parts += [np.maximum(high, 0.0), np.maximum(-high, 0.0)]
        sums = np.maximum(matrix, 0.0) @ np.concatenate(parts, axis=2)
        sums += np.maximum(-matrix, 0.0) @ np.concatenate(parts[::-1], axis=2)
        rounding: float | FloatArray = rounding_factor(2 * matrix.shape[2] + 16)
        if self._ties:
            rounding = np.where(_is_exact(matrix, sides, sums), 0.0, rounding)
        gain, loss = sums[:, :, :columns], sums[:, :, columns : 2 * columns]
        climb, fall = sums[:, :, 2 * columns : 3 * columns], sums[:, :, 3 * columns :]
        less, more = 1 - rounding, 1 + rounding
        return gain * less - loss * more, climb * more - fall * less

    # ------------------------------------------------------------------- pairs of neurons

    def _with_pairs(
        self, k: int, matrix: FloatArray, lows: FloatArray, behind: FloatArray, slope: Interval
    ) -> FloatArray:
        """Return lower bounds where neurons behind make up for others.

        Parameters
        ----------
        k : int
        matrix : array (networks, neurons behind, columns)
        lows : array (networks, columns)
            Lower bounds of sums of its columns, weighted by the slopes behind.
        behind : array (networks, neurons behind)
            Lower bounds of their J.
        slope : (least, most), arrays (networks, neurons behind, 1)
            Of f over z of the layer behind.
        """
        layer, size = self._layers[k], self._layers[k].size
        wanted = lows < 0
        wanted[:, :size] &= self._open(k)
        if layer.paired:
            wanted[:, size:] &= np.tile((layer.twin >= 0) & layer.lead, 2)
        if not wanted.any():
            return lows
        kept = without_made_up(matrix, wanted, self._rows(k + 1, behind))
        if kept is None:
            return lows
        raised, _ = self._product(kept, slope, turned=True)
        return np.maximum(lows, raised[:, :, 0])

    def _rows(self, k: int, jumps: FloatArray) -> Rows:
        """Return what a layer's neurons read, and what is read of them."""
        layer, crossing = self._layers[k], self._crossing[k]
        idle = self._stable[k - 1][1]
        reads = np.where(idle[:, None, :], 0.0, self._weights[k])
        reads = np.concatenate([reads, self._biases[k][:, :, None]], axis=2)
        # of linear twins what both pass on: equal ones of opposite weights pass on nothing
        behind, usable = layer.on, np.ones(self._count, dtype=bool)
        if k + 1 < len(self._layers):
            # only where all that f passes on of the layer behind is not negative
            off = self._stable[k + 1][1] | ~self._layers[k + 1].lead
            usable &= np.all((self._least[k + 1] >= 0) | off, axis=1)
            behind = np.where(off[:, :, None], 0.0, behind)
        changes = crossing & (layer.twin < 0) & (jumps >= 0)
        steady = self._stable[k][0]
        if layer.paired:
            steady = steady | ((layer.twin >= 0) & layer.lead & ~layer.kink.any(axis=1))
        return Rows(reads, behind, usable, changes, changes, steady)


def _is_exact(matrix: FloatArray, sides: Interval, sums: FloatArray) -> BoolArray:
    """Return (networks, out, columns): which sums of products no rounding has touched.

    The terms are products of multiples of GRID, and so small together that doubles hold all
    sums: maxima of affine functions are written with weights 1 and -1, and meet 0 exactly.
    """
    low, high = sides
    filled = ((low != 0) | (high != 0)).astype(float)
    coarse = (_coarse(low) | _coarse(high)).astype(float)
    rounded = _coarse(matrix).astype(float) @ filled
    rounded += (matrix != 0).astype(float) @ coarse
    columns = low.shape[2]
    size = sums.reshape(*sums.shape[:2], 4, columns).sum(axis=2)
    exact: BoolArray = (rounded == 0) & (size <= MOST)
    return exact


def _coarse(values: FloatArray) -> BoolArray:
    """Return which numbers are no multiples of GRID."""
    scaled = values / GRID
    coarse: BoolArray = np.not_equal(scaled, np.rint(scaled))
    return coarse


def _fine(values: FloatArray) -> BoolArray:
    """Return the networks of which no number can make a product under- or overflow."""
    size = np.abs(values)
    fine = ((size >= SMALLEST) & (size <= LARGEST)) | (size == 0)
    found: BoolArray = fine.all(axis=tuple(range(1, values.ndim)))
    return found
