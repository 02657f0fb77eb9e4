"""An input-convex network on images: convolutions stay sparse from the file to the verdict."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import assert_same_function, make_model

from jensen.loaders import load

GIBIBYTES = 2
SECONDS = 60


def image_icnn(size, channels, depth=4):
    rng = np.random.default_rng(0)
    nodes, constants, last = [], {}, ""
    for i in range(depth):
        constants[f"u{i}"] = rng.normal(size=(channels, 3, 3, 3)).astype(np.float32)
        constants[f"b{i}"] = rng.normal(size=channels).astype(np.float32)
        nodes.append(helper.make_node("Conv", ["x", f"u{i}", f"b{i}"], [f"z{i}"], pads=[1] * 4))
        total = f"z{i}"
        if last:
            weight = rng.random(size=(channels, channels, 3, 3)) / 50
            constants[f"w{i}"] = weight.astype(np.float32)
            nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], pads=[1] * 4))
            nodes.append(helper.make_node("Add", [total, f"c{i}"], [f"s{i}"]))
            total = f"s{i}"
        last = f"h{i}"
        nodes.append(helper.make_node("Relu", [total], [last]))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "v"], ["y"]))
    constants["v"] = rng.random(size=(channels, 1)).astype(np.float32)
    return make_model(nodes, {"x": ["batch", 3, size, size]}, ["y"], constants)


def test_an_image_network_keeps_its_convolutions_sparse(tmp_path):
    model = image_icnn(size=16, channels=4)
    onnx.save(model, tmp_path / "icnn.onnx")
    network = load(tmp_path / "icnn.onnx")
    assert network.relu_count == 4 * 4 * 16 * 16
    # at most 9 pixels of 3 + 4 channels per neuron, and its bias
    assert network.parameter_count < network.relu_count * (9 * 7 + 2)
    assert_same_function(model, network, points=2)


@pytest.mark.slow
def test_a_large_image_network_is_proved_convex_in_two_gibibytes_and_a_minute(tmp_path):
    onnx.save(image_icnn(size=64, channels=16), tmp_path / "icnn.onnx")
    command = [sys.executable, "-m", "jensen", "verify", str(tmp_path / "icnn.onnx"), "--json"]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < SECONDS
    assert json.loads(result.stdout)["status"] == "convex"
    # in KiB, the most of all children
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < GIBIBYTES * 2**20
