"""J on faces told by their edges: what it proves is so, by brute force."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
from fuzz import general, with_inputs_scaled

import jensen
from jensen.cells import skeleton
from jensen.cells.skeleton import Skeleton
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.closed import closed_neurons
from jensen.prover.walks import edges
from jensen.prover.walks.edges import can_walk_edges, edges_bend_upwards
from jensen_encodings.deadline import Deadline

SAMPLERS = tuple(fuzz.SAMPLERS)
DOMAINS = (Box(-1, 1), Everywhere(), Box([-100, 2, -3], [100, 3, -2]))


def tiny(seed: int) -> tuple[str, ReluNetwork]:
    rng = np.random.default_rng(seed)
    family = SAMPLERS[seed % len(SAMPLERS)]
    sizes = [3, *rng.integers(1, 5, rng.integers(2, 4)).tolist(), 1]
    return family, ReluNetwork.from_layers(*fuzz.nearly_convex(seed, sizes, family))


def asked_of(network: ReluNetwork, domain: Domain) -> np.ndarray:
    closed = closed_neurons(prepare(network, domain))
    return ~np.concatenate([closed[block.name] for block in network.hidden])


def proved(network: ReluNetwork, domain: Domain, *, bounds: bool = True) -> bool:
    stack = NetworkStack.from_networks([network])
    if not can_walk_edges(stack, domain):
        return False
    asked = np.ones(network.relu_count, dtype=bool)
    with np.errstate(all="ignore"):
        asked = asked_of(network, domain) if bounds else asked
    return bool(edges_bend_upwards(stack, domain, asked[None])[0])


def compare_with_brute_force(seeds: range) -> tuple[int, int]:
    found = convex = 0
    for seed in seeds:
        family, network = tiny(seed)
        domain = DOMAINS[seed // len(SAMPLERS) % len(DOMAINS)]
        truth = oracle.is_convex(network, domain)
        shown = proved(network, domain, bounds=seed % 2 == 0)
        assert truth or not shown, (seed, family)
        convex, found = convex + truth, found + shown
    return found, convex


def test_what_is_proved_of_tiny_networks_is_convex_by_brute_force():
    found, convex = compare_with_brute_force(range(360))
    assert found > convex / 5


@pytest.mark.slow
def test_what_is_proved_of_four_thousand_tiny_networks_is_convex_by_brute_force():
    compare_with_brute_force(range(360, 4360))


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
@pytest.mark.parametrize("sizes", [(3, 4, 4), (3, 5, 3, 3), (3, 3, 2, 2, 2, 2), (3, 4, 1, 3)])
def test_all_that_is_convex_is_proved_in_general_position(sizes: tuple[int, ...], domain: Domain):
    networks = [general(seed, sizes) for seed in range(30)]
    truth = np.array([jensen.verify(n, domain).status == "convex" for n in networks])
    found = np.array([proved(n, domain, bounds=False) for n in networks])
    assert found.tolist() == truth.tolist()
    assert 0 < np.count_nonzero(truth) < len(truth)


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@pytest.mark.parametrize("bounds", [True, False])
def test_a_stack_is_walked_as_its_networks_are(domain: Domain, bounds: bool):
    networks = [general(seed, (3, 4, 3, 2)) for seed in range(20)]
    for seed, family in enumerate(SAMPLERS):
        networks.append(ReluNetwork.from_layers(*fuzz.nearly_convex(seed, [3, 4, 3, 2, 1], family)))
    asked = np.ones((len(networks), networks[0].relu_count), dtype=bool)
    if bounds:
        with np.errstate(all="ignore"):
            asked = np.array([asked_of(network, domain) for network in networks])
    together = edges_bend_upwards(NetworkStack.from_networks(networks), domain, asked)
    alone = [proved(network, domain, bounds=bounds) for network in networks]
    assert together.tolist() == alone
    assert any(alone)


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
@pytest.mark.parametrize("sizes", [(3, 5, 3, 3), (3, 4, 4)])
def test_kinks_asked_for_one_by_one_say_what_all_of_them_do(sizes: tuple[int, ...], domain: Domain):
    outcomes = []
    for seed in range(20):
        stack = NetworkStack.from_networks([general(seed, sizes)])
        units = np.eye(sum(sizes[1:]), dtype=bool)
        alone = [edges_bend_upwards(stack, domain, one[None])[0] for one in units]
        every = edges_bend_upwards(stack, domain, np.ones((1, len(units)), dtype=bool))[0]
        assert all(alone) == every, seed
        outcomes.append(every)
    assert 0 < sum(outcomes) < len(outcomes)


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
def test_sets_of_units_in_several_words_make_no_difference(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
):
    networks = [general(seed, (3, 4, 3, 3)) for seed in range(20)]
    stack = NetworkStack.from_networks(networks)
    asked = np.ones((len(networks), networks[0].relu_count), dtype=bool)
    expected = edges_bend_upwards(stack, domain, asked).tolist()
    assert 0 < sum(expected) < len(expected)
    monkeypatch.setattr(skeleton, "BITS", 8)
    assert skeleton.places([4, 3, 3]) == [(0, 0), (0, 4), (1, 0)]
    assert edges_bend_upwards(stack, domain, asked).tolist() == expected
    alone = [proved(network, domain, bounds=False) for network in networks]
    assert alone == expected


def test_parts_of_one_key_that_differ_prove_nothing(monkeypatch: pytest.MonkeyPatch):
    networks = [general(seed, (3, 4, 3, 3)) for seed in range(20)]
    truth = [jensen.verify(network, Box(-2, 2)).status == "convex" for network in networks]
    monkeypatch.setattr(skeleton, "BITS", 8)
    for bits in (1, 6, 9, 12):
        monkeypatch.setattr(skeleton, "KEY", bits)
        found = [proved(network, Box(-2, 2), bounds=False) for network in networks]
        assert all(right or not shown for right, shown in zip(truth, found, strict=True))
        assert bits > 1 or not any(found)


@pytest.mark.parametrize("domain", [Box(-3, 3), Everywhere()])
def test_ten_levels_of_ten_are_proved_by_edges(domain: Domain):
    sizes = (3, *[10] * 10)
    rng = np.random.default_rng([0, *sizes])
    weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise((*sizes, 1))]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    biases = [0.3 * rng.normal(size=len(w)) for w in weights]
    network = ReluNetwork.from_layers(weights, biases)
    verdict = jensen.verify(network, domain)
    assert verdict.status == "convex"
    assert "walk" in verdict.reasons
    assert "bounds" not in verdict.times


def test_needles_are_not_passed_over():
    """A bend of 2^-20 in a corner of a kink 2^-12 long."""
    tip = 2.0**-12
    weights = [np.eye(3), [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [[2.0**-20, -(2.0**-19)]]]
    low = ReluNetwork.from_layers(weights, [np.full(3, 0.1), np.zeros(2), np.zeros(1)])
    assert not proved(low, Box(-1, 1))
    high = ReluNetwork.from_layers(
        weights, [np.full(3, 0.1), np.array([0.1, -2.2 + tip]), np.zeros(1)]
    )
    assert not oracle.is_convex(high, Box(-1, 1))
    assert not proved(high, Box(-1, 1))
    beyond = ReluNetwork.from_layers(
        weights, [np.full(3, 0.1), np.array([0.1, -2.2 - tip]), np.zeros(1)]
    )
    assert oracle.is_convex(beyond, Box(-1, 1))
    assert proved(beyond, Box(-1, 1), bounds=False)


def bends_down_beyond(distance: float) -> ReluNetwork:
    """Return a network whose kink of the first neuron bends down where x_2 > distance."""
    first = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.3, 0.4, 0.2]])
    # on everywhere; on before the distance, which makes up for the first; makes up for it, too
    second = np.array([[1.0, 1, 0, 0], [1, -1 / distance, 0, 0], [0, 3, 0.1, 0.1]])
    biases = [np.array([0.1, 0.2, -0.1, 0.05]), np.ones(3), np.zeros(1)]
    return ReluNetwork.from_layers([first, second, np.array([[-1.0, 1.5, 1]])], biases)


@pytest.mark.parametrize("distance", [8.0, 1e4, 1e7, 1e12])
def test_what_bends_down_far_out_is_not_passed_over(distance: float):
    network = bends_down_beyond(distance)
    assert jensen.verify(network, Everywhere()).status == "nonconvex"
    assert not proved(network, Everywhere())
    assert proved(network, Box(-1, 1))


def test_it_is_the_look_beyond_the_far_ends_that_sees_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Skeleton, "goes_on", lambda *_, **__: None)
    assert not proved(bends_down_beyond(8.0), Everywhere())
    assert proved(bends_down_beyond(1e12), Everywhere())


def test_what_rounding_hides_is_looked_at_in_a_smaller_part_of_space(
    monkeypatch: pytest.MonkeyPatch,
):
    networks = [general(seed, (3, 5, 3, 3)) for seed in range(20)]
    stack = NetworkStack.from_networks(networks)
    asked = np.ones((len(networks), networks[0].relu_count), dtype=bool)

    def shown(*reaches: int) -> list[bool]:
        monkeypatch.setattr(edges, "REACHES", reaches)
        return edges_bend_upwards(stack, Everywhere(), asked).tolist()

    truth = [jensen.verify(network, Everywhere()).status == "convex" for network in networks]
    assert 0 < sum(truth) < len(truth)
    assert shown(23) == truth
    hidden = shown(42)
    assert sum(hidden) < sum(truth)
    assert all(right or not found for right, found in zip(truth, hidden, strict=True))
    assert shown(42, 23) == truth
    assert shown(1, 23) == truth
    assert not edges_bend_upwards(stack, Everywhere(), asked, Deadline.after(0.0)).any()


@pytest.mark.parametrize("scale", [2.0**-40, 1e-6, 1e6, 2.0**40])
def test_scaled_inputs_make_no_difference(scale: float):
    for seed in range(12):
        network = general(seed, (3, 4, 3))
        scaled = with_inputs_scaled(network, scale)
        for domain, large in ((Box(-1, 1), Box(-scale, scale)), (Everywhere(), Everywhere())):
            assert proved(scaled, large) == proved(network, domain), seed


def test_what_it_does_not_take():
    stack = NetworkStack.from_networks([general(0, (3, 4, 4))])
    assert can_walk_edges(stack, Box(-1, 1))
    assert not can_walk_edges(stack, Box([-1, -1, 0], [1, 1, 0]))
    assert not can_walk_edges(stack, Polyhedron([[1.0, 1, 1]], [1]))
    for sizes, domain in [((2, 4, 4), Box(-1, 1)), ((3, 2, 4), Everywhere()), ((3, 5), Box(-1, 1))]:
        few = NetworkStack.from_networks([general(0, sizes)])
        assert not can_walk_edges(few, domain)
    wide = NetworkStack.from_networks([general(0, (3, 30, 30))])
    assert not can_walk_edges(wide, Box(-1, 1))


def test_small_networks_without_a_box_are_proved_before_bounds_are_taken():
    sizes = (3, 4, 3)
    convex = (n for n in (general(s, sizes) for s in range(30)) if proved(n, Everywhere()))
    verdicts = [jensen.verify(network, Everywhere()) for network in convex]
    walked = [v for v in verdicts if "walk" in v.reasons]
    assert walked
    assert all("bounds" not in v.times for v in walked)


def test_three_levels_on_a_box_are_walked_under_bounds():
    sizes, domain = (3, 4, 3, 3), Box(-2, 2)
    reasons: set[str] = set()
    for network in (general(s, sizes) for s in range(30)):
        verdict = jensen.verify(network, domain)
        assert not proved(network, domain) or verdict.status == "convex"
        reasons.update(verdict.reasons)
    assert {"walk", "never crosses"} <= reasons


def test_numbers_near_the_ends_of_doubles_prove_nothing():
    network = general(1, (3, 4, 3))
    stack = NetworkStack.from_networks([network])
    weights = [stack.weights[0] * 2.0**-700, stack.weights[1], stack.weights[2]]
    tiny_one = NetworkStack(weights, stack.biases)
    asked = np.ones((1, network.relu_count), dtype=bool)
    assert not edges_bend_upwards(tiny_one, Box(-1, 1), asked)[0]


def test_no_time_proves_nothing():
    network = next(n for n in (general(s, (3, 4, 3)) for s in range(30)) if proved(n, Box(-1, 1)))
    stack = NetworkStack.from_networks([network])
    asked = np.ones((1, network.relu_count), dtype=bool)
    assert edges_bend_upwards(stack, Box(-1, 1), asked)[0]
    assert not edges_bend_upwards(stack, Box(-1, 1), asked, Deadline.after(0.0))[0]
