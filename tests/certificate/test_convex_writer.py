"""Certificates whose groups are proved by the writer itself, before the engine searches."""

from __future__ import annotations

from pathlib import Path

import oracle
import pytest
from certificate_tools import check
from fuzz import varied_network
from test_certificate_joint import random_network
from test_joint_leaf import real_network

from jensen.certificate import convex_writer
from jensen.certificate.convex_writer import Claimed, ConvexWriter
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import CertificateError
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover import joint_engine
from jensen.verdicts.evidence import Reason
from jensen_encodings.deadline import NEVER, Deadline

LITTLE = 4  # nodes of a turn
LONG = 7  # seed whose certificate on R^n takes 8,000 nodes
QUICK = [seed for seed in range(40) if seed != LONG]


def writer_of(
    network: ReluNetwork, domain: Domain, deadline: Deadline = NEVER
) -> tuple[ConvexWriter, list[tuple[int, int]]]:
    """Return a writer, and the groups of one neuron."""
    grouped = prepare(network, domain).grouped
    groups = [group for group in grouped.groups() if len(grouped.neurons(group)) == 1]
    return ConvexWriter(Claimed(network, domain), grouped, deadline), groups


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()], ids=str)
def test_what_the_writer_closes_bends_upwards(domain: Domain) -> None:
    """In networks that are not convex some group is left."""
    closed = left = 0
    for seed in range(60):
        network = random_network(seed, depth=1 + seed % 2)
        writer, groups = writer_of(network, domain)
        found = writer.close(groups, 1000)
        assert {*found.evidence} | {*found.paused} <= {*groups}
        closed += len(found.evidence)
        grouped = prepare(network, domain).grouped
        if not oracle.is_convex(network, domain) and len(groups) == len(grouped.groups()):
            assert len(found.evidence) < len(groups)
            left += 1
    assert closed > 20
    assert left > 20


def test_groups_that_are_gone_on_with_end_as_those_that_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convex_writer, "FAILURES", 1000)
    paused = 0
    for seed in range(40):
        network = real_network(seed)
        once, groups = writer_of(network, Box(-1, 1))
        at_once = once.close(groups, 10**6)
        turns, left, closed = writer_of(network, Box(-1, 1))[0], groups, set[tuple[int, int]]()
        while left:
            found = turns.close(left, LITTLE)
            paused += len(found.paused)
            closed |= {*found.evidence}
            left = list(found.paused)
        assert closed == {*at_once.evidence}
        if len(closed) == len(groups):
            assert turns.lines(()) == once.lines(())
    assert paused > 5


@pytest.mark.parametrize(
    ("domain", "seeds", "least"),
    [
        pytest.param(Box(-1, 1), range(40), 5, id="box"),
        pytest.param(Everywhere(), QUICK, 5, id="everywhere"),
        pytest.param(Everywhere(), [LONG], 0, id="long", marks=pytest.mark.slow),
    ],
)
def test_certificates_of_the_writer_are_accepted(
    domain: Domain, seeds: list[int], least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_engine, "SIGN_CREDIT", 0)
    written = 0
    for seed in seeds:
        network = real_network(seed)
        verdict = verify(network, domain, engine="joint", certificate=True)
        plain = verify(network, domain, engine="joint")
        assert verdict.status is plain.status
        assert verdict.certificate is not None
        assert check(network, verdict.certificate, tmp_path) == 0
        written += verdict.reasons.get(str(Reason.JOINT), 0)
    assert written > least


@pytest.mark.parametrize(
    ("domain", "seeds"),
    [
        pytest.param(Box(-1, 1), range(12), id="box"),
        pytest.param(Everywhere(), QUICK[:12], id="everywhere"),
        pytest.param(Everywhere(), [LONG], id="long", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("budgets", [(64,), (1,)], ids=str)
def test_groups_that_the_writer_does_not_close_are_closed_by_the_engine(
    domain: Domain,
    seeds: list[int],
    budgets: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None at all, if it gives up after the first failure; few, if trees hardly grow."""
    monkeypatch.setattr(convex_writer, "FAILURES", -1 if budgets == (64,) else 1000)
    monkeypatch.setattr(joint_engine, "WRITTEN_BUDGETS", budgets)
    for seed in seeds:
        network = real_network(seed)
        verdict = verify(network, domain, engine="joint", certificate=True)
        assert verdict.status is verify(network, domain, engine="joint").status
        assert verdict.certificate is not None
        assert check(network, verdict.certificate, tmp_path) == 0


def test_a_writer_that_is_out_of_time_closes_nothing() -> None:
    network = real_network(1)
    grouped = prepare(network, Box(-1, 1)).grouped
    writer = ConvexWriter(Claimed(network, Box(-1, 1)), grouped, NEVER)
    writer._net.deadline = Deadline(0.0)  # after the network was read
    found = writer.close(grouped.groups(), 100)
    assert not found.evidence
    assert not found.paused


def test_nothing_is_exported_once_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convex_writer, "export_bytes", pytest.fail)
    with pytest.raises(CertificateError, match="time limit"):
        ConvexWriter(Claimed(real_network(1), Box(-1, 1)), None, Deadline(0.0))


def test_a_tree_with_a_leaf_that_failed_stays_open(tmp_path: Path) -> None:
    """Two groups of the engine may be one unit of the checker, which is then tried twice."""
    network = ReluNetwork.from_layers([[[1.0], [0.5]], [[1.0, -3.0]]], [[0.0, -0.25], [0.0]])
    writer, groups = writer_of(network, Box(-1, 1))
    for _ in range(3):
        found = writer.close(groups, 100)
        assert len(found.evidence) < len(groups)
        assert not found.paused
    _, tiny = varied_network(20780)
    for domain in (Box(-1, 1), Polyhedron([[1.0]], [1.0])):
        verdict = verify(tiny, domain, engine="joint", certificate=True)
        assert verdict.certificate is not None
        assert check(tiny, verdict.certificate, tmp_path) == 0
