"""Reading the ONNX container: protobuf, external data, number of operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from jensen.errors import ModelFileError

OLDEST_OPSET = 7


def read_model(path: Path) -> Any:
    """Parse a file and load the weights that it keeps in files beside it.

    Raises
    ------
    ModelFileError
        If it is no ONNX file, or external data are missing or too short.
    """
    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from None
    except DecodeError:
        raise ModelFileError(f"{path}: damaged, or not an ONNX file") from None
    if not model.graph.output:
        raise ModelFileError(f"{path}: not an ONNX model, it holds no graph with an output")
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor):
            _load_external(tensor, path)
    if model.functions:
        model = _inlined(model, path)
    return model


def _tensors(graph: Any) -> list[Any]:
    stored = list(graph.initializer)
    for node in graph.node:
        stored.extend(a.t for a in node.attribute if a.type == onnx.AttributeProto.TENSOR)
    return stored


def _load_external(tensor: Any, path: Path) -> None:
    try:
        load_external_data_for_tensor(tensor, str(path.parent))
    except OSError as error:
        reason = error.strerror or error
        raise ModelFileError(f"{path}: external data of {tensor.name!r}: {reason}") from None
    except Exception as error:  # onnx checks the entry in C++ and raises its own classes
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: external data of {tensor.name!r}: {reason}") from None
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _inlined(model: Any, path: Path) -> Any:
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # C++ again
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: its functions cannot be inlined ({reason})") from None


def opset_of(model: Any, path: Path) -> int:
    """Return the version of the default operator set that a model asks for.

    Raises
    ------
    ModelFileError
        If there is none, or it is older or newer than what is supported.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    newest = onnx.defs.onnx_opset_version()
    found = max(versions, default=0)
    if not OLDEST_OPSET <= found <= newest:
        what = f"opset {found}" if versions else "no opset"
        raise ModelFileError(f"{path}: {what}; supported are {OLDEST_OPSET} to {newest}")
    return int(found)
