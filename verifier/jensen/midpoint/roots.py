"""Where a tree over signs begins: everywhere, or below nodes that cover what is looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jensen.midpoint.linked import Columns, LinkedNetwork
from jensen.network.relu_network import INPUT
from jensen.types import BoolArray, FloatArray

MIDDLE = 2  # the point m of a pair
FAVOUR = 10.0  # of signs at m behind the first level, which decide the jumps in front


@dataclass(frozen=True, eq=False)
class Roots:
    """The first nodes of a tree.

    Attributes
    ----------
    signs : int8 array (roots, free neurons, points)
        1 or -1 where a sign is fixed.
    allowed : bool array (roots, columns)
    favour : array (free neurons, points)
        Factors of what branching promises.
    """

    signs: NDArray[np.int8]
    allowed: BoolArray
    favour: FloatArray

    @classmethod
    def everywhere(cls, linked: LinkedNetwork, columns: Columns) -> Roots:
        """Return the one node without a fixed sign."""
        shape = (len(linked.free), linked.points)
        signs = np.zeros((1, *shape), dtype=np.int8)
        return cls(signs, np.ones((1, len(columns.own)), dtype=bool), np.ones(shape))

    @classmethod
    def of_pairs(cls, linked: LinkedNetwork, columns: Columns) -> Roots:
        """Return the node of all pairs."""
        return replace(cls.everywhere(linked, columns), favour=favour_of_pairs(linked))


def favour_of_pairs(linked: LinkedNetwork) -> FloatArray:
    """Return the factors of what branching promises, (free neurons, 3)."""
    reads_inputs = np.zeros(linked.neurons, dtype=bool)
    for layer in linked.layers:
        reads_inputs[layer.span] = set(layer.weights) <= {INPUT}
    favour = np.ones((len(linked.free), linked.points))
    favour[~reads_inputs[linked.free], MIDDLE] = FAVOUR
    return favour
