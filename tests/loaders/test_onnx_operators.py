"""Every operator, over a grid of attributes and operator sets, against onnxruntime."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_models import NEWEST, assert_same_function, make_model, network_of

import jensen.loaders.onnx  # noqa: F401  (fills the table of operators)
from jensen.loaders.onnx_node import OPERATORS

OLDEST = 7
VEC = (1, 6)
IMG = (1, 2, 5, 6)
# neither onnxruntime nor onnx's reference compute all of their arguments in float64
NARROW = {"Cast", "ConvTranspose", "Resize", "Upsample"}


INTRODUCED: dict[str, int] = {}
for schema in onnx.defs.get_all_schemas_with_history():
    if schema.domain == "":
        version = INTRODUCED.get(schema.name, NEWEST)
        INTRODUCED[schema.name] = min(version, schema.since_version)


@dataclass(frozen=True)
class Case:
    """One operator with constants; ``rounds`` where the weights are no exact doubles."""

    op: str
    shape: tuple[int, ...] = VEC
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    since: int = OLDEST
    until: int = NEWEST
    second: tuple[int, ...] | None = None
    first_constant: bool = False
    outputs: int = 1
    unread: int = 0
    rounds: bool = False

    @property
    def opsets(self) -> list[int]:
        """All operator sets in which the operator takes these arguments."""
        first = max(self.since, INTRODUCED[self.op], OLDEST)
        return list(range(first, min(self.until, NEWEST) + 1))


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def numbers(*shape: int) -> np.ndarray:
    """Small integers with signs, none zero."""
    size = int(np.prod(shape))
    return (np.arange(size) % 7 - 3 + (np.arange(size) % 7 > 2)).reshape(shape).astype(float)


def powers(*shape: int) -> np.ndarray:
    return 2.0 ** (np.arange(int(np.prod(shape))) % 4 - 1).reshape(shape)


CASES = [
    # sums and products
    *(
        Case(op, constants=(numbers(*shape),), first_constant=first)
        for op in ("Add", "Sub", "Mul")
        for shape in ((), (6,), (1, 6), (1, 1), (3, 1), (2, 1, 6))
        for first in (False, True)
    ),
    *(Case("Div", constants=(powers(*shape),)) for shape in ((), (6,), (3, 6))),
    Case("Div", constants=(np.array([3.0, -7, 5, 1, 2, 0.1]),), rounds=True),
    *(
        Case(op, second=VEC)
        for op in ("Add", "Sub", "Sum", "Max", "Min", "Concat")
        if op != "Concat"
    ),
    *(Case(op, second=(3, 1)) for op in ("Add", "Sub")),
    *(Case(op, second=(3, 1), since=8) for op in ("Max", "Min", "Sum")),
    Case("Mean", second=VEC),
    Case("Mean", second=VEC, constants=(numbers(6),), since=8, rounds=True),
    *(Case(op, constants=(numbers(6),), since=8) for op in ("Max", "Min", "Sum")),
    *(Case(op, constants=(numbers(1, 6), numbers(1, 6) * 2)) for op in ("Max", "Min", "Sum")),
    *(Case(op) for op in ("Neg", "Abs", "Relu", "Identity", "Sum", "Max", "Min", "Mean")),
    # matrix products
    Case("MatMul", constants=(numbers(6, 3),)),
    Case("MatMul", constants=(numbers(6),)),
    Case("MatMul", (6,), constants=(numbers(6, 3),)),
    Case("MatMul", (6,), constants=(numbers(6),)),
    Case("MatMul", (3, 2), constants=(numbers(2, 4),)),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 4),)),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 2, 4),)),
    Case("MatMul", (3, 2), constants=(numbers(2, 2, 4),)),
    Case("MatMul", (6, 1), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6, 2), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6,), constants=(numbers(3, 6),), first_constant=True),
    Case("MatMul", (6, 2), constants=(numbers(6),), first_constant=True),
    Case("MatMul", (2, 3, 2), constants=(numbers(2, 4, 3),), first_constant=True),
    *(
        Case(
            "Gemm",
            (6, 1) if trans_a else (1, 6),
            constants=(numbers(3, 6) if trans_b else numbers(6, 3), *extra),
            attributes={"transA": trans_a, "transB": trans_b, "alpha": alpha, "beta": 0.5},
            since=7 if extra else 11,
        )
        for trans_a in (0, 1)
        for trans_b in (0, 1)
        for alpha in (1.0, -2.0)
        for extra in ((), (numbers(3),), (numbers(1, 1),), (numbers(1, 3),))
    ),
    Case("Gemm", (2, 6), constants=(numbers(6, 3), numbers(2, 1))),
    Case("Gemm", (6, 2), constants=(numbers(3, 6), numbers(3, 1)), first_constant=True),
    Case(
        "Gemm",
        (2, 6),
        constants=(numbers(6, 3), numbers(2)),
        attributes={"transA": 1, "transB": 1},
        first_constant=True,
    ),
    # activations
    Case("LeakyRelu", attributes={"alpha": 0.25}),
    Case("LeakyRelu", attributes={"alpha": -0.5}),
    Case("LeakyRelu", rounds=True),
    Case("LeakyRelu", attributes={"alpha": 1e-12}, rounds=True),
    Case("PRelu", constants=(powers(6),)),
    Case("PRelu", constants=(powers(1),)),
    Case("PRelu", IMG, constants=(powers(2, 1, 1),)),
    Case("PRelu", constants=(np.array([0.1, 1e-9, 0, 1, -3, 1e-30]),), rounds=True),
    *(
        Case("Clip", attributes=bounds, until=10)
        for bounds in ({}, {"min": 0.0, "max": 6.0}, {"min": -1.0}, {"max": 2.0})
    ),
    *(
        Case("Clip", constants=bounds, since=11)
        for bounds in (
            (),
            (np.array(0.0), np.array(6.0)),
            (np.array(-1.0), np.array(1.0)),
            (np.array(-1.0),),
            (None, np.array(2.0)),
            (np.array(-np.inf), np.array(2.0)),
            (np.array(1.0), np.array(1.0)),
        )
    ),
    Case("Clip", constants=(np.array(2.0), np.array(-1.0)), since=13),
    Case("HardSigmoid", rounds=True),
    Case("HardSigmoid", attributes={"alpha": 0.25, "beta": 0.5}),
    # convolutions and poolings
    *(
        Case(
            "Conv",
            IMG,
            constants=(numbers(3, 2, 3, 2), *extra),
            attributes={"strides": strides, "pads": pads, "dilations": dilations},
        )
        for strides in ([1, 1], [2, 3])
        for pads in ([0, 0, 0, 0], [1, 0, 2, 1])
        for dilations in ([1, 1], [2, 1])
        for extra in ((), (numbers(3),))
    ),
    *(
        Case("Conv", IMG, constants=(numbers(4, 1, 2, 2),), attributes={"group": 2, "auto_pad": p})
        for p in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    ),
    Case("Conv", IMG, constants=(numbers(2, 2, 3, 3),), attributes={"kernel_shape": [3, 3]}),
    Case("Conv", (2, 2, 4, 4), constants=(numbers(2, 2, 3, 3),)),
    Case("Conv", (1, 2, 9), constants=(numbers(3, 2, 3), numbers(3)), attributes={"strides": [2]}),
    Case("Conv", (1, 4, 9), constants=(numbers(4, 1, 3),), attributes={"group": 4, "pads": [1, 1]}),
    Case("Conv", (1, 1, 3, 4, 3), constants=(numbers(2, 1, 2, 2, 2),)),
    *(
        Case("MaxPool", shape, attributes=attributes, since=since)
        for shape, attributes, since in (
            (IMG, {"kernel_shape": [2, 2]}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [2, 2]}, 7),
            (IMG, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}, 7),
            (IMG, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, 7),
            (IMG, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}, 8),
            (IMG, {"kernel_shape": [2, 2], "strides": [3, 4], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [2, 2], "dilations": [2, 3]}, 10),
            ((1, 2, 7), {"kernel_shape": [3], "strides": [2]}, 7),
            ((2, 1, 3, 4, 3), {"kernel_shape": [2, 2, 2]}, 7),
        )
    ),
    *(
        Case("AveragePool", shape, attributes=attributes, since=since)
        for shape, attributes, since in (
            (IMG, {"kernel_shape": [2, 2]}, 7),
            (IMG, {"kernel_shape": [2, 4], "strides": [2, 1], "pads": [0, 0, 0, 0]}, 7),
            ((1, 2, 7), {"kernel_shape": [2], "strides": [2]}, 7),
            (IMG, {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}, 7),
            (IMG, {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"}, 7),
            (IMG, {"kernel_shape": [2, 2], "strides": [3, 3], "ceil_mode": 1}, 10),
            (IMG, {"kernel_shape": [2, 2], "dilations": [2, 3]}, 19),
        )
    ),
    Case(
        "AveragePool", IMG, attributes={"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, rounds=True
    ),
    Case(
        "AveragePool",
        IMG,
        attributes={
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "pads": [1, 1, 1, 1],
            "ceil_mode": 1,
            "count_include_pad": 1,
        },
        since=19,
        rounds=True,
    ),
    *(
        Case("ConvTranspose", IMG, constants=(numbers(2, 2, 3, 2), *extra), attributes=attributes)
        for extra in ((), (numbers(2),))
        for attributes in (
            {},
            {"strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 2]},
            {"dilations": [2, 1], "strides": [1, 2], "kernel_shape": [3, 2]},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"strides": [2, 2], "output_shape": [10, 11]},
        )
    ),
    Case(
        "ConvTranspose",
        (2, 4, 5),
        constants=(numbers(4, 1, 3), numbers(2)),
        attributes={"group": 2, "auto_pad": "VALID"},
    ),
    Case("GlobalAveragePool", (1, 3, 4, 4)),
    Case("GlobalAveragePool", IMG, rounds=True),
    Case("GlobalMaxPool", IMG),
    *(
        Case(
            "BatchNormalization",
            shape,
            constants=(numbers(shape[1]), numbers(shape[1]), numbers(shape[1]), powers(shape[1])),
            attributes={"epsilon": 0.01},
            rounds=True,
        )
        for shape in ((1, 6), IMG, (2, 3, 4))
    ),
    # shapes
    *(Case("Flatten", IMG, attributes={"axis": axis}) for axis in (0, 1, 2, 4)),
    *(Case("Flatten", IMG, attributes={"axis": axis}, since=11) for axis in (-1, -4)),
    *(
        Case("Reshape", IMG, constants=(target,))
        for target in (ints(-1), ints(0, -1), ints(1, 60), ints(0, 0, 30), ints(5, -1, 2, 1))
    ),
    Case("Reshape", IMG, constants=(ints(1, -1),), attributes={"allowzero": 1}, since=14),
    Case("Transpose", IMG),
    Case("Transpose", IMG, attributes={"perm": [0, 2, 3, 1]}),
    Case("Squeeze", (1, 3, 1, 2)),
    Case("Squeeze", (1, 3, 1, 2), attributes={"axes": [2]}, until=12),
    Case("Squeeze", (1, 3, 1, 2), constants=(ints(0, -2),), since=13),
    Case("Unsqueeze", attributes={"axes": [0, 3]}, until=12),
    Case("Unsqueeze", constants=(ints(1, -1),), since=13),
    Case("Slice", IMG, attributes={"starts": [1, -3], "ends": [5, 9], "axes": [2, 3]}, until=9),
    Case("Slice", IMG, attributes={"starts": [0, -1], "ends": [1, 7]}, until=9),
    Case("Slice", IMG, constants=(ints(1, -3), ints(5, 99), ints(2, -1)), since=10),
    Case("Slice", IMG, constants=(ints(4, -1), ints(0, -99), ints(2, 3), ints(-1, -2)), since=10),
    Case("Split", attributes={"axis": 1}, outputs=3, until=17),
    Case("Split", attributes={"axis": 1, "num_outputs": 4}, outputs=4, since=18),
    Case("Split", attributes={"axis": -1, "split": [1, 2, 3]}, outputs=3, since=11, until=12),
    Case("Split", constants=(ints(4, 2),), attributes={"axis": 1}, outputs=2, since=13),
    Case("Gather", IMG, constants=(ints(3, 0, 3),), attributes={"axis": 2}),
    Case(
        "Gather", IMG, constants=(np.array([[0, -1], [1, 1]]),), attributes={"axis": -1}, since=11
    ),
    Case("Gather", constants=(np.array(2),), attributes={"axis": 1}),
    Case("Expand", (3, 1), constants=(ints(2, 1, 6),), since=8),
    Case("Tile", (2, 3), constants=(ints(2, 2),)),
    Case("Pad", IMG, attributes={"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 2.0}, until=10),
    *(
        Case(
            "Pad", IMG, constants=(ints(0, 0, 1, 2, 0, 0, 2, 1),), attributes={"mode": m}, since=11
        )
        for m in ("constant", "reflect", "edge")
    ),
    Case(
        "Pad", IMG, constants=(ints(0, 0, 1, 2, 0, 0, 2, 1),), attributes={"mode": "wrap"}, since=19
    ),
    Case("Pad", IMG, constants=(ints(0, 0, -1, 2, 0, 0, 2, -2), np.array(3.0)), since=11),
    Case("Pad", IMG, constants=(ints(1, 2), np.array(-1.0), ints(-1)), since=18),
    Case("Concat", second=VEC, attributes={"axis": 1}),
    Case("Concat", second=(4, 6), attributes={"axis": 0}),
    Case("Concat", second=VEC, constants=(numbers(1, 2),), attributes={"axis": -1}, since=11),
    Case(
        "Where",
        constants=(np.array([True, False, True, True, False, False]), numbers(1, 6)),
        since=9,
    ),
    Case("Dropout"),
    Case("Dropout", constants=(np.array(0.5), np.array(False)), since=12),
    Case("Cast", attributes={"to": onnx.TensorProto.DOUBLE}),
    Case("Cast", attributes={"to": onnx.TensorProto.FLOAT}),
    Case("DepthToSpace", (1, 8, 2, 3), attributes={"blocksize": 2}),
    Case("DepthToSpace", (1, 8, 2, 3), attributes={"blocksize": 2, "mode": "CRD"}, since=11),
    Case("SpaceToDepth", (1, 2, 4, 6), attributes={"blocksize": 2}),
    Case(
        "GatherElements",
        IMG,
        constants=(ints(3, -1, 0, 3).reshape(1, 1, 2, 2),),
        attributes={"axis": 2},
    ),
    Case("GatherND", IMG, constants=(np.array([[0, 1, -1], [0, 0, 2]]),), since=11),
    Case(
        "GatherND",
        (2, 3, 4),
        constants=(np.array([[2], [0]]),),
        attributes={"batch_dims": 1},
        since=12,
    ),
    Case(
        "ScatterElements",
        constants=(np.array([[4, 1]]), numbers(1, 2)),
        attributes={"axis": 1},
        since=11,
    ),
    Case("ScatterND", (3, 2), constants=(np.array([[2], [0]]), numbers(2, 2))),
    Case("Trilu", (2, 3, 4), constants=(np.array(-1),)),
    Case("Trilu", (2, 3, 4), attributes={"upper": 0}),
    *(
        Case("Upsample", IMG, attributes={"mode": m, "scales": [1.0, 1.0, 2.0, 4.0]}, until=8)
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Upsample",
            IMG,
            constants=(np.float32([1, 1, 2, 4]),),
            attributes={"mode": m},
            since=9,
            until=9,
        )
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Resize", IMG, constants=(np.float32([1, 1, 2, 0.5]),), attributes={"mode": m}, until=10
        )
        for m in ("nearest", "linear")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(np.zeros(0, np.float32), np.zeros(0, np.float32), ints(1, 2, 10, 3)),
            attributes={"mode": m, "coordinate_transformation_mode": c},
            since=11,
            until=12,
        )
        for m in ("nearest", "linear")
        for c in ("half_pixel", "asymmetric")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(None, np.float32([1, 1, 2, 4])),
            attributes={"mode": m, "coordinate_transformation_mode": c},
            since=13,
            rounds=c == "align_corners",
        )
        for m in ("nearest", "linear")
        for c in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
    ),
    *(
        Case(
            "Resize",
            IMG,
            constants=(None, None, ints(10, 9)),
            attributes={
                "axes": [2, 3],
                "nearest_mode": m,
                "coordinate_transformation_mode": "asymmetric",
            },
            since=18,
        )
        for m in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    # sums over subscripts
    *(
        Case(
            "Einsum",
            (2, 3, 4),
            constants=(numbers(*shape),),
            attributes={"equation": equation},
            first_constant=first,
        )
        for shape, equation, first in (
            ((4, 5), "abc,cd->abd", False),
            ((4, 5), "abc,cd->dab", False),
            ((3, 2), "abc,ba->c", False),
            ((4, 3, 5), "aij,bia->bja", True),
            ((5,), "abc,d", False),
        )
    ),
    Case("Einsum", (2, 3), attributes={"equation": "ab->b"}),
    # sorted numbers
    Case("TopK", attributes={"k": 2}, until=9, unread=1),
    *(
        Case("TopK", shape, constants=(ints(k),), attributes={"axis": axis}, since=10, unread=1)
        for shape, axis in ((VEC, 1), ((5, 2), 0), ((1, 7), -1))
        for k in (1, 3, 5)
    ),
    Case("TopK", constants=(ints(3),), attributes={"largest": 0}, since=11, unread=1),
    # reductions
    *(
        Case("CumSum", IMG, constants=(np.array(axis),), attributes=attributes)
        for axis, attributes in ((3, {}), (-2, {"reverse": 1}), (1, {"exclusive": 1}))
    ),
    Case("ReduceL1", IMG, attributes={"axes": [1, 3], "keepdims": 0}, until=17),
    Case("ReduceL1", IMG, constants=(ints(-1),), since=18),
    *(
        Case(op, IMG, attributes=attributes, until=until, rounds=op == "ReduceMean")
        for op, until in (
            ("ReduceSum", 12),
            ("ReduceMean", 17),
            ("ReduceMax", 17),
            ("ReduceMin", 17),
        )
        for attributes in ({}, {"axes": [1]}, {"axes": [0, 2, 3], "keepdims": 0})
    ),
    *(
        Case(op, IMG, constants=axes, attributes=attributes, since=since, rounds=op == "ReduceMean")
        for op, since in (
            ("ReduceSum", 13),
            ("ReduceMean", 18),
            ("ReduceMax", 18),
            ("ReduceMin", 18),
        )
        for axes, attributes in (
            ((), {}),
            ((), {"noop_with_empty_axes": 1}),
            ((ints(1),), {}),
            ((ints(0, -2),), {"keepdims": 0}),
        )
    ),
]


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
    assert set(OPERATORS) - {case.op for case in CASES} == {"Shape", "Size", "CastLike"}


def test_every_operator_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert set(OPERATORS) <= set(re.findall(r"\w+", text))
