"""Lower bounds of the Hessian of a graph on many boxes at once (docs/smooth.md).

    f'' = sum over nodes k of  (df / dh_k) phi_k''(z_k) (dz_k/dx)(dz_k/dx)'

Every factor is enclosed on a box: values forwards, gradients forwards, sensitivities backwards.
Kinks are limits of smooth functions, whose second derivatives have no bound on the side to which
they bend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import rounding_factor
from jensen.composition.batches import (
    TINY,
    Ball,
    Weight,
    as_ball,
    dense,
    interval_product,
    interval_sum,
    outward,
    summed,
)
from jensen.graphs.derivatives import derivatives
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT, OUTPUT
from jensen.types import BoolArray, FloatArray, Interval

MOST_PRODUCTS = 1 << 29  # of one box: all matrices are written out, times all inputs


@dataclass(frozen=True, eq=False)
class BoxesJudged:
    """What is known of the Hessian on every box.

    Attributes
    ----------
    proved : bool array (boxes,)
        It is positive semidefinite in the moving inputs, everywhere in the box.
    matrix : array (boxes, moving, moving)
        Near a lower bound of it, in floating point.
    influence : array (boxes, inputs)
        How much each input makes the factors vary.
    """

    proved: BoolArray
    matrix: FloatArray
    influence: FloatArray


class HessianBound:
    """Encloses the Hessian of a graph.

    Parameters
    ----------
    graph : FunctionGraph
        With one output, and :meth:`fits`.
    moving : bool array (inputs,)
    constant : mapping from node name to bool array (rows,)
        Which pre-activations do not depend on the moving inputs.

    Attributes
    ----------
    moving : int array
        The moving inputs that the graph reads.
    """

    def __init__(
        self, graph: FunctionGraph, moving: BoolArray, constant: Mapping[str, BoolArray]
    ) -> None:
        self._graph, self._constant = graph, constant
        # an input that is not read adds a row of zeros, which is semidefinite and not definite
        read = [np.abs(n.weights[INPUT]).sum(axis=0) for n in graph.nodes if INPUT in n.weights]
        self.moving = np.flatnonzero(moving & (np.sum(read, axis=0) > 0))
        self._weights = {
            node.name: {source: Weight(dense(w)) for source, w in node.weights.items()}
            for node in graph.nodes
        }

    @staticmethod
    def fits(graph: FunctionGraph) -> bool:
        """Whether the gradients on one box take less than about a second."""
        if graph.has_convolutions:
            return False
        shapes = [weight.shape for node in graph.nodes for weight in node.weights.values()]
        entries = sum(rows * columns for rows, columns in shapes)
        return bool(entries * graph.input_size <= MOST_PRODUCTS)

    def judge(self, lower: FloatArray, upper: FloatArray) -> BoxesJudged:
        """Bound the Hessian from below on boxes, with sides (boxes, inputs)."""
        with np.errstate(all="ignore"):  # what is no number proves nothing
            return self._judge(lower, upper)

    def _judge(self, lower: FloatArray, upper: FloatArray) -> BoxesJudged:
        received, slopes, gradients = self._forwards(lower, upper)
        adjoint = self._backwards(received, slopes)
        count, n, m = len(lower), lower.shape[1], len(self.moving)
        matrix, error = np.zeros((count, m, m)), np.zeros((count, m, m))
        convex = np.ones(count, dtype=bool)
        influence = np.zeros((count, n))
        rounding = rounding_factor(len(self._graph.nodes) + sum(n.rows for n in self._graph.nodes))
        for node in self._graph.nodes:
            if node.function is Function.IDENTITY:
                continue
            least = adjoint[node.name]
            size = np.maximum(np.abs(least[0]), np.abs(least[1]))
            for factor, ball in self._terms(node, least, received[node.name], gradients[node.name]):
                reach = np.abs(ball.centre) + ball.radius
                weight = size if size.shape == factor.shape else np.ones_like(factor)
                influence += (np.nan_to_num(weight)[:, None, :] @ np.nan_to_num(reach))[:, 0]
                convex &= (factor >= 0).all(axis=1)
                centre, radius = (part[:, :, self.moving] for part in (ball.centre, ball.radius))
                radius = radius + rounding * np.abs(centre)
                scaled = (factor[:, :, None] * centre).transpose(0, 2, 1)
                matrix += scaled @ centre
                mixed = np.abs(scaled) @ radius
                below = np.maximum(-factor, 0.0)[:, :, None] * radius
                error += mixed + mixed.transpose(0, 2, 1) + below.transpose(0, 2, 1) @ radius
        error = error * (1 + 8 * rounding) + TINY
        proved = convex | _definite(matrix, error)
        return BoxesJudged(proved, matrix, influence * (upper - lower))

    # ------------------------------------------------------------------ forwards

    def _forwards(
        self, lower: FloatArray, upper: FloatArray
    ) -> tuple[dict[str, Interval], dict[str, Interval], dict[str, Ball]]:
        """Return pre-activations, first derivatives of functions, gradients of pre-activations."""
        n = lower.shape[1]
        middle, half = as_ball(lower, upper)
        middle = np.clip(middle, lower, upper)
        eye = np.broadcast_to(np.eye(n), (1, n, n))
        values: dict[str, Interval] = {INPUT: (lower, upper)}
        at_middle: dict[str, Interval] = {INPUT: (middle, middle)}
        value_gradients: dict[str, Ball] = {INPUT: Ball(eye, np.zeros((1, n, n)))}
        received: dict[str, Interval] = {}
        slopes: dict[str, Interval] = {}
        gradients: dict[str, Ball] = {}
        for node in self._graph.nodes:
            weights = self._weights[node.name]
            gradient = _gradient(node, weights, value_gradients)
            gradients[node.name] = gradient
            low, high = _affine(node.bias, weights, values)
            near = _affine(node.bias, weights, at_middle)
            # the mean value theorem: at most so far from the value in the middle
            reach = np.abs(gradient.centre) + gradient.radius
            far = (1 + 4 * rounding_factor(n)) * (reach @ half[:, :, None])[:, :, 0] + TINY
            around = outward(near[0] - far, near[1] + far)
            low, high = np.fmax(low, around[0]), np.fmin(high, around[1])
            received[node.name] = low, high
            values[node.name] = node.enclosure((low, high))
            at_middle[node.name] = node.enclosure(near)
            slopes[node.name] = _slopes(node, low, high)
            if node.name != OUTPUT:
                inner = gradient.times(slopes[node.name])
                value_gradients[node.name] = summed(inner, node.group)
        return received, slopes, gradients

    # ----------------------------------------------------------------- backwards

    def _backwards(
        self, received: Mapping[str, Interval], slopes: Mapping[str, Interval]
    ) -> dict[str, Interval]:
        """Return the derivatives of the output by every node's values."""
        count = len(received[OUTPUT][0])
        ones = np.ones((count, 1))
        found: dict[str, Interval] = {OUTPUT: (ones, ones)}
        for node in reversed(self._graph.nodes):
            if node.name not in found:
                zeros = np.zeros((count, node.size))
                found[node.name] = zeros, zeros
            outer = tuple(np.repeat(side, node.group, axis=1) for side in found[node.name])
            inner = interval_product((outer[0], outer[1]), slopes[node.name])
            for source, weight in self._weights[node.name].items():
                if source != INPUT:
                    more = weight.transposed.of_interval(inner)
                    before = found.get(source)
                    found[source] = more if before is None else interval_sum(before, more)
        return found

    # --------------------------------------------------------------------- terms

    def _terms(
        self, node: GraphNode, outer: Interval, z: Interval, gradient: Ball
    ) -> list[tuple[FloatArray, Ball]]:
        """Return least factors, and gradients, whose squares add up to a node's part."""
        constant = self._constant[node.name]
        still = constant[None, :, None]
        gradient = Ball(
            np.where(still, 0.0, gradient.centre), np.where(still, 0.0, gradient.radius)
        )
        if not node.reduces:
            bounds = derivatives(node.function, node.parameter, *z)
            assert bounds is not None
            factor = interval_product(outer, bounds[1])[0]
            return [(np.where(constant, 0.0, factor), gradient)]
        size = (len(outer[0]), node.size, node.group)
        fixed = constant.reshape(node.size, node.group)
        if node.function is Function.PRODUCT:
            left, right = (Ball(gradient.centre[:, k::2], gradient.radius[:, k::2]) for k in (0, 1))
            # a b has the Hessian a'b + b'a = ((a + b)^2 - (a - b)^2) / 2, in gradients
            idle = fixed.any(axis=1)
            return [
                (np.where(idle, 0.0, outer[0] / 2), left.plus(right)),
                (np.where(idle, 0.0, -outer[1] / 2), left.plus(right, -1.0)),
            ]
        # convex, and at most the sum of squares: log-sum-exp; a norm bends without bound at 0
        down = np.minimum(outer[0], 0.0)
        if node.function is Function.NORM:
            down = np.where(down < 0, -np.inf, down)
        factor = np.broadcast_to(down[:, :, None], size).reshape(size[0], node.rows)
        return [(np.where(constant, 0.0, factor), gradient)]


def _affine(
    bias: FloatArray, weights: Mapping[str, Weight], values: Mapping[str, Interval]
) -> Interval:
    """Enclose the pre-activations of a node, (boxes, rows)."""
    count = len(values[INPUT][0])
    total: Interval = (np.tile(bias, (count, 1)),) * 2
    for source, weight in weights.items():
        total = interval_sum(total, weight.of_interval(values[source]))
    return total


def _gradient(
    node: GraphNode, weights: Mapping[str, Weight], gradients: Mapping[str, Ball]
) -> Ball:
    """Enclose the gradients of a node's pre-activations."""
    total: Ball | None = None
    for source, weight in weights.items():
        if source == INPUT:  # exactly
            part = Ball(weight.matrix[None], np.zeros((1, *weight.matrix.shape)))
        else:
            part = weight.of_gradient(gradients[source])
        total = part if total is None else total.plus(part)
    if total is None:
        inputs = gradients[INPUT].centre.shape[2]
        zeros = np.zeros((1, node.rows, inputs))
        return Ball(zeros, zeros)
    return total


def _slopes(node: GraphNode, lower: FloatArray, upper: FloatArray) -> Interval:
    """Enclose the derivatives of a node's values by its pre-activations, (boxes, rows)."""
    if not node.reduces:
        bounds = derivatives(node.function, node.parameter, lower, upper)
        assert bounds is not None
        return bounds[0]
    if node.function is Function.PRODUCT:
        swap = np.arange(node.rows).reshape(-1, 2)[:, ::-1].reshape(-1)
        return lower[:, swap], upper[:, swap]
    if node.function is Function.NORM:
        return np.where(lower >= 0, 0.0, -1.0), np.where(upper <= 0, 0.0, 1.0)
    low, high = node.grouped(lower), node.grouped(upper)
    top = high.max(axis=2, keepdims=True)
    low, high = np.exp(low - top), np.exp(high - top)
    least = low / high.sum(axis=2, keepdims=True) * (1 - 1e-10) - TINY
    most = high / low.sum(axis=2, keepdims=True) * (1 + 1e-10) + TINY
    shape = lower.shape
    return np.maximum(least, 0.0).reshape(shape), np.minimum(most, 1.0).reshape(shape)


def _definite(matrix: FloatArray, error: FloatArray) -> BoolArray:
    """Whether all symmetric matrices within ``error`` of a matrix, elementwise, are definite.

    For y > 0 such an error is at least ``-diag((error y) / y)``. What is left has a Cholesky
    factor in floating point, which shows that it is definite once its trace, times the rounding
    of one entry, is taken away.

    References
    ----------
    S. M. Rump, "Verification of positive definiteness", BIT 46, 2006.
    """
    count, n, _ = matrix.shape
    if not n:
        return np.ones(count, dtype=bool)
    y = np.ones((count, n))
    for _ in range(2):
        y = (error @ y[:, :, None])[:, :, 0]
        y = y / y.max(axis=1, keepdims=True) + 1e-3
    away = (error @ y[:, :, None])[:, :, 0] / y * (1 + 8 * rounding_factor(n))
    left = np.tril(matrix)
    diagonal = np.arange(n)
    left[:, diagonal, diagonal] -= away
    size = np.abs(left[:, diagonal, diagonal]).sum(axis=1, keepdims=True)
    left[:, diagonal, diagonal] -= 4 * rounding_factor(n + 4) * size + TINY
    definite: BoolArray = np.asarray(np.isfinite(left).all(axis=(1, 2)))
    for k in range(n):
        pivot = left[:, k, k]
        definite = definite & (pivot > 0)
        column = left[:, k + 1 :, k] / np.sqrt(np.where(pivot > 0, pivot, 1.0))[:, None]
        left[:, k + 1 :, k + 1 :] -= column[:, :, None] * column[:, None, :]
    return definite
