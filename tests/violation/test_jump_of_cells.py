"""The worst jump cell by cell is that of brute force, and of the search that it replaces."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import fuzz
import jump_oracle
import numpy as np
import pytest

import jensen
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, Activation, Block, ReluNetwork
from jensen.violation.jump_facets import root_above
from jensen.violation.jump_of_cells import CellJumpSearch, JumpWalk, _lengths
from jensen.violation.jump_search import JumpSearch

DOMAINS = (Box(-1, 1), Everywhere(), Box(-100, 100))


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return whether walks came to an end, one after the other."""
    walk, found = CellJumpSearch.walk, list[bool]()

    def noted(search: CellJumpSearch) -> bool:
        found.append(walk(search))
        return found[-1]

    monkeypatch.setattr(CellJumpSearch, "walk", noted)
    return found


def measured(network: ReluNetwork, domain: Domain, gap: float = 1e-4) -> CellJumpSearch:
    with np.errstate(all="ignore"):
        search = CellJumpSearch(prepare(network, domain), gap=gap)
        if not search.walk():
            search.run()
    return search


def compare_with_brute_force(seeds: range, ended: list[bool], *, varied: bool) -> int:
    bent = 0
    for seed in seeds:
        _, network = (fuzz.varied_network if varied else fuzz.tiny_network)(seed)
        domain = DOMAINS[seed // 6 % 3]
        truth = jump_oracle.worst_squared_jump(network, domain)
        search = measured(network, domain)
        assert search.upper >= root_above(truth) * (1 - 1e-15), seed
        found = Fraction(0) if search.worst is None else search.worst.squared
        assert found <= truth, seed
        if ended and ended[-1]:
            assert found == truth, seed
            bent += found > 0
    return bent


@pytest.mark.parametrize("at_once", [8, 1 << 13])
@pytest.mark.parametrize("varied", [False, True])
def test_tiny_networks_are_measured_as_by_brute_force(
    monkeypatch: pytest.MonkeyPatch, ended: list[bool], *, varied: bool, at_once: int
):
    monkeypatch.setattr("jensen.prover.walks.cells.AT_ONCE", at_once)
    bent = compare_with_brute_force(range(2000, 2150), ended, varied=varied)
    assert bent > 5


@pytest.mark.slow
@pytest.mark.parametrize("varied", [False, True])
def test_a_thousand_tiny_networks_are_measured_as_by_brute_force(ended: list[bool], *, varied):
    compare_with_brute_force(range(3000, 4000), ended, varied=varied)


def general(seed: int, sizes: tuple[int, ...]) -> ReluNetwork:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(b, a)) for a, b in pairwise((*sizes, 1))]
    weights[1:] = [np.where(rng.random(w.shape) < 0.85, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
@pytest.mark.parametrize("sizes", [(4, 6, 5), (5, 5, 4, 4), (6, 6, 4)])
def test_the_search_says_the_same_in_more_inputs(
    ended: list[bool], sizes: tuple[int, ...], domain: Domain
):
    for seed in range(4):
        network = general(seed, sizes)
        cells = measured(network, domain)
        with np.errstate(all="ignore"):
            search = JumpSearch(prepare(network, domain), gap=1e-4)
            search.run()
        assert search.lower <= cells.upper
        assert cells.lower <= search.upper
        assert cells.upper <= cells.lower * (1 + 1e-9)
    assert any(ended)


def test_kinks_that_coincide_are_added_up_or_left_to_the_search(ended: list[bool]):
    """-2 |x - y| of four units on one plane, which three others pass through."""
    rows = [[1.0, -1, 0, 0], [-1, 1, 0, 0], [1, -1, 0, 0], [-1, 1, 0, 0]]
    first = np.array([*rows, [1, 2, 0, 1], [0, 1, 1, -1], [1, 0, -2, 1]])
    last = np.array([[-1.0, -1, -1, -1, 1, 1, 1]])
    network = ReluNetwork.from_layers([first, last], [np.array([0, 0, 0, 0, 0.1, 0.2, 0.3]), [0]])
    search = measured(network, Box(-1, 1))
    assert search.worst is not None
    assert search.worst.squared == 32  # twice 2 times the length of (1, -1)
    assert search.is_done()


def test_steepness_without_any_states_is_a_bound():
    rng = np.random.default_rng(5)
    network = general(5, (4, 6, 5, 3))
    closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
    domain = Box(-2, 2)
    walk = JumpWalk(network, domain, closed, lambda *_: True, lambda: 0.0)
    values, step = rng.uniform(-2, 2, (400, 4)), 1e-7
    slopes = []
    for i in range(4):
        ahead = network.pre_activations(values + step * np.eye(4)[i])
        here = network.pre_activations(values)
        slopes.append([(ahead[b.name] - here[b.name]) / step for b in network.hidden])
    sizes = [np.sqrt(sum(s[k] ** 2 for s in slopes)).max(axis=0) for k in range(3)]
    assert (walk._steepest >= np.concatenate(sizes) * (1 - 1e-5)).all()


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
@pytest.mark.parametrize("inputs", [3, 4])
def test_a_leader_that_only_touches_zero_on_the_side_of_a_cell(inputs: int, domain: Domain):
    """k and m kink on one plane: cut there, m is 0 on the side of a cell that k is known on."""
    along = np.eye(inputs)[:1]
    first = Block(
        "relu_1", {INPUT: np.vstack([along, along])}, np.array([0.99, -0.2]), Activation.RELU
    )
    second = Block(
        "relu_2", {"relu_1": [[0.01, 0.0]], INPUT: along}, np.array([0.99]), Activation.RELU
    )
    last = {"relu_1": [[-0.45, -1.0]], "relu_2": [[-0.9]]}
    network = ReluNetwork(
        inputs, [first, second, Block("output", last, [0.0], Activation.IDENTITY)]
    )
    truth = jump_oracle.worst_squared_jump(network, domain)
    for seed in range(4):
        found = jensen.worst_jump(network, domain, seed=seed)
        assert found.exact_squared == truth
        assert found.upper >= root_above(truth)


@pytest.mark.parametrize("size", [1e-170, 1e-120, 1.0, 1e120, 1e170])
def test_gradients_whose_squares_leave_the_doubles(size: float):
    rows = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]) * size
    found = _lengths(np.abs(rows))
    assert (found >= np.array([5.0, 0.0, 1.0]) * size).all()
    assert (found <= np.array([5.0, 0.0, 1.0]) * size * (1 + 1e-11)).all()
    assert _lengths(np.array([[np.inf, 1.0]])) == np.inf
