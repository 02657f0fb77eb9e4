"""Constant subgraphs, evaluated once by onnx's own reference evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from jensen.loaders.symbolic import LoweringError, check_size

Array = NDArray[Any]

# fmt: off
_BROADCASTING = frozenset(
    {
        "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Relu", "Max", "Min", "Sum", "Mean", "Sqrt",
        "Exp", "Log", "Pow", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "Not", "And", "Or",
        "Xor", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Where", "Clip",
        "Cast", "CastLike", "Mod", "Sigmoid", "Tanh", "Softplus", "Elu", "LeakyRelu", "PRelu",
        "HardSigmoid", "Erf", "Sin", "Cos", "IsNaN", "IsInf",
    }
)
_NOT_GROWING = frozenset(
    {
        "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split",
        "Concat", "Shape", "Size", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
        "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ArgMax", "ArgMin", "Softmax",
        "LogSoftmax", "CumSum", "BatchNormalization", "Dropout", "DepthToSpace",
        "SpaceToDepth", "EyeLike", "Trilu", "ScatterElements", "ScatterND", "DequantizeLinear",
    }
)
# fmt: on


_DEQUANTIZED_BY_ONNX = 19  # the first opset for which onnx's evaluator has the operator


def fold(node: Any, opset: int, inputs: Sequence[Array | None]) -> list[Array]:
    """Evaluate a node with constant inputs in the model's own number type.

    Raises
    ------
    LoweringError
        If the operator cannot be folded, the result is too large, or it fails.
    """
    if node.op_type == "Constant":
        return [constant_value(node)]
    check_size(_result_size(node, inputs))
    if node.op_type == "DequantizeLinear" and opset < _DEQUANTIZED_BY_ONNX:
        return [_dequantised(node, inputs)]
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415  (slow to import, rarely needed)

    given = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    graph = helper.make_graph(
        [node],
        "constants",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in given.items()
            if value is not None
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, given)
    except Exception as error:  # the evaluator raises whatever its numpy code happens to raise
        raise LoweringError(f"its constant inputs do not fit together ({_line(error)})") from None
    by_name = dict(zip([name for name in node.output if name], results, strict=True))
    return [np.asarray(by_name[name]) if name else np.zeros(0) for name in node.output]


def _dequantised(node: Any, inputs: Sequence[Array | None]) -> Array:
    """Return ``(x - zero) * scale`` in float32, along one axis or with one scale for all."""
    x, scale, zero = (*inputs, None)[:3]
    if x is None or scale is None:
        raise LoweringError("numbers and their scale are needed")
    if scale.ndim > 1 or scale.dtype != np.float32 or x.dtype.kind not in "iu":
        raise LoweringError(f"{x.dtype} with scales of shape {scale.shape}, {scale.dtype}")
    shape = [1] * x.ndim
    if scale.ndim:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        if not -x.ndim <= axis < x.ndim:
            raise LoweringError(f"axis {axis} of a tensor with {x.ndim} dimensions")
        shape[axis] = -1
    offset = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64)
    difference = x.astype(np.int64) - offset.reshape(shape if offset.size > 1 else ())
    return np.asarray(difference.astype(np.float32) * scale.reshape(shape))


def constant_value(node: Any) -> Array:
    """Return what a Constant node holds."""
    if len(node.attribute) != 1:
        raise LoweringError("exactly one value is needed")
    (attribute,) = node.attribute
    match attribute.name:
        case "value":
            return tensor_array(attribute.t)
        case "value_float":
            return np.array(attribute.f, dtype=np.float32)
        case "value_floats":
            return np.array(attribute.floats, dtype=np.float32)
        case "value_int":
            return np.array(attribute.i, dtype=np.int64)
        case "value_ints":
            return np.array(attribute.ints, dtype=np.int64)
    raise LoweringError(f"attribute {attribute.name!r} is not supported; supported is 'value'")


def tensor_array(tensor: Any) -> Array:
    """Return the numbers of a stored tensor.

    Raises
    ------
    LoweringError
        If its data do not fill its shape.
    """
    if any(size < 0 for size in tensor.dims) or tensor.HasField("segment"):
        raise LoweringError(f"tensor {tensor.name!r} has the shape {tuple(tensor.dims)}")
    if tensor.data_type == onnx.TensorProto.STRING:
        raise LoweringError(f"tensor {tensor.name!r} holds strings")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, NotImplementedError, OverflowError) as error:
        raise LoweringError(
            f"tensor {tensor.name!r}: its data do not fill its shape {tuple(tensor.dims)} "
            f"({_line(error)})"
        ) from None


def can_fold(operator: str) -> bool:
    """Whether the size of this operator's result is known before it is computed."""
    return operator == "Constant" or any(
        operator in known for known in (_BROADCASTING, _NOT_GROWING, _SIZE_OF)
    )


def _result_size(node: Any, inputs: Sequence[Array | None]) -> int:
    """Bound the size of a result before it is computed."""
    operator = node.op_type
    arrays = [value for value in inputs if value is not None]
    try:
        if operator in _BROADCASTING:
            return prod(np.broadcast_shapes(*(value.shape for value in arrays)))
        if operator in _NOT_GROWING:
            return sum(value.size for value in arrays)
        return _SIZE_OF[operator](node, *arrays)
    except KeyError:
        raise LoweringError("this operator on constants is not supported") from None
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise LoweringError(f"its constant inputs do not fit together ({_line(error)})") from None


def _integers(array: Array) -> tuple[int, ...]:
    return tuple(max(0, int(value)) for value in array.ravel())


def _matmul_size(_: Any, x: Array, y: Array) -> int:
    rows = x.shape if x.ndim > 1 else (1, *x.shape)
    columns = y.shape if y.ndim > 1 else (*y.shape, 1)
    return int(prod(np.broadcast_shapes(rows[:-2], columns[:-2])) * rows[-2] * columns[-1])


def _gemm_size(node: Any, x: Array, y: Array, *_: Array) -> int:
    flags = {attribute.name: attribute.i for attribute in node.attribute}
    rows, columns = x.shape[bool(flags.get("transA"))], y.shape[not flags.get("transB")]
    return int(rows * columns)


def _gather_size(node: Any, x: Array, positions: Array) -> int:
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
    return int(x.size // max(1, x.shape[axis]) * positions.size)


def _gather_nd_size(node: Any, x: Array, positions: Array) -> int:
    batch = next((attribute.i for attribute in node.attribute if attribute.name == "batch_dims"), 0)
    depth = positions.shape[-1]
    return int(positions.size // max(1, depth) * prod(x.shape[batch + depth :]))


_SIZE_OF: dict[str, Callable[..., int]] = {
    "ConstantOfShape": lambda _, shape: prod(_integers(shape)),
    "Expand": lambda _, x, shape: prod(np.broadcast_shapes(x.shape, _integers(shape))),
    "Gather": _gather_size,
    "GatherElements": lambda _, x, positions: positions.size,
    "GatherND": _gather_nd_size,
    "Gemm": _gemm_size,
    "MatMul": _matmul_size,
    "NonZero": lambda _, x: int(x.size) * max(1, x.ndim),
    "Range": lambda _, start, stop, step: int(abs((float(stop) - float(start)) / float(step))) + 1,
    "Tile": lambda _, x, repeats: int(x.size) * prod(_integers(repeats)),
}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
