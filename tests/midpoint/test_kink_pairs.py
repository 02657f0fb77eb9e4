"""Pairs around the kinks that bend down most: what ascents from random pairs never meet."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen.domains.domain import Box
from jensen.groups.prepared import Prepared, prepare
from jensen.midpoint.climb import PairSearch
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.kink_pairs import kink_pairs
from jensen.midpoint.search import PairIncumbent
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import exact_violation
from jensen_encodings.deadline import NEVER, Deadline

WIDTH = 1e-4


def needle(inputs: int = 5) -> ReluNetwork:
    """Return a bowl of which a corner is cut off: nearly all pairs violate nothing."""
    first = np.concatenate([np.eye(inputs), -np.eye(inputs), np.ones((1, inputs))])
    offset = np.concatenate([np.zeros(2 * inputs), [WIDTH - inputs]])
    return ReluNetwork.from_layers([first, [[1.0] * (2 * inputs) + [-1e-3]]], [offset, [0.0]])


def measured(prepared: Prepared, feasible: Feasible | None = None) -> PairIncumbent:
    def judge(x: np.ndarray, y: np.ndarray) -> Fraction:
        ends = (tuple(Fraction(float(v)) for v in end) for end in (x, y))
        return exact_violation(prepared.network, *ends)

    return PairIncumbent(prepared.data, judge, NEVER, feasible)


def pairs_of(prepared: Prepared, deadline: Deadline = NEVER) -> np.ndarray:
    data = prepared.data
    feasible = Feasible.box(data.input_lower, data.input_upper)
    return kink_pairs(prepared, feasible, PairSearch(data).violation, 0, deadline)


@pytest.mark.parametrize("side", [1.0, 8.0])
def test_pairs_lie_in_the_box_and_the_worst_comes_first(side: float) -> None:
    network = ReluNetwork.from_layers(
        [np.eye(3), [[1.0, -1.0, 2.0], [1.0, 1.0, -1.0]], [[1.0, -2.0]]],
        [[0.1, 0.2, -0.3], [0.0, 0.3], [0.0]],
    )
    prepared = prepare(network, Box(-side, side))
    pairs = pairs_of(prepared)
    assert len(pairs)
    assert (np.abs(pairs) <= side).all()
    values = PairSearch(prepared.data).violation(pairs[:, 0], pairs[:, 1])
    assert (values > 0).all()
    assert (np.diff(values) <= 0).all()


def test_a_needle_that_random_pairs_never_meet_is_measured() -> None:
    prepared = prepare(needle(), Box(-1, 1))
    found = measured(prepared)
    found.start(0)
    assert found.value == 0
    found.look_at_kinks(prepared, 0)
    # half of what the cut takes off on both sides of its kink
    assert found.value == pytest.approx(1e-3 * WIDTH / 2, rel=1e-6)


def test_pairs_of_a_polyhedron_are_inside_exactly() -> None:
    network = ReluNetwork.from_layers([[[1.0, 1.0]], [[-1.0]]], [[0.0], [0.0]])
    rows, limits = np.array([[1.0, 2.0], [-1.0, 1.0]]), np.array([0.7, 0.9])
    feasible = Feasible(-np.ones(2), np.ones(2), rows, limits, np.zeros(2))
    found = measured(prepare(network, Box(-1, 1)), feasible)
    found.look_at_kinks(prepare(network, Box(-1, 1)), 0)
    assert found.value > 0
    assert feasible.contains(found.best[2])
    assert feasible.contains(found.best[3])


def test_there_are_none_of_a_convex_network_nor_without_time_nor_kinks() -> None:
    bowl = ReluNetwork.from_layers([np.eye(3), np.ones((1, 3))], [np.zeros(3), [0.0]])
    assert not len(pairs_of(prepare(bowl, Box(-1, 1))))
    assert not len(pairs_of(prepare(bowl, Box(1, 2))))
    assert not len(pairs_of(prepare(needle(), Box(-1, 1)), Deadline.after(0.0)))


def test_bounds_and_pair_agree_after_a_look_at_kinks() -> None:
    rng = np.random.default_rng(4)
    shapes = (16, 5), (16, 16), (1, 16)
    network = ReluNetwork.from_layers(
        [rng.normal(size=shape) / shape[1] ** 0.5 for shape in shapes],
        [rng.normal(size=rows) / 4 for rows, _ in shapes],
    )
    found = jensen.worst_violation(network, Box(-1, 1), time_limit=3)
    assert exact_violation(network, found.x, found.y) == found.exact_lower
    assert found.lower <= found.exact_lower <= found.upper


def test_segments_of_many_inputs_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def violation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        seen.append(x.size + y.size)
        return np.ones(len(x))

    rng = np.random.default_rng(0)
    first = rng.normal(size=(32, 300))
    network = ReluNetwork.from_layers([first, -np.ones((1, 32))], [np.zeros(32), [0.0]])
    prepared = prepare(network, Box(-1, 1))
    feasible = Feasible.box(-np.ones(300), np.ones(300))
    for limit in (10_000, 10_000_000):
        monkeypatch.setattr("jensen.midpoint.kink_pairs.NUMBERS", limit)
        assert len(kink_pairs(prepared, feasible, violation, 0, NEVER))
    assert seen[0] == 2 * 64 * 300  # one point is always looked at
    assert seen[1] > 30 * seen[0]
