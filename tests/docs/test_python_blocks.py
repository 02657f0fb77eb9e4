"""The Python of every page runs, as sessions that say what they say or as programs."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pages import NAMES, ROOT, Fence, fences

TUTORIAL = "docs/tutorial.md"

# what the programs of a page, or of one of its tabs, take for granted
SETUP = {
    "docs/smooth.md": "import jensen",
    "docs/npz-format.md": """
import jensen
jensen.ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0.0], [0.0]]).save("model.npz")
""",
    "docs/regions.md": """
import numpy as np
import jensen
rng = np.random.default_rng(0)
def network(*sizes):
    weights = [rng.normal(size=(b, a)) for a, b in zip(sizes[:-1], sizes[1:])]
    return jensen.ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
net, net3, net5 = network(2, 6, 5, 1), network(3, 5, 1), network(5, 8, 1)
x, y = [-1.0, -1.0], [1.0, 1.0]
figure = jensen.plot.pair(net, x, y)
""",
    "docs/batch.md": """
def train(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(1, 4))]
    return jensen.ReluNetwork.from_layers(weights, [np.zeros(4), np.zeros(1)])
""",
    "docs/models.md": """
import onnx
import torch
import jensen
module = torch.nn.Sequential(
    torch.nn.Conv2d(3, 1, 8, stride=8), torch.nn.ReLU(), torch.nn.Flatten(),
    torch.nn.Linear(64, 1))
torch.save(module.state_dict(), "weights.pt")
def info(name):
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2))
nodes = [("Relu", "x", "dense_2/BiasAdd:0"), ("Sigmoid", "dense_2/BiasAdd:0", "y")]
nodes = [onnx.helper.make_node(kind, [a], [b]) for kind, a, b in nodes]
graph = onnx.helper.make_graph(nodes, "graph", [info("x")], [info("y")])
onnx.save(onnx.helper.make_model(graph), "model.onnx")
""",
    "docs/learning.md": """
import torch, jensen
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
batches = [(x, x.sum(dim=1)) for x in torch.rand(3, 20, 5)]
""",
    "docs/howto/frameworks.md#PyTorch": """
import torch
module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
""",
    "docs/howto/frameworks.md#Keras 3": """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import jensen
layers = [keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)]
model = keras.Sequential(layers)
""",
    "docs/howto/frameworks.md#scikit-learn": """
import numpy as np
from sklearn.neural_network import MLPRegressor
import jensen
X = np.random.default_rng(0).normal(size=(50, 3))
regressor = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
regressor.fit(X, X.sum(axis=1))
""",
    "docs/howto/frameworks.md#NumPy": """
import jensen
weights, biases = [[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]]
""",
}
EXTRAS = ("torch", "keras", "sklearn", "matplotlib")


def programs(name: str) -> dict[str, list[Fence]]:
    """Return the blocks that are programs, tab by tab: those of one tab share their names."""
    found: dict[str, list[Fence]] = {}
    for fence in fences(name):
        if fence.language == "python" and not fence.is_session and not fence.remark:
            found.setdefault(f"{name}#{fence.tab}" if fence.tab else name, []).append(fence)
    return found


def trains(fence: Fence) -> bool:
    return "make_convex(" in fence.text


def cases() -> Iterator[Any]:
    for name in NAMES:
        for place, blocks in programs(name).items():
            quick = [block for block in blocks if not trains(block)]
            if quick:
                yield pytest.param(place, quick, id=place)
            if quick != blocks:
                yield pytest.param(place, blocks, id=f"{place}-all", marks=pytest.mark.slow)


def need(code: str) -> None:
    for extra in EXTRAS:
        if re.search(rf"\b{extra}\b", code) or (extra == "matplotlib" and "jensen.plot" in code):
            pytest.importorskip(extra)


@pytest.mark.parametrize(("place", "blocks"), list(cases()))
def test_the_programs_of_a_page_run(place, blocks, tmp_path, monkeypatch):
    setup = SETUP.get(place, "")
    need(setup + "".join(block.text for block in blocks))
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(setup, space)
    for block in blocks:
        exec(compile(block.text, str(block), "exec"), space)


def test_every_setup_serves_a_page():
    assert set(SETUP) <= {place for name in NAMES for place in programs(name)}


def pages_of_sessions() -> list[Any]:
    slow = {TUTORIAL: [pytest.mark.slow]}  # trains
    names = [n for n in NAMES if any(fence.is_session for fence in fences(n))]
    return [pytest.param(name, marks=slow.get(name, [])) for name in names]


@pytest.mark.parametrize("name", pages_of_sessions())
def test_the_sessions_of_a_page_say_what_they_say(name, monkeypatch):
    need((ROOT / name).read_text(encoding="utf-8") if name == TUTORIAL else "")
    if "jensen.plot" in (ROOT / name).read_text(encoding="utf-8"):
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(ROOT / name), module_relative=False, encoding="utf-8")
    assert tried
    assert not failed
