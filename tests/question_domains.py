"""Domains to ask about."""

from __future__ import annotations

import numpy as np

from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork


def domains_of(seed: int, network: ReluNetwork) -> list[Domain]:
    """R^n, a box, and now and then a polyhedron, bounded or not, through the origin or not."""
    rng = np.random.default_rng([seed, 1])
    found: list[Domain] = [Everywhere(), Box(-1, 1)]
    if seed % 3 == 0:
        d = network.input_size
        rows = rng.integers(-1, 2, (int(rng.integers(1, d + 3)), d)).astype(float)
        found.append(Polyhedron(rows, rng.integers(0, 3, len(rows)) / 2 + (seed % 2) / 4))
    return found
