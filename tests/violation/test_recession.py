"""Midpoint violations on R^n: unbounded or finite, and no bound is ever too small."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from fuzz import tiny_network, varied_network
from midpoint_oracle import worst_in_one_dimension

import jensen
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import DomainError
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import exact_violation
from jensen.verdicts.verdict import Status
from jensen.violation.interval import kinks
from jensen.violation.recession import (
    ON_BOXES,
    UNBOUNDED,
    Recession,
    _face_by_face,
    bias_bound,
    decisive_interval,
    growth_rate,
    recession,
    recession_network,
)
from jensen_encodings.deadline import NEVER, Deadline

LAYERS = ReluNetwork.from_layers


def clip(low: float = 0.0, high: float = 1.0) -> ReluNetwork:
    return LAYERS([[[1.0], [1.0]], [[1.0, -1.0]]], [[-low, -high], [0.0]])


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_recession_is_decided_as_by_brute_force(make):
    seen = {Status.CONVEX: 0, Status.NONCONVEX: 0}
    for seed in range(120):
        network = make(seed)[1]
        found = recession(network, time_limit=20)
        homogeneous = recession_network(network)
        assert (found.status is Status.CONVEX) == oracle.is_convex(homogeneous), seed
        seen[found.status] += 1
        if found.status is Status.NONCONVEX:
            assert found.rate == growth_rate(network, found.x, found.y) > 0
            large = [tuple(2**60 * v for v in end) for end in (found.x, found.y)]
            assert exact_violation(network, *large) > 2**59 * found.rate
    assert min(seen.values()) > 20


def test_faces_decide_as_the_whole_does():
    compared = 0
    for seed in range(80):
        homogeneous = recession_network(tiny_network(seed)[1])
        if homogeneous.input_size > 1:
            found = _face_by_face(homogeneous, NEVER, 0)
            assert (found.status is Status.CONVEX) == oracle.is_convex(homogeneous), seed
            compared += 1
    assert compared > 30


def test_an_unbounded_violation_is_said_to_be():
    bend = LAYERS([[[1.0, 0.0], [0.0, 1.0]], [[1.0, -1.0]]], [[-3.0, 5.0], [0.0]])
    found = jensen.worst_violation(bend, Everywhere())
    assert found.status == UNBOUNDED
    assert found.upper == math.inf
    assert found.exact_lower == exact_violation(bend, found.x, found.y) > 0
    rate = growth_rate(bend, found.x, found.y)
    assert rate > 0
    before = found.exact_lower
    for scale in (16, 256):
        pair = [tuple(scale * v for v in end) for end in (found.x, found.y)]
        assert exact_violation(bend, *pair) > before
        before = exact_violation(bend, *pair)


def test_a_finite_violation_in_one_dimension_is_closed():
    compared = 0
    for seed in range(400):
        family, network = tiny_network(seed, max_inputs=1)
        if family == "scaled":  # weights of 1e12: no mixed-integer program copes with them
            continue
        if recession(network).status is not Status.CONVEX or compared >= 12:
            continue
        found = jensen.worst_violation(network, Everywhere(), gap=1e-6)
        points = kinks(network) or [Fraction(0)]
        reach = 10 * (1 + max(map(abs, points)))
        truth = worst_in_one_dimension(network, -reach, reach)
        slack = 1e-5 * (1 + float(truth))
        assert found.exact_lower <= truth, seed
        assert truth <= found.upper + (found.tolerance or 0.0) * (1 + float(reach)), seed
        assert found.lower == pytest.approx(float(truth), abs=slack), seed
        compared += truth > 0
    assert compared >= 10


def test_the_biases_bound_every_violation():
    compared = 0
    for seed in range(300):
        network = varied_network(seed)[1]
        if recession(network, time_limit=20).status is not Status.CONVEX:
            continue
        bound = bias_bound(network)
        rng = np.random.default_rng(seed)
        for scale in (1.0, 10.0, 1e3, 1e6):
            x, y = scale * rng.normal(size=(2, 64, network.input_size))
            f = network(np.concatenate([x, y, (x + y) / 2]))[:, 0].reshape(3, 64)
            noise = 1e-9 * (1 + np.abs(f).max())
            assert (f[2] - (f[0] + f[1]) / 2).max() <= bound + noise, seed
        compared += bound > 0
    assert compared > 20


def test_the_bias_bound_is_attained_by_a_clip():
    assert bias_bound(clip(0.0, 4.0)) == pytest.approx(2.0)
    found = jensen.worst_violation(clip(0.0, 4.0), Everywhere())
    assert (found.lower, found.upper) == (pytest.approx(2.0), pytest.approx(2.0, rel=1e-3))


def test_two_dimensions_say_what_is_proved():
    # relu(2 - clip(x)) falls from 2 to 1: the bound of the biases is not attained
    network = LAYERS(
        [[[1.0, 0.0], [1.0, 0.0]], [[-1.0, 1.0]], [[1.0]]], [[0.0, -1.0], [2.0], [0.0]]
    )
    found = jensen.worst_violation(network, Everywhere())
    assert found.status == ON_BOXES
    assert found.lower == pytest.approx(0.5)
    assert found.upper >= 0.5
    assert found.tolerance is None


def test_networks_without_biases_or_kinks_have_none():
    for network in (
        LAYERS([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [5.0]]),
        LAYERS([[[2.0, 1.0]]], [[-3.0]]),
    ):
        found = jensen.worst_violation(network, Everywhere())
        assert (found.lower, found.upper, found.status) == (0.0, 0.0, "proved convex")


def test_kinks_are_found_exactly_and_outside_all_others():
    # relu(1 - relu(x)) kinks at 0 and 1, relu(8 + 1 - ...) further out
    network = LAYERS([[[1.0]], [[-1.0], [-0.25]], [[1.0, 1.0]]], [[0.0], [1.0, 9.0], [0.0]])
    assert kinks(network) == [0, 1, 36]
    box = decisive_interval(network)
    assert box.contains([Fraction(-36)])
    assert box.contains([Fraction(72)])


def test_unbounded_polyhedra_are_refused_with_a_hint():
    with pytest.raises(DomainError, match="jump"):
        jensen.worst_violation(clip(), Polyhedron([[1.0]], [1.0]))


def test_what_is_undecided_at_infinity_has_no_upper_bound(monkeypatch):
    monkeypatch.setattr(
        "jensen.violation.recession.recession", lambda *_, **__: Recession(Status.UNKNOWN)
    )
    for network in (clip(), LAYERS([np.eye(2), [[1.0, -1.0]]], [[-1.0, 0.0], [0.0]])):
        found = jensen.worst_violation(network, Everywhere(), time_limit=2.0)
        assert found.upper == math.inf
        assert found.status == "undecided at infinity"
        assert found.exact_lower == exact_violation(network, found.x, found.y) > 0


def test_boxes_are_measured_as_before():
    found = jensen.worst_violation(clip(), Box(-1, 3))
    assert found.lower == pytest.approx(0.5)


def test_kinks_that_are_not_known_in_time_leave_the_boxes():
    rng = np.random.default_rng(0)
    network = ReluNetwork.from_layers(
        [rng.normal(size=(9, 1)), np.abs(rng.normal(size=(1, 9)))], [rng.normal(size=9), [0.0]]
    )
    over = Deadline.after(-1.0)
    assert len(kinks(network) or ()) == 9
    assert kinks(network, over) is None
    assert decisive_interval(network, over) is None
