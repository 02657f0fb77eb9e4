"""Folded networks are the same function, over the groups that bend anything."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from certificate_tools import check
from fuzz import tiny_network, varied_network

import jensen
from jensen.arithmetic.rational import fraction
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.groups.folded import fold_linear_units
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.verdicts.evidence import Reason
from jensen.verdicts.verdict import Status

Array = np.ndarray
SIMPLEX = Polyhedron(np.vstack([np.ones(4), -np.eye(4)]), np.ones(5))


def output_of(net: GroupedNetwork, y: list[Fraction]) -> Fraction:
    """Evaluate the levels exactly at a working point."""
    found: list[list[Fraction]] = []
    for level in net.levels:
        z = [fraction(b) for b in level.exact_bias]
        for source, slopes in level.slopes.items():
            reads = y if source == SOURCE else found[source]
            for u in range(level.size):
                for i, v in enumerate(reads):
                    side = slopes.rational_on
                    if source != SOURCE and v < 0 and net.levels[source].kink[i]:
                        side = slopes.rational_off
                    if side is not None:
                        z[u] += fraction(side[u, i]) * v
        found.append(z)
    return found[-1][0]


def domains(inputs: int) -> list[Domain]:
    rows = np.vstack([np.ones(inputs), -np.ones(inputs), np.eye(inputs), -np.eye(inputs)])
    flat = Polyhedron(rows, [0.5, -0.5, *[2.0] * (2 * inputs)])
    return [Box(-1, 1), Box(0.25, 0.25 + 1e-3), Everywhere(), flat]


def turning(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Return a matrix of integers and its inverse, which is one of integers, too."""
    matrix, inverse = np.eye(size), np.eye(size)
    for _ in range(2 * size if size > 1 else 0):
        i, j = rng.choice(size, 2, replace=False)
        sign = rng.choice([-1.0, 1.0])
        matrix[i] += sign * matrix[j]
        inverse[:, j] -= sign * inverse[:, i]
    return matrix, inverse


def turned_between(seed: int, inputs: int, widths: list[int], bound: float = 0.0) -> ReluNetwork:
    """Input-convex layers, each passed on turned, in pairs or always on, and turned back."""
    rng = np.random.default_rng(seed)
    blocks: list[Block] = []
    back: dict[str, Array] = {}
    shift: Array = np.zeros(1)
    for k, width in enumerate(widths):
        weights = {INPUT: np.round(rng.normal(size=(width, inputs)) * 64) / 64}
        bias = np.round(rng.normal(size=width) * 16) / 16
        if k:
            inner = np.round(np.abs(rng.normal(size=(width, widths[k - 1]))) * 8) / 8
            weights |= {name: inner @ part for name, part in back.items()}
            bias = bias - inner @ shift
        blocks.append(Block(f"layer_{k}", weights, bias))
        turn, inverse = turning(rng, width)
        both = turn if bound else np.vstack([turn, -turn])
        blocks.append(Block(f"turned_{k}", {f"layer_{k}": both}, np.full(len(both), bound)))
        back = {f"turned_{k}": inverse if bound else np.hstack([inverse, -inverse])}
        shift = inverse @ np.full(width, bound)
    last = np.abs(np.round(rng.normal(size=(1, widths[-1])) * 8)) / 8
    weights = {name: last @ part for name, part in back.items()}
    blocks.append(Block(OUTPUT, weights, -last @ shift, Activation.IDENTITY))
    return ReluNetwork(inputs, blocks)


@pytest.mark.parametrize("make", [tiny_network, varied_network])
def test_folding_keeps_the_function(make):
    folded = 0
    for seed in range(60):
        _, network = make(seed)
        rng = np.random.default_rng(seed)
        for domain in domains(network.input_size):
            net = prepare(network, domain).grouped
            less = fold_linear_units(net)
            folded += less is not net
            for point in rng.integers(-32, 33, (3, net.working_set.dim)).tolist():
                y = [Fraction(v, 32) for v in point]
                assert output_of(less, y) == output_of(net, y)
    assert folded > 20


def test_every_group_stays_or_passes_on_what_it_gets():
    for seed in range(120):
        _, network = tiny_network(seed)
        net = prepare(network, Box(-1, 1)).grouped
        less = fold_linear_units(net)
        before = {net.neurons(group) for group in net.groups()}
        after = {less.neurons(group) for group in less.groups()}
        assert before == after | set(less.passed)
        assert not after & set(less.passed)
        for level, unit in net.groups():
            sides = [net.levels[reader].slopes[level] for reader in net.readers[level]]
            bends = any(
                side.rational_on[r, unit] != (0 if side.off is None else side.rational_off[r, unit])
                for side in sides
                for r in range(len(side.on))
            )
            assert bends <= (net.neurons((level, unit)) in after)


def test_nothing_is_folded_where_a_double_would_be_rounded():
    tenth = 0.1
    network = ReluNetwork.from_layers(
        [[[tenth], [-tenth]], [[1.0 / 3, -1.0 / 3], [1.0, 1.0]], [[1.0, 1.0]]],
        [[0.7, -0.7], [0.0, -0.1], [0.0]],
    )
    net = prepare(network, Box(-100, 100)).grouped
    assert fold_linear_units(net).groups() == net.groups()


def test_few_weights_come_in_between_where_a_bottleneck_is_left_alone():
    wide = 128
    rng = np.random.default_rng(0)
    narrow = rng.integers(1, 3, (2, wide)).astype(float)
    network = ReluNetwork(
        wide,
        [
            Block("narrow", {INPUT: narrow}, np.zeros(2), Activation.IDENTITY),
            Block("wide", {"narrow": rng.integers(-99, 99, (wide, 2)) * 1.0}, np.ones(wide)),
            Block(OUTPUT, {"wide": np.ones((1, wide))}, np.zeros(1), Activation.IDENTITY),
        ],
    )
    net = prepare(network, Box(-1, 1)).grouped
    assert fold_linear_units(net) is net


@pytest.mark.parametrize(
    ("domain", "bound"),
    [(Box(-1, 1), 0.0), (Everywhere(), 0.0), (Box(-1, 1), 2.0**20)],
    ids=["pairs on a box", "pairs everywhere", "always on"],
)
@pytest.mark.parametrize(("inputs", "widths"), [(4, [6, 6, 6]), (8, [8, 8, 8, 8])])
def test_input_convex_layers_that_are_turned_in_between_are_proved(inputs, widths, domain, bound):
    """Before, the larger ones were unknown after thousands of nodes."""
    network = turned_between(1, inputs, widths, bound)
    verdict = jensen.verify(network, domain, node_limit=200)
    assert verdict.status is Status.CONVEX
    named = [neuron for item in verdict.evidence for neuron in item.neurons]
    assert len(named) == len(set(named)) == network.relu_count
    stable = [item for item in verdict.evidence if item.reason is Reason.NEVER_CROSSES]
    never = [neuron for item in stable for neuron in item.neurons]
    bounds = prepare(network, domain).hidden_bounds
    assert all(bounds[b][0][i] >= 0 or bounds[b][1][i] <= 0 for b, i in never)


def test_one_that_bends_down_between_turned_layers_is_refuted():
    network = turned_between(2, 5, [5, 5, 5])
    blocks = [
        *network.hidden,
        Block("dip", {INPUT: np.ones((1, 5))}, np.array([-4.5])),
        Block(
            OUTPUT,
            {**network.output.weights, "dip": np.array([[-(2.0**-12)]])},
            network.output.bias,
            Activation.IDENTITY,
        ),
    ]
    verdict = jensen.verify(ReluNetwork(5, blocks), Box(-1, 1))
    assert verdict.status is Status.NONCONVEX


@pytest.mark.parametrize(
    ("domain", "bound"),
    [(Box(-1, 1), 0.0), (Everywhere(), 0.0), (Box(-1, 1), 2.0**20), (SIMPLEX, 0.0)],
    ids=["pairs on a box", "pairs everywhere", "always on", "pairs on a simplex"],
)
@pytest.mark.parametrize("widths", [[3, 3], [6, 6, 6], [8, 8, 8, 8]], ids=str)
def test_certificates_of_turned_layers_need_no_tree(widths, domain, bound, tmp_path):
    """Before, they took up to a hundred times as long as the proof, or there was none."""
    network = turned_between(3, 4, widths, bound)
    verdict = jensen.verify(network, domain, certificate=True, node_limit=50)
    assert verdict.status is Status.CONVEX
    assert verdict.certificate is not None
    assert check(network, verdict.certificate, tmp_path) == 0
    assert "tree" not in {line[0] for line in verdict.certificate.lines[1:]}
