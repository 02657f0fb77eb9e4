"""The package's own ``.npz`` format (docs/npz-format.md), read without pickle."""

from __future__ import annotations

import json
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.errors import ModelFileError, NetworkError
from jensen.network.npz_writer import NPZ_FORMAT as FORMAT
from jensen.network.relu_network import Activation, Block, ReluNetwork

MAX_BYTES = 2**32
_CSR = ("data", "indices", "indptr")


def load_npz(path: Path) -> ReluNetwork:
    """Read a network.

    Raises
    ------
    ModelFileError
        If the file is not an archive of this format, or larger than what is supported.
    NetworkError
        If the network in it is not a valid ReLU DAG.
    """
    try:
        # an open file: asked about a path, zipfile calls what it may not read no archive
        with path.open("rb") as stream:
            is_archive = zipfile.is_zipfile(stream)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    if not is_archive:
        raise ModelFileError(f"{path}: not a {FORMAT} archive (no zip archive)")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_size(archive)
            return _network(archive)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}") from None
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except Exception as error:  # damaged archives make their readers raise almost anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelFileError(f"{path}: not a {FORMAT} archive ({reason})") from None


def _check_size(archive: zipfile.ZipFile) -> None:
    total = sum(member.file_size for member in archive.infolist())
    if total > MAX_BYTES:
        raise ValueError(f"{total} bytes when unpacked; at most {MAX_BYTES} are supported")


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read an array; its shape is compared with what is stored before memory is taken."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"array {name!r} has the format {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize > member.file_size:
        raise ValueError(f"array {name!r} does not fill its shape {shape}")
    with archive.open(member) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _network(archive: zipfile.ZipFile) -> ReluNetwork:
    header = json.loads(str(_array(archive, "header")))
    if header.get("format") != FORMAT:
        raise ValueError(f"format {header.get('format')!r}, supported is {FORMAT!r}")
    sizes = {"input": int(header["input_size"])}
    blocks = []
    for i, entry in enumerate(header["blocks"]):
        size = sizes[entry["name"]] = int(entry["size"])
        weights: dict[str, Matrix] = {}
        for j, edge in enumerate(entry["inputs"]):
            if edge["storage"] == "csr":
                parts = tuple(_array(archive, f"w{i}_{j}_{p}") for p in _CSR)
                matrix = sp.csr_array(parts, shape=(size, sizes[edge["from"]]))
                matrix.check_format(full_check=True)  # else positions may lie outside
                weights[edge["from"]] = matrix
            else:
                weights[edge["from"]] = _array(archive, f"w{i}_{j}")
        bias = _array(archive, f"b{i}")
        blocks.append(Block(entry["name"], weights, bias, Activation(entry["activation"])))
    return ReluNetwork(
        header["input_size"],
        blocks,
        input_shape=header["input_shape"],
        output_shape=header["output_shape"],
    )
