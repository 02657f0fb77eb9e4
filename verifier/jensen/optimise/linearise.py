"""Values and gradients of a network at many points, with error bounds that hold.

At a point x with activation pattern a, f is the affine function ``f^a(y) = g y + c`` in a
neighbourhood of x, if every pre-activation is away from 0. One forward and one backward
pass give ``f(x)``, g and c. Each is a sum of products along a chain of matrices; the
computed one differs from the real one by at most ``gamma_k`` times the same sum of absolute
values, k being the number of operations on the longest chain [Higham 2002, section 3.1], plus
what products lose that underflow. The same bound, for each pre-activation, tells whether its sign
is certain.

References
----------
N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, section 3.1.
docs/optimise.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.intervals import SUBNORMAL, rounding_factor
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork
from jensen.types import BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Linearisation:
    """What f is near each of N points: ``f(y) = gradient y + offset``.

    Attributes
    ----------
    value, value_error : arrays (N,)
        ``|value - f(x)| <= value_error``.
    gradient, gradient_error : arrays (N, inputs)
        Of the affine piece, the error side by side.
    offset, offset_error : arrays (N,)
    certain : bool array (N,)
        Whether the sign of every pre-activation is certain, so that the piece is the
        real one and all error bounds hold. Elsewhere only ``value`` and ``value_error`` do.
    pattern : mapping from ReLU block name to bool array (N, size)
    """

    value: FloatArray
    value_error: FloatArray
    gradient: FloatArray
    gradient_error: FloatArray
    offset: FloatArray
    offset_error: FloatArray
    certain: BoolArray
    pattern: dict[str, BoolArray]


@dataclass(frozen=True, eq=False)
class _Forward:
    value: FloatArray
    error: FloatArray
    on: dict[str, BoolArray]
    certain: BoolArray


class Lineariser:
    """Evaluates one output of a network at batches of points.

    Parameters
    ----------
    network : ReluNetwork
        With one output.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [1]])
    >>> found = Lineariser(net).at(np.array([[0.5], [-2.0], [0.0]]))
    >>> found.value, found.gradient[:2, 0], found.certain
    (array([1.5, 3. , 1. ]), array([ 1., -1.]), array([ True,  True, False]))
    """

    def __init__(self, network: ReluNetwork) -> None:
        self.network = network
        blocks = network.blocks
        self._names = [INPUT, *(block.name for block in blocks)]
        self._absolute = {b.name: {s: abs(w) for s, w in b.weights.items()} for b in blocks}
        self._filled = {
            b.name: {s: (w != 0).astype(np.float64) for s, w in b.weights.items()} for b in blocks
        }
        # additions and products on the longest chain up to a block, and all the way back
        reached = {INPUT: 0}
        for block in blocks:
            own = sum(_longest(weight, axis=1) + 2 for weight in block.weights.values())
            reached[block.name] = own + 2 + max(reached[source] for source in block.weights)
        back = 4 + sum(
            max(_longest(weight, axis=0), _longest(weight, axis=1)) + 4
            for block in blocks
            for weight in block.weights.values()
        )
        back += max(block.size for block in blocks)  # terms of slope @ bias
        self._factors = {name: rounding_factor(count) for name, count in reached.items()}
        self._factor = rounding_factor(back)
        loss = SUBNORMAL * (back + max(reached.values()))
        with np.errstate(over="ignore", invalid="ignore"):
            self._forward_loss = self._underflow_forward(loss)
            self._backward_loss = self._underflow_backward(loss)

    def values(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return f and a bound of its error at points (N, inputs)."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            forward = self._forward(X)
        return forward.value, forward.error

    def at(self, X: FloatArray) -> Linearisation:
        """Return f, and the affine piece around each point, at points (N, inputs)."""
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            forward = self._forward(X)
            return self._backward(forward)

    def _forward(self, X: FloatArray) -> _Forward:
        """Carry values, sums of absolute values and what moves at all through the blocks."""
        values: dict[str, FloatArray] = {INPUT: X}
        sizes: dict[str, FloatArray] = {INPUT: np.abs(X)}
        moving: dict[str, FloatArray] = {INPUT: np.ones_like(X)}
        on: dict[str, BoolArray] = {}
        certain = np.ones(len(X), dtype=bool)
        for block in self.network.blocks:
            z = np.broadcast_to(block.bias, (len(X), block.size)).copy()
            size = np.abs(z)
            for source, weight in block.weights.items():
                z += values[source] @ weight.T
                size += sizes[source] @ self._absolute[block.name][source].T
            error = self._factors[block.name] * size + self._forward_loss[block.name]
            if not block.is_relu:
                values[block.name], sizes[block.name] = z, size
                moving[block.name] = np.ones_like(z)
                continue
            on[block.name] = z > 0
            unsure = ~(np.abs(z) > error)
            if unsure.any():
                certain &= ~(unsure & ~self._frozen(block, moving)).any(axis=1)
            mask = on[block.name].astype(np.float64)
            values[block.name] = np.where(on[block.name], z, 0.0)
            # what may be on counts: relu moves an error on, and does not enlarge it
            sizes[block.name] = np.where(on[block.name] | unsure, size, 0.0)
            moving[block.name] = mask
        value = values[OUTPUT][:, 0]
        error = self._factors[OUTPUT] * sizes[OUTPUT][:, 0] + self._forward_loss[OUTPUT]
        finite = np.isfinite(value) & np.isfinite(error)
        return _Forward(value, np.where(finite, error, np.inf), on, certain & finite)

    def _backward(self, forward: _Forward) -> Linearisation:
        """Carry the slopes of f back to the inputs, under each point's pattern."""
        count = len(forward.value)
        slopes = {name: np.zeros((count, self.network.size_of(name))) for name in self._names}
        sizes = {name: np.zeros_like(slope) for name, slope in slopes.items()}
        slopes[OUTPUT][:] = sizes[OUTPUT][:] = 1.0
        offset, offset_size = np.zeros(count), np.zeros(count)
        for block in reversed(self.network.blocks):
            slope, size = slopes[block.name], sizes[block.name]
            if block.is_relu:
                slope, size = slope * forward.on[block.name], size * forward.on[block.name]
            offset += slope @ block.bias
            offset_size += size @ np.abs(block.bias)
            for source, weight in block.weights.items():
                slopes[source] += slope @ weight
                sizes[source] += size @ self._absolute[block.name][source]
        gradient_error = self._factor * sizes[INPUT] + self._backward_loss
        offset_error = self._factor * offset_size + self._backward_loss
        sound = np.isfinite(gradient_error).all(axis=1) & np.isfinite(offset_error)
        return Linearisation(
            forward.value,
            forward.error,
            slopes[INPUT],
            gradient_error,
            offset,
            offset_error,
            forward.certain & sound,
            forward.on,
        )

    def _frozen(self, block: Block, moving: dict[str, FloatArray]) -> BoolArray:
        """Whether neurons are 0 all around a point: no bias, and nothing that is on feeds them."""
        fed = sum(moving[s] @ filled.T for s, filled in self._filled[block.name].items())
        return np.asarray((fed == 0) & (block.bias == 0))

    def _underflow_forward(self, loss: float) -> dict[str, float]:
        """Bound what underflow adds to any z of each block: some per block, carried on."""
        reached = {INPUT: 0.0}
        for block in self.network.blocks:
            carried = sum(
                reached[source] * _largest_sum(weight, axis=1)
                for source, weight in self._absolute[block.name].items()
            )
            reached[block.name] = 2.0 * (carried + loss)
        return reached

    def _underflow_backward(self, loss: float) -> float:
        """Bound what underflow adds to any slope on the inputs, and to the offset."""
        reached = dict.fromkeys(self._names, 0.0)
        offset = 0.0
        for block in reversed(self.network.blocks):
            own = 2.0 * (reached[block.name] + loss)
            offset += own * (1.0 + float(np.abs(block.bias).sum()))
            for source, weight in self._absolute[block.name].items():
                reached[source] += own * (1.0 + _largest_sum(weight, axis=0))
        return 2.0 * (reached[INPUT] + offset + loss)


def _longest(matrix: Matrix, *, axis: int) -> int:
    """Return the largest number of non-zeros in a row (axis 1) or column (axis 0)."""
    return int(np.asarray((matrix != 0).sum(axis=axis)).max(initial=0))


def _largest_sum(matrix: Matrix, *, axis: int) -> float:
    return float(np.asarray(matrix.sum(axis=axis)).max(initial=0.0))
