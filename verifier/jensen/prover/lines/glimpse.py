"""Kinks that seem to bend down, by what neurons compute at some points.

J of a neuron is summed up from the states that the neurons behind it have at a point. Where it
is negative at a point of the domain, no bound on J under all patterns closes the neuron, unless
it never changes its sign; and if it does among a few points, f is hardly ever convex. Floating
point says so: it orders the screens and proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.types import BoolArray, Bounds, FloatArray


class Glimpse:
    """What some points of a domain show of a network.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    z : mapping from block name to array (points, size)
        Pre-activations at the points.
    """

    def __init__(self, network: ReluNetwork, z: Mapping[str, FloatArray]) -> None:
        self._network = network
        self._z = {name: np.ascontiguousarray(values.T) for name, values in z.items()}

    @property
    def bends_down(self) -> bool:
        """Whether J of a neuron that has both signs is negative at one of the points."""
        return self._seen[1]

    @property
    def sinking(self) -> dict[str, BoolArray]:
        """Which neurons have J < 0 at one of the points, of the blocks that have such neurons."""
        return self._seen[0]

    def sinks_within(self, bounds: Bounds) -> bool:
        """Whether one of :attr:`sinking` may change its sign within bounds of pre-activations."""
        return any(
            _some(down, bounds[name][0], bounds[name][1]) for name, down in self.sinking.items()
        )

    @cached_property
    def _seen(self) -> tuple[dict[str, BoolArray], bool]:
        network, sinking, bends = self._network, dict[str, BoolArray](), False
        slopes: dict[str, FloatArray] = {OUTPUT: np.ones((1, 1))}
        for block in reversed(network.hidden):
            # of each neuron at each point, or (size, 1) where states do not matter
            jumps, *others = (
                network[reader].weights[block.name].T @ slopes[reader]
                for reader in network.successors[block.name]
            )
            for other in others:
                jumps = jumps + other
            z = self._z[block.name]
            if block.is_relu:
                down = np.minimum.reduce(jumps, axis=1) < 0
                if np.count_nonzero(down):
                    sinking[block.name] = down
                    ends = np.minimum.reduce(z, axis=1), np.maximum.reduce(z, axis=1)
                    bends = bends or _some(down, *ends)
            if len(block.weights) > 1 or INPUT not in block.weights:  # something is in front of it
                slopes[block.name] = jumps * (z > 0) if block.is_relu else jumps
        return sinking, bends


def _some(units: BoolArray, low: FloatArray, high: FloatArray) -> bool:
    """Whether one of some units has 0 between its ends."""
    return bool(np.count_nonzero(units & (low < 0) & (high > 0)))
