"""Tiny questions over thirteen kinds of domain against exact answers: nothing wrong, ever."""

from __future__ import annotations

import pytest
from questions import KINDS, question

import jensen
from jensen.verdicts.verdict import Status

FEW, MANY = 25, 3100  # per kind
LIMIT = 20.0
UNDECIDED = 0.002  # of the questions, at most


def check(kind: str, seeds: range) -> None:
    undecided = 0
    for seed in seeds:
        asked = question(kind, seed)
        domain = asked.drawn.domain
        if seed % 5 == 4:
            (verdict,) = jensen.verify_many([asked.network], domain, **asked.options)
        else:
            verdict = jensen.verify(asked.network, domain, time_limit=LIMIT, **asked.options)
        label = (kind, seed, asked.options)
        if verdict.status is Status.UNKNOWN:
            undecided += 1
            continue
        assert (verdict.status is Status.CONVEX) == asked.truth(), label
        pair = verdict.counterexample
        assert (pair is not None) == (verdict.status is Status.NONCONVEX), label
        if pair is not None:
            assert asked.is_refuted_by(pair.x, pair.y), label
    assert undecided <= UNDECIDED * len(seeds)


@pytest.mark.parametrize("kind", KINDS)
def test_no_verdict_and_no_pair_is_wrong(kind):
    check(kind, range(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_verdict_and_no_pair_is_wrong_in_forty_thousand(kind):
    check(kind, range(FEW, MANY))


def test_convexity_in_every_input_by_name_is_decided_as_convexity():
    asked = question("wide box", 2209)  # a unit that reaches 0 from below, and stays there
    assert asked.inputs == (0, 1)
    verdict = jensen.verify(asked.network, asked.drawn.domain, **asked.options)
    assert verdict.status is Status.CONVEX
    assert verdict.claim == "convex in inputs 0,1"
