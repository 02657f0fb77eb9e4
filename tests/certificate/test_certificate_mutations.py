"""Certificates with one change each, and certificates of other networks."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from certificate_changes import BYTES, MUTATIONS, change_multiplier, mutant, other_cut
from certificate_tools import Lines, check, digest_of, domain_of, to_bytes
from comparators import random_order
from envelopes import envelope
from fuzz import tiny_network

from jensen.certificate.certificate import certify_convex
from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.verdict import Status


@dataclass(frozen=True)
class Case:
    """A certificate of a true claim."""

    network: ReluNetwork
    lines: Lines


@cache
def cases(count: int = 40) -> tuple[Case, ...]:
    """Return certificates that say more than one line, of all kinds of leaves."""
    found: list[Case] = []
    for seed in range(1000):
        _, network = tiny_network(seed)
        for domain in (Everywhere(), Box(-1, 1)):
            verdict = verify(network, domain, certificate=True)
            assert verdict.certificate is not None
            lines = json.loads(json.dumps(verdict.certificate.lines))
            wanted = any(line[0] in ("empty", "smooth") or (line[0] == "bounds" and line[1])
                         for line in lines[1:])  # fmt: skip
            if wanted or (len(lines) > 3 and seed % 8 == 0):
                found.append(Case(network, lines))
            if len(found) == count:
                return (*found, *flat_cases(), *boxed_cases(), *joint_cases(), *sorting_cases(),
                        *cut_cases())  # fmt: skip
    raise AssertionError("too few certificates with interesting leaves")


def flat_cases(count: int = 8) -> list[Case]:
    """Return certificates on polyhedra without interior, with one equation or two."""
    found: list[Case] = []
    for seed in range(1000):
        if len(found) == count:
            break
        _, network = tiny_network(seed)
        n = network.input_size
        if n > 1:
            rows = np.vstack([np.ones(n), -np.ones(n), np.eye(n)[:1], -np.eye(n)[:1]])
            b = [0.0, 0.0, 1.0, 1.0] if seed % 2 else [1.0, -1.0, 0.0, 0.0]
            verdict = verify(network, Polyhedron(rows, b), certificate=True)
            assert verdict.certificate is not None
            lines = json.loads(json.dumps(verdict.certificate.lines))
            if len(lines) > 3:
                found.append(Case(network, lines))
    return found


def boxed_cases(count: int = 12) -> list[Case]:
    """Return certificates on bounded polyhedra, with boxes around them, some with an equation."""
    found: list[Case] = []
    for seed in range(1000):
        _, network = tiny_network(seed)
        n = network.input_size
        rows = np.vstack([np.eye(n), -np.eye(n), np.ones(n), *[-np.ones(n)] * (seed % 2)])
        polytope = Polyhedron(rows, [*[1.0] * (2 * n), 0.5, *[-0.5] * (seed % 2)])
        if len(found) == count:
            break
        if verify(network, polytope).status is Status.CONVEX:
            lines = json.loads(json.dumps(certify_convex(network, polytope).lines))
            if len(lines) > 4:
                assert len(lines[1]) == 4
                found.append(Case(network, lines))
    return found


def joint_cases(count: int = 16) -> list[Case]:
    """Return certificates without the prover's trees: with faces, bounds on kinks, states."""
    found: list[Case] = []
    for seed in range(4000):
        _, network = tiny_network(seed)
        domain: Domain = Box(-1, 1) if seed % 2 else Everywhere()
        if len(found) == count:
            break
        walked = network.input_size <= 2
        if not walked and verify(network, domain).status is Status.CONVEX:
            lines = json.loads(json.dumps(certify_convex(network, domain).lines))
            if any(line[0] == "tree" and line[3:] and line[4] for line in lines[1:]):
                found.append(Case(network, lines))
    return found


def sorting_cases(count: int = 8) -> list[Case]:
    """Return certificates of sums of the largest numbers, with leaves `side`."""
    found: list[Case] = []
    for seed in range(100):
        if len(found) == count:
            break
        network = random_order(seed, inputs=1 + seed % 3, pieces=3)
        domain: Domain = Box(-1, 1) if seed % 2 else Everywhere()
        verdict = verify(network, domain, certificate=True)
        assert verdict.certificate is not None
        lines = json.loads(json.dumps(verdict.certificate.lines))
        if any(line[0] == "side" for line in lines[1:]):
            found.append(Case(network, lines))
    return found


def cut_cases(count: int = 6) -> list[Case]:
    """Return certificates that need cuts."""
    return [Case(*envelope(seed, units=1 + seed % 3)) for seed in range(count)]


def is_true(network: ReluNetwork, claim: dict[str, Any]) -> bool:
    """Decide a claim by brute force, without the checker."""
    if claim["model"] != digest_of(network):
        return False
    subject = network.negated() if claim["claim"].endswith("concave") else network
    domain = domain_of(claim)
    inputs = claim.get("inputs", list(range(network.input_size)))
    convex = is_convex(subject, domain, tuple(inputs))
    return convex != claim["claim"].startswith("non")


def is_convex(network: ReluNetwork, domain: Domain, inputs: tuple[int, ...]) -> bool:
    """Ask the oracle, or the verifier where the oracle has no answer."""
    flat = isinstance(domain, Polyhedron)  # perhaps without interior
    if len(set(inputs)) == network.input_size and not flat:
        return oracle.is_convex(network, domain)
    verdict = verify(network, domain, inputs=inputs)
    assert verdict.status is not Status.UNKNOWN
    return verdict.status is Status.CONVEX


def mutate_and_check(seeds: Iterator[int], folder: Path) -> dict[str, Counter[str]]:
    """Check one mutant per seed, and count the answers by mutation. What is accepted is harmless.

    The argument: a certificate is a proof of its first line, whatever lines follow. A
    mutant is harmless iff its first line is true, and that is decided here by
    enumeration of all linear regions. (Typical: a multiplier that still contradicts
    with room to spare, a second copy of a tree, a smaller box.)
    """
    answers = ("accepted", "rejected", "malformed")
    tally: dict[str, Counter[str]] = {answer: Counter() for answer in answers}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        case = cases()[seed % len(cases())]
        if seed % 20 == 0:
            name, network, data = "other_model", *with_other_model(case, rng)
        else:
            name, data = mutant(case.lines, rng)
            network = case.network
        code = check(network, data, folder)
        if code == 0:
            claim = json.loads(data.split(b"\n")[0])
            assert is_true(network, claim), (seed, data)
        tally[answers[code]][name] += 1
    return tally


def with_other_model(case: Case, rng: np.random.Generator) -> tuple[ReluNetwork, bytes]:
    """Give the certificate the weights of another model, and the digest that belongs to it."""
    others = [c for c in cases() if c.network.input_size == case.network.input_size]
    other = others[int(rng.integers(len(others)))].network
    lines = [case.lines[0] | {"model": digest_of(other)}, *case.lines[1:]]
    return other, to_bytes(lines)


def test_the_certificates_before_mutation_are_accepted(tmp_path: Path) -> None:
    rules = set()
    for case in cases():
        assert check(case.network, to_bytes(case.lines), tmp_path) == 0
        assert is_true(case.network, case.lines[0])
        rules |= {line[0] for line in case.lines[1:]}
    assert {"pair", "path_signs", "tree", "branch", "sign", "empty", "smooth", "side"} - rules <= {
        "pair"
    }


MUTATION_NAMES = {mutation.__name__ for mutation in MUTATIONS} | {BYTES, "other_model"}


def every_mutation(tally: dict[str, Counter[str]]) -> set[str]:
    return {name for counts in tally.values() for name in counts}


def test_mutants_are_rejected_or_harmless(tmp_path: Path) -> None:
    tally = mutate_and_check(iter(range(1000)), tmp_path)
    assert every_mutation(tally) == MUTATION_NAMES
    assert tally["accepted"].total() < 500


@pytest.mark.slow
def test_2500_mutants_are_rejected_or_harmless(tmp_path: Path) -> None:
    tally = mutate_and_check(iter(range(10_000, 12_500)), tmp_path)
    assert every_mutation(tally) == MUTATION_NAMES
    assert tally["accepted"].total() < 1250


def spoiled(network: ReluNetwork, domain: Domain, rng: np.random.Generator) -> ReluNetwork | None:
    """Change one weight so that the network is not convex on the domain any more."""
    for _ in range(20):
        block = network.blocks[int(rng.integers(len(network.blocks)))]
        source = list(block.weights)[int(rng.integers(len(block.weights)))]
        weight = np.array(oracle.dense(block.weights[source]))
        at = tuple(int(rng.integers(n)) for n in weight.shape)
        weight[at] = -weight[at] if rng.random() < 0.5 and weight[at] else weight[at] - 0.5
        changed = [
            b if b is not block else type(b)(b.name, {**b.weights, source: weight}, b.bias,
                                             b.activation)
            for b in network.blocks
        ]  # fmt: skip
        other = ReluNetwork(network.input_size, changed)
        if not is_convex(other, domain, tuple(range(network.input_size))):
            return other
    return None


def test_a_certificate_moved_to_a_spoiled_network_is_never_accepted(tmp_path: Path) -> None:
    """The digest is set right, so that every rule has to find the change by itself."""
    rng = np.random.default_rng(7)
    tried = 0
    for case in cases():
        claim = case.lines[0]
        if claim["claim"] != "convex":
            continue
        other = spoiled(case.network, domain_of(claim), rng)
        if other is None:
            continue
        lines = [claim | {"model": digest_of(other)}, *case.lines[1:]]
        assert check(other, to_bytes(lines), tmp_path) != 0
        for _ in range(5):
            _, data = mutant(lines, rng)
            if check(other, data, tmp_path) == 0:
                assert is_true(other, json.loads(data.split(b"\n")[0]))
            tried += 1
    assert tried >= 100


def test_mutants_of_cuts_are_never_accepted_for_nonconvex_networks(tmp_path: Path) -> None:
    """The numbers of cuts cannot say what is not true: the checker finds the constants."""
    tried, rng = 0, np.random.default_rng(11)
    for seed in range(30):
        network, lines = envelope(seed, units=1 + seed % 3, spare=-1)
        if oracle.is_convex(network, domain_of(lines[0])):
            continue
        for _ in range(40):
            changed = copy.deepcopy(lines)
            for _ in range(int(rng.integers(1, 4))):
                changed = other_cut(changed, rng)
            if rng.random() < 0.3:
                changed = change_multiplier(changed, rng)
            assert check(network, to_bytes(changed), tmp_path) != 0
            tried += 1
    assert tried > 600


# ------------------------------------------------------------------- a lying prover


def test_a_false_pair_is_never_accepted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for case in cases():
        if case.lines[0]["claim"] != "convex":
            continue
        claim = case.lines[0] | {"claim": "nonconvex"}
        for _ in range(5):
            points = rng.integers(-9, 10, (2, case.network.input_size)).tolist()
            pair = ["pair", *([f"{v}/9" for v in point] for point in points)]
            assert check(case.network, to_bytes([claim, pair]), tmp_path) != 0
