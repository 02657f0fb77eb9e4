"""Closed trees are proofs: every leaf is looked at again by brute force."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz import tiny_network, varied_network
from grouped import completions, free_pattern, grouped, true_jump, walk
from test_margin import interior

from jensen.domains.domain import Box
from jensen.groups.jump import FREE, OFF, ON
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.nodes import Rule
from jensen.prover.trees.tree import SearchState, Tree, TreeLimits
from jensen_encodings.lp import LpSolver

NEVER = TreeLimits(lambda: False)
BOX = Box(-1, 1)


def trees(make, count, limits=NEVER):
    for seed in range(count):
        net, bounded = grouped(make(seed)[1], BOX)
        if len(net.groups()) <= 8:
            for group in net.groups():
                yield seed, bounded, Tree(net, group, bounded, LpSolver(), limits)


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_every_leaf_of_a_closed_tree_is_closed_rightly(make):
    rules = dict.fromkeys(Rule, 0)
    for seed, bounded, tree in trees(make, 90):
        result = tree.run()
        if result.state is SearchState.BENT:
            before, after = result.crossing.before, result.crossing.after
            middle = [(a + b) / 2 for a, b in zip(before, after, strict=True)]
            (fx,), (fy,), (fm,) = (bounded.exact(p) for p in (before, after, middle))
            assert fm - (fx + fy) / 2 == result.crossing.violation > 0
            assert BOX.contains(before)
            assert BOX.contains(after)
            continue
        assert result.state is SearchState.CLOSED, seed
        assert result.nodes == sum(1 for _ in walk(result.root))
        for node in walk(result.root):
            if node.children:
                check_branching(node)
                continue
            rules[node.rule] += 1
            for full in list(completions(tree.net, tree.group, node.activations))[:6]:
                if node.rule is Rule.SIGN:
                    assert true_jump(tree.net, bounded, tree.group, full) >= 0, (seed, tree.group)
                elif node.rule is Rule.EMPTY:
                    sides = BOX.bounds(bounded.input_size)
                    assert interior(tree.net, bounded, tree.group, full, sides) is None, seed
    assert rules[Rule.SIGN] > 50
    assert rules[Rule.EMPTY] > 5


def check_branching(node):
    assert node.rule is None
    level, unit = node.unit
    assert node.activations[level][unit] == FREE
    assert {int(child.activations[level][unit]) for child in node.children} == {ON, OFF}
    for child in node.children:
        for k, (mine, other) in enumerate(zip(node.activations, child.activations, strict=True)):
            changed = np.flatnonzero(mine != other).tolist()
            assert changed == ([unit] if k == level else [])


def test_a_paused_search_goes_on_where_it_stopped():
    compared = 0
    for (seed, _, whole), (_, _, parts) in zip(
        trees(varied_network, 60), trees(varied_network, 60), strict=True
    ):
        expected = whole.run()
        result = parts.run(1)
        while result.state is SearchState.PAUSED:
            compared += 1
            result = parts.run(1)
        assert result.state is expected.state, seed
        assert result.nodes == expected.nodes
    assert compared > 20


def tournament() -> ReluNetwork:
    """max of 4 affine functions, b as relu(b) - relu(-b): needs branching."""
    rng = np.random.default_rng(0)
    players = rng.integers(-8, 9, (4, 2)).astype(float)
    first = np.vstack([row for a, b in (players[:2], players[2:]) for row in (a - b, b, -b)])
    merge = np.array([[1.0, 1, -1, 0, 0, 0], [0, 0, 0, 1, 1, -1]])
    second = np.vstack([merge[0] - merge[1], merge[1], -merge[1]])
    return ReluNetwork.from_layers(
        [first, second, [[1.0, 1.0, -1.0]]], [np.arange(6) / 8, np.zeros(3), [0.0]]
    )


def test_limits_stop_a_search_that_is_not_over():
    net, bounded = grouped(tournament(), BOX)
    sizes = []
    for group in net.groups():
        result = Tree(net, group, bounded, LpSolver(), NEVER).run()
        assert result.state in {SearchState.CLOSED, SearchState.BENT}
        sizes.append((result.nodes, group))
    nodes, group = max(sizes)
    assert nodes > 1
    by_nodes = Tree(net, group, bounded, LpSolver(), TreeLimits(lambda: False, nodes - 1)).run()
    assert by_nodes.state is SearchState.STOPPED
    assert by_nodes.nodes == nodes - 1
    by_time = Tree(net, group, bounded, LpSolver(), TreeLimits(lambda: True)).run()
    assert by_time.state is SearchState.STOPPED
    assert by_time.nodes == 0


@pytest.mark.parametrize(
    ("least", "closed"), [(0, False), (Fraction(1, 2), False), (1, True), (2, True)]
)
def test_jumps_down_to_the_accepted_one_close_by_sign(least, closed):
    """f = -relu(x): the jump is -1."""
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    net, bounded = grouped(network, BOX)
    (group,) = net.groups()
    result = Tree(net, group, bounded, LpSolver(), NEVER, Fraction(least)).run()
    assert (result.state is SearchState.CLOSED) == closed


@pytest.mark.parametrize(("tolerance", "bent"), [(0, True), (Fraction(99, 100), True), (1, False)])
def test_a_facet_is_compared_with_the_tolerance(tolerance, bent):
    network = ReluNetwork.from_layers([[[1.0]], [[-1.0]]], [[0.0], [0.0]])
    net, bounded = grouped(network, BOX)
    limits = TreeLimits(lambda: False, tolerance=Fraction(tolerance))
    result = Tree(net, net.groups()[0], bounded, LpSolver(), limits).run()
    assert (result.state is SearchState.BENT) == bent
    assert result.root.rule is (None if bent else Rule.SMOOTH)


def test_an_untouched_pattern_frees_all_units():
    net, _ = grouped(tournament(), BOX)
    assert all(
        (act == np.where(level.kink, FREE, ON)).all()
        for act, level in zip(free_pattern(net), net.levels, strict=True)
    )
