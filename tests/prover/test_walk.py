"""The walk along the kinks of few inputs decides like brute force."""

from __future__ import annotations

from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

import jensen
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walk import can_walk
from jensen.prover.walks import plane as walk_plane
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.walked import Walked
from jensen_encodings.deadline import NEVER, Deadline


def walked(network: ReluNetwork, domain: Domain) -> Walked | None:
    signs = prepare(network, domain).signs
    with np.errstate(all="ignore"):
        return walk_kinks(network, domain, {name: low >= 0 for name, (low, _) in signs.items()})


def random_polyhedron(rng: np.random.Generator, inputs: int) -> Polyhedron:
    rows = rng.integers(-2, 3, (rng.integers(1, 5), inputs)).astype(float)
    return Polyhedron(rows, rng.integers(0, 3, len(rows)).astype(float))


@pytest.mark.parametrize("part", range(4))
def test_verdicts_of_tiny_networks_are_those_of_brute_force(part):
    undecided = 0
    for seed in range(part, 1200, 4):
        family, network = fuzz.tiny_network(seed, max_inputs=2)
        rng = np.random.default_rng(seed)
        domain = [Box(-1, 1), Everywhere(), Box([-2] * network.input_size, 1)][seed % 3]
        if network.input_size == 2 and rng.random() < 0.3:
            domain = random_polyhedron(rng, 2)
        try:
            truth = oracle.is_convex(network, domain)
        except ValueError:
            continue  # no interior
        assert can_walk(network, domain)
        found = walked(network, domain)
        if found is None:
            undecided += 1
            continue
        assert found.proved == truth, (seed, family)
        assert (found.pair is None) == truth
    assert undecided <= 12


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_verdicts_of_drawn_networks_are_those_of_brute_force(data):
    network = data.draw(strategies.networks(max_inputs=2, affine=True))
    domain = data.draw(st.one_of(st.just(Everywhere()), strategies.boxes(network.input_size)))
    found = walked(network, domain)
    if found is not None:
        assert found.proved == oracle.is_convex(network, domain)


@given(st.integers(0, 10**6), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_both_ways_to_look_at_the_edges_agree(seed, depth):
    rng = np.random.default_rng(seed)
    sizes = [2, *rng.integers(1, 7, depth), 1]
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    signs = prepare(network, Box(-1, 1)).signs
    closed = {name: low >= 0 for name, (low, _) in signs.items()}
    one = walk_plane._Walk(network, Box(-1, 1), closed, NEVER)
    quick, complete = one._quickly(), one._completely()
    assert complete is not None
    assert quick is None or quick.proved == complete.proved


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=str)
def test_kinks_that_coincide_are_mostly_proved_without_the_whole_complex(domain):
    """Twins in front; a unit of the last level that vanishes all along their kink."""
    convex = proved = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        sizes = (2, 4, 3, 1)
        weights = [rng.integers(-9, 10, (b, a)).astype(float) for a, b in pairwise(sizes)]
        weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
        biases = [rng.integers(-9, 10, len(w)).astype(float) for w in weights]
        scale = (-2.0, -1.0, 3.0)[seed % 3]
        weights[0][-1], biases[0][-1] = scale * weights[0][0], scale * biases[0][0]
        if scale == -1:  # relu(z) - relu(-z) = z
            weights[1][0], biases[1][0] = [5.0, 0.0, 0.0, -5.0], 0.0
        network = ReluNetwork.from_layers(weights, biases)
        signs = prepare(network, domain).signs
        closed = {name: low >= 0 for name, (low, _) in signs.items()}
        found = walk_plane._Walk(network, domain, closed, NEVER)._quickly()
        truth = oracle.is_convex(network, domain)
        assert found is None or found.proved == truth, seed
        convex += truth
        proved += found is not None and found.proved
    assert proved > 0.6 * convex > 20


def test_the_verdict_names_the_walk():
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=(5, 2)), np.abs(rng.normal(size=(4, 5))), np.ones((1, 4))]
    # a negative weight that larger ones outweigh wherever its neuron is on
    weights[1][:, 0] = [1.0, 1.0, 1.0, -0.5]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=5), [9.0, 9.0, 9.0, 9.0], [0.0]])
    for domain in (Box(-1, 1), Everywhere()):
        verdict = jensen.verify(network, domain)
        assert verdict.status is jensen.Status.CONVEX
        assert verdict.reasons["walk"] == 1
        assert jensen.verify(network, domain, engine="tree").status is jensen.Status.CONVEX


def test_what_was_walked_has_a_certificate():
    net = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]],
        [[0.0, 0.0], [5.0, 5.0], [0.0]],
    )
    verdict = jensen.verify(net, Box(-1, 1), certificate=True)
    assert verdict.status is jensen.Status.CONVEX
    assert verdict.certificate is not None
    assert verdict.reasons["walk"] == 1


def test_what_was_walked_stays_proved_where_no_certificate_is_found(monkeypatch):
    def fail(*_arguments, **_options):
        raise CertificateError("no certificate: the time limit was reached")

    monkeypatch.setattr("jensen.certificate.found.certify_convex", fail)
    net = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]],
        [[0.0, 0.0], [5.0, 5.0], [0.0]],
    )
    verdict = jensen.verify(net, Box(-1, 1), certificate=True)
    assert verdict.status is jensen.Status.CONVEX
    assert verdict.certificate is None
    assert "no certificate" in verdict.note


def test_a_needle_is_found_at_its_place():
    """Two neurons of the last level differ by 1e-9 of a turn: a sliver bends down."""
    tiny = 1e-9
    net = ReluNetwork.from_layers(
        [[[1.0, 0.0], [1.0, tiny], [0.0, 1.0]], [[1.0, -1.0, 2.0 * tiny]], [[1.0]]],
        [[0.0, 0.0, 0.0], [0.0], [0.0]],
    )
    for domain in (Box(-1, 1), Everywhere()):
        truth = oracle.is_convex(net, domain)
        found = walked(net, domain)
        assert found is not None
        assert found.proved == truth


def test_it_gives_up_where_the_time_is_over():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(20, 2)), rng.normal(size=(20, 20)), rng.normal(size=(1, 20))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    signs = prepare(network, Box(-1, 1)).signs
    closed = {name: low >= 0 for name, (low, _) in signs.items()}
    assert walk_kinks(network, Box(-1, 1), closed, Deadline.after(0.0)) is None


def test_a_neuron_that_is_zero_throughout_bends_nothing():
    ones = np.ones((1, 1))
    hidden = [
        jensen.Block("dead", {"input": np.zeros((1, 2))}, np.zeros(1)),
        jensen.Block("next", {"dead": -ones, "input": np.array([[-1.0, 0.0]])}, np.zeros(1)),
    ]
    out = jensen.Block("output", {"next": ones}, np.zeros(1), jensen.Activation.IDENTITY)
    found = walked(ReluNetwork(2, [*hidden, out]), Everywhere())
    assert found is not None
    assert found.proved


def test_scales_that_would_round_weights_away_are_not_used():
    """A kink whose scaled weight is below the smallest double must not be forgotten."""
    network = jensen.ReluNetwork.from_layers(
        [[[2.0**-1070, 0.0]], [[-(2.0**1000)]]], [[0.0], [0.0]]
    )
    verdict = jensen.verify(network, jensen.Box(-(2.0**-60), 2.0**-60))
    assert verdict.status != "convex"


@pytest.mark.parametrize("part", range(2))
def test_rows_of_one_input_are_an_interval_or_a_half_line(part):
    kinds = 0
    for seed in range(part, 300, 2):
        _, network = fuzz.tiny_network(seed, max_inputs=1)
        rng = np.random.default_rng(seed)
        rows = np.array([[3.0], [-1.0], [7.0]][: 2 + seed % 2] if seed % 5 else [[-3.0], [-1.0]])
        domain = Polyhedron(rows, rng.integers(-2, 4, len(rows)) / 1.0)
        try:
            truth = oracle.is_convex(network, domain)
        except ValueError:
            continue  # no interior
        verdict = jensen.verify(network, domain, time_limit=20)
        assert verdict.status == ("convex" if truth else "nonconvex"), seed
        kinds += truth
    assert 20 < kinds < 150


def test_bias_free_networks_of_one_input_are_decided_on_rows_as_well():
    # all kinks meet in one point: the trees had one leaf for every pattern
    for seed in range(5):
        rng = np.random.default_rng(seed)
        W = [rng.normal(size=(3, 1)), rng.normal(size=(6, 3)), rng.normal(size=(5, 6))]
        W.append(np.abs(rng.normal(size=(1, 5))))
        network = ReluNetwork.from_layers(W, [np.zeros(len(w)) for w in W])
        for domain in (Polyhedron([[1.0], [-1.0]], [1.0, 1.0]), Polyhedron([[1.0]], [1.0])):
            verdict = jensen.verify(network, domain, time_limit=5)
            assert verdict.status == jensen.verify(network, Box(-1, 1)).status
            assert verdict.status != "unknown"


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
@pytest.mark.parametrize("less", [0.4, 0.6])
def test_one_level_with_twins_in_the_plane_is_left_to_its_groups(domain, less):
    """Each group has one J; a walk would go through a cell for every pair of kinks."""
    rng = np.random.default_rng(5)
    rows, bias = rng.normal(size=(24, 2)), rng.normal(size=24)
    weights = [np.vstack([rows, 2 * rows]), np.repeat([1.0, -less], 24)[None]]
    network = ReluNetwork.from_layers(weights, [np.concatenate([bias, 2 * bias]), [0.0]])
    verdict = jensen.verify(network, domain)
    assert verdict.status == ("convex" if less < 0.5 else "nonconvex")
    assert all(item.reason in ("sign", "never crosses") for item in verdict.evidence)
