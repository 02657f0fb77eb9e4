"""The layer graph as text: one line per block, skip edges as rails on the right."""

from __future__ import annotations

from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.text import printable

# the edges on one rail: (row of the source, rows of its readers in order)
_Rail = list[tuple[int, list[int]]]


def draw_layer_graph(network: ReluNetwork) -> list[str]:
    r"""Draw a layer graph.

    Blocks stand in topological order. An edge to the next block is the line
    between the two; every other edge runs on a rail to the right, one rail per
    source, with an arrow head at each block that reads it.

    Parameters
    ----------
    network : ReluNetwork

    Returns
    -------
    list of str
        Lines without their ends.

    Examples
    --------
    >>> import numpy as np
    >>> from jensen.network.relu_network import Activation, Block
    >>> one = np.ones((1, 1))
    >>> hidden = Block("relu_1", {"input": one}, np.zeros(1))
    >>> out = Block("output", {"relu_1": one, "input": one}, np.zeros(1), Activation.IDENTITY)
    >>> print("\n".join(draw_layer_graph(ReluNetwork(1, [hidden, out]))))
    input     1           ──┐
      │                     │
    relu_1    1  relu       │
      │                     │
    output    1  affine   ◄─┘
    """
    names = [INPUT, *(block.name for block in network.blocks)]
    row = {name: index for index, name in enumerate(names)}
    rails = _rails(network, row)
    shown = [printable(name) for name in names]
    widest = max(map(len, shown))
    digits = max(5, max(len(str(network.size_of(name))) for name in names) + 1)
    lines = []
    for index, name in enumerate(names):
        kind = "" if name == INPUT else _kind(network, name)
        label = f"{shown[index]:<{widest}}{network.size_of(name):>{digits}}  {kind:<6}   "
        lines.append((label + _row_of_rails(rails, index)).rstrip())
        if index + 1 < len(names):
            linked = name in network[names[index + 1]].weights
            gap = f"  {'│' if linked else ' '}".ljust(len(label))
            lines.append((gap + _between(rails, index)).rstrip())
    return lines


def _kind(network: ReluNetwork, name: str) -> str:
    return "relu" if network[name].is_relu and name != OUTPUT else "affine"


def _rails(network: ReluNetwork, row: dict[str, int]) -> list[_Rail]:
    """Lay every non-adjacent edge on a rail; a rail serves again once its edge has ended."""
    rails: list[_Rail] = []
    for name, start in row.items():
        ends = [row[reader] for reader in network.successors[name] if row[reader] > start + 1]
        if not ends:
            continue
        rail = next((rail for rail in rails if rail[-1][1][-1] < start), None)
        if rail is None:
            rail = []
            rails.append(rail)
        rail.append((start, sorted(ends)))
    return rails


def _row_of_rails(rails: list[_Rail], index: int) -> str:
    """Return the rails' part of one block's line: arrow heads and corners."""
    here = [_edge_at(rail, index) for rail in rails]
    touched = [edge is not None and (index == edge[0] or index in edge[1]) for edge in here]
    last = max((k for k, yes in enumerate(touched) if yes), default=-1)
    text = ""
    for k, edge in enumerate(here):
        before = k < last
        if edge is None:
            mark = "─" if before else " "
        elif index == edge[0]:
            mark = "┬" if before else "┐"
        elif index == edge[1][-1]:
            mark = "┴" if before else "┘"
        elif index in edge[1]:
            mark = "┼" if before else "┤"
        else:
            mark = "┼" if before else "│"
        text += ("──" if k <= last else "  ") + mark
    arrives = any(edge is not None and index in edge[1] for edge in here)
    return "◄" + text[1:] if arrives else text


def _between(rails: list[_Rail], index: int) -> str:
    """Return the rails' part of the line between two blocks."""
    edges = (_edge_at(rail, index) for rail in rails)
    return "".join("  │" if e is not None and index < e[1][-1] else "   " for e in edges)


def _edge_at(rail: _Rail, index: int) -> tuple[int, list[int]] | None:
    return next((edge for edge in rail if edge[0] <= index <= edge[1][-1]), None)
