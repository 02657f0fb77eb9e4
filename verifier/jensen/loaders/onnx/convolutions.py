"""ONNX convolutions and their transposes, as sparse matrices."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.graphs.convolution import Convolution
from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.onnx.windows import image_input, per_sample, window_options
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_size, constant
from jensen.loaders.windows import (
    WindowOptions,
    axis_windows,
    convolution_matrix,
    joint_windows,
)
from jensen.types import FloatArray

WRITTEN_OUT = 2**18  # entries; larger ones may stay convolutions


@operator("Conv")
def convolution(node: OnnxNode) -> SymbolicTensor:
    """Convolve with constant filters, in any number of spatial dimensions."""
    x = image_input(node)
    weight, groups = _filters(node, len(x.shape))
    batch, channels, *spatial = x.shape
    filters, depth, *kernel = weight.shape
    if depth * groups != channels or filters % groups:
        raise LoweringError(
            f"{filters} filters of {depth} channels in {groups} groups for {channels} channels"
        )
    options = window_options(node, tuple(kernel))
    axes = [axis_windows(options, i, size) for i, size in enumerate(spatial)]
    windows, positions = joint_windows(axes, spatial), prod(spatial)
    flat = weight.reshape(filters, depth, -1)
    shape = (batch, filters, *(len(axis) for axis in axes))
    count = filters * depth * windows.size
    if node.lowering.keeps_convolutions and batch == 1 and count > WRITTEN_OUT:
        check_size(prod(shape))
        kept = Convolution(flat, np.where(windows < 0, positions, windows), positions, groups)
        return _with_bias(node, node.lowering.convolve(kept, x, shape))
    matrix = convolution_matrix(flat, windows, positions, groups)
    return _with_bias(node, node.lowering.linear(per_sample(matrix, batch), x, shape))


def _filters(node: OnnxNode, rank: int) -> tuple[FloatArray, int]:
    """Return the second input, which needs the rank of the first, and the number of groups."""
    weight, groups = node.numbers(1), node.integer("group", 1)
    if weight.ndim != rank or not weight.size or groups < 1:
        raise LoweringError(
            f"filters of shape {weight.shape} in {groups} groups for an input of {rank} dimensions"
        )
    kernel = weight.shape[2:]
    if (given := node.sequence("kernel_shape")) and given != kernel:
        raise LoweringError(f"kernel_shape {given}, the filters have {kernel}")
    return weight, groups


def _with_bias(node: OnnxNode, result: SymbolicTensor) -> SymbolicTensor:
    """Add the third input, one number per channel."""
    if not node.has(2):
        return result
    bias, filters = node.numbers(2), result.shape[1]
    if bias.shape != (filters,):
        raise LoweringError(f"a bias of shape {bias.shape} for {filters} filters")
    offset = constant(bias.reshape(1, filters, *(1 for _ in result.shape[2:])))
    return node.lowering.add(result, offset)


@operator("ConvTranspose")
def transposed_convolution(node: OnnxNode) -> SymbolicTensor:
    """Apply the transposed matrix of a convolution with constant filters."""
    x = image_input(node)
    weight, groups = _filters(node, len(x.shape))
    batch, channels, *spatial = x.shape
    depth, per_group, *kernel = weight.shape
    if depth != channels or channels % groups:
        raise LoweringError(f"filters for {depth} channels in {groups} groups for {channels}")
    options, sizes = _transposed_options(node, tuple(kernel), spatial)
    check_size(batch * groups * per_group * prod(sizes))
    axes = [axis_windows(options, i, size)[: spatial[i]] for i, size in enumerate(sizes)]
    if [len(axis) for axis in axes] != spatial:
        raise LoweringError(f"an output of {sizes} positions for {spatial} of the input")
    windows = joint_windows(axes, sizes)
    filters = weight.reshape(channels, per_group, -1)
    matrix = sp.csr_array(convolution_matrix(filters, windows, prod(sizes), groups).T)
    shape = (batch, groups * per_group, *sizes)
    return _with_bias(node, node.lowering.linear(per_sample(matrix, batch), x, shape))


def _transposed_options(
    node: OnnxNode, kernel: tuple[int, ...], spatial: list[int]
) -> tuple[WindowOptions, list[int]]:
    """Return the options of the convolution from outputs to inputs, and the output sizes."""
    rank = len(kernel)
    options = window_options(node, kernel)
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
