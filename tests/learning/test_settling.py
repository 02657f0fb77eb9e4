"""ReLUs that never switch are made stable, and the function stays as it is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

import jensen  # noqa: E402
from jensen.bounds.pre_activation import pre_activation_bounds  # noqa: E402
from jensen.learning import ConvexityGuard, make_convex  # noqa: E402
from jensen.learning.settling import can_settle, plain_network, settle_  # noqa: E402

BOX = jensen.Box(-1, 1)


def mlp(*sizes, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def linear(module):
    return [layer for layer in module if isinstance(layer, nn.Linear)]


def stable(module):
    bounds = pre_activation_bounds(plain_network(linear(module)), -1, 1)
    return sum(int(((low >= 0) | (high <= 0)).sum()) for low, high in list(bounds.values())[:-1])


@pytest.mark.parametrize("sizes", [(10, 32, 32, 1), (6, 16, 16, 16, 1), (4, 12, 12, 2)])
def test_the_function_stays_as_it_is_where_no_settled_neuron_switched(sizes):
    module = mlp(*sizes, seed=1)
    with torch.no_grad():
        for layer in linear(module):  # most deep neurons hardly ever switch then
            layer.bias *= 4
    guard, before = ConvexityGuard(module, BOX), stable(module)
    points = torch.from_numpy(ConvexityGuard(module, BOX)._sampler.points(8192))[:, :-1].float()
    with torch.no_grad():
        values = module(points)
        settled = guard.settle()
        assert (module(points) - values).abs().max() < 1e-5 * values.abs().max()
    assert settled > 0
    assert stable(module) >= before + settled


def test_settled_neurons_are_stable_by_bounds_on_either_side():
    module = mlp(2, 3, 1).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        module[0].bias.copy_(torch.tensor([0.9, -0.9, 0.0]))
    on, off = torch.tensor([True, False, False]), torch.tensor([False, True, False])
    sides = (np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    network = plain_network(linear(module))
    assert settle_(linear(module), sides, on, off) == 2
    settled = plain_network(linear(module))
    X = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    inside = (X[:, 0] > -0.9) & (X[:, 1] < 0.9)
    np.testing.assert_allclose(settled(X[inside]), network(X[inside]), atol=1e-12)
    z = X @ settled.blocks[0].weights["input"].T + settled.blocks[0].bias
    assert (z[:, 0] > 0).all()
    assert (z[:, 1] < 0).all()
    assert (z[:, 2] > 0).any()
    assert (z[:, 2] < 0).any()


def test_what_switches_rarely_is_settled_up_to_a_tolerance():
    module = mlp(1, 2, 1).double()
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.copy_(torch.tensor([0.0, 0.99]))
        module[2].weight.copy_(torch.tensor([[1.0, -0.01]]))
    guard = ConvexityGuard(module, BOX)
    assert guard.verify().status == "nonconvex"
    assert guard.settle() == 0
    assert guard.settle(1e-3) == 1
    assert guard.verify().status == "convex"


@pytest.mark.parametrize(
    "domain",
    [
        jensen.Everywhere(),
        jensen.Polyhedron(np.vstack([np.eye(4), -np.eye(4)]), np.ones(8)),
    ],
    ids=str,
)
def test_only_boxes_have_sides_on_which_neurons_can_be_settled(domain):
    guard = ConvexityGuard(mlp(4, 16, 16, 1), domain)
    assert guard.settle(1e-2) == 0


def test_other_modules_are_left_alone():
    frozen = mlp(4, 16, 16, 1)
    frozen[2].bias.requires_grad_(False)
    without = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1, bias=False))
    shared = mlp(4, 4, 4, 1)
    shared[2].bias = shared[0].bias
    leaky = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    for module in (frozen, without, shared, leaky):
        before = {name: value.clone() for name, value in module.state_dict().items()}
        assert ConvexityGuard(module, BOX).settle(1e-2) == 0
        for name, value in module.state_dict().items():
            torch.testing.assert_close(value, before[name])
    assert not can_settle(linear(without))


def test_training_settles_before_it_asks_for_a_proof():
    def error(module):
        x = 2 * torch.rand(64, 8) - 1
        return (module(x)[:, 0] - x.square().sum(1)).square().mean()

    options = {"steps": 200, "round_steps": 60, "samples": 128, "repair_seconds": 0.0}
    torch.manual_seed(0)
    result = make_convex(mlp(8, 16, 16, 1), error, BOX, **options)
    assert result.certified
    assert sum(r.settled for r in result.history) > 0
    assert result.history[-1].open_groups == 0
    torch.manual_seed(0)
    options["rounds"] = 1
    plain = make_convex(mlp(8, 16, 16, 1), error, BOX, settle=False, **options)
    assert [r.settled for r in plain.history] == [0]
