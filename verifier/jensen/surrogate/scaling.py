"""Powers of two that bring neurons, outputs and objectives near 1, where HiGHS's tolerances are.

These are absolute: 1e-7 for rows and reduced costs, and coefficients up to 1e-9 are taken for 0. A
function of size 1e-6 would be minimised up to its own size, and one of size 1e9 called infeasible.
A ReLU commutes with positive factors, and powers of two round nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from pyomo.repn import generate_standard_repn

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.powers import exponents_near
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.network.relu_network import INPUT, Block, ReluNetwork
from jensen.types import FloatArray, IntArray

FINE = 6  # exponents up to which sizes stay as they are
OFFSET = 20  # an output is taken for no smaller than 2 to minus this times its values
NOISE = 36  # sizes up to 2 to minus this times the terms may be rounding errors of 0
LARGEST = 45  # exponents of coefficients, which HiGHS takes up to 1e15
SMALLEST = 28  # of coefficients that are not yet taken for 0
LITTLE = 3  # an objective that varies by less than 2 to minus this is enlarged


def tamed(
    network: ReluNetwork, lower: FloatArray, upper: FloatArray
) -> tuple[ReluNetwork, list[int]]:
    """Return a network whose neurons are near 1 on a box, and k: f_i is 2^k_i times its output i.

    Parameters
    ----------
    network : ReluNetwork
    lower, upper : array (inputs,)

    Returns
    -------
    network : ReluNetwork
        The same one where numbers would leave the doubles.
    exponents : list of int
    """
    bounds = pre_activation_bounds(network, lower, upper)
    sizes = {name: np.maximum(np.abs(low), np.abs(high)) for name, (low, high) in bounds.items()}
    out = network.output.name
    low, high = bounds[out]
    sizes[out] = np.maximum(high - low, sizes[out] * 2.0**-OFFSET)
    terms = _terms(network, np.maximum(np.abs(lower), np.abs(upper)))
    sizes = {n: np.where(size > 2.0**-NOISE * terms[n], size, 0.0) for n, size in sizes.items()}
    exponents = {
        block.name: np.maximum(_exponents(sizes[block.name]), _least(block))
        for block in network.blocks
    }
    if not any(part.any() for part in exponents.values()):
        return network, [0] * network.output_size
    exponents[INPUT] = np.zeros(network.input_size, dtype=np.intp)
    scaled = _scaled(network, exponents)
    back = _scaled(scaled, {name: -part for name, part in exponents.items()})
    if not all(map(_same, network.blocks, back.blocks)):
        return network, [0] * network.output_size
    return scaled, [-int(e) for e in exponents[out]]


def _terms(network: ReluNetwork, inputs: FloatArray) -> dict[str, FloatArray]:
    """Return what the terms of neurons may add up to: rounding errors are relative to that."""
    found = {INPUT: inputs}
    for block in network.blocks:
        size = np.abs(block.bias)
        for source, weight in block.weights.items():
            size = size + abs(weight) @ found[source]
        found[block.name] = size
    return found


def sides_of_output(exponent: int) -> tuple[float, float]:
    """Return a and b: ``a t = b s`` says ``t = 2^exponent s``, in numbers that HiGHS takes.

    Examples
    --------
    >>> sides_of_output(-20), sides_of_output(40)
    ((1048576.0, 1.0), (9.5367431640625e-07, 1048576.0))
    """
    exponent = max(-LARGEST, min(exponent, SMALLEST + LARGEST))
    if exponent <= 0:
        return 2.0**-exponent, 1.0
    half = min((exponent + 1) // 2, SMALLEST)
    return 2.0**-half, 2.0 ** (exponent - half)


def objective_exponent(objective: Any, spreads: Mapping[int, float]) -> int:
    """Return k >= 0: the objective times 2^k varies by about 1 or more.

    Parameters
    ----------
    objective : pyomo Objective
        0 is returned for one that is not linear.
    spreads : mapping from ``id(variable)``
        By how much outputs of networks vary. Of other variables the bounds say it.
    """
    repn = generate_standard_repn(objective.expr, quadratic=False)
    if not repn.is_linear():
        return 0
    terms = zip(repn.linear_vars, repn.linear_coefs, strict=True)
    size = max((abs(float(c)) * _varies(v, spreads) for v, c in terms), default=0.0)
    if not 0 < size < 2.0**-LITTLE:
        return 0
    return min(-int(np.frexp(size)[1]), LARGEST)


def _varies(variable: Any, spreads: Mapping[int, float]) -> float:
    if id(variable) in spreads:
        return spreads[id(variable)]
    low, high = variable.bounds
    return 1.0 if low is None or high is None else float(high - low)


def _exponents(sizes: FloatArray) -> IntArray:
    """Return the powers of two that bring sizes to between 1/2 and 1; 0 where they are fine."""
    exponents: IntArray = -exponents_near(sizes).astype(np.intp)
    return np.where(np.abs(exponents) <= FINE, 0, exponents)


def _least(block: Block) -> IntArray:
    """Return the exponents from which on no weight of an input is taken for 0.

    Inputs are variables of the user and not scaled: on a wide box their weights would get small.
    """
    weight = block.weights.get(INPUT)
    if weight is None:
        return np.full(block.size, -np.iinfo(np.int32).max)
    size = np.abs(weight.toarray() if sp.issparse(weight) else weight)
    least = np.where(size > 0, size, np.inf).min(axis=1, initial=np.inf)
    room = np.where(least < np.inf, np.frexp(np.where(least < np.inf, least, 1.0))[1], 0)
    found: IntArray = np.minimum(0, -SMALLEST - room)
    return found


def _scaled(network: ReluNetwork, exponents: Mapping[str, IntArray]) -> ReluNetwork:
    blocks = []
    for block in network.blocks:
        own = exponents[block.name]
        weights = {
            source: _times(weight, own, -exponents[source])
            for source, weight in block.weights.items()
        }
        blocks.append(replace(block, weights=weights, bias=np.ldexp(block.bias, own)))
    return ReluNetwork(network.input_size, blocks)


def _times(weight: Matrix, rows: IntArray, columns: IntArray) -> Matrix:
    """Return a matrix with its rows and columns times powers of two."""
    if not sp.issparse(weight):
        return np.ldexp(weight, rows[:, None] + columns[None, :])
    exponents = np.repeat(rows, np.diff(weight.indptr)) + columns[weight.indices]
    parts = (np.ldexp(weight.data, exponents), weight.indices, weight.indptr)
    return sp.csr_array(parts, shape=weight.shape)


def _same(one: Block, other: Block) -> bool:
    """Whether two blocks have the same numbers, so that scaling has rounded none."""
    weights = [(weight, other.weights[source]) for source, weight in one.weights.items()]
    return bool((one.bias == other.bias).all()) and all(_equal(*pair) for pair in weights)


def _equal(one: Matrix, two: Matrix) -> bool:
    if sp.issparse(one):
        return bool((one != two).nnz == 0)
    return np.array_equal(one, two)
