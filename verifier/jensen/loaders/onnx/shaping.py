"""ONNX operators that only move numbers: reshape, transpose, slice, concatenate."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from jensen.loaders.onnx.node import OnnxNode, normal_axes, normal_axis, operator
from jensen.loaders.symbolic import (
    LoweringError,
    NotPiecewiseLinearError,
    SymbolicTensor,
    check_size,
    constant,
    stack,
)

_FLOATS = {
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.BFLOAT16,
}


@operator("Flatten")
def flatten(node: OnnxNode) -> SymbolicTensor:
    """Make a matrix: the dimensions before ``axis`` and those from it on."""
    x = node.tensor(0)
    axis = node.integer("axis", 1)
    if not -len(x.shape) <= axis <= len(x.shape):
        raise LoweringError(f"axis {axis} of a tensor with {len(x.shape)} dimensions")
    axis = axis + len(x.shape) if axis < 0 else axis
    return x.reshape((prod(x.shape[:axis]), prod(x.shape[axis:])))


@operator("Reshape")
def reshape(node: OnnxNode) -> SymbolicTensor:
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
def concat(node: OnnxNode) -> SymbolicTensor:
    """Join tensors along an axis."""
    parts = node.tensors()
    if not node.has_attribute("axis"):
        raise LoweringError("attribute 'axis' is missing")
    axis = normal_axis(node.integer("axis", 0), len(parts[0].shape))
    check_size(sum(part.size for part in parts))
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
def shape_of(node: OnnxNode) -> NDArray[np.int64]:
    """Return the shape, which is a constant here."""
    shape = node.tensor(0).shape
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return np.array(shape[start:end], dtype=np.int64)


@operator("Size")
def size_of(node: OnnxNode) -> NDArray[np.int64]:
    """Return the number of entries, which is a constant here."""
    return np.array(node.tensor(0).size, dtype=np.int64)


@operator("Cast")
def cast(node: OnnxNode) -> SymbolicTensor:
    """Change between float types; the rounding of a narrower type is left out."""
    if node.integer("to", 0) not in _FLOATS:
        raise NotPiecewiseLinearError("it casts values computed from the input to no float type")
    return node.tensor(0)


@operator("CastLike")
def cast_like(node: OnnxNode) -> SymbolicTensor:
    """Change to the float type of another value."""
    if node.is_constant(1) and node.array(1).dtype.kind in "iub":
        raise NotPiecewiseLinearError("it casts values computed from the input to no float type")
    return node.tensor(0)


@operator("Dropout")
def dropout(node: OnnxNode) -> SymbolicTensor:
    """Pass the input on, as in evaluation mode."""
    if node.has(2) and bool(node.array(2).any()):
        raise LoweringError("it is in training mode; export the model in evaluation mode")
    return node.tensor(0)


@operator("Transpose")
def transpose(node: OnnxNode) -> SymbolicTensor:
    """Permute the dimensions."""
    x = node.tensor(0)
    order = node.sequence("perm") or tuple(range(len(x.shape)))[::-1]
    if sorted(order) != list(range(len(x.shape))):
        raise LoweringError(f"perm {order} of a tensor with {len(x.shape)} dimensions")
    return x.take(x.indices().transpose(order))


def axes_of(node: OnnxNode, position: int) -> tuple[int, ...] | None:
    """Return the axes, which newer operator sets pass as an input."""
    if node.has_attribute("axes"):
        return node.sequence("axes")
    return node.integers(position) if node.has(position) else None


@operator("Squeeze")
def squeeze(node: OnnxNode) -> SymbolicTensor:
    """Drop dimensions of one."""
    x = node.tensor(0)
    given = axes_of(node, 1)
    if given is None:
        return x.reshape([size for size in x.shape if size != 1])
    axes = normal_axes(given, len(x.shape))
    if any(x.shape[axis] != 1 for axis in axes):
        raise LoweringError(f"axes {axes} of shape {x.shape} are not all one")
    return x.reshape([size for i, size in enumerate(x.shape) if i not in axes])


@operator("Unsqueeze")
def unsqueeze(node: OnnxNode) -> SymbolicTensor:
    """Insert dimensions of one."""
    x = node.tensor(0)
    given = axes_of(node, 1) or ()
    axes = normal_axes(given, len(x.shape) + len(given))
    sizes = iter(x.shape)
    return x.reshape([1 if i in axes else next(sizes) for i in range(len(x.shape) + len(axes))])


@operator("Slice")
def slice_(node: OnnxNode) -> SymbolicTensor:
    """Take every n-th entry of a range, per axis."""
    x = node.tensor(0)
    if node.opset < 10:
        starts, ends = node.sequence("starts") or (), node.sequence("ends") or ()
        axes, steps = node.sequence("axes"), None
    else:
        starts, ends = node.integers(1), node.integers(2)
        axes = node.integers(3) if node.has(3) else None
        steps = node.integers(4) if node.has(4) else None
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise LoweringError(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    normal_axes(axes, len(x.shape))
    slices = [slice(None)] * len(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        slices[normal_axis(axis, len(x.shape))] = slice(start, end, step)
    return x.take(x.indices()[tuple(slices)])


@operator("Split")
def split(node: OnnxNode) -> list[SymbolicTensor]:
    """Cut into consecutive parts along an axis."""
    x = node.tensor(0)
    axis = normal_axis(node.integer("axis", 0), len(x.shape))
    size, count = x.shape[axis], len(node.proto.output)
    sizes = node.sequence("split") if node.opset < 13 else None
    if node.opset >= 13 and node.has(1):
        sizes = node.integers(1)
    if sizes is None:
        if node.integer("num_outputs", count) != count or (node.opset < 18 and size % count):
            raise LoweringError(f"{size} entries do not split into {count} parts")
        part = -(-size // count)
        sizes = (part,) * (count - 1) + (size - (count - 1) * part,)
    if sum(sizes) != size or min(sizes, default=0) < 0 or len(sizes) != count:
        raise LoweringError(f"{size} entries do not split into parts of {sizes}")
    ends = np.cumsum(sizes)[:-1]
    return [x.take(part) for part in np.split(x.indices(), ends, axis=axis)]


@operator("Gather")
def gather(node: OnnxNode) -> SymbolicTensor:
    """Pick constant positions along an axis."""
    x, positions = node.tensor(0), node.array(1)
    axis = normal_axis(node.integer("axis", 0), len(x.shape))
    size = x.shape[axis] if x.shape else 0
    if positions.dtype.kind not in "iu" or ((positions < -size) | (positions >= size)).any():
        raise LoweringError(f"positions outside an axis of {size}")
    check_size(positions.size * (x.size // max(1, size)))
    return x.take(np.take(x.indices(), positions, axis=axis))


@operator("Expand")
def expand(node: OnnxNode) -> SymbolicTensor:
    """Repeat by numpy's rules for broadcasting."""
    x = node.tensor(0)
    return x.broadcast(np.broadcast_shapes(x.shape, node.integers(1)))


@operator("Tile")
def tile(node: OnnxNode) -> SymbolicTensor:
    """Repeat whole tensors along the axes."""
    x, repeats = node.tensor(0), node.integers(1)
    if len(repeats) != len(x.shape) or min(repeats, default=1) < 1:
        raise LoweringError(f"repeats {repeats} of shape {x.shape}")
    check_size(x.size * prod(repeats))
    return x.take(np.tile(x.indices(), repeats))


@operator("Pad")
def pad(node: OnnxNode) -> SymbolicTensor:
    """Add a border of a constant or of copies; a negative one is cut off."""
    x, rank = node.tensor(0), len(node.tensor(0).shape)
    pads = node.sequence("pads") or () if node.opset < 11 else node.integers(1)
    axes = list(range(rank))
    if node.has(3):
        axes = [normal_axis(axis, rank) for axis in node.integers(3)]
    if len(pads) != 2 * len(axes) or len(set(axes)) != len(axes):
        raise LoweringError(f"pads {pads} of shape {x.shape}")
    width = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        width[axis] = (pads[i], pads[i + len(axes)])
    cut = tuple(
        slice(max(0, -before), size - max(0, -after))
        for (before, after), size in zip(width, x.shape, strict=True)
    )
    added = [(max(0, before), max(0, after)) for before, after in width]
    check_size(prod(size + sum(pair) for size, pair in zip(x.shape, added, strict=True)))
    mode = node.text("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise LoweringError(f"mode {mode!r} is unknown")
    kept = x.indices()[cut]
    if mode != "constant":
        return x.take(np.pad(kept, added, mode=mode))  # type: ignore[call-overload]
    value = node.number("value", 0.0) if node.opset < 11 else 0.0
    if node.opset >= 11 and node.has(2):
        value = float(node.numbers(2).reshape(()))
    filled = stack([x, constant([value])])
    return filled.take(np.pad(kept, added, constant_values=x.size))
