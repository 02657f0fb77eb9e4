"""Signs under linked states: right wherever they settle something, and they settle what links."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracle
import pytest

from jensen.bounds.linked import linked_signs
from jensen.bounds.pre_activation import hidden_bounds
from jensen.bounds.stacked_units import unit_layers
from jensen.decide import verify
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.many import verify_many
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack
from jensen.prover.links import links_of_stack

# max(a, b) + max(c, d) - c is no maximum; max of four affine functions of the plane, d passed on
PLAYERS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5], [0.5, -1.0]])
ROUND = np.array([[1, -1, 0, 0], [0, 0, 1, -1], [0, 1, 0, -1], [0, -1, 0, 1], [0, 0, 0, 1],
                  [0, 0, 0, -1]])  # fmt: skip
FINAL = np.array([[1, -1, 1, -1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, -1],
                  [0, 0, 0, 0, -1, 1]])  # fmt: skip


def tournament(last: tuple[float, ...] = (1, 1, 1, -1)) -> ReluNetwork:
    offsets = np.array([0.25, -0.5, 1.0, 0.0])
    return ReluNetwork.from_layers(
        [ROUND @ PLAYERS, FINAL, [list(last)]], [ROUND @ offsets, np.zeros(4), [0]]
    )


def paired(rate: float = 1.1, later: int = 0) -> ReluNetwork:
    """The second unit of the second layer is on wherever the first is, and rises faster."""
    weights = [[[1.0, 0.5], [-0.5, 1.0]], [[1.0, -1.0], [1.5, 1.0]]]
    weights += [[[1.0, rate], [0.5, 0.5 * rate]]] * later
    weights += [[[1.0, rate]]] if not later else [[[1.0, 1.0]]]
    return ReluNetwork.from_layers(weights, [[0, 0], [-0.5, -0.25], *[[0, 0]] * later, [0]])


def settled(network: ReluNetwork, domain=None) -> bool:
    stack = NetworkStack.from_networks([network])
    return bool(links_of_stack(stack, domain or Everywhere()).convex[0])


def sampled(seed: int) -> ReluNetwork:
    """Few values of weights, so that sums vanish; twins and neurons on wherever others are."""
    rng = np.random.default_rng([seed, 9])
    sizes = [int(rng.integers(1, 4)), *rng.integers(1, 5, int(rng.integers(1, 4))).tolist(), 1]
    values = [[-1, 0, 1], [-2, -1, 0, 1, 1, 2], [0.1, 0.2, 0.3, -0.3, -0.1, 0]][seed % 3]
    weights = [rng.choice(values, (b, a)) for a, b in pairwise(sizes)]
    biases = [rng.choice(values, b) * rng.choice([0, 1]) for b in sizes[1:]]
    for k in range(1, len(weights)):
        weights[k] = np.abs(weights[k]) if rng.random() < 0.5 else weights[k]
    for k in range(len(weights) - 1):
        if sizes[k + 1] < 2:
            continue
        i, j = rng.choice(sizes[k + 1], 2, replace=False)
        if rng.random() < 0.4:
            sign = rng.choice([1, -1])
            weights[k][j], biases[k][j] = sign * weights[k][i], sign * biases[k][i]
            if rng.random() < 0.6:  # a pass-through, twice the same, or what cancels
                weights[k + 1][:, j] = rng.choice([-1, 1]) * weights[k + 1][:, i]
        elif rng.random() < 0.6:
            weights[k][j] = weights[k][i] + rng.choice([0, 1, 0.5], sizes[k])
            biases[k][j] = biases[k][i] + rng.choice([0, 0.5])
            weights[k + 1][:, j] = np.abs(weights[k + 1][:, i]) + 0.5
    return ReluNetwork.from_layers(weights, biases)


@pytest.mark.parametrize("part", range(4))
def test_what_is_settled_is_convex_by_exact_arithmetic(part):
    proved = 0
    for seed in range(150 * part, 150 * (part + 1)):
        network = sampled(seed)
        d = network.input_size
        rows = np.vstack([np.eye(d), -np.ones(d)])
        for domain in (Everywhere(), Box(-1, 2), Polyhedron(rows, np.ones(d + 1))):
            if settled(network, domain):
                proved += bool((network.blocks[-1].weights[network.hidden[-1].name] < 0).any())
                assert oracle.is_convex(network, domain), (seed, domain)
    assert proved > 5


@pytest.mark.parametrize("part", range(2))
def test_what_is_settled_within_tighter_bounds_is_convex_by_exact_arithmetic(part):
    proved = more = 0
    for seed in range(200 * part, 200 * (part + 1)):
        network = sampled(seed)
        stack = NetworkStack.from_networks([network])
        box = Box(-1, 2)
        sides = hidden_bounds(network, box.bounds(network.input_size)).values()
        stable = [(low[None] >= 0, high[None] <= 0) for low, high in sides]
        found = bool(linked_signs(stack.weights, stack.biases, stable).convex[0])
        little = links_of_stack(stack, box, forward=False).convex[0]
        assert settled(network, box) >= little, seed
        proved += found
        more += found and not settled(network, box)
        assert not found or oracle.is_convex(network, box), seed
    assert proved > 50
    assert more


def test_maxima_with_negative_weights_are_settled_and_their_negatives_are_not():
    network = tournament()
    assert settled(network)
    assert settled(network, Box(-1, 1))
    assert not settled(network.negated())
    verdict = verify(network)
    assert verdict.status == "convex"
    assert set(verdict.reasons) <= {"sign", "never crosses"}
    assert (("relu_2", 2), ("relu_2", 3)) in {e.neurons for e in verdict.evidence}
    assert sum(len(e.neurons) for e in verdict.evidence) == network.relu_count
    # the loser passed on twice is no longer the maximum, and -d bends down
    assert not settled(tournament((1, 1, 1, -2)))
    assert verify(tournament((1, 1, 1, -2))).status == "nonconvex"


@pytest.mark.parametrize("later", [0, 1, 3])
def test_a_neuron_that_is_on_wherever_another_is_makes_up_for_it(later):
    network = paired(later=later)
    assert settled(network)
    assert verify(network, engine="joint").status == "convex"


@pytest.mark.parametrize("pieces", [8, 16])
def test_longer_tournaments_are_settled_since_losers_pass_on(pieces):
    rng = np.random.default_rng(pieces)
    slopes, offsets = rng.integers(-8, 9, (pieces, 3)) / 4, rng.integers(-8, 9, pieces) / 4
    weights, biases = [], []
    values, constants = slopes.astype(float), offsets.astype(float)
    while len(values) > 1:
        first, second = values[::2], values[1::2]
        a, b = constants[::2], constants[1::2]
        weights.append(np.concatenate([first - second, second, -second]))
        biases.append(np.concatenate([a - b, b, -b]))
        pairs = len(first)
        values = np.concatenate([np.eye(pairs), np.eye(pairs), -np.eye(pairs)], axis=1)
        constants = np.zeros(pairs)
    network = ReluNetwork.from_layers([*weights, values], [*biases, constants])
    assert settled(network)
    assert settled(network, Box(-1, 1))
    for layer in range(1, len(weights)):  # one loser less: not the maximum any more
        changed = [w.copy() for w in weights]
        changed[layer][-1] *= 0.5
        other = ReluNetwork.from_layers([*changed, values], [*biases, constants])
        points = rng.uniform(-3, 3, (2, 4000, 3))
        gap = other(points.mean(axis=0)) - (other(points[0]) + other(points[1])) / 2
        assert not (settled(other) and gap.max() > 1e-9)


def test_a_neuron_that_rises_too_slowly_makes_up_for_nothing():
    assert not settled(paired(rate=0.9))
    assert verify(paired(rate=0.9)).status == "nonconvex"
    # a tie, in numbers that rounding meets: 1 - r * 1 with r = 1 is left to the provers
    assert verify(paired(rate=1.0)).status == "convex"


def test_equal_twins_that_cancel_make_up_for_nothing():
    # relu(1 - relu(x)) falls at 0; what is added is relu(z) - relu(z) with z = relu(x) - 0.5
    weights = [[[1.0]], [[-1.0], [1.0], [1.0]], [[1.0, 1.0, -1.0]]]
    network = ReluNetwork.from_layers(weights, [[0.0], [1.0, -0.5, -0.5], [0.0]])
    assert not settled(network)
    assert not settled(network, Box(-2, 2))
    assert verify(network, Box(-2, 2)).status == "nonconvex"
    # relu(z) - relu(-z) = z makes up for it: relu(1 - h) + h - 0.5 rises with h = relu(x)
    weights[1][2] = [-1.0]
    linear = ReluNetwork.from_layers(weights, [[0.0], [1.0, -0.5, 0.5], [0.0]])
    assert settled(linear)


def test_a_neuron_makes_up_for_one_other_only():
    # -1 - 1 + 1.1 < 0 where all three are on
    weights = [[[1.0], [-1.0]], [[1.0, -1.0], [2.0, -1.0], [2.5, 1.0]], [[1.0, 1.0, 1.1]]]
    network = ReluNetwork.from_layers(weights, [[0, 1.5], [0, 0, 0.5], [0]])
    assert not settled(network)
    assert verify(network).status == ("convex" if oracle.is_convex(network) else "nonconvex")


def test_rows_are_twins_only_if_they_are_exactly_equal_up_to_the_sign():
    rows = np.array([[1.0, 2.0], [-1.0, -2.0], [1.0, -2.0], [1.0, 2.0 + 2**-51]])
    bias = np.array([0.5, -0.5, 0.5, 0.5])
    behind = np.array([[[1.0, 1.0, 3.0, 4.0]]])
    (layer,) = unit_layers([rows[None], behind], [bias[None]], [np.ones((1, 4), bool)])
    assert layer.twin.tolist() == [[1, 0, -1, -1]]
    assert layer.kink.tolist() == [[[2.0, 0.0, 3.0, 4.0]]]
    assert layer.off.tolist() == [[[-1.0, 0.0, 0.0, 0.0]]]


def test_rows_without_twins_need_no_look_for_them():
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(2, b, a)) for a, b in ((3, 4), (4, 5), (5, 1))]
    biases = [rng.normal(size=(2, w.shape[1])) for w in weights]
    crossing = [np.ones(bias.shape, dtype=bool) for bias in biases[:-1]]
    pairs = zip(
        unit_layers(weights, biases, crossing),
        unit_layers(weights, biases, crossing, twins=False),
        strict=True,
    )
    for sought, known in pairs:
        for name in ("twin", "lead", "on", "off", "kink"):
            assert np.array_equal(getattr(sought, name), getattr(known, name))


def test_twins_whose_weights_have_no_exact_sum_are_not_paired():
    rows, bias = np.array([[[1.0], [-1.0]]]), np.array([[0.0, 0.0]])
    for weights, twins in (([1.0, -1.0], True), ([1.0, 2.0**-60], False)):
        behind = np.array([[weights]])
        (layer,) = unit_layers([rows, behind], [bias], [np.ones((1, 2), bool)])
        assert layer.paired is twins
    # 1 + 2^-60 as a kink: its sign is still right
    assert verify(
        ReluNetwork.from_layers([[[1], [-1]], [[-1, 1 - 2**-53]]], [[0, 0], [0]])
    ).status == ("nonconvex")


def test_stacks_give_the_verdicts_of_single_networks():
    networks = [tournament(), tournament().negated(), tournament((1, 1, 1, -2))]
    for domain in (Everywhere(), Box(-1, 1)):
        many = [v.status for v in verify_many(networks, domain)]
        assert many == [verify(network, domain).status for network in networks]


def test_networks_with_twins_are_asked_before_lines_and_others_behind_them():
    for network, stages in ((tournament(), {"links"}), (paired(later=3), None)):
        verdict = verify(network)
        assert verdict.status == "convex"
        used = {stage for stage, seconds in verdict.times.items() if seconds}
        assert used == stages if stages else "lines" in used
