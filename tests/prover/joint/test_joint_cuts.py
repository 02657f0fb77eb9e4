"""Cuts for values on the box: they hold exactly on the kink, and are as deep as they can be."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from fuzz import with_few_falling
from scipy.optimize import linprog

from jensen.domains.domain import Box, Everywhere
from jensen.groups.groups import SOURCE
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint import cuts as joint_cuts
from jensen.prover.joint import nodes as joint_nodes
from jensen.prover.joint.cuts import ValueCuts
from jensen.prover.joint.dual_bound import LinearProgram
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.search import JointSearch, piece_bounds
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import SearchState, TreeLimits
from jensen_encodings.bounded import BoundedProgram
from jensen_encodings.lp import LpSolver


def network(seed: int, inputs: int = 3) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    return ReluNetwork.from_layers(*with_few_falling(rng, (inputs, 10, 8)))


def searches(net: ReluNetwork, domain: Box | Everywhere) -> list[JointSearch]:
    grouped = prepare(net, domain).grouped
    pieces = [piece_bounds(grouped, box, ranges_of(grouped)) for box in joint_boxes(grouped)]
    found = [
        JointSearch(grouped, group, net, pieces, LpSolver(), TreeLimits(lambda: False), 0)
        for group in grouped.groups()
    ]
    return [search for search in found if not search.closed]


def begun(search: JointSearch) -> joint_nodes.PieceSearch:
    search._begin(search._roots.pop())
    assert search._current is not None
    return search._current


def corners(normal: list[Fraction] | None, offset: Fraction, low: int, high: int, dim: int):
    """The vertices of the box, or of its part where ``normal y + offset = 0``."""
    if normal is None:
        yield from product((Fraction(low), Fraction(high)), repeat=dim)
        return
    for j in range(dim):
        if not normal[j]:
            continue
        for rest in product((Fraction(low), Fraction(high)), repeat=dim - 1):
            others = [n for i, n in enumerate(normal) if i != j]
            fixed = offset + sum((a * b for a, b in zip(others, rest, strict=True)), Fraction(0))
            value = -fixed / normal[j]
            if low <= value <= high:
                yield (*rest[:j], value, *rest[j:])


def solutions(piece: joint_nodes.PieceSearch, seed: int, count: int = 20):
    """Points y of the box with values h up to the line above relu(z)."""
    rng, program = np.random.default_rng(seed), piece._program
    for _ in range(count):
        x = np.zeros(program.width)
        x[: program.dim] = rng.uniform(-1, 1, program.dim).round(rng.integers(0, 3))
        for (k, u), column in program.h.items():
            x[column] = piece.root.ranges.upper[k][u] * rng.random()
        yield x


@pytest.mark.parametrize("seed", range(10))
def test_cuts_hold_at_all_corners_exactly(seed):
    """relu(z) - C y is convex, so that corners of the box and the kink tell all."""
    found = 0
    for search in searches(network(seed), Box(-1, 1)):
        piece = begun(search)
        net, level = search.net, search.group[0]
        kink = search.pieces[0].bounds.exact_kink(search.group)
        assert (kink is None) == (level > 0)
        normal = None if kink is None else [Fraction(v) for v in kink.normal]
        offset = Fraction(0 if kink is None else kink.offset)
        columns = {column: at for at, column in piece._program.h.items()}
        for x in solutions(piece, seed):
            for row, limit in zip(*piece._cuts.separate(x)[:2], strict=True):
                found += 1
                assert row @ x > limit
                (column,) = np.flatnonzero(row[piece._program.dim :]) + piece._program.dim
                k, u = columns[column]
                w = [Fraction(v) for v in net.levels[k].slopes[SOURCE].on[u]]
                b = Fraction(net.levels[k].bias[u])
                slopes = [Fraction(v) for v in row[: piece._program.dim]]
                for y in corners(normal, offset, -1, 1, piece._program.dim):
                    z = b + sum(a * v for a, v in zip(w, y, strict=True))
                    left = max(z, 0) + sum(a * v for a, v in zip(slopes, y, strict=True))
                    assert left <= Fraction(limit)
    assert found > 20


def test_a_cut_is_the_least_upper_bound_on_the_box():
    """The oracle mixes the corners: a linear program over their weights."""
    found = 0
    for seed in range(6):
        for search in searches(network(seed), Box(-1, 1)):
            if search.group[0] == 0:
                continue
            piece = begun(search)
            dim, level = piece._program.dim, search.net.levels[0]
            points = np.array(list(product((-1.0, 1.0), repeat=dim)))
            values = np.maximum(points @ level.slopes[SOURCE].on.T + level.bias, 0.0)
            columns = {column: u for (k, u), column in piece._program.h.items() if k == 0}
            for x in solutions(piece, seed, 4):
                for row, limit in zip(*piece._cuts.separate(x)[:2], strict=True):
                    (column,) = np.flatnonzero(row[dim:]) + dim
                    mixed = linprog(
                        -values[:, columns[column]],
                        A_eq=np.vstack([points.T, np.ones(len(points))]),
                        b_eq=np.append(x[:dim], 1.0),
                    )
                    found += 1
                    assert limit - row[:dim] @ x[:dim] == pytest.approx(-mixed.fun, abs=1e-9)
    assert found > 10


def test_points_of_the_network_are_never_cut_off():
    for search in searches(network(1), Box(-1, 1)):
        piece = begun(search)
        for x in solutions(piece, 3):
            values = search.net.pre_activations(x[: piece._program.dim])
            for (k, u), column in piece._program.h.items():
                x[column] = max(values[k][u], 0.0)
            rows, limits, units = piece._cuts.separate(x)
            assert rows.shape == (0, piece._program.width)
            assert not limits.size
            assert not units


def test_cuts_are_few():
    for search in searches(network(2), Box(-1, 1)):
        piece, total = begun(search), 0
        units = len(piece._cuts._columns)
        for x in solutions(piece, 4, 100):
            count = len(piece._cuts.separate(x)[1])
            assert count <= joint_cuts.AT_ONCE
            total += count
        assert total <= joint_cuts.EACH * units + joint_cuts.AT_ONCE


def test_faces_of_a_cone_get_none():
    for search in searches(network(0), Everywhere())[:3]:
        piece = begun(search)
        for x in solutions(piece, 0):
            assert not piece._cuts.separate(x)[1].size


def test_searches_with_cuts_find_the_same_in_fewer_nodes(monkeypatch):
    nodes = {}
    for uncut in (0, 10**9):
        monkeypatch.setattr(joint_nodes, "UNCUT", uncut)
        ends, nodes[uncut] = [], 0
        for seed in range(12):
            for search in searches(network(seed, 6), Box(-1, 1)):
                result = search.run(2000)
                ends.append(result.state)
                nodes[uncut] += result.nodes if result.state is SearchState.CLOSED else 0
        nodes[uncut] = (nodes[uncut], [end is SearchState.BENT for end in ends])
    assert nodes[0][1] == nodes[10**9][1]
    assert nodes[0][0] < nodes[10**9][0]


def test_rows_that_are_added_count_like_those_there_from_the_start():
    rng = np.random.default_rng(0)
    cost, lower, upper = rng.normal(size=5), -np.ones(5), np.ones(5)
    A, sides = rng.normal(size=(8, 5)), rng.random(8)
    none = np.full(8, -np.inf)
    whole, part = (
        LinearProgram(cost, 0.5, A[:n], none[:n], sides[:n], lower.copy(), upper.copy())
        for n in (8, 5)
    )
    part.upper[0] = 0.0  # narrowed: roundings are still those of the first bounds
    solver = BoundedProgram(cost, A[:5], none[:5], sides[:5], lower, upper)
    solver.solve()
    part.add_rows(A[5:], sides[5:])
    assert solver.add_rows(A[5:], sides[5:])
    part.upper[0] = 1.0
    found = solver.solve()
    assert part.least(found.multipliers) == whole.least(found.multipliers)
    assert part.least(found.multipliers) == pytest.approx(cost @ found.x + 0.5, abs=1e-9)


def test_numbers_that_the_solver_does_not_take_add_nothing():
    solver = BoundedProgram(
        np.ones(2), np.ones((1, 2)), np.zeros(1), np.ones(1), -np.ones(2), np.ones(2)
    )
    assert not solver.add_rows(np.array([[1e300, 1.0]]), np.zeros(1))
    assert solver.solve().multipliers.shape == (1,)


def test_overflow_gives_no_cuts():
    search = next(s for s in searches(network(5), Box(-1, 1)) if s.group[0] == 0)
    piece = begun(search)
    program = piece._program
    cuts = ValueCuts(
        program.forms, piece.root.ranges, search.pieces[0].piece, piece._kink, program.width
    )
    cuts._forms = cuts._forms * 1e308
    with np.errstate(all="ignore"):
        for x in solutions(piece, 5):
            limits = cuts.separate(x)[1]
            assert np.isfinite(limits).all()
