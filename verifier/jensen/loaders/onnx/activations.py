"""ONNX activations and comparisons that are piecewise linear."""

from __future__ import annotations

from math import copysign, inf, prod

import numpy as np

from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.piecewise import absolute, clip, extremum, leaky_relu
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, constant

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@operator("Relu")
def relu(node: OnnxNode) -> SymbolicTensor:
    """Return ``max(x, 0)``."""
    return node.lowering.relu(node.tensor(0))


@operator("ThresholdedRelu")
def thresholded(node: OnnxNode) -> SymbolicTensor:
    """Return x where it is above ``alpha``, else 0: the ReLU if ``alpha`` is 0."""
    alpha = node.number("alpha", 1.0)
    if alpha:
        raise LoweringError(f"alpha {alpha:g}: the values jump unless alpha is 0")
    return node.lowering.relu(node.tensor(0))


@operator("LeakyRelu")
def leaky(node: OnnxNode) -> SymbolicTensor:
    """Return x or ``alpha x``."""
    x = node.tensor(0)
    return leaky_relu(node.lowering, x, np.full(x.size, node.number("alpha", 0.01)))


@operator("PRelu")
def parametric(node: OnnxNode) -> SymbolicTensor:
    """Return x or ``slope x`` with constant slopes, which are broadcast to x."""
    x, slopes = node.tensor(0), node.numbers(1)
    try:
        flat = np.broadcast_to(slopes, x.shape).ravel()
    except ValueError:
        raise LoweringError(f"slopes {slopes.shape} do not broadcast to {x.shape}") from None
    return leaky_relu(node.lowering, x, flat)


@operator("Abs")
def magnitude(node: OnnxNode) -> SymbolicTensor:
    """Return ``|x|``."""
    return absolute(node.lowering, node.tensor(0))


@operator("Sign")
def sign(node: OnnxNode) -> SymbolicTensor:
    """Return signs; only a Where at which nothing jumps may read them."""
    return node.lowering.sign(node.tensor(0))


@operator("Clip")
def clip_to_bounds(node: OnnxNode) -> SymbolicTensor:
    """Return x between constant bounds."""
    if node.opset < 11:
        low, high = node.number("min", -_FLOAT32_MAX), node.number("max", _FLOAT32_MAX)
        low = -inf if low <= -_FLOAT32_MAX else low
        high = inf if high >= _FLOAT32_MAX else high
    else:
        low = _bound(node, 1) if node.has(1) else -inf
        high = _bound(node, 2) if node.has(2) else inf
    if low > high and node.opset >= 13:
        low = high  # that the upper bound wins is defined since then
    return clip(node.lowering, node.tensor(0), low, high)


def _bound(node: OnnxNode, position: int) -> float:
    """Return a bound; one at the end of its number type's range binds nothing."""
    value = node.numbers(position, finite=False)
    if prod(value.shape) != 1:
        raise LoweringError(f"a bound of shape {value.shape}; a number is needed")
    bound = float(value.reshape(()))
    dtype = node.array(position).dtype
    largest = float(np.finfo(dtype).max) if dtype.kind == "f" else inf
    return copysign(inf, bound) if abs(bound) >= largest else bound


@operator("HardSigmoid")
def hard_sigmoid(node: OnnxNode) -> SymbolicTensor:
    """Return ``alpha x + beta`` between 0 and 1."""
    low, x = node.lowering, node.tensor(0)
    scaled = low.scale(x, np.full(x.size, node.number("alpha", 0.2)))
    return clip(low, low.add(scaled, constant(node.number("beta", 0.5))), 0.0, 1.0)


@operator("Shrink")
def shrink(node: OnnxNode) -> SymbolicTensor:
    """Return x moved towards 0 by ``lambd``, at most to 0: PyTorch's Softshrink."""
    by, bias = node.number("lambd", 0.5), node.number("bias", 0.0)
    if not by == bias >= 0:
        raise LoweringError(
            f"lambd {by:g}, bias {bias:g}: the values jump unless both are one number >= 0"
        )
    low, x = node.lowering, node.tensor(0)
    above = low.relu(low.add(x, constant(-by)))
    below = low.relu(low.add(low.scale(x, np.full(x.size, -1.0)), constant(-by)))
    return low.add(above, low.scale(below, np.full(x.size, -1.0)))


@operator("Max")
def maximum(node: OnnxNode) -> SymbolicTensor:
    """Return the elementwise maximum, with broadcasting."""
    return extremum(node.lowering, node.tensors(), largest=True)


@operator("Min")
def minimum(node: OnnxNode) -> SymbolicTensor:
    """Return the elementwise minimum, with broadcasting."""
    return extremum(node.lowering, node.tensors(), largest=False)
