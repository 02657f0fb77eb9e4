"""A question is prepared in one place, every part of it once."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from midpoint_oracle import tiny_network

import jensen
from jensen.arithmetic.rational import rational
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import DomainError, NetworkError
from jensen.groups import prepared as module
from jensen.groups.prepared import prepare
from jensen.stopwatch import Stopwatch
from jensen.verdicts.options import Engine

PARTS = (
    "sign_bounds",
    "hidden_bounds",
    "pre_activation_bounds",
    "network_data",
    "group_network",
)
DOMAINS = (Box(-1, 1), Polyhedron([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], [2, 1, 1]), Everywhere())


@pytest.fixture
def calls(monkeypatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def counting(name, function):
        def run(*arguments, **keywords):
            counted[name] += 1
            return function(*arguments, **keywords)

        return run

    for name in PARTS:
        monkeypatch.setattr(module, name, counting(name, getattr(module, name)))
    for kind in (Box, Polyhedron, Everywhere):
        working_set = counting("working_set", kind.working_set)
        monkeypatch.setattr(kind, "working_set", working_set)
    return counted


@pytest.mark.parametrize("engine", Engine)
def test_each_part_is_built_at_most_once_in_a_verification(calls, monkeypatch, engine):
    monkeypatch.setattr(jensen.prover.lines.line_search.LineSearch, "look", lambda *_: None)
    jensen.verify(tiny_network(5, 2, [3, 3]), Box(-1, 1), engine=engine)
    # the midpoint program looks at a second network, to whose output multiples of neurons are added
    networks = 2 if engine is Engine.MIDPOINT else 1
    for part in ("working_set", "hidden_bounds", "pre_activation_bounds", "group_network"):
        assert calls[part] <= networks
    # once for all patterns, once more where some neurons are stable
    assert calls["sign_bounds"] <= 2


def test_signs_are_bounded_once_where_no_neuron_is_stable(calls):
    prepared = prepare(tiny_network(5, 2, [2]), Box(-1e3, 1e3))
    assert prepared.stable_signs is prepared.signs
    assert calls["sign_bounds"] == 1


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
def test_a_working_point_leads_back_to_the_users_space(domain):
    network = tiny_network(3, 2, [3])
    prepared = prepare(network, domain)
    x = prepared.working.to_input([rational(0.5)] * prepared.working.dim)
    assert x is not None
    assert len(x) == network.input_size


def test_concavity_prepares_the_negative():
    network = tiny_network(3, 2, [3])
    x = [Fraction(1, 3), Fraction(-2, 5)]
    (value,) = network.exact(x)
    assert prepare(network, Box(-1, 1), concave=True).network.exact(x) == (-value,)


def test_what_does_not_fit_is_refused_at_once():
    network = tiny_network(3, 2, [3])
    with pytest.raises(DomainError, match="3 dimensions"):
        prepare(network, Box([-1, -1, -1], 1))
    with pytest.raises(NetworkError, match="output 1"):
        prepare(network, Box(-1, 1), output=1)


def test_a_stage_within_a_stage_counts_for_itself():
    watch = Stopwatch()
    with watch.stage("outer"):
        with watch.stage("inner"):
            sum(range(200_000))
        with watch.stage("inner"):
            pass
    assert watch.times["inner"] > watch.times["outer"] >= 0


def test_the_weights_are_hashed_only_when_a_verdict_is_asked_for_its_digest():
    network = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 2.0]]], [[0, 0], [0]])
    verdict = jensen.verify(network, jensen.Box(-1, 1))
    assert "digest" not in vars(network)
    assert verdict.digest == network.digest
