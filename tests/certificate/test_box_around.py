"""Boxes around bounded polyhedra: what the rule accepts contains them, what is written is tight."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from certificate_tools import LONELY, check, claim_of, to_bytes
from fuzz import tiny_network
from lp_oracle import holds, vertices

from jensen.certificate.certificate import Certificate, certify_convex
from jensen.certificate.checker import text_of
from jensen.certificate.model_export import export_bytes
from jensen.decide import verify
from jensen.domains.domain import Polyhedron
from jensen.network.relu_network import ReluNetwork

FAR = 1000  # beyond all boxes that are tried


def affine(inputs: int) -> ReluNetwork:
    """Return the sum of the inputs, with a negative weight: its signs alone do not prove it."""
    sums = np.ones((2, inputs)) * [[1.0], [-1.0]]
    return ReluNetwork.from_layers([sums, [[1.0, -1.0]]], [np.zeros(2), np.zeros(1)])


def corners(polyhedron: Polyhedron) -> list[tuple[Fraction, ...]]:
    """Return the corners of what a polyhedron has within ``FAR``."""
    n = polyhedron.dimension
    A = np.vstack([polyhedron.A, np.eye(n), -np.eye(n)])
    rows = [[Fraction(v) for v in row] for row in A.tolist()]
    limits = [Fraction(v) for v in [*polyhedron.b.tolist(), *[FAR] * (2 * n)]]
    found = vertices(rows, limits, n)
    return [v for v in found if holds(rows, limits, [False] * len(rows), v)]


def answer_to(polyhedron: Polyhedron, interior: list[Any]) -> Any:
    """Ask the checker's rule `interior`; return the claim that it leaves, None if it refuses."""
    network = affine(polyhedron.dimension)
    model = LONELY.read_model(export_bytes(network))
    claim = LONELY.Claim(claim_of(network, polyhedron), model)
    _, point, *others = interior
    try:
        LONELY.rule_interior(claim, LONELY.rationals(point, model.inputs), *others)
    except (LONELY.Rejected, LONELY.Malformed):
        return None
    return claim


def interior_of(polyhedron: Polyhedron) -> list[Any]:
    """Return the line that is written."""
    lines = certify_convex(affine(polyhedron.dimension), polyhedron).lines
    line: list[Any] = json.loads(json.dumps(lines[1]))
    assert line[0] == "interior"
    return line


def box_of(polyhedron: Polyhedron) -> list[tuple[Fraction, Fraction]]:
    """Return the sides that are written."""
    _, _, _, box = interior_of(polyhedron)
    return [(LONELY.rational(low), LONELY.rational(high)) for low, high, _, _ in box]


def simplex(inputs: int, *, equation: bool) -> Polyhedron:
    rows = [-np.eye(inputs), np.ones((1, inputs))]
    b = [*[0.0] * inputs, 1.0]
    if equation:
        rows.append(-np.ones((1, inputs)))
        b.append(-1.0)
    return Polyhedron(np.vstack(rows), b)


# -------------------------------------------------------------------------- the rule


def test_a_box_that_is_accepted_contains_the_polyhedron() -> None:
    """Random multipliers, sides and points of random polyhedra, bounded or not."""
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(6000):
        n = int(rng.integers(1, 4))
        count = int(rng.integers(n + 1, 2 * n + 2))
        A = rng.integers(-2, 3, (count, n)).astype(float)
        b = rng.integers(0, 3, count).astype(float)
        if rng.random() < 0.7:
            A[:n], b[:n] = -np.eye(n), rng.integers(0, 2, n)
        polyhedron = Polyhedron(A, b)
        point = [str(Fraction(int(v), 8)) for v in rng.integers(-3, 4, n)]
        box = []
        for _ in range(n):
            sides = [str(int(rng.integers(-4, 0))), str(int(rng.integers(1, 6)))]
            rows = [[[i, str(Fraction(int(rng.integers(1, 5)), 4))]
                     for i in range(count) if rng.random() < 0.5] for _ in sides]  # fmt: skip
            box.append([*sides, *rows])
        claim = answer_to(polyhedron, ["interior", point, [], box])
        if claim is None:
            continue
        accepted += 1
        assert not claim.lifted
        for corner in corners(polyhedron):
            for v, (low, high) in zip(corner, claim.ranges[1:], strict=True):
                assert low <= v <= high
    assert accepted > 20


@pytest.mark.parametrize("shrink", [Fraction(1), Fraction(99, 100)])
def test_multipliers_that_are_nearly_right_prove_nothing_that_is_wrong(shrink: Fraction) -> None:
    """The right multipliers of random polytopes, moved a little; sides moved out, and in."""
    rng = np.random.default_rng(1)
    answers = {True: 0, False: 0}
    for _ in range(80):
        n = int(rng.integers(1, 4))
        A = np.vstack([np.eye(n), -np.eye(n), rng.integers(-2, 3, (2, n))])
        polyhedron = Polyhedron(A, rng.integers(1, 4, len(A)).astype(float))
        line = interior_of(polyhedron)
        for side in line[3]:
            for rows in side[2:]:
                for entry in rows:
                    moved = 1 + Fraction(int(rng.integers(-3, 4)), 64)
                    entry[1] = text_of(LONELY.rational(entry[1]) * moved)
            for at in (0, 1):
                side[at] = text_of(LONELY.rational(side[at]) * shrink * Fraction(9, 8) ** (
                    int(rng.integers(0, 3)) if shrink == 1 else 0))  # fmt: skip
        claim = answer_to(polyhedron, line)
        answers[claim is not None] += 1
        for corner in corners(polyhedron) if claim else ():
            for v, (low, high) in zip(corner, claim.ranges[1:], strict=True):
                assert low <= v <= high
    assert answers[False]
    assert bool(answers[True]) == (shrink == 1)


def test_no_side_may_be_moved_in() -> None:
    """What is written for a polytope of integer corners is the smallest box."""
    for n in (1, 2, 3, 5):
        polyhedron = simplex(n, equation=False)
        line = interior_of(polyhedron)
        assert answer_to(polyhedron, line) is not None
        for i in range(n):
            for at, change in ((0, Fraction(1, 10**9)), (1, -Fraction(1, 10**9))):
                moved = copy.deepcopy(line)
                moved[3][i][at] = text_of(LONELY.rational(moved[3][i][at]) + change)
                assert answer_to(polyhedron, moved) is None


# ----------------------------------------------------------------------- the producer


@pytest.mark.parametrize("inputs", [2, 3, 10])
@pytest.mark.parametrize("equation", [False, True])
def test_a_simplex_gets_its_own_box(inputs: int, equation: bool) -> None:
    box = box_of(simplex(inputs, equation=equation))
    assert box == [(0, 1)] * (inputs - equation)


def test_an_interval_by_rows_of_odd_numbers_gets_its_exact_sides() -> None:
    assert box_of(Polyhedron([[3.0], [-7.0]], [2.0, 5.0])) == [(Fraction(-5, 7), Fraction(2, 3))]


def test_a_point_gets_a_box_without_sides() -> None:
    assert box_of(Polyhedron([[1.0], [-1.0]], [2.0, -2.0])) == []


def test_boxes_of_random_polytopes_are_tight() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        n = int(rng.integers(1, 4))
        A = np.vstack([np.eye(n), -np.eye(n), rng.normal(size=(n + 1, n))])
        polyhedron = Polyhedron(A, rng.uniform(0.5, 1.5, len(A)))
        found = corners(polyhedron)
        for i, (low, high) in enumerate(box_of(polyhedron)):
            least, most = min(v[i] for v in found), max(v[i] for v in found)
            assert low <= least
            assert most <= high
            assert high - low <= (most - least) * (1 + Fraction(1, 10**5))


@pytest.mark.parametrize(
    ("A", "b"),
    [
        ([[1.0, 1.0]], [1.0]),
        ([[-1.0, 0.0], [0.0, -1.0], [1.0, -1.0]], [0.0, 0.0, 1.0]),
        ([[1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0]),
        ([[0.0, 0.0]], [1.0]),
    ],
)
def test_unbounded_polyhedra_stay_lifted(A: Any, b: Any, tmp_path: Path) -> None:
    network = ReluNetwork.from_layers(
        [np.array([[1.0, 2.0], [-1.0, 1.0]]), np.ones((1, 2))], [np.ones(2), np.zeros(1)]
    )
    certificate = certify_convex(network, Polyhedron(A, b))
    assert len(certificate.lines[1]) == 3
    assert check(network, certificate, tmp_path) == 0


@pytest.mark.parametrize("scale", [2.0**-40, 1e-12, 1e-5, 1.0, 1e5, 2.0**40])
@pytest.mark.parametrize("centre", [0.0, 0.1, 1e6])
def test_boxes_of_all_sizes_and_places(scale: float, centre: float, tmp_path: Path) -> None:
    """Also where doubles hardly see the width: the rows do not cancel in them."""
    A = np.array([[1.0, 0.3], [-0.7, 1.0], [-0.4, -1.1]])
    b = scale * np.array([1.0, 2.0, 3.0]) + centre * (A @ np.ones(2))
    hidden = [[1.0, 2.0], [-1.0, 1.0], [0.5, -2.0], [1.0, 1.0], [-1.0, -1.0]]
    weights = [np.array(hidden), np.array([[1.0, 1.0, 1.0, 1.0, -1.0]])]
    network = ReluNetwork.from_layers(weights, [-centre * (weights[0] @ np.ones(2)), np.zeros(1)])
    certificate = certify_convex(network, Polyhedron(A, b))
    assert check(network, certificate, tmp_path) == 0
    assert len(certificate.lines[1]) == 4


def polytope(rng: np.random.Generator, n: int) -> Polyhedron:
    """Return a box with cuts, sometimes with an equation."""
    A = np.vstack([np.eye(n), -np.eye(n), rng.integers(-2, 3, (2, n))])
    b = [*[1.0] * (2 * n), *rng.integers(1, 3, 2)]
    if n > 1 and rng.random() < 0.4:
        row = rng.integers(-2, 3, n)
        A, b = np.vstack([A, row, -row]), [*b, 0.0, 0.0]
    return Polyhedron(A, b)


def certified(seed: int) -> tuple[ReluNetwork, Polyhedron, Certificate]:
    _, network = tiny_network(seed)
    polyhedron = polytope(np.random.default_rng(seed), network.input_size)
    certificate = verify(network, polyhedron, certificate=True).certificate
    assert certificate is not None
    return network, polyhedron, certificate


def test_certificates_on_bounded_polyhedra_have_no_faces(tmp_path: Path) -> None:
    boxed = 0
    for seed in range(90):
        network, _, certificate = certified(seed)
        assert check(network, certificate, tmp_path) == 0
        if certificate.lines[0]["claim"] != "convex":
            continue
        if len(certificate.lines[1]) == 3:  # signs of weights prove it, wherever, or a walk
            assert certificate.lines[2:4] == (["bounds", []], ["path_signs"])
            assert certificate.lines[4:] in ((), (["walk"],))
            continue
        boxed += 1
        assert all(line[3] == 0 for line in certificate.lines[2:] if line[0] == "tree" and line[3:])
    assert boxed > 20


def test_a_smaller_box_proves_nothing(tmp_path: Path) -> None:
    """Around a point where a network is affine there are no kinks: the lie that would pay most."""
    tried = 0
    for seed in range(200):
        _, network = tiny_network(seed)
        n = network.input_size
        polyhedron = Polyhedron(np.vstack([np.eye(n), -np.eye(n)]), np.ones(2 * n))
        if oracle.is_convex(network, polyhedron):
            continue
        line = interior_of(polyhedron)
        centre = [Fraction(3, 64) * (i + 1) for i in range(n)]
        for y in ("1", "1/1000", "1/1" + "0" * 50, "1" + "0" * 50):
            near = [
                [text_of(v - Fraction(1, 100)), text_of(v + Fraction(1, 100)), *others]
                for v, (_, _, *others) in zip(centre, line[3], strict=True)
            ]
            for _, _, *sides in near:
                for rows in sides:
                    for entry in rows:
                        entry[1] = y
            lie = ["interior", [text_of(v) for v in centre], [], near]
            lines = [claim_of(network, polyhedron), lie, ["bounds", []], ["path_signs"]]
            assert check(network, to_bytes(lines), tmp_path) == 1
            tried += 1
    assert tried > 40
