"""ONNX operators that only move numbers: reshape, transpose, slice, concatenate."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from jensen.loaders.onnx_node import Node, normal_axis, operator
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, stack


@operator("Flatten")
def flatten(node: Node) -> SymbolicTensor:
    """Make a matrix: the dimensions before ``axis`` and those from it on."""
    x = node.tensor(0)
    axis = node.integer("axis", 1)
    if not -len(x.shape) <= axis <= len(x.shape):
        raise LoweringError(f"axis {axis} of a tensor with {len(x.shape)} dimensions")
    axis = axis + len(x.shape) if axis < 0 else axis
    return x.reshape((prod(x.shape[:axis]), prod(x.shape[axis:])))


@operator("Reshape")
def reshape(node: Node) -> SymbolicTensor:
    """Change the shape; 0 copies a dimension, -1 takes what is left."""
    x = node.tensor(0)
    shape = list(node.integers(1))
    if not node.flag("allowzero"):
        for i, size in enumerate(shape):
            if size == 0:
                if i >= len(x.shape):
                    raise LoweringError(f"shape {shape} copies a dimension that is not there")
                shape[i] = x.shape[i]
    if shape.count(-1) == 1:
        known = -prod(shape)
        if known == 0 or x.size % known:
            raise LoweringError(f"shape {x.shape} cannot become {tuple(shape)}")
        shape[shape.index(-1)] = x.size // known
    return x.reshape(shape)


@operator("Concat")
def concat(node: Node) -> SymbolicTensor:
    """Join tensors along an axis."""
    parts = node.tensors()
    if not node.has_attribute("axis"):
        raise LoweringError("attribute 'axis' is missing")
    axis = normal_axis(node.integer("axis", 0), len(parts[0].shape))
    start, indices = 0, []
    for part in parts:
        indices.append(part.indices() + start)
        start += part.size
    try:
        joined = np.concatenate(indices, axis=axis)
    except ValueError:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise LoweringError(f"shapes {shapes} do not join along axis {axis}") from None
    return stack(parts).take(joined)


@operator("Shape")
def shape_of(node: Node) -> NDArray[np.int64]:
    """Return the shape, which is a constant here."""
    shape = node.tensor(0).shape
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return np.array(shape[start:end], dtype=np.int64)


@operator("Size")
def size_of(node: Node) -> NDArray[np.int64]:
    """Return the number of entries, which is a constant here."""
    return np.array(node.tensor(0).size, dtype=np.int64)
