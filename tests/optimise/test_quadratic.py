"""Quadratic programs over cuts: what HiGHS gives up on is solved all the same."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from jensen import Box, ConvexFunction, Everywhere
from jensen.network.relu_network import ReluNetwork
from jensen.optimise import quadratic
from jensen.optimise.multipliers import Distances
from jensen.optimise.quadratic import nearest_point

NEARLY_THE_SAME = (
    [
        [0.0625, 0.03125],
        [-0.2031, 0.0],
        [0.5625, 0.0],
        [0.0625, 0.0312502],
        [-3e-08, 4e-07],
        [-0.1406, 0.03125],
        [0.0625, 0.03125],
        [-0.2031, 2e-07],
    ],
    [0.1, -0.3, 0.2, 0.1, 0.0, 0.05, 0.1, -0.3],
)


def random_program(seed: int):
    rng = np.random.default_rng(seed)
    d, cuts, rows = int(rng.integers(1, 5)), int(rng.integers(1, 8)), int(rng.integers(0, 3))
    matrix = rng.integers(-4, 5, size=(cuts + rows, d)) / 4.0
    constants = np.append(rng.normal(size=cuts), -rng.random(rows))
    term = np.append(np.zeros(cuts, dtype=np.intp), np.full(rows, -1)).astype(np.intp)
    sides = -np.ones(d), np.ones(d)
    return rng.normal(size=d) * 2, 0.5, matrix, constants, term, np.ones(1), 0, sides


def dual_value(center, step, matrix, constants, term, weights, equations, sides, y) -> float:
    """What multipliers prove, over the box."""
    slope = y @ matrix
    u = np.clip(center - step * slope, *sides)
    return float(y @ constants + slope @ u + ((u - center) ** 2).sum() / (2 * step))


def primal_value(center, step, matrix, constants, term, weights, equations, sides, u) -> float:
    values = matrix @ u + constants
    assert (values[term < 0] <= 1e-7).all()
    return float(values[term >= 0].max() + ((u - center) ** 2).sum() / (2 * step))


@pytest.mark.parametrize("seed", range(30))
def test_least_distances_solve_what_highs_solves(seed: int) -> None:
    program = random_program(seed)
    u, y = nearest_point(*program)
    with mock.patch.object(quadratic, "_attempt", return_value=None):
        other, multipliers = nearest_point(*program)
    assert other == pytest.approx(u, abs=1e-5)
    for point, duals in ((u, y), (other, multipliers)):
        assert dual_value(*program, duals) == pytest.approx(primal_value(*program, point), abs=1e-7)


def test_cuts_that_are_nearly_the_same_are_no_error() -> None:
    matrix, constants = map(np.array, NEARLY_THE_SAME)
    wide = np.full(2, np.inf)
    term, one = np.zeros(len(matrix), dtype=np.intp), np.ones(1)
    program = (np.array([1.5, -2.0]), 100.0, matrix, constants, term, one, 0, (-wide, wide))
    u, y = nearest_point(*program)
    assert dual_value(*program, y) == pytest.approx(primal_value(*program, u), abs=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_a_larger_function_has_its_proximal_point_for_a_smaller_step(size: float) -> None:
    W, b = [[[1.0, -0.5, 0.25], [-1.0, 0.5, 1.0]], [[1.0, 0.75]]], [[0.5, -0.25], [0.0]]
    network = ReluNetwork.from_layers(W, b)
    other = ReluNetwork.from_layers([W[0], np.array(W[1]) * size], b)
    center = [0.7, -0.4, 1.5]
    plain = ConvexFunction(network, Box(-1, 1)).prox(center, step=0.5)
    found = ConvexFunction(other, Box(-1, 1)).prox(center, step=0.5 / size)
    assert found.x == pytest.approx(plain.x, abs=1e-6)
    assert found.value - found.lower <= 1e-8 * size


def test_a_constant_function_has_a_proved_proximal_point() -> None:
    flat = ReluNetwork.from_layers([[[1.0, 1.0]], [[1e-14]]], [[0.0], [1.0]])
    found = ConvexFunction(flat, Box(-1, 1)).prox([2.0, 0.0], step=1e-2)
    assert found.x == pytest.approx([1.0, 0.0], abs=1e-9)
    assert found.value - found.lower <= 1e-9 * found.value


@pytest.mark.parametrize("seed", range(10))
def test_multipliers_without_highs_come_near_those_with_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cuts, inputs = int(rng.integers(2, 8)), 40
    term = np.sort(rng.integers(0, 2, cuts)).astype(np.intp)
    term[0], term[-1] = 0, 1
    matrix, constants = rng.normal(size=(cuts, inputs)), rng.normal(size=cuts)
    sides = np.full(inputs, -0.5), np.full(inputs, 0.5)
    weights = np.array([1.0, 0.5])
    program = Distances(rng.normal(size=inputs), 0.5, *sides, matrix, constants, term, weights)
    with_highs = program.solve(np.zeros(0))
    with mock.patch.object(quadratic, "_attempt", return_value=None):
        without = program.solve(np.zeros(0))
    for found in (with_highs, without):
        assert (found.y >= -1e-9).all()
        assert [found.y[term == s].sum() for s in (0, 1)] == pytest.approx(weights.tolist())
    assert without.value == pytest.approx(with_highs.value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("step", [1e-10, 1e-6, 1e-3])
@pytest.mark.parametrize("domain", [Everywhere(), Box(-5, 5)])
def test_tiny_steps_move_along_the_slope(step: float, domain: object) -> None:
    # HiGHS let u stay where it was: slopes times the step were below its tolerances
    rng = np.random.default_rng(6)
    weights = [rng.normal(size=(12, 6)), np.abs(rng.normal(size=(1, 12)))]
    f = ConvexFunction(ReluNetwork.from_layers(weights, [rng.normal(size=12), [0.0]]), domain)
    center = rng.normal(size=6)
    near = f.prox(center, step=step)
    assert near.distance < 0.1 * np.linalg.norm(near.x - center)
    slope = (center - near.x) / step
    assert slope == pytest.approx(f.subgradient(center), rel=1e-5, abs=1e-5)
