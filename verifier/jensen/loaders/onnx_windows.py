"""ONNX convolutions, poolings and batch normalization."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.lowering import Lowering
from jensen.loaders.onnx_node import Node, operator
from jensen.loaders.piecewise import tournament
from jensen.loaders.symbolic import (
    LoweringError,
    SymbolicTensor,
    check_entries,
    check_size,
    constant,
)
from jensen.loaders.windows import (
    OUTSIDE,
    WindowOptions,
    axis_windows,
    convolution_matrix,
    joint_windows,
)


def _options(node: Node, kernel: tuple[int, ...]) -> WindowOptions:
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


def _image(node: Node) -> SymbolicTensor:
    """Return the first input, which needs batch, channel and spatial dimensions."""
    x = node.tensor(0)
    if len(x.shape) < 3:
        raise LoweringError(f"an input of shape {x.shape}; batch, channels and space are needed")
    return x


@operator("Conv")
def convolution(node: Node) -> SymbolicTensor:
    """Convolve with constant filters, in any number of spatial dimensions."""
    x, weight = _image(node), node.numbers(1)
    batch, channels, *spatial = x.shape
    groups = node.integer("group", 1)
    if weight.ndim != len(x.shape) or not weight.size:
        raise LoweringError(f"filters of shape {weight.shape} for an input of shape {x.shape}")
    filters, depth, *kernel = weight.shape
    if groups < 1 or depth * groups != channels or filters % groups:
        raise LoweringError(
            f"{filters} filters of {depth} channels in {groups} groups for {channels} channels"
        )
    if (given := node.sequence("kernel_shape")) and given != tuple(kernel):
        raise LoweringError(f"kernel_shape {given}, the filters have {tuple(kernel)}")
    options = _options(node, tuple(kernel))
    axes = [axis_windows(options, i, size) for i, size in enumerate(spatial)]
    windows = joint_windows(axes, spatial)
    matrix = convolution_matrix(weight.reshape(filters, depth, -1), windows, prod(spatial), groups)
    shape = (batch, filters, *(len(axis) for axis in axes))
    return _with_bias(node, node.lowering.linear(_per_sample(matrix, batch), x, shape))


def _with_bias(node: Node, result: SymbolicTensor) -> SymbolicTensor:
    """Add the third input, one number per channel."""
    if not node.has(2):
        return result
    bias, filters = node.numbers(2), result.shape[1]
    if bias.shape != (filters,):
        raise LoweringError(f"a bias of shape {bias.shape} for {filters} filters")
    offset = constant(bias.reshape(1, filters, *(1 for _ in result.shape[2:])))
    return node.lowering.add(result, offset)


def _per_sample(matrix: sp.csr_array, copies: int) -> sp.csr_array:
    if copies == 1:
        return matrix
    check_entries(matrix.nnz * copies)
    return sp.csr_array(sp.kron(sp.eye_array(copies), matrix, format="csr"))


def _pool_options(node: Node, rank: int) -> WindowOptions:
    kernel = node.sequence("kernel_shape")
    if kernel is None or len(kernel) != rank:
        raise LoweringError(f"kernel_shape {kernel} for {rank} spatial dimensions")
    options = _options(node, kernel)
    wide = any(s > k for s, k in zip(options.strides, kernel, strict=True))
    if options.auto_pad.startswith("SAME") and (wide or max(options.dilations, default=1) > 1):
        # the definition and onnxruntime disagree on where the windows lie
        raise LoweringError(
            f"auto_pad {options.auto_pad} with dilations or with strides beyond the window; "
            "export explicit pads"
        )
    return options


@operator("ConvTranspose")
def transposed_convolution(node: Node) -> SymbolicTensor:
    """Apply the transposed matrix of a convolution with constant filters."""
    x, weight = _image(node), node.numbers(1)
    batch, channels, *spatial = x.shape
    groups = node.integer("group", 1)
    if weight.ndim != len(x.shape) or not weight.size:
        raise LoweringError(f"filters of shape {weight.shape} for an input of shape {x.shape}")
    depth, per_group, *kernel = weight.shape
    if groups < 1 or depth != channels or channels % groups:
        raise LoweringError(f"filters for {depth} channels in {groups} groups for {channels}")
    if (given := node.sequence("kernel_shape")) and given != tuple(kernel):
        raise LoweringError(f"kernel_shape {given}, the filters have {tuple(kernel)}")
    options, sizes = _transposed_options(node, tuple(kernel), spatial)
    check_size(batch * groups * per_group * prod(sizes))
    axes = [axis_windows(options, i, size)[: spatial[i]] for i, size in enumerate(sizes)]
    if [len(axis) for axis in axes] != spatial:
        raise LoweringError(f"an output of {sizes} positions for {spatial} of the input")
    windows = joint_windows(axes, sizes)
    filters = weight.reshape(channels, per_group, -1)
    matrix = sp.csr_array(convolution_matrix(filters, windows, prod(sizes), groups).T)
    shape = (batch, groups * per_group, *sizes)
    return _with_bias(node, node.lowering.linear(_per_sample(matrix, batch), x, shape))


def _transposed_options(
    node: Node, kernel: tuple[int, ...], spatial: list[int]
) -> tuple[WindowOptions, list[int]]:
    """Return the options of the convolution from outputs to inputs, and the output sizes."""
    rank = len(kernel)
    options = _options(node, kernel)
    extra = node.sequence("output_padding") or (0,) * rank
    given = node.sequence("output_shape")
    if len(extra) != rank or min(extra) < 0 or (given and len(given) != rank):
        raise LoweringError(f"output_padding {extra}, output_shape {given} for {rank} dimensions")
    full = [
        stride * (size - 1) + more + (width - 1) * dilation + 1
        for stride, size, more, width, dilation in zip(
            options.strides, spatial, extra, kernel, options.dilations, strict=True
        )
    ]
    same = options.auto_pad.startswith("SAME")
    if same and not given:
        given = tuple(s * stride for s, stride in zip(spatial, options.strides, strict=True))
    begins, ends = options.pads[:rank], options.pads[rank:]
    if given:
        total = [f - g for f, g in zip(full, given, strict=True)]
        if min(total) < 0:
            raise LoweringError(f"an output of {given} positions, {full} are computed")
        half = tuple(t // 2 for t in total)
        rest = tuple(t - h for t, h in zip(total, half, strict=True))
        begins, ends = (half, rest) if options.auto_pad == "SAME_UPPER" else (rest, half)
    elif options.auto_pad == "VALID":
        begins = ends = (0,) * rank
    sizes = [f - b - e for f, b, e in zip(full, begins, ends, strict=True)]
    if min(sizes) < 1:
        raise LoweringError(f"an output of {sizes} positions")
    return replace(options, pads=begins + ends, auto_pad="NOTSET"), sizes


@operator("AveragePool")
def average_pool(node: Node) -> SymbolicTensor:
    """Average over windows; 1/n is rounded to a double where it is none."""
    x = _image(node)
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
    return node.lowering.linear(_per_sample(matrix, batch * channels), x, shape)


@operator("GlobalAveragePool")
def global_average_pool(node: Node) -> SymbolicTensor:
    """Average over all positions of a channel."""
    x = _image(node)
    rows, size = prod(x.shape[:2]), prod(x.shape[2:])
    node.rounds(f"1/{size} was rounded to a double", size)
    parts = (np.full(x.size, 1.0 / max(1, size)), np.arange(x.size), np.arange(rows + 1) * size)
    shape = (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return node.lowering.linear(sp.csr_array(parts, shape=(rows, x.size)), x, shape)


@operator("MaxPool")
def max_pool(node: Node) -> SymbolicTensor:
    """Take the maximum over windows, one axis after the other."""
    x = _image(node)
    options = _pool_options(node, len(x.shape) - 2)
    for i, size in enumerate(x.shape[2:]):
        x = _max_along(node.lowering, x, i + 2, axis_windows(options, i, size))
    return x


@operator("GlobalMaxPool")
def global_max_pool(node: Node) -> SymbolicTensor:
    """Take the maximum over all positions of a channel."""
    x = _image(node)
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
def batch_normalization(node: Node) -> SymbolicTensor:
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
