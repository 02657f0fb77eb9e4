"""Certificates of networks whose weights alone say that they are convex."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from certificate_tools import check

from jensen.certificate import certificate as written
from jensen.certificate.certificate import certify_convex
from jensen.certificate.plain_signs import signs_of_weights_do
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.verdict import Status

DOMAINS: list[Domain] = [
    Everywhere(),
    Box(-1, 1),
    Box([-1, 0.5, 0], [2, 0.5, 3]),
    Box([3, 3, 3], [4, 5, 6]),
    Polyhedron([[1, 1, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], [1, 0, 0, 0]),
    Polyhedron([[1, 1, 1], [-1, -1, -1]], [1, -1]),
    Polyhedron([[1, -1, 0]], [0]),
]


def random_network(seed: int) -> ReluNetwork:
    """Small integers, so that there are twins of both signs, zeros and neurons of no use."""
    rng = np.random.default_rng(seed)
    sizes = [int(v) for v in rng.integers(1, 5, rng.integers(1, 4))]
    blocks: list[Block] = []
    for k, size in enumerate([*sizes, 2]):
        weights = {}
        if not blocks or rng.random() < 0.4:
            weights[INPUT] = rng.integers(-2, 3, (size, 3)) * rng.choice([0.1, 1.0])
        for block in blocks[-2:]:
            weights[block.name] = rng.integers(0, 3, (size, block.size)) * rng.choice([0.3, 1.0])
        last = k == len(sizes)
        activation = Activation.IDENTITY if last else Activation.RELU
        name = OUTPUT if last else f"b{k}"
        blocks.append(Block(name, weights, rng.integers(-1, 2, size) * 1.0, activation))
    return ReluNetwork(3, blocks)


def test_the_checker_accepts_whatever_the_weights_decide(tmp_path: Path) -> None:
    """Nothing but the rule `path_signs`, on whatever domain, for outputs and their negatives."""
    for seed, domain in zip(range(140), itertools.cycle(DOMAINS), strict=False):
        network = random_network(seed)
        assert signs_of_weights_do(network, seed % 2, concave=False)
        certificate = certify_convex(network, domain, output=seed % 2)
        rules = [line[0] for line in certificate.lines[1:] if line[0] != "interior"]
        assert rules == ["bounds", "path_signs"]
        assert check(network, certificate, tmp_path) == 0


def test_negative_outputs_are_concave(tmp_path: Path) -> None:
    network = random_network(3).negated()
    assert signs_of_weights_do(network, 0, concave=True)
    assert not signs_of_weights_do(network, 0, concave=False)
    verdict = verify(network, Box(-1, 1), output=0, concave=True, certificate=True)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, tmp_path) == 0


def test_no_network_is_read_where_weights_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "ConvexWriter", None)
    assert verify(random_network(1), Box(-1, 1), output=0, certificate=True).certificate is not None


def test_weights_do_not_decide_about_other_networks() -> None:
    first, second = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5]]
    network = ReluNetwork.from_layers([first, second, [[1.0]]], [[0, 0], [0], [0]])
    assert signs_of_weights_do(network, 0, concave=False)
    for changed in (
        ReluNetwork.from_layers([first, [[1.0, -0.5]], [[1.0]]], [[0, 0], [0], [0]]),
        ReluNetwork.from_layers([first, second, [[-1.0]]], [[0, 0], [0], [0]]),
        ReluNetwork(2, [
            Block("linear", {INPUT: np.array(first)}, np.zeros(2), Activation.IDENTITY),
            Block(OUTPUT, {"linear": np.array(second)}, np.zeros(1), Activation.IDENTITY),
        ]),
    ):  # fmt: skip
        assert not signs_of_weights_do(changed, 0, concave=False)


def test_numbers_that_may_be_too_long_are_left_to_the_checker(tmp_path: Path) -> None:
    network = ReluNetwork.from_layers([[[1.0]], [[1e-300]], [[1e300]]], [[0], [1e-310], [0]])
    assert not signs_of_weights_do(network, 0, concave=False)
    assert check(network, certify_convex(network, Everywhere()), tmp_path) == 0
