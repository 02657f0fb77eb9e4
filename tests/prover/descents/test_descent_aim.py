"""Descents that aim: the states they make for would make the jump negative, and no cheaper ones."""

from __future__ import annotations

import numpy as np
import pytest
from grouped import grouped
from test_descent import two_dips
from test_descent_walk import BOX, walk_of, with_skips

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.aim import AimedWalk
from jensen.prover.descents.descent import AIMED, NEAR, Descent, Seed
from jensen.prover.descents.pieces import pieces_of

MARGIN = 0.01


def aimed(net: GroupedNetwork, rows: int) -> AimedWalk:
    """Rows of random points, none on its kink: there its own unit has two slopes."""
    walk, _ = walk_of(net, rows, single=False, schedule=AIMED)
    assert isinstance(walk, AimedWalk)
    walk.look()
    walk.measure()
    return walk


def two_levels(seed: int) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(6, 3)), rng.normal(size=(8, 6))
    # about as many jumps are negative as not
    last = rng.uniform(0.2, 1.0, size=(1, 8)) * np.where(rng.random(8) < 0.8, 1.0, -1.0)
    biases = [rng.normal(size=6) / 4, rng.normal(size=8) / 2, [0.0]]
    return ReluNetwork.from_layers([first, second, last], biases)


@pytest.mark.parametrize("seed", range(6))
def test_the_states_wanted_make_the_jump_negative_and_the_dearest_of_them_is_needed(seed):
    """Behind the first of two levels J is the sum of the weights of the units that are on."""
    walk = aimed(grouped(two_levels(seed), BOX)[0], 60)
    wanted = walk._wanted(MARGIN)[1]
    assert wanted is not None
    looked, moving = 0, walk._moving
    jumps, slopes = walk._jump_slopes([on[:moving] for on in walk._on], slice(0, moving))
    assert slopes[1] is not None
    linear = walk._net.layers[1].linear
    fixed = np.zeros(slopes[1].shape[1], dtype=bool) if linear is None else linear
    for row, (jump, weights) in enumerate(zip(jumps, slopes[1], strict=True)):
        z = walk._z[1][row] / walk._scales[1]
        on = z > 0
        assert jump == pytest.approx(weights @ on)
        pulls = (on == (weights < 0)) | fixed
        asked = wanted[row] != 0
        change = asked & ~pulls
        assert (np.sign(wanted[row])[asked] == np.sign(weights)[asked]).all()
        if jump < 0:
            assert not change.any()
        elif np.where(fixed, weights * on, np.minimum(weights, 0)).sum() < 0:
            looked += 1
            states = on ^ change
            assert weights @ states < 0
            cost = (np.abs(z) + MARGIN) / np.abs(weights) * walk._tastes(len(z))[row]
            dearest = np.argmax(np.where(change, cost, -np.inf))
            assert cost[~change & ~pulls].min(initial=np.inf) >= cost[dearest]
            states[dearest] = on[dearest]
            assert weights @ states >= -1e-12
    assert looked


@pytest.mark.parametrize("seed", range(3))
def test_the_way_is_the_gradient_of_what_is_missed(seed):
    walk = aimed(grouped(with_skips(seed), BOX)[0], 40)
    points, step = walk.points.copy(), 1e-7
    wanted = walk._wanted(MARGIN)
    missed, gradient = walk._violations(wanted, MARGIN)
    assert (missed >= 0).all()
    assert missed.max() > 0
    for i in range(points.shape[1]):
        move = step * np.eye(points.shape[1])[i]
        ends = []
        for way in (move, -move):
            walk.points = points + way
            walk.look()
            ends.append(walk._violations(wanted, MARGIN)[0])
        change = (ends[0] - ends[1]) / (2 * step)
        # a state that changes in between has another slope on either side
        smooth = np.isclose(change, gradient[:, i], rtol=1e-4, atol=1e-4 * np.abs(gradient).max())
        assert smooth.mean() > 0.9


def test_half_of_the_rows_find_units_dearer_by_factors_of_their_own():
    tastes = aimed(grouped(two_levels(0), BOX)[0], 60)._tastes(8)
    assert (tastes[::2] == 1.0).all()
    assert len(np.unique(tastes[1::2])) == tastes[1::2].size


def test_a_needle_is_found_from_anywhere_if_states_point_to_it():
    net, _ = grouped(two_dips(wide=-1.0, narrow=0.002), BOX)
    descent = Descent(net, [(0, 0)], pieces_of(net.working_set), seed=0)
    rng = np.random.default_rng(0)
    seeds = [Seed((0, 0), 0, rng.uniform(-1, 1, size=4)) for _ in range(32)]
    found = [float(point[1]) for _, point in descent.around(seeds, 32, AIMED)]
    assert found
    assert all(abs(x - 0.6) <= 0.002 for x in found)


@pytest.mark.parametrize("seed", range(4))
def test_patterns_that_were_missed_have_negative_jumps_where_states_can_do_that(seed):
    net, _ = grouped(two_levels(seed), BOX)
    descent = Descent(net, net.groups(), pieces_of(net.working_set), seed=0)
    descent.misses = []
    seeds = [Seed(group, 0, np.zeros(3)) for group in net.groups() for _ in range(4)]
    assert all(group in net.groups() for group, _ in descent.around(seeds, 8, AIMED))
    assert descent.misses
    for miss in descent.misses:
        level, unit = miss.group
        assert miss.missed >= 0
        assert miss.pattern[level][unit] == FREE
        assert sum((part == FREE).sum() for part in miss.pattern) == 1
        jump = JumpProblem(net, *miss.group)
        free = tuple(np.where(here.kink, FREE, ON).astype(np.int8) for here in net.levels)
        least, value = jump.bound(free).output[0], jump.bound(miss.pattern).output[0]
        assert value < 0 or value == pytest.approx(least)


def test_smooth_descents_tell_of_no_misses():
    net, _ = grouped(two_levels(0), BOX)
    descent = Descent(net, net.groups(), pieces_of(net.working_set), seed=0)
    descent.misses = []
    list(descent.around([Seed(net.groups()[0], 0, np.zeros(3))], 8, NEAR))
    assert not descent.misses
