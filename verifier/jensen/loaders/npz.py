"""The package's own ``.npz`` format (docs/npz-format.md), read without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.errors import ModelFileError, NetworkError
from jensen.exact import Matrix
from jensen.network import Activation, Block, ReluNetwork

FORMAT = "jensen-network/1"


def save_npz(network: ReluNetwork, path: Path) -> None:
    """Write a network; the file is the same for the same network.

    Parameters
    ----------
    network : ReluNetwork
    path : Path
        Must end in ``.npz``.
    """
    if path.suffix != ".npz":
        raise ModelFileError(f"{path}: the file name must end in .npz")
    arrays: dict[str, Any] = {}
    structure: list[dict[str, Any]] = []
    for i, block in enumerate(network.blocks):
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
        "format": FORMAT,
        "input_size": network.input_size,
        "input_shape": list(network.input_shape),
        "output_shape": list(network.output_shape),
        "blocks": structure,
    }
    arrays["header"] = np.array(json.dumps(header))
    np.savez_compressed(path, **arrays)


def load_npz(path: Path) -> ReluNetwork:
    """Read a network.

    Raises
    ------
    ModelFileError
        If the file is not an archive of this format.
    NetworkError
        If the network in it is not a valid ReLU DAG.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        # numpy would take it for a pickle, and advise to trust it
        raise ModelFileError(f"{path}: not a {FORMAT} archive (no zip archive)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return _network(archive)
    except (
        KeyError,
        TypeError,
        IndexError,
        json.JSONDecodeError,
        EOFError,
        zipfile.BadZipFile,
        OSError,
    ) as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise ModelFileError(f"{path}: {error.strerror}") from None
        raise ModelFileError(f"{path}: not a {FORMAT} archive ({error})") from None
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except ValueError as error:
        raise ModelFileError(f"{path}: not a {FORMAT} archive ({error})") from None


def _network(archive: Any) -> ReluNetwork:
    header = json.loads(str(archive["header"]))
    if header.get("format") != FORMAT:
        raise ValueError(f"format {header.get('format')!r}, supported is {FORMAT!r}")
    sizes = {"input": int(header["input_size"])}
    blocks = []
    for i, entry in enumerate(header["blocks"]):
        size = sizes[entry["name"]] = int(entry["size"])
        weights: dict[str, Matrix] = {}
        for j, edge in enumerate(entry["inputs"]):
            if edge["storage"] == "csr":
                parts = tuple(archive[f"w{i}_{j}_{p}"] for p in ("data", "indices", "indptr"))
                weights[edge["from"]] = sp.csr_array(parts, shape=(size, sizes[edge["from"]]))
            else:
                weights[edge["from"]] = archive[f"w{i}_{j}"]
        blocks.append(
            Block(entry["name"], weights, archive[f"b{i}"], Activation(entry["activation"]))
        )
    return ReluNetwork(
        header["input_size"],
        blocks,
        input_shape=header["input_shape"],
        output_shape=header["output_shape"],
    )
