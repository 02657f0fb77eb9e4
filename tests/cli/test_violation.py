"""``jensen violation``: both measures, on every domain, for people and for programs."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest

from jensen.cli import main
from jensen.network.relu_network import ReluNetwork


@pytest.fixture
def run(capsys):
    def command(*argv):
        code = main(["violation", *map(str, argv)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def clip_file(tmp_path):
    """``min(relu(x), 1)``: convex at infinity, violated by 1/2 at most."""
    network = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1.0]]], [[0.0, -1.0], [0.0]])
    network.save(tmp_path / "clip.npz")
    return tmp_path / "clip.npz"


def test_bounds_hold_the_exact_value(run, nonconvex_file):
    # f = -|x| - |y| on [-1, 1]^2: the worst pair is a pair of opposite corners
    code, out, _ = run(nonconvex_file, "--box", "-1", "1", "--json")
    record = json.loads(out)
    assert code == 1
    assert record["measure"] == "midpoint"
    assert record["lower"] <= 2 <= record["upper"] + 1e-6
    assert record["lower"] == pytest.approx(2, abs=1e-3)
    assert record["range_attained"] == [-2.0, 0.0]
    assert record["share_of_range"][1] == 1.0
    assert record["violation_per_distance"] == pytest.approx(2**-0.5, abs=1e-3)


def test_people_read_pair_values_bounds_and_trust(run, nonconvex_file):
    code, out, _ = run(nonconvex_file, "--box", "-1", "1")
    assert code == 1
    for text in ("<= worst midpoint violation <=", "f(x) =", "f(m) =", "|x-y| =", "range of f"):
        assert text in out
    assert "up to" in out or "real arithmetic" in out


def test_a_convex_network_has_none(run, convex_file):
    assert run(convex_file, "--box", "-1", "1")[0] == 0
    assert run(convex_file, "--everywhere")[0] == 0
    code, out, _ = run(convex_file, "--measure", "jump")
    assert code == 0
    assert "0 <= worst gradient jump <= 0" in out


def test_everywhere_is_the_default_and_tells_unbounded(run, nonconvex_file):
    code, out, _ = run(nonconvex_file)
    assert code == 1
    assert "unbounded" in out
    assert " s less a constant" in out
    code, out, _ = run(nonconvex_file, "--everywhere", "--json")
    record = json.loads(out)
    assert record["unbounded"] is True
    assert record["upper"] is None
    assert record["growth_rate"] > 0


def test_everywhere_a_finite_violation_is_given(run, clip_file):
    code, out, _ = run(clip_file, "--everywhere", "--json")
    record = json.loads(out)
    assert code == 1
    assert record["unbounded"] is False
    assert record["lower"] == pytest.approx(0.5)
    assert record["upper"] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("domain", [["--box", "-2", "2"], ["--everywhere"], []])
def test_the_jump_and_its_facet(run, clip_file, domain):
    code, out, _ = run(clip_file, "--measure", "jump", *domain)
    assert code == 1
    assert "1 <= worst gradient jump <= 1" in out
    assert "real arithmetic" in out
    assert "at (1)" in out
    assert "falls from" in out
    record = json.loads(run(clip_file, "--measure", "jump", *domain, "--json")[1])
    assert record["point"] == ["1"]
    assert Fraction(record["exact_squared"]) == 1
    assert record["tolerance"] is None
    assert record["neurons"] == ["relu_1[1]"]


def test_bounded_polyhedra_have_both_measures_and_others_jumps(run, clip_file, tmp_path):
    domain = tmp_path / "half.json"
    domain.write_text(json.dumps({"type": "polyhedron", "A": [[1.0]], "b": [3.0]}))
    code, _, err = run(clip_file, "--domain", domain)
    assert code == 2
    assert "measure jump" in err
    assert run(clip_file, "--domain", domain, "--measure", "jump")[0] == 1
    domain.write_text(json.dumps({"type": "polyhedron", "A": [[1.0], [-1.0]], "b": [3.0, 1.0]}))
    record = json.loads(run(clip_file, "--domain", domain, "--json")[1])
    box = json.loads(run(clip_file, "--box", "-1", "3", "--json")[1])
    assert record["lower"] == pytest.approx(box["lower"], rel=1e-9)
    assert record["upper"] >= box["lower"]


def test_a_time_limit_without_a_violation_is_unknown(run, tmp_path):
    rng = np.random.default_rng(0)
    sizes = [8, 40, 40, 1]
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=n) for n in sizes[1:]])
    network.save(tmp_path / "hard.npz")
    limits = ["--box", "-1", "1", "--measure", "jump", "--time-limit", "1e-3"]
    code, out, _ = run(tmp_path / "hard.npz", *limits)
    assert code == 3
    assert "0 <= worst gradient jump" in out
    assert "time limit" in out


def test_other_measures_are_refused(run, clip_file):
    code, _, err = run(clip_file, "--measure", "area")
    assert code == 2
    assert "midpoint" in err


def test_concavity_is_measured_when_asked_for(run, convex_file):
    code, out, _ = run(convex_file, "--box", "-1", "1", "--concave", "--json")
    record = json.loads(out)
    assert code == 1
    assert record["concave"] is True
    assert record["lower"] > 0
    assert record["violation_per_distance"] > 0
    code, out, _ = run(convex_file, "--box", "-1", "1", "--concave")
    assert "worst midpoint violation of concavity" in out
    assert "(f(x)+f(y))/2 - f(m) =" in out
    code, out, _ = run(convex_file, "--measure", "jump", "--concave")
    assert code == 1
    assert "worst gradient jump upwards" in out
    assert "along the normal rises from" in out
    code, out, _ = run(convex_file, "--everywhere", "--concave")
    assert "violates concavity by" in out
