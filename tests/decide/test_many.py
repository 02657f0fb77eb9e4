"""Many networks at once: the verdicts of one by one, and pairs that hold exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import tiny_network
from question_domains import domains_of
from stacks import random_stack

from jensen import ConvexFunction, many
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import DomainError, OptionError
from jensen.many import settle_many, verify_many
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.lines import common_lines
from jensen.verdicts.counterexample import exact_violation
from jensen.verdicts.verdict import Verdict


def refuted(stack: NetworkStack, domain: Domain, **keywords: Any) -> dict[int, Verdict]:
    """Return the verdicts of the networks that are refuted together, by number."""
    found = settle_many(stack, domain, **keywords)
    return {k: verdict for k, verdict in found.items() if verdict.counterexample is not None}


def check(verdict: Verdict, network: ReluNetwork, domain: Domain) -> None:
    pair = verdict.counterexample
    assert pair is not None
    assert domain.contains(pair.x)
    assert domain.contains(pair.y)
    assert exact_violation(network, pair.x, pair.y) == pair.violation > 0
    assert pair.slope_change is not None
    assert pair.slope_change < 0


@pytest.mark.parametrize("number", range(3))
def test_the_verdicts_are_those_of_one_by_one(number):
    networks = [tiny_network(seed)[1] for seed in range(120)]
    inputs = {network.input_size for network in networks}
    for size in sorted(inputs):
        group = [network for network in networks if network.input_size == size]
        domains = domains_of(3 * size, group[0])
        if number >= len(domains):
            continue
        together = verify_many(group, domains[number])
        for network, verdict in zip(group, together, strict=True):
            alone = verify(network, domains[number])
            assert verdict.status == alone.status
            if verdict.status == "nonconvex":
                check(verdict, network, domains[number])


@pytest.mark.parametrize(
    "domain",
    [
        Everywhere(),
        Box(-100, 100),
        Box([0.1, -3.0, 2.0], [0.3, 3.0, 2.0]),
        Polyhedron(np.vstack([np.eye(3), -np.eye(3)]), np.full(6, 1.3)),
    ],
)
def test_random_networks_are_refuted_together(domain):
    stack = random_stack(300, 3, 8, 8, 1)
    found = refuted(stack, domain)
    assert len(found) > 270
    for number in list(found)[::20]:
        check(found[number], stack[number], domain)
    summary = next(iter(found.values())).summary
    assert summary.startswith("not convex on")


def test_options_mean_what_they_mean_one_by_one():
    stack = random_stack(20, 2, 3, 2)
    domain = Box(-1, 1)
    for keywords in (
        {"output": 1},
        {"output": 0, "concave": True},
        {"output": 0, "inputs": (1,)},
        {"output": 0, "tolerance": 0.5},
        {"output": 0, "certificate": True},
        {},
    ):
        together = verify_many(stack, domain, **keywords)
        alone = [verify(network, domain, **keywords) for network in stack]
        assert [v.status for v in together] == [v.status for v in alone]
        assert [v.claim for v in together] == [v.claim for v in alone]
        assert [v.output for v in together] == [v.output for v in alone]
        assert [v.certificate is None for v in together] == [v.certificate is None for v in alone]
    partial = refuted(stack, domain, output=0, options=many.Options(inputs=(1,)))
    assert partial
    for verdict in partial.values():
        assert verdict.counterexample is not None
        assert verdict.counterexample.x[0] == verdict.counterexample.y[0]


def test_kinks_of_large_networks_are_sought_one_by_one(monkeypatch):
    stack = random_stack(30, 3, 4, 3, 1)
    usual = [verdict.status for verdict in verify_many(stack, Box(-1, 1))]
    monkeypatch.setattr(many, "_KINKS", 0)
    monkeypatch.setattr(many, "refuted_by_kinks", pytest.fail)
    assert [verdict.status for verdict in verify_many(stack, Box(-1, 1))] == usual


def test_a_generator_is_read_piece_by_piece_and_answered_in_order(monkeypatch):
    monkeypatch.setattr(many, "_READ", 4)
    bowl = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    pieces: list[int] = []
    whole = many.settle_many
    monkeypatch.setattr(
        many, "settle_many", lambda part, *a, **k: pieces.append(len(part)) or whole(part, *a, **k)
    )

    def networks() -> Iterator[ReluNetwork]:
        for number in range(10):
            yield bowl.negated() if number % 3 else bowl

    right = ["nonconvex" if number % 3 else "convex" for number in range(10)]
    assert [str(verdict.status) for verdict in verify_many(networks(), Box(-1, 1))] == right
    assert pieces == [4, 4, 2]
    assert verify_many([]) == []


def test_suspicions_that_floating_point_cannot_settle_are_looked_at_one_by_one(monkeypatch):
    monkeypatch.setattr(common_lines, "exact_violations", lambda stack, x, y: [None] * len(stack))
    stack = random_stack(5, 2, 6, 1)
    found = refuted(stack, Box(-1, 1))
    assert found
    for number, verdict in found.items():
        check(verdict, stack[number], Box(-1, 1))


def test_the_seed_fixes_the_pairs():
    stack = random_stack(5, 2, 6, 1)
    pairs = [[v.counterexample for v in verify_many(stack, seed=seed)] for seed in (1, 1, 2)]
    assert pairs[0] == pairs[1] != pairs[2]


@pytest.mark.filterwarnings("error")
def test_weights_whose_squares_overflow_are_no_trouble():
    weights = [np.array([[1e200, 0.0], [0.0, -1e200]]), np.array([[1.0, -1.0]])]
    network = ReluNetwork.from_layers(weights, [np.zeros(2), np.zeros(1)])
    (verdict,) = verify_many([network], Box(-1.0, 1.0))
    check(verdict, network, Box(-1.0, 1.0))


@pytest.mark.parametrize("concave", [False, True])
def test_verdicts_of_a_list_hold_their_networks(concave):
    networks = [tiny_network(seed)[1] for seed in range(60)]
    networks = [network for network in networks if network.input_size == 2]
    verdicts = verify_many(networks, Box(-1, 1), concave=concave)
    used = 0
    for network, verdict in zip(networks, verdicts, strict=True):
        assert verdict.digest == network.digest
        alone = verify(network, Box(-1, 1), concave=concave)
        assert [c.value for c in verdict.conditions] == [c.value for c in alone.conditions]
        if verdict.status == "convex" and not concave:
            assert ConvexFunction(network, Box(-1, 1), verdict=verdict).verdict == verdict
            used += 1
    assert concave or used > 3


def test_an_empty_stack_has_no_verdicts():
    assert verify_many(random_stack(2, 3, 4, 1)[:0]) == []


def test_bad_questions_are_refused_before_any_work():
    stack = random_stack(2, 3, 4, 1)
    with pytest.raises(DomainError, match="3 inputs"):
        verify_many(stack, Box([0, 0], [1, 1]))
    with pytest.raises(OptionError, match="unknown option speed"):
        verify_many(stack, speed=3)
    with pytest.raises(OptionError, match="inputs"):
        verify_many(stack, inputs=(7,))


@pytest.mark.parametrize("cell", ["cell_d2_w2", "cell_d2_w4", "cell_d3_w2", "cell_d3_w3"])
def test_stacks_of_default_initialised_networks_are_judged_right(shared_cases: Path, cell):
    stack = NetworkStack.load(shared_cases / f"{cell}.npz")
    with np.load(shared_cases / f"{cell}.npz") as truth:
        for key, domain in (("convex_on_box", Box(-100, 100)), ("convex_everywhere", None)):
            verdicts = verify_many(stack, domain)
            right = ["convex" if convex else "nonconvex" for convex in truth[key]]
            assert [str(verdict.status) for verdict in verdicts] == right
