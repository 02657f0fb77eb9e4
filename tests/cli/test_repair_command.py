"""``jensen repair`` writes a network that runs, or nothing."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

import jensen
from jensen.cli import main
from jensen.domains.domain import Box
from jensen.loaders import load
from jensen.network.relu_network import ReluNetwork
from jensen.repairs.nearest import repair


@pytest.fixture
def broken_file(tmp_path):
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=(6, 2)), np.abs(rng.normal(size=(4, 6))), np.ones((1, 4))]
    weights[2][0, :2] = -0.25
    biases = [rng.normal(size=6), np.array([-1.0, -2.0, -1.0, 0.0]), np.zeros(1)]
    network = ReluNetwork.from_layers(weights, biases)
    network.save(tmp_path / "broken.npz")
    return tmp_path / "broken.npz"


def test_the_repaired_model_is_convex_and_runs_in_onnxruntime(broken_file, tmp_path, capsys):
    target = tmp_path / "fixed.onnx"
    assert main(["verify", str(broken_file), "--box", "-1", "1"]) == 1
    capsys.readouterr()
    assert main(["repair", str(broken_file), "--box", "-1", "1", "-o", str(target)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("convex on box [-1, 1]")
    assert "above the least" in shown
    assert f"written to {target}" in shown
    assert main(["verify", str(target), "--box", "-1", "1"]) == 0
    X = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": X})
    np.testing.assert_allclose(found, load(target)(X), rtol=1e-12)
    old = load(broken_file)(X)
    assert np.abs(found - old).max() < np.ptp(old)


def test_json_says_how_far_it_is_from_the_least_change(broken_file, tmp_path, capsys):
    target = tmp_path / "fixed.npz"
    arguments = ["repair", str(broken_file), "--box", "-1", "1", "--norm", "l1", "--json"]
    assert main([*arguments, "-o", str(target)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "convex"
    assert record["norm"] == "l1"
    assert 0 < record["lower"] <= record["change"] <= 1.01 * record["lower"]
    assert record["verdict"]["domain"] == Box(-1.0, 1.0).to_json()
    assert load(target).input_size == 2


def test_a_repair_that_was_given_up_is_undecided_whatever_was_refuted_last(
    broken_file, tmp_path, capsys, monkeypatch
):
    def given_up(network, domain, **options):
        found = repair(network, domain, **options)
        return replace(found, network=network, verdict=jensen.verify(network, domain))

    monkeypatch.setattr(importlib.import_module("jensen.cli.repair"), "repair", given_up)
    target = tmp_path / "fixed.npz"
    assert main(["repair", str(broken_file), "--box", "-1", "1", "-o", str(target)]) == 3
    assert not target.exists()
    assert "not repaired" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "fixed.pt"], "cannot write .pt"),
        (["-o", "nowhere/fixed.onnx"], "no such folder"),
        (["-o", "fixed.onnx", "--output", "2"], "output 2"),
        (["-o", "fixed.onnx", "--time-limit", "-1"], "time limit"),
        ([], "Missing option"),
    ],
)
def test_bad_usage_is_one_error(broken_file, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["repair", str(broken_file), *arguments]) == 2
    assert message in capsys.readouterr().err
