"""Certificates of walks in the plane: nothing is computed again, and the checker accepts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from certificate_tools import check, claim_of, to_bytes

from jensen.certificate import producer
from jensen.certificate.certificate import Certificate, certify_convex
from jensen.certificate.convex_writer import Claimed, ConvexWriter
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import NEVER, Deadline

DOMAINS: list[Domain] = [
    Box(-1, 1),
    Box([-3, 0.5], [-0.25, 2]),
    Everywhere(),
    Polyhedron([[1, 1], [-1, 0], [0, -1]], [1, 0.5, 0.25]),
    Polyhedron([[1, -1]], [0]),
]


def two_levels(seed: int) -> ReluNetwork:
    """Small integers, so that kinks meet; the last weights bend nothing down."""
    rng = np.random.default_rng(seed)
    n, m = (int(v) for v in rng.integers(1, 6, 2))
    first, second = rng.integers(-2, 3, (n, 2)), rng.integers(-1, 3, (m, n))
    first[~first.any(axis=1)] = 1
    biases = [rng.integers(-1, 2, n), rng.integers(-1, 4, m), [0]]
    return ReluNetwork.from_layers([first, second, rng.integers(0, 3, (1, m))], biases)


def certified(network: ReluNetwork, domain: Domain, folder: Path) -> list[str]:
    """Return the names of the rules of a certificate that was accepted; none if there is none."""
    verdict = verify(network, domain, certificate=True)
    if verdict.status is not Status.CONVEX:
        return []
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, folder) == 0
    return [line[0] for line in verdict.certificate.lines[1:]]


def test_walks_are_accepted(tmp_path: Path) -> None:
    rules = [
        certified(two_levels(seed), domain, tmp_path) for seed in range(50) for domain in DOMAINS
    ]
    assert sum("walk" in some for some in rules) > 10


def test_kinks_are_left_to_one_walk_whatever_they_are(tmp_path: Path) -> None:
    """The second and the third neuron vanish where the first one does."""
    weights = [[[1.0, 2.0], [-2.0, -4.0], [0.1, 0.2], [0.0, 1.0]], np.ones((2, 4)), [[1.0, 1.0]]]
    weights[1][1] = [-0.5, -0.5, 3.0, 1.0]
    network = ReluNetwork.from_layers(weights, [[1.0, -2.0, 0.1, 0.0], [9.0, 9.0], [0.0]])
    assert certified(network, Box(-1, 1), tmp_path) == ["bounds", "path_signs", "walk"]


@pytest.mark.parametrize(("least", "convex"), [(0.5, True), (0.625, True), (0.375, False)])
def test_the_checker_walks_to_the_rows_of_a_polyhedron(
    least: float, convex: bool, tmp_path: Path
) -> None:
    """The jump over relu(x) is 0 where y > 1 / 2, and -2 elsewhere."""
    network = ReluNetwork(
        2,
        [
            Block("relu_1", {INPUT: np.eye(2)}, np.zeros(2)),
            Block("relu_2", {"relu_1": np.array([[2.0, 4.0]])}, np.array([-2.0])),
            Block(
                OUTPUT,
                {"relu_1": np.array([[-2.0, 0.0]]), "relu_2": np.ones((1, 1))},
                np.zeros(1),
                Activation.IDENTITY,
            ),
        ],
    )
    triangle = Polyhedron([[0, -1], [1, 1], [-1, 1]], [-least, 3, 3])
    for domain in (triangle, Polyhedron(triangle.A[:1], triangle.b[:1])):
        rules = certified(network, domain, tmp_path)
        assert bool(rules) == convex
        lines = [claim_of(network, domain), ["interior", ["0", "1"], []], ["bounds", []]]
        for index in range(2):
            lines += [["tree", "relu_1", index], ["walk"]]
        lines += [["path_signs"]]
        assert (check(network, to_bytes(lines), tmp_path) == 0) == convex


def test_narrow_networks_of_many_inputs_are_walked_in_the_plane_of_two(tmp_path: Path) -> None:
    """Before, there were long trees for them, or none within minutes."""
    walked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        inputs, depth = 2 + seed % 3, 3 + seed % 6
        shapes = [(2, inputs), *[(2, 2)] * (depth - 1), (1, 2)]
        weights = [rng.normal(size=shape) for shape in shapes]
        weights[1:] = [np.where(rng.random(w.shape) < 0.1, w, abs(w)) for w in weights[1:]]
        biases = [rng.normal(size=rows) / 2 for rows, _ in shapes]
        network = ReluNetwork.from_layers(weights, biases)
        rules = certified(network, Everywhere(), tmp_path)
        walked += "walk" in rules
        assert len(rules) < 300
    assert walked > 5


def test_the_domain_is_not_walked_where_nothing_was_left(tmp_path: Path) -> None:
    """A box of 40 inputs has more corners than can be counted."""
    network = ReluNetwork.from_layers([np.eye(40), np.ones((1, 40))], [np.zeros(40), np.zeros(1)])
    assert certified(network, Box(-1, 1), tmp_path) == ["bounds", "path_signs"]


def outweighed(width: int) -> ReluNetwork:
    """Half of the second layer is always on, and outweighs the other half."""
    rng = np.random.default_rng(width)
    half = width // 2
    second = np.abs(rng.normal(size=(2 * half, width)))
    second[half:] *= rng.choice([-1.0, 1.0], (half, width))
    output = np.ones((1, 2 * half))
    output[:, :half] = 2 * half * second[half:].max() / second[:half].min()
    biases = [rng.normal(size=width), np.full(2 * half, 0.5), [0.0]]
    return ReluNetwork.from_layers([rng.normal(size=(width, 2)), second, output], biases)


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere(), DOMAINS[3]], ids=str)
def test_long_walks_are_not_asked_for_where_signs_do(domain: Domain, tmp_path: Path) -> None:
    """On polyhedra the walk stays: its cone needs no box."""
    assert ("walk" in certified(outweighed(4), domain, tmp_path)) or domain.has_rows
    assert ("walk" in certified(outweighed(30), domain, tmp_path)) == domain.has_rows


def test_walks_that_bounds_save_are_left_out(tmp_path: Path) -> None:
    """What is left of them is accepted."""
    saved = 0
    for seed in range(60):
        network, domain = two_levels(seed), DOMAINS[seed % 3]
        if "walk" not in certified(network, domain, tmp_path):
            continue
        writer = ConvexWriter(Claimed(network, domain), None, NEVER, plain=True)
        shorter = Certificate(tuple(writer.lines((), walked=True)))
        assert check(network, shorter, tmp_path) == 0
        saved += ["walk"] not in shorter.lines
    assert saved


def test_what_no_walk_proved_is_walked_before_it_is_written() -> None:
    """Two groups bend the function upwards, the third one downwards in a small part of a box."""
    network = ReluNetwork.from_layers(
        [np.eye(2), [[1.0, 1.0]], [[-1.0]]], [[0.0, 0.0], [-1.999], [0.0]]
    )
    assert certify_convex(network, Box(-1, 0.99)).lines[-1] != ["walk"]
    with pytest.raises(CertificateError, match="cannot be certified: the function bends downwards"):
        certify_convex(network, Box(-1, 1))


@pytest.mark.parametrize("domain", [Box(-100, 100), Everywhere()], ids=str)
def test_deep_networks_in_space_are_walked(domain: Domain, tmp_path: Path) -> None:
    """Relaxations of many levels are loose: trees had thousands of leaves, or none were found."""
    walked = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        shapes = [(4, 3), *[(4, 4)] * 3, (1, 4)]
        weights = [rng.uniform(-1, 1, shape) for shape in shapes]
        weights[2:] = [np.where(rng.random(w.shape) < 0.2, w, abs(w)) for w in weights[2:]]
        biases = [rng.uniform(-1, 1, rows) for rows, _ in shapes]
        walked += "walk" in certified(ReluNetwork.from_layers(weights, biases), domain, tmp_path)
        if walked:
            break
    assert walked


def test_shallow_networks_in_space_get_short_trees_or_a_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where trees end soon they cost the checker less; a walk for some groups is one for all."""
    found = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=(16, 3)), abs(rng.normal(size=(12, 16))), np.ones((1, 12))]
        weights[1][:4] *= np.where(rng.random((4, 16)) < 0.3, -1, 1)
        biases = [rng.normal(size=16), rng.normal(size=12), [0.0]]
        network = ReluNetwork.from_layers(weights, biases)
        for nodes in (1, 16):
            monkeypatch.setattr(producer, "SHORT", nodes)
            rules = certified(network, Box(-1, 1), tmp_path)
            assert not {"walk", "tree"} <= set(rules)
            found |= {(rule, nodes) for rule in rules}
    assert {("walk", 1), ("tree", 16)} <= found


def test_the_producers_own_walk_looks_at_the_clock(monkeypatch):
    network = ReluNetwork.from_layers([np.eye(2), [[1.0, 1.0]]], [np.zeros(2), [0.0]])
    claimed = Claimed(network, Box(-1, 1))
    writer = ConvexWriter(claimed, None, NEVER)
    net = writer._producer._net
    net.deadline = Deadline.after(0.0)
    with pytest.raises(CertificateError, match="the time limit was reached"):
        writer._producer._walk(sorted(net.kinks))
    net.deadline = NEVER
    writer._producer._walk(sorted(net.kinks))
    assert not net.walking
