"""Facets of patterns: margin programs against brute force over neurons and vertices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from grouped import completions, free_pattern, grouped, neuron_forms, random_partial, value
from lp_oracle import holds, vertices

from jensen.domains.domain import Box, Everywhere
from jensen.groups.jump import OFF, ON
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.margin import MarginProgram
from jensen_encodings.lp import LpSolver


def interior(net, bounded, group, pattern, box):
    """A point strictly inside the facet of a full pattern, by the mean of all vertices.

    The closed set of points with this pattern on the hyperplane is a polytope inside the
    box; it is a facet iff its vertices' mean has all signs strict, except of units that
    vanish on the whole hyperplane.
    """
    forms = neuron_forms(net, bounded, group, pattern)
    plane = forms[group]
    if not any(plane[1:]):
        return None
    n = len(plane) - 1
    rows, limits = [], []  # rows x <= limits
    for k, u in net.groups():
        form = forms[k, u]
        if (k, u) != group and not proportional(form, plane):
            sign = 1 if pattern[k][u] == ON else -1
            rows.append([-sign * v for v in form[1:]])
            limits.append(sign * form[0])
    lower, upper = (list(map(Fraction, side.tolist())) for side in box)
    for i in range(n):
        rows += [[int(i == j) for j in range(n)], [-int(i == j) for j in range(n)]]
        limits += [upper[i], -lower[i]]
    A, b = [*rows, plane[1:]], [*limits, -plane[0]]
    equality = [False] * len(rows) + [True]
    points = [v for v in vertices(A, b, n) if holds(A, b, equality, v)]
    if not points:
        return None
    mean = [sum(column, Fraction(0)) / len(points) for column in zip(*points, strict=True)]
    strict = all(
        sum((a * x for a, x in zip(row, mean, strict=True)), Fraction(0)) < limit
        for row, limit in zip(rows, limits, strict=True)
    )
    return mean if strict else None


def proportional(form, plane):
    pivot = next(i for i, v in enumerate(plane) if i and v)
    ratio = form[pivot] / plane[pivot]
    return all(a == ratio * b for a, b in zip(form, plane, strict=True))


def cases(make, count, box):
    for seed in range(count):
        network = make(seed)[1]
        net, bounded = grouped(network, box)
        if net.working_set.dim != network.input_size or len(net.groups()) > 7:
            continue
        for group in net.groups()[:: 1 + seed % 2]:
            yield seed, net, bounded, group


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_the_facets_of_full_patterns_are_those_of_brute_force(make):
    box = Box(-1, 1)
    for seed, net, bounded, group in cases(make, 36, box):
        program = MarginProgram(net, group, LpSolver())
        sides = box.bounds(bounded.input_size)
        full = list(completions(net, group, free_pattern(net)))
        rng = np.random.default_rng(seed)
        for index in rng.permutation(len(full))[:6]:
            pattern = full[index]
            expected = interior(net, bounded, group, pattern, sides)
            margin = program.solve(pattern)
            likely = program.likely_point(pattern)
            if margin.empty:
                assert expected is None, (seed, group)
                continue
            if margin.margin > 0:
                assert np.array_equal(likely, margin.point)
            exact = program.solve_exactly(pattern, lambda: False)
            assert (exact.point is not None) == (expected is not None), (seed, group)
            if exact.point is None:
                assert any(v != 0 for v in exact.multipliers.values()) or not exact.multipliers
            else:
                forms = neuron_forms(net, bounded, group, pattern)
                x = net.working_set.to_input(exact.point.tolist())
                assert value(forms[group], x) == 0


def test_a_closed_partial_pattern_has_no_facet_below_it():
    """The relaxation of free units may keep too much, never too little."""
    box = Box(-1, 1)
    closed = 0
    for seed, net, bounded, group in cases(tiny_network, 60, box):
        program = MarginProgram(net, group, LpSolver())
        rng = np.random.default_rng(seed)
        sides = box.bounds(bounded.input_size)
        for _ in range(3):
            pattern = random_partial(net, group, rng, share=0.6)
            if not program.solve(pattern).empty:
                continue
            closed += 1
            for full in list(completions(net, group, pattern))[:4]:
                assert interior(net, bounded, group, full, sides) is None, (seed, group)
    assert closed > 20


def test_on_the_cone_an_interior_point_has_the_pattern():
    """Everywhere: no brute force, but what is found can be looked at."""
    found = 0
    for seed in range(150):
        net, bounded = grouped(tiny_network(seed)[1], Everywhere())
        rng = np.random.default_rng(seed)
        if not net.groups():
            continue
        group = net.groups()[rng.integers(len(net.groups()))]
        program = MarginProgram(net, group, LpSolver())
        pattern = random_partial(net, group, rng, share=1.0)
        if program.solve(pattern).empty:
            continue
        exact = program.solve_exactly(pattern, lambda: False)
        if exact.point is None:
            continue
        found += 1
        forms = neuron_forms(net, bounded, group, pattern)
        x = [Fraction(int(v.p), int(v.q)) for v in exact.point]
        assert x[-1] > 0
        assert value(forms[group], x) == 0
        for k, u in net.groups():
            if (k, u) != group and not proportional(forms[k, u], forms[group]):
                assert (value(forms[k, u], x) > 0) == (pattern[k][u] == ON), (seed, group)
    assert found > 20


def two_kinks(gap: float) -> ReluNetwork:
    """relu(x) and relu(x - gap): parallel hyperplanes."""
    return ReluNetwork.from_layers([[[1.0, 0.0], [1.0, 0.0]], [[1.0, -2.0]]], [[0.0, -gap], [0.0]])


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-15, 1e-300, 5e-324])
def test_parallel_hyperplanes_that_nearly_touch_are_kept_apart(gap):
    net, _ = grouped(two_kinks(gap), Box(-1, 1))
    first, second = net.groups()
    for group, other, genuine in ((first, second, OFF), (second, first, ON)):
        program = MarginProgram(net, group, LpSolver())
        for act in (OFF, ON):
            pattern = tuple(a.copy() for a in free_pattern(net))
            pattern[other[0]][other[1]] = act
            exact = program.solve_exactly(pattern, lambda: False)
            assert (exact.point is not None) == (act == genuine)
            if act == genuine:
                assert not program.solve(pattern).empty


def test_without_time_there_is_no_exact_answer():
    net, _ = grouped(two_kinks(0.5), Box(-1, 1))
    group = net.groups()[0]
    pattern = next(completions(net, group, free_pattern(net)))
    assert MarginProgram(net, group, LpSolver()).solve_exactly(pattern, lambda: True) is None
