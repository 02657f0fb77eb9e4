"""One operator with its arguments, for the grid of operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx_models import NEWEST

OLDEST = 7
VEC = (1, 6)
IMG = (1, 2, 5, 6)


INTRODUCED: dict[str, int] = {}
for schema in onnx.defs.get_all_schemas_with_history():
    if schema.domain == "":
        version = INTRODUCED.get(schema.name, NEWEST)
        INTRODUCED[schema.name] = min(version, schema.since_version)


@dataclass(frozen=True)
class Case:
    """One operator with constants; ``rounds`` where the weights are no exact doubles."""

    op: str
    shape: tuple[int, ...] = VEC
    constants: tuple[Any, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    since: int = OLDEST
    until: int = NEWEST
    second: tuple[int, ...] | None = None
    first_constant: bool = False
    outputs: int = 1
    unread: int = 0
    rounds: bool = False

    @property
    def opsets(self) -> list[int]:
        """All operator sets in which the operator takes these arguments."""
        first = max(self.since, INTRODUCED[self.op], OLDEST)
        return list(range(first, min(self.until, NEWEST) + 1))


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def numbers(*shape: int) -> np.ndarray:
    """Small integers with signs, none zero."""
    size = int(np.prod(shape))
    return (np.arange(size) % 7 - 3 + (np.arange(size) % 7 > 2)).reshape(shape).astype(float)


def powers(*shape: int) -> np.ndarray:
    return 2.0 ** (np.arange(int(np.prod(shape))) % 4 - 1).reshape(shape)
