"""Vertices of hyperplanes are those of rational arithmetic, and so are signs at them."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest

from jensen.cells.arrangement import Arrangement, arrangement, incidences, plan_of

BOX = (np.array([-1.0, -2.0, 0.5, -1.0]), np.array([2.0, 1.0, 1.5, 3.0]))


def determinant(rows: list[list[Fraction]]) -> Fraction:
    if not rows:
        return Fraction(1)
    first, *others = rows
    return sum(
        (
            (-1) ** k * entry * determinant([row[:k] + row[k + 1 :] for row in others])
            for k, entry in enumerate(first)
        ),
        Fraction(0),
    )


def exact_vertices(rows: np.ndarray, chosen: tuple[int, ...]) -> list[Fraction] | None:
    """Return where hyperplanes meet, or a direction, by Cramer's rule in rationals."""
    inputs = rows.shape[1] - 1
    exact = [[Fraction(float(entry)) for entry in rows[k]] for k in chosen]
    minors = []
    for column in range(inputs + 1):
        part = [[row[c] for c in range(inputs + 1) if c != column] for row in exact]
        minors.append((-1) ** column * determinant(part))
    return minors if any(minors) else None


def rows_of(seed: int, units: int, inputs: int) -> np.ndarray:
    return np.random.default_rng([seed, units, inputs]).normal(size=(units, inputs + 1))


def vertices_of(found: Arrangement) -> dict[tuple[int, ...], int]:
    """Return which vertex here belongs to which hyperplanes; finite ones, and one direction."""
    plan = found.plan
    place = np.arange(len(plan.source)) if found.place is None else found.place
    choices = plan.chosen.shape[1]
    return {
        tuple(plan.chosen[:, k].tolist()): int(place[k]) for k in range(choices) if place[k] >= 0
    }


@pytest.mark.parametrize("inputs", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_vertices_of_space_are_those_of_cramers_rule(seed: int, inputs: int):
    rows = rows_of(seed, 6, inputs)
    found = arrangement(rows, np.arange(6), None)
    assert found is not None
    every = np.vstack([rows, np.eye(inputs + 1)[-1:]])
    vertices = vertices_of(found)
    assert set(vertices) == set(combinations(range(7), inputs))
    for chosen, vertex in vertices.items():
        point = exact_vertices(every, chosen)
        side = -1 if point[-1] < 0 else 1
        for unit, row in enumerate(rows):
            value = side * sum(Fraction(float(a)) * x for a, x in zip(row, point, strict=True))
            apart = abs(value - Fraction(float(found.z[unit, vertex])))
            opposite = abs(value + Fraction(float(found.z[unit, vertex])))
            apart = min(apart, opposite) if point[-1] == 0 else apart
            assert apart <= found.error[unit, vertex]
            assert (unit in chosen) == (found.z[unit, vertex] == 0)
    directions = sum(6 in chosen for chosen in vertices)
    assert found.z.shape[1] == len(vertices) + directions
    assert np.array_equal(found.z[:, -directions:], -found.z[:, found.plan.source[-directions:]])


@pytest.mark.parametrize("inputs", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_vertices_of_a_box_are_those_inside(seed: int, inputs: int):
    rows, box = rows_of(seed, 4, inputs), tuple(side[:inputs] for side in BOX)
    found = arrangement(rows, np.arange(4), box)
    assert found is not None
    sides = []
    for k in range(inputs):
        unit = np.eye(inputs + 1)[k]
        low, high = unit.copy(), -unit
        low[-1], high[-1] = -box[0][k], box[1][k]
        sides += [low, high]
    every = np.vstack([rows, *sides])
    inside = set()
    for chosen in combinations(range(len(every)), inputs):
        point = exact_vertices(every, chosen)
        if point is None or not point[-1]:
            continue
        x = [value / point[-1] for value in point[:-1]]
        if all(
            Fraction(float(lo)) <= v <= Fraction(float(hi))
            for lo, v, hi in zip(box[0], x, box[1], strict=True)
        ):
            inside.add(chosen)
    assert set(vertices_of(found)) == inside


def test_only_wanted_hyperplanes_are_looked_at():
    rows = rows_of(0, 6, 3)
    for box in (None, tuple(side[:3] for side in BOX)):
        every = arrangement(rows, np.arange(6), box)
        wanted = np.array([False, True, False, False, True, False])
        some = arrangement(rows, np.arange(6), box, wanted)
        expected = {c for c in vertices_of(every) if 1 in c or 4 in c}
        assert set(vertices_of(some)) == expected
        for chosen, vertex in vertices_of(some).items():
            assert np.array_equal(some.z[:, vertex], every.z[:, vertices_of(every)[chosen]])


@pytest.mark.parametrize("box", [None, tuple(side[:3] for side in BOX)])
def test_hyperplanes_through_one_point_or_in_parallel_are_left(box):
    meeting = np.array([[1.0, 0.1, 0, -0.2], [0, 1, 0.3, 0.1], [0.2, 0, 1, -1], [1, 2, 3, 0.0]])
    meeting[3, -1] = -(meeting[3, :3] @ np.linalg.solve(meeting[:3, :3], -meeting[:3, 3]))
    assert arrangement(meeting[:3], np.arange(3), box) is not None
    assert arrangement(meeting, np.arange(4), box) is None
    parallel = np.vstack([meeting[:3], meeting[:1] + np.array([0, 0, 0, 0.125])])
    assert arrangement(parallel, np.arange(4), None) is None


def test_pieces_around_vertices_are_counted():
    plan = plan_of(5, 3, box=False)
    # four quarters of each of three planes around a point, two halves at either end of a line
    assert len(plan.owner) == 10 * 3 * 4 + 2 * 10 * 2 * 2
    assert len(plan.owner) <= 2 * incidences(5, 3, box=False)
    boxed = plan_of(5, 3, box=True)
    assert len(boxed.owner) <= incidences(5, 3, box=True)
    assert not any(
        (7 <= low < 11) and high == low + 1 and low % 2
        for chosen in boxed.chosen.T.tolist()
        for low, high in pairwise(chosen)
    )
