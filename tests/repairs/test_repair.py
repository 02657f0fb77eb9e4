"""The nearest convex network: proved convex, and no nearer one exists."""

from __future__ import annotations

import dataclasses
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jensen
from jensen.network.block import Activation, Block
from jensen.repairs.features import Features
from jensen.repairs.program import (
    Norm,
    Objective,
    nearest_with_margin,
    proved_distance,
    strict_rows,
)

BOX = jensen.Box(-1.0, 1.0)
MODELS = Path(__file__).parents[2] / "models"


def random_network(seed, sizes=(3, 8, 6, 1), single=True):
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes, strict=False))
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in shapes]
    biases = [0.3 * rng.normal(size=size) for size in sizes[1:]]
    if single:
        weights = [w.astype(np.float32).astype(np.float64) for w in weights]
    return jensen.ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_one_hidden_layer_is_repaired_by_its_formula(norm):
    # on R every kink bends by its own output weight: negative ones have to become 0
    network = jensen.ReluNetwork.from_layers(
        [[[1.0], [1.0], [1.0]], [[3.0, -2.0, -1.0]]], [[0.5, 0.0, -0.5], [0.25]]
    )
    fixed = jensen.repair(network, BOX, norm=norm)
    expected = 3.0 if norm == "l1" else np.sqrt(5)
    assert fixed.verdict.status == "convex"
    assert fixed.change == pytest.approx(expected, rel=1e-5)
    assert fixed.lower == pytest.approx(expected, rel=1e-9)
    assert fixed.lower <= expected <= fixed.upper
    # f falls by up to 2 * 1 + 1 * 0.5 at x = 1
    assert fixed.sup_change >= 2.5 - 1e-5
    assert fixed.sup_change == pytest.approx(2.5, rel=1e-3)
    weights = fixed.network["output"].weights["relu_1"][0]
    np.testing.assert_allclose(weights, [3, 0, 0], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_random_networks_are_repaired_to_proved_optimality(seed, norm):
    network = random_network(seed)
    fixed = jensen.repair(network, BOX, norm=norm, seed=seed)
    assert fixed.verdict.status == "convex"
    assert jensen.is_convex(fixed.network, BOX)
    assert 0 < fixed.lower <= fixed.change == fixed.upper
    assert fixed.upper <= 1.01 * fixed.lower
    # only the output weights changed, and they fit in float32 as before
    for old, new in zip(network.hidden, fixed.network.hidden, strict=True):
        assert old.weights == new.weights
    weights = fixed.network["output"].weights["relu_2"]
    np.testing.assert_array_equal(weights, weights.astype(np.float32))
    X = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    assert np.abs(fixed.network(X) - network(X)).max() <= fixed.sup_change


def test_nothing_closer_is_convex_on_a_grid():
    # two output weights: look at all of them
    network = jensen.ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, -1.0], [-1.0, 2.0]], [[1.0, 1.0]]],
        [[0.0, 0.0], [0.25, 0.0], [0.0]],
    )
    fixed = jensen.repair(network, BOX)
    best = np.inf
    for a in np.linspace(-1, 2, 25):
        for b in np.linspace(-1, 2, 25):
            tried = Features(network).with_weights(np.array([a, b]))
            if jensen.is_convex(tried, BOX):
                best = min(best, np.hypot(a - 1, b - 1))
    assert fixed.lower <= best + 1e-9
    assert fixed.change <= best + 1e-5


def test_a_convex_network_is_left_alone():
    network = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    fixed = jensen.repair(network)
    assert (fixed.change, fixed.lower, fixed.upper, fixed.sup_change) == (0, 0, 0, 0)
    assert fixed.network.digest == network.digest
    assert "nothing to do" in fixed.summary


def test_weights_that_have_to_vanish_become_zero_exactly():
    # relu(h) of h = relu(x) - relu(y): output weight w bends up at one kink, down at another
    network = jensen.ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, -1.0]], [[0.7]]], [[0.0, 0.0], [0.1], [0.0]]
    )
    fixed = jensen.repair(network, BOX)
    assert fixed.verdict.status == "convex"
    assert fixed.network["output"].weights["relu_2"][0, 0] == 0
    assert fixed.lower == pytest.approx(0.7, rel=1e-6)


@pytest.mark.parametrize(
    "domain",
    [
        jensen.Everywhere(),
        jensen.Polyhedron([[-1.0, 0, 0], [0, -1, 0], [0, 0, -1], [1, 1, 1]], [0, 0, 0, 1]),
        jensen.Polyhedron([[-1.0, 0, 0]], [0]),
        jensen.Polyhedron([[1.0, 1, 1], [-1, -1, -1], [1, 0, 0], [-1, 0, 0]], [1, -1, 1, 1]),
    ],
    ids=["everywhere", "simplex", "half-space", "flat"],
)
def test_all_domains_are_supported(domain):
    network = random_network(11, (3, 5, 4, 1))
    fixed = jensen.repair(network, domain)
    assert fixed.verdict.status == "convex"
    assert fixed.upper <= 1.01 * fixed.lower + 1e-6
    bounded = jensen.Polyhedron is type(domain) and len(domain.b) == 4 and domain.b[1] == 0
    assert np.isfinite(fixed.sup_change) == bounded


def test_concavity_and_outputs():
    network = random_network(3, (2, 6, 2))
    fixed = jensen.repair(network, BOX, output=1, concave=True, certificate=True)
    assert fixed.verdict.claim == "concave"
    assert fixed.verdict.certificate is not None
    assert jensen.is_convex(fixed.network, BOX, concave=True)
    assert fixed.network.output_size == 1
    with pytest.raises(jensen.OptionError, match="2 outputs"):
        jensen.repair(network, BOX)


def test_a_refit_fits_the_data_better_than_the_nearest_weights():
    rng = np.random.default_rng(5)
    network = random_network(5)
    X = rng.uniform(-1, 1, (400, 3))
    y = (X**2).sum(axis=1)
    nearest = jensen.repair(network, BOX)
    fit = jensen.repair(network, BOX, data=(X, y))
    assert fit.norm == "rms"
    assert fit.verdict.status == "convex"

    def error(net):
        return np.sqrt(np.mean((net(X)[:, 0] - y) ** 2))

    assert fit.change == pytest.approx(error(fit.network), rel=1e-9)
    assert error(fit.network) < error(nearest.network)
    assert fit.lower <= fit.change <= 1.01 * fit.lower
    concave = jensen.repair(network, BOX, data=(X, -y), concave=True)
    assert concave.change == pytest.approx(fit.change, rel=1e-2)


def test_a_time_limit_ends_it_with_what_is_known():
    network = random_network(1, (6, 24, 24, 1))
    fixed = jensen.repair(network, BOX, time_limit=1e-3)
    if fixed.verdict.status != "convex":
        assert fixed.upper == np.inf
        assert fixed.summary.startswith("not repaired")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"norm": "l3"}, jensen.OptionError, "norm 'l3'"),
        ({"data": ([[0.0]], [1.0])}, jensen.OptionError, "needed are"),
        ({"data": ([[0.0] * 3], [1.0, 2.0])}, jensen.OptionError, "needed are"),
        ({"data": ([[0.0] * 3], [np.nan])}, jensen.OptionError, "finite"),
        ({"output": 3}, jensen.NetworkError, "output 3"),
        ({"domain": jensen.Box([0], [1])}, jensen.DomainError, "dimensions"),
        ({"domain": jensen.Polyhedron([[0.0] * 3], [-1])}, jensen.DomainError, "empty"),
    ],
)
def test_bad_input_is_refused_in_one_line(options, error, message):
    with pytest.raises(error, match=message):
        jensen.repair(random_network(0), **({"domain": BOX} | options))


def test_progress_is_reported():
    seen = []
    jensen.repair(random_network(0), BOX, progress=seen.append)
    assert [p.rounds for p in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].rows > 0


# ------------------------------------------------------------------------- the program


def cone(rng, rows, units):
    inside = rng.normal(size=units)
    A = rng.normal(size=(rows, units))
    return A * np.sign(A @ inside)[:, None]


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 5), st.sampled_from(list(Norm)))
def test_the_proved_distance_is_below_and_close_to_the_solution(seed, rows, units, norm):
    rng = np.random.default_rng(seed)
    A, w = cone(rng, rows, units), rng.normal(size=units)
    best, multipliers = Objective(w, None, norm).nearest(A, 0.0)
    assert (A @ best >= -1e-7).all()
    exact = [[Fraction(v) for v in row] for row in A.tolist()]
    lower = proved_distance(exact, multipliers, [Fraction(v) for v in w.tolist()], norm)
    distance = np.linalg.norm(best - w, 1 if norm is Norm.L1 else 2)
    assert lower <= distance * (1 + 1e-7) + 1e-9
    assert lower >= distance * (1 - 1e-6) - 1e-7


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4))
def test_rows_and_their_negatives_are_met_exactly_by_zeros(seed, rows, units):
    rng = np.random.default_rng(seed)
    A = rng.integers(-1, 2, (rows, units)).astype(float)
    A = np.vstack([A, -A[:1]])
    weights = nearest_with_margin(Objective(rng.normal(size=units)), A, 1e-6)
    values = A @ weights
    assert ((values >= 1e-7) | (values == 0)).all()


def test_strict_rows_are_told_from_those_that_stay_zero():
    A = np.array([[1.0, 0, 0], [-1, 0, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(strict_rows(A), [False, False, True, True])


def test_an_objective_with_a_factor_is_the_plain_one_in_other_coordinates():
    rng = np.random.default_rng(2)
    factor = np.triu(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    A, centre = cone(rng, 6, 4), rng.normal(size=4)
    best, _ = Objective(centre, factor).nearest(A, 0.0)
    turned, _ = Objective(factor @ centre).nearest(A @ np.linalg.inv(factor), 0.0)
    np.testing.assert_allclose(factor @ best, turned, atol=1e-9)
    free = np.array([True, False, True, True])
    part, _ = Objective(centre, factor).restricted(free).nearest(A[:, free], 0.0)
    whole = np.zeros(4)
    whole[free] = part
    moved = np.linalg.norm(factor @ (whole - centre))
    for _ in range(200):
        other = whole + 0.1 * rng.normal(size=4) * free
        if (A @ other >= 0).all():
            assert np.linalg.norm(factor @ (other - centre)) >= moved - 1e-9


def test_a_result_that_is_another_function_says_so():
    network = jensen.load(Path(__file__).resolve().parents[2] / "models" / "mlp_bowl.onnx")
    fixed = jensen.repair(network, jensen.Box(-2, 2))
    assert fixed.lower > 0.7 * fixed.change / fixed.relative_change  # nothing near is convex
    assert "make_convex" in fixed.summary


def test_what_is_no_network_or_domain_is_refused_with_what_to_pass():
    with pytest.raises(jensen.errors.NetworkError, match=r"jensen.load\(file\)"):
        jensen.repair(np.ones((1, 2)), BOX)
    with pytest.raises(jensen.errors.ModelFileError, match="no such file"):
        jensen.repair("model.onnx", BOX)
    with pytest.raises(jensen.errors.DomainError, match="where a domain is needed"):
        jensen.repair(random_network(0), "box")


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_a_network_without_kinks_needs_no_repair(norm: str) -> None:
    affine = Block("a", {"input": np.array([[1.0, 2.0]])}, np.zeros(1), Activation.IDENTITY)
    last = Block("output", {"a": np.ones((1, 1))}, np.zeros(1), Activation.IDENTITY)
    network = jensen.ReluNetwork(2, [affine, last])
    for domain in (jensen.Box(-1, 1), jensen.Everywhere()):
        fixed = jensen.repair(network, domain, norm=norm)
        assert fixed.verdict.status is jensen.Status.CONVEX
        assert not fixed.change


def test_on_a_point_every_network_is_convex() -> None:
    network = jensen.ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    assert not jensen.repair(network, jensen.Box([-1.0], [-1.0])).change


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_least_sum_of_changes_does_not_depend_on_the_size_of_f(size: float) -> None:
    rng = np.random.default_rng(61)
    W = [rng.normal(size=(5, 2)), rng.normal(size=(5, 5)), rng.normal(size=(1, 5))]
    b = [rng.normal(size=5) / 2, rng.normal(size=5) / 2, np.zeros(1)]
    plain = jensen.repair(jensen.ReluNetwork.from_layers(W, b), jensen.Box(-1, 1), norm="l1")
    large = jensen.ReluNetwork.from_layers([*W[:2], W[2] * size], b)
    fixed = jensen.repair(large, jensen.Box(-1, 1), norm="l1")
    assert fixed.verdict.status is jensen.Status.CONVEX
    assert fixed.change / size == pytest.approx(plain.change, rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_rows_that_are_opposite_up_to_rounding_mean_an_equation(seed):
    rng = np.random.default_rng(seed)
    tied = rng.normal(size=(2, 6))
    free = rng.normal(size=(4, 6))
    noise = rng.normal(size=(2, 6)) * 1e-13
    rows = np.vstack([tied, free, noise - tied])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start = rng.normal(size=6)
    found = Objective(start).nearest(rows, 0.0)
    assert found is not None
    weights, multipliers = found
    # the same problem in the plane that the tied rows leave
    basis = np.linalg.svd(tied)[2][2:]
    inner = Objective(basis @ start).nearest(free @ basis.T, 0.0)
    assert inner is not None
    assert weights == pytest.approx(inner[0] @ basis, abs=1e-6)
    assert multipliers.max() < 1e4


@pytest.mark.parametrize(("name", "most"), [("icnn_needle", 0.55), ("mlp_bowl", 0.90)])
def test_weights_that_cannot_all_vary_are_not_all_dropped(name, most):
    network = jensen.load(MODELS / f"{name}.onnx")
    fixed = jensen.repair(network, BOX)
    assert fixed.verdict.status is jensen.Status.CONVEX
    assert fixed.change < most
    assert fixed.lower > 0.99 * fixed.change


@pytest.mark.parametrize("concave", [False, True])
def test_a_flat_domain_inside_a_kink_changes_nothing(concave):
    sign = -1.0 if concave else 1.0
    network = jensen.ReluNetwork.from_layers([[[-2.0, -2.0]], [[2.0 * sign]]], [[2.0], [0.0]])
    rows = [[1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1]]
    segment = jensen.Polyhedron(rows, [1, -1, 3, 3, 3, 3])  # where x + y = 1
    found = jensen.repair(network, segment, concave=concave)
    assert (found.verdict.status, found.change, found.sup_change) == ("convex", 0.0, 0.0)
    assert found.network.digest == network.digest


def test_without_a_lower_bound_none_is_claimed():
    fixed = jensen.repair(random_network(3), BOX)
    assert fixed.lower > 0
    unbounded = dataclasses.replace(fixed, lower=0.0, sup_change=np.inf)
    assert "above the least" not in unbounded.summary
    assert "no lower bound" in unbounded.summary
    assert "inf" not in unbounded.summary


@pytest.mark.parametrize("side", [1e301, 1e308, 1.7e308])
def test_boxes_near_the_largest_double_are_repaired_without_a_warning(side):
    net = jensen.ReluNetwork.from_layers([[[1, 0.5], [-1, 1]], [[2, -1]]], [[0, 1], [0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed = jensen.repair(net, jensen.Box(-side, side))
    assert fixed.verdict.status is jensen.Status.CONVEX
    assert fixed.lower <= 1 <= fixed.change < 1.0001
    assert fixed.sup_change >= side


def test_output_weights_whose_squares_overflow_are_repaired():
    network = random_network(1, (2, 6, 6, 1))
    weights = [block.weights[source] for block in network.blocks for source in block.weights]
    biases = [block.bias for block in network.blocks]
    weights[-1] = np.abs(weights[-1]) * 1e200
    large = jensen.ReluNetwork.from_layers(weights, biases)
    assert jensen.verify(large, BOX).status is jensen.Status.NONCONVEX
    assert jensen.repair(large, BOX, time_limit=30).verdict.status is jensen.Status.CONVEX
