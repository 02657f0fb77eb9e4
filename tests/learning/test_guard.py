"""The penalty sees the kinks that bend down, and the proof says whether any is left."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

import jensen  # noqa: E402
from jensen.learning import ConvexityGuard, make_convex  # noqa: E402
from jensen.learning.crossings import BUFFER, Crossings, Memory  # noqa: E402
from jensen.verdicts.evidence import Counterexample  # noqa: E402


def mlp(*sizes, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def hinges(weights, slopes, biases):
    """Return ``sum_i w_i relu(s_i x + b_i)`` of one input."""
    module = mlp(1, len(weights), 1).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor(slopes)[:, None])
        module[0].bias.copy_(torch.tensor(biases))
        module[2].weight.copy_(torch.tensor(weights)[None])
    return module


DOMAINS = {
    "box": jensen.Box(-2, 2),
    "polyhedron": jensen.Polyhedron([[1.0], [-1.0]], [2, 2]),
    "everywhere": jensen.Everywhere(),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_the_penalty_is_the_mean_shortfall_of_the_jumps(name):
    # both kinks lie in the domain and are met equally often
    module = hinges([3.0, -1.0], [1.0, -1.0], [0.5, 0.5])
    guard = ConvexityGuard(module, DOMAINS[name], margin=0.25)
    penalty = guard.penalty(samples=4000)
    assert penalty.item() == pytest.approx((0 + 1.25) / 2, rel=0.1)
    penalty.backward()
    slope = module[2].weight.grad[0]
    assert slope[0] == 0
    assert slope[1].item() == pytest.approx(-0.5, rel=0.1)
    assert guard.search(512) == -1.0
    assert guard.remembered > 0


def test_kinks_outside_the_domain_cost_nothing():
    module = hinges([1.0, -1.0], [1.0, 1.0], [0.0, -5.0])
    guard = ConvexityGuard(module, jensen.Box(-2, 2), margin=0.5)
    assert guard.penalty().item() == 0
    assert guard.search(512) == 1
    assert guard.verify().status == "convex"
    wide = ConvexityGuard(module, jensen.Everywhere(), margin=0)
    assert wide.penalty().item() > 0.2


def test_a_module_without_kinks_in_the_domain_has_no_penalty():
    guard = ConvexityGuard(nn.Sequential(nn.Linear(2, 1)), jensen.Box(-1, 1))
    penalty = guard.penalty()
    penalty.backward()
    assert penalty.item() == 0
    assert guard.search() == float("inf")


def test_what_refutes_the_module_is_remembered_and_penalised():
    # a needle: the kink at 0.9995 bends down, and 4 random segments in 10,000 cross it
    module = hinges([1.0, -0.5], [1.0, 1.0], [0.0, -0.9995])
    guard = ConvexityGuard(module, jensen.Box(-1, 1), margin=0.0)
    verdict = guard.verify()
    assert verdict.status == "nonconvex"
    assert guard.remembered == 1
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        guard.penalty().backward()
        optimizer.step()
    assert guard.verify().status == "convex"
    assert module[2].weight[0, 1] >= 0


def needle(width=0.002):
    """A bowl of four inputs with a corner cut off: a kink that bends down in few places."""
    module = mlp(4, 9, 1).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.cat([torch.eye(4), -torch.eye(4), torch.ones(1, 4)]))
        module[0].bias.copy_(torch.tensor([0.0] * 8 + [width - 4.0]))
        module[2].weight.copy_(torch.tensor([[1.0] * 8 + [-1e-3]]))
    return module


@pytest.mark.parametrize("output", [None, 0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_descents_find_what_random_segments_never_meet(sign, output):
    module = needle(width=1e-6)
    with torch.no_grad():
        module[2].weight *= sign
    guard = ConvexityGuard(module, jensen.Box(-1, 1), margin=0.0, concave=sign < 0, output=output)
    guard._sampler._rng = np.random.default_rng(1)
    assert guard.descend() == pytest.approx(-1e-3)
    assert guard.remembered > 0
    # where they end is on the kink of that neuron
    found = guard._memory.drawn(50)
    assert set(found.kinks.tolist()) == {8}
    assert found.points[:, :-1].sum(dim=1).numpy() == pytest.approx(4.0, abs=1e-5)


def test_descents_of_modules_that_are_no_stacks_and_of_partial_convexity():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = needle(width=0.5)

        def forward(self, x):
            return self.stack(x) + 0.0 * x.sum(1, keepdim=True)

    guard = ConvexityGuard(Skip(), jensen.Box(-1, 1), margin=0.0)
    assert guard.descend() == pytest.approx(-1e-3)
    some = ConvexityGuard(needle(), jensen.Box(-1, 1), inputs=[0])
    assert some.descend() == float("inf")
    flat = ConvexityGuard(nn.Sequential(nn.Linear(2, 1)), jensen.Box(-1, 1))
    assert flat.descend() == float("inf")


def test_a_refuting_pair_too_near_for_single_precision_is_remembered_all_the_same():
    module = hinges([1.0, -0.5], [1.0, 1.0], [0.0, -0.5]).float()
    guard = ConvexityGuard(module, jensen.Box(-1, 1), margin=0.0)
    x, y = Fraction(1, 2) - Fraction(1, 10**12), Fraction(1, 2) + Fraction(1, 10**12)
    guard._remember_pair(Counterexample((x,), (y,), Fraction(1)), 0)
    assert guard.remembered == 1
    assert guard._memory.drawn(1).kinks.tolist() == [1]


def test_the_oldest_points_are_forgotten_first():
    generator = torch.Generator().manual_seed(0)
    memory = Memory(1, generator)
    for first in range(0, BUFFER + 100, 100):
        index = torch.arange(first, first + 100)
        memory.add(Crossings(torch.stack([index, index], dim=1), index, index))
    assert len(memory) == BUFFER
    drawn = memory.drawn(2000)
    newest = first + 99
    assert newest - BUFFER < drawn.kinks.min()
    assert drawn.kinks.max() <= newest
    # half of them from the newest quarter
    assert (drawn.kinks > newest - BUFFER // 4).double().mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.points[:, 0].long().tolist() == drawn.kinks.tolist()


def test_points_that_are_given_carry_the_segments():
    module = hinges([1.0, -1.0], [1.0, 1.0], [1.0, -1.0])
    guard = ConvexityGuard(module, jensen.Box(-2, 2), margin=0.0)
    left = torch.linspace(-2, 0, 64)[:, None]
    assert guard.penalty(left).item() == 0
    assert guard.penalty(-left).item() == 1
    assert guard.penalty(left).item() == 0
    guard = ConvexityGuard(module, jensen.Box(-2, 2))
    with pytest.raises(jensen.NetworkError, match=r"need \(n, 1\)"):
        guard.penalty(torch.zeros(3, 2))
    with pytest.raises(jensen.NetworkError, match=r"shape \(3,\): need \(n, 1\)"):
        guard.penalty(torch.zeros(3))


def test_concavity_is_convexity_of_the_negative():
    module = hinges([-3.0, 1.0], [1.0, -1.0], [0.5, 0.5])
    guard = ConvexityGuard(module, jensen.Box(-2, 2), concave=True, margin=0.0)
    assert guard.penalty(samples=2000).item() == pytest.approx(0.5, rel=0.1)
    assert guard.verify().claim == "concave"


class TwoInputs(nn.Module):
    """``|x| - |p|``: convex in x, concave in p."""

    def forward(self, x, p):
        return x.abs() - p.abs()


def test_partial_convexity_and_several_inputs():
    shapes = [(1,), (1,)]
    box = jensen.Box(-1, 1)
    both = ConvexityGuard(TwoInputs(), box, input_shape=shapes, margin=0)
    assert both.penalty().item() > 0.5
    first = ConvexityGuard(TwoInputs(), box, input_shape=shapes, margin=0, inputs=[0])
    assert first.penalty().item() == 0
    assert first.verify().status == "convex"
    second = ConvexityGuard(TwoInputs(), box, input_shape=shapes, inputs=[1], concave=True)
    assert second.penalty().item() == 0


def test_several_outputs_are_kept_convex_together_or_one_by_one():
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        module[0].weight.fill_(1), module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([[1.0], [-1.0]]))
    box = jensen.Box(-1, 1)
    assert ConvexityGuard(module, box, margin=0, output=0).penalty().item() == 0
    assert ConvexityGuard(module, box, margin=0, output=1).penalty().item() == 1
    both = ConvexityGuard(module, box, margin=0)
    assert both.penalty(samples=2000).item() == pytest.approx(0.5, rel=0.1)
    assert both.verify().status == "nonconvex"
    with pytest.raises(jensen.NetworkError, match="output 2"):
        ConvexityGuard(module, box, output=2)


def test_the_module_stays_as_it_was():
    module = mlp(3, 8, 1).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    guard = ConvexityGuard(module, jensen.Box(-1, 1))
    guard.penalty().backward()
    guard.verify()
    assert module.training
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert all(p.requires_grad for p in module.parameters())


class Branches(nn.Module):
    def forward(self, x):
        return torch.relu(x) if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "domain", "options", "error", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh()), None, {}, jensen.NetworkError, "tanh"),
        (Branches(), jensen.Box([0, 0], [1, 1]), {}, jensen.ModelFileError, "cannot export"),
        (mlp(2, 2, 1), jensen.Box([0] * 3, [1] * 3), {}, jensen.ModelFileError, "cannot export"),
        (
            mlp(1, 2, 1),
            jensen.Polyhedron([[1.0], [-1.0]], [0, -1]),
            {},
            jensen.DomainError,
            "empty",
        ),
        (mlp(1, 2, 1), None, {"margin": -1}, jensen.OptionError, "margin"),
        (mlp(1, 2, 1), None, {"margin": float("nan")}, jensen.OptionError, "margin"),
        (mlp(2, 2, 1), None, {"inputs": [2]}, jensen.OptionError, "inputs"),
        (mlp(2, 2, 1), None, {"inputs": []}, jensen.OptionError, "inputs"),
        (
            mlp(1, 2, 1).bfloat16(),
            None,
            {},
            jensen.OptionError,
            r"torch\.bfloat16, .*: float32 and float64 are supported, so pass module\.float\(\)",
        ),
        (mlp(1, 2, 1).half(), None, {}, jensen.OptionError, r"torch\.float16, .*module\.float"),
    ],
)
def test_what_cannot_be_guarded_is_refused_in_one_line(module, domain, options, error, message):
    with pytest.raises(error, match=message) as caught:
        ConvexityGuard(module, domain or jensen.Box(-1, 1), **options)
    assert isinstance(caught.value, jensen.JensenError)
    assert "\n" not in str(caught.value)


def test_jumps_of_a_guard_agree_with_the_slopes_of_the_network():
    module = mlp(3, 12, 8, 1, seed=3).double()
    guard = ConvexityGuard(module, jensen.Box(-1, 1), margin=1.0)
    found = guard._follower.crossings(*guard._segments(None, 300))
    with torch.no_grad():
        points, kinks = found.points, found.kinks[:, None]
        jumps = guard._watched.jumps(points, found.outputs, differentiable=False)
        jumps = jumps.gather(1, kinks)[:, 0].numpy()
        z = guard._watched.pre_activations(points).gather(1, kinks).numpy()
    # two steps of the secant method end close to the kink
    assert np.median(np.abs(z)) < 1e-3
    network = guard.network()
    assert network.relu_count == 20
    assert np.isfinite(jumps).all()
    assert jumps.min() < 0 < jumps.max()


def test_what_is_no_module_or_domain_is_refused_with_what_to_pass():
    module = mlp(2, 4, 1)
    with pytest.raises(jensen.errors.OptionError, match=r"type str where a torch.nn.Module"):
        ConvexityGuard("model.onnx", jensen.Box(-1, 1))
    with pytest.raises(jensen.errors.DomainError, match=r"None where a domain is needed"):
        ConvexityGuard(module, None)
    with pytest.raises(jensen.errors.ModelFileError, match=r"domain's shape \(3,\) were tried"):
        ConvexityGuard(module, jensen.Box([-1] * 3, [1] * 3))


def test_points_that_are_no_numbers_are_refused():
    guard = ConvexityGuard(mlp(2, 4, 1), jensen.Box(-1, 1))
    with pytest.raises(jensen.errors.OptionError, match="finite numbers are needed"):
        guard.penalty(torch.full((4, 2), float("nan")))


def test_a_module_without_a_relu_can_be_guarded():
    guard = ConvexityGuard(nn.Sequential(nn.Linear(2, 1)), jensen.Box(-1, 1))
    assert guard.penalty().item() == 0
    assert guard.search() == guard.descend() == float("inf")
    assert guard.settle() == 0
    assert guard.verify().status == "convex"


@pytest.mark.parametrize("samples", [0, -1, 2.5, True])
def test_numbers_of_samples_are_whole_and_positive(samples):
    guard = ConvexityGuard(mlp(2, 4, 1), jensen.Box(-1, 1))
    for call in (guard.penalty, guard.search, guard.settle):
        with pytest.raises(jensen.OptionError, match="a whole number >= 1"):
            call(samples=samples)


def test_wrong_starts_tolerances_and_points_say_what_to_pass():
    guard = ConvexityGuard(mlp(2, 4, 1), jensen.Box(-1, 1))
    with pytest.raises(jensen.OptionError, match="starts 0: a whole number >= 1"):
        guard.descend(starts=0)
    for tolerance in (-1.0, float("nan"), "1"):
        with pytest.raises(jensen.OptionError, match=r"tolerance .*: a finite number >= 0"):
            guard.settle(tolerance)
    with pytest.raises(jensen.OptionError, match="points: numbers are needed"):
        guard.penalty("a")
    with pytest.raises(jensen.OptionError, match="loss 3: a function is needed"):
        make_convex(mlp(2, 4, 1), 3, jensen.Box(-1, 1))


@pytest.mark.parametrize("options", [{"margin": "a"}, {"inputs": [0.5]}, {"output": "0"}])
def test_options_that_are_no_numbers_are_refused(options):
    with pytest.raises(jensen.OptionError, match=r"'?(a|0)'?|\[0\.5\]"):
        ConvexityGuard(mlp(2, 4, 1), jensen.Box(-1, 1), **options)


class PlusSmooth(nn.Module):
    """A ReLU network plus a smooth function."""

    def __init__(self, smooth):
        super().__init__()
        self.piecewise, self.linear, self.smooth = mlp(2, 4, 1), nn.Linear(2, 1), smooth

    def forward(self, x):
        return self.piecewise(x) + self.smooth(self.linear(x))


@pytest.mark.parametrize(
    ("smooth", "name"), [(torch.exp, "exp"), (torch.square, "power"), (nn.Softplus(), "softplus")]
)
def test_smooth_parts_are_refused_in_one_line_that_says_what_to_do(smooth, name):
    with pytest.raises(jensen.NetworkError) as refused:
        ConvexityGuard(PlusSmooth(smooth), jensen.Box(-1, 1))
    text = str(refused.value)
    assert "\n" not in text
    assert f"is {name};" in text
    for part in ("ConvexityGuard takes piecewise-linear", "jensen.verify", "can be guarded alone"):
        assert part in text
