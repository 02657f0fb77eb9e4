"""The .nnet format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jensen.errors import ModelFileError, NetworkError
from jensen.loaders import load

REAL = Path(__file__).parents[3] / "shared" / "real"

SMALL = """// a comment
2,2,1,3,
2,3,1,
0,
-1.0,-1.0,
1.0,1.0,
0.0,0.0,0.0,
1.0,1.0,1.0,
1.0,2.0,
-3.5,0.1,
0.0,1e-2,
0.5,
-0.25,
0.0,
1.0,-1.0,2.0,
7.0,
"""


def test_weights_are_read_as_written(tmp_path):
    path = tmp_path / "a.nnet"
    path.write_text(SMALL)
    network = load(path)
    assert [block.size for block in network.blocks] == [3, 1]
    assert network["relu_1"].weights["input"].tolist() == [[1.0, 2.0], [-3.5, 0.1], [0.0, 0.01]]
    assert network.output.weights["relu_1"].tolist() == [[1.0, -1.0, 2.0]]
    assert (network.output.bias.tolist(), network([[1.0, 1.0]]).tolist()) == ([7.0], [[10.52]])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("2,2,1,3,", "2,2,one,3,", "line 2"),
        ("2,3,1,\n", "2,3,\n", "layer sizes"),
        ("2,2,1,3,", "2,5,1,3,", "5 inputs"),
        ("1.0,-1.0,2.0,", "1.0,-1.0,", "line 15: 2 numbers, needed are 3"),
        ("7.0,\n", "", "ends too early"),
        ("7.0,\n", "7.0,\n8.0,\n", "more numbers"),
        ("7.0,", "nan,", "NaN"),
    ],
)
def test_files_that_do_not_follow_the_format_are_refused(old, new, words, tmp_path):
    path = tmp_path / "a.nnet"
    path.write_text(SMALL.replace(old, new, 1))
    with pytest.raises((ModelFileError, NetworkError), match=rf"a\.nnet: .*{words}"):
        load(path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "a.nnet"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ModelFileError, match="not a text file"):
        load(path)


@pytest.mark.parametrize("name", ["ACASXU_experimental_v2a_1_1", "coav_0.714"])
def test_files_of_other_projects_are_read(name):
    path = REAL / f"{name}.nnet"
    if not path.exists():
        pytest.skip("../shared/real is not there")
    network = load(path)
    assert network.input_size == {"ACASXU_experimental_v2a_1_1": 5, "coav_0.714": 6}[name]


def test_the_same_network_as_nnet_and_as_onnx_agrees():
    files = [REAL / "ACASXU_experimental_v2a_1_1.nnet", REAL / "ACASXU_run2a_1_1_batch_2000.onnx"]
    if not all(file.exists() for file in files):
        pytest.skip("../shared/real is not there")
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 5))
    first, second = (load(file)(X) for file in files)
    np.testing.assert_allclose(first, second, atol=1e-3)
