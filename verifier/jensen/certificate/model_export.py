"""The weights of a network as the checker of certificates reads them (docs/FORMAT.md)."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.certificate.checker import MODEL_FORMAT
from jensen.errors import CertificateError
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import write_whole


def export_json(network: ReluNetwork, path: str | Path) -> None:
    """Write a network for the checker: the same bytes for the same network.

    Parameters
    ----------
    network : ReluNetwork
    path : str or Path
        Must end in ``.json``.

    Raises
    ------
    CertificateError
        For another ending.
    """
    file = Path(path)
    if file.suffix != ".json":
        raise CertificateError(f"{file}: the name of an export must end in .json")
    write_whole(file, export_bytes(network))


def export_bytes(network: ReluNetwork) -> bytes:
    """Return a network as JSON, doubles as exact hexadecimal strings."""
    blocks = [
        {
            "name": block.name,
            "relu": block.is_relu,
            "bias": [float(b).hex() for b in block.bias + 0.0],  # no -0
            "weights": {source: _rows(weight) for source, weight in block.weights.items()},
        }
        for block in network.blocks
    ]
    head = {"format": MODEL_FORMAT, "inputs": network.input_size, "blocks": blocks}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n"


def _rows(weight: Matrix) -> list[list[Any]]:
    """Return the non-zeros of every row: column, weight, column, weight, ..."""
    csr = sp.csr_array(weight, copy=True)  # sorting needs writable arrays
    csr.sum_duplicates()
    csr.eliminate_zeros()
    rows = []
    for start, end in pairwise(csr.indptr.tolist()):
        row: list[Any] = [None] * (2 * (end - start))
        row[::2] = csr.indices[start:end].tolist()
        row[1::2] = [w.hex() for w in csr.data[start:end].tolist()]
        rows.append(row)
    return rows
