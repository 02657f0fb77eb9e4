"""Search for pairs with a large midpoint violation, by the piecewise-linear structure.

Under fixed activation patterns at x, y and m the violation is linear in (x, y), and the
patterns are linear inequalities: a linear program finds the best pair of the cell. From
there the search goes on into the cell behind. Nothing found here is a proof; the caller
evaluates pairs exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.midpoint.feasible import Feasible
from jensen.midpoint.linked import PAIR, PAIR_WEIGHTS, DenseLayer, LinkedNetwork, Objective
from jensen.network.relu_network import INPUT
from jensen.types import FloatArray
from jensen_encodings import NetworkData
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpResult, LpSolver, LpStatus

Pair = tuple[FloatArray, FloatArray]
MAX_CELLS = 60
# beyond which the program of one cell, or dense weights, take too long
CELL_NUMBERS, DENSE_NUMBERS = 1e7, 2e7
# large networks are searched from fewer pairs, so that these come to some steps in time
SPEED = 5e8  # multiply-adds in a second
LEAST_STEPS, STEP_PASSES = 8, 9  # steps; passes through the network for a pair in each


@dataclass(frozen=True, eq=False)
class Cell:
    """The violation on one cell: ``slope @ (x, y) + offset`` where ``signs z >= 0``.

    Attributes
    ----------
    slope : array (2 inputs,)
    offset : float
    rows, limits : arrays
        ``rows @ (x, y) <= limits``: one row per neuron and copy, and those of a polyhedron.
        The box goes without saying.
    """

    slope: FloatArray
    offset: float
    rows: FloatArray
    limits: FloatArray


class PairSearch:
    """Ascent over pairs of the box of one network.

    Parameters
    ----------
    data : NetworkData
    deadline : Deadline
    feasible : Feasible, optional
        Where both points lie; the box of the data by default.
    """

    def __init__(
        self, data: NetworkData, deadline: Deadline = NEVER, feasible: Feasible | None = None
    ) -> None:
        self._data = data
        self._feasible = feasible or Feasible.box(data.input_lower, data.input_upper)
        self._objective = Objective.of_row(data.output, 0, PAIR_WEIGHTS)
        self._is_relu = {layer.name: layer.is_relu for layer in data.layers}
        self._solver = LpSolver(deadline)
        self._lower = np.tile(data.input_lower, 2)
        self._upper = np.tile(data.input_upper, 2)

    @cached_property
    def _linked(self) -> LinkedNetwork:
        data = self._data
        return LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)

    def _affordable(self, pairs: int, deadline: Deadline) -> int:
        """Return how many pairs can take some steps in time."""
        if deadline.at == np.inf:
            return pairs
        entries = sum(w.nnz for layer in self._data.layers for w in layer.csr.values())
        most = SPEED * deadline.left() / (LEAST_STEPS * STEP_PASSES * max(1, entries))
        return int(min(pairs, max(2, most)))

    @cached_property
    def _dense_numbers(self) -> int:
        return sum(
            layer.size * w.shape[1] for layer in self._data.layers for w in layer.csr.values()
        )

    def violation(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """Evaluate in floating point: (pairs, inputs) twice -> (pairs,)."""
        x, y, m = self._data.evaluate(np.concatenate([X, Y, (X + Y) / 2])).reshape(3, -1)
        return np.asarray(m - (x + y) / 2)

    def random_ascent(
        self, pairs: int, steps: int, rng: np.random.Generator, deadline: Deadline = NEVER
    ) -> Pair:
        """Return pairs after a projected subgradient ascent from random ones, best first.

        In networks whose dense weights are too many these are the random ones.
        """
        pairs = self._affordable(pairs, deadline)
        if self._dense_numbers > DENSE_NUMBERS:
            steps = 0
        low, high = self._data.input_lower, self._data.input_upper
        shares = rng.random((pairs, len(self._lower)))
        P = self._lower + (self._upper - self._lower) * shares
        # sides that are longer than the largest double
        P = np.where(np.isfinite(P), P, self._lower * (1 - shares) + self._upper * shares)
        # half of the pairs start at corners, where the worst ones often are
        corners = rng.random(P.shape) < 0.5
        P[: pairs // 2] = np.where(corners, self._lower, self._upper)[: pairs // 2]
        P = self._into(P)
        n = self._data.input_size
        best, best_value = P.copy(), self.violation(P[:, :n], P[:, n:])
        width = np.tile(high - low, 2)
        for step in range(steps):
            if deadline.over():
                break
            gradient = self._gradient(P)
            size = np.abs(gradient * width).max(axis=1, keepdims=True)
            move = gradient * width**2 / np.maximum(size, 1e-300)
            P = self._into(P + (0.3 * 0.97**step) * move)
            value = self.violation(P[:, :n], P[:, n:])
            better = value > best_value
            best[better], best_value[better] = P[better], value[better]
        order = np.argsort(-best_value)
        return best[order, :n], best[order, n:]

    def climb(
        self, x: FloatArray, y: FloatArray, deadline: Deadline = NEVER
    ) -> tuple[FloatArray, FloatArray, float]:
        """Follow linear programs from cell to cell; return the best pair and its value.

        In networks so large that one program takes long that is the pair itself.
        """
        n = self._data.input_size
        here = np.concatenate([x, y])
        best, best_value = here, float(self.violation(x[None], y[None])[0])
        ahead = here
        neurons = sum(layer.size for layer in self._data.layers[:-1])
        for _ in range(MAX_CELLS if 6 * n * neurons <= CELL_NUMBERS else 0):
            if deadline.over():
                break
            cell = self.cell(self.pattern(ahead))
            found = self.solve(cell)
            if found.status is not LpStatus.OPTIMAL:
                break
            point = self._into(found.x[None])[0]
            value = float(self.violation(point[None, :n], point[None, n:])[0])
            if value <= best_value + 1e-12 * (1 + abs(best_value)):
                break
            # a little further in the same direction lies the next cell
            ahead = self._into((point + 1e-6 * (point - best))[None])[0]
            best, best_value = point, value
        return best[:n], best[n:], best_value

    def _into(self, pairs: FloatArray) -> FloatArray:
        """Move both points of pairs (pairs, 2 inputs) to where they may be."""
        return self._feasible.into(pairs.reshape(2 * len(pairs), -1)).reshape(len(pairs), -1)

    def pattern(self, pair: FloatArray) -> NDArray[np.bool_]:
        """Return the activations (neurons, 3) at x, y and m; affine neurons count as on."""
        n = self._data.input_size
        points = np.stack([pair[:n], pair[n:], (pair[:n] + pair[n:]) / 2])
        z = self._data.evaluate_layers(points)
        on = np.zeros((self._linked.neurons, 3), dtype=bool)
        for layer in self._linked.layers:
            on[layer.span] = (z[layer.name].T > 0) | (not self._is_relu[layer.name])
        return on

    def solve(self, cell: Cell) -> LpResult:
        """Maximise the violation over a cell."""
        equality = np.zeros(len(cell.rows), dtype=bool)
        box = self._lower, self._upper
        return self._solver.maximise(cell.slope, cell.rows, cell.limits, equality, box)

    def cell(self, on: NDArray[np.bool_]) -> Cell:
        """Return the cell of full patterns at x, y and m."""
        linked, n = self._linked, self._data.input_size
        matrix = np.zeros((linked.neurons, 3, 2, n))
        limit = np.zeros((linked.neurons, 3))
        slope, offset = np.zeros((2, n)), self._objective.constant
        for k, shares in enumerate(PAIR):
            # forms in the point itself, which is shares[0] x + shares[1] y
            values: dict[str, tuple[Any, FloatArray]] = {INPUT: (sp.eye_array(n), np.zeros(n))}
            for layer in linked.layers:
                rows, constant = _form(layer, values)
                if self._is_relu[layer.name]:
                    active = on[layer.span, k]
                    sign = np.where(active, 1.0, -1.0)
                    matrix[layer.span, k] = (
                        np.multiply.outer(-sign, shares)[..., None] * rows[:, None]
                    )
                    limit[layer.span, k] = sign * constant
                    rows, constant = rows * active[:, None], constant * active
                values[layer.name] = rows, constant
            for source, prices in self._objective.prices.items():
                slope = slope + np.outer(shares, prices[:, k] @ values[source][0])
                offset += float(prices[:, k] @ values[source][1])
        A, b = self._feasible.A, self._feasible.b
        both = np.asarray(np.kron(np.eye(2), A), dtype=np.float64)
        every = np.concatenate([matrix.reshape(-1, 2 * n), both])
        return Cell(slope.reshape(-1), offset, every, np.concatenate([limit.reshape(-1), b, b]))

    def _gradient(self, P: FloatArray) -> FloatArray:
        """Return the gradient of the violation in (x, y): (pairs, 2 inputs)."""
        linked, n = self._linked, self._data.input_size
        X, Y = P[:, :n], P[:, n:]
        v = np.zeros((len(P), linked.neurons, 3))
        z = [self._data.evaluate_layers(points) for points in (X, Y, (X + Y) / 2)]
        for layer in reversed(linked.layers):
            slope = linked.collect(v, layer.name, self._objective)
            if self._is_relu[layer.name]:
                slope = slope * (np.stack([part[layer.name] for part in z], axis=-1) > 0)
            v[:, layer.span] = slope
        q = linked.collect(v, INPUT, self._objective)
        return np.asarray((q @ PAIR).transpose(0, 2, 1).reshape(len(P), 2 * n))


def _form(layer: DenseLayer, values: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    rows: Any = sum(weight @ values[source][0] for source, weight in layer.weights.items())
    constant = layer.bias + sum(w @ values[source][1] for source, w in layer.weights.items())
    return rows, constant
