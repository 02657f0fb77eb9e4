"""Stacks of random networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from jensen.network.stack import NetworkStack


def random_stack(count: int, *widths: int, seed: int = 0, scale: float = 1.0) -> NetworkStack:
    rng = np.random.default_rng(seed)
    shapes = [(count, out, into) for into, out in pairwise(widths)]
    return NetworkStack(
        [scale * rng.normal(size=shape) for shape in shapes],
        [scale * rng.normal(size=shape[:2]) for shape in shapes],
    )
