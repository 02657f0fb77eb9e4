"""Changes that keep convexity keep the verdict. All arithmetic here is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fuzz import tiny_network
from questions import composed

import jensen
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

Change = Callable[[ReluNetwork, np.random.Generator], ReluNetwork]
SEEDS = range(0, 90, 1)


def scaled_output(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    factor = 2.0 ** rng.integers(-30, 30)
    out = network.output
    weights = {s: factor * w for s, w in out.weights.items()}
    return network.with_output(Block(OUTPUT, weights, factor * out.bias, out.activation))


def permuted_neurons(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    orders = {INPUT: np.arange(network.input_size), OUTPUT: np.arange(1)}
    orders |= {block.name: rng.permutation(block.size) for block in network.hidden}
    blocks = []
    for block in network.blocks:
        order = orders[block.name]
        weights = {s: w[order][:, orders[s]] for s, w in block.weights.items()}
        blocks.append(Block(block.name, weights, block.bias[order], block.activation))
    return ReluNetwork(network.input_size, blocks)


def with_affine_function_added(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    slope = Block(
        "slope",
        {INPUT: rng.integers(-9, 10, (1, network.input_size)) / 4.0},
        rng.integers(-9, 10, 1) / 2.0,
        Activation.IDENTITY,
    )
    out = network.output
    output = Block(OUTPUT, {**out.weights, "slope": np.ones((1, 1))}, out.bias, out.activation)
    return ReluNetwork(network.input_size, [*network.hidden, slope, output])


def with_split_neuron(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """One neuron becomes two equal ones that share its outgoing weights."""
    target = network.hidden[rng.integers(len(network.hidden))]
    neuron = int(rng.integers(target.size))
    blocks = []
    for block in network.blocks:
        weights, bias = dict(block.weights), block.bias
        if block.name == target.name:
            weights = {s: np.vstack([w, w[neuron]]) for s, w in weights.items()}
            bias = np.append(bias, bias[neuron])
        elif target.name in weights:
            matrix = weights[target.name]
            matrix = np.column_stack([matrix, matrix[:, neuron] / 4])
            matrix[:, neuron] *= 0.75
            # three quarters must not be rounded
            exact = (matrix[:, neuron] + matrix[:, -1]) == weights[target.name][:, neuron]
            if not exact.all() or (matrix[:, neuron] != 3 * matrix[:, -1]).any():
                matrix[:, neuron] = matrix[:, -1] = weights[target.name][:, neuron] / 2
            weights[target.name] = matrix
        blocks.append(Block(block.name, weights, bias, block.activation))
    return ReluNetwork(network.input_size, blocks)


def with_rescaled_neurons(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """A ReLU passes positive factors on, here powers of two."""
    factors = {INPUT: np.ones(network.input_size), OUTPUT: np.ones(1)}
    factors |= {b.name: 2.0 ** rng.integers(-20, 21, b.size) for b in network.hidden}
    blocks = []
    for block in network.blocks:
        own = factors[block.name]
        weights = {s: own[:, None] * w / factors[s] for s, w in block.weights.items()}
        blocks.append(Block(block.name, weights, own * block.bias, block.activation))
    return ReluNetwork(network.input_size, blocks)


def with_signed_pass_through(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """The output z becomes ``relu(z) - relu(-z)``."""
    out = network.output
    signs = np.array([[1.0], [-1.0]])
    block = Block(
        "pass", {s: signs @ w for s, w in out.weights.items()}, np.append(out.bias, -out.bias)
    )
    output = Block(OUTPUT, {"pass": signs.T}, np.zeros(1), Activation.IDENTITY)
    return ReluNetwork(network.input_size, [*network.hidden, block, output])


def with_useless_neurons(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """Neurons that are never on, or on but not read, change nothing."""
    d = network.input_size
    dead = np.vstack([np.zeros((1, d)), rng.integers(-2, 3, (1, d))])
    block = Block("useless", {INPUT: dead.astype(float)}, np.array([-1.0, 0.5]))
    out = network.output
    weights = {**out.weights, "useless": np.array([[-5.0, 0.0]])}
    output = Block(OUTPUT, weights, out.bias, out.activation)
    return ReluNetwork(d, [*network.hidden, block, output])


def through_affine_block(network: ReluNetwork, rng: np.random.Generator) -> ReluNetwork:
    """Hidden values pass an affine block on their way to the output."""
    last = network.hidden[-1]
    size = last.size
    shear = np.eye(size) + np.triu(rng.integers(-1, 2, (size, size)), 1)
    inverse = np.round(np.linalg.inv(shear))
    block = Block("shear", {last.name: shear}, np.zeros(size), Activation.IDENTITY)
    undo = Block("undo", {"shear": inverse}, np.zeros(size), Activation.IDENTITY)
    out = network.output
    weights = {("undo" if s == last.name else s): w for s, w in out.weights.items()}
    output = Block(OUTPUT, weights, out.bias, out.activation)
    return ReluNetwork(network.input_size, [*network.hidden, block, undo, output])


CHANGES: list[Change] = [
    scaled_output,
    permuted_neurons,
    with_affine_function_added,
    with_split_neuron,
    with_rescaled_neurons,
    with_signed_pass_through,
    with_useless_neurons,
    through_affine_block,
]


def unimodular(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return an integer matrix whose inverse is one too."""
    lower = np.tril(rng.integers(-1, 2, (size, size)), -1) + np.eye(size)
    upper = np.triu(rng.integers(-1, 2, (size, size)), 1) + np.eye(size)
    return lower @ upper


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("domain", [Everywhere(), Box(-1, 1)], ids=["everywhere", "box"])
def test_a_change_that_keeps_the_function_convex_or_not_keeps_the_verdict(change, domain):
    for seed in SEEDS:
        network = tiny_network(seed, budget=8)[1]
        changed = change(network, np.random.default_rng(seed))
        before = jensen.verify(network, domain, time_limit=60.0)
        after = jensen.verify(changed, domain, time_limit=60.0)
        assert before.status is after.status, (seed, before.summary, after.summary)


@pytest.mark.parametrize("boxed", [False, True], ids=["everywhere", "box"])
def test_composing_with_an_affine_bijection_keeps_the_verdict(boxed):
    for seed in SEEDS:
        network = tiny_network(seed, budget=8)[1]
        d = network.input_size
        rng = np.random.default_rng(seed)
        matrix, shift = unimodular(rng, d), rng.integers(-2, 3, d) / 2.0
        changed = composed(network, matrix, shift)
        domains = (Everywhere(), Everywhere())
        if boxed:  # lower <= M y + c <= upper
            rows = np.vstack([matrix, -matrix])
            domains = (Box(-1, 1), Polyhedron(rows, np.hstack([1 - shift, 1 + shift])))
        before = jensen.verify(network, domains[0], time_limit=60.0)
        after = jensen.verify(changed, domains[1], time_limit=60.0)
        assert before.status is after.status, (seed, before.summary, after.summary)


def test_convex_functions_stay_convex_under_sums_and_maxima():
    """f + g and max(f, g) = g + relu(f - g) of convex f, g."""
    convex = []
    for seed in range(200):
        network = tiny_network(seed, budget=5)[1]
        if network.input_size == 2 and jensen.is_convex(network, Box(-1, 1)):
            convex.append(network)
    for index, (f, g) in enumerate(zip(convex[0:8], convex[8:16], strict=True)):
        for combined in (summed(f, g), maximum(f, g)):
            verdict = jensen.verify(combined, Box(-1, 1), time_limit=60.0)
            assert verdict.status is Status.CONVEX, (index, verdict.summary)


def renamed(network: ReluNetwork, prefix: str, output: Activation) -> list[Block]:
    name = {INPUT: INPUT} | {b.name: prefix + b.name for b in network.blocks}
    return [
        Block(
            name[b.name],
            {name[s]: w for s, w in b.weights.items()},
            b.bias,
            output if b.name == OUTPUT else b.activation,
        )
        for b in network.blocks
    ]


def summed(f: ReluNetwork, g: ReluNetwork) -> ReluNetwork:
    blocks = [*renamed(f, "f_", Activation.IDENTITY), *renamed(g, "g_", Activation.IDENTITY)]
    one = np.ones((1, 1))
    output = Block(OUTPUT, {"f_output": one, "g_output": one}, np.zeros(1), Activation.IDENTITY)
    return ReluNetwork(f.input_size, [*blocks, output])


def maximum(f: ReluNetwork, g: ReluNetwork) -> ReluNetwork:
    blocks = [*renamed(f, "f_", Activation.IDENTITY), *renamed(g, "g_", Activation.IDENTITY)]
    one = np.ones((1, 1))
    gap = Block("gap", {"f_output": one, "g_output": -one}, np.zeros(1))
    output = Block(OUTPUT, {"g_output": one, "gap": one}, np.zeros(1), Activation.IDENTITY)
    return ReluNetwork(f.input_size, [*blocks, gap, output])
