"""The network on the cone over a domain (docs/theory.md, section 5)."""

from __future__ import annotations

import numpy as np

from jensen.network.relu_network import INPUT, Block, ReluNetwork


def lifted_network(network: ReluNetwork) -> ReluNetwork:
    """Return ``F(x, t) = t f(x / t)``: every bias becomes the weight on an extra input t."""
    inputs = network.input_size
    blocks = []
    for block in network.blocks:
        weights = dict(block.weights)
        first = np.zeros((block.size, inputs + 1))
        if INPUT in weights:
            weight = weights[INPUT]
            first[:, :inputs] = weight.toarray() if hasattr(weight, "toarray") else weight
        first[:, inputs] = block.bias
        weights[INPUT] = first
        blocks.append(Block(block.name, weights, np.zeros(block.size), block.activation))
    return ReluNetwork(inputs + 1, blocks)
