"""Seeded tiny networks, degenerate ones above all, for runs of thousands."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

Array = NDArray[np.float64]
Sampler = Callable[[np.random.Generator, int, int], tuple[Array, Array]]


def default_init(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """Uniform in ``+-1/sqrt(fan in)``, as PyTorch initialises, in float32 values."""
    bound = 1.0 / np.sqrt(columns)
    weight = rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)
    return weight.astype(float), rng.uniform(-bound, bound, rows).astype(np.float32).astype(float)


def ternary(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    weight = rng.integers(-1, 2, (rows, columns)).astype(float)
    return weight, rng.integers(-1, 2, rows).astype(float)


def zero_bias(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    return ternary(rng, rows, columns)[0], np.zeros(rows)


def sparse(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """30 % zeros, rows of zeros included."""
    weight, bias = default_init(rng, rows, columns)
    weight[rng.random(weight.shape) < 0.3] = 0.0
    bias[rng.random(rows) < 0.3] = 0.0
    return weight, bias


def twins(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """Rows repeated, negated and scaled by powers of two, so that they stay proportional."""
    weight, bias = (default_init, ternary)[rng.integers(2)](rng, rows, columns)
    for row in range(1, rows):
        if rng.random() < 0.6:
            twin = rng.integers(row)
            factor = rng.choice([1.0, -1.0, 2.0, -0.5])
            weight[row], bias[row] = factor * weight[twin], factor * bias[twin]
    return weight, bias


def scaled(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, Array]:
    """Rows and columns at scales from 1e-6 to 1e6."""
    weight, bias = (default_init, ternary)[rng.integers(2)](rng, rows, columns)
    scale = 10.0 ** rng.uniform(-6, 6, rows)
    return weight * scale[:, None], bias * scale * 10.0 ** rng.uniform(-6, 6)


SAMPLERS: dict[str, Sampler] = {
    "default": default_init,
    "ternary": ternary,
    "zero_bias": zero_bias,
    "sparse": sparse,
    "twins": twins,
    "scaled": scaled,
}


def tiny_network(seed: int, *, max_inputs: int = 3, budget: int = 10) -> tuple[str, ReluNetwork]:
    """Return (family, network) of a seed: 1 to 3 inputs, 1 to 4 hidden blocks.

    Half of the networks lean towards convexity (mostly non-negative weights behind the
    first block): otherwise nearly every deep one would be non-convex.
    """
    rng = np.random.default_rng(seed)
    family = list(SAMPLERS)[seed % len(SAMPLERS)]
    sample = SAMPLERS[family]
    inputs = int(rng.integers(1, max_inputs + 1))
    depth = int(rng.integers(1, 5))
    widths = [int(rng.integers(1, 5)) for _ in range(depth)]
    while sum(widths) > budget:
        widths[int(np.argmax(widths))] -= 1
    lean = rng.random() < 0.5
    skips = rng.random() < 0.5
    names = [INPUT]
    sizes = {INPUT: inputs}
    blocks = []
    for index, width in enumerate([*widths, 1]):
        name = OUTPUT if index == depth else f"relu_{index + 1}"
        sources = [names[-1]]
        if skips:
            sources += [n for n in names[:-1] if rng.random() < 0.4]
        weights = {}
        for source in sources:
            weight, bias = sample(rng, width, sizes[source])
            if lean and source != INPUT:
                flip = rng.random(weight.shape) < 0.12
                weight = np.where(flip, weight, np.abs(weight))
            weights[source] = weight
        activation = Activation.IDENTITY if index == depth else Activation.RELU
        blocks.append(Block(name, weights, bias, activation))
        names.append(name)
        sizes[name] = width
    return family, ReluNetwork(inputs, blocks)


def varied_network(seed: int) -> tuple[str, ReluNetwork]:
    """Return a tiny network in which blocks may be affine or leaky, and zeros many."""
    family, network = tiny_network(seed, budget=8)
    rng = np.random.default_rng([seed, 2])
    kinds = {block.name: rng.choice(["relu", "affine", "leaky"]) for block in network.hidden}
    blocks: list[Block] = []
    for block in network.blocks:
        weights = {}
        for source, dense in block.weights.items():
            thin = rng.random() < 0.3
            matrix = np.where(rng.random(dense.shape) < 0.5, 0.0, dense) if thin else dense
            kind = kinds.get(source)
            if kind == "leaky":  # s z + (1 - s) relu(z)
                share = rng.choice([0.25, -0.5, 2.0])
                weights[source] = (1 - share) * matrix
                weights[f"{source}_affine"] = share * matrix
            else:
                weights[source] = matrix
        affine = block.name == OUTPUT or kinds[block.name] == "affine"
        activation = Activation.IDENTITY if affine else Activation.RELU
        blocks.append(Block(block.name, weights, block.bias, activation))
        if kinds.get(block.name) == "leaky":
            name = f"{block.name}_affine"
            blocks.append(Block(name, weights, block.bias, Activation.IDENTITY))
    return f"{family}, {'-'.join(map(str, kinds.values()))}", ReluNetwork(
        network.input_size, blocks
    )


def nearly_convex(
    seed: int, sizes: list[int], family: str, negative: float = 0.15
) -> tuple[list[Array], list[Array]]:
    """Return weights and biases of layers in a row, few of those behind the first negative."""
    rng = np.random.default_rng([seed, *sizes])
    weights, biases = [], []
    for level, (before, width) in enumerate(pairwise(sizes)):
        weight, bias = SAMPLERS[family](rng, width, before)
        if level:
            weight = np.where(rng.random(weight.shape) < negative, weight, np.abs(weight))
        weights.append(np.asarray(weight, dtype=float))
        biases.append(np.asarray(bias, dtype=float))
    return weights, biases


def general(seed: int, sizes: tuple[int, ...]) -> ReluNetwork:
    """Return a network of weights without ties, nearly convex."""
    rng = np.random.default_rng([seed, *sizes])
    weights = [rng.normal(size=(b, a)) for a, b in pairwise((*sizes, 1))]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


def with_inputs_scaled(network: ReluNetwork, scale: float) -> ReluNetwork:
    """Return f(x / scale) of a network of dense layers in a row."""
    first, *others = network.blocks
    weights = [first.weights["input"] / scale]
    weights += [next(iter(block.weights.values())) for block in others]
    return ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])


def with_few_falling(
    rng: np.random.Generator, sizes: tuple[int, int, int]
) -> tuple[list[Array], list[Array]]:
    """Return two hidden levels whose output weights are positive but for the first one."""
    weights = [rng.normal(size=(b, a)) for a, b in pairwise((*sizes, 1))]
    weights[1] = np.abs(weights[1]) * np.where(rng.random(weights[1].shape) < 0.3, -0.3, 1.0)
    weights[2] = np.abs(weights[2])
    weights[2][0, 0] *= -0.5
    return weights, [rng.normal(size=len(w)) * 0.5 for w in weights]
