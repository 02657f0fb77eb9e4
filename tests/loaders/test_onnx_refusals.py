"""What is no network, and what is damaged, is refused in one line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import NEWEST, make_model, mlp, network_of, single

from jensen.errors import ModelFileError, NetworkError, UnsupportedOperatorError
from jensen.loaders import load


def test_external_data_outside_the_folder_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(1000))
    folder = tmp_path / "models"
    folder.mkdir()
    onnx.save(mlp(), folder / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../secret"
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="external data"):
        load(folder / "m.onnx")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    whole = mlp().SerializeToString()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "text": b"this is a text file, not a model\n" * 20,
        "empty": b"",
        "zeros": bytes(100),
        "json": b'{"graph": {}}',
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=name) as caught:
            load(path)
        assert "\n" not in str(caught.value)


def test_missing_files_folders_and_other_endings_are_refused(tmp_path):
    for name, words in (
        ("no.onnx", "no such file"),
        ("a.caffe", "supported are"),
        ("a.pth", "pickled"),
    ):
        with pytest.raises(ModelFileError, match=words):
            load(tmp_path / name)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ModelFileError, match="not a file"):
        load(tmp_path / "folder.onnx")


@pytest.mark.parametrize(
    "op", ["Sin", "Atan", "LpNormalization", "Softsign", "Sign", "Floor", "Round"]
)
def test_operators_without_a_rule_are_refused_with_advice(op, tmp_path):
    with pytest.raises(UnsupportedOperatorError, match=rf"node 'the_node' \({op}\).*before it"):
        network_of(single(op), tmp_path)


@pytest.mark.parametrize(("lambd", "bias"), [(0.5, 0.0), (0.5, 0.25), (-1.0, -1.0)])
def test_a_shrink_that_jumps_is_refused(lambd, bias, tmp_path):
    with pytest.raises(ModelFileError, match="the values jump unless"):
        network_of(single("Shrink", lambd=lambd, bias=bias), tmp_path)


@pytest.mark.parametrize("attributes", [{}, {"alpha": -1.0}])
def test_a_thresholded_relu_that_jumps_is_refused(attributes, tmp_path):
    with pytest.raises(ModelFileError, match="the values jump unless alpha is 0"):
        network_of(single("ThresholdedRelu", **attributes), tmp_path)


def after_a_gemm(op, **attributes):
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["logits"]),
        helper.make_node(op, ["logits"], ["y"], "last", **attributes),
    ]
    return make_model(nodes, {"x": ["n", 3]}, ["y"], {"w": np.ones((3, 2), np.float32)})


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("LpNormalization", "it is neither piecewise linear nor among the smooth functions"),
        ("Sign", "its values jump"),
        ("Multinomial", "it is not among the supported operators"),
    ],
)
def test_a_refusal_names_the_tensor_in_which_the_network_before_ends(op, words, tmp_path):
    with pytest.raises(UnsupportedOperatorError) as caught:
        network_of(after_a_gemm(op), tmp_path)
    message = str(caught.value)
    assert f"node 'last' ({op}): {words}" in message
    assert message.endswith("the network before it, which ends in 'logits' (how: docs/models.md)")


def test_an_output_that_only_runtimes_compute_is_refused_where_it_is_read(tmp_path):
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["values", "places"], "best"),
        helper.make_node("Gather", ["c", "places"], ["y"]),
    ]
    constants = {"k": np.array([2]), "c": np.float32([1, 2, 3, 4])}
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], constants)
    with pytest.raises(ModelFileError, match=r"node 'best' \(TopK\): its output 'places'"):
        network_of(model, tmp_path)


def test_a_gemm_of_two_computed_values_is_refused(tmp_path):
    model = single("Gemm", inputs=("x", "x2"), shape=(4, 4))
    with pytest.raises(UnsupportedOperatorError, match=r"'the_node' \(Gemm\): it "):
        network_of(model, tmp_path)


def test_other_domains_are_refused(tmp_path):
    model = single("Relu")
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(UnsupportedOperatorError, match=r"com\.microsoft\.Relu"):
        network_of(model, tmp_path)


@pytest.mark.parametrize(("opset", "words"), [(6, "opset 6"), (NEWEST + 1, "supported are 7 to")])
def test_other_operator_sets_are_refused(opset, words, tmp_path):
    with pytest.raises(ModelFileError, match=words):
        network_of(single("Relu", opset=opset), tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(value, tmp_path):
    weight = np.ones((4, 2), np.float32)
    weight[1, 1] = value
    with pytest.raises(ModelFileError, match="constant 'weight' holds NaN or infinity"):
        network_of(single("MatMul", {"weight": weight}), tmp_path)
    bias = {"w": np.ones((4, 2), np.float32), "bias": np.array([1, value], np.float32)}
    with pytest.raises(ModelFileError, match="constant 'bias' holds NaN or infinity"):
        network_of(single("Gemm", bias), tmp_path)


MALFORMED = {
    "MatMul shapes": single("MatMul", {"w": np.ones((3, 2), np.float32)}),
    "Gemm bias": single("Gemm", {"w": np.ones((4, 2), np.float32), "c": np.ones(3, np.float32)}),
    "Add shapes": single("Add", {"w": np.ones(3, np.float32)}),
    "Reshape size": single("Reshape", {"s": np.array([5, 5])}),
    "Reshape two unknown": single("Reshape", {"s": np.array([-1, -1])}),
    "Reshape huge": single("Reshape", {"s": np.array([2**40, 2**40])}),
    "Reshape float": single("Reshape", {"s": np.array([4.0])}),
    "Concat no axis": single("Concat", {"w": np.ones((1, 3), np.float32)}),
    "Concat axis": single("Concat", {"w": np.ones((1, 3), np.float32)}, axis=7),
    "Concat shapes": single("Concat", {"w": np.ones((2, 3), np.float32)}, axis=1),
    "Transpose": single("Transpose", perm=[0, 0]),
    "wrong attribute type": single("Flatten", axis=1.5),
    "unknown attribute": single("Relu", alpha=2.0),
    "too many inputs": single("Relu", {"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}),
    "too few inputs": single("Gemm"),
    "Gather": single("Gather", {"i": np.array([9])}, axis=1),
    "Expand huge": single("Expand", {"s": np.array([2**31, 2**31, 1])}),
    "Tile huge": single("Tile", {"s": np.array([2**40, 1])}),
    "Pad huge": single("Pad", {"p": np.array([0, 2**40, 0, 0])}),
    "Conv rank": single("Conv", {"w": np.ones((1, 1, 2, 2), np.float32)}),
    "Conv stride": single(
        "Conv", {"w": np.ones((1, 1, 2), np.float32)}, shape=(1, 1, 4), strides=[0]
    ),
    "Conv huge pad": single(
        "Conv", {"w": np.ones((1, 1, 2), np.float32)}, shape=(1, 1, 4), pads=[2**40, 0]
    ),
    "MaxPool window": single("MaxPool", shape=(1, 1, 4), kernel_shape=[9]),
    "MaxPool window of a floor": single("MaxPool", shape=(1, 1, 4), kernel_shape=[5], strides=[2]),
    "MaxPool window of ceil": single(
        "MaxPool", shape=(1, 1, 4), kernel_shape=[6], strides=[2], ceil_mode=1
    ),
    "Split": single("Split", axis=1, num_outputs=3, opset=18),
    "MaxPool same dilated": single(
        "MaxPool", shape=(1, 1, 4), kernel_shape=[2], dilations=[2], auto_pad="SAME_UPPER"
    ),
    "AveragePool same far": single(
        "AveragePool", shape=(1, 1, 4), kernel_shape=[1], strides=[2], auto_pad="SAME_LOWER"
    ),
    "ConvTranspose channels": single(
        "ConvTranspose", {"w": np.ones((2, 1, 2), np.float32)}, shape=(1, 1, 4)
    ),
    "ConvTranspose output": single(
        "ConvTranspose", {"w": np.ones((1, 1, 2), np.float32)}, shape=(1, 1, 4), output_shape=[9]
    ),
    "ConvTranspose huge": single(
        "ConvTranspose", {"w": np.ones((1, 1, 2), np.float32)}, shape=(1, 1, 4), strides=[2**40]
    ),
    "GatherElements": single("GatherElements", {"i": np.array([[0, 9]])}, axis=1),
    "GatherElements shape": single("GatherElements", {"i": np.array([0])}, axis=1),
    "GatherND": single("GatherND", {"i": np.array([[0, 9]])}),
    "DepthToSpace": single("DepthToSpace", shape=(1, 3, 2, 2), blocksize=2),
    "ScatterND": single("ScatterND", {"i": np.array([[9, 9]]), "u": np.float32([1])}),
    "Scatter adds": single(
        "ScatterElements", {"i": np.array([[1]]), "u": np.float32([[1]])}, reduction="add"
    ),
    "TopK": single("TopK", {"k": np.array([9])}),
    "CumSum axis": single("CumSum", {"a": np.array(7)}),
    "Resize cubic": single("Resize", {"s": np.float32([1, 2])}, inputs=("x", ""), mode="cubic"),
    "Resize huge": single("Resize", {"s": np.float32([1, 1e9])}, inputs=("x", "")),
    "Resize NaN": single("Resize", {"s": np.float32([1, np.nan])}, inputs=("x", "")),
    "Resize zero": single("Resize", {"s": np.float32([1, 0])}, inputs=("x", "")),
    "Einsum": single("Einsum", {"w": np.ones((3, 2), np.float32)}, equation="ab,bc->ac"),
    "Einsum diagonal": single("Einsum", shape=(4, 4), equation="aa->a"),
    "Einsum nonsense": single("Einsum", equation="->->"),
    "Clip bounds": single("Clip", {"a": np.float32([2, 3]), "b": np.array(1, np.float32)}),
    "Clip order": single(
        "Clip", {"a": np.array(2, np.float32), "b": np.array(1, np.float32)}, opset=12
    ),
    "Clip to infinity": single("Clip", {"a": np.float32(-np.inf), "b": np.float32(-np.inf)}),
    "Div by zero": single("Div", {"w": np.zeros(4, np.float32)}),
    "input without size": single("Relu", shape=("n", "m")),
    "empty": single("Slice", {"s": np.array([0]), "e": np.array([0]), "a": np.array([1])}),
}


@pytest.mark.parametrize("case", MALFORMED, ids=str)
def test_nodes_that_make_no_sense_are_refused_in_one_line(case, tmp_path):
    with pytest.raises((ModelFileError, NetworkError), match=r"model\.onnx") as caught:
        network_of(MALFORMED[case], tmp_path)
    assert "\n" not in str(caught.value)


def test_names_that_nothing_computes_or_two_nodes_compute_are_refused(tmp_path):
    model = single("Relu")
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelFileError, match="'nowhere' is read before anything computes it"):
        network_of(model, tmp_path)
    model = single("Relu")
    model.graph.node.append(helper.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(ModelFileError, match="'y' is computed twice"):
        network_of(model, tmp_path)


def test_a_huge_constant_is_refused_before_it_is_made(tmp_path):
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["c"], "big"),
        helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], {"size": np.array([2**30, 2**30])})
    with pytest.raises(ModelFileError, match=r"node 'big' \(ConstantOfShape\).*at most"):
        network_of(model, tmp_path)


def test_a_tensor_whose_data_do_not_fill_its_shape_is_refused(tmp_path):
    for dims in ([2**20, 2**20], [-1, 3], [4, 3, 2]):
        model = mlp()
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        with pytest.raises(ModelFileError, match="'w0'"):
            network_of(model, tmp_path)
