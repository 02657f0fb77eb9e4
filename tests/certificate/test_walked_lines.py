"""Certificates of walks in the plane: nothing is computed again, and the checker accepts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from certificate_tools import check

from jensen.certificate import certificate as written
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.prover.verdict import Status

DOMAINS: list[Domain] = [Box(-1, 1), Box([-3, 0.5], [-0.25, 2]), Everywhere()]


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


def test_walks_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, original = [], written.walked_lines

    def counted(network: ReluNetwork, walked: object) -> list[object]:
        calls.append(walked)
        return original(network, walked)  # type: ignore[arg-type]

    monkeypatch.setattr(written, "walked_lines", counted)
    for seed in range(50):
        for domain in DOMAINS:
            certified(two_levels(seed), domain, tmp_path)
    assert sum(map(bool, calls)) > 10


def test_neurons_with_one_kink_get_one_tree(tmp_path: Path) -> None:
    """The second and the third neuron vanish where the first one does."""
    weights = [[[1.0, 2.0], [-2.0, -4.0], [0.1, 0.2], [0.0, 1.0]], np.ones((2, 4)), [[1.0, 1.0]]]
    weights[1][1] = [-0.5, -0.5, 3.0, 1.0]
    network = ReluNetwork.from_layers(weights, [[1.0, -2.0, 0.1, 0.0], [9.0, 9.0], [0.0]])
    rules = certified(network, Box(-1, 1), tmp_path)
    assert rules.count("walk") == 1


def test_polyhedra_are_left_to_the_checkers_own_rules(tmp_path: Path) -> None:
    """The checker's lines end at the cube, and not at the domain's rows."""
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [0.0, 1.0]], [[2.0, -1.0], [0.0, 2.0]], [[1.0, 1.0]]],
        [[0.0, 0.0], [5.0, 5.0], [0.0]],
    )
    domain = Polyhedron([[1, 0], [-1, 0], [0, 1], [0, -1]], [1, 1, 1, 1])
    assert "path_signs" in certified(network, domain, tmp_path)
