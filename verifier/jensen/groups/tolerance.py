"""Convex within a tolerance on gradient jumps (docs/theory.md, section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import row_norms
from jensen.arithmetic.rational import ZERO
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, ON, JumpProblem
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.types import FloatArray

UNDERFLOW = 1e-300  # more than what products lost by it


def least_jumps(
    net: GroupedNetwork,
    network: ReluNetwork,
    tolerance: float,
    inputs: Sequence[int] | None = None,
) -> list[list[Fraction]]:
    """Return how far below 0 each J_g may be, so that gradient jumps stay >= -tolerance.

    The gradient jump is ``J_g |grad z_g|`` and ``|grad z_g|`` is bounded over all
    patterns. Kinks of several groups on one hyperplane add up, so the tolerance is shared
    by all groups that could take from it.

    Parameters
    ----------
    net : GroupedNetwork
    network : ReluNetwork
        The scalar network that was grouped.
    tolerance : float
    inputs : sequence of int or None
        Inputs that may move (partial convexity); None for all.
    """
    if not tolerance:
        return [[Fraction(0)] * level.size for level in net.levels]
    free = tuple(np.where(level.kink, FREE, ON).astype(np.int8) for level in net.levels)
    doubtful = 0
    for group in net.groups():
        jump = JumpProblem(net, *group)
        doubtful += not jump.is_nonnegative(jump.bound(free), free, ZERO)
    share = Fraction(tolerance) / max(1, doubtful)
    return [
        [share / Fraction(size) if 0 < size < np.inf else Fraction(0) for size in sizes.tolist()]
        for sizes in largest_gradients(net, network, inputs)
    ]


def largest_gradients(
    net: GroupedNetwork, network: ReluNetwork, inputs: Sequence[int] | None = None
) -> list[FloatArray]:
    """Bound ``|grad z|`` with respect to the inputs, for every unit and all patterns.

    Parameters
    ----------
    network : ReluNetwork
        The scalar network that was grouped: its weights on the inputs.
    inputs : sequence of int or None
        Inputs that may move (partial convexity); None for all.
    """
    chosen = slice(None) if inputs is None else list(inputs)
    of_inputs = {
        block.name: row_norms(block.weights[INPUT][:, chosen])
        for block in network.blocks
        if INPUT in block.weights
    }
    norms: list[FloatArray] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for level in net.levels:
            total = np.array(
                [
                    of_inputs[twins[0].block][twins[0].index] if twins[0].block in of_inputs else 0
                    for twins in level.units
                ],
                dtype=np.float64,
            )
            for source, slopes in level.slopes.items():
                if source != SOURCE:
                    size = np.abs(slopes.on)
                    if slopes.off is not None:
                        size = np.maximum(size, np.abs(slopes.off))
                    total += size @ norms[source]
            norms.append(np.nan_to_num(total * (1 + 1e-9) + UNDERFLOW, nan=np.inf, posinf=np.inf))
    return norms
