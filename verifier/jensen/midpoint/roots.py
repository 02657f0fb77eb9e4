"""Where a tree over signs begins: everywhere, or below nodes that cover what is looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.midpoint.linked import Columns, LinkedNetwork
from jensen.types import BoolArray, FloatArray


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
