"""`--fix`: the same verdicts as the fixed network, certificates included."""

from __future__ import annotations

import json

import pytest

from jensen.cli import main
from jensen.network.relu_network import ReluNetwork


@pytest.fixture
def coupled(tmp_path):
    """|x + p| + |x - p| - relu(p): convex in x alone."""
    rows = [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 1.0]]
    network = ReluNetwork.from_layers([rows, [[1.0, 1.0, 1.0, 1.0, -1.0]]], [[0] * 5, [0]])
    network.save(tmp_path / "coupled.npz")
    return str(tmp_path / "coupled.npz")


def test_a_fixed_input_changes_the_verdict(capsys, coupled):
    assert main(["verify", coupled, "--box", "-1", "1"]) == 1
    assert main(["verify", coupled, "--box", "-1", "1", "--fix", "1=0.1"]) == 0
    assert "convex" in capsys.readouterr().out
    assert main(["violation", coupled, "--box", "-1", "1", "--fix", "1=0.25", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upper"] < 1e-9


def test_a_certificate_of_a_fixed_network_is_checked_against_it(capsys, coupled, tmp_path):
    proof, model = str(tmp_path / "proof.jsonl"), str(tmp_path / "model.json")
    fix = ["--fix", "1=0.1"]
    assert main(["verify", coupled, *fix, "--certificate", proof]) == 0
    assert main(["check", coupled, proof, *fix]) == 0
    assert main(["check", coupled, proof]) == 1
    assert main(["export", coupled, model, *fix]) == 0
    assert main(["check", model, proof]) == 0
    assert main(["convert", coupled, str(tmp_path / "fixed.npz"), *fix]) == 0
    assert main(["verify", str(tmp_path / "fixed.npz")]) == 0


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        (["--fix", "one=1"], "an input and its value such as 3=0.5"),
        (["--fix", "0_1=1"], "an input and its value such as 3=0.5"),
        (["--fix", "1=0,1=2"], "input 1 is fixed twice"),
        (["--fix", "1=0", "--fix", "1=2"], "input 1 is fixed twice"),
        (["--fix", "7=0"], "input 7 to fix: the network has 2"),
        (["--fix", "0=0,1=0"], "at least one has to be left"),
    ],
)
def test_bad_assignments_are_one_line(capsys, coupled, fix, message):
    assert main(["verify", coupled, *fix]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
