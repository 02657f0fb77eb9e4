"""Few inputs: cut cells only where bounds leave a kink open, whatever lies beside them.

Bounds at the extreme rays of a cell hold all over it. They close most cells and most kinks
before all levels have cut them, which a walk through the whole complex cannot make use of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.cones import SOLID, Cones, UncertainSignError, recentred
from jensen.cells.first_cones import box_cone, cones_between_kinks
from jensen.cells.layers import Layers, layers_of_network
from jensen.cells.start import coordinate_scale, is_flat
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import architecture
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings.deadline import NEVER, Deadline

BITS = 62  # of a set in one number
LOOSE = 1e-6  # radius of a ray, relative to it, beyond which it is computed anew
MOST = 1000  # cells at a time
INPUTS = 4  # beyond, boxes have many corners, and kinks many neighbours


def can_walk_cells(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that :func:`walk_cells` takes.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    """
    inputs = network.input_size
    bounding = 1 if domain.box_sides(inputs) is None else 2 * inputs
    if inputs > INPUTS or network.relu_count + bounding > BITS or not network.hidden:
        return False
    if domain.has_rows or is_flat(domain, inputs) or architecture(network) is None:
        return False
    return all(block.is_relu for block in network.hidden)


def walk_cells(
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> bool:
    """Whether a network is proved convex by bounds on cells and pieces of kinks.

    Parameters
    ----------
    network : ReluNetwork
        Of layers in a row, with one output; :func:`can_walk_cells`.
    domain : Box or Everywhere
    closed : mapping from block name to bool array (size,)
        Neurons whose J is known to be >= 0 under every pattern, or that keep their sign.
    deadline : Deadline

    Returns
    -------
    bool
        False says nothing: it may be too degenerate, too large or not convex.

    References
    ----------
    docs/theory.md, section 4: few inputs.
    """
    asked = ~np.concatenate([closed[block.name] for block in network.hidden])
    scale = coordinate_scale(network, domain)
    layers = layers_of_network(network, scale)
    if not layers.usable or layers.coordinates != network.input_size + 1:
        return False
    start = _start(domain, layers, scale, asked)
    if start is None:
        return False
    try:
        return _CellWalk(layers, *start).run(deadline)
    except UncertainSignError:
        return False


def _start(
    domain: Domain, layers: Layers, scale: FloatArray, asked: BoolArray
) -> tuple[Cones, FloatArray] | None:
    """Return the cells to begin with, and the forms that bound the domain."""
    box, first = domain.box_sides(len(scale)), layers.layers[0].source
    if box is not None:
        return box_cone((box[0] / scale, box[1] / scale), asked)
    return None if first is None else cones_between_kinks(first, asked)


@dataclass(eq=False)
class _Values:
    """What is known of all units on the rays, and of J on the cells.

    Attributes
    ----------
    z, error : arrays (rays, units)
        Exact up to the error where a unit is linear on the ray's cell.
    both : bool array (cells, units)
        Whether a unit surely has both signs.
    low, high : arrays (cells, units)
        Bounds of J.
    """

    z: FloatArray
    error: FloatArray
    both: BoolArray
    low: FloatArray
    high: FloatArray


class _CellWalk:
    """One network on one domain."""

    def __init__(self, layers: Layers, cones: Cones, bounding: FloatArray) -> None:
        self._cones = cones
        self._bounding = bounding
        self._layers = layers
        self._shared = layers.coordinates - 2
        hidden = [layers.layers[k] for k in layers.hidden]
        self._spans = [layers.span(k) for k in layers.hidden]
        self._first = np.zeros((0, 0)) if hidden[0].source is None else hidden[0].source
        self._weights = [layer.reads[0].weights for layer in layers.layers[1:]]
        self._sizes = [np.abs(weight) for weight in self._weights]
        self._biases = [
            np.zeros(layer.size) if layer.source is None else layer.source[:, -1]
            for layer in layers.layers
        ]
        self._lipschitz = [float(layers.lipschitz[k].max()) for k in layers.hidden]
        self._rounding = 4 * layers.rounding

    def run(self, deadline: Deadline) -> bool:
        """Bound and cut until nothing is open; False if that does not end well."""
        if not self._cones.asked[:, self._spans[0].stop :].any():
            self._take_out_kinks()
            if not self._cones.count:
                return True
        while self._cones.count <= MOST and not deadline.over():
            values = self._bounded()
            left = self._open(values)
            if left is None:
                return False
            if not left.any():
                return True
            self._cut(values, left)
            if (self._cones.radius > LOOSE * self._cones.size).any():
                self._recentre()
        return False

    def _take_out_kinks(self) -> None:
        """Leave pieces of kinks alone, where only the first level's are asked for."""
        cones, span = self._cones, self._spans[0]
        z, error = np.zeros((2, len(cones.cell), cones.states.shape[1]))
        z[:, span] = cones.points @ self._first.T
        error[:, span] = self._lipschitz[0] * self._reach()
        above = np.logical_or.reduceat(z > error, cones.first)
        below = np.logical_or.reduceat(z < -error, cones.first)
        hidden = np.logical_or.reduceat(np.abs(z) <= error, cones.first)
        asked = cones.asked & (cones.states == 0)
        if (asked & hidden & ~(above & below)).any():
            raise UncertainSignError("a kink in a side of a cell")
        cell, unit = np.nonzero(asked & above & below)
        pieces = cones.cut(cell, unit, np.zeros(len(cell), dtype=bool), z, error, self._shared)
        old = np.flatnonzero(cones.label != SOLID)
        self._cones = pieces.beside(cones.take(old)) if old.size else pieces

    def _reach(self) -> FloatArray:
        """Return how far values of a unit of slope 1 may be off on the rays: (rays, 1)."""
        cones = self._cones
        reach = cones.radius + self._rounding * (cones.size + cones.radius)
        return reach[:, None]

    def _recentre(self) -> None:
        """Compute rays anew, of whatever radius, from the forms that bound their cells."""
        cones = self._cones
        on = (cones.states > 0)[:, :, None]
        form = np.broadcast_to(self._first, (cones.count, *self._first.shape))
        forms = [form]
        for level, span in enumerate(self._spans[:-1]):
            form = self._weights[level] @ np.where(on[:, span], form, 0.0)
            form[:, :, -1] += self._biases[level + 1]
            forms.append(form)
        bounding = self._bounding
        forms.append(np.broadcast_to(bounding, (cones.count, *bounding.shape)))
        every = np.concatenate(forms, axis=1)
        rounding = self._rounding * max(*self._lipschitz, 1.0)
        recentred(cones, every, np.arange(every.shape[1]), rounding)

    # ------------------------------------------------------------------------- bounds

    def _bounded(self) -> _Values:
        """Bound all units on all cells, note which keep their sign, and bound J."""
        cones = self._cones
        first, far = cones.first, cones.points[:, -1] == 0
        last = cones.points[:, -1:]
        reach = self._reach()
        dead = np.zeros(len(far), dtype=bool)
        z, error = np.empty((2, len(far), cones.states.shape[1]))
        both = np.empty(cones.states.shape, dtype=bool)
        low = high = cones.points @ self._first.T
        for level, span in enumerate(self._spans):
            off = np.where(dead[:, None], 0.0, self._lipschitz[level] * reach)
            vanishing = cones.vanishing(np.arange(span.start, span.stop))
            z[:, span], error[:, span] = (low + high) / 2, off + (high - low) / 2
            least, most = low - off, high + off
            sides = np.concatenate([least, most], axis=1)
            bottom, top = np.minimum.reduceat(sides, first), np.maximum.reduceat(sides, first)
            count = least.shape[1]
            up, down = top[:, :count] > 0, bottom[:, count:] < 0
            on, never = up & (bottom[:, :count] >= 0), down & (top[:, count:] <= 0)
            states = cones.states[:, span]
            unknown = states == 0
            self._check_sides(span, unknown & (on | never), (least <= 0) & (most >= 0), far)
            states[on & unknown] = 1
            states[never & unknown] = -1
            both[:, span] = up & down
            sure = (states > 0)[cones.cell]
            passed = (states >= 0)[cones.cell] & ~vanishing & ~dead[:, None]
            rising = (bottom[:, :count] + top[:, count:] > 0)[cones.cell] | sure
            high = np.where(passed, np.where(sure, high, np.maximum(high, 0.0)), 0.0)
            low = np.where(passed & rising, low, 0.0)
            if level + 1 < len(self._spans):
                dead = far & ~passed.any(axis=1)
                middle = (low + high) / 2 @ self._weights[level].T
                middle += last * self._biases[level + 1]
                apart = (high - low) / 2 @ self._sizes[level].T
                low, high = middle - apart, middle + apart
        return _Values(z, error, both, *self._jumps())

    def _check_sides(
        self, span: slice, kept: BoolArray, touched: BoolArray, far: BoolArray
    ) -> None:
        """Give up where a kink that is asked for may lie in a side of a cell."""
        kept = kept & self._cones.asked[:, span]
        if kept.any() and (touched & kept[self._cones.cell] & ~far[:, None]).any():
            raise UncertainSignError("a kink in a side of a cell")

    def _jumps(self) -> tuple[FloatArray, FloatArray]:
        """Bound J of all units under the states of each cell."""
        states = self._cones.states
        low, high = np.empty((2, *states.shape))
        least = most = np.broadcast_to(
            self._weights[-1][0], (len(states), self._weights[-1].shape[1])
        )
        for level in range(len(self._spans) - 1, -1, -1):
            span = self._spans[level]
            low[:, span], high[:, span] = least, most
            if not level:
                break
            on, never = states[:, span] > 0, states[:, span] < 0
            least = np.where(on, least, np.where(never, 0.0, np.minimum(least, 0.0)))
            most = np.where(on, most, np.where(never, 0.0, np.maximum(most, 0.0)))
            size = np.maximum(np.abs(least), np.abs(most)) @ self._sizes[level - 1]
            middle = (least + most) / 2 @ self._weights[level - 1]
            apart = (most - least) / 2 @ self._sizes[level - 1]
            apart += 8 * (least.shape[1] + 4) * UNIT * size
            least, most = middle - apart, middle + apart
        return low, high

    # -------------------------------------------------------------------------- cells

    def _open(self, values: _Values) -> BoolArray | None:
        """Return the units of each cell whose kinks may bend down there; None if one does."""
        cones = self._cones
        solid = cones.label == SOLID
        falls = values.low < 0
        falls |= np.isnan(values.low)
        left = cones.asked & (cones.states == 0) & falls
        piece = np.flatnonzero(~solid)
        label = cones.label[piece]
        left[piece, label] = falls[piece, label]
        return None if (values.high[piece, label] < 0).any() else left

    def _cut(self, values: _Values, left: BoolArray) -> None:
        """Cut open cells by a unit each, and take out of them the kinks that can be told."""
        cones = self._cones
        linear = self._linear()
        solid = (cones.label == SOLID)[:, None]
        told = left & linear & solid
        cones.asked &= ~told
        cell, unit = np.nonzero(told)
        rest = np.flatnonzero((left & ~told).any(axis=1))
        by = self._chosen(values, left & ~told, linear, rest)
        kept = np.concatenate([cell, rest])
        if not kept.size:
            raise UncertainSignError("nothing to cut")
        apart = np.arange(len(kept)) >= len(cell)
        units = np.concatenate([unit, by])
        self._cones = cones.cut(kept, units, apart, values.z, values.error, self._shared)

    def _linear(self) -> BoolArray:
        """Return the units whose z is linear on each cell: all in front are known there."""
        cones = self._cones
        known = cones.states != 0
        piece = np.flatnonzero(cones.label != SOLID)
        known[piece, cones.label[piece]] = True
        linear = np.zeros(known.shape, dtype=bool)
        front = np.ones(len(known), dtype=bool)
        for span in self._spans:
            linear[:, span] = front[:, None]
            front &= known[:, span].all(axis=1)
        return linear

    def _chosen(
        self, values: _Values, left: BoolArray, linear: BoolArray, rest: IndexArray
    ) -> IndexArray:
        """Return the unit that cuts each of some cells: the one that matters most to J."""
        states, left = self._cones.states[rest], left[rest]
        unknown = states == 0
        weight = np.maximum(np.abs(values.low[rest]), np.abs(values.high[rest]))
        own = np.zeros(states.shape)
        arrives = np.zeros((len(rest), self._spans[0].stop))
        for level, span in enumerate(self._spans):
            own[:, span] = weight[:, span] * arrives
            if level + 1 < len(self._spans):
                arrives = (arrives * (states[:, span] >= 0) + left[:, span]) @ self._sizes[level].T
        matters = np.where(unknown, own, 0.0)
        behind = np.zeros((len(rest), self._spans[-1].stop - self._spans[-1].start))
        for level in range(len(self._spans) - 1, -1, -1):
            span = self._spans[level]
            matters[:, span] += behind * unknown[:, span]
            if level:
                needs = matters[:, span] + (left & ~linear[rest])[:, span]
                behind = needs @ self._sizes[level - 1]
        matters[~(unknown & linear[rest] & values.both[rest])] = -1.0
        chosen: IndexArray = matters.argmax(axis=1)
        if (matters[np.arange(len(rest)), chosen] < 0).any():
            raise UncertainSignError("a cell that nothing cuts")
        return chosen
