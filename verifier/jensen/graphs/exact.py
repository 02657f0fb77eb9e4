"""Values of a graph that are proved: rational where they can be, in balls elsewhere.

A ball is a midpoint and a radius (Arb, F. Johansson 2017): what it encloses is true, whatever
the number of bits; more bits make it smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.rational import fraction, rational
from jensen.errors import NetworkError
from jensen.graphs.convolution import Convolution
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT, OUTPUT

Number = Any  # an fmpq or an arb


def exact_values(
    input_size: int, nodes: Sequence[GraphNode], x: Sequence[Fraction]
) -> tuple[Fraction, ...]:
    """Evaluate nodes at a rational point over the rationals.

    Raises
    ------
    NetworkError
        If a function has no rational value there.
    """
    _check_length(input_size, x)
    values = _evaluate(nodes, [rational(v) for v in x], rational, _rational_values)
    return tuple(fraction(v) for v in values)


def ball_values(
    input_size: int, nodes: Sequence[GraphNode], x: Sequence[Fraction], bits: int
) -> list[Any]:
    """Enclose the outputs at a rational point in balls computed with so many bits.

    Returns
    -------
    list of flint.arb
        Not finite where a function has no value, or where the bits do not show that it has.
    """
    _check_length(input_size, x)
    with flint.ctx.workprec(bits):
        return _evaluate(nodes, [flint.arb(rational(v)) for v in x], flint.arb, _ball_values)


def _check_length(input_size: int, x: Sequence[Fraction]) -> None:
    if len(x) != input_size:
        raise NetworkError(f"a point of {len(x)} numbers: need {input_size}")


def _evaluate(
    nodes: Sequence[GraphNode],
    x: list[Number],
    lift: Callable[[float], Number],
    apply: Callable[[GraphNode, list[Number]], list[Number]],
) -> list[Number]:
    values = {INPUT: x}
    for node in nodes:
        z = [lift(v) for v in node.bias.tolist()]
        for source, weight in node.weights.items():
            given = values[source]
            for row, column, w in zip(*_triples(weight), strict=True):
                z[row] += lift(w) * given[column]
        values[node.name] = apply(node, z)
    return values[OUTPUT]


def _triples(weight: Matrix | Convolution) -> tuple[list[int], list[int], list[float]]:
    if isinstance(weight, Convolution):
        weight = weight.to_csr()
    if sp.issparse(weight):
        entries = sp.coo_array(weight)
        rows, columns = entries.coords
        return rows.tolist(), columns.tolist(), entries.data.tolist()
    rows, columns = np.nonzero(weight)
    return rows.tolist(), columns.tolist(), weight[rows, columns].tolist()


def _groups(node: GraphNode, z: list[Number]) -> list[list[Number]]:
    return [z[i : i + node.group] for i in range(0, len(z), node.group)]


def _rational_values(node: GraphNode, z: list[Number]) -> list[Number]:
    match node.function:
        case Function.IDENTITY:
            return z
        case Function.RELU:
            return [max(v, rational(0)) for v in z]
        case Function.POWER:
            return [v ** int(node.parameter) for v in z]
        case Function.PRODUCT:
            return [a * b for a, b in _groups(node, z)]
        case Function.RECIPROCAL if all(z):
            return [1 / v for v in z]
    raise NetworkError(f"node {node.name!r} ({node.function}) has no rational value there")


def _ball_values(node: GraphNode, z: list[Number]) -> list[Number]:
    if node.reduces:
        reduce = _REDUCTIONS[node.function]
        return [reduce(part) for part in _groups(node, z)]
    apply = _BALLS[node.function]
    return [apply(v, node.parameter) for v in z]


def _positive_part(z: Any) -> Any:
    if z >= 0:
        return z
    return flint.arb(0) if z <= 0 else (z + abs(z)) / 2


def _softplus(z: Any) -> Any:
    # the second form keeps relative accuracy where exp(z) is small
    return z + (-z).exp().log1p() if z > 0 else z.exp().log1p()


def _elu(z: Any, alpha: float, scale: Any) -> Any:
    if z >= 0:
        return z
    below = flint.arb(alpha) * (z / scale).expm1()
    if z <= 0:
        return below
    # around 0: both pieces are increasing, and equal at 0
    low, high = z.lower(), z.upper()
    return (flint.arb(alpha) * (low / scale).expm1()).union(high)


def _square_root(z: Any) -> Any:
    # a ball around an exact 0 reaches below it; a negative argument has no root
    return z.sqrt() if z >= 0 else flint.arb.nan()


def _reciprocal(z: Any) -> Any:
    return flint.arb.nan() if z.contains(0) else 1 / z


_BALLS: dict[Function, Callable[[Any, float], Any]] = {
    Function.IDENTITY: lambda z, _: z,
    Function.RELU: lambda z, _: _positive_part(z),
    Function.SOFTPLUS: lambda z, _: _softplus(z),
    Function.ELU: lambda z, alpha: _elu(z, alpha, flint.arb(1)),
    Function.CELU: lambda z, alpha: _elu(z, alpha, flint.arb(alpha)),
    Function.EXP: lambda z, _: z.exp(),
    Function.LOG: lambda z, _: z.log() if z > 0 else flint.arb.nan(),
    Function.SQRT: lambda z, _: _square_root(z),
    Function.POWER: lambda z, exponent: z ** int(exponent),
    Function.RECIPROCAL: lambda z, _: _reciprocal(z),
    Function.SIGMOID: lambda z, _: 1 / (1 + (-z).exp()),
    Function.TANH: lambda z, _: z.tanh(),
    Function.ERF: lambda z, _: z.erf(),
    # the complement keeps relative accuracy where it is small
    Function.GELU: lambda z, _: z * (-z / flint.arb(2).sqrt()).erfc() / 2,
    Function.SILU: lambda z, _: z / (1 + (-z).exp()),
}


def _log_sum_exp(z: list[Any]) -> Any:
    top = max(z, key=lambda v: float(v.mid()))
    return top + sum(((v - top).exp() for v in z), flint.arb(0)).log()


def _norm(z: list[Any]) -> Any:
    total = sum((v * v for v in z), flint.arb(0))
    return total.nonnegative_part().sqrt()


_REDUCTIONS: dict[Function, Callable[[list[Any]], Any]] = {
    Function.LOG_SUM_EXP: _log_sum_exp,
    Function.NORM: _norm,
    Function.PRODUCT: lambda z: z[0] * z[1],
}


def ball_violation(fx: Any, fy: Any, fm: Any, bits: int) -> Any:
    """Return ``fm - (fx + fy) / 2`` in balls of so many bits."""
    with flint.ctx.workprec(bits):
        return fm - (fx + fy) / 2


def fraction_below(ball: Any) -> Fraction:
    """Return a rational number that is at most every number of a finite ball."""
    mantissa, exponent = ball.lower().man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
