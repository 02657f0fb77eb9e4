"""One ONNX node as the operator functions see it, and the table of these functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from jensen.loaders.lowering import Lowering
from jensen.loaders.symbolic import (
    LoweringError,
    NotPiecewiseLinearError,
    SymbolicTensor,
    constant,
    powers_of_two,
)
from jensen.types import FloatArray


@dataclass(frozen=True, eq=False)
class Condition:
    """Where ``left > right`` holds, for values computed from the input; read by Where alone."""

    left: SymbolicTensor
    right: SymbolicTensor


Value = SymbolicTensor | Condition | NDArray[Any]
Known = SymbolicTensor | NDArray[Any]

_LONG_NAME = 200


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """A node whose inputs are known.

    Attributes
    ----------
    proto : onnx.NodeProto
    opset : int
        Version of the operator set that the node's domain is read by.
    inputs : tuple
        Per input a tensor, a constant array, or None where it is left out.
    lowering : Lowering
        Where new blocks go.
    """

    proto: Any
    opset: int
    inputs: tuple[Value | None, ...]
    lowering: Lowering

    @property
    def label(self) -> str:
        """The node's name and operator for messages."""
        return label(self.proto)

    def rounds(self, what: str, divisors: ArrayLike) -> None:
        """Tell the user that reciprocals are rounded, unless they are exact."""
        if not powers_of_two(divisors):
            self.lowering.roundings.append(f"{self.label}: {what}")

    # ------------------------------------------------------------------ inputs

    def has(self, position: int) -> bool:
        """Whether an optional input is given."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def is_constant(self, position: int) -> bool:
        """Whether an input does not depend on the network's input."""
        value = self._input(position)
        return not isinstance(value, SymbolicTensor) or value.is_constant

    def rank(self, position: int) -> int:
        """Return the number of dimensions of an input."""
        return len(self._input(position).shape)

    def tensor(self, position: int) -> SymbolicTensor:
        """Return an input as a tensor; constants are lifted."""
        value = self._input(position)
        return value if isinstance(value, SymbolicTensor) else constant(self.numbers(position))

    def tensors(self) -> list[SymbolicTensor]:
        """Return all inputs as tensors."""
        return [self.tensor(i) for i in range(len(self.inputs))]

    def array(self, position: int) -> NDArray[Any]:
        """Return a constant input in its own type."""
        value = self._input(position)
        if isinstance(value, SymbolicTensor):
            if not value.is_constant:
                raise NotPiecewiseLinearError(
                    f"input {self.proto.input[position]!r} must be a constant, "
                    "it is computed from the network's input"
                )
            return value.bias.reshape(value.shape)
        return value

    def numbers(self, position: int, *, finite: bool = True) -> FloatArray:
        """Return a constant input as float64, which is exact for narrower floats."""
        array = self.array(position)
        if array.dtype.kind in "cOSU":
            raise LoweringError(f"input {self.proto.input[position]!r} holds no numbers")
        result = array.astype(np.float64)
        if not np.isfinite(array).all() and (finite or np.isnan(result).any()):
            raise LoweringError(f"constant {self.proto.input[position]!r} holds NaN or infinity")
        return result

    def integers(self, position: int) -> tuple[int, ...]:
        """Return a constant integer input, flattened."""
        array = self.array(position)
        if array.dtype.kind not in "iu":
            raise LoweringError(f"input {self.proto.input[position]!r} must hold integers")
        return tuple(int(v) for v in array.ravel())

    def single_integer(self, position: int) -> int:
        """Return a constant input that holds one integer."""
        values = self.integers(position)
        if len(values) != 1:
            raise LoweringError(f"input {self.proto.input[position]!r} must hold one integer")
        return values[0]

    def has_condition(self, position: int) -> bool:
        """Whether an input is a comparison of values computed from the input."""
        return position < len(self.inputs) and isinstance(self.inputs[position], Condition)

    def condition(self, position: int) -> Condition:
        """Return a comparison of values computed from the input."""
        value = self.inputs[position]
        if not isinstance(value, Condition):
            raise LoweringError(f"input number {position + 1} is no comparison")
        return value

    def _input(self, position: int) -> Known:
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise LoweringError(f"input number {position + 1} is missing")
        if isinstance(value, Condition):
            raise NotPiecewiseLinearError(
                f"{self.proto.input[position]!r} is a comparison, whose values jump"
            )
        return value

    # -------------------------------------------------------------- attributes

    def _attribute(self, name: str, kind: int) -> Any:
        for attribute in self.proto.attribute:
            if attribute.name == name:
                if attribute.type != kind:
                    raise LoweringError(f"attribute {name!r} has the wrong type")
                return attribute
        return None

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        found = self._attribute(name, onnx.AttributeProto.INT)
        return default if found is None else int(found.i)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return an integer attribute that stands for yes or no."""
        value = self.integer(name, int(default))
        if value not in (0, 1):  # runtimes differ in what other numbers mean
            raise LoweringError(f"attribute {name!r} is {value}; 0 or 1 is needed")
        return value == 1

    def number(self, name: str, default: float) -> float:
        """Return a float attribute, which must be finite."""
        found = self._attribute(name, onnx.AttributeProto.FLOAT)
        # a default such as 0.01 stands for the float32 that runtimes use
        value = float(np.float32(default)) if found is None else float(found.f)
        if not np.isfinite(value):
            raise LoweringError(f"attribute {name!r} is {value}")
        return value

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        found = self._attribute(name, onnx.AttributeProto.STRING)
        return default if found is None else str(found.s.decode("utf-8", "replace"))

    def sequence(self, name: str) -> tuple[int, ...] | None:
        """Return an attribute that lists integers, None where it is left out."""
        found = self._attribute(name, onnx.AttributeProto.INTS)
        return None if found is None else tuple(int(v) for v in found.ints)

    def floats(self, name: str) -> tuple[float, ...]:
        """Return an attribute that lists finite numbers."""
        found = self._attribute(name, onnx.AttributeProto.FLOATS)
        values = () if found is None else tuple(float(v) for v in found.floats)
        if not np.isfinite(values).all():
            raise LoweringError(f"attribute {name!r} is {values}")
        return values

    def has_attribute(self, name: str) -> bool:
        """Whether an attribute is given, of any type."""
        return any(attribute.name == name for attribute in self.proto.attribute)


def label(proto: Any) -> str:
    """Return the name and operator of a node in one short line."""
    named = f"node {_short(proto.name)!r}"
    if not proto.name:
        first = next((name for name in proto.output if name), "nothing")
        named = f"node computing {_short(first)!r}"
    kind = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
    return f"{named} ({plain(kind)})"


def plain(name: str) -> str:
    """Return a name from a file without line ends and other control characters."""
    # protobuf returns bytes where a string is no valid UTF-8
    harmless = isinstance(name, str) and name.isprintable()
    return _short(name) if harmless else repr(_short(name))


def _short(name: str) -> str:
    return name if len(name) <= _LONG_NAME else f"{name[:_LONG_NAME]}..."


Operator = Callable[[OnnxNode], Value | Sequence[Value]]

OPERATORS: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Register a function for operators of the default ONNX domain."""

    def register(function: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = function
        return function

    return register


def normal_axis(axis: int, rank: int) -> int:
    """Return a possibly negative axis counted from the front."""
    if not -rank <= axis < max(rank, 1):
        raise LoweringError(f"axis {axis} of a tensor with {rank} dimensions")
    return axis % rank if rank else 0


def normal_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return several distinct axes counted from the front, in ascending order."""
    result = tuple(sorted(normal_axis(axis, rank) for axis in axes))
    if len(set(result)) != len(result):
        raise LoweringError(f"axes {tuple(axes)} name one dimension twice")
    return result
