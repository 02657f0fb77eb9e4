"""The worst jump of one or two inputs, from all facets, is exact."""

from __future__ import annotations

from fractions import Fraction

import fuzz
import jump_oracle
import numpy as np
import pytest

from jensen import Box, Everywhere, ReluNetwork, worst_jump
from jensen.violation import jump_of_regions
from jensen_encodings.deadline import Deadline


@pytest.mark.parametrize("part", range(3))
def test_the_worst_facet_is_that_of_brute_force(part):
    for seed in range(part, 240, 3):
        _, network = fuzz.tiny_network(seed, max_inputs=2)
        domain = Box(-1, 1) if seed % 2 else Everywhere()
        found = worst_jump(network, domain)
        assert found.exact_squared == jump_oracle.worst_squared_jump(network, domain), seed
        assert Fraction(found.lower) ** 2 <= found.exact_squared <= Fraction(found.upper) ** 2
        assert found.upper <= np.nextafter(np.nextafter(found.lower, np.inf), np.inf)
        assert found.nodes == 0


def test_a_wide_network_is_measured_without_a_search():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) for s in ((20, 2), (20, 20), (1, 20))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    found = worst_jump(network, Box(-2, 2))
    assert found.status == "optimal"
    assert found.lps == 0
    assert found.exact_violation > 0


def test_facets_end_with_the_time_and_bounds_hold_all_the_same():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) for s in ((12, 2), (12, 12), (1, 12))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    assert jump_of_regions.worst_facet(network, Box(-2, 2), Deadline.after(0.0)) is None
    whole = worst_jump(network, Box(-2, 2))
    short = worst_jump(network, Box(-2, 2), time_limit=1e-3)
    assert (whole.status, short.status) == ("optimal", "time limit")
    assert short.lower <= whole.lower <= whole.upper <= short.upper


def test_more_inputs_and_weights_beyond_bounds_are_left_to_the_search():
    four = ReluNetwork.from_layers([np.ones((2, 4)), np.ones((1, 2))], [[0, 0], [0]])
    assert jump_of_regions.worst_facet(four, Box(-1, 1)) is None
    tiny = ReluNetwork.from_layers([[[1e-80, 1.0]], [[-1.0]]], [[0], [0]])
    assert jump_of_regions.worst_facet(tiny, Box(-1, 1)) is None


def test_large_networks_in_space_are_listed_where_planes_meet_rarely(monkeypatch):
    """Whether that is worth a try is told by a sample of the points where planes meet."""
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(90, 3)), rng.normal(size=(1, 90))], [rng.normal(size=90) * 4, [0.0]]
    )
    small = Box(-0.5, 0.5)
    found = jump_of_regions.worst_facet(network, small)
    assert found is not None
    assert found.squared > 0
    assert jump_of_regions.worst_facet(network, small, Deadline.after(0.0)) is None
    monkeypatch.setattr(jump_of_regions, "MOST_SIGNS", 1.0)
    assert jump_of_regions.worst_facet(network, small) is None
