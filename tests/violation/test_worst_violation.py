"""The worst midpoint violation on bounded polyhedra: exact pairs inside, bounds that hold."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import jensen
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import DomainError, OptionError
from jensen.midpoint.feasible import Feasible
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import admits, exact_violation

SHEARS = [[[1.0, 1.0], [0.0, 1.0]], [[2.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [-3.0, 1.0]]]


def random_network(seed: int, inputs: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    sizes = [inputs, 5, 4, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    return ReluNetwork.from_layers(
        [rng.integers(-4, 5, shape) / 2.0 for shape in shapes],
        [rng.integers(-2, 3, rows) / 2.0 for rows, _ in shapes],
    )


def after(network: ReluNetwork, matrix: np.ndarray) -> ReluNetwork:
    """Return ``u -> f(matrix u)``."""
    first, *others = [block.weights for block in network.blocks]
    weights = [np.asarray(w.todense() if hasattr(w, "todense") else w)
               for w in (next(iter(part.values())) for part in (first, *others))]  # fmt: skip
    weights[0] = weights[0] @ matrix
    return ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])


@pytest.mark.parametrize("seed", range(6))
def test_a_polyhedron_that_is_a_sheared_box_has_the_violation_of_that_box(seed: int) -> None:
    matrix = np.array(SHEARS[seed % len(SHEARS)])
    network = random_network(seed, 2)
    inverse = np.rint(np.linalg.inv(matrix))
    parallelogram = Polyhedron(np.vstack([inverse, -inverse]), np.ones(4))
    found = jensen.worst_violation(network, parallelogram, gap=1e-6)
    same = jensen.worst_violation(after(network, matrix), Box(-1, 1), gap=1e-6)
    assert found.upper >= same.lower
    assert same.upper >= found.lower
    assert found.upper - found.lower <= 1e-5 * max(1.0, found.lower)
    assert admits(parallelogram, found.x, found.y)
    assert exact_violation(network, found.x, found.y) == found.exact_lower


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_box_are_the_box(seed: int) -> None:
    network = random_network(seed + 20, 3)
    rows = Polyhedron(np.vstack([np.eye(3), -np.eye(3)]), np.ones(6))
    found, same = (jensen.worst_violation(network, d, gap=1e-6) for d in (rows, Box(-1, 1)))
    assert found.upper >= same.lower
    assert same.upper >= found.lower
    assert admits(rows, found.x, found.y)


def test_no_pair_of_a_simplex_is_above_the_bound() -> None:
    simplex = Polyhedron(np.vstack([-np.eye(3), np.ones((1, 3))]), [0.0, 0.0, 0.0, 1.0])
    rng = np.random.default_rng(3)
    corners = np.vstack([np.zeros(3), np.eye(3)])
    for seed in range(4):
        network = random_network(seed + 40, 3)
        found = jensen.worst_violation(network, simplex)
        x, y = (rng.dirichlet(np.full(4, 0.3), 20_000) @ corners for _ in "xy")
        f = [network(points)[:, 0] for points in ((x + y) / 2, x, y)]
        assert (f[0] - (f[1] + f[2]) / 2).max() <= found.upper + 1e-9
        assert found.status in {"optimal", "proved convex"}


def test_a_convex_network_is_proved_on_a_polyhedron() -> None:
    network = ReluNetwork.from_layers([np.eye(2), [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    triangle = Polyhedron([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [1.0, 1.0, 1.0])
    found = jensen.worst_violation(network, triangle)
    assert (found.lower, found.upper, found.status) == (0.0, 0.0, "proved convex")
    assert admits(triangle, found.x, found.y)


@pytest.mark.parametrize(
    ("rows", "limits", "word"),
    [
        ([[1.0, 1.0]], [1.0], "bounded"),
        ([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [1.0, -1.0, 1.0, 1.0], "interior"),
        ([[1.0, 0.0], [-1.0, 0.0]], [0.0, -1.0], "empty"),
    ],
)
def test_other_polyhedra_are_refused_in_clear_words(
    rows: list[list[float]], limits: list[float], word: str
) -> None:
    network = random_network(0, 2)
    with pytest.raises(DomainError, match=word):
        jensen.worst_violation(network, Polyhedron(rows, limits))


def test_the_midpoint_program_needs_a_box() -> None:
    square = Polyhedron(np.vstack([np.eye(2), -np.eye(2)]), np.ones(4))
    for domain in (square, Everywhere()):
        with pytest.raises(OptionError, match="needs a box"):
            jensen.worst_violation(random_network(0, 2), domain, engine="milp")


def test_points_are_moved_to_where_all_rows_hold_exactly() -> None:
    rng = np.random.default_rng(1)
    A = np.vstack([rng.normal(size=(5, 3)), np.eye(3), -np.eye(3)])
    b = np.concatenate([rng.uniform(0.1, 1.0, 5), np.ones(6)])
    feasible = Feasible(-np.ones(3), np.ones(3), A, b, np.zeros(3))
    for point in rng.normal(size=(200, 3)):
        inside = feasible.exactly(point)
        exact = [Fraction(float(v)) for v in inside]
        for row, limit in zip(A, b, strict=True):
            total = sum(Fraction(float(a)) * v for a, v in zip(row, exact, strict=True))
            assert total <= Fraction(float(limit))
        if feasible.contains(point):
            assert inside.tolist() == point.tolist()


def test_ctrl_c_while_the_prover_looks_leaves_bounds_and_is_told(monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((20, 3), (20, 20), (1, 20))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
    monkeypatch.setattr("jensen.violation.worst_violation.verify", stop)
    found = jensen.worst_violation(network, Box(-1, 1))
    assert found.status == "interrupted"
    assert 0 <= found.lower < found.upper < np.inf


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_rows_of_any_size_have_the_same_worst_pair(scale):
    # HiGHS's tolerances are absolute: with rows of 1e8 the bounds stayed apart
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=size) for size in ((8, 2), (8, 8), (1, 8))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=8), rng.normal(size=8), [0.0]])
    rows, limits = np.array([[1, 1], [-1, 0], [0, -1], [0.3, -1]]), np.ones(4)
    plain = jensen.worst_violation(network, Polyhedron(rows, limits))
    scaled = jensen.worst_violation(network, Polyhedron(scale * rows, scale * limits))
    assert (plain.status, scaled.status) == ("optimal", "optimal")
    assert scaled.upper == pytest.approx(plain.lower, rel=1e-3)
