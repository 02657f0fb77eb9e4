"""Bounds of gradient jumps against all completions of a pattern, neuron by neuron."""

from __future__ import annotations

from fractions import Fraction

import flint
import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from grouped import completions, free_pattern, grouped, random_partial, true_jump

from jensen.arithmetic.rational import fraction
from jensen.domains.domain import Box, Everywhere
from jensen.groups.jump import FREE, OFF, ON, JumpProblem
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

DOMAINS = [Box(-1, 1), Everywhere()]


def cases(make, count):
    for seed in range(count):
        network = make(seed)[1]
        net, bounded = grouped(network, DOMAINS[seed % 2])
        rng = np.random.default_rng(seed)
        for group in net.groups():
            yield seed, net, bounded, group, rng


@pytest.mark.parametrize("small", [0, 4096])
@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_bounds_enclose_the_jump_under_every_completion(make, small, monkeypatch):
    """Whether what a level reads is added part by part or side by side."""
    monkeypatch.setattr("jensen.groups.jump.SMALL", small)
    for seed, net, bounded, group, rng in cases(make, 80):
        jump = JumpProblem(net, *group)
        pattern = random_partial(net, group, rng)
        low, high = jump.bound(pattern).output
        exact_low, exact_high = map(fraction, jump.exact_bound(pattern))
        values = [true_jump(net, bounded, group, full) for full in completions(net, group, pattern)]
        assert exact_low <= min(values), (seed, group)
        assert exact_high >= max(values), (seed, group)
        assert Fraction(low) <= exact_low, (seed, group)
        assert Fraction(high) >= exact_high, (seed, group)


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_under_a_full_pattern_the_exact_bound_is_the_jump(make):
    for seed, net, bounded, group, rng in cases(make, 80):
        pattern = random_partial(net, group, rng, share=1.0)
        low, high = JumpProblem(net, *group).exact_bound(pattern)
        assert low == high, (seed, group)
        assert fraction(low) == true_jump(net, bounded, group, pattern), (seed, group)


def test_a_branching_recomputes_what_it_changes():
    for seed, net, _, group, rng in cases(tiny_network, 60):
        jump = JumpProblem(net, *group)
        pattern = random_partial(net, group, rng, share=0.4)
        state = jump.bound(pattern)
        for k, u in net.groups():
            if (k, u) == group or pattern[k][u] != FREE:
                continue
            child = tuple(act.copy() for act in pattern)
            child[k][u] = rng.choice([OFF, ON])
            step, fresh = jump.bound(child, state, k), jump.bound(child)
            for a, b in zip((*step.lower, *step.upper), (*fresh.lower, *fresh.upper), strict=True):
                assert (a == b).all(), (seed, group, k, u)


def test_the_sign_is_decided_as_by_the_exact_bound():
    for seed, net, _, group, rng in cases(tiny_network, 80):
        jump = JumpProblem(net, *group)
        pattern = random_partial(net, group, rng)
        low = jump.exact_bound(pattern)[0]
        state = jump.bound(pattern)
        for least in (flint.fmpq(0), flint.fmpq(-1, 3), low if low <= 0 else -low):
            proved = jump.is_nonnegative(state, pattern, least)
            assert not proved or low >= least, (seed, group)
            # where the exact bound is the least number itself, doubles alone cannot say so
            if least == low:
                assert proved, (seed, group)


def chain(*weights: float) -> ReluNetwork:
    """h = relu(x), then one neuron per weight in a row, all of them unstable."""
    blocks = [Block("first", {INPUT: [[1.0]]}, [0.0])]
    for index, weight in enumerate(weights[:-1]):
        source = blocks[-1].name
        row = {source: [[weight]], INPUT: [[-0.5]]}
        blocks.append(Block(f"b{index}", row, [0.25]))
    last = {blocks[-1].name: [[weights[-1]]]}
    return ReluNetwork(1, [*blocks, Block(OUTPUT, last, [0.0], Activation.IDENTITY)])


@pytest.mark.parametrize(
    ("weights", "sign"),
    [
        ((1e-200, 1e-200), 1),  # the product is below the doubles
        ((1e-200, -1e-200), -1),
        ((5e-324, 0.5), 1),
        ((-5e-324, 0.5), -1),
        ((1e200, 1e200), 1),  # above the doubles
        ((1e200, -1e200), -1),
        ((1e300, 1e300, -1e-300, 1e-300), -1),
        ((-1e300, 1e300, -1e-300, 1e-300), 1),
    ],
)
def test_a_product_outside_the_doubles_keeps_its_sign(weights, sign):
    net, bounded = grouped(chain(*weights), Box(-1, 1))
    group = next(g for g in net.groups() if net.levels[g[0]].units[g[1]][0].block == "first")
    pattern = tuple(np.where(act == FREE, ON, act) for act in free_pattern(net))
    pattern[group[0]][group[1]] = FREE
    value = true_jump(net, bounded, group, pattern)
    assert (value > 0) - (value < 0) == sign
    with np.errstate(over="ignore", invalid="ignore"):
        jump = JumpProblem(net, *group)
        state = jump.bound(pattern)
        assert jump.is_nonnegative(state, pattern, flint.fmpq(0)) == (sign > 0)


@pytest.mark.parametrize("last", [0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0)])
def test_sums_that_cancel_up_to_the_last_bit_are_decided_exactly(last):
    network = ReluNetwork.from_layers(
        [[[1.0]], [[1.0], [2.0], [3.0]], [[0.1, 0.1, -last]]], [[0.0], [1, 1, 1], [0.0]]
    )
    net, bounded = grouped(network, Box(-1, 1))
    (group,) = net.groups()
    jump, pattern = JumpProblem(net, *group), free_pattern(net)
    value = true_jump(net, bounded, group, pattern)
    assert abs(value) < 1e-16
    assert jump.is_nonnegative(jump.bound(pattern), pattern, flint.fmpq(0)) == (value >= 0)


def test_a_group_that_nothing_reads_has_no_jump():
    network = ReluNetwork(
        1,
        [
            Block("a", {INPUT: [[1.0], [1.0]]}, [0.0, 0.5]),
            Block(OUTPUT, {"a": [[0.0, 1.0]]}, [0.0], Activation.IDENTITY),
        ],
    )
    net, _ = grouped(network, Box(-1, 1))
    jump = JumpProblem(net, 0, 0)
    state = jump.bound(free_pattern(net))
    assert state.output == (0.0, 0.0)
    assert jump.exact_bound(free_pattern(net)) == (0, 0)
    assert jump.is_nonnegative(state, free_pattern(net), flint.fmpq(0))
