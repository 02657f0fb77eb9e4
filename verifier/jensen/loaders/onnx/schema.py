"""What an ONNX operator's definition allows a node to have."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import onnx

from jensen.loaders.symbolic import LoweringError


@lru_cache(maxsize=512)
def _schema(
    operator: str, opset: int, domain: str
) -> tuple[frozenset[str], frozenset[str], int, int] | None:
    try:
        schema = onnx.defs.get_schema(operator, opset, domain)
    except onnx.defs.SchemaError:
        return None
    attributes = schema.attributes
    required = frozenset(name for name, entry in attributes.items() if entry.required)
    return frozenset(attributes), required, schema.min_input, schema.max_input


def check_schema(proto: Any, opset: int) -> None:
    """Refuse what the operator's definition does not know: it may change the meaning."""
    of_default = proto.domain in ("", "ai.onnx")
    schema = _schema(proto.op_type, opset if of_default else 1, "" if of_default else proto.domain)
    if schema is None:
        raise LoweringError(f"opset {opset} has no such operator")
    known, required, least, most = schema
    given = {attribute.name for attribute in proto.attribute}
    if len(given) < len(proto.attribute):
        names = [attribute.name for attribute in proto.attribute]
        raise LoweringError(f"attribute {max(names, key=names.count)!r} is given twice")
    if given - known:
        raise LoweringError(f"opset {opset} knows no attribute {sorted(given - known)[0]!r}")
    if required - given:
        raise LoweringError(f"attribute {sorted(required - given)[0]!r} is missing")
    if not least <= len(proto.input) <= most:
        raise LoweringError(f"{len(proto.input)} inputs; opset {opset} allows {least} to {most}")
