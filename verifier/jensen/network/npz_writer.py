"""Writing the package's own ``.npz`` format (docs/npz-format.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.errors import ModelFileError
from jensen.network.block import Block
from jensen.outputs import replacing

NPZ_FORMAT = "jensen-network/1"


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
    if path.suffix.lower() != ".npz":
        raise ModelFileError(f"{path}: the file name must end in .npz")
    arrays: dict[str, Any] = {}
    structure: list[dict[str, Any]] = []
    for i, block in enumerate(blocks):
        edges = []
        arrays[f"b{i}"] = block.bias
        for j, (source, weight) in enumerate(block.weights.items()):
            edges.append({"from": source, "storage": "csr" if sp.issparse(weight) else "dense"})
            if sp.issparse(weight):
                arrays[f"w{i}_{j}_data"] = weight.data
                arrays[f"w{i}_{j}_indices"] = weight.indices.astype(np.int64)
                arrays[f"w{i}_{j}_indptr"] = weight.indptr.astype(np.int64)
            else:
                arrays[f"w{i}_{j}"] = weight
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
    arrays["header"] = np.array(json.dumps(header))
    with replacing(path) as stream:
        np.savez_compressed(stream, **arrays)
