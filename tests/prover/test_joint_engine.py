"""The joint engine decides like brute force, and like the other engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import fuzz
import numpy as np
import oracle
import pytest
import strategies
from hypothesis import given, settings

from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import DomainError
from jensen.groups.prepared import prepare
from jensen.network.relu_network import Activation, Block, ReluNetwork
from jensen.prover import joint_engine
from jensen.prover.descents import dips
from jensen.prover.joint.search import JointSearch
from jensen.prover.joint_engine import prove_jointly
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.prover.tree_engine import prove_by_trees
from jensen.verdicts.evidence import Reason
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status
from jensen_encodings.deadline import Deadline

TRAINED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "trained"


@pytest.fixture
def no_screens(monkeypatch):
    """Leave everything to the programs: no trees by sign, hardly any descents."""
    monkeypatch.setattr(joint_engine, "SIGN_CREDIT", 0)
    monkeypatch.setattr(joint_engine, "STARTS", 1)
    monkeypatch.setattr(joint_engine, "FINE_STARTS", 1)
    monkeypatch.setattr(joint_engine, "EARLY_STARTS", 0)
    monkeypatch.setattr(joint_engine, "NEAR_STARTS", 0)
    monkeypatch.setattr(dips, "STEPS", 2)


def decided(network: ReluNetwork, domain: Domain, **options: object) -> Outcome:
    """Ask the joint search alone: no cells are cut."""
    options.setdefault("engine", Engine.JOINT)
    question = Question(prepare(network, domain), Options(**options), Deadline.after(60.0))  # type: ignore[arg-type]
    with np.errstate(all="ignore"):
        return prove_jointly(question)


def random_domain(seed: int, inputs: int) -> Domain:
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (rng.integers(1, 5), inputs)).astype(float)
    skew = Polyhedron(rows, rng.integers(0, 3, len(rows)).astype(float))
    return [Box(-1, 1), Everywhere(), skew, Box([-2] * inputs, 1)][seed // 6 % 4]


def agrees(network: ReluNetwork, domain: Domain) -> bool:
    working = prepare(network, domain).working
    if working.dim - working.lifted < network.input_size:
        return True  # the oracle needs a domain with interior
    truth = oracle.is_convex(network, domain)
    return decided(network, domain).status is (Status.CONVEX if truth else Status.NONCONVEX)


@pytest.mark.parametrize("part", range(2))
def test_verdicts_of_tiny_networks_are_those_of_brute_force(part, no_screens):
    for seed in range(part, 144, 2):
        family, network = fuzz.tiny_network(seed)
        try:
            assert agrees(network, random_domain(seed, network.input_size)), (seed, family)
        except DomainError:
            continue  # an empty polyhedron


def test_networks_without_biases_are_decided_like_brute_force(no_screens):
    """All kinks go through the origin, where any number of them coincide."""
    rng = np.random.default_rng(7)
    statuses = set()
    for trial in range(48):
        sizes = [int(rng.integers(1, 4)), *rng.integers(2, 4, 1 + trial % 2), 1]
        shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        weights = [rng.integers(-2, 4, shape) / 2.0 for shape in shapes]
        network = ReluNetwork.from_layers(weights, [np.zeros(len(w)) for w in weights])
        n = sizes[0]
        cone = Polyhedron(np.eye(n)[:1] - np.eye(n)[-1:] / 2, [0.0])
        domain = (Box(-1, 1), Everywhere(), Box([-1] * n, 3), Box([0] * n, 2), cone)[trial % 5]
        assert agrees(network, domain), trial
        statuses.add(oracle.is_convex(network, domain))
    assert statuses == {True, False}


@pytest.mark.parametrize("seed", [0, 11])
@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_kinks_that_all_meet_in_the_origin_are_proved_beside_it(seed, domain):
    """At the origin all rows hold, whatever the states: no program there closes anything."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(10, 4)).round(2)
    second = np.abs(rng.normal(size=(8, 10)).round(2))
    second[rng.random(second.shape) < 0.3] *= -0.3
    last = np.abs(rng.normal(size=(1, 8)).round(2))
    weights = [first, second, last]
    network = ReluNetwork.from_layers(weights, [np.zeros(len(w)) for w in weights])
    outcome = decided(network, domain, node_limit=100)
    assert outcome.status is Status.CONVEX
    assert max(item.nodes for item in outcome.evidence) > 0


@pytest.mark.parametrize("scale", [2.0**6, 2.0**9])
def test_on_all_of_space_inputs_may_have_any_units(scale):
    network = trained_like(0)
    first, *others = network.blocks
    assert isinstance(first.weights["input"], np.ndarray)
    units = np.array([1.0, scale, 1 / scale])
    scaled = ReluNetwork(
        3, [replace(first, weights={"input": first.weights["input"] * units}), *others]
    )
    plain, found = (decided(net, Everywhere()) for net in (network, scaled))
    assert plain.status is found.status is not Status.UNKNOWN


@given(strategies.networks())
@settings(max_examples=25, deadline=None)
def test_drawn_networks_are_decided_like_brute_force(network):
    for domain in (Box(-1, 1), Everywhere()):
        assert agrees(network, domain)


def trained_like(seed: int) -> ReluNetwork:
    """A network with kinks that bend up for the most part, and a few weights of both signs."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(10, 3)), rng.normal(size=10) * 0.5
    second = np.abs(rng.normal(size=(8, 10))), rng.normal(size=8) - 1.0
    flips = rng.random(second[0].shape) < 0.25
    second[0][flips] *= -0.15
    last = np.abs(rng.normal(size=(1, 8)))
    return ReluNetwork.from_layers([first[0], second[0], last], [first[1], second[1], [0.0]])


@pytest.mark.parametrize("seed", range(6))
def test_the_tree_says_the_same_of_networks_of_both_kinds(seed):
    network = trained_like(seed)
    for domain in (Box(-1, 1), Polyhedron([[1.0, 1, 1], [-1, 0, 0]], [1.0, 1])):
        question = Question(prepare(network, domain), Options(), Deadline.after(60.0))
        with np.errstate(all="ignore"):
            tree = prove_by_trees(question)
        assert Status.UNKNOWN is not tree.status is decided(network, domain).status


def test_every_group_is_named_with_its_reason():
    # the networks of these seeds are convex, and need the programs
    for seed in (0, 4, 8):
        outcome = decided(trained_like(seed), Box(-1, 1))
        reasons = {item.reason for item in outcome.evidence}
        assert outcome.status is Status.CONVEX
        assert Reason.JOINT in reasons
        assert Reason.OPEN not in reasons
        assert all(item.exact for item in outcome.evidence)


@pytest.mark.parametrize("seed", range(8))
def test_threads_change_nothing_in_what_is_found(seed, no_screens):
    network = trained_like(seed)
    for domain in (Box(-1, 1), Everywhere()):
        one, three = (decided(network, domain, threads=n) for n in (1, 3))
        assert one.status is three.status is not Status.UNKNOWN
        assert one.evidence == three.evidence
        assert one.counterexample == three.counterexample


def test_descents_come_between_parts_of_a_turn(monkeypatch, no_screens):
    monkeypatch.setattr(joint_engine, "TOGETHER", 1)
    monkeypatch.setattr(joint_engine, "LEAST_TOGETHER", 1)
    monkeypatch.setattr(joint_engine, "EARLY_GROUPS", 0)
    met, run = [], JointSearch.run
    monkeypatch.setattr(JointSearch, "run", lambda *a: met.append("search") or run(*a))
    monkeypatch.setattr(dips.Dips, "near", lambda *_: met.append("descents") or iter(()))
    assert decided(trained_like(4), Box(-1, 1)).status is Status.CONVEX
    searched = [i for i, what in enumerate(met) if what == "search"]
    assert len(searched) > 1
    assert all(met[i - 1] == "descents" for i in searched)


def test_on_a_cone_descents_come_before_all_bounds(monkeypatch):
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=shape) for shape in ((24, 6), (24, 24), (1, 24))],
        [rng.normal(size=size) for size in (24, 24, 1)],
    )
    monkeypatch.setattr(joint_engine._Prover, "_screen", lambda _: pytest.fail("bounds"))
    assert decided(network, Everywhere()).status is Status.NONCONVEX


def test_ctrl_c_ends_all_threads(monkeypatch, no_screens):
    network, searching = trained_like(4), threading.active_count()

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(joint_engine._Prover, "_settle", interrupted)
    outcome = decided(network, Box(-1, 1), threads=2)
    assert outcome.interrupted
    assert threading.active_count() == searching


def test_a_limit_on_nodes_leaves_groups_open(no_screens):
    limited = [decided(trained_like(seed), Box(-1, 1), node_limit=1) for seed in (0, 4, 8)]
    assert any(o.status is Status.UNKNOWN and "left open" in o.note for o in limited)
    assert all(o.status is not Status.NONCONVEX for o in limited)


def test_a_tolerance_accepts_jumps_that_are_small():
    # relu(x) - 2e-3 relu(x - 0.5) + |x| falls by 2e-3 at x = 0.5
    network = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -2e-3]]], [[0.0, -0.5], [0.0]])
    assert decided(network, Box(-1, 1)).status is Status.NONCONVEX
    assert decided(network, Box(-1, 1), tolerance=1e-2).status is Status.CONVEX


def test_programs_whose_states_all_follow_do_not_pivot_in_circles():
    # J is negative by a rounding, under one pattern of each kink: no objective is left
    rng = np.random.default_rng(3)
    first, second, last = (
        rng.uniform(-(n**-0.5), n**-0.5, size).astype(np.float32).astype(np.float64)
        for n, size in ((10, (48, 10)), (48, (48, 48)), (48, (1, 48)))
    )
    made_up = -np.minimum(0.0, np.abs(last).T * second).sum(axis=0, keepdims=True)
    network = ReluNetwork(
        10,
        [
            Block("first", {"input": first}, rng.uniform(-0.3, 0.3, 48)),
            Block("second", {"first": second}, rng.uniform(-0.2, 0.2, 48)),
            Block(
                "output",
                {"first": made_up * (1 - 2.0**-24), "second": np.abs(last)},
                np.zeros(1),
                Activation.IDENTITY,
            ),
        ],
    )
    assert decided(network, Box(-1, 1)).status is Status.CONVEX


def test_certificates_still_come_from_the_tree():
    outcome = decided(trained_like(3), Box(-1, 1), certificate=True)
    assert not any(item.reason is Reason.JOINT for item in outcome.evidence)


@pytest.mark.skipif(not TRAINED.is_dir(), reason="the networks with truth are not here")
@pytest.mark.parametrize(
    ("name", "convex"),
    [("d10_64x64_s0_r1", True), ("d5_16x16x16_s0_r8", True), ("d20_48x48_quad_s0_r1", False)],
)
def test_trained_networks_are_decided(name, convex):
    with np.load(TRAINED / f"{name}.npz") as arrays:
        depth = sum(key.startswith("W") for key in arrays)
        network = ReluNetwork.from_layers(
            [arrays[f"W{i}"] for i in range(depth)], [arrays[f"b{i}"] for i in range(depth)]
        )
    expected = Status.CONVEX if convex else Status.NONCONVEX
    assert decided(network, Box(-1, 1), engine=Engine.JOINT).status is expected
