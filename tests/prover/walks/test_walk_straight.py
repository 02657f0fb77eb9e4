"""Kinks along straight lines: what is proved holds, by brute force in integers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.lines.glimpse import Glimpse
from jensen.prover.question import Question
from jensen.prover.walk import walk_straight_lines
from jensen.prover.walks import straight as walk_straight
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.straight import FROM_LOW, bend_upwards, seems_to_bend_down
from jensen.prover.walks.straight_levels import TwoLevels
from jensen.prover.walks.straight_lines import Lines
from jensen.prover.walks.straight_pieces import Pieces, not_upwards
from jensen.verdicts.options import Options

DOMAINS: list[Domain] = [
    Box(-1, 1),
    Box([-3, 0.5], [-0.25, 2]),
    Everywhere(),
    Polyhedron([[1, 1], [-1, 2]], [1, 1]),
    Polyhedron([[1, 0], [-1, 0], [0, -1]], [0.5, 1, 0]),
]


def two_levels(seed: int, *, skips: bool = False) -> ReluNetwork:
    """Two small levels of a degenerate family; the last level's weights are not negative."""
    rng = np.random.default_rng(seed)
    sample = list(fuzz.SAMPLERS.values())[seed % len(fuzz.SAMPLERS)]
    n, m = (int(v) for v in rng.integers(1, 6, 2))
    (first, b1), (second, b2), (last, b3) = (sample(rng, b, a) for a, b in pairwise((2, n, m, 1)))
    keep = rng.random(second.shape) < 0.3
    second, last = np.where(keep, second, np.abs(second)), np.abs(last)
    if rng.random() < 0.7:
        b2 = np.abs(b2) + rng.integers(0, 3)
    if not skips:
        return ReluNetwork.from_layers([first, second, last], [b1, b2, b3])
    blocks = [
        jensen.Block("a", {"input": first}, b1),
        jensen.Block("b", {"a": second, "input": sample(rng, m, 2)[0]}, b2),
        jensen.Block(
            "output",
            {"b": last, "a": sample(rng, 1, n)[0] + 0.5, "input": sample(rng, 1, 2)[0]},
            b3,
            jensen.Activation.IDENTITY,
        ),
    ]
    return ReluNetwork(2, blocks)


def bending(seed: int) -> ReluNetwork:
    """As before, but some neurons of the second level bend down, and may keep their signs."""
    network = two_levels(seed)
    rng = np.random.default_rng([seed, 1])
    weights = [next(iter(block.weights.values())).copy() for block in network.blocks]
    biases = [block.bias.copy() for block in network.blocks]
    size = len(biases[1])
    down = rng.random(size) < 0.4
    down[rng.integers(size)] = True
    weights[2][0, down] *= -0.5
    shift = rng.choice([0.0, 1.0, 4.0], size) * rng.choice([-1.0, 1.0], size, p=[0.3, 0.7])
    biases[1] = np.where(down, biases[1] + shift, biases[1])
    if rng.random() < 0.5:  # made up for by one that is always on
        weights[1] = np.vstack([weights[1], np.ones(len(biases[0]))])
        weights[2] = np.append(weights[2], [[8.0]], axis=1)
        biases[1] = np.append(biases[1], 1.0)
    return ReluNetwork.from_layers(weights, biases)


def upwards(network: ReluNetwork, domain: Domain) -> bool:
    closed = {name: low >= 0 for name, (low, _) in prepare(network, domain).signs.items()}
    with np.errstate(all="ignore"):
        return bend_upwards(network, domain, closed)


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("part", range(5))
def test_what_is_proved_is_convex_by_brute_force(part, skips):
    domain, proved, convex = DOMAINS[part], 0, 0
    for seed in range(90):
        network = two_levels(seed, skips=skips)
        truth = oracle.is_convex(network, domain)
        found = upwards(network, domain)
        assert truth or not found, seed
        proved += found
        convex += truth
    # of the rest most have neurons that share a kink, or a jump of exactly 0
    assert proved > 0.7 * convex > 8


@pytest.mark.parametrize("domain", DOMAINS[:3], ids=str)
def test_neurons_that_would_bend_down_keep_their_signs_or_nothing_is_proved(domain):
    proved = convex = 0
    for seed in range(150):
        network = bending(seed)
        if not (network.output.weights["relu_2"] < 0).any():
            continue
        truth = oracle.is_convex(network, domain)
        found = upwards(network, domain)
        assert truth or not found, seed
        proved += found
        convex += truth
    assert proved > 0.3 * convex > 4


def test_on_all_of_the_plane_lines_have_to_meet():
    # -relu(y) behind the only kink, x = 0: no line says that y changes its sign
    first, second = [[1.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]
    blocks = [
        jensen.Block("a", {"input": first}, [0, -1]),
        jensen.Block("b", {"a": second, "input": [[0.0, 0.0], [0.0, 1.0]]}, [1, 3]),
        jensen.Block("output", {"b": [[1, -1e-9]]}, [0], jensen.Activation.IDENTITY),
    ]
    network = ReluNetwork(2, blocks)
    for domain in (Everywhere(), Box(-100, 100), Box(-5, 5)):
        assert not upwards(network, domain)
        assert jensen.verify(network, domain).status is jensen.Status.NONCONVEX
    # three lines, no two of which meet in the box: its corners say it
    assert upwards(network, Box(-2, 2))


@given(st.integers(0, 10**6), st.integers(4, 24))
@settings(max_examples=40, deadline=None)
def test_both_walks_agree_on_networks_in_general_position(seed, width):
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(size=(width, 2)),
        np.abs(rng.normal(size=(width, width))),
        np.abs(rng.normal(size=(1, width))),
    ]
    weights[1] *= np.where(rng.random(weights[1].shape) < 0.02, -1, 1)
    biases = [rng.normal(size=width), 3 * rng.random(width), [0.0]]
    network = ReluNetwork.from_layers(weights, biases)
    for domain in (Box(-1, 1), Everywhere()):
        closed = {name: low >= 0 for name, (low, _) in prepare(network, domain).signs.items()}
        with np.errstate(all="ignore"):
            found = walk_kinks(network, domain, closed)
        assert found is not None
        assert found.proved == upwards(network, domain)


def test_a_needle_between_two_kinks_is_not_proved_away():
    """Only on a share of 1e-9 of a line, the second neuron is on and the first still off."""
    for width in (1e-3, 1e-9, -1e-3):
        network = ReluNetwork.from_layers(
            [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [-0.5, 1.0]], [[1.0, 1.0]]],
            [[0.0, 0.0], [-0.5, -0.5 + width], [0.0]],
        )
        assert upwards(network, Box(-1, 1)) == oracle.is_convex(network, Box(-1, 1)) == (width < 0)


def test_weights_of_extreme_sizes_are_left_to_others():
    for scale in (1e-120, 1e120):
        network = ReluNetwork.from_layers(
            [[[scale, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]],
            [[0.0, 0.0], [5.0, 5.0], [0.0]],
        )
        assert not upwards(network, Box(-1, 1))


def test_a_verdict_by_straight_lines_names_every_neuron():
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]],
        [[0.0, 0.0], [5.0, 5.0], [0.0]],
    )
    for domain in DOMAINS:
        verdict = jensen.verify(network, domain)
        assert verdict.status is jensen.Status.CONVEX
        assert verdict.reasons == {"walk": 1, "sign": 3}


def test_lines_in_many_chunks_are_all_looked_at(monkeypatch):
    network = two_levels(7)
    whole = [upwards(network, domain) for domain in DOMAINS]
    monkeypatch.setattr(walk_straight, "CHUNK", 1)
    assert [upwards(network, domain) for domain in DOMAINS] == whole


def plain_levels() -> TwoLevels:
    """A network twice: behind each kink of the first level one neuron gains and one loses."""
    rng = np.random.default_rng(3)
    first = TwoLevels(
        rng.normal(size=(1, 3, 2)),
        0.1 * rng.normal(size=(1, 3)),
        np.array([[[2.0, -2.0, -2.0], [1.0, 1.0, 1.0]]]),
        np.array([[-9.0, 9.0]]),
        np.array([[1.0, 1.0]]),
    )
    return first.take(np.array([0, 0]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), DOMAINS[3]], ids=str)
@pytest.mark.parametrize("part", ["normals", "offsets", "weights", "bias", "last"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_line_that_is_not_a_number_shows_nothing(part, value, domain):
    levels = plain_levels()
    shape = (len(levels), levels.offsets.shape[1])
    asked, bending = np.ones(shape, dtype=bool), np.zeros((2, 2), dtype=bool)
    plain = Lines(levels, domain, asked, bending).upwards(2)
    assert plain[0] == plain[1]
    broken = getattr(levels, part).copy()
    broken[1].flat[0] = value
    found = Lines(replace(levels, **{part: broken}), domain, asked, bending).upwards(2)
    assert found[0] == plain[0]  # the other network has nothing to do with it
    assert not found[1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("place", ["start", "rise", "error", "end", "drift", "direct", "gains"])
def test_a_piece_that_is_not_a_number_is_not_shown_to_bend_upwards(place):
    # both neurons are on: J is 1 - 2 + 3
    numbers = {name: np.ones((1, 1, 2)) for name in ("start", "rise", "end")}
    numbers |= {"error": np.full((1, 1, 2), 1e-9), "drift": np.full((1, 1, 2), 1e-9)}
    values = {"direct": np.array([1.0]), "gains": np.array([[-2.0, 3.0]])}
    numbers.pop("end" if place in ("drift", "rise") else "drift")
    assert not not_upwards(Pieces(**numbers), **values).size
    for index in range(2):
        changed = {name: array.copy() for name, array in (numbers | values).items()}
        for name in ("end", "rise") if place == "end" else (place,):
            changed[name].flat[min(index, changed[name].size - 1)] = np.nan
        lines = {name: changed.pop(name) for name in ("direct", "gains")}
        bad = not_upwards(Pieces(**changed), **lines)
        # a neuron that loses counts wherever it is not known to be off, and J is >= 0 all the same
        assert bad.tolist() == ([] if index == 0 and place not in ("direct", "gains") else [0])


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
@pytest.mark.parametrize(("offset", "walked"), [(0.5, True), (-0.5, False)])
def test_no_line_is_walked_where_a_kink_is_seen_to_bend_down(domain, offset, walked):
    first = [[1.0, 0.0], [-1.0, 0.5], [0.5, 1.0]]
    network = ReluNetwork.from_layers(
        [first, [[1.0, 1.0, 1.0], [4.0, 4.0, 4.0]], [[-1.0, 1.0]]],
        [[0, 0, 0], [offset, 1], [0]],
    )
    question = Question(prepare(network, domain), Options())
    with np.errstate(all="ignore"):  # as `verify` does
        outcome = walk_straight_lines(question)
    assert (outcome is not None) is walked is ("walk" in question.prepared.watch.times)
    assert jensen.verify(network, domain).status == ("convex" if walked else "nonconvex")


@pytest.mark.parametrize("skips", [False, True])
def test_a_kink_is_seen_to_bend_down_where_the_same_points_show_it(skips):
    seen = 0
    for seed in range(90):
        network = two_levels(seed, skips=skips).negated() if seed % 3 else two_levels(seed)
        points = 2 * FROM_LOW.T - 1
        expected = Glimpse(network, network.pre_activations(points)).bends_down
        assert seems_to_bend_down(network, Box(-1, 1)) is expected, seed
        seen += expected
    assert 10 < seen < 80
