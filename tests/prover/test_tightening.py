"""Bounds on kinks by linear programs: true at points of the kink, and they change no answer."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import oracle
import pytest
from certificate_tools import check
from fuzz import tiny_network, varied_network
from test_joint_nodes import network as interacting
from test_joint_nodes import searches

import jensen
from jensen.decide import PROVERS
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover import joint_search
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.joint_search import JointSearch, piece_bounds
from jensen.prover.kink_bounds import ranges_of
from jensen.prover.options import Engine, Options
from jensen.prover.question import Question
from jensen.prover.tightening import Tightening
from jensen.prover.tree import SearchState, TreeLimits
from jensen.prover.verdict import Status
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver

SLACK = 1e-7  # of the largest |z|: points are on the kink but for rounding
DOMAINS = [Box(-1, 1), Everywhere(), Polyhedron([[1.0, 1.0, 1.0], [-1.0, 0.5, 0.0]], [1.0, 0.5])]


def deep_network(seed: int, widths: tuple[int, ...] = (5, 5, 5)) -> ReluNetwork:
    """Mostly non-negative weights behind the first layer, so that J is seldom negative."""
    rng = np.random.default_rng(seed)
    sizes = (3, *widths, 1)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    for w in weights[1:]:
        w[:] = np.where(rng.random(w.shape) < 0.2, -0.3, 1.0) * np.abs(w)
    return ReluNetwork.from_layers(weights, [0.5 * rng.normal(size=len(w)) for w in weights])


def points_on_kink(search: JointSearch, piece, rng: np.random.Generator) -> list[np.ndarray]:
    """Return points of a piece's box where z of the group vanishes, found by bisection."""
    level, unit = search.group
    found = []
    for _ in range(60):
        ends = rng.uniform(piece.lower, piece.upper, (2, len(piece.lower)))
        a, b = ends
        sides = search.net.pre_activations(ends)[level][:, unit]
        if sides[0] * sides[1] >= 0:
            continue
        for _ in range(70):
            middle = (a + b) / 2
            z = search.net.pre_activations(middle)[level][unit]
            a, b = (middle, b) if z * sides[0] > 0 else (a, middle)
        if (piece.rows @ a <= piece.limits).all():
            found.append(a)
    return found


@pytest.mark.parametrize("domain", DOMAINS, ids=["box", "everywhere", "polyhedron"])
def test_bounds_hold_at_points_of_the_kink_and_are_never_wider(domain: Domain):
    counts: Counter[str] = Counter()
    rng = np.random.default_rng(0)
    for seed in range(3):
        net = prepare(deep_network(seed), domain).grouped
        pieces = [piece_bounds(net, box, ranges_of(net)) for box in joint_boxes(net)]
        network = prepare(deep_network(seed), domain).lifted
        for group in net.groups()[::3]:
            search = JointSearch(net, group, network, pieces, LpSolver(), TreeLimits(lambda: 0), 0)
            for start in search._open[:2]:
                before, piece = search._roots[start][0], pieces[start].piece
                after = Tightening(net, group, search.jump, piece, NEVER).run(
                    before, search._decided
                )
                for y in points_on_kink(search, piece, rng):
                    assert after is not None
                    counts["points"] += 1
                    for z, low, high in zip(
                        net.pre_activations(y), after.lower, after.upper, strict=False
                    ):
                        slack = SLACK * (1 + np.abs(z).max(initial=0))
                        assert (low - slack <= z).all()
                        assert (z <= high + slack).all()
                if after is not None:
                    widths = zip(after.lower, before.lower, after.upper, before.upper, strict=True)
                    assert all((a >= b).all() and (c <= d).all() for a, b, c, d in widths)
                    sums = [sum(float(s.sum()) for s in r.upper) for r in (after, before)]
                    counts["narrower"] += sums[0] < sums[1] - 1e-3
    assert counts["points"] > 50
    assert counts["narrower"] >= 3


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every piece that is not closed at its root begin anew."""
    monkeypatch.setattr(joint_search, "LONG", 1)
    monkeypatch.setattr(joint_search, "LONG_KEPT", 1)
    monkeypatch.setattr(JointSearch, "stale", 0)
    whole = JointSearch._long_from_now

    def soon(self: JointSearch, index: int) -> float:
        return min(whole(self, index), self.nodes + 1) if index not in self._tight else np.inf

    monkeypatch.setattr(JointSearch, "_long_from_now", soon)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_pieces_that_begin_anew_are_decided_as_by_brute_force(make):
    answers: Counter[Status] = Counter()
    for seed in range(40):
        network = make(seed)[1]
        for domain in (Box(-1, 1), Everywhere()):
            options = Options(engine=Engine.JOINT, time_limit=60.0)
            question = Question(prepare(network, domain), options, Deadline.after(60.0))
            found = PROVERS[Engine.JOINT](question).status
            expected = Status.CONVEX if oracle.is_convex(network, domain) else Status.NONCONVEX
            assert found is expected, (seed, domain)
            answers[found] += 1
    assert min(answers.values()) > 5


@pytest.mark.usefixtures("at_once")
def test_leaves_of_a_piece_that_begins_anew_cover_every_pattern():
    trees = 0
    for seed in range(12):
        for search in searches(interacting(seed), keep=True):
            if search.run(10_000).state is not SearchState.CLOSED or not search.proof.leaves:
                continue
            paths = [leaf.path for leaf in search.proof.leaves]
            paths += [path for _, path, _ in search.proof.trees]
            assert sum(0.5 ** len(path) for path in paths) == 1.0
            trees += bool(search._tight)
    assert trees > 3


@pytest.mark.usefixtures("at_once")
def test_certificates_of_pieces_that_began_anew_are_accepted(tmp_path: Path):
    certified = 0
    for seed in range(12):
        network = deep_network(seed, (4, 4, 4))
        verdict = jensen.verify(network, Box(-1, 1), certificate=True, engine="joint")
        if verdict.status is Status.CONVEX:
            assert verdict.certificate is not None
            assert check(network, verdict.certificate, tmp_path) == 0
            certified += 1
    assert certified > 1
