"""Cuts of the first neurons: they hold at every point, and bring the bound down."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from midpoint_oracle import tiny_network

from jensen.bounds.network_data import network_data
from jensen.midpoint import cuts as midpoint_cuts
from jensen.midpoint.columns import pair_columns
from jensen.midpoint.cuts import FirstNeurons, root_cuts
from jensen.midpoint.linked import PAIR, PAIR_WEIGHTS, LinkedNetwork, Objective, SafeDual
from jensen.midpoint.relaxation import LinearRelaxation, Task
from jensen.network.relu_network import INPUT, ReluNetwork


def linked_network(network, lower, upper):
    data = network_data(network, np.asarray(lower, float), np.asarray(upper, float))
    linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)
    return linked, pair_columns(linked), Objective.of_row(data.output, 0, PAIR_WEIGHTS)


def random_network(seed, inputs, widths, scale=1.0):
    rng = np.random.default_rng(seed)
    sizes = [inputs, *widths, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [scale * rng.normal(size=shape) for shape in shapes]
    return ReluNetwork.from_layers(weights, [scale * rng.normal(size=m) / 3 for m, _ in shapes])


def assert_hold(cuts, linked, network, x):
    """Check the cuts at a point in rational arithmetic."""
    z = network.exact_pre_activations([Fraction(float(v)) for v in x])
    every = [value for layer in linked.layers for value in z[layer.name].to_fractions()]
    h = [max(every[n], Fraction(0)) for n in linked.free]
    for hidden, inputs, right in zip(cuts.hidden, cuts.inputs, cuts.right, strict=True):
        for k in range(linked.points):
            used = np.flatnonzero(hidden[:, k])
            if used.size:
                left = sum(Fraction(float(hidden[j, k])) * h[j] for j in used)
                left -= sum(
                    Fraction(float(s)) * Fraction(float(v))
                    for s, v in zip(inputs[:, k], x, strict=True)
                )
                assert left <= Fraction(float(right))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.sampled_from([1e-30, 1.0, 1e6]))
def test_cuts_hold_at_corners_and_random_points(seed, scale):
    network = random_network(seed, 3, [5, 3], scale)
    lower, upper = [-1.0, -0.5, 0.25], [1.0, 2.0, 0.25]  # the last input is fixed
    linked, columns, objective = linked_network(network, lower, upper)
    cuts = root_cuts(linked, columns, objective)
    rng = np.random.default_rng(seed)
    points = [
        *rng.uniform(lower, upper, (10, 3)),
        *np.where(rng.random((6, 3)) < 0.5, lower, upper),
    ]
    for x in points:
        assert_hold(cuts, linked, network, x)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4000))
def test_cuts_of_degenerate_networks_hold(seed):
    network = tiny_network(seed, 2)  # zeros, twins, integers
    linked, columns, objective = linked_network(network, [-1, -1], [2, 2])
    cuts = root_cuts(linked, columns, objective)
    for x in np.random.default_rng(seed).uniform(-1, 2, (10, 2)):
        assert_hold(cuts, linked, network, x)


def test_the_first_bound_comes_down():
    network = random_network(2, 5, [10, 10])
    linked, columns, objective = linked_network(network, [-1] * 5, [1] * 5)
    cuts = root_cuts(linked, columns, objective)
    bounds = []
    for some in (None, cuts):
        relaxation = LinearRelaxation(SafeDual(linked, columns, objective, some))
        task = Task(np.ones(len(columns.own), dtype=bool), np.zeros(relaxation.size))
        bounds.append(relaxation.relax([task], -np.inf)[0].value)
    assert bounds[1] < 0.9 * bounds[0]
    assert len(cuts) > 10
    rng = np.random.default_rng(0)
    for x in [*rng.uniform(-1, 1, (10, 5)), *rng.choice([-1.0, 1.0], (32, 5))]:
        assert_hold(cuts, linked, network, x)


def test_only_neurons_that_read_inputs_alone_are_tied():
    network = random_network(0, 2, [4, 4])
    linked, columns, objective = linked_network(network, [-1, -1], [1, 1])
    first = FirstNeurons(linked)
    fed_by_inputs = [layer for layer in linked.layers if set(layer.weights) == {INPUT}]
    spans = [layer.span for layer in fed_by_inputs]
    assert all(any(s.start <= linked.free[j] < s.stop for s in spans) for j in first.place)
    cuts = root_cuts(linked, columns, objective)
    others = np.setdiff1d(np.arange(len(linked.free)), first.place)
    assert not cuts.hidden[:, others].any()


def test_boxes_of_too_many_corners_have_no_cuts(monkeypatch):
    monkeypatch.setattr(midpoint_cuts, "CORNERS", 7)
    linked, columns, objective = linked_network(random_network(2, 3, [5, 5]), [-1] * 3, [1] * 3)
    assert len(root_cuts(linked, columns, objective)) == 0


def test_nothing_is_cut_where_the_first_bound_is_enough():
    network = random_network(1, 2, [4, 4])
    linked, columns, objective = linked_network(network, [-1, -1], [1, 1])
    assert len(root_cuts(linked, columns, objective, enough=np.inf)) == 0
