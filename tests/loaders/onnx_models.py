"""Small ONNX models, and their comparison with two independent runtimes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from jensen.loaders import load
from jensen.network.relu_network import ReluNetwork

# the newest operator sets are in onnx before onnxruntime calls them released
os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
onnxruntime.set_default_logger_severity(4)

NEWEST = onnx.defs.onnx_opset_version()


def make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    opset: int = 17,
    dtype: type = np.float32,
) -> onnx.ModelProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, element, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def save(model: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    onnx.save(model, path)
    return path


def network_of(model: onnx.ModelProto, folder: Path) -> ReluNetwork:
    return load(save(model, folder))


def onnx_outputs(model: onnx.ModelProto, points: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run onnxruntime, or onnx's reference where onnxruntime has no kernel for the type."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(None, dict(points))
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error) and "Unsupported" not in str(error):
            raise
        results = ReferenceEvaluator(model).run(None, dict(points))
    return np.concatenate([np.asarray(r, dtype=np.float64).ravel() for r in results])


def sizes_of(info: Any) -> list[int]:
    return [dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim]


def assert_same_function(
    model: onnx.ModelProto,
    network: ReluNetwork,
    *,
    points: int = 4,
    integers: bool = False,
    tolerance: float | None = None,
) -> None:
    """Compare on random points: ``integers`` asks for equality, else for a tolerance."""
    rng = np.random.default_rng(0)
    stored = {tensor.name for tensor in model.graph.initializer}
    infos = [info for info in model.graph.input if info.name not in stored]
    for _ in range(points):
        feeds = {}
        for info in infos:
            dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
            shape = sizes_of(info)
            draw = rng.integers(-4, 5, shape) if integers else rng.normal(size=shape)
            feeds[info.name] = draw.astype(dtype)
            if tolerance is None:
                tolerance = {"float64": 1e-9, "float32": 1e-4}.get(str(dtype), 2e-2)
        expected = onnx_outputs(model, feeds)
        x = np.concatenate([feed.ravel() for feed in feeds.values()]).astype(np.float64)
        found = network(x[None, :])[0]
        if integers:
            np.testing.assert_array_equal(found, expected)
            assert [float(v) for v in network.exact(x)] == expected.tolist()
        else:
            scale = 1 + np.abs(expected).max(initial=0)
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def rng():
    return np.random.default_rng(0)


def mlp(sizes=(3, 5, 4, 2), dtype=np.float32, opset=17, batch="batch"):
    nodes, constants, last = [], {}, "x"
    draw = rng()
    for i, (width, size) in enumerate(pairwise(sizes)):
        constants[f"w{i}"] = draw.normal(size=(size, width)).astype(dtype)
        constants[f"b{i}"] = draw.normal(size=size).astype(dtype)
        nodes.append(
            helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"z{i}"], f"gemm_{i}", transB=1)
        )
        last = f"z{i}"
        if i < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [last], [f"h{i}"]))
            last = f"h{i}"
    return make_model(nodes, {"x": [batch, sizes[0]]}, [last], constants, opset=opset, dtype=dtype)


def single(
    op, constants=None, *, inputs=("x",), shape=("n", 4), name="the_node", opset=17, **attributes
):
    names = [*inputs, *(constants or {})]
    node = helper.make_node(op, names, ["y"], name, **attributes)
    given = dict.fromkeys(filter(None, inputs), shape)
    return make_model([node], given, ["y"], constants, opset=opset)
