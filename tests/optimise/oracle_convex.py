"""Small convex networks, and their optima over a fine enumeration in exact arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from jensen.network.relu_network import Activation, Block, ReluNetwork


def icnn(
    inputs: int, widths: tuple[int, ...], seed: int, *, grid: int | None = None
) -> ReluNetwork:
    """An input-convex network; weights are multiples of 1/grid where a grid is asked for."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        values = rng.normal(size=shape)
        return values if grid is None else np.round(values * grid) / grid

    blocks, previous = [], "input"
    for index, width in enumerate(widths):
        weights = {"input": numbers(width, inputs)}
        if previous != "input":
            weights[previous] = np.abs(numbers(width, blocks[-1].size))
        blocks.append(Block(f"relu_{index + 1}", weights, numbers(width)))
        previous = blocks[-1].name
    weights = {previous: np.abs(numbers(1, widths[-1])), "input": numbers(1, inputs)}
    blocks.append(Block("output", weights, numbers(1), Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


def max_affine(gradients: np.ndarray, offsets: np.ndarray) -> ReluNetwork:
    """The maximum of affine functions, by ``max(a, b) = b + relu(a - b)``, one at a time."""
    inputs = gradients.shape[1]
    blocks, previous = [], None
    # m_k = m_(k-1) + relu(a_k - m_(k-1)): m is the first function plus all relus so far
    for k in range(1, len(offsets)):
        weights = {"input": gradients[[k]] - gradients[[0]]}
        weights |= {block.name: -np.ones((1, 1)) for block in blocks}
        blocks.append(Block(f"relu_{k}", weights, offsets[[k]] - offsets[[0]]))
        previous = blocks[-1].name
    assert previous is not None
    weights = {"input": gradients[[0]]} | {block.name: np.ones((1, 1)) for block in blocks}
    blocks.append(Block("output", weights, offsets[[0]], Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


def vertex_minimum(
    gradients: np.ndarray, offsets: np.ndarray, linear: np.ndarray, side: int
) -> Fraction:
    """The exact minimum of ``max_i (g_i x + c_i) + linear x`` on [-side, side]^2, by vertices.

    The minimum is attained where three of the pieces ``t >= g_i x + c_i`` and sides meet.
    """
    rows = [
        ([Fraction(v) for v in g], Fraction(-1), -Fraction(c))
        for g, c in zip(gradients.tolist(), offsets.tolist(), strict=True)
    ]
    for i, sign in itertools.product(range(2), (1, -1)):
        rows.append(([Fraction(sign * int(i == j)) for j in range(2)], Fraction(0), Fraction(side)))
    best = None
    for three in itertools.combinations(rows, 3):
        solved = _solve([[*a, s, r] for a, s, r in three])
        if solved is None:
            continue
        x, t = solved[:2], solved[2]
        if all(sum(a * v for a, v in zip(g, x, strict=True)) + s * t <= r for g, s, r in rows):
            value = t + sum(Fraction(c) * v for c, v in zip(linear.tolist(), x, strict=True))
            best = value if best is None else min(best, value)
    assert best is not None
    return best


def _solve(rows: list[list[Fraction]]) -> list[Fraction] | None:
    rows = [list(row) for row in rows]
    for k in range(3):
        pivot = next((i for i in range(k, 3) if rows[i][k] != 0), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for i in range(3):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[3] for row in rows]


def random_form(inputs: int, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and constants of a sum of squares, in quarters."""
    rng = np.random.default_rng(seed)
    return rng.integers(-4, 5, (rank, inputs)) / 4.0, rng.integers(-4, 5, rank) / 4.0
