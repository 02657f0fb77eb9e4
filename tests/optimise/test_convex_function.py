"""Values, subgradients, cuts, conjugates and proximal points, against brute force."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle_convex import icnn, max_affine
from strategies import networks

from jensen import Box, ConvexFunction, Everywhere, Polyhedron, Status, Verdict
from jensen.errors import (
    CertificateError,
    DomainError,
    InfeasibleError,
    OptionError,
    SolverError,
)
from jensen.network.relu_network import ReluNetwork
from jensen.optimise import quadratic
from jensen.optimise.linearise import Lineariser
from jensen.optimise.pieces import Pieces
from jensen.optimise.quadratic import maximise_quadratic

ABSOLUTE = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
CORNERS = max_affine(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.zeros(4))


def line(points: int = 40_001) -> np.ndarray:
    return np.linspace(-2, 2, points)[:, None]


def square(points: int = 301) -> np.ndarray:
    axis = np.linspace(-2, 2, points)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


# ------------------------------------------------------------- linearisations, exact pieces


@given(networks(affine=True), st.integers(0, 99))
def test_error_bounds_hold_in_rational_arithmetic(network, seed):
    X = np.random.default_rng(seed).normal(size=(4, network.input_size)) * 10.0 ** (seed % 7 - 3)
    found, pieces = Lineariser(network).at(X), Pieces(network)
    for k, x in enumerate(X.tolist()):
        miss = abs(Fraction(float(found.value[k])) - network.exact(x)[0])
        assert miss <= Fraction(float(found.value_error[k]))
        if not found.certain[k]:
            continue
        gradient, offset = pieces.affine(pieces.around(x, []))
        miss = abs(Fraction(float(found.offset[k])) - offset)
        assert miss <= Fraction(float(found.offset_error[k]))
        for near, error, exact in zip(
            found.gradient[k], found.gradient_error[k], gradient, strict=True
        ):
            assert abs(Fraction(float(near)) - exact) <= Fraction(float(error))


@pytest.mark.parametrize("scale", [1e-200, 1e-310, 1e200])
def test_numbers_at_the_ends_of_the_range_are_bounded_or_uncertain(scale):
    network = ReluNetwork.from_layers([[[scale], [-scale]], [[scale, 1.0]]], [[0, 0], [0]])
    found = Lineariser(network).at(np.array([[0.5], [-0.5]]))
    for k, x in enumerate((0.5, -0.5)):
        if np.isfinite(found.value_error[k]):
            miss = abs(Fraction(float(found.value[k])) - network.exact([x])[0])
            assert miss <= Fraction(float(found.value_error[k]))
        else:
            assert not found.certain[k]


def test_a_symbolic_step_finds_the_region_it_leads_into():
    pieces = Pieces(CORNERS)
    cases = (((2, 1), (1, 0)), ((-2, 1), (-1, 0)), ((1, 2), (0, 1)), ((0, -1), (0, -1)))
    for direction, slope in cases:
        pattern = pieces.around([0, 0], [direction], lambda: [(1, 0), (0, 1)])
        assert pieces.affine(pattern)[0] == slope


# -------------------------------------------------------------------- values, subgradients


def test_values_and_subgradients_come_in_batches():
    f = ConvexFunction(icnn(2, (6, 4), 0), Box(-2, 2))
    X = np.random.default_rng(0).uniform(-2, 2, (7, 2))
    assert f.value(X) == pytest.approx([f.value(x) for x in X], rel=1e-14)
    assert f.subgradient(X) == pytest.approx(np.stack([f.subgradient(x) for x in X]))
    values, gradients = f.value(X), f.subgradient(X)
    # f(y) >= f(x) + g (y - x) for all pairs
    below = values[:, None] + np.einsum("ij,ikj->ik", gradients, X[None] - X[:, None])
    assert (values[None] >= below - 1e-12).all()


def test_at_a_kink_the_subgradient_is_that_of_a_region():
    f = ConvexFunction(ABSOLUTE, Box(-1, 1))
    assert f.subgradient([0.0])[0] in (-1.0, 1.0)
    assert sorted(f.subgradients([0.0])[:, 0].tolist()) == [-1.0, 1.0]
    assert f.subgradients([0.5]).tolist() == [[1.0]]


def test_on_the_boundary_only_regions_of_the_domain_count():
    f = ConvexFunction(ABSOLUTE, Box(0, 1))
    assert f.subgradient([0.0]).tolist() == [1.0]
    assert f.subgradients([0.0]).tolist() == [[1.0]]
    # relu(x) - relu(y) is convex where y <= 0 only
    network = ReluNetwork.from_layers([np.eye(2), [[1.0, -1.0]]], [[0, 0], [0]])
    half = ConvexFunction(network, Polyhedron([[0, 1], [0, -1], [1, 0], [-1, 0]], [0, 1, 1, 1]))
    assert sorted(map(tuple, half.subgradients([0.0, 0.0]).tolist())) == [(0.0, 0.0), (1.0, 0.0)]


def test_all_regions_around_a_point_are_found():
    f = ConvexFunction(CORNERS, Box(-1, 1))
    found = {tuple(g) for g in f.subgradients([0.0, 0.0]).tolist()}
    assert found == {(1, 0), (-1, 0), (0, 1), (0, -1)}
    assert {tuple(g) for g in f.subgradients([0.5, 0.5]).tolist()} == {(1, 0), (0, 1)}


@pytest.mark.parametrize("seed", range(4))
def test_gradients_around_a_vertex_span_what_sampling_finds(seed):
    rng = np.random.default_rng(seed)
    pieces = rng.integers(-3, 4, size=(6, 2)).astype(float)
    network = max_affine(pieces, np.zeros(6))
    f = ConvexFunction(network, Box(-1, 1))
    exact = {tuple(g) for g in f.subgradients([0.0, 0.0]).tolist()}
    sampled = {tuple(g) for g in f.subgradient(rng.normal(size=(500, 2)) / 100).tolist()}
    assert sampled <= exact


def test_points_outside_the_domain_have_no_subgradient():
    f = ConvexFunction(ABSOLUTE, Box(-1, 1))
    for call in (f.subgradient, f.subgradients, f.support):
        with pytest.raises(DomainError, match="outside the domain"):
            call([1.5])
    with pytest.raises(DomainError, match=r"points of shape \(2,\)"):
        f.value([1.0, 2.0])
    with pytest.raises(DomainError, match="not finite"):
        f.value([np.nan])


@pytest.mark.parametrize("seed", range(4))
def test_supports_and_level_cuts_hold_exactly(seed):
    network, rng = icnn(2, (6, 4), seed), np.random.default_rng(seed)
    f = ConvexFunction(network, Box(-1, 1))
    for x in rng.uniform(-1, 1, (5, 2)):
        support = f.support(x)
        assert support.gradient @ x + support.offset == pytest.approx(f.value(x), abs=1e-9)
        a, b = f.level_cut(x, f.value(x) - 0.1)
        assert a @ x > b
        for y in rng.uniform(-1, 1, (20, 2)).tolist():
            value = network.exact(y)[0]
            line_ = sum(Fraction(g) * Fraction(v) for g, v in zip(support.gradient, y, strict=True))
            assert value >= line_ + Fraction(support.offset)
    with pytest.raises(DomainError, match="bounded domain"):
        ConvexFunction(network).support([0.0, 0.0])


# ------------------------------------------------------------------------------ conjugates


@pytest.mark.parametrize("seed", range(3))
def test_conjugates_agree_with_brute_force_and_fenchel_young(seed):
    rng = np.random.default_rng(seed)
    for inputs, points in ((1, line()), (2, square())):
        network = icnn(inputs, (6, 4), seed)
        f = ConvexFunction(network, Box(-2, 2))
        values = network(points)[:, 0]
        for found in f.conjugate(rng.normal(size=(6, inputs)) * 3):
            brute = float((points @ found.y - values).max())
            assert found.gap <= 1e-9 * max(1, abs(found.value))
            assert found.upper >= brute - 1e-12
            steepest = np.abs(f.subgradient(points[::97])).sum(axis=1).max()
            spacing = 4 / (40_000 if inputs == 1 else 300)
            assert found.value <= brute + (steepest + np.abs(found.y).sum()) * spacing
            # f(x) + f*(y) = y x at the maximiser, >= everywhere else
            assert f.value(found.x) + found.upper >= found.y @ found.x - 1e-12
            assert f.value(found.x) + found.value <= found.y @ found.x + 1e-9


def test_a_conjugate_is_infinite_where_it_is():
    f = ConvexFunction(ABSOLUTE)
    inside, edge, outside = f.conjugate([[0.5], [1.0], [2.0]])
    assert (inside.value, inside.upper) == (0.0, 0.0)
    assert edge.upper == 0.0
    assert (outside.value, outside.x) == (np.inf, None)
    assert outside.ray[0] > 0
    assert outside.gap == 0


# ------------------------------------------------------------------------- proximal points


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("step", [0.1, 2.0])
def test_proximal_points_agree_with_brute_force(seed, step):
    rng = np.random.default_rng(seed)
    for inputs, points in ((1, line()), (2, square())):
        network = icnn(inputs, (6, 4), seed)
        f = ConvexFunction(network, Box(-2, 2))
        values = network(points)[:, 0]
        for x in rng.normal(size=(4, inputs)) * 2:
            found = f.prox(x, step)
            brute = values + ((points - x) ** 2).sum(axis=1) / (2 * step)
            assert found.gap <= 1e-8 * max(1, abs(found.value))
            assert found.lower <= brute.min() + 1e-12
            nearest = points[brute.argmin()]
            spacing = 4 / (40_000 if inputs == 1 else 300)
            slack = brute.min() - found.lower
            away = np.linalg.norm(found.x - nearest)
            assert away <= found.distance + np.sqrt(2 * step * slack) + 1e-9
            assert away <= 20 * np.sqrt(spacing)


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), Polyhedron([[1, 1]], [0.5])])
def test_the_proximal_point_has_a_subgradient_that_leads_back(domain):
    # Moreau: (x - u) / step is a subgradient of f + indicator at u = prox(x)
    network = icnn(2, (6, 4), 5)
    f = ConvexFunction(network, domain)
    for x in np.random.default_rng(0).normal(size=(5, 2)):
        found = f.prox(x, 0.7)
        slope = (x - found.x) / 0.7
        assert domain.contains(found.point)
        for y in np.random.default_rng(1).normal(size=(200, 2)):
            if domain.contains([Fraction(v) for v in y]):
                assert f.value(y) >= f.value(found.x) + slope @ (y - found.x) - 1e-6


def test_the_proximal_point_of_a_norm_is_the_soft_threshold():
    f = ConvexFunction(ABSOLUTE)
    for x, expected in ((3.0, 2.0), (0.5, 0.0), (-1.75, -0.75)):
        found = f.prox([x], 1.0)
        assert found.x[0] == pytest.approx(expected, abs=1e-9)
        assert abs(found.x[0] - expected) <= found.distance


def test_proximal_points_on_a_domain_without_interior():
    eye, ones = np.eye(3), np.ones((1, 3))
    plane = Polyhedron(np.concatenate([ones, -ones, -eye]), [1, -1, 0, 0, 0])
    network = icnn(3, (5,), 1)
    found = ConvexFunction(network, plane).prox([0.9, 0.8, -0.5], 0.5)
    assert plane.contains(found.point)
    assert found.gap < 1e-7


def test_bad_steps_are_refused():
    f = ConvexFunction(ABSOLUTE, Box(-1, 1))
    for step in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(OptionError, match="step"):
            f.prox([0.0], step)


def test_cuts_are_kept_for_the_next_problem():
    network = icnn(5, (16, 16), 0)
    f = ConvexFunction(
        network, Box(-1, 1), verdict=Verdict(Status.CONVEX, Box(-1, 1), subject=network)
    )
    first = f.minimise()
    assert f.minimise().evaluations < first.evaluations
    assert f.forget().minimise().evaluations == first.evaluations


def test_many_inputs_are_solved_in_the_multipliers():
    # |u|_1 in 200 inputs: the soft threshold, cut to the box
    count = 200
    rows = np.concatenate([np.eye(count), -np.eye(count)])
    network = ReluNetwork.from_layers([rows, np.ones((1, 2 * count))], [[0] * 2 * count, [0]])
    x = np.random.default_rng(0).normal(size=count) * 2
    found = ConvexFunction(network, Box(-1, 1)).prox(x, 0.5, tolerance=1e-3)
    exact = np.clip(np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), -1, 1)
    value = np.abs(exact).sum() + ((exact - x) ** 2).sum()
    assert found.lower <= value <= found.value + 1e-9
    assert found.gap <= 1.1e-3 * found.value
    assert np.linalg.norm(found.x - exact) <= found.distance


def test_gradients_stand_in_for_the_quadratic_solver():
    rng = np.random.default_rng(0)
    G, q = rng.normal(size=(12, 5)), rng.normal(size=12)
    term, weights = np.array([0] * 7 + [1] * 5), np.array([1.0, 0.5])
    start = np.concatenate([np.full(7, 1 / 7), np.full(5, 0.1)])
    Q = G @ G.T
    values = []
    for solve in (maximise_quadratic, quadratic._climbed):
        y = solve(q, Q, term, weights, start)
        assert (y >= -1e-9).all()
        assert [y[term == s].sum() for s in (0, 1)] == pytest.approx(weights)
        values.append(float(q @ y - y @ Q @ y / 2))
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_inputs_can_be_fixed_in_a_problem():
    network = icnn(3, (8, 6), 0)
    f = ConvexFunction(network, Box(-2, 2))
    for value in (-1.0, 0.1, 2.0):
        found = f.minimise([0.1, 0.2, 0.3], fixed={1: value})
        alone = ConvexFunction(network.fix_inputs({1: value}), Box(-2, 2)).minimise([0.1, 0.3])
        assert found.x[1] == value
        assert found.value == pytest.approx(alone.value + 0.2 * value, rel=1e-9)
    point = {0: 0.3, 1: 1.0, 2: 0.0}
    assert ConvexFunction(network).minimise([0.1, 0.2, 0.3], fixed=point).gap < 1e-12
    with pytest.raises(InfeasibleError, match="input 1 fixed at 3"):
        f.minimise(fixed={1: 3.0})
    with pytest.raises(OptionError, match="fixed input 5"):
        f.minimise(fixed={5: 0.0})


# ---------------------------------------------------------------- numbers beyond the doubles

STEEP = ReluNetwork.from_layers([[[1e300], [-1e300]], [[1e300, 1e300]]], [[0, 0], [0]])


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), Polyhedron([[1.0]], [1.0])])
@pytest.mark.parametrize(
    "question",
    [
        lambda f: f.minimise(),
        lambda f: f.subgradient([0.5]),
        lambda f: f.subgradients([0.5]),
        lambda f: f.conjugate([1.0]),
        lambda f: f.prox([1.0]),
    ],
)
def test_slopes_beyond_the_doubles_are_an_error_and_no_number(question, domain):
    with pytest.raises(SolverError, match="too large"):
        question(ConvexFunction(STEEP, domain))


def test_proximal_points_of_slopes_that_overflow_in_the_program_are_an_error():
    steep = ReluNetwork.from_layers([[[1e300], [-1e300]], [[1e8, 1e8]]], [[0, 0], [0]])
    with pytest.raises(SolverError, match="too large"):
        ConvexFunction(steep, Box(-4, 4)).prox([4.0])


def test_a_value_beyond_the_doubles_is_no_traceback():
    f = ConvexFunction(ReluNetwork.from_layers([[[1e300]], [[1e300]]], [[1], [0]]), Box(-1, 1))
    found = f.minimise()
    assert found.lower <= 0 <= found.value
    assert str(found.value) == "0.0"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("integers", [(), (0,)])
def test_costs_that_overflow_on_the_domain_leave_no_lower_bound_and_no_warning(integers):
    hat = ReluNetwork.from_layers([[[1.0, 1.0], [-1.0, 1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    found = ConvexFunction(hat, Box(-1, 1)).minimise(1e308, integers=integers)
    assert found.lower == -np.inf
    assert found.value <= -1e308


def test_a_file_that_is_no_certificate_is_named(tmp_path):
    (tmp_path / "proof.jsonl").write_text("hello")
    with pytest.raises(CertificateError, match=r"proof\.jsonl: the certificate is not accepted"):
        ConvexFunction(STEEP, Box(-1, 1), certificate=tmp_path / "proof.jsonl")
