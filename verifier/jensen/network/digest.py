"""The fingerprint of a network: SHA-256 of its exact function description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.network.block import Block

_ENTRY = np.dtype([("row", "<u8"), ("column", "<u8"), ("value", "<f8")])
_ROWS_AT_ONCE = 2**12


def network_digest(input_size: int, blocks: Sequence[Block]) -> str:
    """Return the digest of a network (docs/npz-format.md).

    Parameters
    ----------
    input_size : int
    blocks : sequence of Block
        In topological order.
    """
    sha = hashlib.sha256(b"jensen-network/1\n")
    sha.update(f"{input_size}\n".encode())
    for block in blocks:
        head = [block.name, str(block.activation), block.size, list(block.weights)]
        sha.update(json.dumps(head).encode() + b"\n")
        sha.update((block.bias + 0.0).astype("<f8").tobytes())
        for weight in block.weights.values():
            stored = weight.data if sp.issparse(weight) else weight
            sha.update(int(np.count_nonzero(stored)).to_bytes(8, "little"))
            for part in entries(weight):
                sha.update(part)
    return sha.hexdigest()


def entries(weight: Matrix) -> Iterator[bytes]:
    """Yield (row, column, value) of the non-zeros in row-major order, little-endian."""
    for start in range(0, weight.shape[0], _ROWS_AT_ONCE):
        part = sp.csr_array(weight[start : start + _ROWS_AT_ONCE])
        part.sort_indices()
        rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        keep = part.data != 0
        table = np.empty(int(keep.sum()), dtype=_ENTRY)
        table["row"] = rows[keep] + start
        table["column"] = part.indices[keep]
        table["value"] = part.data[keep]
        yield table.tobytes()
