"""Reading the ONNX container: protobuf, local functions, number of operators."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from jensen.errors import ModelFileError
from jensen.loaders.onnx.external import load_external_data
from jensen.text import printable

OLDEST_OPSET = 7
_STANDARD = {"", "ai.onnx", "ai.onnx.ml"}
# protobuf messages end at 2 GiB
MAX_BYTES = 2**31
MAX_NODES = 2**17


def read_model(path: Path) -> Any:
    """Parse a file and load the weights that it keeps in files beside it.

    Raises
    ------
    ModelFileError
        If it is no ONNX file, or external data are missing or too short.
    """
    try:
        if (size := path.stat().st_size) >= MAX_BYTES:
            raise ModelFileError(f"{path}: {size} bytes; ONNX files end at 2 GiB")
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from None
    except DecodeError:
        raise ModelFileError(f"{path}: damaged, or not an ONNX file") from None
    if not model.graph.output:
        raise ModelFileError(f"{path}: not an ONNX model, it holds no graph with an output")
    if model.functions:
        model = _inlined(model, path)
    if len(model.graph.node) > MAX_NODES:
        raise ModelFileError(f"{path}: {len(model.graph.node)} nodes; at most {MAX_NODES}")
    load_external_data(model.graph, path)
    return model


def _inlined(model: Any, path: Path) -> Any:
    """Replace the calls of local functions by their bodies."""
    for function in model.functions:
        if function.domain in _STANDARD:
            name = f"{function.domain or 'ai.onnx'}.{function.name}"
            raise ModelFileError(
                f"{path}: its function {printable(name)} has the domain of standard operators, and "
                "runtimes disagree on which of the two to call; give it a domain of its own"
            )
    _check_expansion(model, path)
    _give_defaults(model, path)
    try:
        inlined = onnx.inliner.inline_local_functions(model)
    except Exception as error:  # the inliner raises C++ errors of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: its functions cannot be inlined ({reason})") from None
    _check_none_left(inlined, path)
    return inlined


def _check_none_left(model: Any, path: Path) -> None:
    """Refuse calls that were not inlined: their operators are those of another version."""
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    called = {_callee(node) for node in _all_nodes(model.graph.node)}
    for function in model.functions:
        if (function.domain, function.name, _overload(function)) not in called:
            continue
        for entry in function.opset_import:
            domain = entry.domain or "ai.onnx"
            version = versions.get(domain, entry.version)
            if entry.version != version:
                name = printable(f"{function.domain}.{function.name}")
                raise ModelFileError(
                    f"{path}: its function {name} asks for opset {entry.version} of "
                    f"{printable(domain)}, the model for {version}; supported "
                    "is one for all: export it with its functions inlined"
                )


def _give_defaults(model: Any, path: Path) -> None:
    """Write the default values of functions' attributes into calls, as the inliner drops them."""
    defaults = {
        (function.domain, function.name, _overload(function)): function.attribute_proto
        for function in model.functions
        if len(getattr(function, "attribute_proto", ()))  # since version 9 of the format
    }
    if not defaults:
        return
    bodies = [
        (model.graph.node, frozenset()),
        *((f.node, frozenset(f.attribute)) for f in model.functions),
    ]
    for nodes, without_default in bodies:
        for node in _all_nodes(nodes):
            given = {attribute.name: attribute.ref_attr_name for attribute in node.attribute}
            for attribute in defaults.get(_callee(node), ()):
                if attribute.name not in given:
                    node.attribute.append(attribute)
                elif given[attribute.name] in without_default:
                    raise ModelFileError(
                        f"{path}: a call of its function {printable(node.op_type)} passes on the "
                        f"attribute {printable(given[attribute.name])!r}, which may be missing; "
                        "export it with its functions inlined"
                    )


def _check_expansion(model: Any, path: Path) -> None:
    """Refuse functions that call each other until the graph fills the memory."""
    calls = {
        (function.domain, function.name, _overload(function)): [
            _callee(node) for node in _all_nodes(function.node)
        ]
        for function in model.functions
    }
    try:
        order = list(TopologicalSorter(calls).static_order())
    except CycleError:
        raise ModelFileError(f"{path}: a function in it calls itself") from None
    sizes: dict[tuple[str, str, str], int] = {}
    for key in order:
        # beyond the limit the exact count does not matter, and would get long
        total = sum(sizes.get(call, 1) for call in calls.get(key, ()))
        sizes[key] = min(max(1, total), MAX_NODES + 1)
    used = sum(sizes.get(_callee(node), 1) for node in _all_nodes(model.graph.node))
    if used > MAX_NODES:
        raise ModelFileError(f"{path}: more than {MAX_NODES} nodes after inlining its functions")


def _callee(node: Any) -> tuple[str, str, str]:
    return node.domain, node.op_type, _overload(node)


def _overload(proto: Any) -> str:
    return str(getattr(proto, "overload", ""))  # younger than the oldest onnx supported


def _all_nodes(nodes: Any) -> Iterator[Any]:
    """Yield nodes and those of their subgraphs."""
    waiting = [nodes]
    while waiting:
        for node in waiting.pop():
            yield node
            for attribute in node.attribute:
                waiting.extend(graph.node for graph in (attribute.g, *attribute.graphs))


def opset_of(model: Any, path: Path) -> int:
    """Return the version of the default operator set that a model asks for.

    Raises
    ------
    ModelFileError
        If there is none, or it is older or newer than what is supported.
    """
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(set(versions)) > 1:
        named = " and ".join(map(str, versions))
        raise ModelFileError(f"{path}: it asks for the opsets {named}; one of them is needed")
    newest = onnx.defs.onnx_opset_version()
    found = max(versions, default=0)
    if not OLDEST_OPSET <= found <= newest:
        what = f"opset {found}" if versions else "no opset"
        raise ModelFileError(f"{path}: {what}; supported are {OLDEST_OPSET} to {newest}")
    return int(found)
