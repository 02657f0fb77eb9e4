"""ONNX operators with smooth functions, and products of values computed from the input."""

from __future__ import annotations

from math import pi, prod, sqrt

import numpy as np

from jensen.graphs.functions import MAX_POWER, Function
from jensen.loaders.onnx.node import OnnxNode, normal_axis, operator
from jensen.loaders.onnx.reductions import groups_of, weighted
from jensen.loaders.piecewise import clip
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, constant

_ELEMENTWISE = {
    "Softplus": Function.SOFTPLUS,
    "Exp": Function.EXP,
    "Log": Function.LOG,
    "Sqrt": Function.SQRT,
    "Sigmoid": Function.SIGMOID,
    "Tanh": Function.TANH,
    "Reciprocal": Function.RECIPROCAL,
    "Erf": Function.ERF,
}
_SELU_ALPHA, _SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


@operator(*_ELEMENTWISE)
def elementwise(node: OnnxNode) -> SymbolicTensor:
    """Apply a smooth function of one number."""
    return node.lowering.apply(node.tensor(0), _ELEMENTWISE[node.proto.op_type])


@operator("Elu")
def elu(node: OnnxNode) -> SymbolicTensor:
    """Return x, or ``alpha (exp(x) - 1)`` where x is negative."""
    return _elu(node, node.tensor(0), node.number("alpha", 1.0))


def _elu(node: OnnxNode, x: SymbolicTensor, alpha: float) -> SymbolicTensor:
    if alpha < 0:
        raise LoweringError(f"attribute 'alpha' is {alpha}; a number >= 0 is needed")
    return node.lowering.apply(x, Function.ELU, alpha)


@operator("Selu")
def selu(node: OnnxNode) -> SymbolicTensor:
    """Return ``gamma elu(x)``."""
    y = _elu(node, node.tensor(0), node.number("alpha", _SELU_ALPHA))
    return node.lowering.scale(y, np.full(y.size, node.number("gamma", _SELU_GAMMA)))


@operator("Celu")
def celu(node: OnnxNode) -> SymbolicTensor:
    """Return x, or ``alpha (exp(x / alpha) - 1)`` where x is negative."""
    alpha = node.number("alpha", 1.0)
    if alpha <= 0:
        raise LoweringError(f"attribute 'alpha' is {alpha}; a number > 0 is needed")
    return node.lowering.apply(node.tensor(0), Function.CELU, alpha)


@operator("Pow")
def power(node: OnnxNode) -> SymbolicTensor:
    """Raise to a constant power: 2, 3, ..., or 1, 1/2 and -1."""
    exponents = np.unique(node.numbers(1))
    if exponents.size != 1:
        raise LoweringError("one exponent for all numbers is supported")
    x, exponent = node.tensor(0), float(exponents[0])
    x = x.broadcast(np.broadcast_shapes(x.shape, node.numbers(1).shape))
    match exponent:
        case 1.0:
            return x
        case 0.5:
            return node.lowering.apply(x, Function.SQRT)
        case -1.0:
            return node.lowering.apply(x, Function.RECIPROCAL)
    if exponent != int(exponent) or not 2 <= exponent <= MAX_POWER:
        raise LoweringError(
            f"exponent {exponent:g}; supported are -1, 0.5 and whole numbers from 1 to {MAX_POWER}"
        )
    if exponent == 2:
        return node.lowering.square(x)
    return node.lowering.apply(x, Function.POWER, exponent)


@operator("ReduceSumSquare")
def sum_of_squares(node: OnnxNode) -> SymbolicTensor:
    """Add squares along axes."""
    return weighted(node, node.lowering.apply(node.tensor(0), Function.POWER, 2.0), mean=False)


@operator("ReduceL2")
def euclidean(node: OnnxNode) -> SymbolicTensor:
    """Return Euclidean lengths along axes."""
    return _reduced(node, Function.NORM)


@operator("ReduceLogSumExp")
def log_sum_exp(node: OnnxNode) -> SymbolicTensor:
    """Return ``log(sum(exp(x)))`` along axes."""
    return _reduced(node, Function.LOG_SUM_EXP)


@operator("ReduceLogSum")
def log_sum(node: OnnxNode) -> SymbolicTensor:
    """Return the logarithm of sums along axes."""
    return node.lowering.apply(weighted(node, node.tensor(0), mean=False), Function.LOG)


def _reduced(node: OnnxNode, function: Function) -> SymbolicTensor:
    x = node.tensor(0)
    groups = groups_of(node, x)
    if groups is None:  # of one number each
        groups = x.indices().reshape(-1, 1), x.shape
    positions, shape = groups
    found = node.lowering.apply(x.take(positions), function, group=positions.shape[1])
    return found.reshape(shape)


# ------------------------------------------------------------------- made of the others


@operator("Gelu")
def gelu(node: OnnxNode) -> SymbolicTensor:
    """Return ``x Phi(x)``, or what approximates it by a tanh."""
    low, x = node.lowering, node.tensor(0)
    if (kind := node.text("approximate", "none")) == "none":
        return low.apply(x, Function.GELU)
    if kind != "tanh":
        raise LoweringError(f"attribute 'approximate' is {kind!r}; supported are 'none', 'tanh'")
    low.roundings.append(f"{node.label}: sqrt(2 / pi) and 0.044715 were rounded to doubles")
    cubes = low.apply(x, Function.POWER, 3.0)
    inner = low.add(x, low.scale(cubes, np.full(x.size, 0.044715)))
    gate = low.apply(low.scale(inner, np.full(x.size, sqrt(2 / pi))), Function.TANH)
    half = low.scale(low.add(gate, constant(1.0)), np.full(x.size, 0.5))
    return low.product(x, half)


@operator("Swish")
def swish(node: OnnxNode) -> SymbolicTensor:
    """Return ``x sigmoid(alpha x)``."""
    low, x = node.lowering, node.tensor(0)
    scaled = low.scale(x, np.full(x.size, node.number("alpha", 1.0)))
    return low.product(x, low.apply(scaled, Function.SIGMOID))


@operator("Mish")
def mish(node: OnnxNode) -> SymbolicTensor:
    """Return ``x tanh(softplus(x))``."""
    low, x = node.lowering, node.tensor(0)
    return low.product(x, low.apply(low.apply(x, Function.SOFTPLUS), Function.TANH))


@operator("HardSwish")
def hard_swish(node: OnnxNode) -> SymbolicTensor:
    """Return ``x clip(x / 6 + 1 / 2, 0, 1)``."""
    low, x = node.lowering, node.tensor(0)
    low.roundings.append(f"{node.label}: 1/6 was rounded to a double")
    gate = low.add(low.scale(x, np.full(x.size, 1 / 6)), constant(0.5))
    return low.product(x, clip(low, gate, 0.0, 1.0))


@operator("Cosh", "Sinh")
def hyperbolic(node: OnnxNode) -> SymbolicTensor:
    """Return ``(exp(x) + exp(-x)) / 2``, or the difference for the sine."""
    low, x = node.lowering, node.tensor(0)
    sign = 0.5 if node.proto.op_type == "Cosh" else -0.5
    rising, falling = (low.apply(y, Function.EXP) for y in (x, low.negate(x)))
    return low.add(
        low.scale(rising, np.full(x.size, 0.5)), low.scale(falling, np.full(x.size, sign))
    )


@operator("LogSoftmax")
def log_softmax(node: OnnxNode) -> SymbolicTensor:
    """Return ``x - log(sum(exp(x)))`` along an axis, or behind one before opset 13."""
    return _log_softmax(node)


def _log_softmax(node: OnnxNode) -> SymbolicTensor:
    low, x = node.lowering, node.tensor(0)
    axis = normal_axis(node.integer("axis", -1 if node.opset >= 13 else 1), len(x.shape))
    positions = x.indices()
    if node.opset >= 13:
        positions = np.moveaxis(positions, axis, -1)
        positions = positions.reshape(-1, positions.shape[-1])
    else:
        positions = positions.reshape(prod(x.shape[:axis]), -1)
    rows, count = positions.shape
    sums = low.apply(x.take(positions), Function.LOG_SUM_EXP, group=count)
    row = np.empty(x.size, dtype=np.int64)
    row[positions.ravel()] = np.repeat(np.arange(rows), count)
    return low.subtract(x, sums.take(row.reshape(x.shape)))


@operator("Softmax")
def softmax(node: OnnxNode) -> SymbolicTensor:
    """Return ``exp(x - log(sum(exp(x))))`` along an axis, or behind one before opset 13."""
    return node.lowering.apply(_log_softmax(node), Function.EXP)
