from pathlib import Path

import numpy as np
import pytest

from jensen.network.relu_network import Activation, Block, ReluNetwork


@pytest.fixture
def absolute_value() -> ReluNetwork:
    """|x| + |y|: convex."""
    return ReluNetwork.from_layers(
        [[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [[1.0, 1.0, 1.0, 1.0]]],
        [[0.0] * 4, [0.0]],
    )


@pytest.fixture
def convex_file(tmp_path: Path, absolute_value: ReluNetwork) -> Path:
    absolute_value.save(tmp_path / "convex.npz")
    return tmp_path / "convex.npz"


@pytest.fixture
def nonconvex_file(tmp_path: Path, absolute_value: ReluNetwork) -> Path:
    absolute_value.negated().save(tmp_path / "nonconvex.npz")
    return tmp_path / "nonconvex.npz"


@pytest.fixture
def skip_network() -> ReluNetwork:
    """input -> a -> b -> output, with input -> b, input -> output and a -> output."""

    def ones(rows: int, columns: int) -> np.ndarray:
        return np.ones((rows, columns))

    return ReluNetwork(
        2,
        [
            Block("a", {"input": ones(3, 2)}, np.zeros(3)),
            Block("b", {"a": ones(4, 3), "input": ones(4, 2)}, np.zeros(4)),
            Block(
                "output",
                {"b": ones(1, 4), "a": ones(1, 3), "input": ones(1, 2)},
                np.zeros(1),
                Activation.IDENTITY,
            ),
        ],
    )
