"""ONNX operators that reduce along axes."""

from __future__ import annotations

from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.onnx.node import OnnxNode, normal_axes, normal_axis, operator
from jensen.loaders.onnx.shaping import axes_of
from jensen.loaders.piecewise import absolute, ranking, tournament
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_entries
from jensen.types import IndexArray


@operator("ReduceSum")
def reduce_sum(node: OnnxNode) -> SymbolicTensor:
    """Add along axes."""
    return weighted(node, node.tensor(0), mean=False)


@operator("ReduceL1")
def reduce_magnitudes(node: OnnxNode) -> SymbolicTensor:
    """Add magnitudes along axes."""
    return weighted(node, absolute(node.lowering, node.tensor(0)), mean=False)


@operator("ReduceMean")
def reduce_mean(node: OnnxNode) -> SymbolicTensor:
    """Average along axes; 1/n is rounded to a double where it is none."""
    return weighted(node, node.tensor(0), mean=True)


@operator("ReduceMax")
def reduce_max(node: OnnxNode) -> SymbolicTensor:
    """Take the maximum along axes."""
    return _extreme(node, largest=True)


@operator("ReduceMin")
def reduce_min(node: OnnxNode) -> SymbolicTensor:
    """Take the minimum along axes."""
    return _extreme(node, largest=False)


def groups_of(node: OnnxNode, x: SymbolicTensor) -> tuple[IndexArray, tuple[int, ...]] | None:
    """Return the positions (outputs, reduced) and the result's shape; None for no axes."""
    given = axes_of(node, 1)
    if not given:
        if node.flag("noop_with_empty_axes"):
            return None
        given = tuple(range(len(x.shape)))
    axes = normal_axes(given, len(x.shape))
    count = prod(x.shape[axis] for axis in axes)
    if count == 0:
        raise LoweringError(f"nothing to reduce in shape {x.shape}")
    last = np.moveaxis(x.indices(), axes, range(-len(axes), 0)) if axes else x.indices()
    keep = node.flag("keepdims", True)
    shape = [1 if i in axes else size for i, size in enumerate(x.shape) if keep or i not in axes]
    return last.reshape(-1, count), tuple(shape)


def weighted(node: OnnxNode, x: SymbolicTensor, *, mean: bool) -> SymbolicTensor:
    """Add or average a tensor along the axes that a node names."""
    groups = groups_of(node, x)
    if groups is None:
        return x
    positions, shape = groups
    rows, count = positions.shape
    if mean:
        node.rounds(f"1/{count} was rounded to a double", count)
    weights = np.full(positions.size, 1.0 / count if mean else 1.0)
    parts = (weights, positions.ravel(), np.arange(rows + 1) * count)
    return node.lowering.linear(sp.csr_array(parts, shape=(rows, x.size)), x, shape)


def _extreme(node: OnnxNode, *, largest: bool) -> SymbolicTensor:
    x = node.tensor(0)
    groups = groups_of(node, x)
    if groups is None:
        return x
    positions, shape = groups
    return tournament(node.lowering, x, positions.T, largest=largest).reshape(shape)


@operator("CumSum")
def cumulative_sum(node: OnnxNode) -> SymbolicTensor:
    """Add everything before and at a position along an axis."""
    x = node.tensor(0)
    axis = normal_axis(node.single_integer(1), len(x.shape))
    lines = np.moveaxis(x.indices(), axis, -1)
    lines = lines.reshape(-1, lines.shape[-1])
    check_entries(lines.size * lines.shape[-1])
    read = np.tri(lines.shape[-1], k=-1 if node.flag("exclusive") else 0, dtype=bool)
    outputs, inputs = np.nonzero(read.T if node.flag("reverse") else read)
    places = (lines[:, outputs].ravel(), lines[:, inputs].ravel())
    matrix = sp.csr_array((np.ones(places[0].size), places), shape=(x.size, x.size))
    return node.lowering.linear(matrix, x, x.shape)


@operator("TopK")
def largest_or_smallest(node: OnnxNode) -> SymbolicTensor:
    """Return the k largest (or smallest) numbers along an axis, sorted; not where they are."""
    x = node.tensor(0)
    count = node.integer("k", 0) if node.opset < 10 else node.single_integer(1)
    axis = normal_axis(node.integer("axis", -1), len(x.shape))
    if not 1 <= count <= x.shape[axis]:
        raise LoweringError(f"k {count} of {x.shape[axis]} numbers")
    if not node.flag("sorted", True) and count > 1:
        raise LoweringError("sorted=0 leaves the order to the runtime; export it with sorted=1")
    candidates = np.moveaxis(x.indices(), axis, 0)
    if count == 1:
        best = tournament(node.lowering, x, candidates, largest=node.flag("largest", True))
        sizes = list(x.shape)
        sizes[axis] = 1
        return best.reshape(sizes)
    ranked = ranking(node.lowering, x, candidates, largest=node.flag("largest", True))
    return ranked.take(np.moveaxis(ranked.indices()[:count], 0, axis))
