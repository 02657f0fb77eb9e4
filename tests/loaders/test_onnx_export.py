"""The canonical form, written as ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import scipy.sparse as sp
from onnx_models import assert_same_function

from jensen.errors import ModelFileError, OutputError
from jensen.loaders import load, save
from jensen.network.relu_network import Activation, Block, ReluNetwork


def dag(sparse=False):
    rng = np.random.default_rng(0)
    draw = (
        (lambda *s: sp.csr_array(rng.normal(size=s))) if sparse else (lambda *s: rng.normal(size=s))
    )
    return ReluNetwork(
        6,
        [
            Block("a", {"input": draw(4, 6)}, rng.normal(size=4)),
            Block("b", {"a": draw(3, 4)}, rng.normal(size=3), Activation.IDENTITY),
            Block("c", {"b": draw(5, 3), "a": draw(5, 4), "input": draw(5, 6)}, rng.normal(size=5)),
            Block(
                "output",
                {"c": draw(4, 5), "input": draw(4, 6)},
                rng.normal(size=4),
                Activation.IDENTITY,
            ),
        ],
        input_shape=(2, 3),
        output_shape=(4,),
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_onnxruntime_computes_the_same_values(sparse, tmp_path):
    network = dag(sparse)
    save(network, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert_same_function(model, network, tolerance=1e-13)


@pytest.mark.parametrize("ending", ["onnx", "npz"])
def test_what_was_written_is_read_back_with_the_same_weights(ending, tmp_path):
    network = dag()
    save(network, tmp_path / f"a.{ending}")
    again = load(tmp_path / f"a.{ending}")
    assert (again.input_shape, again.output_shape) == ((2, 3), (4,))
    assert [b.size for b in again.blocks] == [b.size for b in network.blocks]
    for before, after in zip(network.blocks, again.blocks, strict=True):
        one, two = (sorted(w.tolist() for w in b.weights.values()) for b in (before, after))
        assert one == two
    x = [1, 2, 3, 4, 5, 6]
    assert again.exact(x) == network.exact(x)


def test_the_same_network_gives_the_same_file(tmp_path):
    for name in "ab":
        save(dag(), tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_other_endings_and_folders_are_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        save(dag(), tmp_path / "a.nnet")
    with pytest.raises(OutputError, match="no such folder"):
        save(dag(), tmp_path / "no" / "a.onnx")


def test_matrices_that_do_not_fit_in_a_file_are_refused(tmp_path):
    eye = sp.csr_array(sp.eye_array(20000, format="csr"))
    network = ReluNetwork(
        20000, [Block("output", {"input": eye}, np.zeros(20000), Activation.IDENTITY)]
    )
    with pytest.raises(ModelFileError, match="save it as"):
        save(network, tmp_path / "a.onnx")
