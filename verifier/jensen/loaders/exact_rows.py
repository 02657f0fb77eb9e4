"""Affine maps written out over the rationals, to compare tensors however they were built.

Where merging two affine maps would round, an identity block keeps them apart, so that one and the
same function may read a block in one tensor and what is before it in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.lossless import exact_row_scaling
from jensen.graphs.node import GraphNode
from jensen.loaders.symbolic import SymbolicTensor, stored_count
from jensen.network.relu_network import Block
from jensen.types import FloatArray

# a number as a sum of factors times (block, unit); ``None`` stands for the constant
ExactRow = dict[tuple[str, int] | None, Fraction]
MOST = 2**16  # entries that are written out


def exact_rows(x: SymbolicTensor, blocks: Mapping[str, Block | GraphNode]) -> list[ExactRow] | None:
    """Return every number of a tensor as an affine function of inputs and of blocks that bend.

    Parameters
    ----------
    x : SymbolicTensor
    blocks : mapping from name to block
        Of the network under construction.

    Returns
    -------
    list of mappings, or None
        None where that would be more than ``MOST`` entries.
    """
    return _Writer(blocks).rows(x.terms, x.bias)


def common_factors(x: Sequence[ExactRow], y: Sequence[ExactRow]) -> list[Fraction] | None:
    """Return c with ``x = c * y`` but for the constants, number by number; None if there is none.

    Examples
    --------
    >>> common_factors([{("input", 0): Fraction(3)}], [{("input", 0): Fraction(2), None: 1}])
    [Fraction(3, 2)]
    """
    factors = []
    for one, two in zip(x, y, strict=True):
        slopes = {key: value for key, value in two.items() if key is not None and value}
        wanted = {key: value for key, value in one.items() if key is not None and value}
        first = next(iter(slopes), None)
        factor = Fraction(0) if first is None else wanted.get(first, Fraction(0)) / slopes[first]
        if wanted != {key: factor * value for key, value in slopes.items() if factor}:
            return None
        factors.append(factor)
    return factors


def multiples(x: SymbolicTensor, y: SymbolicTensor) -> FloatArray | None:
    """Return c with ``x = c * y`` exactly, row by row; None if there is none."""
    if not set(x.terms) <= set(y.terms):
        return None
    base, given = (_side_by_side(tensor, y) for tensor in (y, x))
    filled = np.flatnonzero(np.diff(base.indptr))
    factors = np.zeros(x.size)
    columns = base.indices[base.indptr[filled]]
    with np.errstate(over="ignore"):
        factors[filled] = (
            np.asarray(sp.csr_matrix(given)[filled, columns]).ravel()
            / base.data[base.indptr[filled]]
        )
    scaled = exact_row_scaling(base, factors) if np.isfinite(factors).all() else None
    if scaled is None or abs(sp.csr_array(scaled) - given).max() > 0:
        return None
    return factors


def _side_by_side(x: SymbolicTensor, like: SymbolicTensor) -> sp.csr_array:
    """Return bias and matrices side by side, in the order of another tensor's sources."""
    parts = [sp.csr_array(x.bias[:, None])]
    for source, matrix in like.terms.items():
        parts.append(sp.csr_array(x.terms.get(source, sp.csr_array(matrix.shape))))
    joined = sp.csr_array(sp.hstack(parts, format="csr"))
    joined.eliminate_zeros()
    return joined


class _TooManyError(Exception):
    """More entries than are written out."""


class _Writer:
    """Writes rows out; identity blocks once."""

    def __init__(self, blocks: Mapping[str, Block | GraphNode]) -> None:
        self._blocks = blocks
        self._known: dict[str, list[ExactRow]] = {}
        self._left = MOST

    def rows(self, terms: Mapping[str, object], bias: FloatArray) -> list[ExactRow] | None:
        try:
            return self._rows(terms, bias)
        except _TooManyError:
            return None

    def _rows(self, terms: Mapping[str, object], bias: FloatArray) -> list[ExactRow]:
        found: list[ExactRow] = [{None: Fraction(value)} for value in bias.tolist()]
        for source, matrix in terms.items():
            self._spend(stored_count(matrix))
            entries = sp.coo_array(matrix)
            inner = self._inner(source)
            for row, unit, value in zip(
                entries.coords[0].tolist(),
                entries.coords[1].tolist(),
                entries.data.tolist(),
                strict=True,
            ):
                parts = {(source, unit): Fraction(1)} if inner is None else inner[unit]
                self._spend(len(parts))
                for key, part in parts.items():
                    found[row][key] = found[row].get(key, Fraction(0)) + Fraction(value) * part
        return found

    def _inner(self, source: str) -> list[ExactRow] | None:
        """Return the rows of an identity block; None of what bends, and of the input."""
        block = self._blocks.get(source)
        if not isinstance(block, Block) or block.is_relu:
            return None
        if source not in self._known:
            self._known[source] = self._rows(block.weights, block.bias)
        return self._known[source]

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _TooManyError
