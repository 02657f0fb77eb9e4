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
from jensen.groups.jump import FREE, ON
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.root import JointRoot, with_path
from jensen.prover.joint.search import JointSearch, piece_bounds
from jensen.prover.joint.tightening import Tightening
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.question import Question
from jensen.prover.trees.tree import SearchState, TreeLimits
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status
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
            for root in search._roots[:2]:
                before, piece = root.ranges, pieces[root.index].piece
                after = Tightening(net, group, search.jump, piece, NEVER).run(before)
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
    """Let every root begin anew that takes more than a node, and then each of its nodes."""
    monkeypatch.setattr(JointSearch, "stale", 0)
    monkeypatch.setattr(JointSearch, "_long_from_now", lambda self, _: self.nodes + 1)


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
def test_leaves_of_a_piece_that_begins_anew_cover_every_pattern(monkeypatch: pytest.MonkeyPatch):
    closed: list[tuple] = []
    narrowed = JointSearch._narrowed

    def noted(self: JointSearch, root: JointRoot) -> JointRoot | None:
        found = narrowed(self, root)
        if found is None:
            closed.append(root.path)
        return found

    monkeypatch.setattr(JointSearch, "_narrowed", noted)
    parts = 0
    for seed in range(12):
        for search in searches(interacting(seed), keep=True):
            closed.clear()
            if search.run(10_000).state is not SearchState.CLOSED or not search.proof.leaves:
                continue
            paths = [leaf.path for leaf in search.proof.leaves] + closed
            paths += [path for _, path, _ in search.proof.trees]
            assert sum(0.5 ** len(path) for path in paths) == 1.0
            parts += len(closed)
    assert parts > 3


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


@pytest.mark.parametrize("domain", DOMAINS, ids=["box", "everywhere", "polyhedron"])
def test_bounds_of_a_part_hold_at_its_points_where_the_jump_is_low_enough(domain: Domain):
    counts: Counter[str] = Counter()
    rng = np.random.default_rng(1)
    for seed in range(2):
        prepared = prepare(deep_network(seed), domain)
        net = prepared.grouped
        pieces = [piece_bounds(net, box, ranges_of(net)) for box in joint_boxes(net)]
        limits = TreeLimits(lambda: 0)
        for group in net.groups()[::2]:
            search = JointSearch(net, group, prepared.lifted, pieces, LpSolver(), limits, 0)
            for root in search._roots[:2]:
                piece = pieces[root.index].piece
                met = [(y, search.patterns_at(y)) for y in points_on_kink(search, piece, rng)]
                known = [(y, act, search.jump.bound(act).output[0]) for y, act in met if act]
                known.sort(key=lambda item: item[2])
                if not known:
                    continue
                floor = float(np.median([jump for *_, jump in known])) + 1e-6
                free = [
                    (k, int(u))
                    for k, act in enumerate(root.activations)
                    for u in np.flatnonzero(net.levels[k].kink & (act == FREE))
                    if (k, int(u)) != group
                ]
                act = known[0][1]
                path = tuple(
                    ((k, u), bool(act[k][u] == ON)) for k, u in free[:: 1 + len(free) // 2]
                )
                ranges = with_path(root.ranges, path)
                assert pieces[root.index].bounds.narrow(ranges, group)
                tightening = Tightening(net, group, search.jump, piece, NEVER, path, floor)
                after = tightening.run(ranges)
                for y, act, jump in known:
                    if jump < floor and all((act[k][u] == ON) == on for (k, u), on in path):
                        assert after is not None
                        counts["points"] += 1
                        values = net.pre_activations(y)
                        for z, low, high in zip(values, after.lower, after.upper, strict=False):
                            slack = SLACK * (1 + np.abs(z).max(initial=0))
                            assert (low - slack <= z).all()
                            assert (z <= high + slack).all()
                        true = search.jump.bound(act)
                        sides = zip(true.lower, true.upper, strict=True)
                        before = search.jump.bound(root.activations)
                        for i, (low, high) in enumerate(sides):
                            ends = tightening.within.lower[i], tightening.within.upper[i]
                            slack = SLACK * (1 + np.abs(high).max(initial=0))
                            assert (ends[0] - slack <= low).all()
                            assert (high <= ends[1] + slack).all()
                            counts["jumps"] += int((ends[0] > before.lower[i] + 1e-3).sum())
                counts["empty" if after is None else "narrower"] += 1
    assert counts["points"] > 20
    assert counts["jumps"] > 3, counts
    assert counts["narrower"] >= 3
