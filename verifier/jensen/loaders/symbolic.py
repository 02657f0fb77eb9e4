"""Tensors that are affine maps of earlier blocks.

A :class:`SymbolicTensor` says how each of its numbers depends on the outputs of the
blocks built so far. Operations that only move numbers pick rows of its matrices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import is_nonzero
from jensen.types import FloatArray, IntArray

# Checked before anything of that size is allocated: a damaged file must not fill the memory.
MAX_TENSOR_SIZE = 2**22
MAX_ENTRIES = 2**26
MAX_NEURONS = 2**21
MAX_BLOCKS = 2**12
MAX_EDGES = 2**17


class LoweringError(ValueError):
    """An operation with arguments that make no sense or are too large."""


class TooLargeError(LoweringError):
    """A weight matrix with more entries than are supported."""


class NotPiecewiseLinearError(LoweringError):
    """An operation outside affine maps and ReLU."""


def check_size(size: int) -> None:
    """Raise :class:`LoweringError` for a tensor too large to hold."""
    if size > MAX_TENSOR_SIZE:
        raise LoweringError(f"a tensor of {size} numbers; at most {MAX_TENSOR_SIZE} are supported")


def check_entries(count: int) -> None:
    """Raise :class:`TooLargeError` for a weight matrix too large to hold."""
    if count > MAX_ENTRIES:
        raise TooLargeError(f"a matrix of {count} weights; at most {MAX_ENTRIES} are supported")


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """A tensor of the model, as an affine map of the blocks built so far.

    Attributes
    ----------
    shape : tuple of int
        With the batch dimension, which is 1.
    terms : mapping from block name to a matrix of shape (size, block size)
        ``csr_array`` or dense.
    bias : array of shape (size,)
        The flattened tensor (C order) is ``sum_j terms[j] @ h_j + bias``.
    """

    shape: tuple[int, ...]
    terms: Mapping[str, Matrix]
    bias: FloatArray

    @property
    def size(self) -> int:
        """Number of scalars."""
        return int(self.bias.shape[0])

    @property
    def is_constant(self) -> bool:
        """Whether the tensor depends on no block."""
        return not self.terms

    def indices(self) -> IntArray:
        """Return the flat position of every number, in the tensor's shape."""
        return np.arange(self.size).reshape(self.shape)

    def reshape(self, shape: Sequence[int]) -> SymbolicTensor:
        """Return the same numbers under another shape."""
        if prod(shape) != self.size or min(shape, default=0) < 0:
            raise LoweringError(f"shape {self.shape} cannot become {tuple(shape)}")
        return SymbolicTensor(tuple(int(s) for s in shape), self.terms, self.bias)

    def take(self, index: IntArray) -> SymbolicTensor:
        """Return the tensor of the numbers at flat positions ``index``, in its shape."""
        check_size(index.size)
        shape = tuple(int(s) for s in index.shape)
        flat = index.ravel()
        if flat.size == self.size and np.array_equal(flat, np.arange(self.size)):
            return SymbolicTensor(shape, self.terms, self.bias)
        for matrix in self.terms.values():
            check_entries(row_counts(matrix)[flat].sum())
        terms = {source: matrix[flat] for source, matrix in self.terms.items()}
        return SymbolicTensor(shape, nonzero_terms(terms), self.bias[flat])

    def broadcast(self, shape: Sequence[int]) -> SymbolicTensor:
        """Return the tensor repeated to a shape, by numpy's rules."""
        if self.shape == tuple(shape):
            return self
        check_size(prod(shape))
        return self.take(np.broadcast_to(self.indices(), tuple(shape)))


def constant(value: Any) -> SymbolicTensor:
    """Lift finite numbers to a tensor without dependence."""
    try:
        array = exact_doubles(value)
    except NotADoubleError as error:
        raise LoweringError(f"a constant is no double: {error}") from None
    check_size(array.size)
    return SymbolicTensor(array.shape, {}, array.ravel().copy())


def stack(parts: Sequence[SymbolicTensor]) -> SymbolicTensor:
    """Join flattened tensors into one vector."""
    check_size(sum(part.size for part in parts))
    sources = dict.fromkeys(source for part in parts for source in part.terms)
    terms: dict[str, Matrix] = {}
    for source in sources:
        width = next(p.terms[source].shape[1] for p in parts if source in p.terms)
        rows = [p.terms.get(source, sp.csr_array((p.size, width))) for p in parts]
        dense = all(not sp.issparse(row) for row in rows)
        terms[source] = np.vstack(rows) if dense else sp.csr_array(sp.vstack(rows, format="csr"))
    bias = np.concatenate([part.bias for part in parts])
    return SymbolicTensor((bias.size,), terms, bias)


def broadcast_together(
    x: SymbolicTensor, y: SymbolicTensor
) -> tuple[SymbolicTensor, SymbolicTensor]:
    """Bring two tensors to one shape, by numpy's rules."""
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise LoweringError(f"shapes {x.shape} and {y.shape} do not broadcast") from None
    return x.broadcast(shape), y.broadcast(shape)


def nonzero_terms(terms: Mapping[str, Matrix]) -> Mapping[str, Matrix]:
    """Drop the matrices without a non-zero."""
    return {source: matrix for source, matrix in terms.items() if is_nonzero(matrix)}


def powers_of_two(values: ArrayLike) -> bool:
    """Whether all numbers are plus or minus powers of two, whose reciprocals are exact."""
    return bool((np.abs(np.frexp(np.asarray(values, dtype=np.float64))[0]) == 0.5).all())


def stored_count(matrix: Matrix) -> int:
    """Return how many entries a matrix stores."""
    return int(matrix.nnz) if sp.issparse(matrix) else int(matrix.size)


def row_counts(matrix: Matrix) -> IntArray:
    """Return the number of non-zeros of every row."""
    if sp.issparse(matrix):
        return np.asarray(np.diff(matrix.indptr), dtype=np.int64)
    return np.asarray(np.count_nonzero(matrix, axis=1), dtype=np.int64)
