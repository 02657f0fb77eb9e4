"""The nodes of a graph in their order: what may read what, and a copy of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from jensen.errors import NetworkError
from jensen.graphs.convolution import Convolution
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT, OUTPUT
from jensen.text import shown


def check_order(input_size: int, nodes: Sequence[GraphNode]) -> None:
    """Check that nodes read what comes before them, in the right sizes, and end in the output.

    Raises
    ------
    NetworkError
    """
    if input_size < 1:
        raise NetworkError(f"the network has {input_size} inputs: at least one is needed")
    if not nodes or nodes[-1].name != OUTPUT:
        raise NetworkError(f"the last node must be called {OUTPUT!r}")
    sizes = {INPUT: input_size}
    for node in nodes:
        if node.name in sizes:
            raise NetworkError(f"node {node.name!r}: there is another one of that name")
        for source, weight in node.weights.items():
            if source not in sizes:
                raise NetworkError(f"node {node.name!r} reads {source!r}, which no earlier node is")
            if tuple(weight.shape) != (node.rows, sizes[source]):
                raise NetworkError(
                    f"node {node.name!r}: weight from {source!r} has shape {tuple(weight.shape)}, "
                    f"needed is ({node.rows}, {shown(sizes[source])})"
                )
        sizes[node.name] = node.size


def with_copied_input(input_size: int, nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """Let convolutions read a copy of the input, of which fixed entries become constants."""
    name = "all_inputs"
    while name in {node.name for node in nodes}:
        name += "_"
    copied = []
    for node in nodes:
        if isinstance(node.weights.get(INPUT), Convolution):
            weights = {name if s == INPUT else s: w for s, w in node.weights.items()}
            copied.append(replace(node, weights=weights))
        else:
            copied.append(node)
    if not any(name in node.weights for node in copied):
        return copied
    eye = sp.csr_array(sp.eye_array(input_size))
    return [GraphNode(name, {INPUT: eye}, np.zeros(input_size)), *copied]
