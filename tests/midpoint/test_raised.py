"""Multiples of relu(z) that make a network convex, and the row that follows."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from fuzz import SAMPLERS
from hypothesis import given, settings
from hypothesis import strategies as st
from midpoint_oracle import tiny_network, worst_in_one_dimension
from strategies import boxes, networks

from jensen.decide import verify
from jensen.domains.domain import Box
from jensen.groups.prepared import prepare
from jensen.midpoint import least_jumps as least_module
from jensen.midpoint.least_jumps import UNMET, least_jumps
from jensen.midpoint.linked import PAIR, LinkedNetwork
from jensen.midpoint.raised import convexity_row, raise_bound, raises
from jensen.midpoint.worst_pair import worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import NEVER, Deadline


def row_of(network, box):
    prepared = prepare(network, box)
    raised = raises(prepared, NEVER)
    amounts = None if raised is None else raised.amounts
    data = prepared.data
    linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)
    return (
        prepared,
        amounts,
        linked,
        None if amounts is None else convexity_row(linked, data, amounts),
    )


def exactly(values):
    return [Fraction(float(v)) for v in values]


def left_side(cut, linked, network, x, y):
    """The row's left side minus its right one, in rational arithmetic."""
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    total = -Fraction(float(cut.right[0]))
    for k, point in enumerate((x, y, middle)):
        z = network.exact_pre_activations(point)
        every = [value for layer in linked.layers for value in z[layer.name].to_fractions()]
        h = [max(every[n], Fraction(0)) for n in linked.free]
        total += sum(Fraction(float(p)) * v for p, v in zip(cut.hidden[0, :, k], h, strict=True))
        inputs = zip(cut.inputs[0, :, k], point, strict=True)
        total -= sum((Fraction(float(p)) * v for p, v in inputs), Fraction(0))
    return total


def pairs(box, count, seed):
    rng = np.random.default_rng(seed)
    lower, upper = box.bounds(len(box.lower))
    draw = rng.uniform(lower, upper, (count, 2, len(lower)))
    corners = rng.random(draw.shape) < 0.3
    return np.where(corners, np.where(rng.random(draw.shape) < 0.5, lower, upper), draw)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_row_holds_for_every_pair(data):
    network = data.draw(networks(affine=True))
    box = data.draw(boxes(network.input_size))
    _, amounts, linked, cut = row_of(network, box)
    if amounts is None:
        return
    for x, y in pairs(box, 12, 0):
        assert left_side(cut, linked, network, exactly(x), exactly(y)) <= 0


@pytest.mark.parametrize("seed", range(16))
def test_no_pair_violates_by_more_than_the_bound(seed):
    network, box = tiny_network(seed), Box([-1.0], [2.0])
    prepared, amounts, _, _ = row_of(network, box)
    bound = raise_bound(prepared.data, amounts)
    assert worst_in_one_dimension(network, -1, 2) <= bound


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_units_that_are_raised_make_a_convex_network(sampler):
    rng = np.random.default_rng(7)
    for widths in ([4, 3], [3, 2, 2]):
        sizes = [2, *widths, 1]
        layers = [SAMPLERS[sampler](rng, b, a) for a, b in itertools.pairwise(sizes)]
        network = ReluNetwork.from_layers([w for w, _ in layers], [b for _, b in layers])
        box = Box(-1.0, 1.0)
        amounts = raises(prepare(network, box), NEVER).amounts
        output = network.output
        weights = {source: np.array(w) for source, w in output.weights.items()}
        for (block, index), amount in amounts.items():
            row = weights.setdefault(block, np.zeros((1, network.size_of(block))))
            # more in front, where roundings of what was added behind arrive
            slack = {1: 1e-5, 2: 1e-8, 3: 1e-11}[int(block.removeprefix("relu_"))]
            row[0, index] += amount + slack * max(1.0, abs(amount))
        convex = network.with_output(type(output)(output.name, weights, output.bias, "identity"))
        assert verify(convex, box).status is Status.CONVEX


def test_a_unit_behind_that_bends_down_is_raised_before_those_in_front():
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0]], [[2.0, -3.0]], [[-1.0]]], [[0.0, -0.5], [-0.25], [0.0]]
    )
    _, amounts, _, _ = row_of(network, Box(-1, 1))
    assert amounts["relu_2", 0] == pytest.approx(1.0)
    assert amounts["relu_1", 0] == pytest.approx(0.0, abs=1e-9)


def test_the_least_jump_is_that_of_the_pattern_met():
    # J of the first unit is 1 where the other one of the second level is off, else -1
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 2.0]], [[1.0, -2.0]]],
        [[0.0, 5.0], [0.5, -10.0], [0.0]],
    )
    prepared = prepare(network, Box(-1, 1))
    net = prepared.grouped
    found, _ = least_jumps(net, network, [(0, 0)], {(0, 0): 1.0}, NEVER)
    assert found[0, 0] == pytest.approx(-1.0, abs=0.02)
    narrow = prepare(network, Box([-1, -1], [1, -0.5]))
    found, _ = least_jumps(narrow.grouped, network, [(0, 0)], {(0, 0): 1.0}, NEVER)
    assert 0.98 <= found[0, 0] <= 1.0


def test_a_kink_that_is_not_met_has_no_least_jump():
    network = ReluNetwork.from_layers(
        [[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0]], [[1.0]]], [[-1.5, 0.0], [-3.9], [0.0]]
    )
    net = prepare(network, Box(-1, 1)).grouped
    behind = [group for group in net.groups() if group[0] == 1]
    found, _ = least_jumps(net, network, behind, dict.fromkeys(behind, 1.0), NEVER)
    assert all(jump >= UNMET or jump == pytest.approx(1.0, abs=0.02) for jump in found.values())


@pytest.mark.parametrize("seed", range(6))
def test_least_jumps_are_below_those_of_points_on_the_kink(seed):
    rng = np.random.default_rng(seed)
    sizes = [3, 6, 5, 1]
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) / 3 for w in weights])
    net = prepare(network, Box(-1, 1)).grouped
    groups = [group for group in net.groups() if group[0] == 0]
    found, _ = least_jumps(net, network, groups, dict.fromkeys(groups, 1.0), NEVER)
    for group in groups:
        normal, bias = weights[0][group[1]], network.blocks[0].bias[group[1]]
        points = rng.uniform(-1, 1, (400, 3))
        points -= ((points @ normal + bias) / (normal @ normal))[:, None] * normal
        points = points[(np.abs(points) <= 1).all(axis=1)]
        slopes = weights[2] * (
            np.maximum(points @ weights[0].T + network.blocks[0].bias, 0) @ weights[1].T
            + network.blocks[1].bias
            > 0
        )
        jumps = slopes @ weights[1][:, group[1]]
        assert found[group] <= jumps.min(initial=np.inf) + 1e-9


def test_time_that_is_up_leaves_no_amounts_that_are_wrong():
    network = tiny_network(0, 2)
    raised = raises(prepare(network, Box(-1, 1)), Deadline.after(0.0))
    assert raised is None or all(np.isfinite(v) for v in raised.amounts.values())


@pytest.mark.parametrize("seed", range(4))
def test_the_search_ends_where_it_did_without_the_row(seed, monkeypatch):
    network, box = tiny_network(seed, 2, [3, 2]), Box(-1, 1)
    with_row = worst_pair(network, box, gap=1e-3)
    monkeypatch.setattr("jensen.midpoint.search.raises", lambda prepared, deadline: None)
    without = worst_pair(network, box, gap=1e-3)
    assert with_row.status == without.status
    assert with_row.lower <= without.upper
    assert without.lower <= with_row.upper


@pytest.mark.parametrize("seed", range(8))
def test_the_midpoint_program_with_the_row_has_the_same_optimum(seed):
    network = tiny_network(seed)
    found = worst_pair(network, Box([-1.0], [2.0]), engine="milp")
    truth = float(worst_in_one_dimension(network, -1, 2))
    assert found.lower <= truth + 1e-9
    assert truth <= found.upper + 1e-5 * max(1.0, truth)


@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_bounds_of_searches_that_end_early_hold(nodes, monkeypatch):
    monkeypatch.setattr(least_module, "MOST_NODES", nodes)
    monkeypatch.setattr(least_module, "FIRST_BUDGET", nodes)
    rng = np.random.default_rng(nodes)
    sizes = [2, 4, 4, 1]
    weights = [rng.normal(size=(b, a)) for a, b in itertools.pairwise(sizes)]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) / 3 for w in weights])
    net = prepare(network, Box(-1, 1)).grouped
    groups = list(net.groups())
    early, _ = least_jumps(net, network, groups, dict.fromkeys(groups, 1.0), NEVER)
    monkeypatch.undo()
    late, _ = least_jumps(net, network, groups, dict.fromkeys(groups, 1.0), NEVER)
    assert all(early[group] <= max(0.0, late[group]) + 1e-9 for group in groups)
    assert any(early[group] < late[group] for group in groups) or nodes
