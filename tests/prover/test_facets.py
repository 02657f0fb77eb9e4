"""The facet engine: the same answers as brute force, the tree and the shared cases."""

import json
from pathlib import Path

import pytest
from midpoint_oracle import tiny_network, worst_in_one_dimension

from jensen.decide import verify
from jensen.domains.domain import Box, Everywhere
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.facet_programs import FacetSearch
from jensen.verdicts.counterexample import exact_violation
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

SHARED = Path(__file__).parents[3] / "shared" / "cases"


def search_all(network, domain):
    """Results of all groups, up to the first that bends down."""
    prepared = prepare(network, domain)
    net, data = prepared.grouped, prepared.data
    solver, results = LpSolver(), []
    for group in net.groups():
        results.append(FacetSearch(net, data, group, network, solver).run())
        if results[-1].crossing is not None:
            break
    return results


def decided(network, domain):
    results = search_all(network, domain)
    for result in results:
        if result.crossing is not None:
            before, after = result.crossing.before, result.crossing.after
            assert exact_violation(network, before, after) > 0
            assert domain.contains(before)
            assert domain.contains(after)
            return False
        assert result.closed, result.note
        assert result.jump_lower_bound >= -result.tolerance
    return True


@pytest.mark.parametrize("block", range(4))
def test_the_facets_of_networks_with_one_input_agree_with_brute_force(block):
    for seed in range(20 * block, 20 * block + 20):
        network = tiny_network(seed)
        expected = worst_in_one_dimension(network, -1, 2)
        if 0 < expected < 1e-4:
            continue  # within the solver's tolerance
        assert decided(network, Box(-1, 2)) == (expected == 0), seed


@pytest.mark.parametrize("seed", range(24))
def test_the_tree_and_the_facet_programs_agree(seed):
    network = tiny_network(seed, 2, [3, 2])
    for domain in (Box([-1, -1], [1, 2]), Everywhere()):
        expected = verify(network, domain).status is Status.CONVEX
        assert decided(network, domain) == expected


@pytest.mark.parametrize("name", ["degenerate", "handmade"])
def test_the_shared_cases_are_decided_rightly(name):
    path = SHARED / f"{name}.json"
    if not path.exists():
        pytest.skip("the shared cases are not here")
    for case in json.loads(path.read_text())[::5]:
        network = ReluNetwork.from_layers(case["weights"], case["biases"])
        if network.relu_count > 12:
            continue
        assert decided(network, Box(*case["box"])) == case["convex_on_box"], case["name"]
        if case["convex_everywhere"] is not None:
            assert decided(network, Everywhere()) == case["convex_everywhere"], case["name"]


def test_without_time_the_group_is_left_open():
    network = tiny_network(3, 3, [6, 6])
    prepared = prepare(network, Box(-1, 1))
    net, data = prepared.grouped, prepared.data
    group = next(g for g in net.groups() if g[0] == 0)
    result = FacetSearch(net, data, group, network, LpSolver(), deadline=Deadline(0.0)).run()
    assert result.closed or result.crossing is not None or result.note
