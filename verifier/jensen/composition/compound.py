"""Functions that are convex as a whole though the rules see concave ones of convex ones.

``sqrt(sum w q^2 + c)`` is a norm, ``log(sum w exp(a) + c)`` a log-sum-exp, and
``log(w sigmoid(a))`` is ``log w - softplus(-a)``, where w > 0 and c >= 0 (docs/smooth.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.composition.curvature import Compound, Curvature
from jensen.graphs.enclosures import Enclosures, reaches, signs
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT
from jensen.types import BoolArray


def compound(
    graph: FunctionGraph,
    node: GraphNode,
    received: Mapping[str, Curvature],
    bounds: Enclosures,
) -> Compound | None:
    """Return what a square root or a logarithm is together with what it reads.

    Parameters
    ----------
    graph : FunctionGraph
    node : GraphNode
    received : mapping from node name to Curvature
        Of the pre-activations of earlier nodes.
    bounds : Enclosures
    """
    no = np.zeros(node.size, dtype=bool)
    if node.function is Function.SQRT:
        fits = {
            name: _square_fits(name, received[name], bounds)
            for name in _sources(graph, node, Function.POWER)
            if graph[name].parameter == 2
        }
        whole = _positive_sum(node, fits) & (node.bias >= 0)
        return Compound(whole, no, whole)
    if node.function is Function.LOG:
        exps = {name: received[name].convex for name in _sources(graph, node, Function.EXP)}
        some = _has_weight(node)
        convex = _positive_sum(node, exps) & (node.bias >= 0) & some
        sources = _sources(graph, node, Function.SIGMOID)
        concave = no
        if len(node.weights) == 1:
            sigmoids = {name: received[name].concave for name in sources}
            concave = _positive_sum(node, sigmoids) & (node.bias == 0) & _single(node)
        return Compound(convex, concave, convex | concave)
    return None


def _sources(graph: FunctionGraph, node: GraphNode, function: Function) -> list[str]:
    return [s for s in node.weights if s != INPUT and graph[s].function is function]


def _square_fits(name: str, z: Curvature, bounds: Enclosures) -> BoolArray:
    """Return whose magnitudes are convex: a norm may take them."""
    lower, upper = bounds.pre_activations[name]
    return z.affine | (z.convex & (lower >= 0)) | (z.concave & (upper <= 0))


def _positive_sum(node: GraphNode, fits: Mapping[str, BoolArray]) -> BoolArray:
    """Return which rows are sums, with weights >= 0, of values that fit."""
    wrong = np.zeros(node.rows, dtype=bool)
    for source, weight in node.weights.items():
        positive, negative = signs(weight)
        every = np.ones(weight.shape[1], dtype=bool)
        wrong |= reaches(negative, every)
        wrong |= reaches(positive, ~fits[source] if source in fits else every)
    return ~wrong


def _has_weight(node: GraphNode) -> BoolArray:
    """Return which rows have a weight > 0."""
    found = np.zeros(node.rows, dtype=bool)
    for weight in node.weights.values():
        positive, _ = signs(weight)
        found |= reaches(positive, np.ones(weight.shape[1], dtype=bool))
    return found


def _single(node: GraphNode) -> BoolArray:
    """Return which rows of a node with one source have exactly one weight, which is > 0."""
    (weight,) = node.weights.values()
    positive, _ = signs(weight)
    counts = np.asarray(positive @ np.ones(weight.shape[1], dtype=np.float32))
    single: BoolArray = counts == 1
    return single
