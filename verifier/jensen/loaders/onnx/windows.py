"""ONNX poolings and batch normalization."""

from __future__ import annotations

from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.lowering import Lowering
from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.piecewise import tournament
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_entries
from jensen.loaders.windows import OUTSIDE, WindowOptions, axis_windows, joint_windows


def window_options(node: OnnxNode, kernel: tuple[int, ...]) -> WindowOptions:
    """Return the attributes that convolutions and poolings share."""
    rank = len(kernel)
    options = WindowOptions(
        kernel=kernel,
        strides=node.sequence("strides") or (1,) * rank,
        dilations=node.sequence("dilations") or (1,) * rank,
        pads=node.sequence("pads") or (0,) * (2 * rank),
        auto_pad=node.text("auto_pad", "NOTSET") or "NOTSET",
        ceil_mode=node.flag("ceil_mode"),
    )
    options.check(rank)
    return options


def image_input(node: OnnxNode) -> SymbolicTensor:
    """Return the first input, which needs batch, channel and spatial dimensions."""
    x = node.tensor(0)
    if len(x.shape) < 3:
        raise LoweringError(f"an input of shape {x.shape}; batch, channels and space are needed")
    return x


def per_sample(matrix: sp.csr_array, copies: int) -> sp.csr_array:
    """Return a matrix for one sample repeated on the diagonal."""
    if copies == 1:
        return matrix
    check_entries(matrix.nnz * copies)
    return sp.csr_array(sp.kron(sp.eye_array(copies), matrix, format="csr"))


def _pool_options(node: OnnxNode, rank: int) -> WindowOptions:
    kernel = node.sequence("kernel_shape")
    if kernel is None or len(kernel) != rank:
        raise LoweringError(f"kernel_shape {kernel} for {rank} spatial dimensions")
    options = window_options(node, kernel)
    wide = any(s > k for s, k in zip(options.strides, kernel, strict=True))
    if options.auto_pad.startswith("SAME") and (wide or max(options.dilations, default=1) > 1):
        # the definition and onnxruntime disagree on where the windows lie
        raise LoweringError(
            f"auto_pad {options.auto_pad} with dilations or with strides beyond the window; "
            "export explicit pads"
        )
    return options


@operator("AveragePool")
def average_pool(node: OnnxNode) -> SymbolicTensor:
    """Average over windows; 1/n is rounded to a double where it is none."""
    x = image_input(node)
    batch, channels, *spatial = x.shape
    options = _pool_options(node, len(spatial))
    axes = [axis_windows(options, i, size) for i, size in enumerate(spatial)]
    windows = joint_windows(axes, spatial)
    counted = windows > OUTSIDE if node.flag("count_include_pad") else windows >= 0
    inside = windows >= 0
    if not inside.any(axis=1).all():
        raise LoweringError("a window that covers padding only")
    counts = counted.sum(axis=1, keepdims=True)
    node.rounds(f"1/{counts.max()} was rounded to a double", counts)
    weights = np.broadcast_to(1.0 / counts, windows.shape)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    parts = (weights[inside], windows[inside], starts)
    matrix = sp.csr_array(parts, shape=(len(windows), prod(spatial)))
    shape = (batch, channels, *(len(axis) for axis in axes))
    return node.lowering.linear(per_sample(matrix, batch * channels), x, shape)


@operator("GlobalAveragePool")
def global_average_pool(node: OnnxNode) -> SymbolicTensor:
    """Average over all positions of a channel."""
    x = image_input(node)
    rows, size = prod(x.shape[:2]), prod(x.shape[2:])
    node.rounds(f"1/{size} was rounded to a double", size)
    parts = (np.full(x.size, 1.0 / max(1, size)), np.arange(x.size), np.arange(rows + 1) * size)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return node.lowering.linear(sp.csr_array(parts, shape=(rows, x.size)), x, shape)


@operator("MaxPool")
def max_pool(node: OnnxNode) -> SymbolicTensor:
    """Take the maximum over windows, one axis after the other."""
    x = image_input(node)
    options = _pool_options(node, len(x.shape) - 2)
    for i, size in enumerate(x.shape[2:]):
        x = _max_along(node.lowering, x, i + 2, axis_windows(options, i, size))
    return x


@operator("GlobalMaxPool")
def global_max_pool(node: OnnxNode) -> SymbolicTensor:
    """Take the maximum over all positions of a channel."""
    x = image_input(node)
    candidates = np.moveaxis(x.indices().reshape(*x.shape[:2], -1), -1, 0)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return tournament(node.lowering, x, candidates).reshape(shape)


def _max_along(
    lowering: Lowering, x: SymbolicTensor, axis: int, windows: np.ndarray
) -> SymbolicTensor:
    if not (windows >= 0).any(axis=1).all():
        raise LoweringError("a window that covers padding only")
    check_entries(x.size // max(1, x.shape[axis]) * windows.size)
    # padding never wins: it is replaced by another number of the same window
    filled = np.where(windows >= 0, windows, windows.max(axis=1, keepdims=True))
    moved = np.moveaxis(x.indices(), axis, -1)[..., filled]
    candidates = np.moveaxis(np.moveaxis(moved, -2, axis), -1, 0)
    return tournament(lowering, x, candidates)


@operator("BatchNormalization")
def batch_normalization(node: OnnxNode) -> SymbolicTensor:
    """Return ``scale (x - mean) / sqrt(var + epsilon) + B`` per channel.

    The factor is irrational; like runtimes do it is rounded to float32, or to
    float64 where the scale is stored so. What it adds, together with the bias of
    the layer before it, is rounded to float64.
    """
    # before opset 14 the statistics among the outputs asked for training mode
    statistics = node.opset < 14 and any(node.proto.output[1:])
    if node.flag("training_mode") or statistics:
        raise LoweringError("it is in training mode; export the model in evaluation mode")
    if node.opset < 9 and not node.flag("spatial", True):
        raise LoweringError("spatial=0 is not supported")
    x = node.tensor(0)
    if len(x.shape) < 2:
        raise LoweringError(f"an input of shape {x.shape}; batch and channels are needed")
    scale, offset, mean, variance = (node.numbers(i) for i in range(1, 5))
    if any(values.shape != x.shape[1:2] for values in (scale, offset, mean, variance)):
        raise LoweringError(f"parameters that do not fit {x.shape[1]} channels")
    spread = variance + node.number("epsilon", 1e-5)
    if (spread <= 0).any():
        raise LoweringError("a variance that is not positive")
    precision = np.float64 if node.array(1).dtype == np.float64 else np.float32
    factor = (scale / np.sqrt(spread)).astype(precision).astype(np.float64)
    shift = offset - factor * mean
    node.lowering.roundings.append(
        f"{node.label}: scale / sqrt(variance + epsilon) was rounded to {precision.__name__}, "
        "its offset to a double"
    )
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        raise LoweringError("parameters that overflow")
    per_entry = np.broadcast_to(np.arange(x.shape[1])[:, None], (x.shape[0], x.shape[1], 1))
    channel = np.broadcast_to(per_entry, (*x.shape[:2], prod(x.shape[2:]))).ravel()
    scaled = node.lowering.scale(x, factor[channel])
    return SymbolicTensor(x.shape, scaled.terms, scaled.bias + shift[channel])
