"""Evaluation of the shipped models in rational arithmetic, straight from the ONNX file.

It shares no code with the library, so that a verdict in the manifest does not rest on
the program that is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Values = np.ndarray[Any, np.dtype[np.object_]]


class ExactModel:
    """The real-valued function that an ONNX file describes, for one point at a time."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(path)
        self.path = path
        self._nodes = list(model.graph.node)
        self._constants = {
            tensor.name: fractions(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }
        self._input = model.graph.input[0].name
        self._output = model.graph.output[0].name
        dims = model.graph.input[0].type.tensor_type.shape.dim[1:]
        self.shape = tuple(dim.dim_value for dim in dims)
        self.inputs = int(np.prod(self.shape))

    def __call__(self, x: Sequence[Fraction | float], output: int = 0) -> Fraction:
        """Return one output at one point, exactly."""
        values = dict(self._constants)
        values[self._input] = fractions(np.array(list(x), dtype=object)).reshape(1, *self.shape)
        for node in self._nodes:
            arguments = [values[name] for name in node.input]
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = _OPERATORS[node.op_type](arguments, attributes)
        result: Fraction = values[self._output].reshape(-1)[output]
        return result

    def violation(
        self, x: Sequence[Fraction | float], y: Sequence[Fraction | float], output: int = 0
    ) -> Fraction:
        """Return ``f((x + y) / 2) - (f(x) + f(y)) / 2``: positive breaks convexity."""
        middle = [(Fraction(a) + Fraction(b)) / 2 for a, b in zip(x, y, strict=True)]
        ends = self(x, output) + self(y, output)
        return self(middle, output) - ends / 2


def fractions(array: Any) -> Values:
    """Return an array of exact fractions of the same shape."""
    source = np.asarray(array)
    result = np.empty(source.shape, dtype=object)
    for index in np.ndindex(*source.shape):
        entry = source[index]
        result[index] = Fraction(entry if isinstance(entry, Fraction) else float(entry))
    return result


def _gemm(arguments: list[Values], attributes: dict[str, Any]) -> Values:
    left, right = arguments[:2]
    left = left.T if attributes.get("transA") else left
    right = right.T if attributes.get("transB") else right
    product = Fraction(attributes.get("alpha", 1.0)) * (left @ right)
    if len(arguments) == 2:
        return product
    return product + Fraction(attributes.get("beta", 1.0)) * arguments[2]


_OPERATORS: dict[str, Callable[[list[Values], dict[str, Any]], Values]] = {
    "Gemm": _gemm,
    "MatMul": lambda v, _: v[0] @ v[1],
    "Add": lambda v, _: v[0] + v[1],
    "Sub": lambda v, _: v[0] - v[1],
    "Relu": lambda v, _: np.maximum(v[0], Fraction(0)),
    "Identity": lambda v, _: v[0],
    "Flatten": lambda v, _: v[0].reshape(1, -1),
    "Reshape": lambda v, _: v[0].reshape([int(n) for n in v[1]]),
    "Constant": lambda _, a: fractions(numpy_helper.to_array(a["value"])),
    "Concat": lambda v, a: np.concatenate(v, axis=int(a["axis"])),
}
