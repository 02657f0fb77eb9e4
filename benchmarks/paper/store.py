"""Rows of an experiment in a file of JSON lines, so that an interrupted one goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def filled(
    store: Path,
    keys: Iterable[Hashable],
    key_of: Callable[[Row], Hashable],
    measure: Callable[[Any], Row],
) -> list[Row]:
    """Return the rows of a store, after those were measured and added that it lacks."""
    lines = store.read_text(encoding="utf-8").splitlines() if store.exists() else []
    rows = [json.loads(line) for line in lines if line]
    done = {key_of(row) for row in rows}
    for key in keys:
        if key in done:
            continue
        rows.append(measure(key))
        with store.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
    return rows
