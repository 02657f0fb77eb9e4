"""Bounds of J, neuron by neuron, by sweeps from the neuron towards the output.

One backward sweep (:func:`jensen.bounds.paths.sign_bounds`) bounds J of every neuron at once, but
it forgets that a neuron in between is on for all that read it or for none: ``a_j J_j`` counts with
its least value where its weight is positive and with its largest where it is negative. From
a single neuron k onwards the sums ``sum_j W_ij a_j W_jk`` come first, and where weights behind are
not negative nothing is lost after them. Both bounds hold; the larger one counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.intervals import rounding_factor
from jensen.network.relu_network import OUTPUT, Block, ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

WORK = 5e7  # multiply-adds of all sweeps together: beyond, the provers ask group by group
SMALLEST, LARGEST = 1e-150, 1e150  # sizes whose products neither under- nor overflow

Stable = Mapping[str, tuple[BoolArray, BoolArray]]


def raised_signs(
    network: ReluNetwork, signs: dict[str, Interval], stable: Stable
) -> dict[str, Interval]:
    """Return bounds of J whose lower sides are raised, where that may close a neuron.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    signs : mapping from hidden block name to (lower, upper), each of shape (size,)
        Of :func:`jensen.bounds.paths.sign_bounds` under the same stable neurons.
    stable : mapping from block name to (on, off)
        Neurons of which neither is true are free, and are looked at if their bound is negative.
    """
    wanted = {
        block.name: np.flatnonzero(
            (signs[block.name][0] < 0) & ~(stable[block.name][0] | stable[block.name][1])
        )
        for block in network.hidden
        if block.is_relu
    }
    count = sum(len(neurons) for neurons in wanted.values())
    if not count or count * network.parameter_count > WORK or not _usable(network):
        return signs
    lows = _sweep(network, wanted, stable)
    raised = dict(signs)
    at = 0
    for name, neurons in wanted.items():
        low, high = signs[name]
        higher = low.copy()
        higher[neurons] = np.maximum(low[neurons], lows[at : at + len(neurons)])
        at += len(neurons)
        if (higher > low).any():
            raised[name] = higher, high
    return raised if any(raised[name] is not signs[name] for name in wanted) else signs


def _usable(network: ReluNetwork) -> bool:
    """Whether all weights are dense, and of sizes that can be multiplied."""
    for block in network.blocks:
        for weight in block.weights.values():
            if sp.issparse(weight):
                return False
            if not _in_range(weight):
                return False
    return True


def _in_range(values: FloatArray) -> bool:
    sizes = np.abs(values)
    return bool((((sizes >= SMALLEST) & (sizes <= LARGEST)) | (sizes == 0)).all())


def _sweep(network: ReluNetwork, wanted: Mapping[str, IndexArray], stable: Stable) -> FloatArray:
    """Return lower bounds of J of some neurons, (neurons,); minus infinity where there is none."""
    count = sum(len(neurons) for neurons in wanted.values())
    nothing = np.full(count, -np.inf)
    # slopes of what the blocks pass on, per unit of each neuron: (size, neurons)
    active: dict[str, tuple[FloatArray, FloatArray]] = {}
    started = 0
    for block in network.blocks:
        passed = _affine(block, active)
        neurons = wanted.get(block.name)
        here = 0 if neurons is None else len(neurons)
        if passed is None and not here:
            continue
        low, high = passed or (np.zeros((block.size, count)), np.zeros((block.size, count)))
        if not (_in_range(low) and _in_range(high)):
            return nothing
        if block.name == OUTPUT:
            lowest: FloatArray = low[0]
            return lowest
        if block.is_relu:
            on, off = (side[:, None] for side in stable[block.name])
            low = np.where(off, 0.0, np.where(on, low, np.minimum(low, 0.0)))
            high = np.where(off, 0.0, np.where(on, high, np.maximum(high, 0.0)))
        if neurons is not None and here:
            columns = np.arange(started, started + here)
            low[neurons, columns] = high[neurons, columns] = 1.0
            started += here
        active[block.name] = low, high
    return nothing


def _affine(
    block: Block, active: Mapping[str, tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray] | None:
    """Return bounds of a block's slopes, from those of the blocks that it reads.

    Positive and negative terms are summed apart: sums of one sign have a small relative error,
    so that what is not negative stays so.
    """
    terms = [(block.weights[name], active[name]) for name in block.weights if name in active]
    if not terms:
        return None
    sums: FloatArray | float = 0.0
    for weight, (low, high) in terms:
        parts = [np.maximum(low, 0.0), np.maximum(-low, 0.0)]
        parts += [np.maximum(high, 0.0), np.maximum(-high, 0.0)]
        sums = (
            sums
            + np.maximum(weight, 0.0) @ np.concatenate(parts, axis=1)
            + np.maximum(-weight, 0.0) @ np.concatenate(parts[::-1], axis=1)
        )
    rounding = rounding_factor(sum(weight.shape[1] + 4 for weight, _ in terms))
    gain, loss, climb, fall = np.split(np.asarray(sums), 4, axis=1)
    low = gain * (1 - rounding) - loss * (1 + rounding)
    return low, climb * (1 + rounding) - fall * (1 - rounding)
