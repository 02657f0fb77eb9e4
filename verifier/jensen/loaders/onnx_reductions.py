"""ONNX operators that reduce along axes."""

from __future__ import annotations

from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.onnx_node import Node, normal_axes, operator
from jensen.loaders.onnx_shaping import axes_of
from jensen.loaders.piecewise import tournament
from jensen.loaders.symbolic import IndexArray, LoweringError, SymbolicTensor


@operator("ReduceSum")
def reduce_sum(node: Node) -> SymbolicTensor:
    """Add along axes."""
    return _weighted(node, mean=False)


@operator("ReduceMean")
def reduce_mean(node: Node) -> SymbolicTensor:
    """Average along axes; 1/n is rounded to a double where it is none."""
    return _weighted(node, mean=True)


@operator("ReduceMax")
def reduce_max(node: Node) -> SymbolicTensor:
    """Take the maximum along axes."""
    return _extreme(node, largest=True)


@operator("ReduceMin")
def reduce_min(node: Node) -> SymbolicTensor:
    """Take the minimum along axes."""
    return _extreme(node, largest=False)


def _groups(node: Node) -> tuple[SymbolicTensor, IndexArray, tuple[int, ...]] | None:
    """Return x, the positions (outputs, reduced) and the result's shape; None for no axes."""
    x = node.tensor(0)
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
    return x, last.reshape(-1, count), tuple(shape)


def _weighted(node: Node, *, mean: bool) -> SymbolicTensor:
    groups = _groups(node)
    if groups is None:
        return node.tensor(0)
    x, positions, shape = groups
    rows, count = positions.shape
    if mean:
        node.rounds(f"1/{count} was rounded to a double", count)
    weights = np.full(positions.size, 1.0 / count if mean else 1.0)
    parts = (weights, positions.ravel(), np.arange(rows + 1) * count)
    return node.lowering.linear(sp.csr_array(parts, shape=(rows, x.size)), x, shape)


def _extreme(node: Node, *, largest: bool) -> SymbolicTensor:
    groups = _groups(node)
    if groups is None:
        return node.tensor(0)
    x, positions, shape = groups
    return tournament(node.lowering, x, positions.T, largest=largest).reshape(shape)
