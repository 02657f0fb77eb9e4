"""Smooth operators, products and choices without jumps, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx_models import assert_same_function, make_model, network_of, save, single

import jensen
from jensen import Function, FunctionGraph, ReluNetwork
from jensen.cli import main
from jensen.errors import ModelFileError, UnsupportedOperatorError

F32 = np.float32


def exponent(value):
    return {"p": np.array(value, F32)}


def positive(op, **attributes):
    """Return a model of an operator behind a softplus."""
    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node(op, ["s"], ["y"], "the_node", **attributes),
    ]
    return make_model(nodes, {"x": ["n", 4]}, ["y"])


ELEMENTWISE = [
    (single("Softplus"), Function.SOFTPLUS),
    (single("Elu", alpha=0.7), Function.ELU),
    (single("Celu", alpha=1.7), Function.CELU),
    (single("Selu"), Function.ELU),
    (single("Exp"), Function.EXP),
    (single("Erf"), Function.ERF),
    (single("Gelu", opset=20), Function.GELU),
    (single("Gelu", opset=20, approximate="tanh"), Function.TANH),
    (single("Mish", opset=18), Function.PRODUCT),
    (single("Swish", opset=24, alpha=0.5), Function.PRODUCT),
    (single("HardSwish", opset=14), Function.PRODUCT),
    (single("Cosh"), Function.EXP),
    (single("Sinh"), Function.EXP),
    (single("Softmax"), Function.LOG_SUM_EXP),
    (single("Softmax", shape=("n", 2, 3), axis=1), Function.LOG_SUM_EXP),
    (single("Softmax", shape=("n", 2, 3), opset=11), Function.LOG_SUM_EXP),
    (single("LogSoftmax", shape=("n", 3)), Function.LOG_SUM_EXP),
    (single("Sigmoid"), Function.SIGMOID),
    (single("Tanh"), Function.TANH),
    (positive("Log"), Function.LOG),
    (positive("Sqrt"), Function.SQRT),
    (positive("Reciprocal"), Function.RECIPROCAL),
    (single("Pow", exponent(2)), Function.POWER),
    (single("Pow", exponent(3)), Function.POWER),
    (single("Pow", {"p": np.full((2, 4), 2, F32)}), Function.POWER),
    (single("Mul", inputs=("x", "x")), Function.POWER),
    (single("Mul", inputs=("x", "z")), Function.PRODUCT),
    (single("MatMul", inputs=("x", "z"), shape=(3, 3)), Function.PRODUCT),
    (single("Einsum", inputs=("x", "z"), equation="bi,bj->bj"), Function.PRODUCT),
    (single("ReduceSumSquare", axes=[1]), Function.POWER),
    (single("ReduceL2", axes=[1], keepdims=0), Function.NORM),
    (single("ReduceLogSumExp", axes=[0, 1]), Function.LOG_SUM_EXP),
    (positive("ReduceLogSum", axes=[1]), Function.LOG),
]


@pytest.mark.parametrize(
    ("model", "function"), ELEMENTWISE, ids=[m.graph.node[-1].op_type for m, _ in ELEMENTWISE]
)
def test_operators_agree_with_onnxruntime(model, function, tmp_path):
    network = network_of(model, tmp_path)
    assert isinstance(network, FunctionGraph)
    assert str(function) in network.function_counts
    assert_same_function(model, network, points=6)


def test_a_quotient_is_a_product_with_a_reciprocal(tmp_path):
    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node("Div", ["x", "s"], ["y"]),
        helper.make_node("Div", ["one", "s"], ["z"]),
    ]
    model = make_model(nodes, {"x": ["n", 3]}, ["y", "z"], {"one": np.array(1, F32)})
    assert_same_function(model, network_of(model, tmp_path))


def test_a_network_of_relus_only_is_no_graph(tmp_path):
    assert isinstance(network_of(single("Relu"), tmp_path), ReluNetwork)


@pytest.mark.parametrize("factor", [None, 0.3, -1.5])
@pytest.mark.parametrize("by", ["Pow", "Mul"])
def test_the_square_of_a_length_is_a_sum_of_squares(by, factor, tmp_path):
    """As in 0.5 * |x|^2, which potentials of optimal transport are written with."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Reshape", ["z", "shape"], ["pairs"]),
        helper.make_node("ReduceL2", ["pairs"], ["length"], axes=[2], keepdims=0),
        helper.make_node("Mul", ["length", "c"], ["scaled"]),
        helper.make_node("Pow", ["scaled", "p"], ["y"])
        if by == "Pow"
        else helper.make_node("Mul", ["scaled", "scaled"], ["y"]),
    ]
    weights = {
        "w": np.random.default_rng(0).normal(size=(4, 6)).astype(F32),
        "shape": np.array([-1, 3, 2]),
        "c": np.array(1.0 if factor is None else factor, F32),
    } | (exponent(2) if by == "Pow" else {})
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], weights, opset=13)
    network = network_of(model, tmp_path)
    assert isinstance(network, FunctionGraph)
    assert {node.function for node in network.nodes} == {Function.POWER, Function.IDENTITY}
    assert_same_function(model, network)
    x = np.random.default_rng(1).normal(size=4)
    pairs = (x @ np.asarray(weights["w"], dtype=np.float64)).reshape(3, 2)
    c = float(weights["c"])
    np.testing.assert_allclose(network(x), c * c * (pairs**2).sum(axis=1), rtol=1e-12)


def test_smooth_functions_of_constants_are_weights(tmp_path):
    nodes = [
        helper.make_node("Softplus", ["w"], ["positive"]),
        helper.make_node("MatMul", ["x", "positive"], ["y"]),
    ]
    weights = {"w": np.random.default_rng(0).normal(size=(4, 2)).astype(F32)}
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], weights)
    network = network_of(model, tmp_path)
    assert isinstance(network, ReluNetwork)
    assert_same_function(model, network)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize(
    ("scale", "zero"), [(0.013, None), (0.013, 3), ([0.01, 0.2, 3], [1, 2, 3])]
)
def test_weights_stored_as_integers_are_the_numbers_that_a_runtime_reads(
    scale, zero, opset, tmp_path
):
    rng = np.random.default_rng(0)
    constants = {"q": rng.integers(-128, 128, (4, 3)).astype(np.int8), "s": np.array(scale, F32)}
    names = ["q", "s"]
    if zero is not None:
        constants["z"] = np.array(zero, np.int8)
        names.append("z")
    nodes = [
        helper.make_node("DequantizeLinear", names, ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], constants, opset=opset)
    network = network_of(model, tmp_path)
    assert isinstance(network, ReluNetwork)
    assert_same_function(model, network)


def of_ml(op, **attributes):
    node = helper.make_node(op, ["x"], ["y"], "the_node", domain="ai.onnx.ml", **attributes)
    model = make_model([node], {"x": ["n", 3]}, ["y"])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


@pytest.mark.parametrize(
    "model",
    [
        of_ml("Scaler", offset=[1.0, -2.0, 0.5], scale=[2.0, 0.1, 3.0]),
        of_ml("Scaler", offset=[1.0], scale=[0.3]),
        of_ml("LinearRegressor", coefficients=[1.0, 2.0, -0.3], intercepts=[0.25]),
        of_ml("LinearRegressor", coefficients=[1.0, 2, 3, 4, 5, 6], targets=2),
    ],
)
def test_affine_operators_of_scikit_learns_converter_are_read(model, tmp_path):
    assert_same_function(model, network_of(model, tmp_path))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (of_ml("Scaler", offset=[1.0, 2.0], scale=[1.0]), "2 numbers for 3"),
        (of_ml("LinearRegressor", coefficients=[1.0]), "1 coefficients"),
        (
            of_ml("LinearRegressor", coefficients=[1.0] * 3, post_transform="LOGISTIC"),
            "post_transform",
        ),
        (of_ml("Normalizer"), "not among the supported operators"),
    ],
)
def test_other_operators_of_that_domain_are_refused_by_name(model, words, tmp_path):
    with pytest.raises(ModelFileError, match="the_node") as caught:
        network_of(model, tmp_path)
    assert words in str(caught.value)


def choice(compare, first, second, extra=(), constants=None):
    nodes = [
        *extra,
        helper.make_node(compare, ["x", "c"], ["yes"]),
        helper.make_node("Where", ["yes", first, second], ["y"], "the_node"),
    ]
    constants = {"c": np.array(0, F32), **(constants or {})}
    return make_model(nodes, {"x": ["n", 4]}, ["y"], constants, opset=17)


@pytest.mark.parametrize("compare", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_choices_without_a_jump_are_relus(compare, tmp_path):
    half = helper.make_node("Mul", ["x", "half"], ["h"])
    model = choice(compare, "x", "h", [half], {"half": np.array(0.5, F32)})
    network = network_of(model, tmp_path)
    assert isinstance(network, ReluNetwork)
    assert_same_function(model, network, integers=True)


def test_a_magnitude_of_what_is_a_magnitude_less_a_number_is_read(tmp_path):
    nodes = [  # ||x| - 2|
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Sub", ["a", "two"], ["z"]),
        helper.make_node("Neg", ["z"], ["n"]),
        helper.make_node("Greater", ["z", "c"], ["yes"]),
        helper.make_node("Where", ["yes", "z", "n"], ["y"], "the_node"),
    ]
    constants = {"c": np.array(0, F32), "two": np.array(2, F32)}
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], constants, opset=17)
    network = network_of(model, tmp_path)
    assert isinstance(network, ReluNetwork)
    assert_same_function(model, network, integers=True)


def test_a_choice_with_a_jump_is_refused_by_name(tmp_path):
    up = helper.make_node("Add", ["x", "one"], ["h"])
    with pytest.raises(UnsupportedOperatorError, match=r"the_node.*jump by 1 where"):
        network_of(choice("Greater", "x", "h", [up], {"one": np.array(1, F32)}), tmp_path)


def test_a_comparison_that_is_read_as_a_number_is_refused(tmp_path):
    nodes = [
        helper.make_node("Greater", ["x", "c"], ["yes"], "the_node"),
        helper.make_node("Cast", ["yes"], ["y"], to=1),
    ]
    model = make_model(nodes, {"x": ["n", 4]}, ["y"], {"c": np.array(0, F32)})
    with pytest.raises(UnsupportedOperatorError, match=r"the_node.*jump"):
        network_of(model, tmp_path)


def test_a_softplus_beyond_a_threshold_is_read_as_a_softplus_and_told(tmp_path):
    soft = helper.make_node("Softplus", ["x"], ["h"])
    model = choice("Greater", "x", "h", [soft], {"c": np.array(20, F32)})
    network = network_of(model, tmp_path)
    assert network.function_counts == {"softplus": 4}
    assert "differs by at most 2.1e-09" in network.roundings[0]
    assert_same_function(model, network)


def test_a_softplus_cut_off_too_early_is_refused(tmp_path):
    soft = helper.make_node("Softplus", ["x"], ["h"])
    line = "the_node.*beyond 2 it replaces a softplus by its argument, a jump of 0.13; supported"
    with pytest.raises(UnsupportedOperatorError, match=line):
        network_of(choice("Greater", "x", "h", [soft], {"c": np.array(2, F32)}), tmp_path)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (single("Pow", exponent(1.5)), "exponent 1.5"),
        (single("Pow", exponent(65)), "exponent 65"),
        (single("Elu", alpha=-1.0), "alpha"),
        (single("Celu", alpha=0.0), "alpha"),
    ],
)
def test_what_has_no_rule_is_refused_in_one_line(model, words, tmp_path):
    with pytest.raises(ModelFileError, match="the_node") as caught:
        network_of(model, tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command", ["violation", "repair", "minimise", "convert", "export", "conditions"]
)
def test_commands_about_kinks_refuse_a_smooth_network_in_one_line(command, tmp_path, capsys):
    path = save(single("Softplus", shape=("n", 1)), tmp_path)
    out = str(tmp_path / "out.json")
    extra = {"convert": [out.replace("json", "onnx")], "export": [out]}
    extra["violation"] = ["--measure", "jump"]
    extra |= {"repair": ["--to", out.replace("json", "npz"), "--box", "-1", "1"]}
    assert main([command, str(path), *extra.get(command, ["--box", "-1", "1"])]) == 2
    error = capsys.readouterr().err.strip()
    assert "node 'softplus_1' is softplus" in error
    assert len(error.splitlines()) == 1


def test_verify_says_once_why_there_is_no_certificate(tmp_path, capsys):
    path = save(single("Softplus", shape=("n", 1)), tmp_path)
    assert main(["verify", str(path), "--certificate", str(tmp_path / "c.jsonl")]) == 0
    error = capsys.readouterr().err
    assert error.count("no certificate: ") == 1
    assert "has no rules of composition" in error
    assert not (tmp_path / "c.jsonl").exists()


def test_verify_info_and_batch_take_a_smooth_network(tmp_path, capsys):
    path = save(single("Softplus", shape=("n", 1)), tmp_path)
    assert main(["verify", str(path), "--evidence"]) == 0
    assert "softplus_1 (1 x softplus: convex): composition" in capsys.readouterr().out
    assert main(["verify", str(path), "--concave", "--box", "-1", "1", "--json"]) == 1
    capsys.readouterr()
    assert main(["info", str(path)]) == 0
    assert "softplus_1" in capsys.readouterr().out
    assert main(["info", str(path), "--json"]) == 0
    capsys.readouterr()
    report = tmp_path / "report.html"
    assert main(["batch", str(tmp_path), "--report", str(report)]) == 0
    assert "convex" in capsys.readouterr().out
    assert "softplus_1" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("call", ["repair", "to_icnn", "is_icnn", "regions"])
def test_functions_about_kinks_refuse_a_graph(call, tmp_path):
    network = network_of(single("Softplus", shape=("n", 1)), tmp_path)
    with pytest.raises(jensen.NetworkError, match="node 'softplus_1' is softplus"):
        getattr(jensen, call)(network)


@pytest.mark.parametrize("slope", [1.5, 0.5, 0.0, -1.0])
def test_a_threshold_behind_which_one_of_many_slopes_is_another_is_refused(slope, tmp_path):
    # beside a slope of a million none of the others looked large
    def matrix(last):
        return np.array([[1e6, 0], [0, last]], F32)

    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["z"]),
        helper.make_node("Softplus", ["z"], ["s"]),
        helper.make_node("Greater", ["z", "t"], ["c"]),
        helper.make_node("MatMul", ["x", "V"], ["a"]),
        helper.make_node("Where", ["c", "a", "s"], ["y"], "the_node"),
    ]
    for last, known in ((slope, False), (1.0, True)):
        weights = {"W": matrix(1.0), "V": matrix(last), "t": np.array(20, F32)}
        model = make_model(nodes, {"x": ["n", 2]}, ["y"], weights)
        if known:
            assert network_of(model, tmp_path).function_counts == {"softplus": 2}
            continue
        with pytest.raises(UnsupportedOperatorError, match="the_node"):
            network_of(model, tmp_path)


def test_slopes_that_were_rounded_behind_a_threshold_are_told(tmp_path):
    nodes = [
        helper.make_node("Mul", ["x", "b"], ["z"]),
        helper.make_node("Softplus", ["z"], ["s"]),
        helper.make_node("Mul", ["s", "r"], ["h"]),
        helper.make_node("Greater", ["z", "t"], ["c"]),
        helper.make_node("Where", ["c", "x", "h"], ["y"]),
    ]
    weights = {"b": np.array(3, F32), "r": np.array(1 / 3, F32), "t": np.array(20, F32)}
    network = network_of(make_model(nodes, {"x": ["n", 2]}, ["y"], weights), tmp_path)
    assert "a share of 1e-06 at most" in network.roundings[-1]
