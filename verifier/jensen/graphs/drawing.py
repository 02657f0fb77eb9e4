"""A function graph as text: one line per node."""

from __future__ import annotations

from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.relu_network import ReluNetwork
from jensen.text import printable


def graph_lines(graph: FunctionGraph) -> list[str]:
    r"""Return a line per node: its name, its size, its function and what it reads.

    Examples
    --------
    >>> square = GraphNode("square", {"input": [[1.0]]}, [0.0], Function.POWER, 2)
    >>> graph = FunctionGraph(1, [square, GraphNode("output", {"square": [[3.0]]}, [1.0])])
    >>> print("\n".join(graph_lines(graph)))
    input   1
    square  1  power 2  of input
    output  1  affine   of square
    """
    rows = [("input", str(graph.input_size), "", "")]
    for node in graph.nodes:
        sources = ", ".join(printable(source) for source in node.weights)
        read = f"of {sources}" if sources else "constant"
        rows.append((printable(node.name), str(node.size), function_text(node), read))
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return [
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {kind:<{widths[2]}}  {read}".rstrip()
        for name, size, kind, read in rows
    ]


def relu_names(network: ReluNetwork | FunctionGraph) -> list[str]:
    """Return which blocks or nodes are ReLUs."""
    if isinstance(network, ReluNetwork):
        return [block.name for block in network.blocks if block.is_relu]
    return [node.name for node in network.nodes if node.function is Function.RELU]


def function_text(node: GraphNode) -> str:
    """Return a node's function with its parameter, in words."""
    if node.function is Function.IDENTITY:
        return "affine"
    if node.function in {Function.POWER, Function.ELU, Function.CELU}:
        return f"{node.function} {node.parameter:g}"
    return str(node.function)
