"""ONNX models, lowered node by node to a ReLU DAG (docs/models.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from jensen.errors import ModelFileError, NetworkError, UnsupportedOperatorError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders.lowering import Lowering
from jensen.loaders.onnx import (
    activations,
    affine,
    choices,
    convolutions,
    einsum,
    reductions,
    resize,
    selecting,
    shaping,
    smooth,
    windows,
)
from jensen.loaders.onnx.file import opset_of, read_model
from jensen.loaders.onnx.folding import can_fold, fold, tensor_array
from jensen.loaders.onnx.ml import ML_DOMAIN, ML_OPERATORS
from jensen.loaders.onnx.node import OPERATORS, Condition, OnnxNode, Operator, Value, label, plain
from jensen.loaders.onnx.order import needed_nodes
from jensen.loaders.onnx.refusals import COMPARISONS, advice, refusal
from jensen.loaders.onnx.schema import check_schema
from jensen.loaders.symbolic import (
    LoweringError,
    NotPiecewiseLinearError,
    SymbolicTensor,
    TooLargeError,
    check_size,
    constant,
    stack,
    stored_count,
)
from jensen.network.relu_network import ReluNetwork

# importing these fills the table of operators
_OPERATOR_MODULES = (
    activations,
    affine,
    choices,
    convolutions,
    einsum,
    reductions,
    resize,
    selecting,
    shaping,
    smooth,
    windows,
)

_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}
# a file of a few kilobytes may ask for any number of large tensors
MAX_HELD = 2**27
MAX_RANK = 32  # of numpy
MAX_WORK = 2**29
_GRAPHS = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
# what these return is fixed once the batch is, so that it may go through any operator
_STATIC = {"Shape", "Size"}


def load_onnx(path: Path) -> ReluNetwork | FunctionGraph:
    """Read a network from an ONNX file.

    Dynamic batch dimensions are set to 1; several inputs or outputs are joined
    in their order.

    Raises
    ------
    ModelFileError
        If the file is damaged or its graph makes no sense; the message names the node.
    UnsupportedOperatorError
        For an operator that is neither piecewise linear nor among the smooth ones.
    """
    return network_from_model(read_model(path), path)


def network_from_model(model: Any, path: Path) -> ReluNetwork | FunctionGraph:
    """Lower a parsed model; ``path`` is only used in messages."""
    try:
        try:
            return _Graph(model, path).lower()
        except TooLargeError:  # written out; convolutions can stay what they are
            return _Graph(model, path, keep_convolutions=True).lower()
    except LoweringError as error:
        raise ModelFileError(f"{path}: {_line(error)}") from None
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except MemoryError:
        raise ModelFileError(f"{path}: too large for the memory of this machine") from None


class _Graph:
    """One walk over the nodes of a graph, in the order of the file."""

    def __init__(self, model: Any, path: Path, *, keep_convolutions: bool = False) -> None:
        self._keep_convolutions = keep_convolutions
        self._path = path
        self._graph = model.graph
        self._needed = needed_nodes(model.graph)
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        # older files list every stored tensor as an input, too
        self._inputs = {i.name for i in model.graph.input} - set(self._stored)
        self._refuse_double_names()
        self._refuse_unknown_operators()
        self._opset = opset_of(model, path)
        if model.graph.sparse_initializer:
            raise ModelFileError(f"{path}: sparse initializers are not supported; store them dense")
        self._readers = _count_readers(model.graph, self._needed)
        self._values: dict[str, Value] = {}
        self._sizes: dict[str, int] = {}
        self._held = self._work = 0

    def lower(self) -> ReluNetwork | FunctionGraph:
        """Return the network."""
        inputs = [i for i in self._graph.input if i.name in self._inputs]
        if not inputs:
            raise ModelFileError(f"{self._path}: the graph has no input")
        shapes = [_input_shape(info) for info in inputs]
        sizes = [prod(shape) for shape, _ in shapes]
        lowering = Lowering(sum(sizes), keep_convolutions=self._keep_convolutions)
        whole = lowering.input()
        start = 0
        for info, (shape, _), size in zip(inputs, shapes, sizes, strict=True):
            self._values[info.name] = whole.take(np.arange(start, start + size).reshape(shape))
            start += size
        for proto in self._needed:
            self._evaluate(proto, lowering)
        outputs = [self._output(info.name) for info in self._graph.output]
        joined = outputs[0] if len(outputs) == 1 else stack(outputs)
        if not joined.size:
            raise ModelFileError(f"{self._path}: output {self._graph.output[0].name!r} is empty")
        input_shape = (
            _sample_shape(shapes[0][0], shapes[0][1]) if len(shapes) == 1 else (sum(sizes),)
        )
        return lowering.finish(joined, input_shape, _sample_shape(joined.shape, False))

    def _output(self, name: str) -> SymbolicTensor:
        value = self._read(name)
        if isinstance(value, Condition):
            raise LoweringError(f"output {name!r} is a comparison, whose values jump")
        return value if isinstance(value, SymbolicTensor) else constant(value)

    def _refuse_double_names(self) -> None:
        stored = [tensor.name for tensor in self._graph.initializer]
        names = stored + [i.name for i in self._graph.input if i.name in self._inputs]
        names += [name for proto in self._graph.node for name in proto.output if name]
        if double := [name for name, count in Counter(names).items() if count > 1]:
            raise ModelFileError(f"{self._path}: {double[0]!r} is computed twice")

    def _refuse_unknown_operators(self) -> None:
        """Name the first node that no version of this loader could lower."""
        computed = set(self._inputs)
        for proto in self._needed:
            if any(attribute.type in _GRAPHS for attribute in proto.attribute):
                raise UnsupportedOperatorError(
                    self._at(proto, "control flow is not supported; export the model without it")
                )
            if not computed.isdisjoint(proto.input):
                if proto.op_type not in _STATIC:
                    computed.update(proto.output)
                if not _is_known(proto) or (
                    proto.op_type in COMPARISONS | {"Sign"} and not self._only_chooses(proto)
                ):
                    reason = refusal(proto, computed, self._inputs)
                    raise UnsupportedOperatorError(self._at(proto, reason))

    def _only_chooses(self, proto: Any) -> bool:
        """Whether a comparison is read as the condition of Where and by nothing else.

        A sign may be read by what a Where puts together with it.
        """
        name = proto.output[0]
        if proto.op_type == "Sign":
            return any(node.op_type == "Where" for node in self._needed)
        readers = [node for node in self._needed if name in node.input]
        outputs = {info.name for info in self._graph.output}
        return name not in outputs and all(
            node.op_type == "Where" and name not in list(node.input)[1:] for node in readers
        )

    def _evaluate(self, proto: Any, lowering: Lowering) -> None:
        try:
            inputs = tuple(self._read(name) if name else None for name in proto.input)
            check_schema(proto, self._opset)
            arrays = [v for v in inputs if not isinstance(v, SymbolicTensor | Condition)]
            constant_only = len(arrays) == len(inputs)
            if constant_only and (can_fold(proto.op_type) or not _is_known(proto)):
                results: Value | Sequence[Value] = fold(proto, self._opset, arrays)
            else:
                results = _operators_of(proto)[proto.op_type](
                    OnnxNode(proto, self._opset, inputs, lowering)
                )
            listed = _listed(results)
            self._refuse_missing_outputs(proto, len(listed))
        except NotPiecewiseLinearError as error:
            message = f"{_line(error)}; {advice(proto, self._computed(proto), self._inputs)}"
            raise UnsupportedOperatorError(self._at(proto, message)) from None
        except TooLargeError as error:
            if not self._keep_convolutions and self._has_convolutions:
                raise
            raise ModelFileError(self._at(proto, _line(error))) from None
        except (LoweringError, ValueError, IndexError, TypeError, OverflowError) as error:
            raise ModelFileError(self._at(proto, _line(error))) from None
        for name, value in zip(proto.output, listed, strict=False):
            if name:
                self._keep(proto, name, value)
        for name in proto.input:
            self._readers[name] = self._readers.get(name, 0) - 1
            if self._readers[name] <= 0:
                self._values.pop(name, None)  # large intermediate maps are freed early
                self._held -= self._sizes.pop(name, 0)

    @property
    def _has_convolutions(self) -> bool:
        return any(proto.op_type == "Conv" for proto in self._needed)

    def _refuse_missing_outputs(self, proto: Any, count: int) -> None:
        """Refuse a node of which an output is read that only runtimes compute."""
        for name in proto.output[count:]:
            if name and self._readers.get(name):
                raise LoweringError(f"its output {plain(name)!r} is not supported")

    def _computed(self, proto: Any) -> list[str]:
        """Return the inputs of a node that depend on the network's input."""
        values = {name: self._values.get(name) for name in proto.input}
        return [
            name
            for name, value in values.items()
            if isinstance(value, Condition)
            or (isinstance(value, SymbolicTensor) and not value.is_constant)
        ]

    def _keep(self, proto: Any, name: str, value: Value) -> None:
        self._values[name] = value
        self._sizes[name] = _numbers_in(value)
        self._held += self._sizes[name]
        self._work += self._sizes[name]
        for count, most, what in (
            (self._held, MAX_HELD, "held at once"),
            (self._work, MAX_WORK, "computed"),
        ):
            if count > most:
                raise ModelFileError(self._at(proto, f"more than {most} numbers would be {what}"))

    def _read(self, name: str) -> Value:
        if name in self._values:
            return self._values[name]
        if name not in self._stored:
            raise LoweringError(f"{name!r} is read before anything computes it")
        value = self._values[name] = tensor_array(self._stored[name])
        return value

    def _at(self, proto: Any, message: str) -> str:
        return f"{self._path}: {label(proto)}: {message}"


def _operators_of(proto: Any) -> Mapping[str, Operator]:
    """Return the table of operators of a node's domain."""
    if proto.domain == ML_DOMAIN:
        return ML_OPERATORS
    return OPERATORS if proto.domain in ("", "ai.onnx") else {}


def _is_known(proto: Any) -> bool:
    return proto.op_type in _operators_of(proto)


def _listed(results: Value | Sequence[Value]) -> Sequence[Value]:
    if isinstance(results, SymbolicTensor | Condition | np.ndarray):
        return [results]
    return results


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _numbers_in(value: Value) -> int:
    """Return how much memory a value takes, in numbers."""
    if isinstance(value, Condition):
        return _numbers_in(value.left) + _numbers_in(value.right)
    if not isinstance(value, SymbolicTensor):
        return int(value.size)
    return value.size + sum(stored_count(matrix) for matrix in value.terms.values())


def _count_readers(graph: Any, nodes: Sequence[Any]) -> dict[str, int]:
    readers = {info.name: 1 for info in graph.output}
    for proto in nodes:
        for name in proto.input:
            readers[name] = readers.get(name, 0) + 1
    return readers


def _input_shape(info: Any) -> tuple[tuple[int, ...], bool]:
    """Return the shape of an input with a batch of one, and whether the batch is dynamic."""
    kind = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or kind.elem_type not in _FLOATS:
        raise LoweringError(f"input {info.name!r} is no tensor of floats")
    if not kind.HasField("shape"):
        raise LoweringError(f"input {info.name!r} has no shape; export it with its sizes")
    shape = []
    dynamic = False
    for i, dim in enumerate(kind.shape.dim):
        fixed = dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0
        if not fixed and i > 0:
            raise LoweringError(
                f"input {info.name!r} has no fixed size in dimension {i} "
                f"({plain(dim.dim_param) or 'unnamed'}); only the first one, the batch, may vary"
            )
        dynamic = dynamic or not fixed
        shape.append(int(dim.dim_value) if fixed else 1)
    check_size(prod(shape))
    if len(shape) > MAX_RANK:
        raise LoweringError(f"input {info.name!r} has {len(shape)} dimensions; at most {MAX_RANK}")
    return tuple(shape), dynamic


def _sample_shape(shape: tuple[int, ...], dynamic: bool) -> tuple[int, ...]:
    """Return a shape without its batch dimension of one."""
    if len(shape) > 1 and (dynamic or shape[0] == 1):
        return shape[1:]
    return shape or (1,)
