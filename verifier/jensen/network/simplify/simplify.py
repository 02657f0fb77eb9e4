"""Smaller networks of exactly the same function.

Each step is an identity over the rationals and is only taken where the new weights
are exact doubles: affine blocks are folded into their readers, ReLU blocks with the
same predecessors are merged, and dead, constant and duplicate neurons are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_product, exact_sum, is_nonzero
from jensen.network.relu_network import ReluNetwork
from jensen.network.simplify.duplicates import merge_duplicates
from jensen.network.simplify.sketch import Draft, Sketch, any_nonzero
from jensen.types import FloatArray

MAX_ROUNDS = 10
_SMALL = 4096
_FEW = 64


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
    ReluNetwork(1-1-1, 1 ReLU)
    """
    sketch = Sketch(network)
    steps = (
        drop_dead_neurons,
        fold_affine_blocks,
        merge_blocks,
        drop_constant_neurons,
        merge_duplicates,
    )
    for _ in range(MAX_ROUNDS):
        # every step runs: a generator would stop at the first one that changes something
        if not any([step(sketch) for step in steps]):  # noqa: C419
            break
    return sketch.network() if sketch.changed else network


def fold_affine_blocks(sketch: Sketch) -> bool:
    """Fold identity blocks into all blocks that read them."""
    folded = False
    for name, draft in sketch.hidden():
        if draft.is_relu:
            continue
        readers = sketch.readers(name)
        edges = len(draft.weights) + sum(len(reader.weights) for _, reader in readers)
        if sum(len(reader.weights | draft.weights) for _, reader in readers) > 2 * edges + _FEW:
            continue
        results = (_without_source(reader, name, draft) for _, reader in readers)
        # the first reader that refuses ends it
        merged = [result for result in takewhile(lambda r: r is not None, results) if result]
        if len(merged) < len(readers):
            continue
        before = sum(_stored(d.weights.values()) for d in (draft, *(r for _, r in readers)))
        after = sum(_stored(weights.values()) for weights, _ in merged)
        if after > max(2 * before, _SMALL):
            continue
        for (reader, _), (weights, bias) in zip(readers, merged, strict=True):
            sketch.rewire(reader, weights)
            sketch.drafts[reader].bias = bias
        sketch.remove(name)
        folded = True
    return folded


def merge_blocks(sketch: Sketch) -> bool:
    """Join ReLU blocks that read the same blocks; none of them can read another."""
    alike: dict[frozenset[str], list[str]] = {}
    for name, draft in sketch.hidden():
        if draft.is_relu:
            alike.setdefault(frozenset(draft.weights), []).append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    for names in groups:
        parts = [sketch.drafts[name] for name in names]
        sizes = [len(part.bias) for part in parts]
        for reader, draft in dict(r for name in names for r in sketch.readers(name)).items():
            rows = len(draft.bias)
            columns = [
                draft.weights.get(name, sp.csr_array((rows, size)))
                for name, size in zip(names, sizes, strict=True)
            ]
            others = {s: w for s, w in draft.weights.items() if s not in names}
            sketch.rewire(reader, others | {names[0]: _joined(columns, axis=1)})
        first = parts[0]
        first.weights = {
            source: _joined([part.weights[source] for part in parts], axis=0)
            for source in first.weights
        }
        first.bias = np.concatenate([part.bias for part in parts])
        for name in names[1:]:
            sketch.remove(name)
    if groups:
        sketch.sort()
    return bool(groups)


def drop_constant_neurons(sketch: Sketch) -> bool:
    """Move neurons without inputs into the biases of their readers."""
    dropped = False
    for name, draft in sketch.hidden():
        fixed = ~any_nonzero(draft.weights.values(), axis=1, size=len(draft.bias))
        if not fixed.any():
            continue
        value = np.maximum(draft.bias[fixed], 0.0) if draft.is_relu else draft.bias[fixed]
        readers = [reader for _, reader in sketch.readers(name)]
        biases = [
            _shifted(reader.bias, reader.weights[name][:, np.flatnonzero(fixed)], value)
            for reader in readers
        ]
        exact = [bias for bias in biases if bias is not None]
        if len(exact) == len(readers):
            for reader, bias in zip(readers, exact, strict=True):
                reader.bias = bias
            sketch.keep_neurons(name, ~fixed)
            dropped = True
    return dropped


def drop_dead_neurons(sketch: Sketch) -> bool:
    """Drop edges without weights, and neurons that nothing reads."""
    dropped = False
    for name, draft in reversed(sketch.hidden()):
        columns = [reader.weights[name] for _, reader in sketch.readers(name)]
        alive = any_nonzero(columns, axis=0, size=len(draft.bias))
        if not alive.all():
            sketch.keep_neurons(name, alive)
            dropped = True
    for name, draft in sketch.drafts.items():
        kept = {s: w for s, w in draft.weights.items() if is_nonzero(w)}
        if len(kept) < len(draft.weights) and len(draft.weights) > 1:
            sketch.rewire(name, kept)
            dropped = True
    return dropped


def _without_source(
    reader: Draft, name: str, folded: Draft
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


def _joined(parts: list[Matrix], *, axis: int) -> Matrix:
    if all(not sp.issparse(part) for part in parts):
        return np.concatenate(parts, axis=axis)
    stack = sp.vstack if axis == 0 else sp.hstack
    return sp.csr_array(stack([sp.csr_array(part) for part in parts], format="csr"))


def _stored(matrices: Iterable[Matrix]) -> int:
    return sum(
        int(np.count_nonzero(m.data)) if sp.issparse(m) else int(np.count_nonzero(m))
        for m in matrices
    )
