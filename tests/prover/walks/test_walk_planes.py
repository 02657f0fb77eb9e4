"""J on pieces of hyperplanes told by their vertices: what it proves is so, by brute force."""

from __future__ import annotations

from typing import Any

import fuzz
import numpy as np
import oracle
import pytest
from fuzz import general, with_inputs_scaled

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.closed import closed_neurons
from jensen.prover.walks import piece_parts
from jensen.prover.walks import planes as walk_planes
from jensen.prover.walks.piece_parts import Parts
from jensen.prover.walks.planes import can_walk_planes, planes_bend_upwards

SAMPLERS = tuple(fuzz.SAMPLERS)


def drawn(seed: int, sizes: list[int], family: str, negative: float) -> ReluNetwork:
    return ReluNetwork.from_layers(*fuzz.nearly_convex(seed, sizes, family, negative))


def tiny(seed: int) -> tuple[ReluNetwork, Domain]:
    rng = np.random.default_rng(seed)
    inputs = (4, 3, 2, 3)[seed % 4]
    sizes = [inputs, int(rng.integers(1, 6)), int(rng.integers(1, 9 - inputs)), 1]
    thin = np.array([-100, 2, -3, 0.0])[:inputs], np.array([100, 3, -2, 2.0**-20])[:inputs]
    domain = (Box(-1, 1), Everywhere(), Box(*thin))[seed // len(SAMPLERS) % 3]
    family = SAMPLERS[seed % len(SAMPLERS)]
    return drawn(seed, sizes, family, float(rng.choice([0.1, 0.2, 0.4]))), domain


def proved(network: ReluNetwork, domain: Domain, *, bounds: bool = False) -> bool:
    stack = NetworkStack.from_networks([network])
    if not can_walk_planes(stack, domain):
        return False
    asked = np.ones(network.relu_count, dtype=bool)
    if bounds:
        with np.errstate(all="ignore"):
            closed = closed_neurons(prepare(network, domain))
        asked = ~np.concatenate([closed[block.name] for block in network.hidden])
    return bool(planes_bend_upwards(stack, domain, asked[None])[0])


def compare_with_brute_force(seeds: range) -> tuple[int, int]:
    found = convex = 0
    for seed in seeds:
        network, domain = tiny(seed)
        truth = oracle.is_convex(network, domain)
        shown = proved(network, domain, bounds=seed % 2 == 0)
        assert truth or not shown, seed
        convex, found = convex + truth, found + shown
    return found, convex


def test_what_is_proved_of_tiny_networks_is_convex_by_brute_force():
    found, convex = compare_with_brute_force(range(600))
    assert found > convex / 4


@pytest.mark.slow
def test_what_is_proved_of_ten_thousand_tiny_networks_is_convex_by_brute_force():
    compare_with_brute_force(range(600, 10600))


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
@pytest.mark.parametrize(
    "sizes", [(2, 9, 9), (3, 4, 4), (3, 6, 3), (4, 5, 4), (5, 6, 4), (3, 10, 10)]
)
def test_most_that_is_convex_is_proved_in_general_position(sizes: tuple[int, ...], domain: Domain):
    networks = [general(seed, sizes) for seed in range(24)]
    truth = np.array([jensen.verify(n, domain).status == "convex" for n in networks])
    found = np.array([proved(n, domain, bounds=True) for n in networks])
    assert not (found & ~truth).any()
    assert np.count_nonzero(found) >= 0.9 * np.count_nonzero(truth) > 0


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
def test_kinks_asked_for_one_by_one_say_what_all_of_them_do(domain: Domain):
    outcomes = []
    for seed in range(20):
        stack = NetworkStack.from_networks([general(seed, (3, 5, 4))])
        alone = [planes_bend_upwards(stack, domain, one[None])[0] for one in np.eye(9, dtype=bool)]
        every = planes_bend_upwards(stack, domain, np.ones((1, 9), dtype=bool))[0]
        assert all(alone) == every, seed
        outcomes.append(every)
    assert 0 < sum(outcomes) < len(outcomes)


def bends_down_beyond(distance: float, inputs: int = 3) -> ReluNetwork:
    """Return a network whose kink of the first neuron bends down where x_2 > distance."""
    first = np.eye(inputs + 1, inputs)
    first[inputs] = [0.3, 0.4, 0.2, 0.1][:inputs]
    # on everywhere; on before the distance, which makes up for the first; makes up for it, too
    second = np.ones((3, inputs + 1))
    second[0, 2:] = 0.0
    second[1, 1], second[1, 2:] = -1 / distance, 0.0
    second[2] = [0.0, 3, *[0.1] * (inputs - 1)]
    biases = [np.array([0.1, 0.2, -0.1, 0.05, 0.07])[: inputs + 1], np.ones(3), np.zeros(1)]
    return ReluNetwork.from_layers([first, second, np.array([[-1.0, 1.5, 1]])], biases)


@pytest.mark.parametrize("inputs", [3, 4])
@pytest.mark.parametrize("distance", [8.0, 1e4, 1e7, 1e12])
def test_what_bends_down_far_out_is_not_passed_over(distance: float, inputs: int):
    network = bends_down_beyond(distance, inputs)
    assert jensen.verify(network, Everywhere()).status == "nonconvex"
    assert not proved(network, Everywhere())
    # in four inputs two kinks are parallel to two sides each
    assert proved(network, Box(-1, 1)) == (inputs == 3)


def test_needles_are_not_passed_over():
    """A bend of 2^-20 in a corner of a kink 2^-12 long."""
    tip = 2.0**-12
    weights = [np.eye(3), [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [[2.0**-20, -(2.0**-19)]]]
    for beyond, convex in ((tip, False), (-tip, True)):
        biases = [np.full(3, 0.1), np.array([0.1, -2.2 + beyond]), np.zeros(1)]
        network = ReluNetwork.from_layers(weights, biases)
        assert oracle.is_convex(network, Box(-1, 1)) == convex
        assert proved(network, Box(-1, 1)) == convex


def test_pieces_that_no_unit_reaches_are_flat():
    """Far from the kinks all is off, and at infinity nothing changes."""
    first, second = np.eye(3), np.array([[1.0, 2, 3], [2, 1, 0.5]])
    network = ReluNetwork.from_layers(
        [first, second, [[1.0, 1.0]]], [np.array([-1.0, -2, -0.5]), np.array([-1.0, 0.5]), [0.0]]
    )
    assert proved(network, Everywhere())
    assert not proved(network.negated(), Everywhere())


@pytest.mark.parametrize("scale", [2.0**-40, 1e-6, 1e6, 2.0**40])
def test_scaled_inputs_make_no_difference(scale: float):
    for seed in range(12):
        network = general(seed, (3, 4, 3))
        scaled = with_inputs_scaled(network, scale)
        for domain, large in ((Box(-1, 1), Box(-scale, scale)), (Everywhere(), Everywhere())):
            assert proved(scaled, large) == proved(network, domain), seed


def test_numbers_near_the_ends_of_doubles_prove_nothing():
    network = general(0, (3, 4, 3))
    stack = NetworkStack.from_networks([network])
    asked = np.ones((1, network.relu_count), dtype=bool)
    for factor in (2.0**-300, 2.0**300):
        weights = [stack.weights[0], stack.weights[1] * factor, stack.weights[2]]
        weights[1][:, 0, 0] = 1.0
        scaled = NetworkStack(weights, stack.biases)
        assert not planes_bend_upwards(scaled, Everywhere(), asked)[0]


def test_too_many_pieces_prove_nothing(monkeypatch: pytest.MonkeyPatch):
    network = next(n for n in (general(s, (3, 5, 4)) for s in range(9)) if proved(n, Box(-2, 2)))
    monkeypatch.setattr(walk_planes, "WORK", 100)
    assert not proved(network, Box(-2, 2))
    assert not can_walk_planes(NetworkStack.from_networks([network]), Everywhere())


def test_what_it_does_not_take():
    stack = NetworkStack.from_networks([general(0, (3, 4, 4))])
    assert can_walk_planes(stack, Box(-1, 1))
    assert not can_walk_planes(stack, Box([-1, -1, 0], [1, 1, 0]))
    assert not can_walk_planes(stack, Polyhedron([[1.0, 1, 1]], [1]))
    for sizes, domain in [
        ((1, 4, 4), Box(-1, 1)),
        ((3, 2, 4), Everywhere()),
        ((3, 5), Box(-1, 1)),
        ((7, 8, 4), Box(-1, 1)),
        ((3, 50, 4), Box(-1, 1)),
    ]:
        assert not can_walk_planes(NetworkStack.from_networks([general(0, sizes)]), domain)


@pytest.mark.parametrize("inputs", [3, 4, 5])
def test_networks_without_a_box_are_proved_before_bounds_are_taken(inputs: int):
    sizes = (inputs, 8, 8)
    convex = (n for n in (general(s, sizes) for s in range(40)) if proved(n, Everywhere()))
    verdicts = [jensen.verify(network, Everywhere()) for network in convex]
    walked = [v for v in verdicts if "walk" in v.reasons]
    assert walked
    assert all("bounds" not in v.times for v in walked)


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
def test_stacks_of_four_inputs_are_proved_together(domain: Domain):
    networks = [general(seed, (4, 8, 8)) for seed in range(40)]
    verdicts = jensen.verify_many(networks, domain)
    assert [v.status for v in verdicts] == [jensen.verify(n, domain).status for n in networks]
    walked = [v for v in verdicts if v.status == "convex" and "walk" in v.reasons]
    together = [n for n, v in zip(networks, verdicts, strict=True) if v in walked]
    assert sum(proved(n, domain, bounds=True) for n in together) > len(walked) / 2
    assert not any(
        "walk" in v.times and proved(n, domain, bounds=True)
        for n, v in zip(networks, verdicts, strict=True)
    )


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()], ids=str)
def test_pieces_are_cut_where_units_change_their_sign(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
):
    networks = [general(seed, (3, 10, 3)) for seed in range(24)]
    cut = [proved(network, domain, bounds=True) for network in networks]
    monkeypatch.setattr(piece_parts, "MOST", -1)
    alone = [proved(network, domain, bounds=True) for network in networks]
    assert sum(alone) < sum(cut)
    assert all(many or not few for few, many in zip(alone, cut, strict=True))


def test_what_cuts_of_a_piece_leave_is_told_from_what_bends_down():
    """A square on a kink; J is -1 where the first unit is on, 3 more where the second one is."""
    points = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=float)
    planes = np.array([1 + 2 + 4, 1 + 4 + 8, 1 + 8 + 16, 1 + 16 + 2])
    jumps = np.array([[-1.0], [3.0]])

    def sinking(z: Any) -> Any:
        z = np.array(z, dtype=float)
        off = np.full_like(z, 1e-12)
        kinks = np.array([0]), jumps, np.array([7])
        return piece_parts.sinking_part(Parts(points, z, off, planes, 0 * planes, *kinks))

    # on at x > 1/2, the second one at x > 1/4; x > 3/4; y > 1/2
    assert sinking([[-1, 1, 1, -1], [-1, 3, 3, -1]]) is False
    point, kink = sinking([[-1, 1, 1, -1], [-3, 1, 1, -3]])
    assert 0.5 < point[0] / point[-1] < 0.75
    assert kink == 7
    point, kink = sinking([[-1, 1, 1, -1], [-1, -1, 1, 1]])
    assert min(point[0] / point[-1] - 0.5, 0.5 - point[1] / point[-1]) > 0
    # both at the same places, as far as rounding lets see it
    assert sinking([[-1, 1, 1, -1], [-1, 1, 1, -1]]) is True


def test_a_unit_that_vanishes_all_over_a_piece_may_be_on_beside_it():
    """z_1 is 0 on the kink of the first neuron, and bends f down beside it."""
    points, planes = np.eye(4)[:, 1:], np.array([1 + 2 + 4, 1 + 4 + 8, 1 + 2 + 8])
    z, off = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]), np.zeros((2, 3))
    kinks = np.array([0]), np.array([[-1.0], [0.5]]), np.array([0])
    assert piece_parts.sinking_part(Parts(points, z, off, planes, 0 * planes, *kinks)) is True
    z[0] = -1.0
    assert piece_parts.sinking_part(Parts(points, z, off, planes, 0 * planes, *kinks)) is False
