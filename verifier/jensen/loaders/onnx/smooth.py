"""ONNX operators with smooth functions, and products of values computed from the input."""

from __future__ import annotations

import numpy as np

from jensen.graphs.functions import MAX_POWER, Function
from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.onnx.reductions import groups_of, weighted
from jensen.loaders.symbolic import LoweringError, SymbolicTensor

_ELEMENTWISE = {
    "Softplus": Function.SOFTPLUS,
    "Exp": Function.EXP,
    "Log": Function.LOG,
    "Sqrt": Function.SQRT,
    "Sigmoid": Function.SIGMOID,
    "Tanh": Function.TANH,
    "Reciprocal": Function.RECIPROCAL,
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
