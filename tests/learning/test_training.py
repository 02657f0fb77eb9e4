"""Training ends with a proof, or says plainly that it did not."""

from __future__ import annotations

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

import jensen  # noqa: E402
from jensen.certificate.checker import run  # noqa: E402
from jensen.certificate.model_export import export_json  # noqa: E402
from jensen.learning import ConvexityGuard, make_convex  # noqa: E402
from jensen.learning.last_layer import repair_last_layer  # noqa: E402

QUICK = {"steps": 150, "round_steps": 60, "samples": 128}


def mlp(inputs=2, width=8, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
    )


def error(module, sign=1.0):
    """Mean squared error of a bowl on random points."""
    x = 2 * torch.rand(64, 2) - 1
    return (module(x)[:, 0] - sign * x.abs().sum(1)).pow(2).mean()


@pytest.mark.parametrize("domain", [jensen.Box(-1, 1), jensen.Everywhere()], ids=str)
def test_a_free_network_is_trained_until_it_is_proved_convex(domain, tmp_path):
    module = mlp()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    seen = []
    result = make_convex(module, error, domain, certificate=True, progress=seen.append, **QUICK)
    assert result.certified
    assert result.verdict.status == "convex"
    assert seen == list(result.history)
    assert seen[-1].status == "convex"
    assert "convex on" in result.summary
    assert error(result.module).item() < error(module).item() / 2
    # what was proved is what the module computes
    x = 2 * torch.rand(50, 2) - 1
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(result.network(x.double().numpy())).float(), result.module(x)
        )
    files = [str(tmp_path / name) for name in ("network.json", "proof.jsonl")]
    export_json(result.network, files[0])
    result.certificate.write(files[1])
    assert run(*files)[0] == 0
    # the module that was given is as it was
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_concave_training_in_place_with_an_optimizer_of_ones_own():
    module = mlp(seed=1)
    result = make_convex(
        module,
        lambda m: error(m, -1.0),
        jensen.Box(-1, 1),
        concave=True,
        in_place=True,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
        **QUICK,
    )
    assert result.module is module
    assert result.certified
    assert result.verdict.claim == "concave"


def test_further_rounds_keep_the_best_certified_snapshot():
    result = make_convex(mlp(seed=2), error, jensen.Box(-1, 1), further_rounds=1, **QUICK)
    assert result.certified
    proved = [r.loss for r in result.history if r.status == "convex"]
    assert len(result.history) >= 2
    with torch.no_grad():
        x = 2 * torch.rand(50, 2) - 1
        torch.testing.assert_close(
            torch.from_numpy(result.network(x.double().numpy())).float(), result.module(x)
        )
    assert proved


def test_what_was_not_certified_says_by_how_much():
    # a concave target and no weight on the penalty: nothing makes it convex
    options = {"weight": 0.0, "rounds": 1, "steps": 60, "repair_seconds": 0.0}
    result = make_convex(mlp(), lambda m: error(m, -1.0), jensen.Box(-1, 1), **options)
    assert not result.certified
    assert result.verdict.status == "nonconvex"
    assert result.certificate is None
    assert result.worst_jump.lower > 0
    assert result.summary.startswith("not certified after 60 steps")
    assert "its gradient falls by" in result.summary


@pytest.mark.parametrize("concave", [False, True])
def test_where_training_does_not_get_there_the_last_layer_is_repaired(concave):
    box, sign = jensen.Box(-1, 1), 1.0 if concave else -1.0
    options = {"weight": 0.0, "rounds": 1, "steps": 60, "certificate": True}
    result = make_convex(
        mlp(), lambda m: error(m, sign), box, concave=concave, in_place=True, **options
    )
    assert result.certified
    assert result.certificate is not None
    assert jensen.is_convex(result.network, box, concave=concave)
    assert result.network.digest == jensen.from_torch(result.module, 2).digest
    assert result.repair.verdict is result.verdict
    assert 0 < result.repair.lower <= result.repair.change <= 1.01 * result.repair.lower
    assert "by repair: f changed by" in result.summary
    # no affine function is nearer to what was trained: f was kept, not only its weights
    X = np.random.default_rng(1).uniform(-1, 1, (2000, 2))
    trained = make_convex(
        mlp(), lambda m: error(m, sign), box, concave=concave, **options, repair_seconds=0.0
    )
    y = trained.network(X)[:, 0]
    miss = np.sqrt(np.mean((result.network(X)[:, 0] - y) ** 2))
    assert miss <= 1.05 * np.std(y)


def test_modules_that_end_otherwise_are_not_repaired():
    module = nn.Sequential(mlp(), nn.ReLU())
    options = {"weight": 0.0, "rounds": 1, "steps": 60}
    result = make_convex(
        module, lambda m: error(m, -1.0) - m(torch.zeros(1, 2)).sum(), jensen.Box(-1, 1), **options
    )
    assert result.repair is None


def test_time_that_runs_out_between_rounds_ends_with_a_verification():
    # nothing pulls to convexity, so that the first round sees bends and asks no prover
    result = make_convex(
        mlp(),
        lambda module: error(module, -1.0),
        jensen.Box(-1, 1),
        weight=0.0,
        steps=40,
        round_steps=1,
        time_limit=6.0,
        repair_seconds=0.0,
        progress=lambda done: time.sleep(5.0 if done.status is None else 0.0),
    )
    assert result.history[0].status is None
    assert result.verdict.status == "nonconvex"


def test_the_time_limit_ends_training_with_a_verification():
    result = make_convex(mlp(), error, jensen.Box(-1, 1), time_limit=3.0, steps=10**6)
    assert result.history[-1].steps < 10**6
    assert result.history[-1].status is not None


def not_a_number(module):
    return error(module) * float("nan")


def of_another_module(module):
    return error(mlp())


def without_gradient(module):
    return error(module).detach()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (not_a_number, "the loss is nan at step 1"),
        (of_another_module, "no gradient in the parameters"),
        (without_gradient, "no gradient in the parameters"),
        (lambda module: 1.0, "no scalar tensor"),
        (lambda module: module(torch.zeros(2, 2)), "no scalar tensor"),
    ],
)
def test_a_loss_that_cannot_be_trained_is_an_error(loss, message):
    module = mlp()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(jensen.TrainingError, match=message):
        make_convex(module, loss, jensen.Box(-1, 1), **QUICK)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_a_module_without_parameters_to_train_is_an_error():
    module = mlp().requires_grad_(False)
    with pytest.raises(jensen.TrainingError, match="no parameter to train"):
        make_convex(module, error, jensen.Box(-1, 1), **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps 0"),
        ({"rounds": 0}, "rounds 0"),
        ({"time_limit": 0.0}, "time_limit"),
        ({"weight": float("inf")}, "weight"),
        ({"repair_seconds": -1.0}, "repair_seconds -1.0"),
        ({"epochs": 3}, "unknown option epochs: there are weight"),
        ({"steps": "50"}, "steps '50': a number is needed"),
    ],
)
def test_options_out_of_range_are_errors(options, message):
    with pytest.raises(jensen.OptionError, match=message):
        make_convex(mlp(), error, jensen.Box(-1, 1), **options)


@pytest.mark.parametrize("name", ["steps", "round_steps", "rounds", "samples", "further_rounds"])
def test_counts_are_whole_numbers(name):
    for value in (2.5, float("nan"), -1):
        with pytest.raises(jensen.OptionError, match=name):
            make_convex(mlp(), error, jensen.Box(-1, 1), **{name: value})


def test_a_short_time_limit_is_kept_and_nothing_is_measured_after_it(monkeypatch):
    asked = []

    def watched(self, **options):
        asked.append(options["time_limit"])
        return verify(self, **options)

    verify = ConvexityGuard.verify
    monkeypatch.setattr(ConvexityGuard, "verify", watched)
    result = make_convex(
        mlp(),
        lambda module: time.sleep(0.3) or error(module, -1.0),
        jensen.Box(-1, 1),
        time_limit=0.1,
    )
    assert not result.certified
    assert result.worst_jump is None
    assert asked[-1] <= 0.1


class TwoEnds(nn.Module):
    """The output is not that of the linear layer that was made last."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out, self.tail = nn.Linear(2, 4), nn.Linear(4, 1), nn.Linear(4, 1)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
            self.hidden.bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
            self.out.weight.copy_(torch.tensor([[-1.0, 1, 1, 1]]))
            self.tail.weight.copy_(torch.tensor([[0.5, 0, 0, 0]]))

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return self.out(h) + 4 * self.tail(h)


def test_a_repair_that_the_module_does_not_compute_is_taken_back():
    module = TwoEnds()
    with torch.no_grad():
        module.tail.weight.copy_(torch.tensor([[0.0, -1, 0, 0]]))
    guard = ConvexityGuard(module, jensen.Box(-1, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert repair_last_layer(guard, guard.network(), time_limit=20.0, certificate=False) is None
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_a_last_layer_stays_as_it_was_where_the_repair_does_not_come_to_an_end(monkeypatch):
    module = mlp()
    guard = ConvexityGuard(module, jensen.Box(-1, 1))
    network = guard.network()
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def stopped(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(ConvexityGuard, "network", stopped)
    with pytest.raises(KeyboardInterrupt):
        repair_last_layer(guard, network, time_limit=20.0, certificate=False)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("side", [1e308, 1e300])
def test_boxes_too_large_to_square_end_with_an_answer(side):
    result = make_convex(mlp(), error, jensen.Box(-side, side), steps=5, rounds=1)
    assert result.certified == (result.verdict.status == "convex")
