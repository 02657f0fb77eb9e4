import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jensen.network.relu_network import ReluNetwork

Maker = Callable[[str, float], Path]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Write ``sign * (|x| + 2 |y - shift|)``, the shift taken from the name."""

    def write(name: str, sign: float) -> Path:
        shift = zlib.crc32(name.encode()) / 2**22
        network = ReluNetwork.from_layers(
            [
                [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]],
                [[sign, sign, 2 * sign, 2 * sign]],
            ],
            [[0.0, 0.0, -shift, shift], [0.0]],
        )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        network.save(path)
        return path

    return write


@pytest.fixture
def tournament(tmp_path: Path) -> Callable[..., Path]:
    """Write max_k (a_k x + b_k) by matches ``max(u, v) = relu(u-v) + relu(2v)/2 - relu(-v)``."""

    def write(name: str, pieces: int, inputs: int, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        weights: list[np.ndarray] = []
        biases: list[np.ndarray] = []
        value = rng.normal(size=(pieces, inputs))
        offset = rng.normal(size=pieces)
        while len(value) > 1:
            half = len(value) // 2
            rows = np.zeros((3 * half, len(value)))
            merge = np.zeros((half, 3 * half))
            for k in range(half):
                rows[3 * k, [2 * k, 2 * k + 1]] = 1.0, -1.0
                # twins of different sizes, which signs alone do not settle
                rows[3 * k + 1, 2 * k + 1], rows[3 * k + 2, 2 * k + 1] = 2.0, -1.0
                merge[k, 3 * k : 3 * k + 3] = 1.0, 0.5, -1.0
            weights.append(rows @ value)
            biases.append(rows @ offset)
            value, offset = merge, np.zeros(half)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ReluNetwork.from_layers([*weights, value], [*biases, offset]).save(path)
        return path

    return write


@pytest.fixture
def hard(tournament: Callable[..., Path]) -> Path:
    """Write a network that takes the provers some time: a maximum of random affine pieces."""
    return tournament("hard.npz", 64, 12)
