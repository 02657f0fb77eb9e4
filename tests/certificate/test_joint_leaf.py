"""Leaves whose multipliers are bounded in doubles: the checker's rule agrees with every one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificate_tools import check
from test_certificate_joint import random_network, trained

from jensen.certificate import joint_leaf
from jensen.certificate.joint_leaf import JointProver
from jensen.certificate.joint_writer import JointWriter
from jensen.certificate.leaf_proof import Entry
from jensen.certificate.proof_node import ProofNode
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.network.relu_network import ReluNetwork


class Counted:
    """How many leaves were written with and without asking the rule."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = self.unasked = 0
        original, before = JointProver._accepted, joint_leaf.accepted

        def asked(node: ProofNode, entries: list[Entry]) -> bool:
            self.asked += 1
            return before(node, entries)

        def counted(
            prover: JointProver, node: ProofNode, found: Any, *, with_jump: bool
        ) -> list[Entry] | None:
            count = self.asked
            entries = original(prover, node, found, with_jump=with_jump)
            if entries is not None and self.asked == count:
                self.unasked += 1
                node.settle()
                assert before(node, entries)
            return entries

        monkeypatch.setattr(joint_leaf, "accepted", asked)
        monkeypatch.setattr(JointProver, "_accepted", counted)


def real_network(seed: int) -> ReluNetwork:
    """Few negative weights behind the first level, so that many are convex on small boxes."""
    rng = np.random.default_rng(seed)
    sizes = [int(rng.integers(2, 5)), *rng.integers(3, 8, 2 + seed % 2), 1]
    weights, biases = [], []
    for i, (rows, columns) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        weight = rng.normal(size=(rows, columns))
        if i:
            weight = np.where(rng.random(weight.shape) < 0.15, -0.3, 1.0) * np.abs(weight)
        weights.append(weight * 2.0 ** rng.integers(-9, 9) if seed % 3 == 0 else weight)
        biases.append(rng.normal(size=rows) * 0.5 + (i > 0))
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize(
    ("domain", "count"), [(Box(-1, 1), 90), (Box(-3, 3), 60), (Everywhere(), 12)], ids=str
)
def test_the_rule_accepts_what_it_was_not_asked_for(
    domain: Domain, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    for seed in range(count):
        verify(real_network(seed), domain, engine="joint", certificate=True, time_limit=5)
        verify(random_network(seed, 2), domain, engine="joint", certificate=True, time_limit=5)
    assert counted.unasked > 5


def test_trained_networks_need_the_rule_for_no_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    network = trained("d5_48x48_lse_s0_r1")
    assert verify(network, Box(-1, 1), certificate=True).certificate is not None
    assert counted.unasked > 20 > 10 * counted.asked


def test_states_that_signs_imply_are_branched_on_where_multipliers_need_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, lines = trained("d5_48x48_lse_s0_r1"), []
    for _ in range(2):
        # with a limit on nodes the engine searches before anything is written
        verdict = verify(network, Box(-1, 1), certificate=True, node_limit=10**6)
        certificate = verdict.certificate
        assert certificate is not None
        assert check(network, certificate, tmp_path) == 0
        lines.append(len(certificate.lines))
        monkeypatch.setattr(JointWriter, "_shortened", lambda *_: None)
    assert lines[0] < 0.8 * lines[1]
