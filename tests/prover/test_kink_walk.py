"""Points that move along kinks: they stay in their boxes, and on their kinks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from jensen.domains.domain import Box, Everywhere
from jensen.groups.groups import GroupedNetwork
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.kink_walk import KinkWalk


def grouped(seed: int, domain: Box | Everywhere) -> GroupedNetwork:
    rng = np.random.default_rng(seed)
    sizes = (4, 6, 5, 3, 1)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    biases = [0.3 * rng.normal(size=len(W)) for W in weights]
    return prepare(ReluNetwork.from_layers(weights, biases), domain).grouped


def walk_of(net: GroupedNetwork, inertia: float = 0.0, copies: int = 6) -> KinkWalk:
    groups = np.array(net.groups() * copies, dtype=np.intp)
    boxes = joint_boxes(net)
    chosen = np.arange(len(groups)) % len(boxes)
    owners = groups[:, 0], groups[:, 1]
    return KinkWalk(net, boxes, chosen, owners, inertia, np.random.default_rng(1))


@pytest.mark.parametrize("domain", [Box(-1.0, 1.0), Everywhere()])
@pytest.mark.parametrize("inertia", [0.0, 0.7])
def test_steps_end_in_the_box_and_nearer_to_the_kink_than_random_points(domain, inertia):
    net = grouped(3, domain)
    walk = walk_of(net, inertia)
    before = np.abs(walk.own(walk.values()))
    rng = np.random.default_rng(2)
    for _ in range(8):
        z = walk.values()
        seeds = [rng.normal(size=values.shape) for values in z]
        walk.move(z, seeds, 0.05)
        boxes = joint_boxes(net)
        for point, piece in zip(walk.points, walk.chosen.tolist(), strict=True):
            assert (point >= boxes[piece].lower).all()
            assert (point <= boxes[piece].upper).all()
    after = np.abs(walk.own(walk.values()))
    assert np.median(after) < 0.05 * np.median(before)


def test_steps_along_hyperplanes_stay_on_them():
    net = grouped(5, Box(-1.0, 1.0))
    walk = walk_of(net)
    walk.to_kink(4)
    on = (np.abs(walk.own(walk.values())) < 1e-12) & (np.abs(walk.points) < 1.0).all(axis=1)
    first = np.array([level for level, _ in net.groups() * 6]) == 0
    assert (on & first).sum() > 10
    z = walk.values()
    walk.move(z, [np.ones_like(values) for values in z], 1e-3)
    inside = (np.abs(walk.points) < 1.0).all(axis=1)
    assert (np.abs(walk.own(walk.values()))[on & first & inside] < 1e-12).all()


def test_without_anything_to_go_down_points_only_go_to_their_kinks():
    net = grouped(7, Box(-1.0, 1.0))
    one, two = walk_of(net), walk_of(net)
    one.to_kink(1)
    two.move(two.values(), [None] * len(net.levels), 0.1)
    assert np.array_equal(one.points, two.points)


def test_steps_go_down_where_the_function_is_smooth():
    """The sum of a level's z, with its gradient under the network's own states."""
    net = grouped(9, Box(-1.0, 1.0))
    walk = walk_of(net, copies=20)
    walk.to_kink(6)
    z = walk.values()
    seeds: list[np.ndarray | None] = [None] * len(z)
    seeds[-1] = np.ones_like(z[-1])
    on = np.abs(walk.own(z)) < 1e-9
    walk.move(z, seeds, 1e-6)
    fell = walk.values()[-1][:, 0] <= z[-1][:, 0] + 1e-12
    assert on.sum() > 50
    assert fell[on].mean() > 0.97
