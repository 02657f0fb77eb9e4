"""Which groups share a hyperplane, and how steep they are, against all completions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from grouped import completions, free_pattern, grouped, neuron_forms, random_partial

from jensen.domains.domain import Box, Everywhere
from jensen.groups.coincidence import coinciding_pairs, may_coincide
from jensen.groups.general_position import never_parallel
from jensen.groups.gradients import GradientBounds
from jensen.network.relu_network import Activation, Block, ReluNetwork


def cases(make, count):
    for seed in range(count):
        domain = (Box(-1, 1), Everywhere())[seed % 2]
        net, bounded = grouped(make(seed)[1], domain)
        if len(net.groups()) > 6:
            continue
        rng = np.random.default_rng(seed)
        for group in net.groups():
            for share in (0.0, 0.5):
                pattern = random_partial(net, group, rng, share=share)
                yield seed, net, bounded, group, pattern


def parallel(one, two):
    """Whether the first form is a multiple of the second."""
    k = next((i for i, v in enumerate(two) if i and v), None)
    assert k is not None  # a constant form has no hyperplane to share
    return all(a * two[k] == b * one[k] for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_groups_left_out_coincide_under_no_completion(make):
    left_out = kept = 0
    for seed, net, bounded, group, pattern in cases(make, 70):
        others = [g for g in net.groups() if g != group]
        candidates = may_coincide(net, group, pattern, others)
        gone = set(others) - set(candidates)
        left_out, kept = left_out + len(gone), kept + len(candidates)
        for full in completions(net, group, pattern):
            forms = neuron_forms(net, bounded, group, full)
            for other in gone if any(forms[group][1:]) else ():
                assert not parallel(forms[other], forms[group]), (seed, group, other)
    assert left_out > 100
    assert kept > 50


def test_under_a_full_pattern_the_answer_is_exact():
    for seed, net, bounded, group, _ in cases(tiny_network, 60):
        others = [g for g in net.groups() if g != group]
        for full in list(completions(net, group, free_pattern(net)))[:4]:
            forms = neuron_forms(net, bounded, group, full)
            if not any(forms[group][1:]):
                continue
            kept = may_coincide(net, group, full, others)
            assert set(kept) == {o for o in others if parallel(forms[o], forms[group])}, seed


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_gradients_are_bounded_under_every_completion(make):
    checked = 0
    for seed, net, bounded, group, pattern in cases(make, 80):
        moving = np.ones(bounded.input_size, dtype=bool)
        bounds = GradientBounds(net, bounded, moving)
        bound = bounds.norm(group, pattern)
        for full in list(completions(net, group, pattern))[:16]:
            form = neuron_forms(net, bounded, group, full)[group][1:]
            assert sum((v * v for v in form), Fraction(0)) <= Fraction(bound) ** 2, (seed, group)
            tight = bounds.norm(group, full)
            exact = float(sum((v * v for v in form), Fraction(0))) ** 0.5
            assert tight == pytest.approx(exact, rel=1e-9, abs=1e-12 + 1e-9 * bound)
            checked += 1
    assert checked > 200


def test_what_underflows_in_front_is_not_taken_for_a_difference():
    # both last neurons compute relu(x + 2^-600 (x + y) + 1), one by way of 2^-1200
    faint, one = 2.0**-600, np.ones((1, 1))
    ahead, aside = np.array([[1.0, 0.0]]), np.array([[faint, faint]])
    network = ReluNetwork(
        2,
        [
            Block("near", {"input": aside}, np.ones(1)),
            Block("far", {"near": faint * one}, np.zeros(1)),
            Block("plain", {"near": one, "input": ahead}, np.zeros(1)),
            Block("around", {"far": one / faint, "input": ahead}, np.zeros(1)),
            Block("output", {"plain": one, "around": one}, np.zeros(1), Activation.IDENTITY),
        ],
    )
    net, _ = grouped(network, Box(-2, 2))
    groups = net.groups()
    assert len(groups) == 2
    free = free_pattern(net)
    assert not never_parallel(net, free, [], [(groups[0], groups[1])]).any()
    assert coinciding_pairs(net, free, groups)[groups[0]] == [groups[1]]


def test_gradients_whose_terms_cancel_are_bounded_all_the_same():
    # 0.1 + 0.2 - 0.3: doubles have a sum that is not the real one, and of another size
    for seed in range(40):
        rng = np.random.default_rng(seed)
        slopes = rng.uniform(0.1, 1.0, (6, 2))
        weights = rng.uniform(0.1, 1.0, 6)
        weights[-1] = -float(weights[:-1] @ slopes[:-1, 0]) / slopes[-1, 0]
        layers = [slopes, weights[None], [[-1.0]]]
        network = ReluNetwork.from_layers(layers, [np.full(6, 9.0), [-9 * weights.sum()], [0.0]])
        net, bounded = grouped(network, Box(-1, 1))
        (group,) = net.groups()
        norm = GradientBounds(net, bounded, np.array([True, False])).norm(group, free_pattern(net))
        terms = zip(weights.tolist(), slopes[:, 0].tolist(), strict=True)
        exact = sum((Fraction(w) * Fraction(s) for w, s in terms), Fraction(0))
        assert 0 < abs(exact) <= Fraction(norm)
