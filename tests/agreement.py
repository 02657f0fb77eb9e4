"""Thousands of seeded networks: verdicts against the exact oracle, engines against one another.

Beside the tests that use it, by hand, with the seeds from FIRST on for so many SECONDS:

    python tests/agreement.py truth FIRST SECONDS     tiny networks, ``jensen.verify``, the oracle
    python tests/agreement.py written FIRST SECONDS   functions written otherwise, the oracle
    python tests/agreement.py engines FIRST SECONDS   mid-sized ones, every engine past the screens

One line of counts at the end says with which seed to go on; the exit code is 1 if any two
answers contradict one another, or a tiny network was left undecided.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import oracle
from fuzz import SAMPLERS, tiny_network, varied_network
from numpy.typing import NDArray
from question_domains import domains_of
from rewritten import embedded, rewritten

import jensen
from jensen.decide import PROVERS
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.prover.question import Question
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status, Verdict
from jensen_encodings.deadline import Deadline

ENGINES = (Engine.JOINT, Engine.TREE, Engine.MILP)
ENGINE_SECONDS = 2.0  # of wall clock, for each engine and network
SAMPLES = 400  # points that say how large a jump is needed
Make = Callable[[int], tuple[str, ReluNetwork]]
Domains = Callable[[int, ReluNetwork], list[Domain]]


def check_evidence(network: ReluNetwork, domain: Domain, verdict: Verdict) -> None:
    """Re-check what a verdict shows, in rational arithmetic."""
    assert verdict.tolerance is None
    if verdict.status is Status.NONCONVEX:
        worst = verdict.counterexample
        assert worst is not None
        assert domain.contains(worst.x)
        assert domain.contains(worst.y)
        ends = network.exact(worst.x)[0] + network.exact(worst.y)[0]
        assert network.exact(worst.midpoint)[0] - ends / 2 == worst.violation > 0
    else:
        assert all(item.exact for item in verdict.evidence)


# ------------------------------------------------------------------------ tiny networks


def odd_domains(seed: int, network: ReluNetwork) -> list[Domain]:
    """A box with sides of width 0, a thin one, a far one, one whose corner is a kink."""
    d = network.input_size
    rng = np.random.default_rng([seed, 3])
    lower = rng.integers(-2, 2, d) / 2
    width = rng.choice([0.0, 0.5, 2.0**-30, 1e6], d)
    return [Everywhere(), Box(-0.5, 2), Box(lower, lower + width)]


def wrong(
    name: str,
    network: ReluNetwork,
    domain: Domain,
    convex: bool,
    counts: Counter[str] | None = None,
) -> list[str]:
    """Ask about one network, and return what is wrong with the answer, or that there is none."""
    verdict = jensen.verify(network, domain, time_limit=60.0)
    if counts is not None:
        counts["questions"] += 1
        counts["convex"] += convex
        counts["unknown"] += verdict.status is Status.UNKNOWN
    if verdict.status is not (Status.CONVEX if convex else Status.NONCONVEX):
        return [f"{name}, {domain}: {convex=}, {verdict.summary}"]
    check_evidence(network, domain, verdict)
    return []


def disagreement(
    seed: int,
    make: Make = tiny_network,
    domains: Domains = domains_of,
    counts: Counter[str] | None = None,
) -> list[str]:
    """Return what ``jensen.verify`` says wrong about a network, or leaves open."""
    family, network = make(seed)
    failures = []
    for domain in domains(seed, network):
        try:
            convex = oracle.is_convex(network, domain)
        except ValueError:  # a polyhedron without interior is another test's matter
            continue
        failures += wrong(f"seed {seed}, {family}", network, domain, convex, counts)
    return failures


def against_truth(seed: int, counts: Counter[str]) -> list[str]:
    """Ask about a plain tiny network, every other time about one with affine blocks."""
    if seed % 2:
        return disagreement(seed, varied_network, odd_domains, counts)
    return disagreement(seed, tiny_network, domains_of, counts)


def written_otherwise(seed: int, counts: Counter[str]) -> list[str]:
    """Ask about tiny networks in other words: neurons scaled, split, turned; more inputs."""
    make, domains = (varied_network, odd_domains) if seed % 2 else (tiny_network, domains_of)
    family, network = make(seed)
    failures = []
    for domain in domains(seed, network):
        try:
            convex = oracle.is_convex(network, domain)
        except ValueError:
            continue
        for kind, other in others_of(seed, network, domain):
            if other is None:
                counts["rounded"] += 1
                continue
            failures += wrong(f"seed {seed}, {family}, {kind}", *other, convex, counts)
    return failures


def others_of(
    seed: int, network: ReluNetwork, domain: Domain
) -> Iterable[tuple[str, tuple[ReluNetwork, Domain] | None]]:
    """Yield kinds of rewriting, and what they make of a question; None if it was rounded."""
    again = rewritten(seed, network)
    kind = "rounded" if again is None else again[0]
    yield kind, None if again is None else (again[1], domain)
    yield "embedded", embedded(seed, network, domain)
    if again is not None:
        yield f"{kind}, embedded", embedded(seed, again[1], domain)


# -------------------------------------------------------------------- mid-sized networks


def edge_network(seed: int) -> tuple[str, ReluNetwork]:
    """Return a network of 3 to 5 inputs that is about as often convex as not.

    Two layers of 4 to 10, at random; each unit of the first layer also goes to the output,
    with a weight close to what makes up for the worst jump at some points of its kink.
    """
    rng = np.random.default_rng([seed, 5])
    family = list(SAMPLERS)[seed % len(SAMPLERS)]
    sample = SAMPLERS[family]
    inputs, first, second = (int(v) for v in rng.integers((3, 4, 4), (6, 11, 11)))
    (W1, b1), (W2, b2), (W3, b3) = (
        sample(rng, rows, columns)
        for rows, columns in ((first, inputs), (second, first), (1, second))
    )
    W3 = np.abs(W3)
    needed = worst_jumps(rng, (W1, b1), (W2, b2), W3[0])
    slack = rng.choice([0.8, 0.95, 1.05, 1.5])
    direct = np.ceil(-slack * needed * 2**20) / 2**20
    blocks = [
        Block("relu_1", {INPUT: W1}, b1),
        Block("relu_2", {"relu_1": W2}, b2),
        Block(OUTPUT, {"relu_1": direct[None], "relu_2": W3}, b3, Activation.IDENTITY),
    ]
    return family, ReluNetwork(inputs, blocks)


def worst_jumps(
    rng: np.random.Generator,
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the least jump of every first unit at points of its kink; 0 if none is negative."""
    (W1, b1), (W2, b2) = first, second
    least = np.zeros(len(b1))
    for unit, (row, bias) in enumerate(zip(W1, b1, strict=True)):
        if not row.any():
            continue
        points = rng.uniform(-1, 1, (SAMPLES, len(row)))
        points -= ((points @ row + bias) / (row @ row))[:, None] * row
        points = points[np.abs(points).max(axis=1) <= 1]
        on = np.maximum(points @ W1.T + b1, 0) @ W2.T + b2 > 0
        least[unit] = min((on @ (weights * W2[:, unit])).min(initial=0.0), 0.0)
    return least


def some_domain(seed: int, network: ReluNetwork) -> Domain:
    """Two times in four the box, else R^n or a polyhedron around the origin."""
    if seed % 4 == 2:
        return Everywhere()
    if seed % 4 == 3:
        rng = np.random.default_rng([seed, 6])
        d = network.input_size
        rows = np.vstack([np.eye(d), -np.eye(d), rng.integers(-2, 3, (2, d))])
        return Polyhedron(rows.astype(float), np.full(len(rows), 1.0))
    return Box(-1, 1)


def between_engines(seed: int, counts: Counter[str], seconds: float = ENGINE_SECONDS) -> list[str]:
    """Ask every prover, without the screens in front of it, and the whole of ``verify``."""
    family, network = edge_network(seed)
    domain = some_domain(seed, network)
    answers: dict[str, Status] = {}
    for engine in ENGINES:
        options = Options(engine=engine, time_limit=seconds)
        question = Question(prepare(network, domain), options, Deadline.after(seconds))
        outcome = PROVERS[engine](question)
        if outcome.status is Status.CONVEX and outcome.tolerance:
            counts[f"convex to {engine} within a tolerance"] += 1  # which claims less
        else:
            answers[engine] = outcome.status
    verdict = jensen.verify(network, domain, time_limit=seconds)
    answers["verify"] = verdict.status
    if verdict.status is not Status.UNKNOWN:
        check_evidence(network, domain, verdict)
    counts["questions"] += 1
    counts["convex"] += verdict.status is Status.CONVEX
    for name, status in answers.items():
        counts[f"unknown to {name}"] += status is Status.UNKNOWN
    if len(set(answers.values()) - {Status.UNKNOWN}) > 1:
        return [f"seed {seed}, {family}, {domain}: {answers}"]
    return []


# ------------------------------------------------------------------------------ by hand


def run(kind: str, first: int, seconds: float) -> tuple[Iterable[str], Counter[str], int]:
    """Return failures, counts and the seed to go on with."""
    ask = {"truth": against_truth, "written": written_otherwise, "engines": between_engines}[kind]
    failures: list[str] = []
    counts: Counter[str] = Counter()
    seed, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            failures += ask(seed, counts)
        except (AssertionError, ArithmeticError, ValueError) as error:
            failures.append(f"seed {seed}: {type(error).__name__} {error}")
        counts["networks"] += 1
        seed += 1
    return failures, counts, seed


def main(kind: str, first: str, seconds: str) -> int:
    """Print every failure and one line of counts; 1 if there was a failure."""
    failures, counts, seed = run(kind, int(first), float(seconds))
    for line in failures:
        sys.stdout.write(f"{line}\n")
    found = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    sys.stdout.write(f"{kind}: {found}; {len(failures)} failures; go on with seed {seed}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
