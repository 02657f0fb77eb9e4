"""Signs and magnitudes of values, until a Where puts them together without a jump.

A sign jumps, so no block may read one. ``Where(|z| > l, a, b)`` needs the sign of z only where
|z| > l, and there it is known on either side: Softshrink is written in this way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_sum
from jensen.loaders.symbolic import NotPiecewiseLinearError, SymbolicTensor
from jensen.types import FloatArray, IndexArray


@dataclass
class Steps:
    """What is known of the signs and magnitudes of a network under construction.

    Attributes
    ----------
    signs : mapping from the name that stands for them to what they are of
    magnitudes : mapping from a ReLU block to (z, z as the block reads it)
        Of blocks ``max(z, 0)`` that were made for ``|z| = 2 max(z, 0) - z``.
    """

    signs: dict[str, SymbolicTensor] = field(default_factory=dict)
    magnitudes: dict[str, tuple[SymbolicTensor, SymbolicTensor]] = field(default_factory=dict)

    def check(self, sources: Iterable[str]) -> None:
        """Raise if a sign is among what a block reads.

        Raises
        ------
        NotPiecewiseLinearError
        """
        if any(source in self.signs for source in sources):
            raise NotPiecewiseLinearError(
                "it reads a sign, whose values jump (write what is continuous with Relu, Max, Min "
                "or Clip)"
            )

    def remember(self, closed: SymbolicTensor, x: SymbolicTensor, plain: SymbolicTensor) -> None:
        """Take note of ``closed = max(x, 0)``, where it is a block of its own."""
        picked = [_picked(matrix) for matrix in closed.terms.values()]
        if len(picked) == 1 and picked[0] is not None and not closed.bias.any():
            positions, factors = picked[0]
            if np.array_equal(positions, np.arange(x.size)) and (factors == 1).all():
                self.magnitudes[next(iter(closed.terms))] = x, plain

    def magnitude(self, x: SymbolicTensor) -> tuple[SymbolicTensor, FloatArray] | None:
        """Return z and l if x is ``|z| - l`` number by number; None otherwise."""
        found = [name for name in x.terms if name in self.magnitudes]
        picked = _picked(x.terms[found[0]]) if len(found) == 1 else None
        if picked is None or (picked[1] != 2).any():
            return None
        z, plain = (part.take(picked[0].reshape(x.shape)) for part in self.magnitudes[found[0]])
        rest = {name: matrix for name, matrix in x.terms.items() if name != found[0]}
        same = set(rest) == set(plain.terms) and all(
            abs(sp.csr_array(rest[name]) + sp.csr_array(matrix)).max() == 0
            for name, matrix in plain.terms.items()
        )
        limits = exact_sum(-x.bias, -plain.bias)
        return (z, np.asarray(limits)) if same and limits is not None else None

    def decided(self, x: SymbolicTensor, z: SymbolicTensor, sign: float) -> SymbolicTensor | None:
        """Return x where the signs of z that it reads are known; None if it reads others."""
        bias = x.bias
        terms = dict(x.terms)
        for name in [name for name in x.terms if name in self.signs]:
            picked = _picked(terms.pop(name))
            argument = None if picked is None else self.signs[name].take(picked[0])
            if picked is None or argument is None or not same_map(argument, z.reshape((z.size,))):
                return None
            total = exact_sum(bias, sign * picked[1])
            if total is None:
                return None
            bias = np.asarray(total)
        return SymbolicTensor(x.shape, terms, bias)


def same_map(x: SymbolicTensor, y: SymbolicTensor) -> bool:
    """Whether two tensors are the same affine map, number by number."""
    if set(x.terms) != set(y.terms) or not np.array_equal(x.bias, y.bias):
        return False
    pairs = ((sp.csr_array(matrix), sp.csr_array(y.terms[s])) for s, matrix in x.terms.items())
    return all(abs(left - right).max() == 0 for left, right in pairs)


def _picked(matrix: Matrix) -> tuple[IndexArray, FloatArray] | None:
    """Return the column and the entry of every row where each has one entry; None otherwise."""
    rows = sp.csr_array(matrix, copy=True)
    rows.eliminate_zeros()
    if not (np.diff(rows.indptr) == 1).all():
        return None
    return rows.indices.astype(np.int64), rows.data
