"""Exported programs as others write them: batches of fixed size, arguments in odd places."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from exported_programs import with_program, written

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

from jensen.errors import ModelFileError  # noqa: E402
from jensen.loaders import load  # noqa: E402


@pytest.mark.parametrize("shape", [(1, 3), (2, 3), (3,), (2, 2, 3)])
def test_a_batch_of_fixed_size_is_one_sample_of_many_numbers(shape, tmp_path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    path = tmp_path / "fixed.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(shape),)), path)
    network = load(path)
    x = torch.randn(shape)
    expected = module(x).detach().numpy().ravel()
    np.testing.assert_allclose(network(x.numpy().ravel()[None])[0], expected, atol=1e-6)


class Chosen(torch.nn.Module):
    def forward(self, x):
        return torch.where(x > 0.1, x, torch.full_like(x, 0.1))


def test_arguments_where_nobody_looks_for_them_end_in_one_clear_line(tmp_path):
    plain = tmp_path / "plain.pt2"
    torch.export.save(torch.export.export(Chosen(), (torch.zeros(1, 2, dtype=float),)), plain)
    with zipfile.ZipFile(plain) as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert load(plain).relu_count == 2

    def by_name(program):
        for node in program["graph_module"]["graph"]["nodes"]:
            for given in node["inputs"] if ".gt." in node["target"] else ():
                given["kind"] = 2

    path = written(tmp_path / "named.pt2", with_program(parts, by_name))
    with pytest.raises(ModelFileError, match=r"named\.pt2: torch cannot"):
        load(path)
