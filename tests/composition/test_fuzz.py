"""Random graphs: no "convex" against samples, no "nonconvex" without 200 bits that say so."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smooth_graphs import TAME, WILD, oracle_violation, random_graph

import jensen
from jensen import Box, Everywhere, Polyhedron, Status

SAMPLES = 3000


def random_domain(rng, inputs):
    kind = rng.integers(4)
    if kind == 0:
        return Everywhere()
    if kind == 1:
        A, b = rng.integers(-2, 3, (3, inputs)), rng.integers(0, 4, 3)
        return Polyhedron(A, b)
    lower = rng.normal(size=inputs)
    return Box(lower, lower + rng.exponential(size=inputs) * rng.choice([0, 1, 3], inputs))


def inside(domain, rng, inputs):
    """Return points of a domain, in doubles."""
    sides = domain.box_sides(inputs)
    if sides is not None:
        return rng.uniform(*sides, (2 * SAMPLES, inputs))
    points = rng.normal(size=(6 * SAMPLES, inputs)) * 10.0 ** rng.uniform(-2, 1, (6 * SAMPLES, 1))
    A, b = domain.inequalities(inputs)
    return points[(points @ A.T <= b).all(axis=1)]


def look(seed, functions=WILD):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, functions=functions)
    domain = random_domain(rng, graph.input_size)
    inputs = None
    if rng.random() < 0.3:
        inputs = tuple(np.flatnonzero(rng.random(graph.input_size) < 0.6).tolist()) or (0,)
    verdict = jensen.verify(graph, domain, inputs=inputs, seed=int(seed) % 1000)
    if verdict.status is Status.NONCONVEX:
        pair = verdict.counterexample
        assert domain.contains(pair.x)
        assert domain.contains(pair.y)
        fixed = set(range(graph.input_size)) - set(inputs or range(graph.input_size))
        assert all(pair.x[i] == pair.y[i] for i in fixed)
        assert oracle_violation(graph, pair.x, pair.y) > 0, seed
    if verdict.status is Status.CONVEX:
        points = inside(domain, rng, graph.input_size)
        half = len(points) // 2
        x, y = points[:half], points[half : 2 * half]
        if inputs is not None:
            y = np.where(np.isin(np.arange(graph.input_size), inputs), y, x)
        short = 10.0 ** rng.uniform(-3, 0, (half, 1))
        y = x + (y - x) * short
        fx, fy, fm = (graph(p)[:, 0] for p in (x, y, (x + y) / 2))
        with np.errstate(all="ignore"):
            excess = fm - fx / 2 - fy / 2
            noise = 1e-10 * (1 + np.maximum(np.maximum(abs(fx), abs(fy)), abs(fm)))
        for i in np.flatnonzero(excess > noise)[:3]:
            a, b = ([Fraction(float(v)) for v in p[i]] for p in (x, y))
            if inputs is not None:
                b = [b[j] if j in inputs else a[j] for j in range(len(a))]
            if domain.contains(a) and domain.contains(b):
                assert not oracle_violation(graph, a, b) > 0, seed
        assert not np.isnan(fx).all() or half == 0, seed
    return verdict.status


@settings(max_examples=300)
@given(st.integers(0, 10**9))
def test_verdicts_on_random_graphs_hold(seed):
    look(seed)


def test_all_three_verdicts_occur():
    found = Counter(look(seed, TAME) for seed in range(60))
    assert found[Status.CONVEX] >= 6
    assert found[Status.NONCONVEX] >= 12


@pytest.mark.slow
def test_verdicts_on_five_thousand_random_graphs_hold():
    found = Counter(look(seed) for seed in range(10**6, 10**6 + 5000))
    assert min(found[Status.CONVEX], found[Status.NONCONVEX]) > 500
