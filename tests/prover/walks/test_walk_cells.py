"""Cells cut where bounds leave kinks open: what they prove is so, by brute force."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import fuzz
import numpy as np
import oracle
import pytest

import jensen
from jensen.cells.polyhedron_cone import polyhedron_cone
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, Activation, Block, ReluNetwork
from jensen.prover.closed import closed_neurons
from jensen.prover.walks.cells import CellWalk, can_walk_cells
from jensen.prover.walks.walked import Walked

SAMPLERS = tuple(fuzz.SAMPLERS)
ASKED = np.zeros(1, dtype=bool)
DOMAINS = (Box(-1, 1), Everywhere(), Box(-100, 100))


def plain(seed: int, inputs: int = 3) -> tuple[str, ReluNetwork]:
    """Return a network of layers in a row, most often nearly convex, often degenerate."""
    rng = np.random.default_rng([seed, inputs])
    family = SAMPLERS[seed % len(SAMPLERS)]
    sizes = [inputs, *rng.integers(1, 5, rng.integers(1, 4)).tolist(), 1]
    weights, biases = [], []
    for level, (before, width) in enumerate(pairwise(sizes)):
        weight, bias = fuzz.SAMPLERS[family](rng, width, before)
        if level:
            weight = np.where(rng.random(weight.shape) < 0.15, weight, np.abs(weight))
        weights.append(weight)
        biases.append(bias)
    return family, ReluNetwork.from_layers(weights, biases)


def walked(network: ReluNetwork, domain: Domain, *, bounds: bool = False) -> Walked | None:
    prepared = prepare(network, domain)
    closed = {name: low >= 0 for name, (low, _) in prepared.signs.items()}
    if bounds:
        closed = closed_neurons(prepared)
    with np.errstate(all="ignore"):
        return CellWalk(network, domain, closed).run()


def proved(network: ReluNetwork, domain: Domain) -> bool:
    found = walked(network, domain)
    return found is not None and found.proved


def polyhedron(seed: int, inputs: int) -> Polyhedron:
    """Return a polyhedron that may be unbounded, degenerate, flat or empty, or hold lines."""
    rng = np.random.default_rng([seed, inputs, 7])
    rows = rng.integers(-2, 3, (int(rng.integers(1, 2 * inputs + 3)), inputs)).astype(float)
    if rng.random() < 0.5:  # a cube, cut
        rows = np.vstack([np.eye(inputs), -np.eye(inputs), rows[: inputs + 1], rows[:1]])
    right = rng.integers(0, 4, len(rows)) * (1.0 if rng.random() < 0.7 else 0.3)
    return Polyhedron(rows, right)


def domain_of(seed: int, inputs: int) -> Domain:
    turn = seed // len(SAMPLERS) % (2 * len(DOMAINS))
    return DOMAINS[turn] if turn < len(DOMAINS) else polyhedron(seed, inputs)


def with_skips(seed: int, inputs: int) -> tuple[str, ReluNetwork]:
    """Return a network of any shape with blocks that may be affine or leaky; inputs vary."""
    return (fuzz.varied_network if inputs % 2 else fuzz.tiny_network)(seed)


def compare_with_brute_force(
    seeds: range, inputs: int, make: Callable[[int, int], tuple[str, ReluNetwork]] = plain
) -> tuple[int, int, int]:
    right = wrong = convex = 0
    for seed in seeds:
        family, network = make(seed, inputs)
        domain = domain_of(seed, network.input_size)
        if not can_walk_cells(network, domain):
            continue
        try:
            truth = oracle.is_convex(network, domain)
        except ValueError:  # a polyhedron without interior
            assert polyhedron_cone(domain.A, domain.b, np.ones(network.input_size), ASKED) is None
            continue
        found = walked(network, domain, bounds=seed % 2 == 0)
        convex += truth
        if found is not None:
            assert found.proved == truth, (seed, family)
            assert (found.pair is None) == found.proved
            right, wrong = right + found.proved, wrong + (not found.proved)
    return right, wrong, convex


@pytest.mark.parametrize("at_once", [1, 16, 1 << 13])
@pytest.mark.parametrize("inputs", [2, 3])
def test_tiny_networks_are_decided_as_by_brute_force(
    monkeypatch: pytest.MonkeyPatch, inputs: int, at_once: int
):
    monkeypatch.setattr("jensen.prover.walks.cells.AT_ONCE", at_once)
    right, wrong, convex = compare_with_brute_force(range(240), inputs)
    assert right > convex / 4
    assert wrong > 10


@pytest.mark.parametrize("parity", [0, 1])
def test_skips_and_affine_levels(monkeypatch: pytest.MonkeyPatch, parity: int):
    monkeypatch.setattr("jensen.prover.walks.cells.AT_ONCE", 16)
    right, wrong, convex = compare_with_brute_force(range(1000, 1300), parity, with_skips)
    assert right > convex / 4
    assert wrong > 10


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_two_thousand_tiny_networks_are_decided_as_by_brute_force(inputs: int):
    compare_with_brute_force(range(360, 2360), inputs)


def general(seed: int, inputs: int, levels: int = 2) -> ReluNetwork:
    """Return a network of weights without ties, nearly convex."""
    rng = np.random.default_rng([seed, inputs])
    sizes = [inputs, *rng.integers(min(inputs, 5), 6, levels), 1]
    weights = [rng.normal(size=(b, a)) for a, b in pairwise(sizes)]
    weights[1:] = [np.where(rng.random(w.shape) < 0.9, abs(w), w) for w in weights[1:]]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
@pytest.mark.parametrize("inputs", [2, 3, 4])
def test_all_that_is_convex_is_proved_in_general_position(inputs: int, domain: Domain):
    verdicts = []
    for seed in range(24):
        network = general(seed, inputs)
        truth = jensen.verify(network, domain).status == "convex"
        found = walked(network, domain)
        assert found is not None, seed
        assert found.proved == truth, seed
        verdicts.append(truth)
    assert 2 < sum(verdicts) < 22


def test_needles_are_not_passed_over():
    """A bend of 2^-20 in a corner of a kink 2^-12 long."""
    tip = 2.0**-12
    weights = [np.eye(3), [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]], [[2.0**-20, -(2.0**-19)]]]
    rows = [np.zeros(3), np.zeros(2), np.zeros(1)]
    plain_one = ReluNetwork.from_layers(weights, rows)
    assert not proved(plain_one, Box(-1, 1))
    high = ReluNetwork.from_layers(weights, [np.zeros(3), np.array([0.0, -2 + tip]), np.zeros(1)])
    truth = oracle.is_convex(high, Box(-1, 1))
    assert not truth
    assert not proved(high, Box(-1, 1))


@pytest.mark.parametrize("scale", [2.0**-40, 1e-6, 1e6, 2.0**40])
def test_scaled_inputs_make_no_difference(scale: float):
    for seed in range(12):
        network = general(seed, 3)
        first, *others = network.blocks
        weights = [first.weights["input"] / scale]
        weights += [next(iter(block.weights.values())) for block in others]
        scaled = ReluNetwork.from_layers(weights, [block.bias for block in network.blocks])
        assert proved(scaled, Box(-scale, scale)) == proved(network, Box(-1, 1)), seed


def test_what_it_does_not_take():
    network = general(0, 3)
    assert can_walk_cells(network, Box(-1, 1))
    assert not can_walk_cells(network, Box([-1, -1, 0], [1, 1, 0]))
    holds_lines = Polyhedron([[1.0, 1, 1]], [1])
    closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
    assert not CellWalk(network, holds_lines, closed).left
    assert not can_walk_cells(general(0, 7), Box(-1, 1))
    shapes = ((5000, 3), (5000, 5000), (1, 5000))
    wide = ReluNetwork.from_layers(
        [np.ones(shape) for shape in shapes], [np.ones(rows) for rows, _ in shapes]
    )
    assert not can_walk_cells(wide, Box(-1, 1))


@pytest.mark.parametrize("copies", [20, 50])
def test_sets_of_several_words(copies: int):
    """Units that never kink on the box fill up words: what is found is the same."""
    for seed in range(12):
        network = general(seed, 3)
        first, second, last = (next(iter(block.weights.values())) for block in network.blocks)
        above = np.full(copies, 1e3)
        wide = ReluNetwork.from_layers(
            [
                np.vstack([np.ones((copies, 3)), first]),
                np.hstack([np.zeros((len(second), copies)), second]),
                last,
            ],
            [np.append(above, network.blocks[0].bias), *(b.bias for b in network.blocks[1:])],
        )
        assert proved(wide, Box(-1, 1)) == proved(network, Box(-1, 1)), seed


@pytest.mark.parametrize("seed", range(50, 57))
def test_it_pauses_and_goes_on(seed: int):
    network, domain = general(seed, 4, levels=3), Box(-2, 2)
    closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
    once = CellWalk(network, domain, closed)
    whole = once.run()
    paused, found, turns = CellWalk(network, domain, closed), None, 0
    while paused.left and found is None:
        found, turns = paused.run(signs=1), turns + 1
    assert turns > 1
    assert paused.signs == once.signs
    assert found == whole or (found is not None and whole is not None and found.pair == whole.pair)
    assert paused.run() is None  # there is nothing left to do


@pytest.mark.parametrize("turns", [0, 1])
def test_kinks_that_something_else_closed_are_left_out(turns: int):
    """min(x, 0) on top of a convex function, whose kink another search is said to have closed."""
    base = general(1, 4)
    first, second, last = (next(iter(block.weights.values())) for block in base.blocks)
    second, last = np.abs(second), np.abs(last)
    weights = [
        np.vstack([first, [1.0, 2.0, 0.5, 0.25]]),
        np.block([[second, np.zeros((len(second), 1))], [np.zeros((1, len(first))), np.eye(1)]]),
        np.append(last, [[-1.0]], axis=1),
    ]
    network = ReluNetwork.from_layers(weights, [np.full(len(w), 0.1) for w in weights])
    closed = {block.name: np.zeros(block.size, dtype=bool) for block in network.hidden}
    plain_walk = CellWalk(network, Box(-1, 1), closed).run()
    assert plain_walk is not None
    assert plain_walk.pair is not None
    walk = CellWalk(network, Box(-1, 1), closed)
    for _ in range(turns):
        assert walk.run(signs=1) is None
    names = [block.name for block in network.hidden]
    walk.leave_out([(names[0], len(first)), (names[1], len(second))])
    found = walk.run()
    assert found is not None
    assert found.proved


def test_weights_too_large_for_error_bounds_prove_nothing():
    network = ReluNetwork.from_layers([[[1e70, 1.0, 1.0]], [[-1.0]]], [[0], [0]])
    assert not proved(network, Box(-1, 1))


@pytest.mark.parametrize("inputs", [4, 5, 6])
def test_verify_cuts_cells(monkeypatch: pytest.MonkeyPatch, inputs: int):
    proofs = []

    def noted(walk: CellWalk, signs: float = np.inf) -> Walked | None:
        proofs.append(run(walk, signs))
        return proofs[-1]

    run = CellWalk.run
    monkeypatch.setattr(CellWalk, "run", noted)
    for seed in range(50, 80 if inputs == 4 else 65):
        network = general(seed, inputs, levels=3)  # of two, pieces of planes say as much
        status = jensen.verify(network, Box(-2, 2)).status
        assert status == jensen.verify(network, Box(-2, 2), engine="joint").status
    assert any(found is not None and found.proved for found in proofs)


def test_every_neuron_has_evidence_once():
    for seed in range(50, 62):
        network = general(seed, 5, levels=3)
        verdict = jensen.verify(network, Box(-2, 2))
        if verdict.status == "convex":
            neurons = [neuron for group in verdict.evidence for neuron in group.neurons]
            every = [(block.name, i) for block in network.hidden for i in range(block.size)]
            assert sorted(neurons) == sorted(every), seed


def nearly_endless(inputs: int, width: float, slope: float) -> tuple[ReluNetwork, Domain]:
    """A network that bends down beside a vertex some 1e17 away, and a domain with that vertex."""
    lean = np.zeros((1, inputs))
    lean[0, :3] = -1.0, -slope, 1.0
    across = np.zeros((1, inputs))
    across[0, 0] = -1.0
    relu, far = Activation.RELU, 1e3
    blocks = [
        Block("n", {INPUT: across}, [0.0], relu),
        Block("k", {INPUT: lean, "n": [[-2.0]]}, [0.0], relu),
        Block("m", {"n": [[1.0]], "k": [[1.0]]}, [-far], relu),
        Block(
            "p",
            {"n": [[0.0], [-1.0]], "k": [[-1.0], [0.0]], "m": [[1.0], [1.0]]},
            [0.3 * far, 0.3 * far],
            relu,
        ),
        Block(
            "output",
            {"n": [[50.0]], "k": [[5.0]], "m": [[-1.0]], "p": [[1.5, 1.5]]},
            [0.0],
            Activation.IDENTITY,
        ),
    ]
    eye = np.eye(inputs)
    rows = [-eye[1], eye[0] - eye[1], -eye[0] - eye[1], -eye[2], eye[2]]
    right = [0.0, 3 * width, 3 * width, -width, 1.2 * width]
    for i in range(3, inputs):
        rows, right = [*rows, eye[i], -eye[i]], [*right, 1.0, 1.0]
    return ReluNetwork(inputs, blocks), Polyhedron(np.array(rows), np.array(right))


@pytest.mark.parametrize("slope", [1e-12, 1e-11])
@pytest.mark.parametrize("inputs", [3, 4])
def test_points_far_away_do_not_become_directions(inputs: int, slope: float):
    network, domain = nearly_endless(inputs, 1e5, slope)
    assert not oracle.is_convex(network, domain)
    for bounds in (False, True):
        found = walked(network, domain, bounds=bounds)
        assert found is None or not found.proved
    assert jensen.verify(network, domain).status == "nonconvex"


@pytest.mark.parametrize("far", [1e70, 1e298, 1e305])
@pytest.mark.parametrize("weight", [1.0, 1e10, 1e20])
def test_vertices_so_far_that_products_are_no_numbers(far: float, weight: float):
    """-relu(w (x - y) + w) on a strip whose ends are that far."""
    rows = [[-1.0, 0, 0], [1, 0, 0], [-1.125, 1, 0], [1.125, -1, 0], [0, 0, 1], [0, 0, -1]]
    domain = Polyhedron(rows, [0.0, far, 0, 1, 1, 1])
    first = np.array([[weight, -weight, 0.0]])
    network = ReluNetwork.from_layers([first, [[-1.0]]], [[weight], [0.0]])
    found = walked(network, domain)
    assert found is None or not found.proved
    assert jensen.verify(network, domain).status != "convex"
