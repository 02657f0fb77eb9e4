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

from jensen.arithmetic.doubles import exact_doubles
from jensen.arithmetic.exact import Matrix
from jensen.errors import ModelFileError, NetworkError
from jensen.graphs.convolution import Convolution
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.node import GraphNode
from jensen.graphs.npz_writer import GRAPH_FORMAT
from jensen.network.npz_writer import CSR_PARTS
from jensen.network.npz_writer import NPZ_FORMAT as FORMAT
from jensen.network.relu_network import Activation, Block, ReluNetwork

MAX_BYTES = 2**32
MAX_INPUTS = 2**26  # a header of one line may claim any number


def load_npz(path: Path) -> ReluNetwork | FunctionGraph:
    """Read a network.

    Raises
    ------
    ModelFileError
        If the file is not an archive of this format, or larger than what is supported.
    NetworkError
        If the network in it is no valid ReLU DAG or function graph.
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


def _network(archive: zipfile.ZipFile) -> ReluNetwork | FunctionGraph:
    if "header.npy" not in archive.namelist():
        raise ValueError(
            "no array 'header'; jensen.ReluNetwork.from_layers takes arrays of weights and "
            "biases, and its save() writes this format"
        )
    header = json.loads(str(_array(archive, "header")))
    found = header.get("format")
    if found == GRAPH_FORMAT:
        return _graph(archive, header)
    if found != FORMAT:
        raise ValueError(f"format {found!r}, supported are {FORMAT!r} and {GRAPH_FORMAT!r}")
    sizes = {"input": _input_size(header)}
    blocks = []
    for i, entry in enumerate(header["blocks"]):
        size = sizes[entry["name"]] = int(entry["size"])
        weights: dict[str, Matrix] = {}
        for j, edge in enumerate(entry["inputs"]):
            shape = (size, sizes[edge["from"]])
            weights[edge["from"]] = _matrix(archive, f"w{i}_{j}", edge, shape)
        bias = _array(archive, f"b{i}")
        blocks.append(Block(entry["name"], weights, bias, Activation(entry["activation"])))
    return ReluNetwork(
        header["input_size"],
        blocks,
        input_shape=header["input_shape"],
        output_shape=header["output_shape"],
    )


def _input_size(header: dict[str, Any]) -> int:
    size = int(header["input_size"])
    if size > MAX_INPUTS:
        raise ValueError(f"{size} inputs; at most {MAX_INPUTS} are supported")
    return size


def _matrix(
    archive: zipfile.ZipFile, name: str, edge: dict[str, Any], shape: tuple[int, int]
) -> Matrix:
    if edge["storage"] != "csr":
        return _array(archive, name)
    parts = tuple(_array(archive, f"{name}_{part}") for part in CSR_PARTS)
    matrix = sp.csr_array(parts, shape=shape)
    matrix.check_format(full_check=True)  # else positions may lie outside
    return matrix


def _graph(archive: zipfile.ZipFile, header: dict[str, Any]) -> FunctionGraph:
    sizes = {"input": _input_size(header)}
    nodes = []
    for i, entry in enumerate(header["nodes"]):
        rows, group = int(entry["rows"]), int(entry["group"])
        if group < 1 or rows % group:
            raise ValueError(f"node {entry['name']!r}: {rows} rows in groups of {group}")
        weights = {}
        for j, edge in enumerate(entry["inputs"]):
            name, shape = f"w{i}_{j}", (rows, sizes[edge["from"]])
            filters = edge["storage"] == "filters"
            read = _convolution if filters else _matrix
            weights[edge["from"]] = read(archive, name, edge, shape)
        parameter = float.fromhex(entry["parameter"])
        bias = _array(archive, f"b{i}")
        nodes.append(GraphNode(entry["name"], weights, bias, entry["function"], parameter, group))
        sizes[entry["name"]] = rows // group
    return FunctionGraph(
        header["input_size"],
        nodes,
        input_shape=header["input_shape"],
        output_shape=header["output_shape"],
    )


def _convolution(
    archive: zipfile.ZipFile, name: str, edge: dict[str, Any], shape: tuple[int, int]
) -> Convolution:
    filters, windows = (_array(archive, f"{name}_{part}") for part in ("filters", "windows"))
    groups, positions = int(edge["groups"]), int(edge["positions"])
    fits = filters.ndim == 3 and windows.ndim == 2 and windows.dtype.kind == "i"
    fits = fits and windows.shape[1:] == filters.shape[2:] and groups > 0 and positions > 0
    if not fits or len(filters) % groups:
        raise ValueError(f"filters {filters.shape}, windows {windows.shape} in {groups} groups")
    if windows.size and not 0 <= int(windows.min()) <= int(windows.max()) <= positions:
        raise ValueError(f"windows of {name!r} reach beyond {positions} positions")
    found = Convolution(exact_doubles(filters), windows, positions, groups)
    if found.shape != shape:
        raise ValueError(f"a convolution of shape {found.shape}, needed is {shape}")
    return found
