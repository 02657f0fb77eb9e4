"""Descents along kinks: what they yield lies on its kink, inside, and J is negative there."""

from __future__ import annotations

import numpy as np
import pytest
from fuzz import tiny_network
from grouped import grouped

from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.groups.jump import OFF, ON, JumpProblem
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.prover.descents.descent import AIMED, FINE, WIDE, Descent, Schedule
from jensen.prover.descents.pieces import pieces_of

STEPS = 40


def two_dips(wide: float, narrow: float, inputs: int = 4) -> ReluNetwork:
    """The jump across x_0 = 0 is 1, but 1/2 where x_1 is near -0.3 and -1/2 where it is near 0.6.

    The units of the dips are ``relu(size - |x_1 - centre| - relu(x_0))``.
    """
    rows = np.zeros((5, inputs))
    rows[0, 0] = 1.0
    rows[1:, 1] = [1.0, -1.0, 1.0, -1.0]
    near = [[-1.0, -1.0, -1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, -1.0, -1.0]]
    return ReluNetwork(
        inputs,
        [
            Block("relu_1", {INPUT: rows}, [0.0, 0.3, -0.3, -0.6, 0.6]),
            Block("relu_2", {"relu_1": near}, [wide, narrow]),
            Block(
                OUTPUT,
                {"relu_1": [[1.0, 0.0, 0.0, 0.0, 0.0]], "relu_2": [[0.5, 1.5]]},
                [0.0],
                Activation.IDENTITY,
            ),
        ],
    )


def descents(network: ReluNetwork, domain: Domain, starts: int, schedule: Schedule):
    net, _ = grouped(network, domain)
    pieces = pieces_of(net.working_set)
    for group, point in Descent(net, net.groups(), pieces, seed=0).candidates(
        starts, STEPS, schedule
    ):
        yield net, group, point


@pytest.mark.parametrize("schedule", [WIDE, FINE, AIMED])
@pytest.mark.parametrize(
    "domain", [Box(-1, 1), Polyhedron([[1.0], [-1.0]], [0.75, 0.5])], ids=["box", "polyhedron"]
)
def test_what_is_yielded_is_on_its_kink_where_the_jump_is_negative(schedule, domain):
    yielded = 0
    for seed in range(60):
        network = tiny_network(seed, max_inputs=1 if isinstance(domain, Polyhedron) else 3)[1]
        for net, group, point in descents(network, domain, 4, schedule):
            yielded += 1
            z = net.pre_activations(point)
            pattern = [
                np.where(level.kink, np.where(v > 0, ON, OFF), ON).astype(np.int8)
                for level, v in zip(net.levels, z, strict=True)
            ]
            size = max(1.0, *(np.abs(v).max(initial=0.0) for v in z))
            assert abs(z[group[0]][group[1]]) <= 1e-6 * size
            assert JumpProblem(net, *group).bound(pattern).output[0] < 0
    assert yielded > 10


def test_fine_descents_find_the_narrow_dip_beside_a_wide_one():
    network = two_dips(wide=0.5, narrow=0.02)
    kink = [point for _, group, point in descents(network, Box(-1, 1), 64, FINE) if group == (0, 0)]
    assert kink
    assert abs(kink[0][1] - 0.6) <= 0.02


def test_wide_descents_find_a_dip_from_afar():
    network = two_dips(wide=-1.0, narrow=0.02)
    assert any(group == (0, 0) for _, group, _ in descents(network, Box(-1, 1), 16, WIDE))


def test_points_met_on_the_way_come_first_and_the_ends_are_the_same():
    net, _ = grouped(two_dips(0.05, 0.4), Box(-1, 1))
    pieces = pieces_of(net.working_set)

    def found(looks: tuple[int, ...]) -> list[tuple]:
        descent = Descent(net, net.groups(), pieces, seed=0, looks=looks)
        return [(group, *point) for group, point in descent.candidates(8, STEPS)]

    ends, met = found(()), found((5, 20))
    assert [end[0] for end in ends] == [end[0] for end in met[-len(ends) :]]
    assert np.allclose([end[1:] for end in ends], [end[1:] for end in met[-len(ends) :]])
    assert len(met) > len(ends) > 0
    jump = JumpProblem(net, *met[0][0])
    states = [
        np.where(z > 0, ON, OFF).astype(np.int8) for z in net.pre_activations(np.array(met[0][1:]))
    ]
    assert jump.bound(tuple(states)).output[0] < 0
