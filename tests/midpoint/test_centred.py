"""Pairs whose midpoint lies on a facet that bends down bound all pairs."""

from fractions import Fraction

import numpy as np
import pytest
from midpoint_oracle import tiny_network, worst_in_one_dimension, worst_over_regions

from jensen.domains.domain import Box
from jensen.groups.prepared import prepare
from jensen.midpoint import bad_facets as facets_module
from jensen.midpoint import least_jumps as least_module
from jensen.midpoint.bad_facets import bad_facets
from jensen.midpoint.centred import excess, groups_that_bend
from jensen.midpoint.least_jumps import least_jumps
from jensen.midpoint.raised import raises
from jensen.midpoint.trees import Trees
from jensen.midpoint.worst_pair import worst_pair
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import NEVER, Deadline

# |x| on both sides of a cap of height 1/4: two kinks up, one down
CAP = ReluNetwork.from_layers([[[1.0], [1.0], [1.0]], [[1.0, -2.0, 2.0]]], [[0.5, 0, -0.5], [0.0]])


@pytest.fixture
def centred_only(monkeypatch):
    """Leave out the tree over all pairs."""
    monkeypatch.setattr(Trees, "run", lambda self: "time limit")


def bending_in_front(seed, inputs=1):
    """A tiny network whose kinks behind the first level all bend up."""
    network = tiny_network(seed, inputs)
    output = network.output
    deep = {name: w for name, w in output.weights.items() if name not in {"input", "relu_1"}}
    weights = dict(output.weights) | {name: np.abs(w) for name, w in deep.items()}
    return network.with_output(type(output)(output.name, weights, output.bias, "identity"))


def facets_of(network, box, deadline=NEVER):
    prepared = prepare(network, box)
    raised = raises(prepared, NEVER)
    groups = groups_that_bend(prepared.grouped, raised.amounts)
    assert groups is not None
    return bad_facets(raised.kinks, groups, deadline)


@pytest.mark.parametrize("seed", range(16))
def test_the_bound_of_centred_pairs_holds_for_all(seed, centred_only):
    network = bending_in_front(seed)
    truth = worst_in_one_dimension(network, -1, 2)
    found = worst_pair(network, Box([-1.0], [2.0]))
    assert found.exact_lower <= truth <= Fraction(found.upper)


@pytest.mark.parametrize("seed", range(6))
def test_the_bound_of_centred_pairs_holds_for_two_inputs(seed, centred_only):
    network = tiny_network(seed, 2, [3]) if seed % 2 else bending_in_front(seed, 2)
    truth = worst_over_regions(network, [-1, -1], [1, 1])
    found = worst_pair(network, Box(-1, 1))
    assert found.lower <= truth + 1e-9
    assert truth <= found.upper + 1e-9


def test_one_kink_that_bends_down_is_enough(centred_only):
    found = worst_pair(CAP, Box([-1.0], [1.0]))
    truth = worst_in_one_dimension(CAP, -1, 1)
    assert excess(facets_of(CAP, Box(-1, 1))) == 1
    assert found.exact_lower <= truth <= Fraction(found.upper)
    assert found.upper <= float(truth) * (1 + 1e-4) + 1e-9


def test_two_kinks_may_be_worse_together_by_a_factor_of_two(centred_only):
    # centred on 1/3: 1/3; from -1 to 1: 2/3
    table = ReluNetwork.from_layers([[[3.0], [3.0]], [[-1.0, -1.0]]], [[1.0, -1.0], [0.0]])
    assert worst_in_one_dimension(table, -1, 1) == 2
    found = worst_pair(table, Box([-1.0], [1.0]))
    assert excess(facets_of(table, Box(-1, 1))) == 2
    assert found.lower == pytest.approx(2.0)
    assert found.upper == pytest.approx(4.0, rel=0.6)
    assert found.upper >= 2


def test_kinks_that_bend_up_have_no_bad_facets():
    convex = ReluNetwork.from_layers([[[1.0], [-2.0]], [[1.0, 3.0]]], [[0.0, 0.5], [0.0]])
    assert facets_of(convex, Box(-1, 1)) == {}


def test_only_patterns_with_a_negative_jump_are_listed():
    # J of the first unit is -1 where the second level's last unit is on, and 1 elsewhere
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [-2.0, 4.0]], [[1.0, 2.0]]],
        [[0.0, 1.0], [0.5, -4.0], [0.0]],
    )
    prepared = prepare(network, Box(-1, 1))
    _, kinks = least_jumps(prepared.grouped, network, [(0, 0)], {(0, 0): 1.0}, NEVER)
    found = bad_facets(kinks, [(0, 0)], NEVER)
    assert found[0, 0]
    assert all(states[1] == 1 for _, states, *_ in found[0, 0])


def test_what_is_not_known_in_time_is_not_listed(monkeypatch):
    known = facets_of(CAP, Box(-1, 1))
    monkeypatch.setattr(least_module, "SETTLED", np.inf)  # nothing was searched yet
    assert facets_of(CAP, Box(-1, 1)).keys() == known.keys()
    assert facets_of(CAP, Box(-1, 1), Deadline.after(0.0)) is None


def test_more_patterns_than_can_be_listed_are_none(monkeypatch):
    monkeypatch.setattr(facets_module, "MOST_PATTERNS", 0)
    assert facets_of(CAP, Box(-1, 1)) is None


def test_searches_that_were_far_from_their_end_are_not_gone_on_with(monkeypatch):
    monkeypatch.setattr(least_module, "MOST_NODES", 0)
    network = bending_in_front(0, 2)
    raised = raises(prepare(network, Box(-1, 1)), NEVER)
    assert raised.kinks is None
    found = worst_pair(network, Box(-1, 1))
    assert found.status == "optimal"


def test_units_behind_that_bend_down_are_left_to_the_other_tree():
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0]], [[2.0, -3.0]], [[-1.0]]], [[0.0, -0.5], [-0.25], [0.0]]
    )
    prepared = prepare(network, Box(-1, 1))
    assert groups_that_bend(prepared.grouped, raises(prepared, NEVER).amounts) is None
