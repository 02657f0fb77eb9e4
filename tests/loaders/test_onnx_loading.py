"""Whole ONNX files: batches, external data, skips, files of other projects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx_models import NEWEST, assert_same_function, make_model, mlp, network_of, rng, single

from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.loaders import load

REAL = Path(__file__).parents[3] / "shared" / "real"
REFUSED = {
    "omlt_gbt_model": (UnsupportedOperatorError, "TreeEnsembleRegressor"),
    # onnxruntime refuses its kernel_shape too: three sizes for two spatial dimensions
    "omlt_maxpool_2d": (ModelFileError, "kernel_shape"),
}


@pytest.mark.parametrize("file", sorted(REAL.glob("*.onnx")), ids=lambda f: f.stem)
def test_files_of_other_projects_equal_onnxruntime_or_are_refused(file):
    if file.stem in REFUSED:
        kind, words = REFUSED[file.stem]
        with pytest.raises(kind, match=words):
            load(file)
        return
    model = onnx.load(file)
    for simplify in (False, True):
        assert_same_function(model, load(file, simplify=simplify), points=3)


def test_the_files_of_other_projects_are_there():
    if not REAL.is_dir():
        pytest.skip("../shared/real is not there")
    assert list(REAL.glob("*.onnx"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("opset", [7, 13, 17, NEWEST])
def test_an_mlp_keeps_its_weights_exactly(dtype, opset, tmp_path):
    model = mlp(dtype=dtype, opset=opset)
    network = network_of(model, tmp_path)
    assert [block.size for block in network.blocks] == [5, 4, 2]
    stored = {t.name: numpy_helper.to_array(t).astype(float) for t in model.graph.initializer}
    for i, block in enumerate(network.blocks):
        (weight,) = block.weights.values()
        np.testing.assert_array_equal(weight, stored[f"w{i}"])
        np.testing.assert_array_equal(block.bias, stored[f"b{i}"])
    assert_same_function(model, network)


@pytest.mark.parametrize("batch", ["batch", None, 0, 1])
def test_any_spelling_of_the_batch_dimension_is_left_out_of_the_shapes(batch, tmp_path):
    model = mlp()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].Clear()
    if isinstance(batch, str):
        dims[0].dim_param = batch
    elif batch is not None:
        dims[0].dim_value = batch
    network = network_of(model, tmp_path)
    assert (network.input_shape, network.output_shape) == ((3,), (2,))


def test_a_dynamic_batch_computed_by_shape_operators_is_folded(tmp_path):
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"], axis=0),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "axes": np.array([0]),
        "rest": np.array([12]),
        "w": rng().normal(size=(12, 2)).astype(np.float32),
    }
    model = make_model(nodes, {"x": ["n", 3, 4]}, ["y"], constants)
    network = network_of(model, tmp_path)
    assert network.input_shape == (3, 4)
    assert_same_function(model, network)


def test_constant_subgraphs_are_folded_by_the_reference_evaluator(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"]),
        helper.make_node("Sqrt", ["s"], ["root"]),
        helper.make_node("Div", ["wt", "root"], ["scaled"]),
        helper.make_node(
            "ConstantOfShape", ["size"], ["ones"], value=helper.make_tensor("v", 1, [1], [1])
        ),
        helper.make_node("MatMul", ["x", "scaled"], ["z"]),
        helper.make_node("Add", ["z", "ones"], ["y"]),
    ]
    constants = {
        "w": rng().normal(size=(2, 3)).astype(np.float32),
        "s": np.array(3, np.float32),
        "size": np.array([2]),
    }
    model = make_model(nodes, {"x": ["n", 3]}, ["y"], constants)
    assert_same_function(model, network_of(model, tmp_path))


def test_residual_and_input_skips_become_skip_edges(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Relu", ["z"], ["h"]),
        helper.make_node("Add", ["h", "x"], ["r"]),
        helper.make_node("Relu", ["r"], ["h2"]),
        helper.make_node("Concat", ["h2", "x"], ["c"], axis=1),
        helper.make_node("MatMul", ["c", "v"], ["y"]),
    ]
    constants = {
        "w": rng().normal(size=(3, 3)).astype(np.float32),
        "v": rng().normal(size=(6, 1)).astype(np.float32),
    }
    model = make_model(nodes, {"x": ["n", 3]}, ["y"], constants)
    network = network_of(model, tmp_path)
    assert set(network["relu_2"].weights) == {"input", "relu_1"}
    assert set(network.output.weights) == {"input", "relu_2"}
    assert network.relu_count == 6
    assert all(block.is_relu for block in network.hidden)
    assert_same_function(model, network)


def test_products_that_would_be_rounded_become_identity_blocks(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("MatMul", ["z", "v"], ["y"]),
    ]
    constants = {"w": rng().normal(size=(3, 4)), "v": rng().normal(size=(4, 2))}
    model = make_model(nodes, {"x": ["n", 3]}, ["y"], constants, dtype=np.float64)
    network = network_of(model, tmp_path)
    assert [(b.name, b.is_relu) for b in network.blocks] == [("affine_1", False), ("output", False)]
    np.testing.assert_array_equal(network["affine_1"].weights["input"], constants["w"].T)
    assert_same_function(model, network)


def test_several_inputs_and_outputs_are_joined_in_order(tmp_path):
    nodes = [
        helper.make_node("Gemm", ["p", "w"], ["a"]),
        helper.make_node("Add", ["a", "x"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
        helper.make_node("Neg", ["p"], ["q"]),
    ]
    constants = {"w": rng().normal(size=(2, 3)).astype(np.float32)}
    model = make_model(nodes, {"x": ["n", 3], "p": ["n", 2]}, ["y", "q"], constants, opset=13)
    network = network_of(model, tmp_path)
    assert (network.input_size, network.output_size) == (5, 5)
    assert_same_function(model, network)


def test_external_data_are_read_from_beside_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    model = mlp()
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    assert_same_function(mlp(), load(path))
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(ModelFileError, match=r"model\.onnx"):
        load(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelFileError, match="external data of 'w0'"):
        load(path)


def test_nodes_that_no_output_needs_are_not_looked_at(tmp_path):
    model = mlp()
    model.graph.node.append(helper.make_node("Sigmoid", ["z0"], ["unused"]))
    assert_same_function(mlp(), network_of(model, tmp_path))


def test_an_output_that_does_not_depend_on_the_input_is_a_constant_network(tmp_path):
    network = network_of(single("Mul", {"w": np.zeros(4, np.float32)}), tmp_path)
    assert network.relu_count == 0
    assert network.exact([1, 2, 3, 4]) == (0, 0, 0, 0)


def test_max_of_pieces_needs_one_relu_less_than_pieces(tmp_path):
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["z"]),
        helper.make_node("ReduceMax", ["z"], ["y"], axes=[1]),
    ]
    constants = {
        "w": rng().integers(-8, 9, (3, 7)).astype(np.float32),
        "b": rng().integers(-8, 9, 7).astype(np.float32),
    }
    model = make_model(nodes, {"x": ["n", 3]}, ["y"], constants, opset=13)
    network = network_of(model, tmp_path)
    assert network.relu_count == 6
    assert all(block.is_relu for block in network.hidden)
    assert_same_function(model, network, integers=True)
