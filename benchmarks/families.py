"""Families of networks with known verdicts, for benchmarks. All are seeded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

Array = NDArray[np.float64]
Slot = tuple[tuple[int, ...], tuple[float, ...], float]  # columns, signs, constant


def tournament(
    pieces: int, inputs: int, seed: int = 0, *, always_on: bool = False, radius: float = 1.0
) -> ReluNetwork:
    """Maximum of random affine functions as a tree of ``max(a, b) = b + relu(a - b)``.

    Convex everywhere, with negative weights on the way: b itself has to pass a ReLU
    layer, as ``relu(b) - relu(-b)`` (three ReLUs per match), or, on the box of this
    radius, as ``relu(b + c) - c`` with c so large that it is always on (two per match).

    Parameters
    ----------
    pieces : int
        A power of two.
    """
    if pieces < 2 or pieces & (pieces - 1):
        raise ValueError(f"{pieces} pieces: a power of two is needed")
    rng = np.random.default_rng(seed)
    # few bits, so that differences and shifts are exact
    slopes = np.round(rng.normal(size=(pieces, inputs)) * 2**12) / 2**12
    offsets = np.round(rng.normal(size=pieces) * 2**12) / 2**12
    lift = np.ceil(np.abs(offsets).max() + radius * np.abs(slopes).sum(axis=1).max())
    blocks: list[Block] = []
    values, constants = slopes, offsets  # rows of the players in terms of the last block
    source = INPUT
    while len(values) > 1:
        rows, biases = [], []
        winners: list[Slot] = []
        for a in range(0, len(values), 2):
            first = len(rows)
            match, loser = values[a] - values[a + 1], values[a + 1]
            gap, constant = constants[a] - constants[a + 1], constants[a + 1]
            if always_on:
                rows += [match, loser]
                biases += [gap, constant + lift]
                winners.append(((first, first + 1), (1.0, 1.0), -lift))
            else:
                rows += [match, loser, -loser]
                biases += [gap, constant, -constant]
                winners.append(((first, first + 1, first + 2), (1.0, 1.0, -1.0), 0.0))
        name = f"round_{len(blocks) + 1}"
        blocks.append(Block(name, {source: np.array(rows)}, np.array(biases)))
        values = np.zeros((len(winners), len(rows)))
        constants = np.zeros(len(winners))
        for i, (columns, signs, shift) in enumerate(winners):
            values[i, list(columns)] = signs
            constants[i] = shift
        source = name
    blocks.append(Block(OUTPUT, {source: values}, constants, Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


def sum_of_largest(kept: int, pieces: int, inputs: int, seed: int = 0) -> ReluNetwork:
    """Sum of the ``kept`` largest of some random affine functions: convex everywhere.

    The pieces are inserted one after the other into the largest so far, by
    ``max(a, b) = a + relu(b - a)`` and ``min(a, b) = b - relu(b - a)`` with skips from the
    input; 2 <= kept < pieces. Equal pieces meet again further on, so that kinks coincide.
    """
    rng = np.random.default_rng(seed)
    width = inputs + sum(min(kept, i) for i in range(pieces))
    forms = np.zeros((pieces, width + 1))
    forms[:, :inputs] = np.round(rng.normal(size=(pieces, inputs)) * 64) / 64
    forms[:, -1] = np.round(rng.normal(size=pieces) * 64) / 64
    blocks: list[Block] = []

    def weights(form: Array) -> dict[str, Array]:
        parts = {INPUT: form[None, :inputs]}
        parts |= {block.name: form[None, inputs + i : inputs + i + 1]
                  for i, block in enumerate(blocks) if form[inputs + i]}  # fmt: skip
        return parts

    largest: list[Array] = []
    for piece in forms:
        carried = piece
        for i, held in enumerate(largest):
            blocks.append(Block(f"relu_{len(blocks) + 1}", weights(carried - held),
                                (carried - held)[-1:]))  # fmt: skip
            rise = np.eye(1, width + 1, inputs + len(blocks) - 1)[0]
            largest[i], carried = held + rise, carried - rise
        if len(largest) < kept:
            largest.append(carried)
    total = sum(largest)
    blocks.append(Block(OUTPUT, weights(total), total[-1:], Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


def with_idle_negatives(network: ReluNetwork, seed: int = 0, *, share: float = 0.2) -> ReluNetwork:
    """Add neurons that are never on, with random sparse negative outgoing weights.

    They read ``-sum of h - c`` of the block in front, h >= 0, so that they are off
    everywhere although the signs of the weights do not say so.
    """
    rng = np.random.default_rng(seed)
    blocks, idle = [], ""
    hidden = [block.name for block in network.hidden]
    for block in network.blocks:
        weights = dict(block.weights)
        if idle:
            count = max(1, int(share * network.size_of(idle.removeprefix("idle_"))))
            sparse = rng.random((block.size, count)) < 0.3
            weights[idle] = -np.abs(rng.normal(size=(block.size, count))) * sparse
        blocks.append(Block(block.name, weights, block.bias, block.activation))
        idle = ""
        position = hidden.index(block.name) if block.name in hidden else -1
        if 0 <= position < len(hidden) - 1 and network.successors[block.name] == (
            hidden[position + 1],
        ):
            # one block later, so that it can read h >= 0 of this one
            count = max(1, int(share * block.size))
            reads = -np.abs(rng.normal(size=(count, block.size)))
            reads *= rng.random(reads.shape) < 0.5
            idle = f"idle_{block.name}"
            blocks.append(Block(idle, {block.name: reads}, -rng.uniform(0.01, 1, count)))
    return ReluNetwork(network.input_size, blocks)


def default_init(inputs: int, widths: Sequence[int], seed: int = 0) -> ReluNetwork:
    """Uniform weights and biases in ``+-1/sqrt(fan in)``, rounded to float32, as in PyTorch."""
    rng = np.random.default_rng(seed)
    sizes = [inputs, *widths, 1]
    weights, biases = [], []
    for fan_in, size in pairwise(sizes):
        bound = 1.0 / np.sqrt(fan_in)
        weights.append(rng.uniform(-bound, bound, (size, fan_in)).astype(np.float32))
        biases.append(rng.uniform(-bound, bound, size).astype(np.float32))
    return ReluNetwork.from_layers(weights, biases)


def icnn(inputs: int, widths: Sequence[int], seed: int = 0, *, density: float = 1.0) -> ReluNetwork:
    """Input-convex network: non-negative weights between hidden blocks, input skips to all.

    Every fourth weight is exactly zero. With ``density < 1`` the matrices are sparse.
    """
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    source = INPUT
    for index, size in enumerate([*widths, 1]):
        weights = {INPUT: _gaussian(rng, size, inputs, density)}
        if source != INPUT:
            previous = blocks[-1].size
            weights[source] = abs(_gaussian(rng, size, previous, density))
        last = index == len(widths)
        name = OUTPUT if last else f"relu_{index + 1}"
        kind = Activation.IDENTITY if last else Activation.RELU
        blocks.append(Block(name, weights, rng.normal(size=size), kind))
        source = name
    return ReluNetwork(inputs, blocks)


def _gaussian(rng: np.random.Generator, rows: int, columns: int, density: float):
    if density < 1:
        return sp.random_array(
            (rows, columns),
            density=density,
            format="csr",
            rng=rng,
            data_sampler=lambda size: rng.normal(size=size),
        )
    matrix = rng.normal(size=(rows, columns)) / np.sqrt(columns)
    matrix[rng.random(matrix.shape) < 0.25] = 0.0
    return matrix


def needle(inputs: int, size: float, seed: int = 0, *, width: int = 16) -> ReluNetwork:
    """An ICNN plus ``relu(size - |x - p|_1) / 2``: non-convex iff ``size > 0``.

    All violations lie in a region of relative size ``size``.
    """
    rng = np.random.default_rng(seed)
    centre = rng.integers(-40, 41, inputs) / 64.0
    signs = np.vstack([np.eye(inputs), -np.eye(inputs)])
    base = icnn(inputs, [width, width], seed)
    blocks = [
        *base.hidden,
        Block("distance", {INPUT: signs}, np.hstack([-centre, centre])),
        Block("needle", {"distance": -np.ones((1, 2 * inputs))}, np.array([size])),
        Block(
            OUTPUT,
            {**base.output.weights, "needle": np.array([[0.5]])},
            base.output.bias,
            Activation.IDENTITY,
        ),
    ]
    return ReluNetwork(inputs, blocks)
