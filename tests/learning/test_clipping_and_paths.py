"""The projection onto input-convex networks, and path sums as tensors."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

import jensen  # noqa: E402
from jensen.learning import clip_to_icnn_, path_values  # noqa: E402


class Skips(nn.Module):
    """Layers that read ``Concat(h, x)``, behind an affine layer."""

    def __init__(self):
        super().__init__()
        self.affine, self.first = nn.Linear(3, 3), nn.Linear(3, 5)
        self.slope = nn.PReLU(init=1.5)
        self.second, self.last = nn.Linear(8, 5), nn.Linear(8, 1)

    def forward(self, x):
        h = torch.relu(self.first(self.affine(x)))
        h = self.slope(self.second(torch.cat([h, x], 1)))
        return self.last(torch.cat([h, x], 1))


def image():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.LeakyReLU(0.2),
        nn.Conv2d(3, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, 1),
    )


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)), 3),
        (Skips, 3),
        (image, (1, 5, 5)),
    ],
    ids=["mlp", "skips", "image"],
)
def test_a_clipped_module_is_an_icnn(build, shape):
    torch.manual_seed(0)
    module = build()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert not jensen.is_icnn(jensen.from_torch(module, shape))
    assert clip_to_icnn_(module, input_shape=shape) is module
    assert jensen.is_icnn(jensen.from_torch(module, shape))
    after = module.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    allowed = {"second.weight", "last.weight", "slope.weight", "2.weight", "3.weight", "6.weight"}
    assert changed <= allowed
    # clipping is a projection: what was non-negative stayed
    for name in changed - {"slope.weight"}:
        kept = before[name] >= 0
        assert torch.equal(after[name][kept], before[name][kept])


def test_weights_that_read_the_input_stay_free():
    torch.manual_seed(0)
    module = Skips()
    clip_to_icnn_(module)
    assert (module.second.weight[:, :5] >= 0).all()
    assert (module.second.weight[:, 5:] < 0).any()
    assert (module.first.weight < 0).any()
    assert module.slope.weight.item() == 1.0


def test_other_weights_behind_a_relu_are_refused():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2), nn.Linear(2, 1))
    with pytest.raises(jensen.IcnnFormError, match="BatchNorm1d has weights behind a ReLU"):
        clip_to_icnn_(module)


def test_path_values_are_sums_over_paths():
    module = nn.Sequential(
        nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)
    ).double()
    a, b = module[2].weight, module[4].weight
    points = torch.randn(6, 2, dtype=torch.float64)
    found = path_values(module, points)
    assert found.shape == (6, 4)
    on = (module[:3](points) > 0).double()
    expected = torch.cat([(on * b) @ a, b.expand(6, -1)], 1)
    torch.testing.assert_close(found, expected)
    (slope,) = torch.autograd.grad(found[:, 0].sum(), b)
    torch.testing.assert_close(slope[0], (on * a[:, 0]).sum(0))


def test_path_values_agree_with_those_of_the_network():
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    point = torch.randn(1, 3)
    network = jensen.from_torch(module, 3)
    pattern = network.activation_pattern(point[0].tolist())
    out = network["output"].weights["relu_2"]
    expected = (out * pattern["relu_2"]) @ network["relu_2"].weights["relu_1"]
    found = path_values(module, point, output=1)[0, :5].detach().double()
    torch.testing.assert_close(found, torch.from_numpy(expected[1]), rtol=1e-5, atol=1e-6)


def test_path_values_of_pieces_and_images():
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 1))
    found = path_values(module, torch.randn(3, 1, 3, 3))
    # four values a channel: a tournament of three comparisons
    assert found.shape == (3, 6)


@pytest.mark.parametrize("points", [torch.zeros(3), torch.zeros(0, 2)])
def test_points_of_another_shape_are_refused(points):
    with pytest.raises(jensen.NetworkError, match="need"):
        path_values(nn.Sequential(nn.Linear(2, 1)), points)


@pytest.mark.parametrize("output", [-1, 1])
def test_an_output_that_is_not_there_is_refused(output):
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises(jensen.NetworkError, match="the module has 1"):
        path_values(module, torch.zeros(5, 2), output=output)


def test_what_is_no_module_has_no_paths_and_is_not_clipped():
    for call in (lambda: path_values(3, torch.zeros(5, 2)), lambda: clip_to_icnn_("model.onnx")):
        with pytest.raises(jensen.OptionError, match=r"torch\.nn\.Module is needed"):
            call()


@pytest.mark.filterwarnings("ignore:Initializing zero-element:UserWarning")
def test_modules_with_nothing_to_clip_stay_as_they_are():
    for module in (nn.ReLU(), nn.Sequential(nn.Linear(2, 0), nn.ReLU(), nn.Linear(0, 1))):
        assert clip_to_icnn_(module, input_shape=2) is module


def test_modules_without_a_relu_have_no_path_values():
    assert path_values(nn.Sequential(nn.Linear(2, 1)), torch.zeros(5, 2)).shape == (5, 0)
