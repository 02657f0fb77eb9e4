"""Writing function graphs in the package's own ``.npz`` format (docs/npz-format.md)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

from jensen.arithmetic.exact import Matrix
from jensen.graphs.convolution import Convolution
from jensen.graphs.node import GraphNode
from jensen.network.npz_writer import stored_matrix, write_archive

GRAPH_FORMAT = "jensen-graph/1"


def write_graph(
    path: Path,
    nodes: Sequence[GraphNode],
    input_shape: Sequence[int],
    output_shape: Sequence[int],
) -> None:
    """Write a graph; the file is the same for the same graph.

    Parameters
    ----------
    path : Path
        Must end in ``.npz``.
    nodes : sequence of GraphNode
    input_shape, output_shape : sequences of int
    """
    arrays: dict[str, Any] = {}
    structure: list[dict[str, Any]] = []
    for i, node in enumerate(nodes):
        arrays[f"b{i}"] = node.bias
        edges = []
        for j, (source, weight) in enumerate(node.weights.items()):
            edge, parts = _stored(weight, f"w{i}_{j}")
            edges.append({"from": source} | edge)
            arrays |= parts
        entry = {"name": node.name, "function": str(node.function), "rows": node.rows}
        entry |= {"parameter": node.parameter.hex(), "group": node.group, "inputs": edges}
        structure.append(entry)
    header = {
        "format": GRAPH_FORMAT,
        "input_size": prod(input_shape),
        "input_shape": list(input_shape),
        "output_shape": list(output_shape),
        "nodes": structure,
    }
    write_archive(path, header, arrays)


def _stored(weight: Matrix | Convolution, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return how a weight is stored, and its arrays."""
    if isinstance(weight, Convolution):
        edge = {"storage": "filters", "positions": weight.positions, "groups": weight.groups}
        return edge, {f"{name}_filters": weight.weight, f"{name}_windows": weight.windows}
    storage, arrays = stored_matrix(weight, name)
    return {"storage": storage}, arrays
