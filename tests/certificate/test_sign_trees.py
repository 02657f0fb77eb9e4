"""Trees of signs: what linked states prove is written without programs, and accepted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from certificate_tools import check

from jensen.certificate import producer
from jensen.certificate.convex_writer import Claimed, ConvexWriter
from jensen.certificate.sign_trees import SignTrees
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status, Verdict
from jensen_encodings.deadline import NEVER, Deadline

DOMAINS: list[Domain] = [
    Everywhere(),
    Box(-1, 1),
    Box([-1, 0.25, -2], [2, 0.25, 3]),
    Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 0.5, 0.5, 0.5]),
    Polyhedron([[1, 1, 1], [-1, -1, -1]], [1, -1]),
    Polyhedron([[1, -1, 0]], [0]),
]


def with_pairs(
    seed: int, count: int = 3, *, gap: float = 0.125, size: int = 6, depth: int = 1
) -> ReluNetwork:
    """Neurons of the second layer of which one is on wherever the other is, and makes up for it."""
    rng = np.random.default_rng(seed)
    first = rng.integers(-8, 9, (size, 3)) / 8
    falls = rng.integers(-4, 5, (count, size)) / 8
    rises = falls + 2 * np.maximum(-falls, 0) + np.abs(falls) / 8
    below = -rng.integers(1, 4, count) / 8
    weights = [first, np.vstack([falls, rises])]
    biases = [rng.integers(-8, 9, size) / 8, np.concatenate([below, below + gap])]
    later = rng.integers(0, 3, (depth, count)) / 2
    weights += [np.hstack([later, later * 1.25]), np.ones((1, depth))]
    return ReluNetwork.from_layers(weights, [*biases, np.zeros(depth), [0.0]])


def maximum_of_four(seed: int) -> ReluNetwork:
    """max(max(a, b), max(c, d)), where the loser of a match is passed on as twins."""
    a, b, c, d = np.random.default_rng(seed).integers(-8, 9, (4, 4)) / 4
    rows = np.array([a - b, c - d, b - d, d - b, d, -d])
    final = [[1, -1, 1, -1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, -1], [0, 0, 0, 0, -1, 1]]
    return ReluNetwork.from_layers(
        [rows[:, :3], final, [[1, 1, 1, -1]]], [rows[:, 3], np.zeros(4), [0.0]]
    )


def accepted(network: ReluNetwork, domain: Domain, folder: Path) -> Verdict:
    verdict = verify(network, domain, certificate=True)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, folder) == 0
    return verdict


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_certificates_of_linked_signs_are_accepted(domain: Domain, tmp_path: Path) -> None:
    for seed in range(6):
        for network in (with_pairs(seed), with_pairs(seed, 2, depth=3), maximum_of_four(seed)):
            accepted(network, domain, tmp_path)


def test_trees_of_pairs_end_in_leaves_of_two_rows(tmp_path: Path) -> None:
    """One for the unit that is on, one for the one that would have to be on with it."""
    verdict = accepted(with_pairs(2), Box(-1, 1), tmp_path)
    assert verdict.certificate is not None
    leaves = [line for line in verdict.certificate.lines[1:] if line[0] == "empty"]
    assert leaves
    assert all([row[0] for row in line[1]] == ["sign", "sign"] for line in leaves)


def test_no_program_is_solved_where_signs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "JointRoots", None)
    monkeypatch.setattr(producer, "TreeWriter", None)
    for network in (with_pairs(1), maximum_of_four(1)):
        assert verify(network, Everywhere(), certificate=True).certificate is not None


def test_pairs_without_room_get_their_certificate_in_another_way(tmp_path: Path) -> None:
    """Both may vanish together, where the rows are no contradiction."""
    for seed in range(4):
        accepted(with_pairs(seed, 2, gap=0.0, size=4), Box(-1, 1), tmp_path)


def test_trees_are_given_up_where_a_pattern_bends_down() -> None:
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, -2.0]], [[1.0, 1.0]]],
        [[0, 0], [1, -0.5], [0]],
    )
    writer = ConvexWriter(Claimed(network, Box(-1, 1)), None, NEVER, plain=True)
    assert not writer.close_by_signs()


def test_trees_are_given_up_where_they_grow_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ConvexWriter(Claimed(with_pairs(2), Everywhere()), None, NEVER, plain=True)
    assert writer.close_by_signs()
    monkeypatch.setattr("jensen.certificate.sign_trees.MOST_LINES", 2)
    writer = ConvexWriter(Claimed(with_pairs(2), Everywhere()), None, NEVER, plain=True)
    assert not writer.close_by_signs()


def test_trees_stop_at_the_time_limit() -> None:
    writer = ConvexWriter(Claimed(with_pairs(2), Everywhere()), None, NEVER, plain=True)
    writer._net.deadline = Deadline.after(1e-9)
    assert not writer.close_by_signs()


def test_only_units_of_positive_parts_have_partners() -> None:
    """Nothing is known of the sign of inputs."""
    writer = ConvexWriter(Claimed(with_pairs(3), Box(-1, 1)), None, NEVER, plain=True)
    net = writer._net
    pairs = SignTrees(net).pairs
    for unit in net.kinks:
        for other, factor in pairs.on_with(unit).items():
            forms = net.units[other].form, net.units[unit].form
            keys = forms[0].keys() | forms[1].keys()
            assert all(key <= 0 for key in keys)
            assert min(forms[0].get(k, 0) - factor * forms[1].get(k, 0) for k in keys) >= 0
