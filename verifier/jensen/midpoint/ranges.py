"""Tighter ranges of pre-activations, by a short search per neuron and side.

Backward linear bounds are far from the truth behind the first layer, and every relaxation
over the network inherits that: a few nodes per neuron halve its first gap. The bounds come
from :class:`~jensen.midpoint.tree.SignTree`, so they hold in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jensen.midpoint.columns import single_columns
from jensen.midpoint.linked import SINGLE, LinkedNetwork, Objective, SafeDual
from jensen.midpoint.relaxation import LinearRelaxation
from jensen.midpoint.tree import SignTree, TreeOptions
from jensen.network.relu_network import INPUT
from jensen.types import FloatArray
from jensen_encodings import LayerData, NetworkData
from jensen_encodings.deadline import NEVER, Deadline

TOGETHER = 4  # nodes that are branched on at a time
LP_NEURONS = 250  # free neurons in front of a layer beyond which it is left as it is


class _Best:
    """The largest value of a neuron at the points seen."""

    def __init__(self, evaluate: Callable[[FloatArray], FloatArray]) -> None:
        self._evaluate = evaluate
        self.value = -np.inf

    def offer(self, bases: FloatArray) -> None:
        """Look at points: (points, 1, inputs)."""
        self.value = max(self.value, float(self._evaluate(bases[:, 0]).max()))


@dataclass(frozen=True)
class Effort:
    """How hard to try: nodes per neuron and side, and the share of its range to aim at."""

    nodes: int
    gap: float


QUICK, THOROUGH = Effort(100, 0.005), Effort(400, 0.002)


def tightened(data: NetworkData, effort: Effort = QUICK, deadline: Deadline = NEVER) -> NetworkData:
    """Return the same network with tighter bounds behind its first layer.

    Parameters
    ----------
    data : NetworkData
        With rigorous bounds.
    effort : Effort
    deadline : Deadline
        Neurons that are not reached by then keep their bounds.
    """
    layers = list(data.layers)
    for position, layer in enumerate(layers):
        if set(layer.weights) <= {INPUT} or not (layer.is_relu or position == len(layers) - 1):
            continue
        if deadline.over():
            break
        if not 0 < sum(len(front.unstable()) for front in layers[:position]) <= LP_NEURONS:
            continue
        search = _RangeSearch(data, layers[:position], layer, effort, deadline)
        lower, upper = layer.lower.copy(), layer.upper.copy()
        for index in range(layer.size):
            if layer.is_relu and not (lower[index] < 0 < upper[index]):
                continue
            if deadline.over():
                break
            upper[index] = min(upper[index], search.largest(index, 1.0))
            lower[index] = max(lower[index], -search.largest(index, -1.0))
        layers[position] = replace(layer, lower=np.minimum(lower, upper), upper=upper)
    return NetworkData(data.input_lower, data.input_upper, tuple(layers))


class _RangeSearch:
    """The searches of one layer; they share their linear program."""

    def __init__(
        self,
        data: NetworkData,
        front: list[LayerData],
        layer: LayerData,
        effort: Effort,
        deadline: Deadline,
    ) -> None:
        self._data, self._front, self._layer = data, front, layer
        self._effort, self._deadline = effort, deadline
        self._linked = LinkedNetwork(data.input_lower, data.input_upper, front, SINGLE)
        self._columns = single_columns(self._linked)
        nothing = SafeDual(self._linked, self._columns, Objective({}, 0.0))
        self._relaxation = LinearRelaxation(nothing)

    def largest(self, index: int, sign: float) -> float:
        """Return a proved upper bound of ``sign * z``."""
        layer = self._layer
        objective = Objective.of_row(layer, index, np.array([sign]))
        self._relaxation.change_objective(objective)
        width = float(layer.upper[index] - layer.lower[index])
        options = TreeOptions(
            deadline=self._deadline,
            relative_gap=0.0,
            absolute_gap=self._effort.gap * width,
            node_limit=self._effort.nodes,
            together=TOGETHER,
        )
        best = _Best(lambda points: sign * self._values(points, index))
        dual = SafeDual(self._linked, self._columns, objective)
        tree = SignTree(dual, self._relaxation, best, options)
        tree.run()
        return tree.upper

    def _values(self, points: FloatArray, index: int) -> FloatArray:
        values = {INPUT: np.clip(points, self._data.input_lower, self._data.input_upper)}
        for layer in self._front:
            z = layer.bias + sum((w @ values[s].T).T for s, w in layer.weights.items())
            values[layer.name] = np.maximum(z, 0.0) if layer.is_relu else z
        rows = self._layer.weights.items()
        total = sum((w[[index]] @ values[s].T)[0] for s, w in rows)
        return np.asarray(self._layer.bias[index] + total)
