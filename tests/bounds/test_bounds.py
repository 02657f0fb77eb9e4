"""Bounds are true in exact arithmetic, tight where they must be, and keep zeros."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from fuzz import tiny_network
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, networks

from jensen.arithmetic import intervals
from jensen.arithmetic.intervals import interval_affine, round_down, round_up
from jensen.bounds import pre_activation as bounds_module
from jensen.bounds.pre_activation import (
    hidden_bounds,
    pre_activation_bounds,
    stable_pattern,
)
from jensen.domains.domain import Box
from jensen.errors import DomainError
from jensen.network.relu_network import INPUT, Activation, Block, ReluNetwork


def interval_bounds(network, lower, upper):
    """Bound every block by one pass over the weights."""
    return pre_activation_bounds(network, lower, upper, crown=False)


def holds(low: float, value: Fraction, high: float) -> bool:
    above = low == -np.inf or Fraction(float(low)) <= value
    return above and (high == np.inf or value <= Fraction(float(high)))


def assert_true_at(network: ReluNetwork, bounds, x) -> None:
    for name, z in network.exact_pre_activations(x).items():
        low, high = bounds[name]
        for index, value in enumerate(z.to_fractions()):
            assert holds(low[index], value, high[index]), (name, index)


def sparse_copy(network: ReluNetwork) -> ReluNetwork:
    return ReluNetwork(
        network.input_size,
        [
            Block(b.name, {s: sp.csr_array(w) for s, w in b.weights.items()}, b.bias, b.activation)
            for b in network.blocks
        ],
    )


@given(st.data())
def test_bounds_of_the_output_can_be_taken_later(data):
    network = data.draw(networks(affine=True))
    sides = data.draw(boxes(network.input_size)).bounds(network.input_size)
    hidden = hidden_bounds(network, sides)
    bounds = pre_activation_bounds(network, *sides)
    assert set(hidden) == {block.name for block in network.hidden}
    for found in (hidden, pre_activation_bounds(network, *sides, hidden=hidden)):
        for name, (low, high) in found.items():
            np.testing.assert_array_equal(low, bounds[name][0])
            np.testing.assert_array_equal(high, bounds[name][1])


@given(st.data())
def test_bounds_hold_exactly_at_corners_and_inside(data):
    network = data.draw(networks(affine=True))
    box = data.draw(boxes(network.input_size))
    lower, upper = box.bounds(network.input_size)
    bounds = pre_activation_bounds(network, lower, upper)
    for corner in product(*zip(lower, upper, strict=True)):
        assert_true_at(network, bounds, corner)
    rng = np.random.default_rng(0)
    for x in rng.uniform(lower, upper, (5, network.input_size)):
        assert_true_at(network, bounds, x)


@given(st.data())
def test_sparse_and_dense_weights_have_bounds_that_both_hold(data):
    network = data.draw(networks(affine=True))
    bounds = pre_activation_bounds(sparse_copy(network), -1, 1)
    for corner in product((-1, 0, 1), repeat=network.input_size):
        assert_true_at(network, bounds, corner)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-160, 1e-80, 1e80, 1e150, 1e300])
def test_bounds_hold_where_products_underflow_or_overflow(scale):
    rng = np.random.default_rng(1)
    for _ in range(20):
        weights = [rng.integers(-1, 2, (3, 2)) * scale, rng.normal(size=(3, 3)) * scale]
        weights.append(rng.normal(size=(1, 3)))
        network = ReluNetwork.from_layers(weights, [rng.normal(size=3) * scale, np.zeros(3), [0]])
        bounds = pre_activation_bounds(network, -1, 1)
        for x in [(1, 1), (-1, 1), (0, 0), (0.3, -0.7)]:
            assert_true_at(network, bounds, x)


def test_backward_bounds_are_never_worse_and_often_much_better():
    rng = np.random.default_rng(2)
    widths = [5, 20, 20, 20, 1]
    shapes = zip(widths[1:], widths, strict=False)
    weights = [rng.normal(size=shape) / 3 for shape in shapes]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    both, interval = pre_activation_bounds(network, -1, 1), interval_bounds(network, -1, 1)
    for name in both:
        assert (both[name][0] >= interval[name][0]).all()
        assert (both[name][1] <= interval[name][1]).all()
    width = {k: b["output"][1] - b["output"][0] for k, b in (("b", both), ("i", interval))}
    assert width["b"] < width["i"] / 2


def test_backward_bounds_are_exact_up_to_rounding_where_every_neuron_is_stable():
    network = ReluNetwork.from_layers(
        [[[1.0, 1.0], [1.0, -1.0]], [[1.0, -1.0]]], [[5.0, 5.0], [0.0]]
    )
    low, high = pre_activation_bounds(network, -1, 1)["output"]
    assert (low, high) == (pytest.approx(-2, abs=1e-12), pytest.approx(2, abs=1e-12))
    assert interval_bounds(network, -1, 1)["output"][0] == pytest.approx(-4)


def test_relu_of_relu_is_stable():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0]], [[1.0]]], [[0.0], [0.0], [0.0]])
    bounds = pre_activation_bounds(network, -3, 7)
    assert bounds["relu_2"][0] == 0.0
    on, off = stable_pattern(bounds)["relu_2"]
    assert on[0]
    assert not off[0]


@given(st.integers(0, 10_000))
def test_non_negative_weights_behind_relus_keep_every_lower_bound_at_zero(seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(6, 3)), np.abs(rng.normal(size=(6, 6))), np.ones((1, 6))]
    weights[1] *= rng.random((6, 6)) < 0.5
    weights[1] *= 10.0 ** rng.uniform(-200, 100)
    network = ReluNetwork.from_layers(weights, [np.zeros(6), np.zeros(6), [0.0]])
    for net in (network, sparse_copy(network)):
        low, _ = interval_bounds(net, -1, 1)["relu_2"]
        assert (low >= 0).all()


def test_a_kink_through_a_corner_of_the_box_is_stable_although_the_sum_rounds():
    # 0.1 + 0.2 - 0.3 > 0 in float64, but the weights are exact rationals
    weight = np.array([[0.1, 0.2]])
    corner = Fraction(0.1) + Fraction(0.2)
    bias = -float(corner)
    network = ReluNetwork.from_layers([weight, [[1.0]]], [[bias], [0.0]])
    low, high = interval_bounds(network, 0, 1)["relu_1"]
    exact = corner + Fraction(bias)
    assert (high[0] <= 0) == (exact <= 0)
    assert holds(low[0], exact, high[0])


def test_a_neuron_without_weights_is_its_bias():
    network = ReluNetwork.from_layers(
        [[[0.0], [0.0], [1.0]], [[1.0, 1.0, 1.0]]], [[-1.0, 0.0, 0.0], [0.0]]
    )
    low, high = pre_activation_bounds(network, -1, 1)["relu_1"]
    assert low[:2] == pytest.approx([-1, 0], abs=1e-14)
    on, off = stable_pattern({"relu_1": (low, high)})["relu_1"]
    assert off.tolist() == [True, True, False]
    assert on.tolist() == [False, True, False]


def test_identity_blocks_pass_negative_values_on():
    network = ReluNetwork(
        1,
        [
            Block("affine", {INPUT: np.array([[1.0]])}, np.zeros(1), Activation.IDENTITY),
            Block(
                "output",
                {"affine": np.array([[2.0]]), INPUT: np.array([[-2.0]])},
                np.zeros(1),
                Activation.IDENTITY,
            ),
        ],
    )
    low, high = pre_activation_bounds(network, -1, 1)["output"]
    assert (low, high) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))
    assert interval_bounds(network, -1, 1)["output"][0] == pytest.approx(-4)


def test_blocks_beyond_the_work_limit_keep_their_interval_bounds(monkeypatch):
    network = tiny_network(3)[1]
    monkeypatch.setattr(bounds_module, "BACKWARD_WORK", -1.0)
    limited = pre_activation_bounds(network, -1, 1)
    for name, (low, high) in interval_bounds(network, -1, 1).items():
        assert (limited[name][0] == low).all()
        assert (limited[name][1] == high).all()


def test_a_point_is_a_box():
    network = tiny_network(5)[1]
    bounds = pre_activation_bounds(network, 0.25, 0.25)
    assert_true_at(network, bounds, [0.25] * network.input_size)


def test_a_box_of_another_dimension_is_refused():
    with pytest.raises(DomainError, match="3 dimensions"):
        pre_activation_bounds(tiny_network(0, max_inputs=1)[1], np.zeros(3), np.ones(3))
    with pytest.raises(DomainError, match="empty"):
        pre_activation_bounds(tiny_network(0)[1], 1, 0)


@given(st.fractions())
def test_rationals_are_rounded_to_the_neighbouring_doubles(value):
    low, high = round_down(value), round_up(value)
    assert Fraction(low) <= value <= Fraction(high)
    assert high in (low, np.nextafter(low, np.inf))


def test_zero_has_no_sign_however_it_was_rounded():
    assert [str(f(Fraction(0))) for f in (round_down, round_up)] == ["0.0", "0.0"]


def test_rationals_beyond_the_doubles_round_outward():
    huge = Fraction(10) ** 400
    assert (round_down(huge), round_up(huge)) == (np.finfo(float).max, np.inf)
    assert (round_down(-huge), round_up(-huge)) == (-np.inf, -np.finfo(float).max)


def test_infinite_intervals_stay_infinite_and_true():
    low, high = interval_affine(
        [(np.array([[1.0], [0.0]]), (np.array([-np.inf]), np.array([np.inf])))], np.zeros(2)
    )
    assert low[0] == -np.inf
    assert high[0] == np.inf
    assert low[1] <= 0 <= high[1]


def test_a_box_object_and_its_sides_mean_the_same():
    network = tiny_network(7)[1]
    sides = Box(-1, 1).bounds(network.input_size)
    one, two = pre_activation_bounds(network, *sides), pre_activation_bounds(network, -1, 1)
    assert all((one[k][0] == two[k][0]).all() for k in one)


@pytest.mark.parametrize("order", ["C", "F"])
def test_intervals_of_large_matrices_are_those_of_small_ones(order, monkeypatch):
    rng = np.random.default_rng(0)
    matrix = np.asarray(rng.normal(size=(9, 7)), order=order)
    middle, width = rng.normal(size=7), rng.random(7)
    sides, bias = (middle - width, middle + width), rng.normal(size=9)
    whole = intervals.interval_affine([(matrix, sides)], bias)
    monkeypatch.setattr(intervals, "_CHUNK", 10)
    for chunked, once in zip(
        intervals.interval_affine([(matrix, sides)], bias), whole, strict=True
    ):
        np.testing.assert_allclose(chunked, once, rtol=1e-14)
    exact = [
        sum(Fraction(w) * Fraction(v) for w, v in zip(row, middle.tolist(), strict=True))
        for row in matrix.tolist()
    ]
    low, high = intervals.interval_affine([(matrix, sides)], bias)
    for total, b, below, above in zip(exact, bias, low, high, strict=True):
        assert Fraction(below) <= total + Fraction(b) <= Fraction(above)
