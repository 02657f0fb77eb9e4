"""Networks that are convex because of what relu(z) is at most on a box, with certificates."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from certificate_tools import Lines, claim_of

from jensen.domains.domain import Box
from jensen.network.relu_network import Activation, Block, ReluNetwork

IDENTITY = Activation.IDENTITY
Integers = np.ndarray[Any, np.dtype[np.int64]]


def envelope(
    seed: int, *, inputs: int = 3, units: int = 2, spare: int = 1
) -> tuple[ReluNetwork, Lines]:
    """Return a network and a certificate for its box.

    The last input v bends the function upwards by 1 at 0, and downwards by 1 where
    ``sum of (relu(z) - L) > spare``, with affine functions L above relu(z) on the box of the
    other inputs. So it is convex for a spare of 0 and more. With less it may not be.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[Integers, int, Integers, int]] = []
    while len(rows) < units:
        w = rng.integers(-3, 4, inputs - 1)
        low, high = int(np.minimum(w, 0).sum()), int(np.maximum(w, 0).sum())
        known = any((w == s * other).all() for other, *_ in rows for s in (1, -1))
        if high - low > 2 and not known and w.all():
            b = int(rng.integers(1 - high, -low))
            if gcd(b, *w.tolist()) == 1:  # so that the checker's unit is the neuron
                rows.append((w, b, *_above(w, b, rng)))
    w, b, slopes, constants = (np.array(part) for part in zip(*rows, strict=True))
    first = np.zeros((units + 1, inputs))
    first[:units, :-1], first[units, -1] = w, 1.0
    last = np.append(np.ones(units), -2.0)
    down, up = np.append(-slopes.sum(axis=0), 0.0), np.append(np.zeros(units), 1.0)
    bias = np.array([-float(constants.sum()) - spare])
    blocks = [
        Block("relu_1", {"input": first}, np.append(b, 0.0).astype(float), Activation.RELU),
        Block("relu_2", {"input": down[None], "relu_1": last[None]}, bias, Activation.RELU),
        Block("output", {"relu_1": up[None], "relu_2": np.ones((1, 1))}, np.zeros(1), IDENTITY),
    ]
    network = ReluNetwork(inputs, blocks)
    sides = [0.0] * (inputs - 1), [1.0] * (inputs - 1)
    cuts = [
        ["relu_1", i, "0", "0", ["1", *map(str, slopes[i].tolist()), "0"]] for i in range(units)
    ]
    used = [["sign", "relu_2", 0, "1"], *(["cut", i, "1"] for i in range(units))]
    lines = [
        claim_of(network, Box([*sides[0], -1.0], [*sides[1], 1.0])),
        ["bounds", []],
        ["path_signs"],
        ["tree", "relu_1", units, 0, [], cuts],
        ["branch", "relu_2", 0],
        ["empty", used],
        ["sign"],
    ]
    return network, lines


def _above(w: Integers, b: int, rng: np.random.Generator) -> tuple[Integers, int]:
    """Return slopes and constant of a least upper bound of ``relu(w y + b)`` on 0 <= y <= 1."""
    z = b + int(np.minimum(w, 0).sum())
    slopes, constant = np.zeros_like(w), max(z, 0)
    for j in rng.permutation(len(w)).tolist():
        gain = max(z + abs(w[j]), 0) - max(z, 0)
        z += abs(int(w[j]))
        slopes[j] = gain if w[j] > 0 else -gain
        constant += 0 if w[j] > 0 else gain
    return slopes, constant
