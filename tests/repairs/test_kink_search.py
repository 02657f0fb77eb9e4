"""Branch and bound along kinks, for one choice of output weights after another."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen.prover.joint.program import JointProgram, JointSolution
from jensen.repairs.features import Features
from jensen.repairs.kink_searches import KinkSearches
from jensen.repairs.program import Norm, Objective, nearest_with_margin
from jensen_encodings.deadline import NEVER, Deadline

BOX = jensen.Box(-1.0, 1.0)


def random_network(seed, sizes=(3, 7, 6, 1), twins=False):
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes, strict=False))
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in shapes]
    biases = [0.3 * rng.normal(size=size) for size in sizes[1:]]
    if twins:
        for layer in (0, 1):  # z_1 = -2 z_0, exactly
            weights[layer][1], biases[layer][1] = -2 * weights[layer][0], -2 * biases[layer][0]
    return jensen.ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("domain", [BOX, jensen.Everywhere()], ids=str)
@pytest.mark.parametrize("sizes", [(3, 7, 6, 1), (2, 4, 4, 4, 1)], ids=str)
@pytest.mark.parametrize("twins", [False, True])
def test_kinks_are_closed_if_and_only_if_the_prover_says_convex(domain, sizes, twins):
    statuses = set()
    for seed in range(2):
        features = Features(random_network(seed, sizes, twins))
        searches = KinkSearches(features, domain)
        rng = np.random.default_rng(seed)
        for shift in (0.0, 0.2, 3.0):  # one search, several output weights
            weights = rng.normal(size=len(features.weights)) + shift
            found = searches.sweep(weights, 4000, NEVER)
            verdict = jensen.verify(features.with_weights(weights), domain)
            statuses.add(str(verdict.status))
            assert found.crossings or not found.open
            assert bool(found.crossings) == (verdict.status == "nonconvex")
            for crossing in found.crossings:
                row = features.exact_row(crossing.before, crossing.after)
                assert sum(r * Fraction(float(w)) for r, w in zip(row, weights, strict=True)) < 0
    assert "nonconvex" in statuses


def test_a_second_look_under_the_same_weights_solves_no_program():
    features = Features(random_network(4))
    fixed = jensen.repair(features.network, BOX)
    weights = fixed.network.output.weights["relu_2"][0]
    searches = KinkSearches(features, BOX)
    searches.sweep(weights, 4000, NEVER)
    before = searches.nodes
    again = searches.sweep(weights, 4000, NEVER)
    assert not again.crossings
    assert not again.open
    assert searches.nodes == before


def test_programs_are_assembled_when_a_deadline_allows_them():
    features = Features(random_network(1))
    searches = KinkSearches(features, jensen.Everywhere())
    found = searches.sweep(features.weights, 100, Deadline.after(0.0))
    assert not found.crossings
    assert searches.nodes == 0
    assert not any(search._programs for search in searches._searches)


def test_a_program_that_fails_leaves_its_node_open_for_other_weights(monkeypatch):
    features = Features(random_network(4))
    weights = jensen.repair(features.network, BOX).network.output.weights["relu_2"][0]
    searches = KinkSearches(features, BOX)
    solve = JointProgram.solve
    failed = JointSolution(-np.inf, None, np.empty(0))
    monkeypatch.setattr(JointProgram, "solve", lambda *_: failed)
    searches.sweep(weights, 100, NEVER)
    monkeypatch.setattr(JointProgram, "solve", solve)
    before = searches.nodes
    found = searches.sweep(np.full(len(weights), -1.0), 4000, NEVER)
    assert searches.nodes > before
    assert found.crossings


def test_a_margin_is_as_wide_as_its_share_of_the_change_allows():
    rng = np.random.default_rng(0)
    rows = np.eye(6) + 0.2 * rng.normal(size=(6, 6))
    objective = Objective(rng.normal(size=6))
    best, _ = objective.nearest(rows, 0.0)
    roomy = nearest_with_margin(objective, rows, 1e-9, 0.01)
    least = objective.change(best)
    assert least < objective.change(roomy) <= 1.01 * least * (1 + 1e-12)
    assert objective.change(roomy) > 1.008 * least
    assert (rows @ roomy).min() > 1e-4 * least
    np.testing.assert_array_equal(
        nearest_with_margin(objective, rows, 0.0), objective.nearest(rows, 0.0)[0]
    )


def test_a_margin_widens_what_is_left_where_weights_are_tied():
    rng = np.random.default_rng(0)
    first = np.eye(6)[0]
    rows = np.vstack([np.eye(6) + 0.2 * rng.normal(size=(6, 6)), first, -first])
    objective = Objective(rng.normal(size=6))
    tight = nearest_with_margin(objective, rows, 1e-9)
    roomy = nearest_with_margin(objective, rows, 1e-9, 0.01)
    assert tight[0] == roomy[0] == 0.0
    assert objective.change(tight) < objective.change(roomy) <= 1.01 * objective.change(tight)
    assert (rows[:6] @ roomy).min() > 1e3 * (rows[:6] @ tight).min()


def test_all_weights_are_0_where_that_costs_no_more_than_the_share():
    # the nearest point of the cone is nearly 0
    objective = Objective(np.array([0.1, -2.0]))
    rows = np.eye(2)
    assert nearest_with_margin(objective, rows, 1e-9)[0] == pytest.approx(0.1)
    np.testing.assert_array_equal(nearest_with_margin(objective, rows, 1e-9, 0.01), [0.0, 0.0])


def test_changes_are_measured_in_the_norm_that_was_asked_for():
    objective = Objective(np.zeros(2), norm=Norm.L1)
    assert objective.change(np.array([3.0, -4.0])) == 7.0
    assert Objective(np.zeros(2)).change(np.array([3.0, -4.0])) == 5.0
    assert Objective(np.zeros(2), np.diag([2.0, 1.0])).change(np.array([1.0, 0.0])) == 2.0
