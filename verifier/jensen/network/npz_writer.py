"""Writing the package's own ``.npz`` format (docs/npz-format.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.errors import ModelFileError
from jensen.network.block import Block
from jensen.outputs import replacing

NPZ_FORMAT = "jensen-network/1"
CSR_PARTS = ("data", "indices", "indptr")


def write_npz(
    path: Path,
    blocks: Sequence[Block],
    input_shape: Sequence[int],
    output_shape: Sequence[int],
) -> None:
    """Write a network; the file is the same for the same network.

    Parameters
    ----------
    path : Path
        Must end in ``.npz``.
    blocks : sequence of Block
        In topological order.
    input_shape, output_shape : sequences of int
        As :class:`~jensen.network.relu_network.ReluNetwork` keeps them.
    """
    arrays: dict[str, Any] = {}
    structure: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        edges = []
        arrays[f"b{i}"] = block.bias
        for j, (source, weight) in enumerate(block.weights.items()):
            storage, parts = stored_matrix(weight, f"w{i}_{j}")
            edges.append({"from": source, "storage": storage})
            arrays |= parts
        structure.append(
            {
                "name": block.name,
                "activation": str(block.activation),
                "size": block.size,
                "inputs": edges,
            }
        )
    header = {
        "format": NPZ_FORMAT,
        "input_size": prod(input_shape),
        "input_shape": list(input_shape),
        "output_shape": list(output_shape),
        "blocks": structure,
    }
    write_archive(path, header, arrays)


def stored_matrix(weight: Matrix, name: str) -> tuple[str, dict[str, Any]]:
    """Return how a matrix is stored, and its arrays."""
    if not sp.issparse(weight):
        return "dense", {name: weight}
    arrays = {f"{name}_{part}": getattr(weight, part) for part in CSR_PARTS}
    return "csr", arrays | {
        f"{name}_{part}": arrays[f"{name}_{part}"].astype(np.int64) for part in CSR_PARTS[1:]
    }


def write_archive(path: Path, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write arrays under a header of JSON; never with pickle."""
    if path.suffix.lower() != ".npz":
        raise ModelFileError(
            f"{path}: the file name must end in .npz (jensen convert makes .onnx of it)"
        )
    with replacing(path) as stream:
        np.savez_compressed(stream, **arrays, header=np.array(json.dumps(header)))
