"""The weights of a network as the checker of certificates reads them (docs/FORMAT.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.rational import fraction
from jensen.certificate.checker import MODEL_FORMAT, QUADRATIC_FORMAT, text_of
from jensen.composition.piecewise_quadratic import split
from jensen.composition.quadratic import is_quadratic
from jensen.errors import CertificateError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import write_whole
from jensen.text import printable


def export_json(network: ReluNetwork | FunctionGraph, path: str | Path) -> None:
    """Write a network for the checker: the same bytes for the same network.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    path : str or Path
        Must end in ``.json``.

    Raises
    ------
    CertificateError
        For another ending, and for a graph that the checker has no rules for.
    """
    file = Path(path)
    if file.suffix != ".json":
        raise CertificateError(f"{file}: the name of an export must end in .json")
    write_whole(file, export_bytes(network))


def export_bytes(network: ReluNetwork | FunctionGraph) -> bytes:
    """Return a network as JSON, doubles as exact hexadecimal strings.

    Raises
    ------
    CertificateError
        For a graph that is no ReLU network plus quadratic functions of the inputs.
    """
    if isinstance(network, FunctionGraph):
        parts = split(network)
        if parts is None:
            raise CertificateError(_not_exported(network))
        record = _record(parts.piecewise) | {"format": QUADRATIC_FORMAT}
        outputs = range(network.output_size)
        record["quadratic"] = [_terms(parts.polynomial(k)) for k in outputs]
    else:
        record = _record(network)
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _not_exported(graph: FunctionGraph) -> str:
    """Say which function the checker has no rules for."""
    known = {Function.IDENTITY, Function.RELU}
    others = [node for node in graph.nodes if node.function not in known]
    smooth = [node for node in others if not is_quadratic(node)]
    node = (smooth or others or [graph.output])[0]
    inside = " that is read by a ReLU, or of what is not affine" if is_quadratic(node) else ""
    return (
        "the checker of certificates knows piecewise-linear networks, to which quadratic functions "
        f"of the inputs may be added; node {printable(node.name)!r} is {node.function}{inside}"
    )


def _terms(polynomial: Mapping[tuple[int, int], Any]) -> list[list[Any]]:
    """Return ``[i, j, factor]`` with 0 for 1 and i + 1 for input i."""
    return [[i + 1, j + 1, text_of(fraction(v))] for (i, j), v in polynomial.items()]


def _record(network: ReluNetwork) -> dict[str, Any]:
    blocks = [
        {
            "name": block.name,
            "relu": block.is_relu,
            "bias": [b.hex() for b in (block.bias + 0.0).tolist()],  # no -0
            "weights": {source: _rows(weight) for source, weight in block.weights.items()},
        }
        for block in network.blocks
    ]
    return {"format": MODEL_FORMAT, "inputs": network.input_size, "blocks": blocks}


def _rows(weight: Matrix) -> list[list[Any]]:
    """Return the non-zeros of every row: column, weight, column, weight, ..."""
    if not sp.issparse(weight):
        return [
            [v for j, w in enumerate(row) if w for v in (j, w.hex())]
            for row in np.asarray(weight, dtype=float).tolist()
        ]
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
