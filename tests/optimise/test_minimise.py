"""Minimisers with proved gaps: against exact optima, on every domain, with every kind of row."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle_convex import icnn, max_affine, vertex_minimum

import jensen
from jensen import Box, ConvexFunction, Everywhere, Polyhedron
from jensen.errors import (
    DomainError,
    InfeasibleError,
    OptionError,
    SolverError,
    UnboundedError,
    UndecidedError,
)
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.epigraph import EpigraphLp, LpEnd
from jensen.optimise.ground import dot

QUARTERS = st.integers(-8, 8).map(lambda v: v / 4)


def absolute(inputs: int = 1, scale: float = 1.0) -> ReluNetwork:
    """|x_1| + ... + |x_n|, scaled."""
    eye = np.eye(inputs)
    rows = np.concatenate([eye, -eye])
    return ReluNetwork.from_layers([rows, np.full((1, 2 * inputs), scale)], [[0] * len(rows), [0]])


def encloses(found: jensen.Minimum, exact: Fraction, tolerance: float = 1e-9) -> bool:
    return found.lower <= exact <= found.value and found.gap <= tolerance * max(1, abs(exact))


@settings(max_examples=25)
@given(st.data())
def test_both_sides_enclose_the_exact_optimum_of_maxima_of_affine_functions(data):
    count = data.draw(st.integers(2, 5))
    rows = [[data.draw(QUARTERS) for _ in range(3)] for _ in range(count)]
    pieces, linear = np.array(rows), np.array([data.draw(QUARTERS), data.draw(QUARTERS)])
    network = max_affine(pieces[:, :2], pieces[:, 2])
    found = ConvexFunction(network, Box(-3, 3)).minimise(linear)
    assert encloses(found, vertex_minimum(pieces[:, :2], pieces[:, 2], linear, 3))


@pytest.mark.parametrize("seed", range(6))
def test_the_point_attains_the_value_and_is_feasible_exactly(seed):
    rng = np.random.default_rng(seed)
    network = icnn(4, (8, 6), seed)
    A, E, linear = rng.normal(size=(3, 4)), rng.normal(size=(2, 4)), rng.normal(size=4)
    found = ConvexFunction(network, Box(-2, 2)).minimise(
        linear, A, np.full(3, 0.4), equality=(E, np.full(2, 0.3))
    )
    assert Box(-2, 2).contains(found.point)
    assert all(dot(row, found.point) <= Fraction(0.4) for row in A.tolist())
    assert all(dot(row, found.point) == Fraction(0.3) for row in E.tolist())
    value = network.exact(found.point)[0] + dot(linear.tolist(), found.point)
    assert found.lower <= value <= found.value
    assert float(value) == pytest.approx(found.value, rel=1e-15)
    assert found.gap <= 1e-8
    assert max(abs(E @ found.x - 0.3)) <= found.residual * (1 + 1e-9) + 1e-15
    assert found.residual < 1e-12


@pytest.mark.parametrize("seed", range(8))
def test_everywhere_and_the_box_around_the_minimiser_agree(seed):
    network = icnn(3, (8, 6), seed)
    points = np.random.default_rng(seed).normal(size=(8, 3))
    # a mean of slopes, so that f + linear grows in every direction
    linear = -ConvexFunction(network).subgradient(points).mean(axis=0)
    found = ConvexFunction(network).minimise(linear)
    reach = float(np.abs(found.x).max()) + 1.0
    boxed = ConvexFunction(network, Box(-reach, reach)).minimise(linear)
    assert found.gap <= 1e-9 * max(1, abs(found.value))
    assert boxed.lower <= found.value
    assert found.lower <= boxed.value


@pytest.mark.parametrize("seed", range(6))
def test_rows_and_the_polyhedron_of_these_rows_agree(seed):
    network, rng = icnn(3, (8,), seed), np.random.default_rng(seed)
    A, b = rng.normal(size=(4, 3)), np.ones(4)
    eye = np.eye(3)
    rows, sides = np.concatenate([A, eye, -eye]), np.append(b, [2.0] * 6)
    one = ConvexFunction(network, Box(-2, 2)).minimise(A=A, b=b)
    other = ConvexFunction(network, Polyhedron(rows, sides)).minimise()
    assert one.lower <= other.value
    assert other.lower <= one.value
    assert Polyhedron(rows, sides).contains(other.point)


def test_an_unbounded_polyhedron_on_which_the_optimum_is_attained():
    # |x| + |y| on x + y >= 1, x >= 0.25: 1 everywhere on an edge
    found = ConvexFunction(absolute(2), Polyhedron([[-1, -1], [-1, 0]], [-1, -0.25])).minimise()
    assert (found.lower, found.value) == (1.0, 1.0)


def test_functions_of_one_direction_have_an_exact_bound_on_all_of_space():
    network = ReluNetwork.from_layers(
        [[[1.0, 0.1, 0.3], [-1.0, -0.1, -0.3]], [[1, 1]]], [[1, 2], [0]]
    )
    found = ConvexFunction(network).minimise()
    assert found.gap == 0
    assert found.value == 3.0


def test_a_domain_without_interior_is_worked_on_in_rational_arithmetic():
    # the plane x + y + z = 1, as two rows, within the unit cube
    eye, ones = np.eye(3), np.ones((1, 3))
    plane = Polyhedron(np.concatenate([ones, -ones, eye, -eye]), [1, -1, 1, 1, 1, 0, 0, 0])
    for seed in range(4):
        network = icnn(3, (6, 4), seed)
        found = ConvexFunction(network, plane).minimise()
        same = ConvexFunction(network, Box(0, 1)).minimise(equality=([[1, 1, 1]], [1]))
        assert plane.contains(found.point)
        assert sum(found.point) == 1
        assert found.gap <= 1e-9
        assert found.lower <= same.value
        assert same.lower <= found.value


def test_networks_that_are_convex_on_a_plane_only():
    # -|x - y| is concave, but constant where x = y
    network = ReluNetwork.from_layers(
        [[[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0, 1.0, 1.0]]],
        [[0, 0, -1, 1], [0]],
    )
    line = Polyhedron([[1, -1], [-1, 1], [1, 0], [-1, 0]], [0, 0, 1, 1])
    found = ConvexFunction(network, line).minimise()
    assert found.point == (Fraction(1, 2), Fraction(1, 2))
    assert found.value == 0.0
    assert found.gap < 1e-12


@pytest.mark.parametrize("scale", [1e-9, 1e9])
@pytest.mark.parametrize("side", [1e-6, 1e6])
def test_tiny_and_huge_units_lose_no_relative_precision(scale, side):
    network = ReluNetwork.from_layers(
        [[[1.0, 0.5], [-1.0, 0.25], [0.5, -1.0]], [[scale] * 3]],
        [[0.1 * side, 0, -0.2 * side], [0]],
    )
    found = ConvexFunction(network, Box(-side, side)).minimise([0.3 * scale, -0.2 * scale])
    assert found.gap <= 1e-8 * scale * side


def test_sides_of_zero_width_are_constants():
    network = icnn(3, (6,), 0)
    found = ConvexFunction(network, Box([-1, 0.1, -1], [1, 0.1, 1])).minimise()
    fixed = ConvexFunction(network.fix_inputs({1: 0.1}), Box(-1, 1)).minimise()
    assert found.x[1] == 0.1
    assert found.value == pytest.approx(fixed.value, rel=1e-12)


def test_twins_that_cancel_at_a_kink_give_no_false_slopes():
    # 2 relu(x) - relu(x): slopes 0 and 1 at 0, and never 2 or -1
    network = ReluNetwork.from_layers([[[1.0], [1.0]], [[2.0, -1.0]]], [[0, 0], [0]])
    f = ConvexFunction(network, Box(-1, 1))
    assert f.subgradient([0.0])[0] in (0.0, 1.0)
    assert sorted(f.subgradients([0.0])[:, 0].tolist()) == [0.0, 1.0]
    found = f.minimise([-0.5])
    assert (found.lower, found.value) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert f.minimise([-1.5]).value == pytest.approx(-0.5)


# ------------------------------------------------------------------------------- integers


@pytest.mark.parametrize("seed", range(6))
def test_integer_inputs_are_as_good_as_trying_all_of_them(seed):
    network, rng = icnn(3, (8, 4), seed), np.random.default_rng(seed)
    A, linear = rng.normal(size=(2, 3)), rng.normal(size=3)
    f = ConvexFunction(network, Box(-2.5, 3.5))
    found = f.minimise(linear, A, np.ones(2), integers=(0, 1))
    best = np.inf
    for pair in itertools.product(range(-2, 4), repeat=2):
        try:
            fixed = f.minimise(linear, A, np.ones(2), equality=(np.eye(3)[:2], np.array(pair)))
        except InfeasibleError:
            continue
        best = min(best, fixed.value)
    assert found.lower <= best + 1e-9
    assert found.value == pytest.approx(best, rel=1e-8, abs=1e-8)
    assert all(v.denominator == 1 for v in found.point[:2])
    assert found.gap <= 1e-8 * max(1, abs(found.value))


def test_integers_in_equations_are_exact():
    # the even numbers are 0 mod 2: 2 a + 2 b = 1 has no integer solution
    f = ConvexFunction(absolute(2), Box(-3, 3))
    with pytest.raises(InfeasibleError, match="no integer point"):
        f.minimise(equality=([[2, 2]], [1]), integers=(0, 1))
    found = f.minimise(equality=([[2, 3]], [1]), integers=(0, 1))
    assert found.point == (-1, 1)
    assert found.value == 2.0
    assert found.gap < 1e-12


# -------------------------------------------------------------------------------- refusals


def test_networks_that_are_not_convex_are_refused_with_the_pair():
    with pytest.raises(jensen.NotConvexError, match="not convex on box") as caught:
        ConvexFunction(absolute().negated(), Box(-1, 1))
    pair = caught.value.counterexample
    assert pair.violation > 0


def test_undecided_networks_are_refused():
    verdict = jensen.Verdict(jensen.Status.UNKNOWN, Box(-1, 1), subject=absolute())
    with pytest.raises(jensen.UndecidedError, match="undecided"):
        ConvexFunction(absolute(), Box(-1, 1), verdict=verdict)


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        (jensen.Verdict(jensen.Status.CONVEX, Box(-0.5, 1)), "which does not cover box"),
        (jensen.Verdict(jensen.Status.CONVEX, Box(-1, 1), 1), "about output 1"),
        (jensen.Verdict(jensen.Status.CONVEX, Box(-1, 1), claim="concave"), "claims 'concave'"),
    ],
)
def test_verdicts_about_something_else_are_refused(verdict, message):
    with pytest.raises(OptionError, match=message):
        ConvexFunction(absolute(), Box(-1, 1), verdict=replace(verdict, subject=absolute()))


def test_verdicts_about_another_network_are_refused():
    verdict = jensen.verify(absolute(), Box(-1, 1))
    with pytest.raises(OptionError, match="digest") as caught:
        ConvexFunction(absolute().negated(), Box(-1, 1), verdict=verdict)
    assert "\n" not in str(caught.value)
    nobody = jensen.Verdict(jensen.Status.CONVEX, Box(-1, 1))
    with pytest.raises(OptionError, match="about no network"):
        ConvexFunction(absolute(), Box(-1, 1), verdict=nobody)


def test_verdicts_up_to_a_tolerance_are_no_proof():
    verdict = jensen.Verdict(jensen.Status.CONVEX, Box(-1, 1), tolerance=1e-6, subject=absolute())
    with pytest.raises(jensen.UndecidedError, match="exact proof"):
        ConvexFunction(absolute(), Box(-1, 1), verdict=verdict)


def test_a_verdict_on_a_larger_domain_will_do():
    verdict = jensen.verify(absolute(), Everywhere())
    assert ConvexFunction(absolute(), Box(-1, 1), verdict=verdict).minimise().value == 0.0
    rows = Polyhedron([[1.0], [-1.0]], [1, 1])
    inner = jensen.Verdict(jensen.Status.CONVEX, rows, subject=absolute())
    assert ConvexFunction(absolute(), Box(-1, 1), verdict=inner).minimise().value == 0.0


def test_certificates_are_checked_against_the_network(tmp_path):
    network = icnn(2, (4, 3), 1)
    verdict = jensen.verify(network, Box(-1, 1), certificate=True)
    path = tmp_path / "proof.jsonl.gz"
    verdict.certificate.write(path)
    for proof in (path, verdict.certificate):
        assert ConvexFunction(network, Box(-1, 1), certificate=proof).minimise().gap < 1e-9
    with pytest.raises(jensen.errors.CertificateError, match="another model"):
        ConvexFunction(icnn(2, (4, 3), 2), Box(-1, 1), certificate=path)
    with pytest.raises(OptionError, match="does not cover"):
        ConvexFunction(network, Box(-2, 1), certificate=path)


def test_infeasible_rows_are_named_and_proved():
    f = ConvexFunction(absolute(2), Box(-1, 1))
    for rows in (
        {"A": [[1, 1]], "b": [-2.5]},
        {"equality": ([[1, 1]], [2.5])},
        {"A": [[1, 0], [-1, 0]], "b": [0.1, np.nextafter(-0.1, -1)]},
    ):
        with pytest.raises(InfeasibleError, match="no point of the domain"):
            f.minimise(**rows)
    with pytest.raises(InfeasibleError, match="no integer lies between"):
        ConvexFunction(absolute(), Box(0.25, 0.75)).minimise(integers=(0,))


def test_unbounded_problems_are_named_with_the_ray():
    f = ConvexFunction(absolute(2))
    with pytest.raises(UnboundedError, match="falls for ever along") as caught:
        f.minimise([2.0, 0.0])
    assert caught.value.ray[0] < 0
    # on the edge between bounded and unbounded the infimum is attained all along a ray
    assert f.minimise([1.0, 0.0]).value == 0.0
    half = ConvexFunction(absolute(2), Polyhedron([[-1, 0]], [0]))
    assert half.minimise([2.0, 0.0]).value == 0.0
    with pytest.raises(UnboundedError):
        half.minimise([-2.0, 0.0])
    assert half.minimise([-2.0, 0.0], [[1, 0]], [3]).value == -3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"linear": [1.0]}, r"linear has shape \(1,\)"),
        (
            {"linear": [[1.0], [0.5]]},
            r"linear has shape \(2, 1\): needed are 2 numbers, flat, as x.ravel",
        ),
        ({"linear": [np.nan, 1]}, "not finite"),
        ({"A": [[1, 1]]}, "one without the other"),
        ({"A": [[1, 1, 1]], "b": [1]}, r"A has shape \(1, 3\)"),
        ({"A": [["a", 1]], "b": [1]}, "not numbers"),
        ({"equality": ([[1, 1]], [1], 3)}, "a pair"),
        ({"integers": (2,)}, "integer input 2: the network has 2"),
        ({"fixed": {"a": 0.5}}, "fixed input 'a': the network has 2"),
        ({"fixed": {0.5: 0.5}}, "fixed input 0.5: the network has 2"),
        ({"fixed": [0.5]}, "a mapping from inputs to values"),
        ({"tolerance": -1}, "tolerance -1"),
        ({"time_limit": 0}, "time limit 0"),
    ],
)
def test_numbers_and_shapes_that_make_no_sense_are_refused(arguments, message):
    f = ConvexFunction(absolute(2), Box(-1, 1))
    with pytest.raises((DomainError, OptionError), match=message):
        f.minimise(**arguments)


def test_an_empty_set_has_no_direction_along_which_the_objective_falls():
    f = ConvexFunction(absolute(2))
    for gap in (1e-3, 1e-6, 1e-9, 1e-12):  # some of them below the tolerance of HiGHS
        with pytest.raises(InfeasibleError):
            f.minimise([0.0, 2.0], A=[[1, 0], [-1, 0]], b=[0, -gap])


def test_boxes_that_highs_alone_calls_empty_prove_no_integer_problem_infeasible(monkeypatch):
    solved = EpigraphLp.solve

    def empty(lp):
        point = solved(lp)
        return replace(point, end=LpEnd.INFEASIBLE) if lp._integers.size else point

    monkeypatch.setattr(EpigraphLp, "solve", empty)
    monkeypatch.setattr(EpigraphLp, "solve_integer", lambda lp, _: empty(lp))
    with pytest.raises(UndecidedError, match="not proved that none is there"):
        ConvexFunction(absolute(), Box(-2, 2)).minimise(integers=(0,))


def test_rows_that_highs_does_not_take_are_an_error():
    f = ConvexFunction(absolute(2), Box(-1, 1))
    with pytest.raises(SolverError, match="HiGHS rejects rows"):
        f.minimise(A=[[1e200, 1.0]], b=[1e300])


def test_integers_need_a_bounded_domain():
    with pytest.raises(OptionError, match="integer inputs need a bounded domain"):
        ConvexFunction(absolute(2)).minimise(integers=(0,))


def test_several_outputs_have_to_be_told_apart():
    network = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1, 1], [2, 1]]], [[0, 0], [0, 1]])
    with pytest.raises(OptionError, match="2 outputs"):
        ConvexFunction(network, Box(-1, 1))
    assert ConvexFunction(network, Box(-1, 1), output=1).minimise().value == 1.0


def test_paths_and_model_files_load(tmp_path):
    absolute(2).save(tmp_path / "absolute.npz")
    assert ConvexFunction(tmp_path / "absolute.npz", Box(-1, 1)).minimise().value == 0.0


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_no_feasible_point_is_below_the_lower_bound(seed):
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 4))
    network = icnn(inputs, (4, 3), seed)
    lower = rng.choice([-1.0, 0.0, -100.0], size=inputs)
    box = Box(lower, lower + rng.choice([0.0, 1e-9, 1.0, 200.0], size=inputs))
    linear, A = rng.normal(size=inputs), rng.integers(-2, 3, size=(1, inputs)).astype(float)
    try:
        found = ConvexFunction(network, box).minimise(linear, A, [0.5])
    except InfeasibleError:
        return
    assert box.contains(found.point)
    assert found.gap <= 1e-7 * max(1, abs(found.value))
    sides = zip(*box.bounds(inputs), strict=True)
    corner = [Fraction(float(rng.choice(side))) for side in sides]
    for share in (Fraction(1), Fraction(1, 2), Fraction(1, 1000)):
        point = [a + share * (b - a) for a, b in zip(found.point, corner, strict=True)]
        if dot(A[0].tolist(), point) <= Fraction(1, 2):
            value = network.exact(point)[0] + dot(linear.tolist(), point)
            assert value >= Fraction(found.lower)
