"""Five published input-convex architectures, built small from their definitions.

Convex ones are proved by composition; one wrong sign is refuted by a pair that 200 bits confirm.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from smooth_graphs import oracle_violation

import jensen
from jensen import Box, Everywhere, Status

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional
WIDTH = 6


class ConvexQuadratic(nn.Module):
    """``sum_r (x A_r)^2 + W x + b``: a layer of quadratic forms of low rank."""

    def __init__(self, inputs, outputs, rank=2):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(inputs, rank, outputs))
        self.affine = nn.Linear(inputs, outputs)

    def forward(self, x):
        squares = (x.matmul(self.factors.transpose(1, 0)).transpose(1, 0)).pow(2).sum(dim=1)
        return squares + self.affine(x)


class OtIcnn(nn.Module):
    """Optimal transport: dense layers with quadratic skips and CELU (Korotin et al. 2021)."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.quadratic = nn.ModuleList([ConvexQuadratic(2, WIDTH) for _ in range(2)])
        self.convex = nn.ModuleList([nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, 1)])
        for layer in self.convex:
            layer.weight.data.abs_()
        self.convex[-1].weight.data[0, 1] -= wrong

    def forward(self, x):
        z = F.celu(self.quadratic[0](x))
        z = F.celu(self.convex[0](z) + self.quadratic[1](x))
        return self.convex[1](z) + 0.05 * (x**2).sum(dim=1, keepdim=True)


class W2Icnn(nn.Module):
    """Wasserstein-2: a dense input-convex network, CELU, squares of the first layer (2020)."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.first = nn.Linear(2, WIDTH)
        self.skip = nn.Linear(2, WIDTH)
        self.inner = nn.Linear(WIDTH, WIDTH, bias=False)
        self.last = nn.Linear(WIDTH, 1, bias=False)
        for layer in (self.inner, self.last):
            layer.weight.data.abs_()
        self.last.weight.data[0, 0] -= wrong

    def forward(self, x):
        z = F.celu(self.first(x), alpha=0.5)
        z = z * 1.0 + F.leaky_relu(self.first(x), 0.2)
        z = F.celu(self.inner(z) + self.skip(x))
        return self.last(z) + 0.5 * torch.sum(x * x, dim=1, keepdim=True)


class ConvexPotentialFlow(nn.Module):
    """A potential of softplus layers with weights that are softplus themselves (2021)."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.first = nn.Linear(2, WIDTH)
        self.raw = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.skip = nn.Linear(2, WIDTH)
        self.last = nn.Parameter(torch.randn(1, WIDTH))
        self.strength = nn.Parameter(torch.tensor(0.3))
        self.wrong = torch.zeros(1, WIDTH)
        self.wrong[0, 2] = wrong

    def forward(self, x):
        h = F.softplus(self.first(x))
        h = F.softplus(F.linear(h, F.softplus(self.raw)) / WIDTH + self.skip(x))
        top = F.linear(h, F.softplus(self.last) - self.wrong)
        return top + F.softplus(self.strength) * 0.5 * (x * x).sum(dim=1, keepdim=True)


class QuadraticSkipIcnn(nn.Module):
    """A regulariser of an imaging library: ReLU layers, quadratic skips, strong convexity."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.start = nn.Linear(2, WIDTH)
        self.linear = nn.Linear(2, WIDTH)
        self.square = nn.Linear(2, WIDTH, bias=False)
        self.positive = nn.Linear(WIDTH, WIDTH, bias=False)
        self.final = nn.Linear(WIDTH, 1, bias=False)
        for layer in (self.positive, self.final):
            layer.weight.data.abs_()
        self.final.weight.data[0, 0] -= wrong

    def forward(self, x):
        z = F.leaky_relu(self.start(x) + self.square(x) ** 2, 0.2)
        z = F.leaky_relu(self.positive(z) + self.linear(x) + self.square(x) ** 2, 0.2)
        return self.final(z) + 0.1 * torch.norm(x, dim=1, keepdim=True) ** 2


class Picnn(nn.Module):
    """Partially input-convex: gates are functions of the context (Amos, Xu, Kolter 2017)."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.context = nn.Linear(2, WIDTH)
        self.bias = nn.ModuleList([nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)])
        self.first = nn.Linear(2, WIDTH, bias=False)
        self.gate = nn.Linear(WIDTH, WIDTH)
        self.skip_gate = nn.Linear(WIDTH, 2)
        self.skip = nn.Linear(2, 1, bias=False)
        self.last = nn.Linear(WIDTH, 1, bias=False)
        self.last.weight.data.abs_()
        self.last.weight.data[0, 0] -= wrong

    def forward(self, both):
        x, c = both[:, :2], both[:, 2:]
        u = F.relu(self.context(c))
        z = F.softplus(self.first(x) + self.bias[0](c))
        z = z * F.relu(self.gate(u))
        return self.last(z) + self.skip(x * self.skip_gate(u)) + self.bias[1](u)


FULL = [OtIcnn, W2Icnn, ConvexPotentialFlow, QuadraticSkipIcnn]
IDS = [family.__name__ for family in FULL]


def built(family, wrong=0.0):
    torch.manual_seed(0)
    return family(wrong).eval()


@cache
def read(family, wrong=0.0):
    """Return the network of a family: torch's exporter takes seconds."""
    return jensen.from_torch(built(family, wrong), (4 if family is Picnn else 2,))


@pytest.mark.parametrize("family", FULL, ids=IDS)
def test_convex_families_are_proved_on_a_box_and_everywhere(family):
    network = read(family)
    for domain in (Box(-2, 2), Everywhere()):
        verdict = jensen.verify(network, domain)
        assert verdict.status is Status.CONVEX, verdict.note


POSITIVE = {
    OtIcnn: lambda m: [*m.convex],
    W2Icnn: lambda m: [m.inner, m.last],
    ConvexPotentialFlow: lambda m: [],
    QuadraticSkipIcnn: lambda m: [m.positive, m.final],
    Picnn: lambda m: [m.last],
}
STEPS = 60


def trained(family):
    """Fit a family to a function, its signs kept after every step."""
    module, generator = built(family), torch.Generator().manual_seed(1)
    X = torch.rand(128, 4 if family is Picnn else 2, generator=generator) * 4 - 2
    Y = X[:, :1].abs() + torch.logsumexp(X, dim=1, keepdim=True)
    optimiser = torch.optim.Adam(module.parameters(), 0.02)
    losses = []
    for _ in range(STEPS):
        loss = ((module(X) - Y) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for layer in POSITIVE[family](module):
            layer.weight.data.clamp_(min=0)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    return module.eval()


@pytest.mark.parametrize("family", [*FULL, Picnn], ids=[*IDS, "Picnn"])
def test_trained_families_are_proved_and_refuted_with_one_wrong_sign(family):
    module = trained(family)
    inputs = (0, 1) if family is Picnn else None
    size = 4 if family is Picnn else 2
    verdict = jensen.verify(jensen.from_torch(module, (size,)), Box(-2, 2), inputs=inputs)
    assert verdict.status is Status.CONVEX, verdict.note
    if family is ConvexPotentialFlow:
        module.wrong[0, 2] = 40.0
    else:
        weight = POSITIVE[family](module)[-1].weight.data
        weight[0, int(weight[0].argmax())] -= 40.0
    wrong = jensen.from_torch(module, (size,))
    verdict = jensen.verify(wrong, Box(-2, 2), inputs=inputs)
    assert verdict.status is Status.NONCONVEX, verdict.note
    pair = verdict.counterexample
    assert oracle_violation(wrong, pair.x, pair.y) > 0


@pytest.mark.parametrize("family", FULL, ids=IDS)
def test_one_wrong_sign_is_refuted(family):
    network = read(family, 40.0)
    verdict = jensen.verify(network, Box(-2, 2))
    assert verdict.status is Status.NONCONVEX, verdict.note
    pair = verdict.counterexample
    assert oracle_violation(network, pair.x, pair.y) > 0


def test_a_partially_convex_network_is_proved_in_its_convex_inputs_only():
    network = read(Picnn)
    domain = Box(-1, 1)
    assert jensen.verify(network, domain, inputs=(0, 1)).status is Status.CONVEX
    assert jensen.verify(network, inputs=(0, 1)).status is Status.CONVEX
    assert jensen.verify(network, domain).status is not Status.CONVEX
    wrong = read(Picnn, 40.0)
    verdict = jensen.verify(wrong, domain, inputs=(0, 1))
    assert verdict.status is Status.NONCONVEX
    pair = verdict.counterexample
    assert pair.x[2:] == pair.y[2:]
    assert oracle_violation(wrong, pair.x, pair.y) > 0


@pytest.mark.parametrize("family", [*FULL, Picnn], ids=[*IDS, "Picnn"])
def test_loaded_families_agree_with_torch_and_onnxruntime(family, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    size = 4 if family is Picnn else 2
    module = built(family)
    path = tmp_path / "model.onnx"
    torch.onnx.export(module, (torch.zeros(1, size),), str(path), dynamo=True, verbose=False)
    network, direct = jensen.load(path), read(family)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    X = np.random.default_rng(0).normal(size=(20, size)).astype(np.float32)
    for x in X:
        (found,) = session.run(None, {session.get_inputs()[0].name: x[None]})
        with torch.no_grad():
            expected = module(torch.from_numpy(x[None])).numpy()
        value = network(x.astype(float)[None])
        assert np.allclose(found, value, rtol=1e-4, atol=1e-4)
        assert np.allclose(expected, value, rtol=1e-4, atol=1e-4)
    assert network.digest == direct.digest
