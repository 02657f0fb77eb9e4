"""ONNX operators that are affine: sums, products with constants, matrix products."""

from __future__ import annotations

from functools import reduce
from math import prod

import numpy as np
import scipy.sparse as sp

from jensen.graphs.functions import Function
from jensen.loaders.lowering import Lowering
from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.symbolic import (
    LoweringError,
    NotPiecewiseLinearError,
    SymbolicTensor,
    check_entries,
    check_size,
)
from jensen.types import FloatArray, IndexArray

PRODUCT = "it multiplies two values computed from the input, one must be a constant"


@operator("Identity")
def identity(node: OnnxNode) -> SymbolicTensor:
    """Pass the input on."""
    return node.tensor(0)


@operator("Add", "Sum")
def add(node: OnnxNode) -> SymbolicTensor:
    """Add with broadcasting."""
    return reduce(node.lowering.add, node.tensors())


@operator("Sub")
def subtract(node: OnnxNode) -> SymbolicTensor:
    """Subtract with broadcasting."""
    return node.lowering.subtract(node.tensor(0), node.tensor(1))


@operator("Neg")
def negate(node: OnnxNode) -> SymbolicTensor:
    """Change the sign."""
    return node.lowering.negate(node.tensor(0))


@operator("Mean")
def mean(node: OnnxNode) -> SymbolicTensor:
    """Average the inputs; 1/n is rounded to a double where it is none."""
    total = reduce(node.lowering.add, node.tensors())
    node.rounds(f"1/{len(node.inputs)} was rounded to a double", len(node.inputs))
    return node.lowering.scale(total, np.full(total.size, 1.0 / len(node.inputs)))


@operator("Mul")
def multiply(node: OnnxNode) -> SymbolicTensor:
    """Multiply with broadcasting, by constants or not."""
    for x, factors in ((0, 1), (1, 0)):
        if node.is_constant(factors):
            return scale_broadcast(node.lowering, node.tensor(x), node.numbers(factors))
    return node.lowering.product(node.tensor(0), node.tensor(1))


@operator("Div")
def divide(node: OnnxNode) -> SymbolicTensor:
    """Divide; reciprocals of constants are rounded to doubles where they are none."""
    if not node.is_constant(1):
        inverse = node.lowering.apply(node.tensor(1), Function.RECIPROCAL)
        if node.is_constant(0):
            return scale_broadcast(node.lowering, inverse, node.numbers(0))
        return node.lowering.product(node.tensor(0), inverse)
    divisor = node.numbers(1)
    with np.errstate(divide="ignore", over="ignore"):
        reciprocal = 1.0 / divisor
    if not np.isfinite(reciprocal).all():
        raise LoweringError("it divides by zero")
    node.rounds("reciprocals of its divisors were rounded to doubles", divisor)
    return scale_broadcast(node.lowering, node.tensor(0), reciprocal)


def scale_broadcast(lowering: Lowering, x: SymbolicTensor, factors: FloatArray) -> SymbolicTensor:
    """Return ``factors * x`` with broadcasting."""
    try:
        shape = np.broadcast_shapes(x.shape, factors.shape)
    except ValueError:
        raise LoweringError(f"shapes {x.shape} and {factors.shape} do not broadcast") from None
    x = x.broadcast(shape)
    return lowering.scale(x, np.broadcast_to(factors, shape).ravel())


@operator("MatMul")
def matmul(node: OnnxNode) -> SymbolicTensor:
    """Multiply matrices, of which either may be constant."""
    if node.is_constant(1):
        return times_matrix(node.lowering, node.tensor(0), node.numbers(1))
    if not node.is_constant(0):
        return _times_tensor(node.lowering, node.tensor(0), node.tensor(1))
    weight, x = node.numbers(0), node.tensor(1)
    # A @ x = (x^T @ A^T)^T; a vector has no other side
    weight = weight if weight.ndim == 1 else np.swapaxes(weight, -1, -2)
    x_rank = len(x.shape)
    product = times_matrix(node.lowering, _transposed(x) if x_rank > 1 else x, weight)
    return _transposed(product) if x_rank > 1 and weight.ndim > 1 else product


def _transposed(x: SymbolicTensor) -> SymbolicTensor:
    return x.take(np.swapaxes(x.indices(), -1, -2))


def times_matrix(lowering: Lowering, x: SymbolicTensor, weight: FloatArray) -> SymbolicTensor:
    """Return ``x @ weight`` by numpy's rules for stacks of matrices and vectors."""
    if not x.shape or not weight.ndim:
        raise LoweringError("a matrix product with a scalar")
    rows = x.indices() if len(x.shape) > 1 else x.indices()[None, :]
    columns = weight if weight.ndim > 1 else weight[:, None]
    if rows.shape[-1] != columns.shape[-2]:
        raise LoweringError(f"shapes {x.shape} and {weight.shape} do not multiply")
    try:
        batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    except ValueError:
        raise LoweringError(f"shapes {x.shape} and {weight.shape} do not multiply") from None
    shape = [*batch, rows.shape[-2], columns.shape[-1]]
    if prod(shape[:-1]) == 1:
        result = lowering.linear(columns.reshape(columns.shape[-2:]).T, x, shape)
    else:
        rows = np.broadcast_to(rows, (*batch, *rows.shape[-2:]))
        columns = np.broadcast_to(columns, (*batch, *columns.shape[-2:]))
        result = lowering.linear(_stacked_matrix(rows, columns, x.size), x, shape)
    kept = shape[: len(batch)]
    kept += [shape[-2]] if len(x.shape) > 1 else []
    kept += [shape[-1]] if weight.ndim > 1 else []
    return result.reshape(kept)


def _times_tensor(lowering: Lowering, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
    """Return ``x @ y`` by numpy's rules, both computed from the input."""
    if not x.shape or not y.shape:
        raise LoweringError("a matrix product with a scalar")
    rows = x.indices() if len(x.shape) > 1 else x.indices()[None, :]
    columns = y.indices() if len(y.shape) > 1 else y.indices()[:, None]
    if rows.shape[-1] != columns.shape[-2]:
        raise LoweringError(f"shapes {x.shape} and {y.shape} do not multiply")
    left, right = rows[..., :, None, :], np.swapaxes(columns, -1, -2)[..., None, :, :]
    shape = np.broadcast_shapes(left.shape, right.shape)
    check_size(prod(shape))
    terms = lowering.product(
        x.take(np.broadcast_to(left, shape)), y.take(np.broadcast_to(right, shape))
    )
    result = lowering.sum_last(terms)
    kept = list(shape[:-1])
    if len(y.shape) == 1:
        kept.pop()
    if len(x.shape) == 1:
        kept.pop(-1 if len(y.shape) == 1 else -2)
    return result.reshape(kept)


def _stacked_matrix(rows: IndexArray, columns: FloatArray, width: int) -> sp.csr_array:
    """Return the matrix that sends flat x to flat ``x[rows] @ columns``.

    Parameters
    ----------
    rows : array of shape (..., n, k)
        Positions in x.
    columns : array of shape (..., k, m)
    """
    n, k = rows.shape[-2:]
    m = columns.shape[-1]
    outputs = prod(rows.shape[:-1]) * m
    check_entries(outputs * k)
    full = (*rows.shape[:-2], n, m, k)
    positions = np.broadcast_to(rows[..., :, None, :], full).flatten()
    weights = np.broadcast_to(np.swapaxes(columns, -1, -2)[..., None, :, :], full).flatten()
    matrix = sp.csr_array((weights, positions, np.arange(outputs + 1) * k), shape=(outputs, width))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


@operator("Gemm")
def gemm(node: OnnxNode) -> SymbolicTensor:
    """Return ``alpha A' B' + beta C``."""
    low = node.lowering
    if node.rank(0) != 2 or node.rank(1) != 2:
        raise LoweringError("A and B must be matrices")
    transpose_a, transpose_b = node.flag("transA"), node.flag("transB")
    if node.is_constant(1):
        x, weight = node.tensor(0), node.numbers(1)
        x = _transposed(x) if transpose_a else x
        product = times_matrix(low, x, weight.T if transpose_b else weight)
    elif node.is_constant(0):
        x, weight = node.tensor(1), node.numbers(0)
        x = x if transpose_b else _transposed(x)
        product = _transposed(times_matrix(low, x, weight if transpose_a else weight.T))
    else:
        raise NotPiecewiseLinearError(PRODUCT)
    product = _times_number(low, product, node.number("alpha", 1.0))
    if not node.has(2):
        return product
    offset = _times_number(low, node.tensor(2), node.number("beta", 1.0))
    return low.add(product, offset.broadcast(product.shape))


def _times_number(lowering: Lowering, x: SymbolicTensor, factor: float) -> SymbolicTensor:
    return x if factor == 1.0 else lowering.scale(x, np.full(x.size, factor))
