"""A network as a linear function of its output weights (docs/repair.md).

With the hidden layers kept, ``f(x) = w phi(x) + c x + b``, where phi are the hidden units
that the output reads and w their output weights. A pair of points with midpoint m asks of
every convex choice of w that ``row @ w >= 0``,

    row = (phi(x) + phi(y)) / 2 - phi(m).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point


@dataclass(frozen=True, eq=False)
class Features:
    """The hidden units that the output of a scalar network reads."""

    network: ReluNetwork

    @cached_property
    def sources(self) -> tuple[Block, ...]:
        """The blocks that the output reads, the input left out."""
        return tuple(self.network[name] for name in self.network.output.weights if name != INPUT)

    @cached_property
    def weights(self) -> FloatArray:
        """The output weights w of these units, side by side."""
        parts = [self._dense(block.name) for block in self.sources]
        return np.concatenate(parts) if parts else np.empty(0)

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return phi: (n, inputs) -> (n, units)."""
        z = self.network.pre_activations(points)
        parts = [
            np.maximum(z[block.name], 0.0) if block.is_relu else z[block.name]
            for block in self.sources
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(points), 0))

    def exact(self, point: Sequence[Fraction]) -> list[Fraction]:
        """Return phi at one point, in rational arithmetic."""
        z = self.network.exact_pre_activations(point)
        found: list[Fraction] = []
        for block in self.sources:
            values = z[block.name].to_fractions()
            found += [max(v, Fraction(0)) for v in values] if block.is_relu else values
        return found

    def exact_row(self, x: Point, y: Point) -> list[Fraction]:
        """Return what a pair of points asks of the output weights, in rational arithmetic."""
        middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
        at_x, at_y, at_middle = (self.exact(point) for point in (x, y, middle))
        return [(a + b) / 2 - m for a, b, m in zip(at_x, at_y, at_middle, strict=True)]

    def with_weights(self, weights: FloatArray) -> ReluNetwork:
        """Return the network under other output weights.

        Parameters
        ----------
        weights : array (units,), or (units + 1,) with the output's bias behind them
        """
        units = len(self.weights)
        edges = dict(self.network.output.weights) | self._edges(weights)
        bias = weights[units:].copy() if len(weights) > units else self.network.output.bias
        return self._rebuilt(replace(self.network.output, weights=edges, bias=bias))

    def combination(self, weights: FloatArray) -> ReluNetwork:
        """Return ``weights @ phi`` as a network."""
        output = Block(OUTPUT, self._edges(weights), np.zeros(1), Activation.IDENTITY)
        return self._rebuilt(output)

    def _edges(self, weights: FloatArray) -> dict[str, Matrix]:
        edges: dict[str, Matrix] = {}
        start = 0
        for block in self.sources:
            edges[block.name] = weights[None, start : start + block.size].copy()
            start += block.size
        return edges

    def _rebuilt(self, output: Block) -> ReluNetwork:
        whole = self.network
        return ReluNetwork(
            whole.input_size,
            [*whole.hidden, output],
            input_shape=whole.input_shape,
            output_shape=whole.output_shape,
            roundings=whole.roundings,
        )

    def _dense(self, source: str) -> FloatArray:
        weight = self.network.output.weights[source]
        row = weight.toarray() if hasattr(weight, "toarray") else weight
        dense: FloatArray = np.asarray(row, dtype=np.float64)[0]
        return dense
