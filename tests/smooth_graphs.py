"""Random graphs with smooth functions, and an oracle of 200 bits that shares no code with them."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np

from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode

BITS = 200
TAME = (
    Function.IDENTITY,
    Function.RELU,
    Function.SOFTPLUS,
    Function.ELU,
    Function.CELU,
    Function.SIGMOID,
    Function.TANH,
    Function.ERF,
    Function.GELU,
    Function.SILU,
    Function.POWER,
    Function.LOG_SUM_EXP,
    Function.NORM,
    Function.PRODUCT,
)
WILD = (*TAME, Function.EXP, Function.LOG, Function.SQRT, Function.RECIPROCAL)


def random_graph(rng: np.random.Generator, *, functions=WILD, inputs=None) -> FunctionGraph:
    """Return a graph of one output, of which about half are convex by composition."""
    inputs = int(rng.integers(1, 4)) if inputs is None else inputs
    signs = rng.choice(["convex", "mixed", "one wrong"])
    sizes, nodes = {"input": inputs}, []
    for k in range(rng.integers(1, 4)):
        function = Function(str(rng.choice([str(f) for f in functions])))
        group = {Function.PRODUCT: 2}.get(function, 1)
        if function in {Function.LOG_SUM_EXP, Function.NORM}:
            group = int(rng.integers(1, 4))
        size = int(rng.integers(1, 4))
        weights = {}
        for source, width in sizes.items():
            if source == "input" or rng.random() < 0.7:
                w = _numbers(rng, (size * group, width))
                weights[source] = w if source == "input" or signs == "mixed" else np.abs(w)
        parameter = 1.0
        if function is Function.POWER:
            parameter = float(rng.choice([2, 2, 3, 4]))
        elif function in {Function.ELU, Function.CELU}:
            parameter = float(rng.choice([0.5, 1.0, 2.0]))
        bias = _numbers(rng, size * group)
        if function in {Function.LOG, Function.SQRT, Function.RECIPROCAL}:
            bias = bias + float(rng.choice([0.0, 4.0, 40.0]))
        name = f"n{k}"
        nodes.append(GraphNode(name, weights, bias, function, parameter, group))
        sizes[name] = size
    weights = {s: _numbers(rng, (1, width)) for s, width in sizes.items()}
    if signs != "mixed":
        weights = {s: w if s == "input" else np.abs(w) for s, w in weights.items()}
    if signs == "one wrong":
        weights[nodes[-1].name][0, 0] *= -1
    return FunctionGraph(inputs, [*nodes, GraphNode("output", weights, _numbers(rng, 1))])


def _numbers(rng: np.random.Generator, shape) -> np.ndarray:
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(-2, 3, shape).astype(float)  # zeros, twins
    if kind == 1:
        return rng.normal(size=shape) * (rng.random(shape) < 0.5)
    return rng.normal(size=shape)


def oracle(graph: FunctionGraph, x, bits=BITS) -> flint.arb:
    """Return the one output at a rational point, as a ball of so many bits."""
    with flint.ctx.workprec(bits):
        values = {"input": [_ball(v) for v in x]}
        for node in graph.nodes:
            z = []
            for row in range(node.rows):
                total = _ball(node.bias[row])
                for source, weight in node.weights.items():
                    dense = weight if isinstance(weight, np.ndarray) else weight.toarray()
                    for w, h in zip(dense[row], values[source], strict=True):
                        total += _ball(w) * h
                z.append(total)
            groups = [z[i : i + node.group] for i in range(0, len(z), node.group)]
            values[node.name] = [_textbook(node.function, node.parameter, g) for g in groups]
        return values["output"][0]


def _ball(v) -> flint.arb:
    v = Fraction(v)
    return flint.arb(flint.fmpq(v.numerator, v.denominator))


def _textbook(function: Function, parameter: float, z: list) -> flint.arb:
    (x, *rest), one, p = z, flint.arb(1), flint.arb(parameter)
    half_sum = (x + abs(x)) / 2
    match function:
        case Function.IDENTITY:
            return x
        case Function.RELU:
            return half_sum
        case Function.SOFTPLUS:
            return half_sum + (one + (-abs(x)).exp()).log()
        case Function.ELU:
            return half_sum + p * (((x - abs(x)) / 2).exp() - 1)
        case Function.CELU:
            return half_sum + p * (((x - abs(x)) / 2 / p).exp() - 1)
        case Function.EXP:
            return x.exp()
        case Function.LOG:
            return x.log()
        case Function.SQRT:
            return x.sqrt()
        case Function.POWER:
            return x ** int(parameter)
        case Function.RECIPROCAL:
            return one / x
        case Function.SIGMOID:
            return (one + (x / 2).tanh()) / 2
        case Function.TANH:
            return x.tanh()
        case Function.ERF:
            return x.erf()
        case Function.GELU:
            return x * (one + (x / flint.arb(2).sqrt()).erf()) / 2
        case Function.SILU:
            return x * (one + (x / 2).tanh()) / 2
        case Function.LOG_SUM_EXP:
            top = max(z, key=lambda v: float(v.mid()))
            return top + sum(((v - top).exp() for v in z), flint.arb(0)).log()
        case Function.NORM:
            return sum((v * v for v in z), flint.arb(0)).nonnegative_part().sqrt()
    return x * rest[0]


def oracle_violation(graph: FunctionGraph, x, y) -> flint.arb:
    """Return ``f((x + y) / 2) - (f(x) + f(y)) / 2`` as a ball of 200 bits.

    Of 2,000 where 200 do not even show the sign: a function of a function may be 1e300 large.
    """
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    for bits in (BITS, 10 * BITS):
        with flint.ctx.workprec(bits):
            fx, fy, fm = (oracle(graph, point, bits) for point in (x, y, middle))
            violation = fm - (fx + fy) / 2
        if violation > 0 or violation < 0:
            break
    return violation


def difference_quotient(function: Function, parameter: float, x, order: int) -> flint.arb:
    """Return the first or second derivative at a rational point that is no kink, to 30 digits."""
    with flint.ctx.workprec(2 * BITS):
        step = flint.arb(2) ** -80
        below, at, above = (
            _textbook(function, parameter, [_ball(x) + k * step]) for k in (-1, 0, 1)
        )
        return (above - below) / (2 * step) if order == 1 else (above - 2 * at + below) / step**2
