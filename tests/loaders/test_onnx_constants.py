"""Numbers stored in ONNX files: types, places, folding, and what has to be rounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import assert_same_function, make_model, network_of, save

from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.loaders import load

node = helper.make_node
WEIGHT = np.array([[0.1, -3, 2.5, 1e-3], [7, 0.3, -1, 0]])


def product(weight_node=None, constants=None, **options):
    nodes = [weight_node] if weight_node else []
    nodes.append(node("MatMul", ["x", "w"], ["y"]))
    return make_model(nodes, {"x": ["n", 2]}, ["y"], constants, **options)


def assert_weight(network, expected):
    (weight,) = network.output.weights.values()
    np.testing.assert_array_equal(weight, np.asarray(expected, dtype=float).T)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE]
)
def test_stored_numbers_of_any_float_type_are_taken_exactly(kind, raw, tmp_path):
    values = WEIGHT.astype(helper.tensor_dtype_to_np_dtype(kind))
    content = values.tobytes() if raw else values.ravel().astype(float).tolist()
    tensor = helper.make_tensor("w", kind, WEIGHT.shape, content, raw=raw)
    assert tensor.HasField("raw_data") == raw
    model = product(constants={})
    model.graph.initializer.append(tensor)
    model.graph.input[0].type.tensor_type.elem_type = kind
    assert_weight(network_of(model, tmp_path), values)


def test_an_input_of_another_type_is_refused(tmp_path):
    model = product(constants={"w": WEIGHT})
    for kind in (TensorProto.INT8, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING):
        model.graph.input[0].type.tensor_type.elem_type = kind
        with pytest.raises(ModelFileError, match="input 'x' is no tensor of floats"):
            network_of(model, tmp_path)


def test_stored_tensors_may_be_listed_as_inputs_as_old_files_do(tmp_path):
    model = product(constants={"w": WEIGHT.astype(np.float32)}, opset=8)
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 4]))
    network = network_of(model, tmp_path)
    assert network.input_size == 2
    assert_same_function(model, network)


def test_a_name_that_is_stored_and_computed_is_refused(tmp_path):
    model = product(node("Neg", ["v"], ["w"]), {"w": WEIGHT, "v": WEIGHT}, dtype=np.float64)
    with pytest.raises(ModelFileError, match="'w' is computed twice"):
        network_of(model, tmp_path)
    model = product(constants={"w": WEIGHT})
    model.graph.initializer.append(model.graph.initializer[0])
    with pytest.raises(ModelFileError, match="'w' is computed twice"):
        network_of(model, tmp_path)


def test_every_form_of_a_constant_node_is_read(tmp_path):
    forms = {
        "value": numpy_helper.from_array(np.float32([1.5, -2])),
        "value_float": 0.1,
        "value_floats": [0.1, 3.0],
    }
    for name, value in forms.items():
        nodes = [node("Constant", [], ["c"], **{name: value}), node("Add", ["x", "c"], ["y"])]
        model = make_model(nodes, {"x": ["n", 2]}, ["y"], opset=12)
        assert_same_function(model, network_of(model, tmp_path))
    for name, value in (("value_ints", [2, 1]), ("value_int", 2)):
        nodes = [node("Constant", [], ["c"], **{name: value})]
        if name == "value_int":
            nodes.append(node("Unsqueeze", ["c", "zero"], ["s"]))
        shape = "s" if name == "value_int" else "c"
        nodes.append(node("Reshape", ["x", shape], ["y"]))
        model = make_model(nodes, {"x": [1, 2]}, ["y"], {"zero": np.array([0])}, opset=13)
        assert_same_function(model, network_of(model, tmp_path))
    nodes = [node("Constant", [], ["c"], value_string="a"), node("Add", ["x", "c"], ["y"])]
    with pytest.raises(ModelFileError, match=r"node computing 'c' \(Constant\)"):
        network_of(make_model(nodes, {"x": ["n", 2]}, ["y"]), tmp_path)


@pytest.mark.parametrize("opset", [9, 13, 20])
def test_a_constant_of_a_shape_has_its_value_and_zero_by_default(opset, tmp_path):
    for options in ({}, {"value": helper.make_tensor("v", TensorProto.FLOAT, [1], [0.3])}):
        nodes = [
            node("ConstantOfShape", ["size"], ["c"], **options),
            node("Add", ["x", "c"], ["y"]),
        ]
        constants = {"size": np.array([3, 2])}
        model = make_model(nodes, {"x": ["n", 2]}, ["y"], constants, opset=opset)
        network = network_of(model, tmp_path)
        assert network.output_size == 6
        assert_same_function(model, network)


def test_products_of_stored_matrices_are_folded_whatever_their_inner_size(tmp_path):
    rng = np.random.default_rng(0)
    constants = {
        "a": rng.normal(size=(2, 3000)).astype(np.float32),
        "b": rng.normal(size=(3000, 4)).astype(np.float32),
    }
    model = product(node("MatMul", ["a", "b"], ["w"]), constants)
    assert_same_function(model, network_of(model, tmp_path), tolerance=1e-3)
    table = rng.normal(size=(3000, 4)).astype(np.float32)
    rows = rng.integers(0, 3000, 2)
    model = product(node("Gather", ["a", "i"], ["w"]), {"a": table, "i": rows})
    assert_weight(network_of(model, tmp_path), table[rows])


def test_operators_of_networks_are_folded_on_constants_too(tmp_path):
    nodes = [
        node("Pad", ["a", "pads"], ["p"]),
        node("Conv", ["p", "k"], ["c"]),
        node("Reshape", ["c", "flat"], ["f"]),
        node("Add", ["x", "f"], ["y"]),
    ]
    constants = {
        "a": np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2),
        "pads": np.array([0, 0, 1, 1, 0, 0, 0, 0]),
        "k": np.ones((1, 1, 2, 2), np.float32),
        "flat": np.array([1, -1]),
    }
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], constants)
    assert_same_function(model, network_of(model, tmp_path), integers=True)


def test_a_scaled_offset_that_is_no_double_is_rounded_and_not_refused(tmp_path):
    rng = np.random.default_rng(0)
    gemm = node("Gemm", ["x", "w", "c"], ["y"], alpha=0.3, beta=0.3)
    constants = {"w": rng.normal(size=(2, 4)), "c": rng.normal(size=4)}
    model = make_model([gemm], {"x": ["n", 2]}, ["y"], constants, dtype=np.float64)
    assert_same_function(model, network_of(model, tmp_path))


LIMITS = {
    np.float16: np.finfo(np.float16).max,
    np.float32: np.finfo(np.float32).max,
    np.float64: np.finfo(np.float64).max,
}


@pytest.mark.parametrize("dtype", LIMITS)
def test_a_bound_at_the_end_of_its_type_binds_nothing(dtype, tmp_path):
    bounds = {"low": np.array(0, dtype), "high": np.array(LIMITS[dtype], dtype)}
    clip = node("Clip", ["x", "low", "high"], ["y"])
    network = network_of(make_model([clip], {"x": [1]}, ["y"], bounds, dtype=dtype), tmp_path)
    assert network.relu_count == 1


def test_a_large_bound_of_a_wider_type_is_a_bound(tmp_path):
    bounds = {"low": np.array(0.0), "high": np.array(1e39)}
    clip = node("Clip", ["x", "low", "high"], ["y"])
    network = network_of(make_model([clip], {"x": [1]}, ["y"], bounds, dtype=np.float64), tmp_path)
    assert network.exact([2e39]) == (Fraction(1e39),)


def test_a_normalization_in_training_mode_is_refused(tmp_path):
    parameters = {name: np.ones(3, np.float32) for name in "abcd"}
    norm = node("BatchNormalization", ["x", *"abcd"], ["y", "mean", "var"])
    model = make_model([norm], {"x": [1, 3]}, ["y"], parameters, opset=9)
    with pytest.raises(ModelFileError, match="training mode"):
        network_of(model, tmp_path)


@pytest.mark.parametrize("value", [2, -1])
def test_a_flag_that_is_neither_0_nor_1_is_refused(value, tmp_path):
    gemm = node("Gemm", ["x", "w"], ["y"], transB=value)
    model = make_model([gemm], {"x": ["n", 2]}, ["y"], {"w": np.ones((2, 2), np.float32)})
    with pytest.raises(ModelFileError, match=r"'transB' is .*; 0 or 1 is needed"):
        network_of(model, tmp_path)


ROUNDED = {
    "Div": ([node("Div", ["x", "three"], ["y"], "d")], "node 'd' .Div.: reciprocals"),
    "Mean": ([node("Mean", ["x", "x", "three"], ["y"])], "1/3 was rounded"),
    "ReduceMean": ([node("ReduceMean", ["x"], ["y"], axes=[2])], "1/6 was rounded"),
    "GlobalAveragePool": ([node("GlobalAveragePool", ["x"], ["y"])], "1/6 was rounded"),
    "AveragePool": ([node("AveragePool", ["x"], ["y"], kernel_shape=[3])], "1/3 was rounded"),
    "BatchNormalization": (
        [node("BatchNormalization", ["x", *"1111"], ["y"])],
        "was rounded to float32",
    ),
}


@pytest.mark.parametrize("op", ROUNDED)
def test_what_no_double_holds_is_rounded_and_reported(op, tmp_path):
    nodes, words = ROUNDED[op]
    constants = {"three": np.array(3, np.float32), "1": np.ones(2, np.float32)}
    model = make_model(nodes, {"x": ["n", 2, 6]}, ["y"], constants, opset=13)
    network = network_of(model, tmp_path)
    (line,) = network.roundings
    assert words.replace(".", "") in line.replace("(", "").replace(")", "")
    assert network.select_output(0).roundings == network.roundings
    assert_same_function(model, network)


def test_what_is_exact_is_not_reported(tmp_path):
    nodes = [
        node("Div", ["x", "four"], ["d"]),
        node("AveragePool", ["d"], ["p"], kernel_shape=[2]),
        node("ReduceMean", ["p"], ["y"], axes=[1]),
    ]
    constants = {"four": np.array(4, np.float32)}
    model = make_model(nodes, {"x": ["n", 2, 6]}, ["y"], constants, opset=13)
    network = load(save(model, tmp_path))
    assert network.roundings == ()
    assert_same_function(model, network, integers=True)


def test_outputs_of_any_rank_are_read(tmp_path):
    for axes, shape in (([0, 1], (1,)), ([1], (1,)), ([0], (2,))):
        total = node("ReduceSum", ["x"], ["y"], axes=axes, keepdims=0)
        model = make_model([total], {"x": [1, 2]}, ["y"], opset=11)
        network = network_of(model, tmp_path)
        assert network.output_shape == shape
        assert_same_function(model, network, integers=True)


def test_a_quantised_model_is_refused_by_name(tmp_path):
    nodes = [
        node("QuantizeLinear", ["x", "s"], ["q"], "quantize"),
        node("DequantizeLinear", ["q", "s"], ["y"]),
    ]
    model = make_model(nodes, {"x": [1, 2]}, ["y"], {"s": np.array(0.1, np.float32)})
    with pytest.raises(UnsupportedOperatorError, match=r"'quantize' \(QuantizeLinear\)"):
        network_of(model, tmp_path)
