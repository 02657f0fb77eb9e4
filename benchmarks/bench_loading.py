"""Loading: plain networks against onnx.load and a forward pass, an image network at all.

    python benchmarks/bench_loading.py

Writes models to a temporary folder and prints a table. The yardstick of a plain network is
what any user of the file has to do: ``onnx.load``, and one forward pass of onnxruntime with
the session that it needs. Every time is that of the first call with the file, in a new
process that has worked through a tiny model before: what each package sets up once (here
10 ms for the operators' definitions, in onnxruntime 6 ms) is left out like the imports. The
input-convex image network (3x64x64 inputs, 4 convolution layers of 16 channels) is verified
in a process of its own, for its peak of memory.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

import jensen
import jensen.loaders.onnx.reader

MLPS = [(5, *[50] * 6, 5), (100, *[200] * 4, 10), (784, 1024, 1024, 10), (2000, 4000, 4000, 1)]
TINY = (2, 2, 1)
CHANNELS, LAYERS, SIZE = 16, 4, 64
REPEATS = 7


def write(path: Path, nodes: list, shape: tuple[int, ...], constants: dict) -> None:
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()],
    )
    imports = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


def write_mlp(path: Path, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    nodes, constants, last = [], {}, "x"
    for i, (width, size) in enumerate(pairwise(sizes)):
        constants[f"w{i}"] = rng.normal(size=(size, width)) / np.sqrt(width)
        constants[f"b{i}"] = rng.normal(size=size)
        final = i == len(sizes) - 2
        target = "y" if final else f"z{i}"
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [target], transB=1))
        if not final:
            nodes.append(helper.make_node("Relu", [target], [f"h{i}"]))
        last = f"h{i}"
    write(path, nodes, sizes[:1], constants)


def write_image_icnn(path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes, constants, last = [], {}, None
    for i in range(LAYERS):
        constants[f"u{i}"] = rng.normal(size=(CHANNELS, 3, 3, 3)) / 5
        constants[f"b{i}"] = rng.normal(size=CHANNELS)
        skip = ["x", f"u{i}", f"b{i}"]
        nodes.append(helper.make_node("Conv", skip, [f"s{i}"], pads=[1] * 4))
        total = f"s{i}"
        if last:
            constants[f"w{i}"] = np.abs(rng.normal(size=(CHANNELS, CHANNELS, 3, 3))) / 50
            nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1] * 4))
            nodes.append(helper.make_node("Add", [total, f"c{i}"], [f"z{i}"]))
            total = f"z{i}"
        nodes.append(helper.make_node("Relu", [total], [f"h{i}"]))
        last = f"h{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    constants["v"] = np.abs(rng.normal(size=(CHANNELS, 1)))
    nodes.append(helper.make_node("MatMul", ["flat", "v"], ["y"]))
    write(path, nodes, (3, SIZE, SIZE), constants)


def first_time(action: Callable[[Path], object], path: Path, tiny: Path) -> float:
    """Return the least time of the first call in a new process, in milliseconds."""
    return 1000 * min(_measured(action, path, tiny) for _ in range(REPEATS))


def _measured(*args: object) -> float:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_measure, args=(*args, queue))
    process.start()
    seconds = queue.get()
    process.join()
    return float(seconds)


def _measure(action: Callable[[Path], object], path: Path, tiny: Path, queue: SimpleQueue) -> None:
    action(tiny)
    start = time.perf_counter()
    action(path)
    queue.put(time.perf_counter() - start)


def forward_pass(path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (info,) = session.get_inputs()
    session.run(None, {info.name: np.zeros((1, *info.shape[1:]), np.float32)})


def compare_mlp(path: Path, sizes: tuple[int, ...], tiny: Path) -> None:
    write_mlp(path, sizes)
    parse, forward, ours = (
        first_time(action, path, tiny) for action in (onnx.load, forward_pass, jensen.load)
    )
    name = "-".join(map(str, sizes))
    print(f"{name:28}{parse:11.2f}{forward:13.2f}{ours:10.2f}{ours / (parse + forward):8.2f}x")


def verify_image(path: Path) -> None:
    start = time.perf_counter()
    network = jensen.load(path)
    loaded = time.perf_counter()
    verdict = jensen.verify(network)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nimage ICNN, {network.relu_count:,} ReLUs, {network.parameter_count:,} weights: "
        f"load {loaded - start:.1f} s, {verdict.status} in {end - loaded:.1f} s "
        f"({verdict.reasons}), peak {peak:,.0f} MiB"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, tiny = (Path(folder) / name for name in ("model.onnx", "tiny.onnx"))
        write_mlp(tiny, TINY)
        print(f"{'plain network, times in ms':28}{'onnx.load':>11}{'forward pass':>13}", end="")
        print(f"{'jensen':>10}{'ratio':>9}")
        for sizes in MLPS:
            compare_mlp(path, sizes, tiny)
        write_image_icnn(path)
        process = multiprocessing.get_context("spawn").Process(target=verify_image, args=(path,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
