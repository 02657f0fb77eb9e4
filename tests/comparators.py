"""Networks of comparators, in which kinks coincide: sums of sorted affine functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

Array = NDArray[np.float64]


def weighted_order(rows: Array, offsets: Array, weights: Array) -> ReluNetwork:
    """Return ``sum_k weights[k] * (k-th largest of rows x + offsets)``.

    Insertion by ``max(a, b) = b + relu(a - b)`` and ``min(a, b) = a - relu(a - b)``, one unit
    a block, with skips. Convex if the weights fall and the last is >= 0, or all are kept.
    """
    pieces, inputs = rows.shape
    kept = len(weights)
    width = inputs + sum(min(kept, i) for i in range(pieces))
    forms = np.zeros((pieces, width + 1))
    forms[:, :inputs], forms[:, -1] = rows, offsets
    blocks: list[Block] = []

    def parts(form: Array) -> dict[str, Array]:
        names = {INPUT: form[None, :inputs]}
        return names | {
            block.name: form[None, inputs + i : inputs + i + 1]
            for i, block in enumerate(blocks)
            if form[inputs + i]
        }

    def relu(form: Array) -> Array:
        blocks.append(Block(f"relu_{len(blocks) + 1}", parts(form), form[-1:]))
        return np.eye(1, width + 1, inputs + len(blocks) - 1)[0]

    sorted_so_far: list[Array] = []
    for piece in forms:
        carried = piece
        for i, held in enumerate(sorted_so_far):
            rise = relu(carried - held)
            sorted_so_far[i], carried = held + rise, carried - rise
        if len(sorted_so_far) < kept:
            sorted_so_far.append(carried)
    total = sum(w * form for w, form in zip(weights, sorted_so_far, strict=True))
    blocks.append(Block(OUTPUT, parts(total), total[-1:], Activation.IDENTITY))
    return ReluNetwork(inputs, read_blocks(blocks))


def read_blocks(blocks: list[Block]) -> list[Block]:
    """Leave out blocks that nothing reads: where weights are equal, steps cancel."""
    read = {OUTPUT}
    for block in reversed(blocks):
        if block.name in read:
            read |= set(block.weights)
    return [block for block in blocks if block.name in read]


def random_order(seed: int, inputs: int, pieces: int) -> ReluNetwork:
    """Return such a network, half of small integers, more than half with falling weights."""
    rng = np.random.default_rng([seed, 7])
    rows, offsets = rng.normal(size=(pieces, inputs)), rng.normal(size=pieces)
    if seed % 2:
        rows, offsets = np.round(rows), np.round(offsets)
    else:
        rows, offsets = np.round(rows * 64) / 64, np.round(offsets * 64) / 64
    weights = rng.integers(0, 3, int(rng.integers(2, pieces + 1))).astype(float)
    weights[-1] += not weights.any()
    weights = np.sort(weights)[::-1]
    if rng.random() < 0.4:
        weights[rng.integers(1, len(weights))] += 3.0
    return weighted_order(rows, offsets, weights)


def bracketed_twice(seed: int, inputs: int, *, factor: float = 1.0, beside: int = 5) -> ReluNetwork:
    """Return a maximum of four minus ``factor`` times the same one bracketed otherwise.

    ``max(max(0, 1), max(2, 3))`` and ``max(max(2, 0), max(3, 1))``: kinks coincide and cancel.
    Beside them stand ReLUs of a layer of their own with weights >= 0.
    """
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(size=(4, inputs + 1)) * 64) / 64
    blocks: list[Block] = []

    def relus(name: str, parts: dict[str, Array], bias: Array) -> str:
        blocks.append(Block(name, parts, bias))
        return name

    read: dict[str, Array] = {INPUT: np.zeros((1, inputs))}
    for number, (weight, order) in enumerate(((1.0, (0, 1, 2, 3)), (-factor, (2, 0, 3, 1)))):
        a, b, c, d = rows[list(order)]
        first = np.stack([a - b, c - d])
        low = relus(f"first_{number}", {INPUT: first[:, :-1]}, first[:, -1])
        top = {INPUT: (b - d)[None, :-1], low: np.array([[1.0, -1.0]])}
        high = relus(f"second_{number}", top, (b - d)[-1:])
        # max = max(c, d) + relu(max(a, b) - max(c, d))
        read[INPUT] = read[INPUT] + weight * d[None, :-1]
        read[low], read[high] = np.array([[0.0, weight]]), np.array([[weight]])
    if beside:
        extra = np.round(rng.normal(size=(beside, inputs + 1)) * 64) / 64
        name = relus("beside", {INPUT: extra[:, :-1]}, extra[:, -1])
        read[name] = np.round(rng.uniform(0, 1, (1, beside)) * 64) / 64
    blocks.append(Block(OUTPUT, read, np.zeros(1), Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)
