"""ONNX operators that move numbers by constant rules of their own.

onnx's reference evaluator runs them on the positions of the numbers instead of the
numbers, and so tells where each of them goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from jensen.loaders.onnx.folding import fold
from jensen.loaders.onnx.node import OnnxNode, normal_axis, operator
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, constant, stack
from jensen.types import IndexArray


@operator("DepthToSpace", "SpaceToDepth", "GatherND")
def select(node: OnnxNode) -> SymbolicTensor:
    """Pick numbers."""
    x = node.tensor(0)
    return x.take(_positions(node, [x.indices(), *_constants(node, 1)], x.size))


@operator("GatherElements")
def select_along(node: OnnxNode) -> SymbolicTensor:
    """Pick one number for every entry of the positions, along an axis."""
    # the reference evaluator asks for more than the definition
    x, positions = node.tensor(0), node.array(1)
    axis = normal_axis(node.integer("axis", 0), len(x.shape))
    fits = positions.ndim == len(x.shape) and positions.dtype.kind in "iu"
    if not fits or any(positions.shape[i] > size for i, size in enumerate(x.shape) if i != axis):
        raise LoweringError(f"positions of shape {positions.shape} for shape {x.shape}")
    where: list[Any] = list(np.indices(positions.shape))
    where[axis] = positions
    return x.take(x.indices()[tuple(where)])


@operator("Trilu")
def triangle(node: OnnxNode) -> SymbolicTensor:
    """Keep a triangle of a matrix, zeros elsewhere."""
    x = node.tensor(0)
    # zero stands for the zeros, which come last in the tensor picked from
    moved = _positions(node, [x.indices() + 1, *_constants(node, 1)], x.size + 1)
    return stack([x, constant([0.0])]).take(np.where(moved == 0, x.size, moved - 1))


@operator("ScatterElements", "ScatterND")
def scatter(node: OnnxNode) -> SymbolicTensor:
    """Overwrite numbers at constant positions."""
    if (reduction := node.text("reduction", "none")) != "none":
        raise LoweringError(f"reduction {reduction!r} is not supported")
    x, updates = node.tensor(0), node.tensor(2)
    inputs = [x.indices(), node.array(1), x.size + updates.indices()]
    return stack([x, updates]).take(_positions(node, inputs, x.size + updates.size))


def _constants(node: OnnxNode, start: int) -> list[Any]:
    return [node.array(i) if node.has(i) else None for i in range(start, len(node.inputs))]


def _positions(node: OnnxNode, inputs: Sequence[Any], count: int) -> IndexArray:
    """Run the node on these inputs; what comes out are numbers below ``count``."""
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    # one name may stand for several inputs, and for other values here
    proto.input[:] = [f"input_{i}" if name else "" for i, name in enumerate(proto.input)]
    (result,) = fold(proto, node.opset, inputs)
    if result.size and (result.min() < 0 or result.max() >= count):
        raise LoweringError("positions outside its input")
    return result.astype(np.int64)
