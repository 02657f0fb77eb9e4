"""The nodes of a graph that matter, in an order in which they can be computed."""

from __future__ import annotations

from typing import Any

import networkx as nx

from jensen.loaders.symbolic import LoweringError


def needed_nodes(graph: Any) -> list[Any]:
    """Return the nodes that an output depends on, each behind those that it reads.

    The format asks for this order; runtimes sort nodes that come without it. Of several
    nodes that are ready the first of the file comes first.

    Raises
    ------
    LoweringError
        If nodes read each other in a circle.
    """
    maker = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    order = nx.DiGraph()
    waiting = [maker[info.name] for info in graph.output if info.name in maker]
    while waiting:
        number = waiting.pop()
        if number in order and "seen" in order.nodes[number]:
            continue
        order.add_node(number, seen=True)
        sources = [maker[name] for name in graph.node[number].input if name in maker]
        order.add_edges_from((source, number) for source in sources)
        waiting.extend(sources)
    try:
        return [graph.node[k] for k in nx.lexicographical_topological_sort(order)]
    except nx.NetworkXUnfeasible:
        raise LoweringError("nodes of the graph read each other in a circle") from None
