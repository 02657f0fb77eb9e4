"""Neurons with the same weights and bias compute the same number: one of them is enough."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.network.simplify.sketch import Draft, Sketch
from jensen.types import FloatArray, IntArray

_MAX_COLUMN_ENTRIES = 2**24


def merge_duplicates(sketch: Sketch) -> bool:
    """Replace neurons with the same weights by one, adding what is read from them."""
    merged = False
    for name, draft in sketch.hidden():
        while len(pairs := _duplicate_pairs(draft)):
            readers = [reader for _, reader in sketch.readers(name)]
            rows = sum(len(reader.bias) for reader in readers)
            if rows * len(pairs) > _MAX_COLUMN_ENTRIES:
                break
            kept, dropped = pairs.T
            exact = np.ones(len(pairs), dtype=bool)
            totals = []
            for reader in readers:
                left, right = (_columns(reader.weights[name], c) for c in (kept, dropped))
                with np.errstate(over="ignore", invalid="ignore"):
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
            sketch.keep_neurons(name, keep)
            merged = True
    return merged


def _duplicate_pairs(draft: Draft) -> IntArray:
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
            equal &= np.asarray((left != right).sum(axis=1)).ravel() == 0
        else:
            equal &= (left == right).all(axis=1)
    return np.asarray(pairs[equal])


def _row_keys(draft: Draft, width: int | None = None) -> NDArray[np.uint64]:
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


def _columns(weight: Matrix, columns: IntArray) -> FloatArray:
    chosen = weight[:, columns]
    return np.asarray(chosen.toarray() if sp.issparse(chosen) else chosen)


def _with_columns(weight: Matrix, columns: IntArray, values: FloatArray) -> Matrix:
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
