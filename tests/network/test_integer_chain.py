"""Exact values in plain integers: the same fractions as from arrays, whatever the scales."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from jensen import Block, ReluNetwork
from jensen.errors import NetworkError
from jensen.network.block import Activation
from jensen.network.integer_chain import LARGEST, is_small_chain


def _numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw doubles of very different sizes, zeros and whole numbers among them."""
    values = rng.normal(size=shape) * 2.0 ** rng.integers(-300, 300, shape)
    values[rng.random(shape) < 0.2] = 0.0
    return np.where(rng.random(shape) < 0.3, np.round(rng.normal(size=shape) * 4), values)


@pytest.mark.parametrize("seed", range(40))
def test_values_are_those_of_pre_activations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, rng.integers(2, 6)).tolist()
    shapes = list(zip(sizes[1:], sizes, strict=False))
    network = ReluNetwork.from_layers(
        [_numbers(rng, *shape) for shape in shapes], [_numbers(rng, shape[0]) for shape in shapes]
    )
    assert is_small_chain(network.blocks)
    points = [tuple(Fraction(v) / 3 for v in _numbers(rng, sizes[0])) for _ in range(3)]
    one_by_one = [
        tuple(network.exact_pre_activations(point)["output"].to_fractions()) for point in points
    ]
    assert network.exact_at(points) == one_by_one
    assert [network.exact(point) for point in points] == one_by_one


def test_subnormal_and_huge_weights_are_exact() -> None:
    network = ReluNetwork.from_layers([[[5e-324]], [[-1.5e308]]], [[0.0], [5e-324]])
    (value,) = network.exact([3.0])
    assert value == -3 * Fraction(5e-324) * Fraction(1.5e308) + Fraction(5e-324)


def test_affine_layers_pass_negative_values_on() -> None:
    blocks = [
        Block("affine", {"input": np.array([[2.0]])}, np.zeros(1), Activation.IDENTITY),
        Block("output", {"affine": np.array([[0.5]])}, np.array([1.0]), Activation.IDENTITY),
    ]
    assert ReluNetwork(1, blocks).exact([-3]) == (Fraction(-2),)


def test_skips_and_large_layers_are_no_small_chain() -> None:
    skip = [
        Block("relu_1", {"input": np.ones((1, 1))}, np.zeros(1)),
        Block(
            "output",
            {"relu_1": np.ones((1, 1)), "input": np.ones((1, 1))},
            np.zeros(1),
            Activation.IDENTITY,
        ),
    ]
    assert not is_small_chain(skip)
    assert ReluNetwork(1, skip).exact([2]) == (Fraction(4),)
    width = LARGEST // 2
    wide = ReluNetwork.from_layers([np.ones((width, 1)), np.ones((1, width))], [[0] * width, [0]])
    assert not is_small_chain(wide.blocks)
    assert wide.exact_at([(Fraction(2),)]) == [(Fraction(2 * width),)]


@pytest.mark.parametrize("width", [3, LARGEST])
def test_points_of_another_size_are_refused(width: int) -> None:
    network = ReluNetwork.from_layers(
        [np.ones((width, 2)), np.ones((1, width))], [[0] * width, [0]]
    )
    for point in ([1], [1, 2, 3]):
        with pytest.raises(NetworkError, match=f"{len(point)} numbers: need 2"):
            network.exact(point)
        with pytest.raises(NetworkError, match=f"{len(point)} numbers: need 2"):
            network.exact_at([[1, 2], point])
