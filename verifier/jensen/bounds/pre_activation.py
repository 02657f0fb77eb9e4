"""Rigorous bounds on every pre-activation over a box: interval and backward linear.

Both are true in real arithmetic (outward rounded); the better of the two is kept, side
by side. Interval bounds need one pass over the weights and keep sparse matrices sparse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jensen.arithmetic.intervals import interval_affine
from jensen.bounds.crown import BackwardBounds
from jensen.domains.domain import Box
from jensen.network.relu_network import INPUT, Block, ReluNetwork
from jensen.types import BoolArray, Bounds, FloatArray, Interval
from jensen_encodings.deadline import NEVER, Deadline

# multiply-adds above which a block keeps its interval bounds: about a second on one core
BACKWARD_WORK = 8e9


def pre_activation_bounds(
    network: ReluNetwork,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    crown: bool = True,
    hidden: Bounds | None = None,
    deadline: Deadline = NEVER,
) -> dict[str, Interval]:
    """Bound ``z`` of every block, the output included, on ``lower <= x <= upper``.

    Parameters
    ----------
    network : ReluNetwork
    lower, upper : float or array of shape (inputs,)
    crown : bool
        Also compute backward linear bounds for the neurons that interval bounds leave
        unstable, and for affine blocks. A block whose backward pass would take more
        than ``BACKWARD_WORK`` multiply-adds keeps its interval bounds.
    hidden : mapping from block name to (lower, upper), optional
        What :func:`hidden_bounds` returned.
    deadline : Deadline
        What is not bounded backwards by then keeps its interval bounds.

    Returns
    -------
    dict from block name to (lower, upper), each of shape (size,)
        True in real arithmetic. A side that ends at exactly 0 in interval arithmetic is
        returned as 0: ``relu(relu(x))`` is stable.

    Raises
    ------
    DomainError
        If the sides are no box of the right dimension.

    References
    ----------
    See :mod:`jensen.arithmetic.intervals` and :mod:`jensen.bounds.crown`.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    >>> pre_activation_bounds(net, 0, 1)["relu_1"]
    (array([ 0., -1.]), array([1., 0.]))
    """
    box = Box(lower, upper).bounds(network.input_size)
    known = dict(hidden or {})
    return _extended(network, box, network.blocks, known, deadline, crown=crown)


def interval_bounds(network: ReluNetwork, box: Interval) -> dict[str, Interval]:
    """Bound ``z`` of every hidden block by intervals alone, on a box of arrays (inputs,)."""
    return _extended(network, box, network.hidden, {}, NEVER, crown=False)


def hidden_bounds(
    network: ReluNetwork,
    box: Interval,
    deadline: Deadline = NEVER,
    intervals: Bounds | None = None,
) -> dict[str, Interval]:
    """Bound ``z`` as :func:`pre_activation_bounds` does, but for that of the output.

    Parameters
    ----------
    network : ReluNetwork
    box : (lower, upper), arrays of shape (inputs,)
    deadline : Deadline
    intervals : mapping from block name to (lower, upper), optional
        What :func:`interval_bounds` returned.
    """
    return _extended(network, box, network.hidden, {}, deadline, crown=True, intervals=intervals)


def _extended(
    network: ReluNetwork,
    box: Interval,
    blocks: Sequence[Block],
    bounds: dict[str, Interval],
    deadline: Deadline,
    *,
    crown: bool,
    intervals: Bounds | None = None,
) -> dict[str, Interval]:
    """Add bounds of blocks to those that are known, in topological order."""
    backward = BackwardBounds(network, box, bounds)
    # blocks in front of which nothing is tighter than intervals
    plain = set() if intervals is None else {INPUT}
    outputs: dict[str, Interval] = {INPUT: box}
    for block in blocks:
        if block.name in bounds:
            outputs[block.name] = _activated(block, *bounds[block.name])
            continue
        if intervals is not None and plain.issuperset(block.weights):
            low, high = (side.copy() for side in intervals[block.name])
            plain.add(block.name)
        else:
            terms = [(weight, outputs[source]) for source, weight in block.weights.items()]
            low, high = interval_affine(terms, block.bias)
        if crown and set(block.weights) != {INPUT}:
            rows = _open_rows(block, low, high)
            if rows.size and backward.cost(block.name, rows.size) <= BACKWARD_WORK:
                tight = backward.bound(block.name, rows, deadline)
                plain.discard(block.name)
                low[rows] = np.fmax(low[rows], tight[0])
                high[rows] = np.fmin(high[rows], tight[1])
        bounds[block.name] = (low, high)
        outputs[block.name] = _activated(block, low, high)
    return bounds


def stable_pattern(bounds: Bounds) -> dict[str, tuple[BoolArray, BoolArray]]:
    """Return which neurons are stably on (``z >= 0``) and off (``z <= 0``).

    A neuron whose pre-activation is identically 0 is both.

    Returns
    -------
    dict from block name to (on, off), bool arrays of shape (size,)
    """
    return {name: (low >= 0.0, high <= 0.0) for name, (low, high) in bounds.items()}


def _open_rows(block: Block, low: FloatArray, high: FloatArray) -> NDArray[np.intp]:
    if not block.is_relu:
        return np.arange(block.size)
    return np.flatnonzero((low < 0.0) & (high > 0.0))


def _activated(block: Block, low: FloatArray, high: FloatArray) -> Interval:
    if block.is_relu:
        return np.maximum(low, 0.0), np.maximum(high, 0.0)
    return low, high
