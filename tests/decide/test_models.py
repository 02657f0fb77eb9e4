"""The shipped models are what their manifest says, in exact arithmetic."""

from __future__ import annotations

import importlib.util
import itertools
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, domain_from_json
from jensen.network.relu_network import ReluNetwork

FOLDER = Path(__file__).resolve().parents[2] / "models"
ROWS = tomllib.loads((FOLDER / "manifest.toml").read_text(encoding="utf-8"))["model"]
WITNESSES = tomllib.loads((FOLDER / "witnesses.toml").read_text(encoding="utf-8"))["witness"]
FILES = sorted(path.name for path in FOLDER.glob("*.onnx"))
CONVEX = [row for row in ROWS if row["expected"] == "convex"]
NONCONVEX = [row for row in ROWS if row["expected"] == "nonconvex"]
OPERATORS = {"Gemm", "MatMul", "Add", "Sub", "Relu", "Identity", "Flatten", "Reshape"} | {
    "Constant",
    "Concat",
}
MAX_RELUS = 60


def _exact_onnx() -> Any:
    """The rational ONNX interpreter of models/, which shares no code with the library."""
    spec = importlib.util.spec_from_file_location("exact_onnx", FOLDER / "exact_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ExactModel = _exact_onnx().ExactModel


def row_id(row: dict[str, Any]) -> str:
    where = "everywhere" if row["domain"] == "everywhere" else "box"
    return f"{row['file']}-{where}-{row.get('output', 0)}"


def domain_of(row: dict[str, Any]) -> Domain:
    return Everywhere() if row["domain"] == "everywhere" else domain_from_json(row["domain"])


def initializers(name: str) -> dict[str, np.ndarray]:
    graph = onnx.load(FOLDER / name).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def random_points(row: dict[str, Any], inputs: int, count: int, seed: int) -> np.ndarray:
    """Points of the row's domain, on a grid of 1/64 so that fractions stay short."""
    domain = domain_of(row)
    lower, upper = (
        domain.bounds(inputs) if isinstance(domain, Box) else (np.full(inputs, -8.0), 8.0)
    )
    draws = np.random.default_rng(seed).uniform(lower, upper, (count, inputs))
    return np.round(draws * 64) / 64


# ------------------------------------------------------------------------ manifest


def test_every_model_is_in_the_manifest_and_every_row_has_its_file():
    assert sorted({row["file"] for row in ROWS}) == FILES
    assert len(FILES) >= 14


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_every_row_says_what_is_expected_why_and_where_it_comes_from(row):
    assert set(row) - {"output"} == {"file", "domain", "expected", "reason", "origin"}
    assert row["expected"] in {"convex", "nonconvex"}
    for key in ("reason", "origin"):
        assert len(row[key]) > 10
        assert "\n" not in row[key]
    inputs = ExactModel(FOLDER / row["file"]).inputs
    domain_of(row).check(inputs)


def test_the_readme_names_every_model():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in FILES if name not in readme] == []


@pytest.mark.parametrize("name", FILES)
def test_files_are_small_plain_and_free_of_machine_paths(name):
    path = FOLDER / name
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert model.opset_import[0].version >= 17
    assert path.stat().st_size < 10_000
    assert b".py" not in path.read_bytes()


# ------------------------------------------------------------------------- loading


@pytest.mark.parametrize("name", FILES)
def test_the_loaded_network_equals_onnxruntime_and_the_exact_interpreter(name):
    network: ReluNetwork = jensen.load(FOLDER / name)
    model = ExactModel(FOLDER / name)
    assert network.input_size == model.inputs
    assert network.relu_count <= MAX_RELUS
    points = np.random.default_rng(0).normal(scale=2.0, size=(200, model.inputs))
    points = points.astype(np.float32)
    session = ort.InferenceSession(FOLDER / name, providers=["CPUExecutionProvider"])
    batch = points.reshape(-1, *model.shape)
    expected = np.asarray(session.run(None, {"x": batch})[0]).reshape(len(points), -1)
    np.testing.assert_allclose(network(points), expected, rtol=1e-5, atol=1e-4)
    for point in points[:5]:
        exact = network.exact(point.tolist())
        assert exact == tuple(model(point.tolist(), k) for k in range(network.output_size))


# -------------------------------------------------------------- expected verdicts hold


@pytest.mark.parametrize("row", NONCONVEX, ids=row_id)
def test_nonconvex_rows_have_a_pair_that_breaks_convexity_exactly(row):
    output = row.get("output", 0)
    (witness,) = [w for w in WITNESSES if (w["file"], w["output"]) == (row["file"], output)]
    x, y = ([Fraction(v) for v in witness[key]] for key in ("x", "y"))
    domain = domain_of(row)
    assert domain.contains(x)
    assert domain.contains(y)
    violation = ExactModel(FOLDER / row["file"]).violation(x, y, output)
    assert violation > 0
    assert float(violation) == pytest.approx(witness["violation"], rel=1e-5)


@pytest.mark.parametrize("row", CONVEX, ids=row_id)
def test_convex_rows_have_no_violation_at_random_pairs(row):
    model = ExactModel(FOLDER / row["file"])
    x = random_points(row, model.inputs, 60, seed=1)
    y = random_points(row, model.inputs, 60, seed=2)
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        assert model.violation(a, b, row.get("output", 0)) <= 0


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("icnn_log_sum_exp.onnx", ("skips",)),
        ("icnn_mpc_value.onnx", ("skips",)),
        ("clipped_cost.onnx", ("network.skips", "network.cap")),
        ("inactive_negative.onnx", ("icnn.skips", "direction", "below", "back")),
        ("residual_convex.onnx", ("stem",)),
    ],
)
def test_weights_behind_neurons_are_stored_nonnegative(name, free):
    weights = initializers(name)
    behind = [k for k in weights if k.endswith("weight") and not k.startswith(free)]
    assert behind
    for key in behind:
        assert (weights[key] >= 0).all(), key


def test_the_concatenating_network_is_nonnegative_where_it_reads_neurons():
    weights = initializers("deep_concat.onnx")
    layers = [w for key, w in weights.items() if key.startswith("layers") and w.ndim == 2]
    assert len(layers) == 6
    assert all((layer[:, :-3] >= 0).all() for layer in layers)


def test_the_convex_output_of_two_reads_nonnegative_weights_and_the_other_does_not():
    weights = initializers("two_outputs.onnx")
    assert (weights["layers.0.weight"] >= 0).all()
    assert (weights["layers.1.weight"][0] >= 0).all()
    assert (weights["layers.1.weight"][1] < 0).any()


def test_the_needle_is_one_negative_weight_at_a_neuron_that_acts_in_one_corner():
    weights = initializers("icnn_needle.onnx")
    np.testing.assert_array_equal(weights["skips.0.weight"][0], 1.0)
    assert weights["skips.0.bias"][0] == -2.875
    second = weights["layers.0.weight"]
    assert np.count_nonzero(second[:, 0]) == 1
    assert second[:, 0].min() == -0.5
    assert (second[:, 1:] >= 0).all()
    assert (weights["layers.1.weight"] >= 0).all()


def test_random_sampling_misses_the_needle():
    session = ort.InferenceSession(FOLDER / "icnn_needle.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 2000, 3)).astype(np.float32)

    def value(points: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {"x": points})[0], dtype=float)[:, 0]

    assert (value((x + y) / 2) - (value(x) + value(y)) / 2).max() < 1e-5


def test_negative_weights_of_the_guards_meet_only_inactive_neurons():
    weights = initializers("inactive_negative.onnx")
    direction, below = weights["direction.weight"], weights["below.weight"]
    np.testing.assert_array_equal(below, -4 * direction)
    assert (weights["direction.bias"] <= -0.25).all()
    assert (weights["below.bias"] <= 0).all()
    np.testing.assert_array_equal(weights["back.weight"], -3 * np.eye(len(direction)))


def test_the_clipped_cost_stays_below_its_cap_on_the_box():
    model = ExactModel(FOLDER / "clipped_cost.onnx")
    cap = Fraction(float(initializers("clipped_cost.onnx")["cap"][0]))
    corners = itertools.product((-2, 2), repeat=2)
    assert max(model(corner) for corner in corners) < cap


@pytest.mark.parametrize("name", ["max_affine.onnx", "mpc_cuts.onnx"])
def test_a_tournament_is_the_maximum_of_its_pieces_exactly(name):
    weights = initializers(name)
    biases = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in onnx.load(FOLDER / name).graph.node
        if node.op_type == "Constant"
    }
    first, shift = weights["W0"].T, biases["b0"]
    loser = first[1::3], shift[1::3]
    winner = first[0::3] + loser[0], shift[0::3] + loser[1]
    pieces, offsets = (np.concatenate(p) for p in zip(loser, winner, strict=True))
    assert len(pieces) == 8
    model = ExactModel(FOLDER / name)
    for point in random_points({"domain": "everywhere"}, model.inputs, 50, seed=3).tolist():
        values = [
            sum(Fraction(float(a)) * Fraction(v) for a, v in zip(row, point, strict=True))
            + Fraction(float(c))
            for row, c in zip(pieces, offsets, strict=True)
        ]
        assert model(point) == max(values)


def test_the_worst_two_are_the_mean_of_the_two_largest_losses_exactly():
    name = "worst_two.onnx"
    weights = initializers(name)
    losses = [w[0] for key, w in weights.items() if key.startswith("losses")]
    assert len(losses) == 6
    model = ExactModel(FOLDER / name)
    for point in random_points({"domain": "everywhere"}, 4, 50, seed=4).tolist():
        values = sorted(
            sum(Fraction(float(a)) * Fraction(v) for a, v in zip(row, point, strict=True))
            for row in losses
        )
        assert model(point) == (values[-1] + values[-2]) / 2


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("tv_huber.onnx", lambda v: v / 4 + max(v - 0.25, 0) / 2 + max(v - 0.5, 0) / 4),
        ("tv_truncated.onnx", lambda v: min(v, 0.5)),
    ],
)
def test_a_patch_potential_is_its_profile_summed_over_neighbours_exactly(name, profile):
    model = ExactModel(FOLDER / name)
    for point in random_points({"domain": "everywhere"}, 4, 50, seed=5).tolist():
        a, b, c, d = (v / 8 for v in point)
        edges = [abs(a - b), abs(c - d), abs(a - c), abs(b - d)]
        # all numbers are small multiples of 1/2048: floats are exact here
        assert model([a, b, c, d]) == sum(map(profile, edges))


@pytest.mark.parametrize(
    ("name", "convex"), [("newsvendor.onnx", True), ("newsvendor_subsidy.onnx", False)]
)
def test_twins_of_the_newsvendor_are_scaled_by_minus_four_and_their_jumps_add_up(name, convex):
    weights = initializers(name)
    rows, costs = weights["W0"].T, weights["W1"][:, 0]
    np.testing.assert_array_equal(rows[1::2], -4 * rows[0::2])
    jumps = costs[0::2] + 4 * costs[1::2]
    assert (costs < 0).any()
    assert bool((jumps >= 0).all()) is convex


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_verify_gives_the_expected_verdict(row):
    network = jensen.load(FOLDER / row["file"])
    verdict = jensen.verify(network, domain_of(row), output=row.get("output"), time_limit=60.0)
    assert str(verdict.status) == row["expected"]
