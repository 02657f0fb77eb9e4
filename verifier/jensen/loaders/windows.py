"""Where the windows of convolutions and poolings lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.symbolic import LoweringError, check_entries, check_size
from jensen.types import FloatArray, IndexArray

PADDING = -1
OUTSIDE = -2


@dataclass(frozen=True)
class WindowOptions:
    """Attributes shared by convolutions and poolings, one number per spatial axis.

    Attributes
    ----------
    kernel, strides, dilations : tuple of int
    pads : tuple of int
        All begins, then all ends.
    auto_pad : str
        ``NOTSET``, ``VALID``, ``SAME_UPPER`` or ``SAME_LOWER``.
    ceil_mode : bool
        Whether a last window may reach over the end.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str = "NOTSET"
    ceil_mode: bool = False

    def check(self, rank: int) -> None:
        """Raise :class:`LoweringError` unless the attributes fit so many axes."""
        for name in ("kernel", "strides", "dilations"):
            values = getattr(self, name)
            if len(values) != rank or min(values, default=1) < 1:
                raise LoweringError(f"{name} {values} for {rank} spatial dimensions")
        if len(self.pads) != 2 * rank or min(self.pads, default=0) < 0:
            raise LoweringError(f"pads {self.pads} for {rank} spatial dimensions")
        if self.auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
            raise LoweringError(f"auto_pad {self.auto_pad!r} is unknown")


def axis_windows(options: WindowOptions, axis: int, size: int) -> IndexArray:
    """Return the positions that each window covers along one axis.

    Parameters
    ----------
    axis : int
        Which spatial axis.
    size : int
        Its length.

    Returns
    -------
    array of shape (outputs, kernel)
        ``PADDING`` and ``OUTSIDE`` (beyond the padding, in ceil mode) are negative.
    """
    kernel, stride, dilation = (
        values[axis] for values in (options.kernel, options.strides, options.dilations)
    )
    extent = (kernel - 1) * dilation + 1
    begin, end = options.pads[axis], options.pads[axis + len(options.kernel)]
    if options.auto_pad == "VALID":
        begin = end = 0
    elif options.auto_pad.startswith("SAME"):
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        begin = total // 2 if options.auto_pad == "SAME_UPPER" else total - total // 2
        end = total - begin
    free = size + begin + end - extent
    outputs = free // stride + 1
    if options.ceil_mode and free % stride and outputs * stride < size + begin:
        outputs += 1  # the last window has to start inside
    if outputs < 1:  # without ceil mode some runtimes have one window here, the definition none
        raise LoweringError(f"a window of {extent} in {size + begin + end} positions")
    check_size(outputs * kernel)
    position = np.arange(outputs)[:, None] * stride + np.arange(kernel)[None, :] * dilation - begin
    inside = (position >= 0) & (position < size)
    return np.where(inside, position, np.where(position < size + end, PADDING, OUTSIDE))


def joint_windows(axes: Sequence[IndexArray], spatial: Sequence[int]) -> IndexArray:
    """Combine the windows of several axes.

    Returns
    -------
    array of shape (product of outputs, product of kernels)
        Flat positions in the spatial shape, negative where any axis is.
    """
    outputs, kernels = [len(a) for a in axes], [a.shape[1] for a in axes]
    check_entries(prod(outputs) * prod(kernels))
    rank = len(axes)
    flat = np.zeros((*outputs, *kernels), dtype=np.int64)
    worst = np.zeros_like(flat)
    for i, axis in enumerate(axes):
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = axis.shape
        placed = axis.reshape(shape)
        flat = flat * spatial[i] + placed
        worst = np.minimum(worst, np.minimum(placed, 0))
    return np.where(worst < 0, worst, flat).reshape(prod(outputs), prod(kernels))


def convolution_matrix(
    weight: FloatArray, windows: IndexArray, positions: int, groups: int
) -> sp.csr_array:
    """Return a convolution as a sparse matrix, channels first on both sides.

    Parameters
    ----------
    weight : array of shape (filters, channels / groups, kernel)
    windows : array of shape (outputs, kernel)
        Flat positions, negative for padding.
    positions : int
        Number of spatial positions of the input.

    Returns
    -------
    csr_array of shape (filters * outputs, channels * positions)
    """
    filters, channels, kernel = weight.shape
    outputs = len(windows)
    inside = np.broadcast_to((windows >= 0)[:, None, :], (outputs, channels, kernel))
    filled = int(np.count_nonzero(windows >= 0)) * channels
    check_entries(filters * filled)
    check_size(filters * outputs)
    data = np.empty((filters, filled))
    indices = np.empty((filters, filled), dtype=np.int32)
    per_group = filters // groups
    for group in range(groups):
        offsets = (group * channels + np.arange(channels)) * positions
        columns = (windows[:, None, :] + offsets[None, :, None])[inside]
        indices[group * per_group : (group + 1) * per_group] = columns
    for row in range(filters):
        data[row] = np.broadcast_to(weight[row], (outputs, channels, kernel))[inside]
    counts = np.tile(np.count_nonzero(windows >= 0, axis=1) * channels, filters)
    starts = np.concatenate([[0], np.cumsum(counts)])
    shape = (filters * outputs, groups * channels * positions)
    matrix = sp.csr_array((data.ravel(), indices.ravel(), starts), shape=shape)
    matrix.eliminate_zeros()
    return matrix
