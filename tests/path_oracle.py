"""Path sums by brute force: every path of single neurons, in rationals."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import networkx as nx

from jensen.network.relu_network import OUTPUT, ReluNetwork


def neuron_path_sums(network: ReluNetwork, block: str, pattern) -> list[list[Fraction]]:
    """J of every neuron of a block, for every output."""
    graph = nx.DiGraph()
    for node in network.blocks:
        for source, weight in node.weights.items():
            for row, column in product(range(node.size), range(network.size_of(source))):
                graph.add_edge(
                    (source, column), (node.name, row), weight=Fraction(float(weight[row, column]))
                )
    result = []
    for out in range(network.output_size):
        sums = []
        for index in range(network.size_of(block)):
            total = Fraction(0)
            for path in nx.all_simple_paths(graph, (block, index), (OUTPUT, out)):
                share = Fraction(1)
                for edge in nx.utils.pairwise(path):
                    share *= graph.edges[edge]["weight"]
                for name, neuron in path[1:-1]:
                    share *= int(network.mask(network[name], pattern)[neuron])
                total += share
            sums.append(total)
        result.append(sums)
    return result
