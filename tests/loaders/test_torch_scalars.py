"""Python numbers in float64 modules: the exporter narrows them, the network must not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import jensen  # noqa: E402
from jensen.errors import UnsupportedOperatorError  # noqa: E402
from jensen.loaders import from_torch, load  # noqa: E402
from jensen.loaders.torch_scalars import with_exact_scalars  # noqa: E402
from jensen.verdicts.verdict import Status  # noqa: E402

SIZE = 3
KEEP = torch.tensor([True, False, True])
EYE = torch.eye(SIZE, dtype=torch.float64)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.ones = nn.Parameter(torch.ones(SIZE, dtype=torch.float64))

    def forward(self, x):
        return self.function(x * self.ones)


def under_no_grad(x):
    with torch.no_grad():
        return x * 0.1


FUNCTIONS = {
    "mul": lambda x: x * 0.1,
    "add": lambda x: x + 0.1,
    "sub": lambda x: x - 0.1,
    "rsub": lambda x: 0.1 - x,
    "div": lambda x: x / 0.3,
    "in place": lambda x: torch.relu(x).mul_(0.1).add_(0.7).clamp_(0.1, 0.75),
    "alpha": lambda x: torch.add(x, x.flip(1), alpha=0.3),
    "sub alpha": lambda x: torch.sub(x, 0.7, alpha=0.3),
    "rsub alpha": lambda x: torch.rsub(x, x.flip(1), alpha=0.3),
    "clamp": lambda x: x.clamp(-0.1, 0.7),
    "clamp_min": lambda x: x.clamp(min=0.1),
    "clamp_max": lambda x: x.clamp(max=0.1),
    "hardtanh": lambda x: functional.hardtanh(x, -0.1, 0.3),
    "hard sigmoid": functional.hardsigmoid,
    "leaky": lambda x: functional.leaky_relu(x, 0.1),
    "leaky by default": functional.leaky_relu,
    "lerp": lambda x: torch.lerp(x, x.flip(1), 0.3),
    "pad": lambda x: functional.pad(x, (1, 1), value=0.1),
    "full": lambda x: x + torch.full((SIZE,), 0.1, dtype=torch.float64),
    "full like": lambda x: torch.full_like(x, 0.1) - x,
    "where": lambda x: torch.where(KEEP, x, 0.1),
    "soft shrink": lambda x: functional.softshrink(x, 0.3),
    "threshold": lambda x: functional.threshold(x, 0.3, 0.3),
    "comparisons": lambda x: torch.where(x > 0.1, x, 0.1) + torch.where(x <= 0.3, 0.3, x),
    "fill below": lambda x: x.masked_fill(x < 0.1, 0.1),
    "masked fill": lambda x: x.masked_fill(KEEP, 0.1),
    "addmm": lambda x: torch.addmm(x, x, EYE, beta=0.3, alpha=0.7),
    "addcmul": lambda x: torch.addcmul(x, x, EYE[:1] + 1, value=0.3),
    "no_grad": under_no_grad,
    "tiny": lambda x: x * 1.1e-40 + x * 1.1e-30,
    "huge": lambda x: x * 1.1e70,
    "batch norm": nn.BatchNorm1d(SIZE, eps=1e-3).double(),
}
# an export takes about two seconds
OFTEN = {"mul", "in place", "alpha", "clamp", "leaky by default", "lerp", "batch norm", "tiny"}
CASES = [pytest.param(n, marks=() if n in OFTEN else pytest.mark.slow) for n in FUNCTIONS]


@pytest.mark.parametrize("name", CASES)
def test_every_number_is_taken_in_full_precision(name):
    module = Function(FUNCTIONS[name]).eval()
    network = from_torch(module, (SIZE,))  # compares to a few units of rounding itself
    for scale in (0.01, 1.0, 30.0):
        x = torch.linspace(-1, 1, SIZE, dtype=torch.float64)[None] * scale
        expected = module(x)[0].tolist()
        found = network(x.numpy())[0].tolist()
        for a, b in zip(found, expected, strict=True):
            assert a == pytest.approx(b, rel=1e-15, abs=1e-15 * scale)


BEHIND_A_LAYER = {
    "difference": lambda z: torch.where(z > 0.3, z - 0.3, 0.0),
    "multiple": lambda z: torch.where(z > 0.3, 3.0 * (z - 0.3), 0.0),
    "maximum": lambda z: torch.where(z >= 0.3, z, 0.3),
}


@pytest.mark.parametrize("name", BEHIND_A_LAYER)
def test_thresholds_that_doubles_do_not_hold_beside_a_bias_are_kept_exactly(name):
    """z - 0.3 is no affine map in doubles where z has a bias; it is compared over the rationals."""
    torch.manual_seed(0)
    layer = nn.Linear(2, 3).double()
    function = BEHIND_A_LAYER[name]
    module = nn.Sequential(layer, Function(function)).eval()
    network = from_torch(module, (2,))
    x = torch.randn(50, 2, dtype=torch.float64)
    np.testing.assert_allclose(network(x.numpy()), module(x).detach().numpy(), atol=1e-15)


def test_a_jump_of_a_last_digit_is_a_jump():
    jump = Function(lambda z: torch.where(z > 0.3, 3 * z - 0.9, 0.0))
    module = nn.Sequential(nn.Linear(2, 1).double(), jump).eval()
    with pytest.raises(UnsupportedOperatorError, match=r"values jump by 5\.55112e-17"):
        from_torch(module, (2,))


def hinges(up: float, down: float):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x):
            z = torch.relu(x * self.one)
            return z * up - z * down

    return from_torch(Scaled(), (1,))


@pytest.mark.parametrize(
    ("up", "down", "status"),
    [
        (0.1, 0.1 + 1e-10, Status.NONCONVEX),
        (0.1 + 1e-10, 0.1, Status.CONVEX),
        (0.1, 0.1, Status.CONVEX),
        (0.1, 0.1 + 2.0**-56, Status.NONCONVEX),
        (0.1 + 2.0**-56, 0.1, Status.CONVEX),
    ],
)
def test_a_difference_in_the_last_digit_decides(up, down, status):
    """float32 made 0.1 relu(x) - (0.1 + 1e-10) relu(x) convex, with a certificate."""
    verdict = jensen.verify(hinges(up, down))
    assert verdict.status is status
    if verdict.counterexample is not None:
        slope = Fraction(down) - Fraction(up)
        pair = verdict.counterexample
        assert pair.violation <= slope * max(abs(pair.x[0]), abs(pair.y[0]))


def test_an_exported_program_keeps_its_numbers(tmp_path):
    class Leaky(nn.Module):
        def forward(self, x):
            return functional.leaky_relu(x, 0.1) * 0.3

    path = tmp_path / "m.pt2"
    dims = ({0: torch.export.Dim("batch", max=64)},)
    sample = torch.zeros(2, SIZE, dtype=torch.float64)
    torch.export.save(torch.export.export(Leaky(), (sample,), dynamic_shapes=dims), path)
    network = load(path)
    x = torch.tensor([[-1.0, 0.7, -0.3]], dtype=torch.float64)
    expected = Leaky()(x)[0].tolist()
    assert network(x.numpy())[0].tolist() == pytest.approx(expected, rel=1e-15)


def test_what_needs_no_change_is_left_alone():
    single = torch.export.export(nn.LeakyReLU(0.1), (torch.zeros(1, SIZE),))
    assert with_exact_scalars(single) is single
    sample = torch.zeros(1, SIZE, dtype=torch.float64)
    exact = torch.export.export(Function(lambda x: x * 0.25 + 3), (sample,))
    assert with_exact_scalars(exact) is exact


class HalfFunction(nn.Module):
    def __init__(self, function, dtype):
        super().__init__()
        self.function = function
        self.ones = nn.Parameter(torch.ones(SIZE, dtype=dtype))

    def forward(self, x):
        return self.function(x * self.ones)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_numbers_of_half_precision_are_not_narrowed_in_silence(dtype):
    module = HalfFunction(lambda x: 0.1 * torch.relu(x) - 0.1002 * torch.relu(x), dtype)
    network = from_torch(module, SIZE)
    point = [Fraction(1)] * SIZE
    slope = Fraction(float(torch.tensor(0.1))) - Fraction(float(torch.tensor(0.1002)))
    assert abs(network.exact(point)[0] - slope) < Fraction(1, 10**9)
    assert jensen.verify(network, jensen.Box(-1, 1)).status == Status.NONCONVEX
    (rounding,) = network.roundings
    assert "(0.1, 0.1002) are taken as torch.float32" in rounding
    assert module.ones.dtype == dtype


def test_half_precision_without_such_numbers_is_read_as_it_is():
    network = from_torch(HalfFunction(lambda x: torch.relu(x) * 0.25, torch.float16), SIZE)
    assert network.exact([Fraction(1)] * SIZE)[0] == Fraction(1, 4)
    assert network.roundings == ()


def test_a_module_of_half_precision_that_cannot_be_copied_is_refused():
    class Alone(HalfFunction):
        def __deepcopy__(self, memo):
            raise RuntimeError("there is one only")

    with pytest.raises(jensen.ModelFileError, match=r"float32, as module\.float"):
        from_torch(Alone(torch.relu, torch.float16), SIZE)


def test_a_program_of_half_precision_with_such_numbers_is_refused(tmp_path):
    module = HalfFunction(lambda x: torch.relu(x) * 0.1, torch.float16)
    sample = (torch.zeros(1, SIZE, dtype=torch.float16),)
    path = tmp_path / "half.pt2"
    torch.export.save(torch.export.export(module, sample), path)
    with pytest.raises(jensen.ModelFileError, match=r"does not hold \(0.1\).*module.float\(\)"):
        load(path)
