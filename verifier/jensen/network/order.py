"""The layer graph: its order, who is reachable, its paths.

Networks mostly come with their blocks in order, which one pass sees. All else is asked of
networkx, which is loaded for it: it costs more than a small verification.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jensen.errors import NetworkError
from jensen.network.block import INPUT, OUTPUT, Block
from jensen.text import shown

if TYPE_CHECKING:
    import networkx as nx


def layer_graph(input_size: int, blocks: Iterable[Block]) -> nx.DiGraph:
    """Return the layer graph; every edge carries its matrix as ``weight``."""
    import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

    graph = nx.DiGraph()
    graph.add_node(INPUT, size=input_size)
    for block in blocks:
        graph.add_node(block.name, size=block.size, activation=str(block.activation))
    for block in blocks:
        for source, weight in block.weights.items():
            graph.add_edge(source, block.name, weight=weight)
    return graph


def in_order(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return blocks in topological order; of several that are ready the first given comes first.

    Every block names at least one source, and all sources exist.

    Raises
    ------
    NetworkError
        For a cycle, and for a block that is not on a path from the input to the output; it
        says which one.
    """
    if _is_in_order(blocks):
        return tuple(blocks)
    import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

    graph = layer_graph(0, blocks)
    rank = {INPUT: -1} | {block.name: i for i, block in enumerate(blocks)}
    try:
        order = list(nx.lexicographical_topological_sort(graph, key=rank.__getitem__))
    except nx.NetworkXUnfeasible:
        cycle = " -> ".join(str(edge[0]) for edge in nx.find_cycle(graph))
        raise NetworkError(f"the layer graph has a cycle: {cycle}") from None
    from_input, to_output = nx.descendants(graph, INPUT), nx.ancestors(graph, OUTPUT)
    for block in blocks:
        if block.name not in from_input:
            raise NetworkError(f"block {block.name!r} is unreachable: no path from the input")
        if block.name not in to_output and block.name != OUTPUT:
            raise NetworkError(f"block {block.name!r} is unreachable: no path to the output")
    if order[-1] != OUTPUT:
        raise NetworkError(f"block {OUTPUT!r} must not feed another block")
    by_name = {block.name: block for block in blocks}
    return tuple(by_name[name] for name in order if name != INPUT)


def by_depth(sources: Mapping[str, Collection[str]]) -> list[str]:
    """Return names in topological order, the longest way to each of them deciding.

    Parameters
    ----------
    sources : mapping from name to the names that it reads

    Examples
    --------
    >>> by_depth({"c": ["a", "b"], "b": ["a"], "d": ["a"], "a": []})
    ['a', 'b', 'd', 'c']
    """
    import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

    rank = {name: i for i, name in enumerate(sources)}
    graph = nx.DiGraph()
    for name, read in sources.items():
        graph.add_node(name)
        graph.add_edges_from((source, name) for source in sorted(read, key=rank.__getitem__))
    return [name for generation in nx.topological_generations(graph) for name in generation]


def _is_in_order(blocks: Sequence[Block]) -> bool:
    """Whether each block follows its sources, and all but the last, the output, are read.

    Then each one is on a path from the input to the output, by induction.
    """
    seen, read = {INPUT}, {OUTPUT}
    for block in blocks:
        if not seen.issuperset(block.weights):
            return False
        seen.add(block.name)
        read.update(block.weights)
    return blocks[-1].name == OUTPUT and read.issuperset(seen)


def paths_to_output(graph: nx.DiGraph, block: str) -> Iterator[tuple[str, ...]]:
    """Enumerate the paths of a layer graph from a block to the output.

    Raises
    ------
    NetworkError
        If there is no such block.
    """
    check_known(graph, block)
    if block == OUTPUT:
        return iter([(OUTPUT,)])
    import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

    return (tuple(path) for path in nx.all_simple_paths(graph, block, OUTPUT))


def path_count(graph: nx.DiGraph, block: str) -> int:
    """Return how many layer paths lead from a block to the output, without enumeration."""
    check_known(graph, block)
    import networkx as nx  # noqa: PLC0415  (loaded where a graph is walked)

    counts = {OUTPUT: 1}
    for name in reversed(list(nx.topological_sort(graph))):
        if name != OUTPUT:
            counts[name] = sum(counts[reader] for reader in graph.successors(name))
    return counts[block]


def check_known(graph: nx.DiGraph, block: str) -> None:
    """Raise :class:`NetworkError` if there is no such block."""
    if block not in graph:
        raise NetworkError(f"no block {shown(block)}; there are {', '.join(graph)}")
