"""Every piecewise linear operation is watched: values, places of kinks, and their jumps."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from jensen.errors import OptionError, UnsupportedOperatorError  # noqa: E402
from jensen.learning.dense import DenseLayers  # noqa: E402
from jensen.learning.kinks import KinkRecorder, Purpose  # noqa: E402
from jensen.learning.watched import WatchedModule, input_shapes  # noqa: E402


class Function(nn.Module):
    """An operation between two linear layers."""

    def __init__(self, operation, width=6, inputs=3):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.operation = operation
        with torch.no_grad():
            sample = operation(torch.zeros(2, width).double())
        self.last = nn.Linear(sample.flatten(1).shape[1], 1)

    def forward(self, x):
        return self.last(self.operation(self.first(x)).flatten(1))


SLOPES = torch.tensor([1.5, -0.5, 0.1, 0.3, -1.0, 0.0], dtype=torch.float64)


def in_place(x):
    y = 1.5 * x
    torch.relu_(y)
    return y + functional.relu(2 * y - 1, inplace=True)


OPERATIONS = {
    "relu": torch.relu,
    "relu in place": in_place,
    "leaky": nn.LeakyReLU(0.2),
    "prelu": lambda x: functional.prelu(x, SLOPES),
    "prelu of one slope": lambda x: torch.prelu(x, SLOPES[:1]),
    "rrelu": nn.RReLU().eval(),
    "abs": torch.abs,
    "clip": lambda x: x.clamp(-0.3, 0.2),
    "clip of one side": lambda x: x.clamp(min=-0.1) + torch.clamp(x, max=0.3),
    "clamp_min": lambda x: torch.clamp_min(x, 0.1) - x.clamp_max(0.3),
    "relu6": lambda x: nn.ReLU6()(20 * x),
    "hardtanh": nn.Hardtanh(-0.2, 0.3),
    "hardsigmoid": lambda x: nn.Hardsigmoid()(5 * x),
    "softshrink": nn.Softshrink(0.2),
    "threshold": nn.Threshold(0.1, 0.1),
    "maximum": lambda x: torch.maximum(x[:, :3], x[:, 3:]),
    "max of two": lambda x: torch.max(x[:, :3], x[:, 3:]) - torch.min(x[:, 1:4], x[:, 3:]),
    "max over a dimension": lambda x: x.reshape(-1, 2, 3).max(dim=1).values,
    "min over a dimension": lambda x: x.reshape(-1, 2, 3).min(2, keepdim=True)[0],
    "amax": lambda x: x.reshape(-1, 2, 3).amax((1, 2), keepdim=True)[:, 0] + x,
    "amin": lambda x: x.amin(-1, keepdim=True) - x,
    "topk": lambda x: x.topk(3, dim=1).values,
    "smallest": lambda x: torch.topk(x, 2, largest=False)[0],
    "sort": lambda x: x.sort(dim=1, descending=True).values,
    "pool 1d": lambda x: nn.MaxPool1d(3, stride=2, padding=1)(x[:, None]),
    "pool 2d": lambda x: nn.MaxPool2d((2, 2), stride=1)(x.reshape(-1, 1, 2, 3)),
    "dilated pool": lambda x: functional.max_pool1d(x[:, None], 2, 1, 0, 3),
    "adaptive pool": lambda x: nn.AdaptiveMaxPool1d(1)(x.reshape(-1, 2, 3)),
    "ensemble over the first dimension": lambda x: torch.stack([x, 2 * x - 0.3, -x - 0.1]).amax(0),
    "weights through a relu": lambda x: x.relu() @ torch.relu(torch.ones(6, 2).double() - 0.5),
}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.second = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x))))).flatten(1)


def watched(name):
    torch.manual_seed(1)
    if name == "residual":
        return WatchedModule(Residual().double(), [(1, 3, 2)])
    return WatchedModule(Function(OPERATIONS[name]).double(), [(3,)])


def crossings(module, count=400):
    """Return points on kinks, unit directions across them, and z as a function of x."""
    generator = torch.Generator().manual_seed(0)
    ends = 3 * torch.randn(count, 2, module.inputs, generator=generator, dtype=torch.float64)
    low, high = ends[:, 0], ends[:, 1]

    def z(x):
        return module.pre_activations(torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1))

    crosses = (z(low) > 0) != (z(high) > 0)
    kink = torch.multinomial(crosses.double() + 1e-9, 1, generator=generator)
    ok = crosses.gather(1, kink)[:, 0]
    direction = (high - low) / (high - low).norm(dim=1, keepdim=True)
    first = z(low).gather(1, kink) > 0
    for _ in range(60):
        middle = (low + high) / 2
        same = (z(middle).gather(1, kink) > 0) == first
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return ((low + high) / 2)[ok], direction[ok], z


@pytest.mark.parametrize("name", [*OPERATIONS, "residual"])
def test_the_jump_is_the_change_of_the_slope_across_a_kink(name):
    module = watched(name)
    at, direction, z = crossings(module)
    assert len(at) > 20
    ones = torch.ones(len(at), 1, dtype=torch.float64)
    zeros = torch.zeros(len(at), dtype=torch.int64)
    jumps = module.jumps(torch.cat([at, ones], 1), zeros, differentiable=False)

    def f(x):
        with torch.no_grad():
            module.module.eval()
            return module.module(x.reshape(-1, *module._shapes[0])).flatten(1)[:, :1]

    step = 1e-5
    before, after = at - step * direction, at + step * direction
    bend = (f(after) + f(before) - 2 * f(at))[:, 0] / step
    slopes = (z(after) - z(before)) / (2 * step)
    # kinks of several operations may lie on one hyperplane
    flips = (z(after) > 0) != (z(before) > 0)
    expected = (flips * jumps * slopes.abs()).sum(1)
    agree = ((bend - expected).abs() < 1e-6 * (1 + expected.abs())).double().mean()
    assert agree > 0.9
    assert (expected.abs() > 1e-4).any()


@pytest.mark.parametrize("name", [*OPERATIONS, "residual"])
def test_a_watched_run_computes_what_the_module_computes(name):
    module = watched(name)
    x = torch.randn(7, module.inputs, dtype=torch.float64)
    module.module.eval()
    with torch.no_grad():
        expected = module.module(x.reshape(-1, *module._shapes[0])).flatten(1)
        run = KinkRecorder(Purpose.VALUES, module._depends)
        found = module._run(run, torch.cat([x, torch.ones(7, 1, dtype=torch.float64)], 1))
    torch.testing.assert_close(found, expected)


def test_jumps_can_be_differentiated_in_the_weights():
    module = watched("leaky")
    points = torch.randn(4, 4, dtype=torch.float64).abs()
    zeros = torch.zeros(4, dtype=torch.int64)
    jumps = module.jumps(points, zeros)
    weight = module.module.last.weight
    (slope,) = torch.autograd.grad(jumps[:, 2].sum(), weight)
    expected = torch.zeros_like(weight)
    expected[0, 2] = 4 * 0.8
    torch.testing.assert_close(slope, expected)
    with torch.no_grad():
        torch.testing.assert_close(jumps, (0.8 * weight).expand(4, -1))


STACKS = {
    "two layers": [nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)],
    "a last relu": [nn.Linear(3, 4), nn.Dropout(), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()],
    "leaky": [nn.Linear(3, 6), nn.LeakyReLU(0.2), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)],
    "a relu of the input": [nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 2, bias=False)],
    "the same layer twice": [layer := nn.Linear(3, 3), nn.ReLU(), layer, nn.ReLU(inplace=True)],
}


@pytest.mark.parametrize("name", STACKS)
def test_plain_stacks_have_the_jumps_and_gradients_of_any_module(name):
    stack = nn.Sequential(*STACKS[name]).double()
    plain, general = WatchedModule(stack, [(3,)]), WatchedModule(nn.Sequential(stack), [(3,)])
    assert plain._dense is not None
    assert general._dense is None
    generator = torch.Generator().manual_seed(2)
    points = torch.randn(64, 4, generator=generator, dtype=torch.float64)
    points[:, -1] = points[:, -1].abs()
    every = plain.pre_activations(points).shape[1]
    kinks = torch.randint(every, (64,), generator=generator)
    outputs = torch.randint(2, (64,), generator=generator)
    found, gradients = [], []
    for seen in (plain, general):
        jumps = seen.jumps_at(points, kinks, outputs)
        found.append(jumps.detach())
        terms = jumps.square().sum()
        gradients.append(
            torch.autograd.grad(terms, list(stack.parameters()), materialize_grads=True)
        )
        with torch.no_grad():
            assert not seen.jumps_at(points, kinks, outputs).requires_grad
    assert found[0].any()
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)


def test_stacks_with_hooks_or_other_layers_are_no_plain_ones():
    dense = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    hooked = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    for module in (nn.Sequential(hooked, nn.ReLU()), nn.Sequential(dense, nn.ReLU()), nn.ReLU()):
        assert DenseLayers.of(module) is None
    assert DenseLayers.of(dense) is not None
    dense.register_forward_hook(lambda module, inputs, output: -output)
    assert DenseLayers.of(dense) is None


def test_relus_of_weights_are_no_kinks():
    module = watched("weights through a relu")
    points = torch.ones(3, 4, dtype=torch.float64)
    assert module.pre_activations(points).shape == (3, 6)


def test_a_point_at_infinity_is_looked_at_in_the_cone():
    module = watched("relu")
    x = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    weight, bias = module.module.first.weight, module.module.first.bias
    t = 1e-3
    found = module.pre_activations(torch.cat([x, torch.full((1, 1), t, dtype=x.dtype)], 1))
    torch.testing.assert_close(found, (x @ weight.T + t * bias).detach())


def test_the_mode_and_the_gradients_of_the_module_stay():
    module = Residual().double().train()
    module.norm.eval()
    module.first.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    seen = WatchedModule(module, [(1, 3, 2)])
    seen.jumps(torch.ones(2, 7, dtype=torch.float64), torch.zeros(2, dtype=torch.int64))
    assert module.training
    assert module.second.training
    assert not module.norm.training
    assert not module.first.weight.requires_grad
    assert module.second.weight.requires_grad
    assert module.second.weight.grad is None
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_kinks_that_nobody_records_are_noticed():
    bends = Function(lambda x: torch.where(x > 0, x, 0.5 * x))
    with pytest.raises(UnsupportedOperatorError, match="bends in an operation"):
        WatchedModule(bends, [(3,)])


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: x - torch.relu(x).max(), "over all dimensions"),
        (lambda x: torch.relu(x.reshape(-1)).reshape(x.shape), "batch as a dimension"),
        (lambda x: functional.max_pool1d(x[:, None], 2, ceil_mode=True), "ceil_mode"),
        (lambda x: functional.threshold(x, 0.0, 1.0), "not continuous"),
    ],
)
def test_operations_that_cannot_be_watched_are_refused(operation, message):
    with pytest.raises(UnsupportedOperatorError, match=message):
        WatchedModule(Function(operation), [(3,)])


def test_shapes_are_taken_from_the_domain_or_the_first_linear_layer():
    module = nn.Sequential(nn.Linear(7, 2))
    assert input_shapes(module, 5, None) == [(5,)]
    assert input_shapes(module, None, None) == [(7,)]
    assert input_shapes(module, None, 4) == [(4,)]
    assert input_shapes(module, None, (1, 2)) == [(1, 2)]
    assert input_shapes(module, None, [(2,), (3,)]) == [(2,), (3,)]
    with pytest.raises(OptionError, match="input_shape"):
        input_shapes(nn.Sequential(nn.Conv1d(1, 1, 1)), None, None)
