"""Networks of extreme scales written with numbers near 1: neurons times powers of two."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.network.block import INPUT, Block
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

WIDE = 500  # products of weights beyond 2^500 or below 2^-500 leave the doubles when squared
UNEVEN = 2.0**14  # ratio of rows of a block from which on tolerances of programs hide the smaller
NORMAL = 1000  # doubles between 2^-1000 and 2^1000 have all of their digits

Exponents = NDArray[np.int_]


def levelled(network: ReluNetwork) -> ReluNetwork | None:
    """Return a network of the same kinks whose rows have a largest number between 1/2 and 1.

    ``relu(s z) = s relu(z)`` for s > 0: each neuron is divided by a power of two, by which
    those that read it are multiplied, and the output is divided by one. So f is multiplied by
    a power of two, and nothing is rounded.

    Parameters
    ----------
    network : ReluNetwork
        With one output.

    Returns
    -------
    ReluNetwork or None
        None if products of weights along paths stay far from the ends of the range of
        doubles and rows of a block are of about the same size, if nothing changes, or if a row's
        own numbers are too far apart.

    Examples
    --------
    >>> steep = ReluNetwork.from_layers([[[2.0**900, 0.0]], [[3 * 2.0**500]]], [[0], [0]])
    >>> near = levelled(steep)
    >>> near["relu_1"].weights["input"].tolist(), near["output"].weights["relu_1"].tolist()
    ([[0.5, 0.0]], [[0.75]])
    """
    if not (_is_wide(network) or any(map(_is_uneven, network.blocks))):
        return None
    shifts: dict[str, Exponents] = {INPUT: np.zeros(network.input_size, dtype=np.int_)}
    blocks = []
    for block in network.blocks:
        own = _size_of_rows(block, shifts)
        if own is None:
            return None
        shifts[block.name] = own
        weights = {name: _shifted(w, shifts[name], own) for name, w in block.weights.items()}
        blocks.append(replace(block, weights=weights, bias=np.ldexp(block.bias, -own)))
    if not any(shift.any() for shift in shifts.values()):
        return None
    return ReluNetwork(network.input_size, blocks, roundings=network.roundings)


def _is_wide(network: ReluNetwork) -> bool:
    """Whether products of weights along paths may come near the ends of the range of doubles."""
    high = low = 0
    for block in network.blocks:
        sizes = [np.abs(v) for v in (*map(_entries, block.weights.values()), block.bias)]
        most, least = 1.0, 1.0
        for size in sizes:
            if size.size:
                most = max(most, float(size.max()))
                smallest = float(size.min()) or float(size.min(initial=1.0, where=size > 0))
                least = min(least, smallest)
        high += math.frexp(most)[1]
        low -= math.frexp(least)[1]
    return max(high, low) > WIDE


def _is_uneven(block: Block) -> bool:
    """Whether the largest numbers of the rows that have any are far apart."""
    most = np.abs(block.bias)
    for matrix in block.weights.values():
        largest = abs(matrix).max(axis=1)
        most = np.maximum(most, largest.toarray() if sp.issparse(matrix) else largest)
    most = most[most > 0]
    return bool(most.max(initial=0.0) > UNEVEN * most.min(initial=np.inf))


def _entries(matrix: Matrix) -> FloatArray:
    return np.asarray(matrix.data if sp.issparse(matrix) else matrix)


def _rows_and_columns(matrix: Matrix) -> tuple[Exponents, Exponents, FloatArray]:
    """Return where the non-zeros of a matrix are, and what they are."""
    entries = sp.coo_array(matrix)
    held = entries.data != 0
    rows, columns = entries.coords
    return rows[held], columns[held], entries.data[held]


def _size_of_rows(block: Block, shifts: dict[str, Exponents]) -> Exponents | None:
    """Return by which powers of two the rows are divided; None if doubles do not hold that."""
    far = 4 * NORMAL  # further than any sum of exponents of a row that is levelled
    most = np.full(block.size, -far, dtype=np.int_)
    least = np.full(block.size, far, dtype=np.int_)
    parts = [(*_rows_and_columns(w), shifts[name]) for name, w in block.weights.items()]
    for rows, columns, entries, shift in parts:
        sizes = np.frexp(entries)[1] + shift[columns]
        np.maximum.at(most, rows, sizes)
        np.minimum.at(least, rows, sizes)
    biased = block.bias != 0
    sizes = np.frexp(block.bias[biased])[1]
    most[biased] = np.maximum(most[biased], sizes)
    least[biased] = np.minimum(least[biased], sizes)
    empty = most < least
    most[empty] = least[empty] = 0
    own = np.minimum(most, least + NORMAL)
    return own if (most - own <= NORMAL).all() else None


def _shifted(matrix: Matrix, read: Exponents, own: Exponents) -> Matrix:
    """Multiply columns and divide rows by powers of two."""
    if not sp.issparse(matrix):
        return np.ldexp(matrix, read - own[:, None])
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    entries = np.ldexp(matrix.data, read[matrix.indices] - own[rows])
    return sp.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)
