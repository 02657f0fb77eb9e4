"""Every operator, over a grid of attributes and operator sets, against onnxruntime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_case import Case
from onnx_models import assert_same_function, make_model, network_of
from onnx_shape_cases import SHAPES
from onnx_value_cases import ARITHMETIC, SUMS
from test_smooth import ELEMENTWISE

import jensen.loaders.onnx.reader  # noqa: F401  (fills the table of operators)
from jensen.loaders.onnx.node import OPERATORS

# neither onnxruntime nor onnx's reference compute all of their arguments in float64
NARROW = {"Cast", "ConvTranspose", "Resize", "Shrink", "Upsample"}

CASES = [*ARITHMETIC, *SHAPES, *SUMS]


def build(case: Case, opset: int, prelude: str, dtype: type) -> onnx.ModelProto:
    """Put the operator behind nothing, behind an affine map, or behind a ReLU."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    inputs: dict[str, Any] = {"x": case.shape}
    shapes = {"x": case.shape}
    if case.second is not None:
        inputs["y"] = shapes["y"] = case.second
    operands = []
    for name in inputs:
        operand = name
        if prelude != "input":
            constants |= {"two": np.array(2.0, dtype), "one": np.array(1.0, dtype)}
            nodes += [
                helper.make_node("Mul", [name, "two"], [f"{name}_2"]),
                helper.make_node("Add", [f"{name}_2", "one"], [f"{name}_3"]),
            ]
            operand = f"{name}_3"
        if prelude == "relu":
            nodes.append(helper.make_node("Relu", [operand], [f"{name}_4"]))
            operand = f"{name}_4"
        operands.append(operand)
    extra = []
    for i, value in enumerate(case.constants):
        if value is None:
            extra.append("")
            continue
        kind = np.asarray(value).dtype
        constants[f"c{i}"] = np.asarray(value, dtype if kind == np.float64 else kind)
        extra.append(f"c{i}")
    if case.op == "Where":
        names = [extra[0], operands[0], extra[1]]
    elif case.first_constant:
        names = [extra[0], *operands, *extra[1:]]
    else:
        names = operands + extra
    outputs = [f"out{i}" for i in range(case.outputs)]
    unread = [f"unread{i}" for i in range(case.unread)]
    nodes.append(helper.make_node(case.op, names, outputs + unread, **case.attributes))
    return make_model(nodes, inputs, outputs, constants, opset=opset, dtype=dtype)


def grid() -> list[Any]:
    """Return every case at its oldest and newest operator set, and slowly those between."""
    return [
        pytest.param(
            case,
            opset,
            marks=() if opset in (case.opsets[0], case.opsets[-1]) else pytest.mark.slow,
        )
        for case in CASES
        for opset in case.opsets
    ]


def label(value: Any) -> str:
    return value.op if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("case", "opset"), grid(), ids=label)
def test_operator_is_lowered_to_the_function_that_onnxruntime_computes(case, opset, tmp_path):
    preludes = ("input", "affine", "relu") if opset == case.opsets[-1] else ("affine",)
    for prelude in preludes:
        dtype = np.float64
        if case.op in NARROW:
            dtype = np.float32
        model = build(case, opset, prelude, dtype)
        if case.op == "Cast":
            kind = case.attributes["to"]
            model.graph.output[0].type.tensor_type.elem_type = kind
        network = network_of(model, tmp_path)
        assert_same_function(
            model, network, points=2, tolerance=1e-9 if dtype is np.float64 else 1e-6
        )
        if not case.rounds:
            model = build(case, opset, prelude, np.float32)
            if case.op == "Cast":
                model.graph.output[0].type.tensor_type.elem_type = case.attributes["to"]
            assert_same_function(model, network_of(model, tmp_path), points=2, integers=True)


def test_every_operator_is_in_the_grid():
    compared = {node.op_type for model, _ in ELEMENTWISE for node in model.graph.node}
    choices = {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"}
    elsewhere = {"Shape", "Size", "CastLike"} | choices | compared
    assert set(OPERATORS) - {case.op for case in CASES} <= elsewhere


def test_every_operator_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert set(OPERATORS) <= set(re.findall(r"\w+", text))
