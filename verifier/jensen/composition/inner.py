"""Rows that the rules leave open though they are piecewise linear: the exact provers decide them.

The argument of a softplus may be a network of ReLUs that is convex without being input-convex.
Such a row, and one that adds terms of known curvature to it, is asked of the provers of ReLU
networks, which know of quadratic forms as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy.sparse as sp

from jensen.composition.curvature import Curvature, Improve
from jensen.composition.quadratic import entries_of, is_quadratic
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT, OUTPUT

MOST_ROWS = 64  # of a node

Decide = Callable[[FunctionGraph, bool], bool]


class InnerRows:
    """Decides rows of a graph whose terms are piecewise linear or of known curvature.

    Parameters
    ----------
    graph : FunctionGraph
    improve : callable
        What is asked first (:mod:`jensen.composition.curvature`).
    decide : callable (graph of one output, whether concavity is asked) -> bool
        Whether a piecewise-linear function is proved to be convex, or concave.

    Attributes
    ----------
    used : set of str
        Nodes of which a row was proved in this way.
    """

    def __init__(self, graph: FunctionGraph, improve: Improve, decide: Decide) -> None:
        self._graph, self._first, self._decide = graph, improve, decide
        self._plain = _piecewise_linear(graph)
        self.used: set[str] = set()

    @property
    def may_help(self) -> bool:
        """Whether a node with another function, or the output, reads what has kinks."""
        return any(self._sources(node) for node in self._graph.nodes)

    def improve(self, node: GraphNode, z: Curvature, values: Mapping[str, Curvature]) -> Curvature:
        """Return the curvature of a node's rows, with what the provers say of open ones."""
        z = self._first(node, z, values)
        sources = self._sources(node)
        rows = np.flatnonzero(~z.convex & ~z.concave)
        if not sources or not 0 < len(rows) <= MOST_ROWS:
            return z
        convex, concave = z.convex.copy(), z.concave.copy()
        for row in rows.tolist():
            others = self._others(node, row, values, sources)
            for side, flags in enumerate((convex, concave)):
                if others[side] and self._decide(self._row(node, row, sources), bool(side)):
                    flags[row] = True
                    self.used.add(node.name)
                    break
        return Curvature(z.constant, convex, concave)

    def _sources(self, node: GraphNode) -> list[str]:
        """Return which of a node's sources are piecewise linear; none where it is so itself."""
        passes_on = node.function in {Function.IDENTITY, Function.RELU} and node.name != OUTPUT
        found = [s for s in node.weights if s in self._plain]
        return [] if passes_on or found in ([], [INPUT]) else found

    def _others(
        self, node: GraphNode, row: int, values: Mapping[str, Curvature], sources: list[str]
    ) -> tuple[bool, bool]:
        """Return whether all other terms of a row are convex, and concave."""
        convex = concave = True
        for source, weight in node.weights.items():
            if source in sources:
                continue
            given = values[source]
            for column, entry in entries_of(weight, row):
                convex &= bool((given.convex if entry > 0 else given.concave)[column])
                concave &= bool((given.concave if entry > 0 else given.convex)[column])
        return convex, concave

    def _row(self, node: GraphNode, row: int, sources: list[str]) -> FunctionGraph:
        weights = {s: sp.csr_array(node.weights[s])[[row], :] for s in sources}
        return self._graph.with_output(GraphNode(OUTPUT, weights, node.bias[[row]]))


def _piecewise_linear(graph: FunctionGraph) -> frozenset[str]:
    """Return the nodes that are ReLU networks of the inputs, or quadratic forms of these."""
    if graph.has_convolutions:
        return frozenset()
    found = {INPUT}
    for node in graph.nodes[:-1]:
        known = node.function in {Function.IDENTITY, Function.RELU} or is_quadratic(node)
        if known and found.issuperset(node.weights):
            found.add(node.name)
    return frozenset(found)
