"""The branch and bound: columns hold every pair, every multiplier bounds, ranges are true."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midpoint_oracle import tiny_network, worst_in_one_dimension

from jensen.bounds.network_data import network_data
from jensen.midpoint.columns import pair_columns, single_columns
from jensen.midpoint.cuts import root_cuts
from jensen.midpoint.linked import (
    PAIR,
    PAIR_WEIGHTS,
    SINGLE,
    LinkedNetwork,
    Objective,
    SafeDual,
)
from jensen.midpoint.ranges import QUICK, THOROUGH, tightened
from jensen.midpoint.relaxation import LinearRelaxation, Relaxed
from jensen.midpoint.search import PairIncumbent, jump_bound, width_bound
from jensen.midpoint.subgradient import SubgradientRelaxation
from jensen.midpoint.tree import SignTree, TreeOptions
from jensen.midpoint.worst_pair import exact_violation
from jensen.network.relu_network import ReluNetwork


def prepared(seed, inputs=2, widths=None):
    network = tiny_network(seed, inputs, widths)
    data = network_data(network, -np.ones(inputs), 2 * np.ones(inputs))
    linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)
    columns = pair_columns(linked)
    objective = Objective.of_row(data.output, 0, PAIR_WEIGHTS)
    cuts = root_cuts(linked, columns, objective)
    return network, data, SafeDual(linked, columns, objective, cuts)


def random_pairs(data, rng, count):
    low, high = data.input_lower, data.input_upper
    return rng.uniform(low, high, (count, 2, len(low)))


def exact(network, x, y):
    return exact_violation(network, *([Fraction(float(v)) for v in p] for p in (x, y)))


def free_values(data, linked, x, y):
    """z of the free neurons at x, y and m: (free, 3), by a forward pass."""
    z = data.evaluate_layers(np.stack([x, y, (x + y) / 2]))
    every = np.concatenate([z[layer.name].T for layer in linked.layers] or [np.zeros((0, 3))])
    return every[linked.free]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000))
def test_every_multiplier_bounds_every_pair(seed):
    network, data, dual = prepared(seed)
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.uniform(-3, 1)
    v = scale * rng.normal(size=(4, dual.size))
    everything = np.ones((4, len(dual.columns.own)), dtype=bool)
    bounds = dual.evaluate(v, everything).bound
    for x, y in random_pairs(data, rng, 5):
        worst = exact(network, x, y)
        assert all(Fraction(float(bound)) >= worst for bound in bounds)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000))
def test_a_node_keeps_the_pairs_that_have_its_signs(seed):
    network, data, dual = prepared(seed)
    rng = np.random.default_rng(seed)
    own, z = dual.columns.own, dual.columns.z
    for x, y in random_pairs(data, rng, 5):
        values = free_values(data, dual.linked, x, y)
        known = rng.random(values.shape) < 0.6
        signs = np.where(known, np.sign(values), 0)[own]
        allowed = ((signs <= 0) | (z >= 0)) & ((signs >= 0) | (z <= 0))
        v = rng.normal(size=(1, dual.size))
        found = dual.evaluate(v, allowed.all(axis=1)[None])
        assert Fraction(float(found.bound[0])) >= exact(network, x, y)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4000), st.sampled_from([QUICK, THOROUGH]))
def test_tightened_ranges_hold_at_random_points(seed, effort):
    network = tiny_network(seed, 2)
    data = network_data(network, -np.ones(2), 2 * np.ones(2))
    tight = tightened(data, effort)
    rng = np.random.default_rng(seed)
    corners = [(-1.0, -1.0), (-1.0, 2.0), (2.0, -1.0), (2.0, 2.0)]
    points = [*corners, *rng.uniform(-1, 2, (10, 2)).tolist()]
    for point in points:
        values = network.exact_pre_activations([Fraction(float(v)) for v in point])
        for before, after in zip(data.layers, tight.layers, strict=True):
            assert (after.lower >= before.lower).all()
            assert (after.upper <= before.upper).all()
            z = values[after.name].to_fractions()
            for low, value, high in zip(after.lower, z, after.upper, strict=True):
                assert Fraction(float(low)) <= value <= Fraction(float(high))


def test_ranges_behind_the_first_layer_get_tighter():
    network = tiny_network(8, 3, [6, 6])
    data = network_data(network, -np.ones(3), np.ones(3))
    tight = tightened(data, THOROUGH)
    widths = [[la.upper - la.lower for la in d.layers] for d in (data, tight)]
    assert (widths[1][0] == widths[0][0]).all()
    assert widths[1][1].sum() < 0.9 * widths[0][1].sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000))
def test_the_closed_forms_bound_every_pair(seed):
    network, data, _ = prepared(seed)
    rng = np.random.default_rng(seed)
    bound = min(jump_bound(network, data), width_bound(data))
    for x, y in random_pairs(data, rng, 8):
        assert Fraction(bound) >= exact(network, x, y)


def test_the_closed_form_of_an_input_convex_network_is_zero():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(6, 3)), abs(rng.normal(size=(5, 6))), abs(rng.normal(size=(1, 5)))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=n) for n in (6, 5, 1)])
    assert jump_bound(network, network_data(network, -np.ones(3), np.ones(3))) == 0


@pytest.mark.parametrize("kind", [LinearRelaxation, SubgradientRelaxation])
def test_both_relaxations_end_at_the_same_optimum(kind):
    for seed in range(0, 40, 3):
        network, data, dual = prepared(seed, 1)
        judge = lambda x, y: exact(network, x, y)  # noqa: B023, E731
        incumbent = PairIncumbent(data, judge)
        incumbent.start(0)
        if kind is SubgradientRelaxation:
            dual = SafeDual(dual.linked, dual.columns, dual.objective)
            relaxation = SubgradientRelaxation(dual)
        else:
            relaxation = LinearRelaxation(dual)
        options = TreeOptions(relative_gap=1e-3, absolute_gap=1e-4, node_limit=4000)
        tree = SignTree(dual, relaxation, incumbent, options, symmetric=True)
        status = tree.run()
        worst = worst_in_one_dimension(network, -1, 2)
        assert incumbent.best[0] <= worst <= Fraction(tree.upper)
        if status == "optimal":
            assert tree.upper <= float(incumbent.best[0]) * 1.001 + 1.01e-4


def test_wrong_multipliers_never_close_a_node():
    class Liar:
        """Says that every node is closed, with random multipliers."""

        def relax(self, tasks, target, deadline=None):
            rng = np.random.default_rng(len(tasks[0].allowed))
            return [Relaxed(-np.inf, rng.normal(size=(1, *task.parent.shape))) for task in tasks]

    for seed in range(0, 60, 7):
        network, data, dual = prepared(seed, 1)
        incumbent = PairIncumbent(data, lambda x, y: exact(network, x, y))  # noqa: B023
        tree = SignTree(dual, Liar(), incumbent, TreeOptions(node_limit=200), symmetric=True)
        tree.run()
        assert Fraction(tree.upper) >= worst_in_one_dimension(network, -1, 2)


def test_columns_of_a_single_point_are_the_triangle():
    _, data, _ = prepared(8, 2, [3])
    linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], SINGLE)
    columns = single_columns(linked)
    low, high = linked.lower[linked.free], linked.upper[linked.free]
    assert columns.z.reshape(-1, 3).tolist() == np.stack([low, 0 * low, high], axis=1).tolist()


def test_an_interrupted_search_keeps_a_true_bound(monkeypatch):
    class Interrupted:
        """Ctrl-C while the n-th node is solved."""

        def __init__(self, relaxation, count):
            self._relaxation, self._left = relaxation, count

        def relax(self, *arguments):
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
            return self._relaxation.relax(*arguments)

    monkeypatch.setattr("jensen.midpoint.tree.REPORT_SECONDS", 0.0)  # take the bound down often
    network, data, dual = prepared(8, 1, [4, 4])
    worst = worst_in_one_dimension(network, -1, 2)
    bounds = []
    for count in range(40):
        incumbent = PairIncumbent(data, lambda x, y: exact(network, x, y))
        relaxation = LinearRelaxation(dual)
        tree = SignTree(
            dual, Interrupted(relaxation, count), incumbent, TreeOptions(), symmetric=True
        )
        try:
            tree.run()
        except KeyboardInterrupt:
            bounds.append(tree.upper)
    finite = [bound for bound in bounds if bound < np.inf]
    assert len(finite) > 3
    assert all(Fraction(bound) >= worst for bound in finite)
