"""Modules exported by torch itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

from jensen.cli import ExitCode, main  # noqa: E402
from jensen.errors import ModelFileError, UnsupportedOperatorError  # noqa: E402
from jensen.loaders import from_torch, load  # noqa: E402


class Icnn(nn.Module):
    """An input-convex network with skips from the input to every layer."""

    def __init__(self, inputs=4, width=6, depth=3):
        super().__init__()
        self.skips = nn.ModuleList(nn.Linear(inputs, width) for _ in range(depth))
        self.layers = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth - 1))
        self.last = nn.Linear(width, 1, bias=False)
        self.straight = nn.Linear(inputs, 1)

    def forward(self, x):
        z = torch.relu(self.skips[0](x))
        for layer, skip in zip(self.layers, self.skips[1:], strict=True):
            z = torch.relu(nn.functional.linear(z, layer.weight.abs()) + skip(x))
        return nn.functional.linear(z, self.last.weight.abs()) + self.straight(x)


class Picnn(nn.Module):
    """Convex in x for every p; p enters through its own path."""

    def __init__(self):
        super().__init__()
        self.path = nn.Linear(2, 5)
        self.from_x, self.from_path = nn.Linear(3, 5), nn.Linear(5, 5)
        self.last = nn.Linear(5, 1)

    def forward(self, x, p):
        u = torch.relu(self.path(p))
        return self.last(torch.relu(self.from_x(x) + self.from_path(u)))


class Residual(nn.Module):
    def __init__(self, channels=2):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


class Combined(nn.Module):
    def __init__(self, how, parts=3):
        super().__init__()
        self.parts = nn.ModuleList(mlp() for _ in range(parts))
        self.how = how

    def forward(self, x):
        stacked = torch.stack([part(x) for part in self.parts])
        return stacked.mean(0) if self.how == "mean" else stacked.amax(0)


class MaxOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.pieces = nn.Linear(4, 5)

    def forward(self, x):
        return self.pieces(x).max(dim=1).values


class Largest(nn.Module):
    def __init__(self):
        super().__init__()
        self.losses = nn.Linear(4, 6)

    def forward(self, x):
        return self.losses(x)[:, [0, 2, 3, 5, 1]].topk(2, dim=1).values.sum(dim=1)


class Shapes(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        c = torch.cat([a.transpose(1, 2), b.permute(0, 2, 1)], dim=2)[:, 1:, ::2]
        return nn.functional.hardtanh(c.flatten(1)) - torch.abs(c.reshape(c.shape[0], -1)) / 4


class Functions(nn.Module):
    def forward(self, x):
        a = torch.maximum(x, 2 * x - 1) + torch.minimum(x, -x) + x.clamp(-0.5, 0.75)
        b = nn.functional.relu6(3 * x) + nn.functional.leaky_relu(x, 0.1)
        return torch.where(x.new_tensor([1.0, 0, 1, 0]) > 0, a, b).sum(1, keepdim=True) + x.mean()


def mlp(inputs=4, outputs=1):
    return nn.Sequential(
        nn.Linear(inputs, 8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(8, 6),
        nn.ReLU(),
        nn.Linear(6, outputs),
    )


def image_net():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 3, stride=2, groups=1),
        nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2, 3),
    )


MODELS = {
    "mlp": (mlp, (4,)),
    "icnn": (Icnn, (4,)),
    "picnn": (Picnn, [(3,), (2,)]),
    "residual": (Residual, (2, 5, 4)),
    "image": (image_net, (1, 10, 12)),
    "leaky": (lambda: nn.Sequential(nn.Linear(4, 5), nn.LeakyReLU(), nn.Linear(5, 1)), (4,)),
    "prelu": (lambda: nn.Sequential(nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, 1)), (4,)),
    "hardtanh": (lambda: nn.Sequential(nn.Linear(4, 5), nn.Hardtanh(), nn.Linear(5, 1)), (4,)),
    "norm": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU()), (4,)),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(2, 3, 3, dilation=2), nn.ReLU(), nn.MaxPool1d(2)),
        (2, 11),
    ),
    "average": (
        lambda: nn.Sequential(nn.AvgPool2d(2, padding=1), nn.ReLU(), nn.Flatten()),
        (2, 5, 6),
    ),
    "ensemble": (lambda: Combined("mean"), (4,)),
    "max of networks": (lambda: Combined("max"), (4,)),
    "max-affine": (MaxOut, (4,)),
    "shapes": (Shapes, (4, 3)),
    "decoder": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(4, 4, 3, stride=2, output_padding=1),
            nn.ReLU(),
            nn.PixelShuffle(2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        ),
        (4, 2, 3),
    ),
    "sum of the largest": (Largest, (4,)),
    "functions": (Functions, (4,)),
}


def randomised(build):
    torch.manual_seed(0)
    module = build()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            child.running_mean.uniform_(-1, 1)
            child.running_var.uniform_(0.5, 2)
            nn.init.uniform_(child.weight, -1, 1)
    return module


def points(shapes, dtype, count=8):
    rng = np.random.default_rng(1)
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [torch.tensor(rng.normal(size=(count, *shape)), dtype=dtype) for shape in shapes]


def assert_equal_to_module(network, module, shapes, dtype):
    inputs = points(shapes, dtype)
    module.eval()
    with torch.no_grad():
        # one by one: the batch must not matter
        rows = [module(*(x[i : i + 1] for x in inputs)).reshape(-1) for i in range(len(inputs[0]))]
    expected = torch.stack(rows).double().numpy()
    X = np.concatenate([x.double().numpy().reshape(len(x), -1) for x in inputs], axis=1)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    np.testing.assert_allclose(network(X), expected, rtol=tolerance, atol=tolerance)


# an export takes about two seconds
OFTEN = {"icnn", "picnn", "residual", "image", "leaky", "ensemble", "max of networks", "functions"}
SLOW = [pytest.param(n, marks=() if n in OFTEN else pytest.mark.slow) for n in MODELS]


@pytest.mark.parametrize("name", SLOW)
def test_a_module_is_read_as_the_function_it_computes(name):
    build, shapes = MODELS[name]
    module = randomised(build)
    dtype = torch.float32 if name in ("mlp", "residual", "icnn") else torch.float64
    module = module.to(dtype)
    assert_equal_to_module(from_torch(module, shapes), module, shapes, dtype)


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("name", ["icnn", "image"])
def test_files_of_both_exporters_with_a_dynamic_batch_are_read(name, dynamo, tmp_path):
    build, shape = MODELS[name]
    module = randomised(build).eval()
    path = tmp_path / "m.onnx"
    sample = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            dims = ({0: torch.export.Dim("batch")},)
            torch.onnx.export(
                module, (sample,), path, dynamo=True, verbose=False, dynamic_shapes=dims
            )
        else:
            torch.onnx.export(
                module,
                (sample,),
                path,
                dynamo=False,
                input_names=["x"],
                dynamic_axes={"x": {0: "n"}},
            )
    network = load(path)
    assert network.input_shape == shape
    assert_equal_to_module(network, module, shape, torch.float32)


def test_an_icnn_has_no_identity_block_and_its_own_number_of_relus():
    network = from_torch(randomised(Icnn), (4,))
    assert network.relu_count == 18
    assert all(block.is_relu for block in network.hidden)
    assert (network["relu_2"].weights["relu_1"] >= 0).all()


def test_the_mode_of_the_module_is_restored():
    module = mlp()
    module.train()
    module[2].eval()
    from_torch(module, 4)
    assert [child.training for child in module] == [True, True, False, True, True, True]


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


@pytest.mark.parametrize("layer", [nn.LayerNorm(2), Sine()])
def test_activations_without_a_rule_are_refused(layer):
    with pytest.raises(UnsupportedOperatorError, match="neither piecewise linear nor"):
        from_torch(nn.Sequential(nn.Linear(2, 2), layer), (2,))


@pytest.mark.parametrize(
    ("layer", "functions"),
    [
        (nn.GELU(), {"gelu"}),
        (nn.GELU(approximate="tanh"), {"power", "tanh", "product"}),
        (nn.SiLU(), {"silu"}),
        (nn.Mish(), {"softplus", "tanh", "product"}),
        (nn.Hardswish(), {"relu", "product"}),
        (nn.Softmax(-1), {"log-sum-exp", "exp"}),
        (nn.LogSoftmax(-1), {"log-sum-exp"}),
    ],
    ids=lambda v: str(v) if isinstance(v, nn.Module) else "",
)
def test_smooth_activations_are_graphs(layer, functions):
    network = from_torch(nn.Sequential(nn.Linear(2, 3), layer), (2,))
    assert set(network.function_counts) == functions


@pytest.mark.parametrize("bound", [0.5, 0.3])
def test_softshrink_is_a_relu_network(bound):
    module = nn.Sequential(nn.Linear(3, 2), nn.Softshrink(bound))
    network = from_torch(module, (3,))
    assert network.relu_count == 4
    x = 3 * np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(network(x), module(torch.from_numpy(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "jump"), [(nn.Hardshrink(0.25), "0.25"), (nn.Threshold(0.5, 20.0), "19.5")]
)
def test_the_jump_of_an_activation_is_named(layer, jump):
    with pytest.raises(UnsupportedOperatorError, match=f"its values jump by {jump} where"):
        from_torch(nn.Sequential(nn.Linear(2, 2), layer), (2,))


def test_what_is_no_module_or_no_shape_is_refused():
    with pytest.raises(ModelFileError, match=r"no torch\.nn\.Module"):
        from_torch({"weight": 1}, (2,))
    for shape in ((), (0,), "abc", None, [(2,), (-1,)], torch.zeros(1, 100)):
        with pytest.raises(ModelFileError, match="input_shape") as caught:
            from_torch(nn.Linear(2, 1), shape)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelFileError, match="Linear: torch cannot export it"):
        from_torch(nn.Linear(2, 1), (3,))


class Narrowed(nn.Module):
    """Float64, but for its output."""

    def __init__(self, kind):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
        self.kind = kind

    def forward(self, x):
        return self.layers(x).to(self.kind)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_outputs_that_are_rounded_to_fewer_digits_are_no_other_function(kind, tmp_path):
    torch.manual_seed(0)
    module = Narrowed(kind)
    network = from_torch(module, (3,))
    x = torch.zeros(1, 3, dtype=torch.float64)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "m.pt2")
    for read in (network, load(tmp_path / "m.pt2")):
        exact = module.layers(x).item()
        assert read([0.0, 0.0, 0.0]).item() == pytest.approx(exact, abs=1e-14)


def test_programs_with_weights_of_half_precision_round_as_these_do(tmp_path):
    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).half()

        def forward(self, x):
            return self.layers(x.half()).float()

    torch.manual_seed(0)
    torch.export.save(torch.export.export(Inside(), (torch.zeros(1, 3),)), tmp_path / "m.pt2")
    assert load(tmp_path / "m.pt2").relu_count == 4


def test_an_export_that_changes_the_function_is_refused():
    # torch's exporter leaves the divisor out
    module = nn.AvgPool2d(2, divisor_override=3)
    with pytest.raises(ModelFileError, match="AvgPool2d: the exporter changed the function"):
        from_torch(module, (2, 4, 4))


def test_an_exported_program_is_read(tmp_path):
    module = randomised(mlp).eval()
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(1, 4),)), path)
    assert_equal_to_module(load(path), module, (4,), torch.float32)


def test_a_damaged_exported_program_is_refused_in_one_line(tmp_path, capfd):
    path = tmp_path / "m.pt2"
    path.write_bytes(b"nothing")
    assert main(["info", str(path)]) == ExitCode.ERROR
    captured = capfd.readouterr()
    assert captured.err.startswith(f"jensen: error: {path}: not an archive of torch.export.save")
    assert (captured.out, captured.err.count("\n")) == ("", 1)
