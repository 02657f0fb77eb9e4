"""Affine functions that touch f where it bends down, and the bounds that follow from them."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from fuzz import SAMPLERS
from midpoint_oracle import tiny_network, worst_in_one_dimension

from jensen.domains.domain import Box
from jensen.groups.groups import SOURCE
from jensen.groups.jump import FREE, OFF, ON
from jensen.groups.prepared import prepare
from jensen.midpoint import raised as raised_module
from jensen.midpoint.linked import PAIR, LinkedNetwork
from jensen.midpoint.raised import Aim, convexity_row, raise_bound, raises
from jensen.midpoint.touching import Touching
from jensen.midpoint.worst_pair import worst_pair
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen_encodings.deadline import NEVER


def drawn(sampler, seed, sizes=(2, 4, 3, 1)):
    rng = np.random.default_rng(seed)
    layers = [SAMPLERS[sampler](rng, b, a) for a, b in itertools.pairwise(sizes)]
    return ReluNetwork.from_layers([w for w, _ in layers], [b for _, b in layers])


def touched_everywhere(monkeypatch):
    """Let touching functions be tried, however few facets bend down."""
    monkeypatch.setattr(raised_module, "FEW_LEAVES", -1)


def continued(network, on, point, own, points):
    """The piece at a point, half of z for neurons of its kink, at other points."""
    at, beyond = {INPUT: point[None]}, {INPUT: points}
    for block in (*network.hidden, network.output):
        z, far = (
            block.bias + sum(values[s] @ np.asarray(w).T for s, w in block.weights.items())
            for values in (at, beyond)
        )
        share = ((z > 0) | on.get(block.name, False)).astype(float)
        for name, index in own:
            if name == block.name:
                share[0, index] = 0.5
        is_relu = block.is_relu
        at[block.name] = share * z if is_relu else z
        beyond[block.name] = share * far if is_relu else far
    return beyond[network.output.name][:, 0]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("seed", range(4))
def test_no_piece_at_a_kink_exceeds_f_by_more(sampler, seed):
    network = drawn(sampler, seed)
    prepared = prepare(network, Box(-1, 1))
    net, rng = prepared.grouped, np.random.default_rng(seed)
    on = {layer.name: layer.lower >= 0 for layer in prepared.data.layers[:-1]}
    touching = Touching(net, network, prepared.data, {})
    points = rng.uniform(-1, 1, (300, 2))
    f = network(points)[:, 0]
    for group in net.groups():
        if not set(net.levels[group[0]].slopes) <= {SOURCE}:
            continue
        block, index = net.neurons(group)[0]
        normal = np.asarray(network[block].weights[INPUT])[index]
        bias = network[block].bias[index]
        kink = points - ((points @ normal + bias) / (normal @ normal))[:, None] * normal
        for point in kink[(np.abs(kink) < 1).all(axis=1)][:4]:
            exceeds = continued(network, on, point, net.neurons(group), points) - f
            for known in (0.0, 0.6, 1.0):
                states = []
                for level, z in zip(net.levels, net.pre_activations(point), strict=True):
                    sure = (np.abs(z) > 1e-9) & (rng.random(level.size) < known)
                    state = np.where(sure, np.where(z > 0, ON, OFF), FREE)
                    states.append(np.where(level.kink, state, ON).astype(np.int8))
                states[group[0]][group[1]] = FREE
                found = touching.excess(group, states, set(net.groups()))
                assert exceeds.max() <= found.bound + 1e-9 * max(1.0, np.abs(f).max())
                assert found.unit is None or states[found.unit[0]][found.unit[1]] == FREE


@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("times", [0.6, 1.5, 4.0])
def test_no_pair_violates_by_more_than_what_touching_functions_leave(seed, times, monkeypatch):
    touched_everywhere(monkeypatch)
    network = tiny_network(seed)
    worst = worst_in_one_dimension(network, -1, 2)
    prepared = prepare(network, Box([-1.0], [2.0]))
    raised = raises(prepared, NEVER, Aim(prepared.data, times * float(worst) + 1e-6))
    touched = None if raised is None else raised.touched
    if touched is not None:
        assert touched.excess <= times * float(worst) + 1e-6
        assert worst <= raise_bound(prepared.data, touched.amounts, touched.excess)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_row_with_touched_facets_holds(sampler, monkeypatch):
    touched_everywhere(monkeypatch)
    rng = np.random.default_rng(3)
    for seed in range(6):
        network = drawn(sampler, seed)
        prepared = prepare(network, Box(-1, 1))
        data = prepared.data
        worst = worst_pair(network, Box(-1, 1)).upper
        raised = raises(prepared, NEVER, Aim(data, rng.uniform(0.3, 3.0) * worst + 1e-6))
        if raised is None or raised.touched is None:
            continue
        touched = raised.touched
        linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)
        cut = convexity_row(linked, data, touched.amounts, touched.excess)
        x, y = rng.uniform(-1, 1, (2, 400, 2))
        y[::2] = np.clip(x[::2] + 0.2 * y[::2], -1, 1)
        h = []
        for at in (x, y, (x + y) / 2):
            values = network.pre_activations(at)
            every = np.concatenate([values[layer.name] for layer in linked.layers], axis=1)
            h.append(np.maximum(every[:, linked.free], 0.0))
        left = np.einsum("kpn,nk->p", np.array(h), cut.hidden[0])
        inputs = np.array([x, y, (x + y) / 2])
        left -= np.einsum("kpi,ik->p", inputs, cut.inputs[0])
        assert left.max() <= cut.right[0] + 1e-9 * max(1.0, abs(cut.right[0]))


def test_touching_functions_bound_a_pair_of_long_kinks():
    # f = |x| - |y| / 4 + ... bends down along y = 0 alone, everywhere alike
    network = ReluNetwork.from_layers(
        [[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], [[1.0, 1.0, -0.25, -0.25]], [[1.0]]],
        [[0.0, 0.0, 0.0, 0.0], [4.0], [0.0]],
    )
    prepared = prepare(network, Box(-1, 1))
    net = prepared.grouped
    touching = Touching(net, network, prepared.data, {})
    (group,) = [g for g in net.groups() if net.neurons(g)[0] == ("relu_1", 2)]
    states = tuple(np.where(level.kink, ON, ON).astype(np.int8) for level in net.levels)
    states[group[0]][group[1]] = FREE
    # half of both slopes is the function 4 + x, which is at most 1 / 4 above f
    assert touching.excess(group, states, ()).bound == pytest.approx(0.25)
    assert Fraction(touching.excess(group, states, ()).bound) >= Fraction(1, 4)


@pytest.mark.parametrize("seed", range(16))
def test_functions_at_all_facets_that_are_left_out_exceed_f_by_no_more(seed, monkeypatch):
    # nearly convex: few weights behind the first level are negative
    touched_everywhere(monkeypatch)
    rng = np.random.default_rng(100 + seed)
    first, b = rng.normal(size=(6, 2)), [rng.normal(size=6) * 0.4, rng.normal(size=5) * 0.4 - 0.6]
    second = np.abs(rng.normal(size=(5, 6))) * np.where(rng.random((5, 6)) < 0.2, -0.6, 1.0)
    out = np.abs(rng.normal(size=5))
    network = ReluNetwork.from_layers([first, second, [out]], [*b, [0.0]])
    worst = worst_pair(network, Box(-1, 1)).upper
    prepared = prepare(network, Box(-1, 1))
    raised = raises(prepared, NEVER, Aim(prepared.data, rng.uniform(0.5, 6.0) * worst + 1e-9))
    if raised.touched is None:
        return
    d = np.zeros(6)
    for (_, index), amount in raised.touched.amounts.items():
        d[index] = amount
    paid = np.maximum(-d, 0.0)
    points = rng.uniform(-1, 1, (1000, 2))
    z = points @ first.T + b[0]
    h = np.maximum(z, 0.0)
    f = np.maximum(h @ second.T + b[1], 0.0) @ out - h @ paid
    for u, w in enumerate(first):
        kink = points - ((points @ w + b[0][u]) / (w @ w))[:, None] * w
        before = kink @ first.T + b[0]
        before[:, u] = 0.0
        behind = np.maximum(before, 0.0) @ second.T + b[1] > 0
        jumps = (behind * out) @ second[:, u]
        for i in np.flatnonzero((np.abs(kink) <= 1).all(axis=1) & (jumps < -d[u] - 1e-9))[:30]:
            assert d[u] >= 0  # what pays bends up everywhere
            share = np.where(np.arange(6) == u, 0.5, before[i] > 0)
            touch = (z * share) @ second.T @ (behind[i] * out) + (behind[i] * out) @ b[1]
            assert (touch - (z * share) @ paid - f).max() <= raised.touched.excess + 1e-9
