"""Nodes of the joint search: what follows from J alone, and how the tree is branched on."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from jensen.domains.domain import Box
from jensen.groups.jump import FREE, OFF, ON
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.branching import FRACTION
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.program import JointProgram
from jensen.prover.joint.root import decided, with_path
from jensen.prover.joint.search import JointSearch, piece_bounds
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import SearchState, TreeLimits
from jensen_encodings.deadline import NEVER
from jensen_encodings.lp import LpSolver


def network(seed: int, last: int = 8) -> ReluNetwork:
    """A network whose kinks bend up for the most part, with weights of both signs."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(8, 3)), rng.normal(size=8) * 0.5
    second = np.abs(rng.normal(size=(last, 8))), rng.normal(size=last) - 1.0
    second[0][rng.random(second[0].shape) < 0.3] *= -0.3
    output = np.abs(rng.normal(size=(1, last)))
    return ReluNetwork.from_layers([first[0], second[0], output], [first[1], second[1], [0.0]])


def searches(net: ReluNetwork, *, keep: bool = False) -> list[JointSearch]:
    prepared = prepare(net, Box(-1, 1))
    grouped = prepared.grouped
    pieces = [piece_bounds(grouped, box, ranges_of(grouped)) for box in joint_boxes(grouped)]
    limits = TreeLimits(lambda: False)
    found = [
        JointSearch(grouped, group, net, pieces, LpSolver(), limits, 0, NEVER, keep=keep)
        for group in grouped.groups()
    ]
    return [search for search in found if not search.closed]


def program(
    search: JointSearch, *, both: bool = False
) -> tuple[JointProgram, tuple[np.ndarray, ...]]:
    root = search._roots[0]
    state = search.jump.bound(root.activations)
    parts = search.jump, state, root.activations, root.ranges, search.pieces[0].piece
    return JointProgram(search.net, search.group, *parts, jump_may_change=both), root.activations


@pytest.mark.parametrize("seed", range(8))
def test_implied_states_are_those_of_all_patterns_with_a_lower_jump(seed):
    """Brute force over the states: J is an interval sum, so that its corners tell all."""
    for search in searches(network(seed)):
        if search.group[0]:
            continue
        joint, activations = program(search)
        free = list(joint.states)
        sizes = np.linspace(0.1, 1.2, 5) * search.jump.magnitude
        for floor in (*-sizes, search.floor, *sizes):
            below = []
            for states in product((OFF, ON), repeat=len(free)):
                pattern = [act.copy() for act in activations]
                for (k, u), act in zip(free, states, strict=True):
                    pattern[k][u] = act
                if search.jump.bound(tuple(pattern)).output[0] < floor - 1e-9:
                    below.append(states)
            implied = joint.implied(floor)
            if implied is None:
                assert not below
                continue
            for unit, on in implied:
                at = free.index(unit)
                assert all(states[at] == (ON if on else OFF) for states in below)
            wanted = [
                unit for i, unit in enumerate(free)
                if len({states[i] for states in below}) == 1 and len(below) > 0
            ]  # fmt: skip
            tight = joint.implied(floor - 2e-9) or []
            assert {unit for unit, _ in tight} >= set(wanted) or not below


@pytest.mark.parametrize("seed", range(12))
def test_leaves_cover_every_pattern(seed):
    """Paths of leaves, closed by what follows from J among them, make up a whole tree."""
    for search in searches(network(seed), keep=True):
        result = search.run(10_000)
        if result.state is not SearchState.CLOSED or not search.proof.leaves:
            continue
        leaves = [dict(leaf.path) for leaf in search.proof.leaves]
        leaves += [dict(path) for _, path, _ in search.proof.trees]
        assert sum(0.5 ** len(leaf) for leaf in leaves) == 1.0
        for i, one in enumerate(leaves):
            for other in leaves[:i]:
                assert any(other.get(unit, on) is not on for unit, on in one.items())


@pytest.mark.parametrize("stale", [0, 1, 5])
def test_stale_solutions_change_no_answer(stale, monkeypatch):
    monkeypatch.setattr(JointSearch, "stale", stale)
    states = []
    for seed in range(12):
        states += [search.run(10_000).state for search in searches(network(seed))]
    monkeypatch.setattr(JointSearch, "stale", 2)
    others = []
    for seed in range(12):
        others += [search.run(10_000).state for search in searches(network(seed))]
    # a pause leaves the group to a tree
    pairs = [pair for pair in zip(states, others, strict=True) if SearchState.PAUSED not in pair]
    assert all(one is other for one, other in pairs)
    assert {SearchState.CLOSED, SearchState.BENT} <= {one for one, _ in pairs}


def test_the_side_that_the_solution_has_comes_first():
    taken = 0
    for seed in range(12):
        for search in searches(network(seed)):
            joint, _ = program(search)
            search.run(1)
            if search._current is None or len(search._current.open) != 2:
                continue
            waits, first = search._current.open
            (unit, on), x = first.path[-1], first.x
            if x is None:  # a value was branched on
                continue
            form = joint.forms.forms[unit[0]][unit[1]]
            assert on is bool(form[0] + form[1:] @ x[: joint.forms.width] > 0)
            assert waits.path == (*first.path[:-1], (unit, not on))
            assert waits.x is None
            search.run(1)
            assert search._current is None or waits in search._current.open
            taken += 1
    assert taken


@pytest.mark.parametrize("seed", range(10))
def test_one_row_for_a_state_says_as_much_as_two(seed):
    """Bounds agree whatever is fixed, and multipliers prove the same by the names of their rows."""
    rng = np.random.default_rng(seed)
    fewer = 0
    for search in searches(network(seed)):
        one, two = program(search)[0], program(search, both=True)[0]
        fewer += len(two._names) - len(one._names)
        units = [*one.states, *(unit for unit in one.h if unit not in one.states)]
        for _ in range(12):
            for unit in units:
                on = [None, None, True, False][rng.integers(4)]
                one.fix(unit, on)
                two.fix(unit, on)
            found, other = one.solve(np.inf, NEVER), two.solve(np.inf, NEVER)
            if np.isinf(found.bound) or np.isinf(other.bound):
                assert found.bound == other.bound
            else:
                assert found.bound == pytest.approx(other.bound, abs=1e-6 * search.jump.magnitude)
            named = one.named(found.multipliers)
            translated = np.array([named.pop(name, 0.0) for name in two._names])
            assert not named
            empty = np.isposinf(found.bound)
            bound = two._data.least(translated, with_cost=not empty)
            if empty:
                assert bound > 0
            else:
                assert bound == pytest.approx(found.bound, abs=1e-6 * search.jump.magnitude)
    assert fewer > 0


def test_branching_looks_at_states_before_values():
    chosen = 0
    for seed in range(6):
        for search in searches(network(seed)):
            joint, _ = program(search)
            solution = joint.solve(np.inf, NEVER)
            if solution.x is None:
                continue
            choice = joint.choose(solution.x, {})
            if choice is None:
                continue
            shares = np.array([solution.x[column] for column in joint.states.values()])
            undecided = np.minimum(shares, 1 - shares)
            assert choice.is_state or (undecided < 1e-3).all()
            if choice.is_state:
                chosen += 1
                share = solution.x[joint.states[choice.unit]]
                assert FRACTION < share < 1 - FRACTION
                assert choice.on is bool(share >= 0.5)
                assert choice.gain > 0
                assert joint.choose(solution.x, joint.states) != choice
    assert chosen


def test_points_away_from_the_kink_of_a_group_behind_are_not_looked_at():
    looked = 0
    for seed in range(6):
        for search in searches(network(seed)):
            level, unit = search.group
            point = np.full(3, 0.25)
            z = search.net.pre_activations(point)[level][unit]
            reach = max(-search.net.levels[level].lower[unit], search.net.levels[level].upper[unit])
            away = abs(z) > 0.1 * reach
            looked += away
            if away:
                assert search.patterns_at(point) is None
                assert search.look(point) is None
    assert looked


@pytest.mark.parametrize("on", [True, False])
def test_values_are_branched_on_that_make_up_for_states_on_the_path(on):
    """In a part the states on its path are rows alone: no column tells what they rest on."""
    chosen = 0
    for seed in range(12):
        for search in searches(network(seed)):
            root = search._roots[0]
            free = np.flatnonzero(root.activations[1] == FREE).tolist()
            if search.group[0] or not free:
                continue
            path = tuple(((1, u), on if u == free[0] else not on) for u in free)
            ranges = with_path(root.ranges, path)
            activations = decided(search.net, search.group, ranges, path)
            parts = search.jump, search.jump.bound(activations), activations, ranges
            piece = search.pieces[0].piece
            joint = JointProgram(search.net, search.group, *parts, piece, path=path)
            x = joint.solve(np.inf, NEVER).x
            if x is None:
                continue
            true = search.net.pre_activations(x[: joint.dim])[1]
            reach = root.ranges.reach(1)
            missed = [(u, s) for (_, u), s in path if (-true[u] if s else true[u]) > 0.1 * reach[u]]
            if not missed:
                continue
            choice = joint.choose(x, {})
            assert choice is not None
            assert not choice.is_state
            assert choice.unit[0] == 0
            # h above relu(z) moves one of the states that are missed to where it is to be
            weights = search.net.levels[1].slopes[0].on[:, choice.unit[1]]
            assert any((weights[u] > 0) == state for u, state in missed)
            chosen += 1
    assert chosen
