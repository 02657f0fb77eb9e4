"""Ascents towards a kink: models are lower bounds, and steps reach thin needles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fuzz import tiny_network
from grouped import grouped

import jensen
from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.groups.jump import JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.ascent import KinkAscent
from jensen.prover.descents.descent import WIDE, Descent
from jensen.prover.descents.dips import Dips
from jensen.prover.descents.pieces import pieces_of
from jensen_encodings.deadline import NEVER


def random_network(seed: int, widths: tuple[int, ...] = (5, 6, 6, 6, 1)) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    return ReluNetwork.from_layers(
        [rng.normal(size=(m, n)) for n, m in pairwise(widths)],
        [rng.normal(size=m) for m in widths[1:]],
    )


def hill(height: float, inputs: int = 6) -> ReluNetwork:
    """``sum |x_i| - relu(height - sum |x_i - 1/4|)``, which is convex if the height is below 0."""
    eye = np.vstack([np.eye(inputs), -np.eye(inputs)])
    rows = np.vstack([eye, eye])
    shifts = np.concatenate([np.zeros(2 * inputs), np.full(inputs, -0.25), np.full(inputs, 0.25)])
    last = np.zeros((2, 4 * inputs))
    last[0, : 2 * inputs], last[1, 2 * inputs :] = 1.0, -1.0
    return ReluNetwork.from_layers([rows, last, [[1.0, -1.0]]], [shifts, [0.0, height], [0.0]])


def ascents(network: ReluNetwork, domain: Domain) -> list[KinkAscent]:
    net, _ = grouped(network, domain)
    (piece,) = pieces_of(net.working_set)
    return [KinkAscent(net, group, piece, NEVER) for group in net.groups()]


@pytest.mark.parametrize("seed", range(12))
def test_the_model_is_a_lower_bound_and_right_at_its_point(seed):
    network = random_network(seed) if seed < 6 else tiny_network(seed, max_inputs=3)[1]
    rng = np.random.default_rng(seed)
    for ascent in ascents(network, Box(-1, 1)):
        level, unit = ascent._group
        points = rng.uniform(-1, 1, (20, ascent._dim))
        values = ascent._net.pre_activations(points)
        units_in_front = [z.max(axis=0) for z in values[:level]]
        for sign in (1.0, -1.0):
            form, rows = ascent._model([z[0] for z in values], sign)
            assert len(rows) == sum(len(z) for z in units_in_front)
            z = sign * values[level][:, unit]
            for i, point in enumerate(points):
                # the least h that the rows allow: those of a level read earlier ones only
                x = np.concatenate([[1.0], point, np.zeros(len(rows))])
                for j, row in enumerate(rows):
                    x[1 + ascent._dim + j] = max(0.0, row @ x)
                size = 1e-9 * (1.0 + np.abs(form) @ np.abs(x))
                assert form @ x <= z[i] + size
                assert i or form @ x >= z[i] - size


def test_a_thin_needle_is_reached_from_anywhere():
    network = hill(1e-6)
    net, _ = grouped(network, Box(-1, 1))
    (piece,) = pieces_of(net.working_set)
    group = next(g for g in net.groups() if g[0] == 1)
    ascent, rng = KinkAscent(net, group, piece, NEVER), np.random.default_rng(0)
    for _ in range(8):
        found = ascent.across(rng.uniform(-1, 1, 6))
        assert found is not None
        assert np.abs(found - 0.25).sum() <= 1.001e-6
        assert (piece.lower <= found).all()
        assert (found <= piece.upper).all()


def test_points_are_found_from_either_side_of_a_kink():
    for ascent in ascents(hill(0.5), Box(-1, 1)):
        level, unit = ascent._group
        for point in (np.full(6, 0.25), np.full(6, -0.9), np.full(6, 0.3)):
            if ascent._net.pre_activations(point)[level][unit] == 0:
                continue
            found = ascent.across(point)
            assert found is not None
            assert abs(ascent._net.pre_activations(found)[level][unit]) <= 1e-7


def test_nothing_is_found_where_there_is_no_kink():
    network = hill(0.01)
    # x_0 <= 1/10: the hill is at 1/4
    domain = Polyhedron(np.vstack([np.eye(6), -np.eye(6)]), [0.1] + [1.0] * 11)
    net, _ = grouped(network, domain)
    pieces = pieces_of(net.working_set)
    for group in net.groups():
        if group[0] == 1:
            ascent = KinkAscent(net, group, pieces[0], NEVER)
            assert ascent.across(np.full(6, -0.5)) is None


def test_descents_that_end_next_to_a_kink_are_remembered_where_its_jump_is_a_constant():
    net, _ = grouped(hill(1e-6), Box(-1, 1))
    pieces = pieces_of(net.working_set)
    descent = Descent(net, net.groups(), pieces, seed=0)
    descent.short = []
    list(descent.candidates(4, 40, WIDE))
    assert descent.short
    for seed in descent.short:
        assert not any(units.size for _, units in JumpProblem(net, *seed.group).supports[:-1])
    dips = Dips(net, pieces, seed=0)
    list(dips.wide(net.groups(), 4))
    found = list(dips.ascended())
    assert found
    assert all(group[0] == 1 for group, _ in found)
    assert not list(dips.ascended())


@pytest.mark.parametrize("inputs", [6, 20])
def test_a_needle_of_a_constant_jump_is_refuted_without_a_search(inputs):
    verdict = jensen.verify(hill(1e-7, inputs), Box(-1, 1), engine="joint", seed=1)
    assert verdict.status == "nonconvex"
    assert verdict.nodes <= 64
    assert jensen.verify(hill(-1e-3, inputs), Box(-1, 1), engine="joint").status == "convex"
