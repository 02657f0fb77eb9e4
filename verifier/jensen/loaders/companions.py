"""Which files belong to a model: an ONNX file may keep weights in others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_KEY = b"location"  # of the name of another file; most models do without


def files_of(model: Path) -> list[Path]:
    """Return a model's own file, and the files in which it keeps weights.

    Parameters
    ----------
    model : Path
        It need not exist.
    """
    if model.suffix.lower() != ".onnx":
        return [model]
    try:
        content = model.read_bytes() if model.is_file() else b""
    except OSError:
        return [model]
    return [model, *(model.parent / name for name in sorted(external_locations(model, content)))]


def external_locations(path: Path, content: bytes) -> set[str]:
    """Return the names of the files in which an ONNX model keeps weights.

    Parameters
    ----------
    path : Path
        Of the model; only its ending matters.
    content : bytes
        What is in it.
    """
    if path.suffix.lower() != ".onnx" or _KEY not in content:
        return set()
    import onnx  # noqa: PLC0415  (takes long to import, and such models are few)
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # noqa: PLC0415

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return set()
    return {
        str(entry.value)
        for tensor in _tensors(model)
        for entry in tensor.external_data
        if entry.key == "location" and "\0" not in entry.value
    }


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
