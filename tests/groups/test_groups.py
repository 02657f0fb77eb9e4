"""The grouped network is the network: the same values, one unit per hyperplane."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from grouped import grouped

import jensen.groups.groups
from jensen.arithmetic.rational import fraction, rational
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import NetworkError
from jensen.groups.groups import SOURCE, GroupedNetwork, group_network
from jensen.groups.lifted import lifted_network
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork


def unit_values(net: GroupedNetwork, y: list[Fraction]) -> list[list[Fraction]]:
    """Evaluate the levels exactly at a working point."""
    result: list[list[Fraction]] = []
    for level in net.levels:
        z = []
        for u in range(level.size):
            total = fraction(level.exact_bias[u])
            for source, slopes in level.slopes.items():
                on = [fraction(v) for v in slopes.rational_on[u]]
                if source == SOURCE:
                    total += sum((a * b for a, b in zip(on, y, strict=True)), Fraction(0))
                    continue
                off = slopes.rational_off
                for i, v in enumerate(result[source]):
                    # linear units pass their value on whatever its sign
                    if v >= 0 or not net.levels[source].kink[i]:
                        total += on[i] * v
                    elif off is not None:
                        total += fraction(off[u, i]) * v
            z.append(total)
        result.append(z)
    return result


DOMAINS = {
    "box": lambda d: Box(-1, 1),
    "flat box": lambda d: Box([-1.0] * (d - 1) + [0.5], [1.0] * (d - 1) + [0.5]),
    "thin box": lambda d: Box(0.25, 0.25 + 1e-12),
    "everywhere": lambda d: Everywhere(),
    "hyperplane": lambda d: Polyhedron(
        np.vstack([np.ones(d), -np.ones(d), np.eye(d), -np.eye(d)]), [0.5, -0.5, *[2.0] * (2 * d)]
    ),
}


@pytest.mark.parametrize("kind", DOMAINS)
@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_units_have_the_values_of_their_neurons(make, kind):
    for seed in range(30):
        network = make(seed)[1]
        domain = DOMAINS[kind](network.input_size)
        net, bounded = grouped(network, domain)
        working = net.working_set
        rng = np.random.default_rng(seed)
        for _ in range(2):
            y = [Fraction(int(v), 64) for v in rng.integers(-16, 17, working.dim)]
            point = working.matrix @ np.array([rational(v) for v in y], dtype=object)
            point = [fraction(v) for v in point + working.offset]
            if working.lifted:
                point[-1] = abs(point[-1])
                y[-1] = abs(y[-1])
                if not working.identity:
                    continue
            elif not domain.contains(point[:-1]):
                continue  # bounds, and stable neurons with them, hold on the domain only
            z = bounded.exact_pre_activations(point if working.lifted else point[:-1])
            values = unit_values(net, y)
            for k, level in enumerate(net.levels):
                for u, members in enumerate(level.units):
                    for member in members:
                        expected = z[member.block].to_fractions()[member.index]
                        assert expected == fraction(member.c) * values[k][u], (seed, member)
            assert values[-1] == [z[OUTPUT].to_fractions()[0]]


def test_every_unstable_neuron_is_in_one_group_and_twins_share_it():
    for seed in range(60):
        network = tiny_network(seed)[1]
        net, bounded = grouped(network, Box(-1, 1))
        members = [m for level in net.levels for unit in level.units for m in unit]
        names = [(m.block, m.index) for m in members]
        assert len(names) == len(set(names))
        for level in net.levels:
            for u, unit in enumerate(level.units):
                assert unit[0].c == 1
                assert level.kink[u] or len(unit) == 1
        for block in bounded.hidden:
            for i in range(block.size):
                alive = (block.name, i) in names
                assert alive or block.is_relu


def test_negated_and_scaled_rows_of_several_blocks_are_one_group():
    network = ReluNetwork(
        2,
        [
            Block("a", {INPUT: [[1.0, 2.0], [-3.0, -6.0]]}, [0.5, -1.5]),
            Block("b", {INPUT: [[0.1, 0.2], [1.0, 0.0]]}, [0.05, 0.0]),
            Block(OUTPUT, {"a": [[1.0, 1.0]], "b": [[1.0, 1.0]]}, [0.0], Activation.IDENTITY),
        ],
    )
    net, _ = grouped(network, Box(-1, 1))
    groups = [[(m.block, m.index) for m in net.levels[k].units[u]] for k, u in net.groups()]
    assert groups == [[("a", 0), ("a", 1), ("b", 0)], [("b", 1)]]


def test_a_pass_through_has_no_jump():
    """relu(z) - relu(-z) = z."""
    network = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, -1.0]]], [[0.5, -0.5], [0.0]])
    net, _ = grouped(network, Box(-1, 1))
    (slopes,) = net.levels[-1].slopes.values()
    assert slopes.off is not None
    assert slopes.on[0, 0] == slopes.off[0, 0] == 1


def test_slopes_of_twins_are_exact_where_their_doubles_are_not():
    network = ReluNetwork.from_layers(
        [[[1.0], [1.0], [3.0]], [[0.1, 0.2, 1e-30]]], [[0.5, 0.5, 1.5], [0.0]]
    )
    net, _ = grouped(network, Box(-1, 1))
    (slopes,) = net.levels[-1].slopes.values()
    exact = Fraction(0.1) + Fraction(0.2) + 3 * Fraction(1e-30)
    assert not slopes.is_exact
    assert fraction(slopes.rational_on[0, 0]) == exact
    assert slopes.on[0, 0] == float(exact)


def test_zero_rows_and_dead_neurons_are_no_groups():
    network = ReluNetwork.from_layers(
        [[[0.0], [0.0], [1.0], [1.0]], [[1.0, 1.0, 1.0, 1.0]]], [[1.0, 0.0, -5.0, 5.0], [0.0]]
    )
    net, _ = grouped(network, Box(-1, 1))
    assert net.groups() == []


def test_several_outputs_have_to_be_selected():
    network = ReluNetwork.from_layers([[[1.0]], [[1.0], [2.0]]], [[0.0], [0.0, 0.0]])
    working = Box(-1, 1).working_set(1)
    with pytest.raises(NetworkError, match="select one"):
        group_network(network, pre_activation_bounds(network, *working.box), working)


def test_a_network_too_large_to_be_held_densely_is_refused(monkeypatch):
    monkeypatch.setattr(jensen.groups.groups, "DENSE_LIMIT", 3)
    with pytest.raises(NetworkError, match="too many for the prover"):
        grouped(tiny_network(0)[1], Box(-1, 1))


def test_the_lift_is_homogeneous_and_the_network_at_t_1():
    for seed in range(30):
        network = tiny_network(seed)[1]
        lifted = lifted_network(network)
        rng = np.random.default_rng(seed)
        x = [Fraction(int(v), 8) for v in rng.integers(-9, 10, network.input_size)]
        t = Fraction(int(rng.integers(1, 9)), 4)
        assert lifted.exact([*x, Fraction(1)]) == network.exact(x)
        scaled = lifted.exact([*(t * v for v in x), t])
        assert scaled == tuple(t * v for v in network.exact(x))
