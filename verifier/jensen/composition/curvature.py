"""Disciplined convex programming on a graph: the curvature of every value from its structure.

Each value is known to be constant in the moving inputs, convex in them, concave in them, or
neither of these is known. Affine is both. The rules are those of the field (Grant, Boyd, Ye 2006),
with monotonicity and curvature of a function asked on the proved interval of its argument only
(docs/smooth.md). Signs of weights are those of the stored doubles, so nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jensen.graphs.enclosures import Enclosures, reaches, signs
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import RULES, Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT
from jensen.types import BoolArray, FloatArray, Interval


@dataclass(frozen=True, eq=False)
class Curvature:
    """What is known of values, elementwise.

    Attributes
    ----------
    constant, convex, concave : bool arrays
        In the moving inputs, for any value of the others. What is constant is convex and
        concave as well.
    """

    constant: BoolArray
    convex: BoolArray
    concave: BoolArray

    @property
    def affine(self) -> BoolArray:
        """Convex and concave."""
        return self.convex & self.concave

    def reshape(self, *shape: int) -> Curvature:
        """Return the same under another shape."""
        return Curvature(
            self.constant.reshape(shape), self.convex.reshape(shape), self.concave.reshape(shape)
        )


@dataclass(frozen=True, eq=False)
class Composition:
    """The curvature of every pre-activation and every value of a graph.

    Attributes
    ----------
    pre_activations, values : mapping from node name to Curvature
    undefined : tuple of (node name, row)
        Where a function may have no value at some point of the domain.
    """

    pre_activations: Mapping[str, Curvature]
    values: Mapping[str, Curvature]
    undefined: tuple[tuple[str, int], ...]


Improve = Callable[[GraphNode, Curvature, Mapping[str, Curvature]], Curvature]


@dataclass(frozen=True, eq=False)
class Compound:
    """What is known of a node's values together with the nodes that it reads.

    Attributes
    ----------
    convex, concave, defined : bool arrays
    """

    convex: BoolArray
    concave: BoolArray
    defined: BoolArray


Look = Callable[[FunctionGraph, GraphNode, Mapping[str, Curvature], Enclosures], Compound | None]


def compose(
    graph: FunctionGraph,
    bounds: Enclosures,
    moving: BoolArray,
    improve: Improve | None = None,
    look: Look | None = None,
) -> Composition:
    """Apply the rules from the input to the output.

    Parameters
    ----------
    graph : FunctionGraph
    bounds : Enclosures
        Of the graph on the domain.
    moving : bool array (inputs,)
        Inputs in which curvature is asked; the others count as constants.
    improve : callable (node, curvature of its rows, curvature of values) -> curvature, optional
        What else shows rows to be convex or concave (:mod:`jensen.composition.quadratic`).
    look : callable, optional
        What sees values together with what they are made of (:mod:`jensen.composition.compound`).
    """
    yes = np.ones(graph.input_size, dtype=bool)
    values = {INPUT: Curvature(~moving, yes, yes)}
    received: dict[str, Curvature] = {}
    undefined: list[tuple[str, int]] = []
    for node in graph.nodes:
        z = affine_curvature(node, values)
        if improve is not None:
            z = improve(node, z, values)
        received[node.name] = z
        known, defined = _applied(node, z, bounds.pre_activations[node.name])
        whole = None if look is None else look(graph, node, received, bounds)
        if whole is not None:
            convex, concave = known.convex | whole.convex, known.concave | whole.concave
            known, defined = Curvature(known.constant, convex, concave), defined | whole.defined
        values[node.name] = known
        if not defined.all():
            undefined.append((node.name, int(np.flatnonzero(~defined)[0])))
    return Composition(received, values, tuple(undefined))


def affine_curvature(node: GraphNode, values: Mapping[str, Curvature]) -> Curvature:
    """Return the curvature of a weighted sum: positive weights keep it, negative ones flip it."""
    moves, bends_down, bends_up = (np.zeros(node.rows, dtype=bool) for _ in range(3))
    for source, weight in node.weights.items():
        given = values[source]
        positive, negative = signs(weight)
        moves |= reaches(positive, ~given.constant) | reaches(negative, ~given.constant)
        bends_down |= reaches(positive, ~given.convex) | reaches(negative, ~given.concave)
        bends_up |= reaches(positive, ~given.concave) | reaches(negative, ~given.convex)
    return Curvature(~moves, ~bends_down, ~bends_up)


def _applied(node: GraphNode, z: Curvature, bounds: Interval) -> tuple[Curvature, BoolArray]:
    """Return the curvature of a node's values, and where they exist."""
    shape_of = RULES[node.function].shape
    if shape_of is None:  # of several arguments
        shape = (node.size, node.group)
        lower, upper = (side.reshape(shape) for side in bounds)
        rule = _GROUP_RULES[node.function]
        return rule(z.reshape(*shape), lower, upper), np.ones(node.size, dtype=bool)
    known = shape_of(*bounds, node.parameter)
    convex = known.convex & (
        z.affine | (known.nondecreasing & z.convex) | (known.nonincreasing & z.concave)
    )
    concave = known.concave & (
        z.affine | (known.nondecreasing & z.concave) | (known.nonincreasing & z.convex)
    )
    constant = z.constant
    return Curvature(constant, convex | constant, concave | constant), known.defined


def _all(flags: BoolArray) -> BoolArray:
    """Return which groups are flagged as a whole."""
    return np.asarray(flags.all(axis=-1))


def _log_sum_exp(z: Curvature, lower: FloatArray, upper: FloatArray) -> Curvature:
    """Convex, and nondecreasing in every argument."""
    constant = _all(z.constant)
    single = _all(z.concave) & (z.convex.shape[-1] == 1)
    return Curvature(constant, _all(z.convex), constant | single)


def _norm(z: Curvature, lower: FloatArray, upper: FloatArray) -> Curvature:
    """Convex; nondecreasing in arguments >= 0, nonincreasing in those <= 0."""
    constant = _all(z.constant)
    fits = z.affine | (z.convex & (lower >= 0)) | (z.concave & (upper <= 0))
    return Curvature(constant, _all(fits), constant)


def _product(z: Curvature, lower: FloatArray, upper: FloatArray) -> Curvature:
    """Linear in either factor: one that is constant in the moving inputs acts as a weight."""
    constant = _all(z.constant)
    convex, concave = constant.copy(), constant.copy()
    for factor, other in ((0, 1), (1, 0)):
        fixed = z.constant[:, factor]
        plus, minus = fixed & (lower[:, factor] >= 0), fixed & (upper[:, factor] <= 0)
        up, down = z.convex[:, other], z.concave[:, other]
        convex |= (plus & up) | (minus & down) | (fixed & up & down)
        concave |= (plus & down) | (minus & up) | (fixed & up & down)
    return Curvature(constant, convex, concave)


_GROUP_RULES = {
    Function.LOG_SUM_EXP: _log_sum_exp,
    Function.NORM: _norm,
    Function.PRODUCT: _product,
}
