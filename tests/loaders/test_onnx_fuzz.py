"""Mutated files: a verdict, or one line that says what is wrong."""

from __future__ import annotations

import contextlib
import io
import resource
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_models import make_model
from test_onnx_operators import CASES, build

from jensen.cli import ExitCode, main
from jensen.loaders import load

SECONDS = 20
BYTES = 2**32


def seeds() -> list[onnx.ModelProto]:
    rng = np.random.default_rng(0)

    def weight(*shape):
        return rng.normal(size=shape).astype(np.float32)

    dense = make_model(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1),
            helper.make_node("Relu", ["z"], ["h"]),
            helper.make_node("Concat", ["h", "x"], ["c"], axis=1),
            helper.make_node("MatMul", ["c", "v"], ["m"]),
            helper.make_node("Mul", ["m", "s"], ["y"]),
        ],
        {"x": ["n", 3]},
        ["y"],
        {"w": weight(4, 3), "b": weight(4), "v": weight(7, 2), "s": weight(2)},
    )
    image = make_model(
        [
            helper.make_node("Pad", ["x", "pads"], ["p"], mode="constant"),
            helper.make_node("Conv", ["p", "w", "b"], ["c"], strides=[1, 2], group=2),
            helper.make_node("LeakyRelu", ["c"], ["l"], alpha=0.25),
            helper.make_node("MaxPool", ["l"], ["m"], kernel_shape=[2, 2], ceil_mode=1),
            helper.make_node("AveragePool", ["m"], ["a"], kernel_shape=[2, 1]),
            helper.make_node("Reshape", ["a", "shape"], ["r"]),
            helper.make_node("ReduceMax", ["r"], ["y"], axes=[1], keepdims=1),
        ],
        {"x": [1, 2, 5, 6]},
        ["y"],
        {
            "pads": np.array([0, 0, 1, 0, 0, 0, 0, 1]),
            "w": weight(4, 1, 2, 2),
            "b": weight(4),
            "shape": np.array([0, -1]),
        },
    )
    shapes = make_model(
        [
            helper.make_node("Split", ["x", "parts"], ["a", "b"], axis=1),
            helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
            helper.make_node("Expand", ["t", "size"], ["e"]),
            helper.make_node("Slice", ["e", "from", "to"], ["s"]),
            helper.make_node("Gather", ["b", "from"], ["g"], axis=1),
            helper.make_node("Max", ["s", "g"], ["k"]),
            helper.make_node("Clip", ["k", "low"], ["d"]),
            helper.make_node("ConstantOfShape", ["parts"], ["ones"]),
            helper.make_node("Tile", ["d", "two"], ["u"]),
            helper.make_node("ReduceSum", ["u", "zero"], ["f"]),
            helper.make_node("Sub", ["f", "ones"], ["y"]),
        ],
        {"x": ["n", 6]},
        ["y"],
        {
            "parts": np.array([4, 2]),
            "size": np.array([4, 3]),
            "from": np.array([1, 1]),
            "to": np.array([4, 2]),
            "low": np.array(0.5, np.float32),
            "two": np.array([2, 1]),
            "zero": np.array([0]),
        },
    )
    return [dense, image, shapes]


def mutated_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        where = int(rng.integers(len(data)))
        match rng.integers(4):
            case 0:
                data[where] = int(rng.integers(256))
            case 1:
                data[where] ^= 1 << int(rng.integers(8))
            case 2:
                del data[where : where + int(rng.integers(1, 30))]
            case _:
                data[where:where] = rng.bytes(int(rng.integers(1, 30)))
        if not data:
            break
    return bytes(data)


NUMBERS = [0, 1, 2, -1, 3, 7, 2**31, -(2**31), 2**40, 2**63 - 1, -(2**63)]
OPERATORS = [
    "Relu", "Gemm", "Conv", "MaxPool", "Reshape", "Expand", "Tile", "Pad", "Sigmoid", "Split",
    "Max", "BatchNormalization", "ConstantOfShape", "Range", "Where", "Squeeze", "Loop", "If",
    "Shape",
]  # fmt: skip


def mutated_graph(model: onnx.ModelProto, rng: np.random.Generator) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for _ in range(int(rng.integers(1, 4))):
        node = graph.node[int(rng.integers(len(graph.node)))]
        tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
        number = NUMBERS[int(rng.integers(len(NUMBERS)))]
        names = [name for n in graph.node for name in (*n.input, *n.output)]
        match rng.integers(9):
            case 0:
                node.op_type = OPERATORS[int(rng.integers(len(OPERATORS)))]
            case 1 if node.input:
                node.input[int(rng.integers(len(node.input)))] = names[
                    int(rng.integers(len(names)))
                ]
            case 2 if node.attribute:
                attribute = node.attribute[int(rng.integers(len(node.attribute)))]
                attribute.i = number
                if attribute.ints:
                    attribute.ints[int(rng.integers(len(attribute.ints)))] = number
            case 3 if tensor.dims:
                tensor.dims[int(rng.integers(len(tensor.dims)))] = number
            case 4:
                values = np.array([number, 1], dtype=np.int64)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
            case 5:
                values = np.array([[np.nan, 1e308], [np.inf, -1e-320]], dtype=np.float64)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
            case 6:
                dims = graph.input[0].type.tensor_type.shape.dim
                dims[int(rng.integers(len(dims)))].dim_value = number
            case 7:
                copy.opset_import[0].version = int(rng.integers(0, 30))
            case _:
                tensor.data_type = int(rng.integers(0, 25))
    return copy.SerializeToString()


def mutant(index: int, rng: np.random.Generator, models: list[onnx.ModelProto]) -> bytes:
    """Damage a network of several layers, or one operator with its attributes."""
    model = models[index % len(models)]
    if index % 2:
        case = CASES[int(rng.integers(len(CASES)))]
        opset = case.opsets[int(rng.integers(len(case.opsets)))]
        model = build(case, opset, ("input", "affine", "relu")[index % 3], np.float32)
        if not model.graph.initializer:
            model.graph.initializer.append(numpy_helper.from_array(np.ones(2), "unused"))
    if index % 4 < 2:
        return mutated_bytes(model.SerializeToString(), rng)
    return mutated_graph(model, rng)


def run(count: int, folder: Path, seed: int) -> Counter[int]:
    """Return how often each exit code came."""
    rng = np.random.default_rng(seed)
    models = seeds()
    path = folder / "mutant.onnx"
    codes: Counter[int] = Counter()
    for index in range(count):
        path.write_bytes(mutant(index, rng, models))
        start = time.perf_counter()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["verify", str(path), "--time-limit", "1"])
        assert time.perf_counter() - start < SECONDS, index
        if code == ExitCode.ERROR:
            assert err.getvalue().startswith(f"jensen: error: {path}: "), (index, err.getvalue())
            assert err.getvalue().count("\n") == 1
            assert not out.getvalue()
        else:
            assert out.getvalue().split()[0] in ("convex", "nonconvex", "unknown"), index
        codes[code] += 1
    return codes


def test_the_seeds_are_networks(tmp_path):
    for i, model in enumerate(seeds()):
        onnx.save(model, tmp_path / f"{i}.onnx")
        assert load(tmp_path / f"{i}.onnx").relu_count > 0


def test_mutated_files_give_a_verdict_or_one_line(tmp_path):
    codes = run(200, tmp_path, seed=0)
    assert set(codes) >= {ExitCode.CONVEX, ExitCode.NONCONVEX, ExitCode.ERROR}


@pytest.mark.slow
def test_two_thousand_mutated_files_give_a_verdict_or_one_line_in_bounded_memory(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, hard))
    try:
        codes = run(2000, tmp_path, seed=1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert codes[ExitCode.CONVEX] + codes[ExitCode.NONCONVEX] > 100
