"""Writing the models: torch's exporter for modules, onnx.helper for exact matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

Matrix = NDArray[np.float32]


def export(module: nn.Module, shape: Sequence[int], path: Path) -> None:
    """Write a torch module with a symbolic batch dimension and inline weights.

    Parameters
    ----------
    module : nn.Module
    shape : sequence of int
        Shape of one input, without the batch.
    path : Path
    """
    program = torch.onnx.export(
        module.eval(),
        (torch.zeros(2, *shape),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["x"],
        output_names=["f"],
        opset_version=18,
        external_data=False,
        verbose=False,
    )
    model = program.model_proto
    _strip(model)
    _save(model, path)


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces: they hold machine paths and change every run."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def write_feedforward(weights: Sequence[Matrix], biases: Sequence[Matrix], path: Path) -> None:
    """Write ``x W1^T + b1``, ReLU, ... with MatMul, Add, Relu, Constant and Identity.

    Parameters
    ----------
    weights : sequence of (out, in) arrays
    biases : sequence of (out,) arrays
    path : Path
    """
    nodes, initializers, signal = [], [], "x"
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        kernel = np.ascontiguousarray(weight.T, dtype=np.float32)
        offset = np.asarray(bias, dtype=np.float32)
        initializers.append(numpy_helper.from_array(kernel, f"W{index}"))
        nodes += [
            helper.make_node(
                "Constant", [], [f"b{index}"], value=numpy_helper.from_array(offset, f"b{index}")
            ),
            helper.make_node("MatMul", [signal, f"W{index}"], [f"m{index}"], name=f"matmul{index}"),
            helper.make_node("Add", [f"m{index}", f"b{index}"], [f"z{index}"], name=f"add{index}"),
        ]
        signal = f"z{index}"
        if index < len(weights) - 1:
            nodes.append(helper.make_node("Relu", [signal], [f"h{index}"], name=f"relu{index}"))
            signal = f"h{index}"
    nodes.append(helper.make_node("Identity", [signal], ["f"], name="result"))
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weights[0].shape[1]])],
        [helper.make_tensor_value_info("f", TensorProto.FLOAT, ["batch", weights[-1].shape[0]])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    _save(model, path)


def _save(model: onnx.ModelProto, path: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
