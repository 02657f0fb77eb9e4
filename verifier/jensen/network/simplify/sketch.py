"""A network that may still change: its blocks, and who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import nonzero_lines
from jensen.network.order import by_depth
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.types import BoolArray, FloatArray

_SMALL = 4096


@dataclass
class Draft:
    """A block that may still change."""

    weights: dict[str, Matrix]
    bias: FloatArray
    activation: Activation

    @property
    def is_relu(self) -> bool:
        """Whether the block's neurons can kink."""
        return self.activation is Activation.RELU


class Sketch:
    """The blocks of a network in topological order, under change.

    Attributes
    ----------
    drafts : dict from block name to Draft
    changed : bool
        Whether anything differs from the network.
    """

    def __init__(self, network: ReluNetwork) -> None:
        self._original = network
        self.drafts = {
            block.name: Draft(dict(block.weights), block.bias, block.activation)
            for block in network.blocks
        }
        # dicts instead of sets keep the order, and with it the result, repeatable
        self._readers: dict[str, dict[str, None]] = {name: {} for name in (INPUT, *self.drafts)}
        for name, draft in self.drafts.items():
            self._link(name, draft.weights)
        self.changed = False

    def network(self) -> ReluNetwork:
        """Return the result, without the blocks that the output does not read, directly or not."""
        read = {OUTPUT}
        for name, draft in reversed(self.drafts.items()):
            if name in read:
                read.update(draft.weights)
        blocks = [
            Block(
                name, {s: _tidy(w) for s, w in draft.weights.items()}, draft.bias, draft.activation
            )
            for name, draft in self.drafts.items()
            if name in read
        ]
        return ReluNetwork(
            self._original.input_size,
            blocks,
            input_shape=self._original.input_shape,
            output_shape=self._original.output_shape,
            roundings=self._original.roundings,
        )

    def hidden(self) -> list[tuple[str, Draft]]:
        """Return all blocks but the output, in topological order."""
        return [(name, draft) for name, draft in self.drafts.items() if name != OUTPUT]

    def readers(self, name: str) -> list[tuple[str, Draft]]:
        """Return the blocks that read a block."""
        return [(reader, self.drafts[reader]) for reader in self._readers[name]]

    # ----------------------------------------------------------------- changes

    def rewire(self, name: str, weights: Mapping[str, Matrix]) -> None:
        """Give a block other sources."""
        draft = self.drafts[name]
        for source in draft.weights:
            self._readers[source].pop(name, None)
        draft.weights = dict(weights)
        if not draft.weights:  # every block reads something
            zero = sp.csr_array((len(draft.bias), self._original.input_size))
            draft.weights[INPUT] = zero
        self._link(name, draft.weights)
        self.changed = True

    def remove(self, name: str) -> None:
        """Drop a block that nothing reads."""
        for source in self.drafts.pop(name).weights:
            self._readers[source].pop(name, None)
        del self._readers[name]
        self.changed = True

    def keep_neurons(self, name: str, keep: BoolArray) -> None:
        """Drop neurons that nothing reads any more."""
        for reader, draft in self.readers(name):
            if keep.any():
                draft.weights[name] = draft.weights[name][:, np.flatnonzero(keep)]
            else:
                self.rewire(reader, {s: w for s, w in draft.weights.items() if s != name})
        if not keep.any():
            self.remove(name)
            return
        draft = self.drafts[name]
        draft.weights = {source: weight[keep] for source, weight in draft.weights.items()}
        draft.bias = draft.bias[keep]
        self.changed = True

    def sort(self) -> None:
        """Restore the topological order: a merged block may have to move behind others."""
        read = {name: draft.weights.keys() - {INPUT} for name, draft in self.drafts.items()}
        self.drafts = {name: self.drafts[name] for name in by_depth(read)}

    def _link(self, name: str, sources: Iterable[str]) -> None:
        for source in sources:
            self._readers[source][name] = None


def any_nonzero(matrices: Iterable[Matrix], *, axis: int, size: int) -> BoolArray:
    """Return which rows (axis 1) or columns (axis 0) hold a non-zero in any matrix."""
    result = np.zeros(size, dtype=bool)
    for matrix in matrices:
        if not result.all():
            result |= nonzero_lines(matrix, axis)
    return result


def _tidy(matrix: Matrix) -> Matrix:
    size = int(matrix.shape[0]) * int(matrix.shape[1])
    if sp.issparse(matrix) and (size <= _SMALL or 2 * matrix.nnz > size):
        return matrix.toarray()
    return matrix
