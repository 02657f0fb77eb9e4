"""Points that walk along kinks: gradients, precision, and staying on the kink and inside."""

from __future__ import annotations

import numpy as np
import pytest
from grouped import grouped
from test_descent import two_dips

from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.groups.groups import GroupedNetwork
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.prover.descents.descent import AIMED, FINE, NEAR, Descent, Schedule
from jensen.prover.descents.pieces import Piece, pieces_of
from jensen.prover.descents.walk import Walk, WalkNetwork

BOX = Box(-1, 1)
WIDE = 24  # units of the first layer


def with_skips(seed: int, inputs: int = 4) -> ReluNetwork:
    """Two hidden layers and a linear one; every layer reads all before it, with twins."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(WIDE, inputs))
    first[5], bias = -first[4], rng.normal(size=WIDE) / 4
    bias[5] = -bias[4]  # the same kink from the other side
    return ReluNetwork(
        inputs,
        [
            Block("a", {INPUT: first}, bias),
            Block("b", {"a": rng.normal(size=(2, WIDE))}, rng.normal(size=2), Activation.IDENTITY),
            Block(
                "c", {"a": rng.normal(size=(5, WIDE)), "b": rng.normal(size=(5, 2))}, np.zeros(5)
            ),
            Block(
                OUTPUT,
                {"a": rng.normal(size=(1, WIDE)), "c": rng.normal(size=(1, 5))},
                [0.0],
                Activation.IDENTITY,
            ),
        ],
    )


def walk_of(
    net: GroupedNetwork, rows: int, *, single: bool, schedule: Schedule = NEAR
) -> tuple[Walk, Descent]:
    """Rows of random points, in turn of all groups."""
    pieces = pieces_of(net.working_set)
    descent = Descent(net, net.groups(), pieces, seed=0)
    which = np.sort(np.arange(rows) % len(net.groups()))
    which = which[np.lexsort((descent._levels[which], ~descent._varies[which]))]
    sides = pieces[0].upper - pieces[0].lower
    points = pieces[0].lower + np.random.default_rng(1).random((rows, len(sides))) * sides
    network = WalkNetwork(net, pieces, single=single)
    chosen = np.zeros(rows, dtype=np.intp)
    return descent._walk(network, which, chosen, points, schedule), descent


def smooth_jumps(walk: Walk, points: np.ndarray, tau: float) -> np.ndarray:
    """The jump under sigmoids, from its definition."""
    walk.points = points
    walk.look()
    states = [
        np.where(layer.linear, 1.0, 1.0 / (1.0 + np.exp(-z / (scale * tau))))
        if layer.linear is not None
        else 1.0 / (1.0 + np.exp(-z / (scale * tau)))
        for layer, z, scale in zip(walk._net.layers, walk._z, walk._scales, strict=False)
    ]
    last = walk._carried(states, slice(None))[-1]
    assert last is not None
    return last[:, 0]


@pytest.mark.parametrize("seed", range(4))
def test_the_way_down_is_the_gradient_of_the_smoothed_jump(seed):
    walk, _ = walk_of(grouped(with_skips(seed), BOX)[0], 40, single=False)
    walk.look()
    walk.measure()
    points, tau, step = walk.points.copy(), 0.7, 1e-6
    gradient = walk._descent(tau)
    for i in range(points.shape[1]):
        move = step * np.eye(points.shape[1])[i]
        change = smooth_jumps(walk, points + move, tau) - smooth_jumps(walk, points - move, tau)
        found = change[: len(gradient)] / (2 * step)
        assert np.allclose(found, gradient[:, i], rtol=1e-4, atol=1e-4 * np.abs(gradient).max())
        assert np.allclose(change[len(gradient) :], 0.0)  # constants come last


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(
    "domain",
    [BOX, Polyhedron([*np.eye(4), *-np.eye(4), [1, 1, 1, 1], [-1, 2, 0, 1]], [1.0] * 8 + [0.5, 1])],
    ids=["box", "rows"],
)
@pytest.mark.parametrize("schedule", [FINE, AIMED])
def test_steps_stay_inside_and_end_on_the_kinks(single: bool, domain: Domain, schedule: Schedule):
    net, _ = grouped(with_skips(5), domain)
    walk, _ = walk_of(net, 60, single=single, schedule=schedule)
    walk.look()
    walk.measure()
    for i in range(10):
        walk.step(0.8**i, 0.1 * 0.9**i)
    piece = pieces_of(net.working_set)[0]
    assert (walk.points >= piece.lower).all()
    assert (walk.points <= piece.upper).all()
    # rows are projected on one after the other: all hold at most points
    assert (walk.points @ piece.rows.T <= piece.limits + 1e-3).all(axis=1).mean() > 0.8
    for _ in range(3):
        walk.to_kink()
    walk.look()
    assert walk.near().mean() > 0.8


def test_z_of_all_units_are_those_of_the_network():
    net, _ = grouped(with_skips(7), BOX)
    walk, _ = walk_of(net, 30, single=False)
    walk.look()
    for mine, z in zip(walk._z, net.pre_activations(walk.points), strict=False):
        assert np.allclose(mine, z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("scale", "domain", "dtype"),
    [
        (1.0, BOX, np.float32),
        (1e200, BOX, np.float64),
        (1e-200, BOX, np.float64),
        (1.0, Box([-1, -1, -1, 0.5], [1, 1, 1, 0.5]), np.float32),
    ],
    ids=["plain", "huge weights", "tiny weights", "flat"],
)
def test_single_precision_is_for_scales_that_it_holds(scale, domain, dtype):
    network = with_skips(3)
    blocks = [
        Block(b.name, {k: scale * w for k, w in b.weights.items()}, scale * b.bias, b.activation)
        if b.name == "a"
        else b
        for b in network.blocks
    ]
    net, _ = grouped(ReluNetwork(4, blocks), domain)
    assert WalkNetwork(net, pieces_of(net.working_set)).dtype is dtype


def test_boxes_far_from_the_origin_need_doubles():
    net, _ = grouped(with_skips(3), BOX)
    far = Piece(np.full(4, 1e6), np.full(4, 1e6 + 1), np.empty((0, 4)), np.empty(0))
    assert WalkNetwork(net, [far]).dtype is np.float64


def test_small_networks_are_walked_in_doubles():
    net, _ = grouped(two_dips(0.5, 0.02), BOX)
    assert WalkNetwork(net, pieces_of(net.working_set)).dtype is np.float64
