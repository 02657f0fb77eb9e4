"""Columns of the free neurons: vertices of what their pre-activations can be.

For a pair the three pre-activations z of a neuron at x, y and m lie in a box, and their
loss ``s = (z_x + z_y) / 2 - z_m`` in an interval: 0 in the first layer, elsewhere from the
Jensen gaps of the neurons in front. Objectives in z and h = relu(z) are linear between the
planes z = 0, so their maxima are at vertices of the polytope cut by these planes.

References
----------
docs/theory.md, section 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jensen.midpoint.linked import Columns, DenseLayer, LinkedNetwork
from jensen.network.relu_network import INPUT
from jensen.types import BoolArray, FloatArray

ROOM = 16  # roundings by which a candidate may miss a bound and is kept


def single_columns(linked: LinkedNetwork) -> Columns:
    """Return lower bound, 0 and upper bound of every free neuron: the triangle relaxation."""
    low, high = linked.lower[linked.free], linked.upper[linked.free]
    z = np.stack([low, np.zeros_like(low), high], axis=1).reshape(-1, 1)
    return Columns(z, np.repeat(np.arange(len(low)), 3))


def pair_columns(linked: LinkedNetwork) -> Columns:
    """Return the vertices of every free neuron at x, y and m."""
    gap_low, gap_high = np.zeros(linked.neurons), np.zeros(linked.neurons)
    place = np.full(linked.neurons, -1)
    place[linked.free] = np.arange(len(linked.free))
    owns, points = [np.zeros(0, dtype=np.intp)], [np.zeros((0, 3))]
    for layer in linked.layers:
        low, high = _loss(linked, layer, gap_low, gap_high)
        span = layer.span
        width = linked.upper[span] - linked.lower[span] + 4 * layer.slack
        low, high = np.maximum(low, -width), np.minimum(high, width)
        on = linked.is_on[span]
        gap_low[span], gap_high[span] = np.where(on, low, 0.0), np.where(on, high, 0.0)
        free = np.flatnonzero(place[span] >= 0)
        if not free.size:
            continue
        index = free + span.start
        exact = not low[free].any() and not high[free].any()
        z, valid = vertices(
            linked.lower[index],
            linked.upper[index],
            None if exact else (low[free], high[free]),
            layer.slack[free],
        )
        h = np.maximum(z, 0.0)
        gap = (h[:, 0] + h[:, 1]) / 2 - h[:, 2]
        gap_low[index] = np.where(valid, gap, np.inf).min(axis=1) - layer.slack[free]
        gap_high[index] = np.where(valid, gap, -np.inf).max(axis=1) + layer.slack[free]
        own, found = _distinct(z, valid)
        owns.append(place[index][own])
        points.append(found)
    return Columns(np.concatenate(points), np.concatenate(owns))


def _loss(
    linked: LinkedNetwork, layer: DenseLayer, gap_low: FloatArray, gap_high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bound s of a layer by interval arithmetic from the gaps in front."""
    low, high = np.zeros(len(layer.bias)), np.zeros(len(layer.bias))
    for source, weight in layer.weights.items():
        if source == INPUT:
            continue
        a, b = gap_low[linked.spans[source]], gap_high[linked.spans[source]]
        plus, minus = np.maximum(weight, 0), np.minimum(weight, 0)
        low += plus @ a + minus @ b
        high += plus @ b + minus @ a
    if not low.any() and not high.any():
        return low, high
    # a gap is at most twice the reach of z
    return low - 4 * layer.slack, high + 4 * layer.slack


def vertices(
    lower: FloatArray,
    upper: FloatArray,
    loss: tuple[FloatArray, FloatArray] | None,
    slack: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """List the vertices of ``{lower <= z <= upper, s in loss}`` cut by the planes z = 0.

    A candidate that misses a bound by rounding is kept: the hull only grows.

    Parameters
    ----------
    lower, upper : arrays (neurons,), with ``lower < 0 < upper``
    loss : (lower, upper) arrays (neurons,), or None for s = 0
    slack : array (neurons,)
        Rounding errors of z.

    Returns
    -------
    z : array (neurons, 3, candidates)
    valid : bool array (neurons, candidates)
    """
    side = np.stack([lower, np.zeros_like(lower), upper], axis=-1)
    shape = (len(lower), 9)
    first = np.broadcast_to(side[:, :, None], (len(lower), 3, 3)).reshape(shape)
    second = np.broadcast_to(side[:, None, :], (len(lower), 3, 3)).reshape(shape)
    parts: list[tuple[Any, Any, Any]] = []
    for s in [np.zeros((len(lower), 1))] if loss is None else [part[:, None] for part in loss]:
        parts.append((first, second, (first + second) / 2 - s))
        parts.append((first, 2 * (second + s) - first, second))
        parts.append((2 * (second + s) - first, first, second))
    if loss is not None:
        parts += [(first, second, np.broadcast_to(side[:, k, None], shape)) for k in range(3)]
    z = np.stack([np.concatenate([part[k] for part in parts], axis=1) for k in range(3)], axis=1)
    room = ROOM * slack[:, None]
    inside = (z >= (lower[:, None] - room)[:, None]) & (z <= (upper[:, None] + room)[:, None])
    valid = np.asarray(inside.all(axis=1))
    if loss is not None:
        s = (z[:, 0] + z[:, 1]) / 2 - z[:, 2]
        valid = valid & (s >= loss[0][:, None] - room) & (s <= loss[1][:, None] + room)
    return z, valid


def _distinct(z: FloatArray, valid: BoolArray) -> tuple[Any, FloatArray]:
    """Return the owners and the distinct valid points of (neurons, 3, candidates)."""
    own, place = np.nonzero(valid)
    points = z[own, :, place] + 0.0  # no negative zeros
    keys = np.column_stack([own, points])
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    keep = order[new]
    return own[keep], points[keep]
