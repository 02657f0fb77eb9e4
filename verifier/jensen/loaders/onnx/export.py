"""Writing a network's canonical form as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from onnx import TensorProto, helper, numpy_helper

from jensen.arithmetic.exact import Matrix
from jensen.errors import ModelFileError
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork
from jensen.outputs import write_whole

OPSET = 17
IR_VERSION = 8
# protobuf messages end at 2 GiB
MAX_BYTES = 2**31 - 2**20


def save_onnx(network: ReluNetwork, path: Path) -> None:
    """Write a network as MatMul, Add and Relu in float64, which keeps every weight.

    Parameters
    ----------
    network : ReluNetwork
    path : Path
        Must end in ``.onnx``. The model has one input ``x`` of shape
        (batch, *network.input_shape) and one output ``y``.

    Raises
    ------
    ModelFileError
        If the ending is another one, or the matrices do not fit in a file.
    """
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(f"{path}: the file name must end in .onnx")
    numbers = sum(b.size * network.size_of(s) for b in network.blocks for s in b.weights)
    if 8 * numbers > MAX_BYTES:
        raise ModelFileError(
            f"{path}: {numbers} weights (sparse ones filled up) do not fit in an ONNX file; "
            "save it as .npz"
        )
    model = onnx_model(network)
    write_whole(path, model.SerializeToString(deterministic=True))


def onnx_model(network: ReluNetwork) -> Any:
    """Return a network as an ``onnx.ModelProto``."""
    nodes: list[Any] = []
    constants: dict[str, Any] = {"flat": np.array([-1, network.input_size])}
    nodes.append(helper.make_node("Reshape", ["x", "flat"], [INPUT]))
    for block in network.blocks:
        _add_block(block, nodes, constants)
    constants["shape"] = np.array([-1, *network.output_shape])
    nodes.append(helper.make_node("Reshape", [OUTPUT, "shape"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "jensen",
        [_value("x", network.input_shape)],
        [_value("y", network.output_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jensen",
    )


def _value(name: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", *shape])


def _add_block(block: Block, nodes: list[Any], constants: dict[str, Any]) -> None:
    """Append the nodes of one block, named after it."""
    total = f"{block.name}/bias"
    constants[total] = np.asarray(block.bias)
    names = list(block.weights)
    for i, source in enumerate(names):
        weight, product = f"{block.name}/weight/{source}", f"{block.name}/from/{source}"
        constants[weight] = _transposed(block.weights[source])
        nodes.append(helper.make_node("MatMul", [source, weight], [product], name=product))
        last = i == len(names) - 1
        result = f"{block.name}/sum/{source}"
        if last:
            result = f"{block.name}/z" if block.is_relu else block.name
        nodes.append(helper.make_node("Add", [product, total], [result], name=result))
        total = result
    if block.is_relu:
        nodes.append(helper.make_node("Relu", [total], [block.name], name=block.name))


def _transposed(weight: Matrix) -> Any:
    dense = weight.toarray() if sp.issparse(weight) else weight
    return np.ascontiguousarray(np.asarray(dense).T)
