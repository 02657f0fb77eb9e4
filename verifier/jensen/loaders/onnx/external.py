"""Weights that an ONNX file keeps in other files: read from its own folder only."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from jensen.errors import ModelFileError
from jensen.loaders.symbolic import MAX_ENTRIES

MAX_BYTES = 2**32  # of all external weights


def load_external_data(graph: Any, path: Path) -> None:
    """Read the external weights of a graph into its tensors.

    Raises
    ------
    ModelFileError
        If one is missing, too short, too large, or outside the model's folder.
    """
    total = 0
    for tensor in _tensors(graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        try:
            total += _size(tensor)
            if total > MAX_BYTES:  # many tensors may name the same file
                raise ValueError(f"{total} bytes together; at most {MAX_BYTES} are supported")
            tensor.raw_data = _bytes(tensor, path.parent)
        except OSError as error:
            reason = error.strerror or error
            raise ModelFileError(f"{path}: external data of {tensor.name!r}: {reason}") from None
        except ValueError as error:
            raise ModelFileError(f"{path}: external data of {tensor.name!r}: {error}") from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(graph: Any) -> list[Any]:
    stored = list(graph.initializer)
    for node in graph.node:
        stored.extend(a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR)
    return stored


def _bytes(tensor: Any, folder: Path) -> bytes:
    # protobuf returns bytes where a string is no valid UTF-8
    entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    file = _inside(entries.get("location", ""), folder)
    needed = _size(tensor)
    offset = _number(entries.get("offset") or "0")
    length = _number(entries.get("length") or str(needed))
    if length != needed:
        raise ValueError(f"{length} bytes for a tensor of {needed}")
    with file.open("rb") as stream:
        stream.seek(offset)
        content = stream.read(length)
    if len(content) != length:
        raise ValueError(f"{file.name!r} ends too early")
    return content


def _inside(location: str, folder: Path) -> Path:
    """Return where a location points to; links may not lead out of the folder either."""
    root = folder.resolve()
    try:
        file = (root / location).resolve()
    except (ValueError, RuntimeError):  # a null character, or links that go in circles
        raise ValueError(f"{location[:100]!r} is no file name") from None
    if not location or Path(location).is_absolute() or not file.is_relative_to(root):
        raise ValueError(f"{location[:100]!r} is not in the folder of the model")
    if file.exists() and not file.is_file():
        raise ValueError(f"{location[:100]!r} is not a file")
    return file


def _size(tensor: Any) -> int:
    """Return the bytes that a tensor needs, which is checked before they are read."""
    count = prod(int(size) for size in tensor.dims)
    try:
        width = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except KeyError:
        raise ValueError(f"data type {tensor.data_type} is unknown") from None
    if min(tensor.dims, default=1) < 0 or count > MAX_ENTRIES:
        raise ValueError(f"shape {tuple(tensor.dims)}; at most {MAX_ENTRIES} numbers are supported")
    return count * width


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise ValueError(f"{text[:20]!r} where a whole number is needed")
    return int(text)
