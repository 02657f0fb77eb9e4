"""Exact values of small chains of dense layers, in plain integers.

A layer is held as rows of Python integers over one power of two. Below some hundred weights the
calls that arrays of integers need (:mod:`jensen.arithmetic.exact`) cost several times as much as
the products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul

import numpy as np

from jensen.network.block import INPUT, Block

LARGEST = 700  # weights and biases: beyond, arrays of integers cost less


@dataclass(frozen=True, slots=True)
class _Layer:
    """``(rows @ h + bias) / denominator``, and whether a ReLU follows."""

    rows: list[list[int]]
    bias: list[int]
    denominator: int
    is_relu: bool


class IntegerChain:
    """Layers one behind the other, each of which reads the one in front alone.

    Parameters
    ----------
    blocks : sequence of Block
        Those for which :func:`is_small_chain` holds.

    Examples
    --------
    >>> block = Block("output", {"input": np.array([[0.5, 3.0]])}, np.array([0.25]))
    >>> IntegerChain([block]).values([(Fraction(1), Fraction(1, 3))])
    [(Fraction(7, 4),)]
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._layers = [_layer(block) for block in blocks]

    def values(self, points: Sequence[Sequence[Fraction]]) -> list[tuple[Fraction, ...]]:
        """Return what the last layer computes before its activation, at some points.

        Parameters
        ----------
        points : sequence of sequences of (inputs) Fraction
        """
        below = math.lcm(*(value.denominator for point in points for value in point))
        columns = [[v.numerator * (below // v.denominator) for v in point] for point in points]
        last = self._layers[-1]
        for layer in self._layers:
            bias = [offset * below for offset in layer.bias]
            below *= layer.denominator
            columns = [
                [
                    sum(map(mul, row, h), offset)
                    for row, offset in zip(layer.rows, bias, strict=True)
                ]
                for h in columns
            ]
            if layer is not last and layer.is_relu:
                columns = [[z if z > 0 else 0 for z in column] for column in columns]
        return [tuple(Fraction(z, below) for z in column) for column in columns]


def is_small_chain(blocks: Sequence[Block]) -> bool:
    """Whether blocks in their order are a chain of dense layers with few weights."""
    before, count = INPUT, 0
    for block in blocks:
        weight = block.weights.get(before)
        if len(block.weights) != 1 or not isinstance(weight, np.ndarray):
            return False
        count += weight.size + block.size
        before = block.name
    return count <= LARGEST


def _layer(block: Block) -> _Layer:
    (weight,) = block.weights.values()
    ratios = [
        value.as_integer_ratio() for value in (*weight.ravel().tolist(), *block.bias.tolist())
    ]
    # all of them are powers of two
    denominator = max(below for _, below in ratios)
    integers = [above * (denominator // below) for above, below in ratios]
    inputs, end = weight.shape[1], weight.size
    rows = [integers[at : at + inputs] for at in range(0, end, inputs)]
    return _Layer(rows, integers[end:], denominator, block.is_relu)
