"""`jensen verify`: every verdict as JSON, every bad input in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import refused

import jensen.prover.trees.facet_programs
from jensen.cli import main
from jensen.network.relu_network import ReluNetwork

CODES = {"convex": 0, "nonconvex": 1, "unknown": 3}


def verdict_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    """Run with --json: strict JSON on standard output, nothing on standard error."""
    code = main(["verify", *map(str, arguments), "--json"])
    captured = capsys.readouterr()

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads(captured.out, parse_constant=refuse)
    assert captured.err == ""
    assert CODES[record["status"]] == code
    return record


@pytest.fixture
def hard_file(tmp_path):
    """The maximum of 8 affine functions, by matches of two: more than one node per group."""
    rng = np.random.default_rng(0)
    players, weights = rng.normal(size=(8, 3)), []
    while len(players) > 1:
        pairs = list(zip(players[::2], players[1::2], strict=True))
        weights.append(np.vstack([row for a, b in pairs for row in (a - b, b, -b)]))
        players = np.kron(np.eye(len(pairs)), [1.0, 1.0, -1.0])
    weights.append(players)
    biases = [np.zeros(len(w)) for w in weights]
    ReluNetwork.from_layers(weights, biases).save(tmp_path / "hard.npz")
    return tmp_path / "hard.npz"


@pytest.mark.parametrize("engine", ["auto", "tree", "milp", "midpoint"])
def test_all_engines_answer_in_json(capsys, convex_file, nonconvex_file, engine):
    options = ["--box", "-1", "1", "--engine", engine]
    assert verdict_of(capsys, convex_file, *options)["status"] == "convex"
    record = verdict_of(capsys, nonconvex_file, *options)
    assert record["status"] == "nonconvex"
    assert record["engine"] == engine
    assert record["counterexample"]["violation_float"] > 0


def test_unknown_is_json_with_a_reason(capsys, hard_file):
    assert verdict_of(capsys, hard_file)["status"] == "convex"
    limits = ["--engine", "tree", "--node-limit", "1"]
    record = verdict_of(capsys, hard_file, *limits)
    assert record["status"] == "unknown"
    assert "left open" in record["note"]
    assert {"open", "sign"} & set(record["reasons"])
    code = main(["verify", str(hard_file), *limits])
    out = capsys.readouterr().out
    assert code == 3
    assert out.startswith("unknown")
    assert "left open" in out


def test_a_time_limit_that_is_over_at_once_is_unknown_or_right(capsys, hard_file, nonconvex_file):
    for model, answer in ((hard_file, "convex"), (nonconvex_file, "nonconvex")):
        record = verdict_of(capsys, model, "--time-limit", "1e-9")
        assert record["status"] in {answer, "unknown"}


def test_several_outputs_are_one_json_record(capsys, tmp_path):
    network = ReluNetwork.from_layers(
        [np.eye(2), [[1.0, 1.0], [-1.0, 1.0]]], [[0.0, 0.0], [0.0, 0.0]]
    )
    network.save(tmp_path / "two.npz")
    record = verdict_of(capsys, tmp_path / "two.npz")
    assert record["status"] == "nonconvex"
    assert [part["status"] for part in record["outputs"]] == ["convex", "nonconvex"]
    assert verdict_of(capsys, tmp_path / "two.npz", "--output", "0")["status"] == "convex"


def test_numbers_beyond_the_doubles_are_json_too(capsys, tmp_path):
    huge = ReluNetwork.from_layers([[[1e200]], [[1e200]], [[-1e-10]]], [[0.0], [0.0], [0.0]])
    huge.save(tmp_path / "huge.npz")
    record = verdict_of(capsys, tmp_path / "huge.npz")
    assert record["status"] == "nonconvex"
    assert isinstance(record["counterexample"]["slope_change"], float)


def test_partial_convexity_and_tolerance_are_options(capsys, nonconvex_file):
    record = verdict_of(capsys, nonconvex_file, "--in", "1,0", "--box", "-1", "1")
    assert record["claim"] == "convex in inputs 0,1"
    record = verdict_of(capsys, nonconvex_file, "--tolerance", "10")
    assert record["status"] == "convex"
    assert record["tolerance"] == 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--box", "1", "-1"], "lower > upper"),
        (["--box", "0,0", "1,-1"], "lower > upper at input 1"),
        (["--box", "0,0,0", "1"], "box has 3 dimensions, the network 2 inputs"),
        (["--box", "0,0", "1,1,1"], "box sides have 2 and 3 numbers"),
        (["--box", "1e400", "1"], "infinite"),
        (["--box", "0,", "1"], "no number"),
        (["--in", "2"], "the network has 2"),
        (["--in", "-1"], "input numbers"),
        (["--in", ""], "input numbers"),
        (["--in", "99999999999999999999"], "the network has 2"),
        (["--everywhere", "--domain", "x.json"], "exclude each other"),
        (["--box", "0", "1", "--domain", "x.json"], "exclude each other"),
        (["--domain", "missing.json"], "missing.json: No such file"),
        (["--engine", "magic"], "magic"),
        (["--engine", "midpoint"], "needs a box"),
        (["--engine", "midpoint", "--in", "0", "--box", "-1", "1"], "partial convexity"),
        (["--engine", "milp", "--certificate", "x"], "certificates need the tree"),
        (["--tolerance", "1", "--certificate", "x"], "leave out the tolerance"),
        (["--time-limit", "-1"], "time limit -1"),
        (["--time-limit", "x"], "not a valid float"),
        (["--node-limit", "0"], "node limit 0"),
        (["--threads", "0"], "threads 0"),
        (["--seed", "-1"], "seed -1"),
        (["--tolerance", "nan"], "tolerance nan"),
        (["--output", "1"], "there is no output 1: the network has one output"),
        (["--output", "-1"], "output -1"),
        (["another.npz"], "unexpected extra argument"),
    ],
)
def test_bad_options(capsys, monkeypatch, tmp_path, convex_file, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, "verify", convex_file, *arguments)


def test_a_bad_option_is_found_whatever_the_network(capsys, convex_file, nonconvex_file):
    """Not only where the cheap screens leave something to do."""
    for model in (convex_file, nonconvex_file):
        assert "needs a box" in refused(capsys, "verify", model, "--engine", "midpoint")
        assert "seed" in refused(capsys, "verify", model, "--seed", "-1")


@pytest.mark.parametrize("place", ["nowhere/proof.jsonl", "."])
def test_a_place_for_the_certificate_is_checked_before_the_work(
    capsys, monkeypatch, tmp_path, convex_file, place
):
    monkeypatch.setattr(
        "jensen.cli.verify.verify", lambda *_, **__: pytest.fail("the work was done first")
    )
    assert "folder" in refused(capsys, "verify", convex_file, "--certificate", tmp_path / place)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "a table"),
        ('{"type": "ball"}', "'ball'"),
        ('{"type": "box", "lower": 0}', "keys"),
        ('{"type": "box", "lower": 0, "upper": "x"}', "not numbers"),
        ('{"type": "polyhedron", "A": [[1]], "b": [1]}', "polyhedron has 1 dimensions"),
        ('{"type": "polyhedron", "A": [[1, 2], [3]], "b": [1, 1]}', "not numbers"),
        ('{"type": "polyhedron", "A": [[1, 0], [-1, 0]], "b": [0, -1]}', "empty"),
    ],
)
def test_bad_domain_files(capsys, tmp_path, convex_file, content, says):
    file = tmp_path / "domain.json"
    file.write_text(content)
    assert says in refused(capsys, "verify", convex_file, "--domain", file)


def test_a_solver_that_fails_is_an_unknown_that_says_so(capsys, monkeypatch, hard_file):
    def fail(*_: object, **__: object) -> None:
        raise jensen.errors.SolverError("the solver gave up")

    monkeypatch.setattr(jensen.prover.trees.facet_programs.FacetSearch, "run", fail)
    record = verdict_of(capsys, hard_file, "--engine", "milp")
    assert record["status"] == "unknown"
    assert record["note"] == "the solver gave up"
