"""Where, between branches whose difference is a square: Huber's function as torch exports it."""

import numpy as np
import pytest

import jensen
from jensen import Status

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Sum(torch.nn.Module):
    def __init__(self, function, inputs=3, rows=4):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(inputs, rows)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x)).sum(-1, keepdim=True)


def zeros(z):
    return torch.zeros_like(z)


def loss_module(function, reduction):
    """A linear layer of one unit, or of several that the loss reduces to one number."""
    return Sum(function, rows=1 if reduction == "none" else 4)


CASES = {
    "huber": lambda z: F.huber_loss(z, zeros(z), reduction="none"),
    "huber of another width": lambda z: F.huber_loss(z, zeros(z), reduction="none", delta=0.05),
    "smooth l1": lambda z: F.smooth_l1_loss(z, zeros(z), reduction="none"),
    "smooth l1 of another width": lambda z: F.smooth_l1_loss(
        z, zeros(z), reduction="none", beta=0.25
    ),
    "one side": lambda z: torch.where(z > 1, 2 * z - 1, z * z),
    "a square above 0": lambda z: torch.where(z > 0, z * z, 0.0 * z),
}


@pytest.mark.parametrize("name", CASES)
def test_what_torch_exports_is_read_and_proved(name):
    module = Sum(CASES[name])
    network = jensen.from_torch(module, (3,))
    assert jensen.verify(network).status is Status.CONVEX
    x = 2 * np.random.default_rng(0).normal(size=(500, 3))
    with torch.no_grad():
        expected = module(torch.tensor(x, dtype=torch.float32)).numpy()
    assert np.abs(network(x) - expected).max() < 1e-5


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("delta", [0.05, 0.3, 123.456])
def test_hubers_function_in_doubles_keeps_a_width_that_float32_rounds(reduction, delta):
    def function(z):
        return F.huber_loss(z, zeros(z), reduction=reduction, delta=delta).reshape(-1, 1)

    module = loss_module(function, reduction).double()
    network = jensen.from_torch(module, (3,))
    assert jensen.verify(network).status is Status.CONVEX
    with torch.no_grad():
        for x in 3 * np.random.default_rng(0).normal(size=(50, 3)):
            expected = module(torch.tensor(x[None])).item()
            assert abs(network(x)[0] - expected) <= 1e-12 * max(1.0, abs(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("beta", [0.0, 0.05, 0.25, 0.3, 123.456])
def test_smooth_l1_of_any_width_is_a_multiple_of_hubers_function(beta, reduction, dtype):
    def function(z):
        return F.smooth_l1_loss(z, zeros(z), reduction=reduction, beta=beta).reshape(-1, 1)

    module = loss_module(function, reduction).to(dtype)
    network = jensen.from_torch(module, (3,))
    assert jensen.verify(network).status is Status.CONVEX
    rounds = {0.05, 0.3, 123.456}
    assert any("reciprocals" in line for line in network.roundings) == (beta in rounds)
    close = 1e-5 if dtype is torch.float32 else 1e-12
    with torch.no_grad():
        for x in 3 * np.random.default_rng(0).normal(size=(50, 3)):
            given = torch.tensor(x[None], dtype=dtype)
            expected = module(given).item()
            assert abs(network(given.numpy()[0])[0] - expected) <= close * max(1.0, abs(expected))


def test_what_no_rule_mends_is_refused_with_the_first_error():
    module = Sum(lambda z: torch.where(z > 1, 2 * z - 1.5, z * z) + F.smooth_l1_loss(z, 0.1 * z))
    with pytest.raises(jensen.errors.UnsupportedOperatorError, match="may jump"):
        jensen.from_torch(module, (3,))


def test_a_jump_beside_a_square_is_still_refused():
    module = Sum(lambda z: torch.where(z > 1, 2 * z - 1.5, z * z))
    with pytest.raises(jensen.errors.UnsupportedOperatorError, match="may jump"):
        jensen.from_torch(module, (3,))


def test_half_a_number_times_itself_is_a_square():
    network = jensen.from_torch(Sum(lambda z: 0.5 * z * z), (3,))
    assert "power" in {str(node.function) for node in network.nodes}
    assert jensen.verify(network).status is Status.CONVEX


def test_an_advantage_with_a_diagonal_of_exponentials_is_read():
    class Advantage(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.lower, self.mean = torch.nn.Linear(2, 4), torch.nn.Linear(2, 2)

        def forward(self, xu):
            x, u = xu[:, :2], xu[:, 2:]
            lower = self.lower(x).view(-1, 2, 2)
            diagonal = torch.diag_embed(torch.exp(torch.diagonal(lower, dim1=1, dim2=2)))
            step = (u - self.mean(x)).unsqueeze(1) @ (torch.tril(lower, -1) + diagonal)
            return -step.square().sum(dim=2)

    network = jensen.from_torch(Advantage(), (4,))
    assert jensen.verify(network, inputs=(2, 3), concave=True).status is Status.CONVEX
