"""Pairs of boxes: forms and gaps bound every pair, and the search ends at the worst one."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midpoint_oracle import KINDS, tiny_network, worst_in_one_dimension, worst_over_regions

import jensen
from jensen.bounds.network_data import network_data
from jensen.groups.prepared import prepare
from jensen.midpoint import box_pairs
from jensen.midpoint.box_forms import BoxForms
from jensen.midpoint.box_pairs import BoxSearch, affordable_nodes
from jensen.midpoint.gap_forms import GapForms, Triple
from jensen.midpoint.search import PairIncumbent, width_bound
from jensen.midpoint.worst_pair import exact_violation
from jensen_encodings.deadline import NEVER, Deadline


def fractions(point):
    return tuple(Fraction(float(v)) for v in point)


def random_boxes(rng, count, inputs):
    """Dyadic boxes inside of [-1, 1]^inputs, small and large: (boxes, 2, inputs)."""
    levels = rng.integers(0, rng.choice([2, 8, 25]) + 1, size=(count, inputs))
    half = 2.0**-levels
    index = np.floor(rng.random((count, inputs)) * 2.0**levels)
    return np.stack([-1 + (2 * index + 1) * half, half], axis=1)


def random_points(rng, boxes):
    """A point of each box, often a corner."""
    move = rng.uniform(-1, 1, boxes[:, 0].shape)
    corner = rng.random(len(boxes)) < 0.5
    move[corner] = np.sign(move[corner])
    return boxes[:, 0] + move * boxes[:, 1]


def exact_inputs(forms, t):
    pairs = zip(forms.middle, forms.reach, t, strict=True)
    return [Fraction(float(m)) + Fraction(float(r)) * Fraction(float(v)) for m, r, v in pairs]


def given_network(seed, inputs):
    network = tiny_network(seed, inputs)
    rng = np.random.default_rng(seed)
    lower = rng.uniform(-2, 1, inputs)
    upper = lower + rng.choice([0.0, 0.5, 3.0], size=inputs, p=[0.05, 0.45, 0.5])
    return network, network_data(network, lower, upper), rng


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 3))
def test_forms_hold_at_every_point_of_their_boxes(seed, inputs):
    network, data, rng = given_network(seed, inputs)
    forms = BoxForms(data)
    boxes = random_boxes(rng, 6, inputs)
    found = forms.enclose(boxes[:, 0], boxes[:, 1])
    for k, t in enumerate(random_points(rng, boxes)):
        x = exact_inputs(forms, t)
        z = network.exact_pre_activations(x)
        for layer in forms.layers:
            if layer.is_relu:
                for i, value in enumerate(z[layer.name].to_fractions()):
                    place = layer.span.start + i
                    assert Fraction(float(found.low[k, place])) <= value
                    assert value <= Fraction(float(found.high[k, place]))
        value = network.exact(x)[0]
        away = [
            Fraction(float(a)) - Fraction(float(b)) for a, b in zip(t, boxes[k, 0], strict=True)
        ]
        slack = Fraction(float(forms.output.error[0]))
        for form, side in ((found.lower[k], 1), (found.upper[k], -1)):
            line = sum(
                (Fraction(float(s)) * a for s, a in zip(form[1:], away, strict=True)),
                Fraction(float(form[0])),
            )
            assert side * (value - line) >= -slack


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 3))
def test_gaps_bound_every_pair_of_two_boxes(seed, inputs):
    network, data, rng = given_network(seed, inputs)
    forms = BoxForms(data)
    boxes = random_boxes(rng, 12, inputs).reshape(6, 2, 2, inputs)
    ends = [forms.enclose(b[:, 0], b[:, 1]) for b in (boxes[:, 0], boxes[:, 1], boxes.mean(axis=1))]
    bounds = GapForms(forms).bound(Triple(*ends, boxes[:, :, 1]))
    for _ in range(3):
        x, y = (random_points(rng, boxes[:, k]) for k in range(2))
        for k in range(6):
            pair = exact_inputs(forms, x[k]), exact_inputs(forms, y[k])
            assert Fraction(float(bounds[k])) >= exact_violation(network, *pair)


def searched(network, data, deadline=NEVER, gap=1e-4):
    incumbent = PairIncumbent(
        data, lambda x, y: exact_violation(network, fractions(x), fractions(y))
    )
    search = BoxSearch(data, incumbent, gap, width_bound(data))
    return search, search.run(deadline, 20_000), incumbent


@pytest.mark.parametrize("seed", range(2 * len(KINDS)))
def test_the_worst_pair_of_one_input_is_met(seed):
    network = tiny_network(seed, 1)
    data = network_data(network, -np.ones(1), 2 * np.ones(1))
    search, closed, incumbent = searched(network, data)
    worst = worst_in_one_dimension(network, -1, 2)
    assert Fraction(search.upper) >= worst >= incumbent.best[0]
    if closed:
        assert search.upper - float(worst) <= 1.01e-4 * float(worst) + 1e-9


@pytest.mark.parametrize("seed", range(2 * len(KINDS)))
def test_the_worst_pair_of_two_inputs_is_met(seed):
    network = tiny_network(seed, 2, [2, 1])
    data = network_data(network, -np.ones(2), 2 * np.ones(2))
    search, closed, incumbent = searched(network, data)
    worst = worst_over_regions(network, -np.ones(2), 2 * np.ones(2))
    assert search.upper >= worst - 1e-7
    assert incumbent.value <= worst + 1e-7
    if closed:
        assert search.upper - worst <= 1.01e-4 * worst + 1e-7


def test_a_wide_network_of_two_inputs_is_closed_at_once():
    rng = np.random.default_rng(0)
    sizes = (2, 24, 24, 1)
    weights = [rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    biases = [rng.uniform(-0.5, 0.5, size) for size in sizes[1:]]
    network = jensen.ReluNetwork.from_layers(weights, biases)
    found = jensen.worst_violation(network, jensen.Box(-1, 1))
    assert found.status == "optimal"
    assert 0 < found.gap <= 1.01e-4 * found.lower
    assert set(found.times) == {"prover", "prepare", "boxes"}
    assert exact_violation(network, found.x, found.y) == found.exact_lower


def test_time_that_is_up_leaves_a_true_bound():
    network = tiny_network(3, 2, [3, 3])
    data = network_data(network, -np.ones(2), np.ones(2))
    search, closed, _ = searched(network, data, Deadline.after(0.0))
    assert not closed
    assert 0 < search.upper <= width_bound(data)


def test_boxes_are_for_few_inputs_and_few_weights(monkeypatch):
    small, few = (network_data(tiny_network(0, n), -np.ones(n), np.ones(n)) for n in (4, 3))
    assert affordable_nodes(small) == 0
    assert affordable_nodes(few) == box_pairs.SMALL_NODES
    monkeypatch.setattr(box_pairs, "SMALL_NEURONS", 0)
    assert affordable_nodes(small) == affordable_nodes(few) == box_pairs.MOST_NODES
    monkeypatch.setattr(box_pairs, "MOST_WEIGHTS", 1)
    assert affordable_nodes(few) == 0


def test_twins_that_cancel_are_no_violation():
    network = jensen.ReluNetwork.from_layers(
        [[[1.0, 1.0], [2.0, 2.0], [1.0, -1.0]], [[2.0, -1.0, 1.0]]], [[0, 0, 0], [0]]
    )
    prepared = prepare(network, jensen.Box(-1, 1))
    search, closed, incumbent = searched(prepared.network, prepared.data)
    assert incumbent.best[0] == 0
    assert not closed
    assert 0 < search.upper < width_bound(prepared.data) / 4


def test_better_pairs_are_found_around_a_poor_one():
    # two dips of -relu(x - a) type: the deep one is far from the start
    network = jensen.ReluNetwork.from_layers(
        [[[1.0], [1.0], [1.0]], [[-1.0, 1.0, -4.0]]], [[0.5, 0.0, -0.5], [0]]
    )
    data = prepare(network, jensen.Box(-1, 1)).data
    incumbent = PairIncumbent(
        data, lambda x, y: exact_violation(network, fractions(x), fractions(y))
    )
    incumbent.take((Fraction(-51, 100),), (Fraction(-49, 100),))
    before = incumbent.best
    incumbent.look_around(0, Deadline.after(0.0))
    assert incumbent.best == before
    incumbent.look_around(0)
    exact, value, x, y = incumbent.best
    assert exact == worst_in_one_dimension(network, -1, 1) > before[0] > 0
    assert value == float(exact) == float(exact_violation(network, fractions(x), fractions(y)))


def test_a_search_goes_on_where_it_was_left_off():
    rng = np.random.default_rng(1)
    weights = [rng.uniform(-1, 1, (b, a)) / np.sqrt(a) for a, b in pairwise((2, 16, 16, 1))]
    biases = [rng.uniform(-0.5, 0.5, len(weight)) for weight in weights]
    network = jensen.ReluNetwork.from_layers(weights, biases)
    data = prepare(network, jensen.Box(-1, 1)).data
    whole, closed, _ = searched(network, data)
    assert closed
    parts, closed, _ = searched(network, data, Deadline.after(0.0))
    assert not closed
    uppers, nodes = [parts.upper], [parts.nodes]
    while not closed:
        closed = parts.run(NEVER, parts.nodes + 100)
        uppers.append(parts.upper)
        nodes.append(parts.nodes)
    assert len(uppers) > 2
    assert uppers == sorted(uppers, reverse=True)
    assert nodes == sorted(set(nodes))
    assert parts.upper == pytest.approx(whole.upper, rel=2e-4)
