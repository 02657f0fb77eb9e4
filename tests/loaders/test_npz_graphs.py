"""Function graphs in the package's own format."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
from smooth_graphs import random_graph

import jensen
from jensen import Function, FunctionGraph, GraphNode
from jensen.cli import main
from jensen.graphs.convolution import Convolution
from jensen.loaders import save


def convolved():
    """Return a graph with a convolution, a sparse matrix and functions with parameters."""
    windows = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
    filters = np.arange(6.0).reshape(2, 1, 3) - 2
    nodes = [
        GraphNode("conv", {"input": Convolution(filters, windows, 4)}, np.ones(6), Function.RELU),
        GraphNode("celu", {"conv": sp.csr_array(np.eye(6))}, np.zeros(6), Function.CELU, 0.3),
        GraphNode("lse", {"celu": np.eye(6)}, np.zeros(6), Function.LOG_SUM_EXP, 1.0, 3),
        GraphNode("output", {"lse": [[1.0, 2.0]]}, [0.0]),
    ]
    return FunctionGraph(4, nodes, input_shape=(1, 2, 2))


def saved(graph, tmp_path):
    save(graph, tmp_path / "g.npz")
    return tmp_path / "g.npz"


@pytest.mark.parametrize("seed", range(12))
def test_what_is_written_is_read_back(seed, tmp_path):
    graph = random_graph(np.random.default_rng(seed)) if seed else convolved()
    path = saved(graph, tmp_path)
    found = jensen.load(path)
    assert found.digest == graph.digest
    assert (found.input_shape, found.output_shape) == (graph.input_shape, graph.output_shape)
    graph.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header["nodes"][0].update(function="gate"),
        lambda header, _: header["nodes"][0].update(group=0),
        lambda header, _: header["nodes"][2].update(group=4),
        lambda header, _: header["nodes"][1].update(parameter="nan"),
        lambda header, _: header["nodes"][0]["inputs"][0].update(groups=0),
        lambda header, _: header["nodes"][0]["inputs"][0].update(positions=3),
        lambda header, _: header["nodes"][0]["inputs"][0].update({"from": "later"}),
        lambda header, _: header.update(format="jensen-graph/7"),
        lambda header, _: header.pop("nodes"),
        lambda _, parts: parts.update({"w0_0_windows": np.array([[0, 1, 9]] * 3)}),
        lambda _, parts: parts.update({"w0_0_windows": np.array([[0, 1, -1]] * 3)}),
        lambda _, parts: parts.update({"w0_0_windows": np.array([[0, 1.5, 2]] * 3)}),
        lambda _, parts: parts.update({"w0_0_filters": np.full((2, 1, 3), np.nan)}),
        lambda _, parts: parts.update({"w0_0_filters": np.ones((2, 1, 2))}),
        lambda _, parts: parts.pop("b1"),
    ],
)
def test_damaged_graphs_are_refused_in_one_line(change, tmp_path):
    path = saved(convolved(), tmp_path)
    with np.load(path) as archive:
        parts = dict(archive)
    header = json.loads(str(parts.pop("header")))
    change(header, parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (parts | {"header": np.array(json.dumps(header))}).items():
            stream = io.BytesIO()
            np.save(stream, value)
            archive.writestr(f"{name}.npy", stream.getvalue())
    with pytest.raises(jensen.JensenError, match=r"g\.npz: ") as caught:
        jensen.load(path)
    assert "\n" not in str(caught.value)


def test_a_graph_is_not_written_as_onnx(tmp_path):
    with pytest.raises(jensen.NetworkError, match=r"writing \.onnx takes .* node 'celu' is celu"):
        save(convolved(), tmp_path / "g.onnx")


def test_commands_take_a_saved_graph(tmp_path, capsys):
    path = saved(convolved(), tmp_path)
    assert main(["info", str(path)]) == 0
    assert "log-sum-exp" in capsys.readouterr().out
    assert main(["convert", str(path), str(tmp_path / "slice.npz"), "--fix", "0=0.5"]) == 0
    found = jensen.load(tmp_path / "slice.npz")
    x = np.array([0.25, -1.0, 3.0])
    assert found(x) == convolved()(np.array([0.5, *x]))
    assert found.has_convolutions
    assert main(["verify", str(tmp_path / "slice.npz")]) == 0
