"""Smaller networks of exactly the same function.

Each step is an identity over the rationals and is only taken where the new weights
are exact doubles: affine blocks are folded into their readers, ReLU blocks with the
same predecessors are merged, and dead, constant and duplicate neurons are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.exact import Matrix
from jensen.lossless import exact_product, exact_sum, is_nonzero, nonzero_lines
from jensen.network import INPUT, OUTPUT, Activation, Block, ReluNetwork

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]

MAX_ROUNDS = 10
_SMALL = 4096
_MAX_COLUMN_ENTRIES = 2**24


@dataclass
class _Draft:
    """A block that may still change."""

    weights: dict[str, Matrix]
    bias: FloatArray
    activation: Activation


def simplify(network: ReluNetwork) -> ReluNetwork:
    """Return a network of the same function, exactly, with no more neurons.

    Parameters
    ----------
    network : ReluNetwork

    Returns
    -------
    ReluNetwork
        Block names are kept; a merged block has the name of its first part.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0], [0.0]], [[1.0, 2.0, 3.0]]], [[0, 0, 1], [0]])
    >>> simplify(net)
    ReluNetwork(1-1-1, 1 ReLUs)
    """
    sketch = _Sketch(network)
    for _ in range(MAX_ROUNDS):
        steps = (
            sketch.drop_dead_neurons,
            sketch.fold_affine_blocks,
            sketch.merge_blocks,
            sketch.drop_constant_neurons,
            sketch.merge_duplicates,
        )
        # every step runs: a generator would stop at the first one that changes something
        if not any([step() for step in steps]):  # noqa: C419
            break
    return sketch.network() if sketch.changed else network


class _Sketch:
    """The blocks of a network in topological order, under change."""

    def __init__(self, network: ReluNetwork) -> None:
        self._original = network
        self._drafts = {
            block.name: _Draft(dict(block.weights), block.bias, block.activation)
            for block in network.blocks
        }
        self.changed = False

    def network(self) -> ReluNetwork:
        """Return the result."""
        blocks = [
            Block(
                name, {s: _tidy(w) for s, w in draft.weights.items()}, draft.bias, draft.activation
            )
            for name, draft in self._drafts.items()
        ]
        return ReluNetwork(
            self._original.input_size,
            blocks,
            input_shape=self._original.input_shape,
            output_shape=self._original.output_shape,
        )

    def _hidden(self) -> list[tuple[str, _Draft]]:
        return [(name, draft) for name, draft in self._drafts.items() if name != OUTPUT]

    def _readers(self, name: str) -> list[_Draft]:
        return [draft for draft in self._drafts.values() if name in draft.weights]

    def _keep_neurons(self, name: str, keep: BoolArray) -> None:
        """Drop neurons that nothing reads any more."""
        self.changed = True
        draft = self._drafts[name]
        draft.weights = {source: weight[keep] for source, weight in draft.weights.items()}
        draft.bias = draft.bias[keep]
        for reader in self._readers(name):
            if keep.any():
                reader.weights[name] = reader.weights[name][:, np.flatnonzero(keep)]
            else:
                self._drop_edge(reader, name)
        if not keep.any():
            del self._drafts[name]

    def _drop_edge(self, reader: _Draft, source: str) -> None:
        del reader.weights[source]
        if not reader.weights:  # every block reads something
            zero = sp.csr_array((len(reader.bias), self._original.input_size))
            reader.weights[INPUT] = zero

    # ------------------------------------------------------------------- steps

    def fold_affine_blocks(self) -> bool:
        """Fold identity blocks into all blocks that read them."""
        folded = False
        for name, draft in self._hidden():
            if draft.activation is not Activation.IDENTITY:
                continue
            readers = self._readers(name)
            results = [_without_source(reader, name, draft) for reader in readers]
            merged = [result for result in results if result is not None]
            if len(merged) < len(readers):
                continue
            before = sum(_stored(draft.weights.values()) for draft in (draft, *readers))
            after = sum(_stored(weights.values()) for weights, _ in merged)
            if after > max(2 * before, _SMALL):
                continue
            for reader, (weights, bias) in zip(readers, merged, strict=True):
                reader.weights, reader.bias = weights, bias
            del self._drafts[name]
            self.changed = folded = True
        return folded

    def merge_blocks(self) -> bool:
        """Join ReLU blocks that read the same blocks; none of them can read another."""
        alike: dict[frozenset[str], list[str]] = {}
        for name, draft in self._hidden():
            if draft.activation is Activation.RELU:
                alike.setdefault(frozenset(draft.weights), []).append(name)
        groups = [names for names in alike.values() if len(names) > 1]
        for first, *others in groups:
            parts = [self._drafts[name] for name in (first, *others)]
            sizes = [len(part.bias) for part in parts]
            for reader in self._drafts.values():
                if not any(name in reader.weights for name in (first, *others)):
                    continue
                rows = len(reader.bias)
                columns = [reader.weights.pop(name, None) for name in (first, *others)]
                filled = [
                    sp.csr_array((rows, size)) if column is None else column
                    for column, size in zip(columns, sizes, strict=True)
                ]
                reader.weights[first] = _joined(filled, axis=1)
            merged = self._drafts[first]
            merged.weights = {
                source: _joined([part.weights[source] for part in parts], axis=0)
                for source in merged.weights
            }
            merged.bias = np.concatenate([part.bias for part in parts])
            for name in others:
                del self._drafts[name]
            self.changed = True
            self._sort()
        return bool(groups)

    def _sort(self) -> None:
        """Restore the topological order: a merged block may move behind its readers."""
        ordered: dict[str, _Draft] = {}
        waiting = dict(self._drafts)
        while waiting:
            ready = [
                name
                for name, draft in waiting.items()
                if all(source == INPUT or source in ordered for source in draft.weights)
            ]
            for name in ready:
                ordered[name] = waiting.pop(name)
        self._drafts = ordered

    def drop_constant_neurons(self) -> bool:
        """Move neurons without inputs into the biases of their readers."""
        dropped = False
        for name, draft in self._hidden():
            fixed = ~_any_nonzero(draft.weights.values(), axis=1, size=len(draft.bias))
            if not fixed.any():
                continue
            value = draft.bias[fixed]
            if draft.activation is Activation.RELU:
                value = np.maximum(value, 0.0)
            readers = self._readers(name)
            biases = [
                _shifted(reader.bias, reader.weights[name][:, np.flatnonzero(fixed)], value)
                for reader in readers
            ]
            exact = [bias for bias in biases if bias is not None]
            if len(exact) == len(readers):
                for reader, bias in zip(readers, exact, strict=True):
                    reader.bias = bias
                self._keep_neurons(name, ~fixed)
                dropped = True
        return dropped

    def merge_duplicates(self) -> bool:
        """Replace neurons with the same weights by one, adding what is read from them."""
        merged = False
        for name, draft in self._hidden():
            while len(pairs := _duplicate_pairs(draft)):
                readers = self._readers(name)
                rows = sum(len(reader.bias) for reader in readers)
                if rows * len(pairs) > _MAX_COLUMN_ENTRIES:
                    break
                kept, dropped = pairs.T
                exact = np.ones(len(pairs), dtype=bool)
                totals = []
                for reader in readers:
                    left, right = (_columns(reader.weights[name], c) for c in (kept, dropped))
                    total = left + right
                    exact &= ((total - left == right) & (total - right == left)).all(axis=0)
                    totals.append(total)
                if not exact.any():
                    break
                for reader, total in zip(readers, totals, strict=True):
                    reader.weights[name] = _with_columns(
                        reader.weights[name], kept[exact], total[:, exact]
                    )
                keep = np.ones(len(draft.bias), dtype=bool)
                keep[dropped[exact]] = False
                self._keep_neurons(name, keep)
                merged = True
        return merged

    def drop_dead_neurons(self) -> bool:
        """Drop edges without weights, and neurons that nothing reads."""
        dropped = False
        for name, draft in reversed(self._hidden()):
            readers = self._readers(name)
            columns = [reader.weights[name] for reader in readers]
            alive = _any_nonzero(columns, axis=0, size=len(draft.bias))
            if not alive.all():
                self._keep_neurons(name, alive)
                dropped = True
        for draft in self._drafts.values():
            empty = [s for s, w in draft.weights.items() if not is_nonzero(w)]
            for source in empty:
                if len(draft.weights) > 1:
                    self._drop_edge(draft, source)
                    self.changed = dropped = True
        return dropped


def _without_source(
    reader: _Draft, name: str, folded: _Draft
) -> tuple[dict[str, Matrix], FloatArray] | None:
    """Return the reader's weights and bias with an affine block put in, if they are exact."""
    weights = dict(reader.weights)
    outer = weights.pop(name)
    for source, inner in folded.weights.items():
        product = exact_product(outer, inner)
        if product is None:
            return None
        total = exact_sum(weights[source], product) if source in weights else product
        if total is None:
            return None
        weights[source] = total
    bias = _shifted(reader.bias, outer, folded.bias)
    return None if bias is None else (weights, bias)


def _shifted(bias: FloatArray, weight: Matrix, value: FloatArray) -> FloatArray | None:
    """Return ``bias + weight @ value`` if it is exact."""
    if not value.any():
        return bias
    product = exact_product(weight, value[:, None])
    if product is None:
        return None
    total = exact_sum(bias, np.asarray(product)[:, 0])
    return None if total is None else np.asarray(total)


def _duplicate_pairs(draft: _Draft) -> IndexArray:
    """Return disjoint pairs (first, second) of neurons with equal weights and bias."""
    if len(np.unique(_row_keys(draft, width=4))) == len(draft.bias):
        return np.zeros((0, 2), dtype=np.int64)
    keys = _row_keys(draft)
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if not same.size:
        return np.zeros((0, 2), dtype=np.int64)
    # of a run of equal keys take the pairs 0-1, 2-3, ...
    run_start = np.concatenate([[True], np.diff(same) > 1])
    position = np.arange(len(same)) - np.flatnonzero(run_start)[np.cumsum(run_start) - 1]
    same = same[position % 2 == 0]
    pairs = np.sort(np.stack([order[same], order[same + 1]], axis=1), axis=1)
    equal = draft.bias[pairs[:, 0]] == draft.bias[pairs[:, 1]]
    for weight in draft.weights.values():
        left, right = weight[pairs[:, 0]], weight[pairs[:, 1]]
        if sp.issparse(weight):
            equal &= np.asarray(abs(left - right).sum(axis=1)).ravel() == 0
        else:
            equal &= (left == right).all(axis=1)
    return np.asarray(pairs[equal])


def _row_keys(draft: _Draft, width: int | None = None) -> NDArray[np.uint64]:
    """Hash every neuron's bias and weights, or only the first ``width`` of each dense row.

    Sums modulo 2**64 do not depend on their order, so that equal rows have equal keys.
    """
    rng = np.random.default_rng(0)
    keys = _bits(draft.bias) * rng.integers(1, 2**63, dtype=np.uint64)
    for weight in draft.weights.values():
        if sp.issparse(weight):
            factors = rng.integers(1, 2**63, weight.shape[1], dtype=np.uint64)
            rows = np.repeat(np.arange(weight.shape[0]), np.diff(weight.indptr))
            np.add.at(keys, rows, _bits(weight.data) * factors[weight.indices])
        else:
            part = weight[:, :width]
            factors = rng.integers(1, 2**63, part.shape[1], dtype=np.uint64)
            keys += (_bits(part) * factors[None, :]).sum(axis=1, dtype=np.uint64)
    return keys


def _bits(values: FloatArray) -> NDArray[np.uint64]:
    return (np.asarray(values) + 0.0).view(np.uint64)


def _columns(weight: Matrix, columns: IndexArray) -> FloatArray:
    chosen = weight[:, columns]
    return np.asarray(chosen.toarray() if sp.issparse(chosen) else chosen)


def _with_columns(weight: Matrix, columns: IndexArray, values: FloatArray) -> Matrix:
    if not sp.issparse(weight):
        weight = weight.copy()
        weight[:, columns] = values
        return weight
    factor = np.ones(weight.shape[1])
    factor[columns] = 0.0
    spread = sp.csr_array(
        (np.ones(len(columns)), (np.arange(len(columns)), columns)),
        shape=(len(columns), weight.shape[1]),
    )
    result = sp.csr_array(weight @ sp.diags_array(factor) + sp.csr_array(values) @ spread)
    result.eliminate_zeros()
    return result


def _any_nonzero(matrices: Iterable[Matrix], *, axis: int, size: int) -> BoolArray:
    """Return which rows (axis 1) or columns (axis 0) hold a non-zero in any matrix."""
    result = np.zeros(size, dtype=bool)
    for matrix in matrices:
        if not result.all():
            result |= nonzero_lines(matrix, axis)
    return result


def _joined(parts: list[Matrix], *, axis: int) -> Matrix:
    if all(not sp.issparse(part) for part in parts):
        return np.concatenate(parts, axis=axis)
    stack = sp.vstack if axis == 0 else sp.hstack
    return sp.csr_array(stack([sp.csr_array(part) for part in parts], format="csr"))


def _tidy(matrix: Matrix) -> Matrix:
    size = int(matrix.shape[0]) * int(matrix.shape[1])
    if sp.issparse(matrix) and (size <= _SMALL or 2 * matrix.nnz > size):
        return matrix.toarray()
    return matrix


def _stored(matrices: Iterable[Matrix]) -> int:
    return sum(
        int(np.count_nonzero(m.data)) if sp.issparse(m) else int(np.count_nonzero(m))
        for m in matrices
    )
