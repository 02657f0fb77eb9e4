"""`jensen minimise`: bounds on standard output, pairs and refusals, exit codes."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

import jensen
from jensen.cli import main
from jensen.network.relu_network import ReluNetwork


@pytest.fixture
def bowl(tmp_path):
    """|x| + |y - 1|."""
    rows = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    network = ReluNetwork.from_layers([rows, [[1.0] * 4]], [[0, 0, -1, 1], [0]])
    network.save(tmp_path / "bowl.npz")
    return str(tmp_path / "bowl.npz")


def record_of(capsys, *arguments) -> tuple[int, dict]:
    code = main(["minimise", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_minimum_lies_between_two_numbers(capsys, bowl):
    assert main(["minimise", bowl, "--box", "-2", "2", "--linear", "0.5,0"]) == 0
    text = capsys.readouterr().out
    assert "<= minimum <=" in text
    assert "x = (0, 1)" in text
    code, record = record_of(capsys, bowl, "--box", "-2", "2", "--linear", "0.5,0")
    assert code == 0
    assert record["status"] == "minimised"
    assert record["lower"] <= 0 <= record["value"]
    assert record["gap"] < 1e-9
    assert [Fraction(v) for v in record["point"]] == pytest.approx([0, 1], abs=1e-9)


def test_domains_rows_integers_and_fixed_inputs(capsys, bowl, tmp_path):
    half, rows = tmp_path / "half.toml", tmp_path / "rows.json"
    half.write_text('type = "polyhedron"\nA = [[0.0, 1.0]]\nb = [0.25]\n')
    code, record = record_of(capsys, bowl, "--domain", str(half))
    assert (code, record["value"]) == (0, 0.75)
    rows.write_text(json.dumps({"A": [[0, 1]], "b": [0.5], "E": [[1, 1]], "e": [1]}))
    _, record = record_of(capsys, bowl, "--box", "-2", "2", "--rows", str(rows))
    assert record["value"] == pytest.approx(1.0)
    _, record = record_of(capsys, bowl, "--box", "-2", "0.5", "--integers", "1")
    assert record["point"] == ["0", "0"]
    _, record = record_of(capsys, bowl, "--everywhere", "--fix", "1=3")
    assert record["value"] == 2.0


def test_a_network_that_is_not_convex_is_shown_with_its_pair(capsys, bowl, tmp_path):
    jensen.load(bowl).negated().save(tmp_path / "hill.npz")
    hill = str(tmp_path / "hill.npz")
    assert main(["minimise", hill, "--box", "-2", "2"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("nonconvex")
    assert "y = (" in text
    code, record = record_of(capsys, hill, "--box", "-2", "2")
    assert code == 1
    assert Fraction(record["counterexample"]["violation"]) > 0


def test_a_certificate_is_checked_first(capsys, bowl, tmp_path):
    proof = str(tmp_path / "proof.jsonl")
    assert main(["verify", bowl, "--box", "-2", "2", "--certificate", proof]) == 0
    assert main(["minimise", bowl, "--box", "-2", "2", "--certificate", proof]) == 0
    capsys.readouterr()
    assert main(["minimise", bowl, "--box", "-3", "2", "--certificate", proof]) == 2
    assert "does not cover" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--box", "-2", "2", "--linear", "1,2,3"], "linear has shape (3,)"),
        (["--everywhere", "--linear", "5,0"], "falls for ever along"),
        (["--everywhere", "--integers", "0"], "integer inputs need a bounded domain"),
        (["--box", "-2", "2", "--integers", "4"], "integer input 4"),
        (["--box", "-2", "2", "--rows", "missing.json"], "missing.json"),
        (["--box", "0.25", "0.75", "--integers", "0"], "no integer lies between"),
        (["--box", "-2", "2", "--time-limit", "0"], "time limit"),
    ],
)
def test_bad_input_is_one_line(capsys, bowl, arguments, message):
    assert main(["minimise", bowl, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "fault of this program" not in error


def test_files_of_rows_are_checked(capsys, bowl, tmp_path):
    for text in ('{"A": [[1, 0]]}', '{"F": []}', "[]", "{}"):
        file = tmp_path / "rows.json"
        file.write_text(text)
        assert main(["minimise", bowl, "--box", "-2", "2", "--rows", str(file)]) == 2
        assert "rows.json" in capsys.readouterr().err
