"""Results as CSV or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jensen.batch.case import Case, Row, canonical
from jensen.errors import OptionError

COLUMNS = (
    "model", "status", "expected", "domain", "output", "lower", "upper", "violation", "tolerance",
    "seconds", "engine", "nodes", "lps", "inputs", "relus", "parameters", "summary", "note",
    "error", "certificate", "certificate_bytes", "digest", "finished",
)  # fmt: skip


def write_export(results: Iterable[tuple[Case, Row]], path: Path) -> None:
    """Write results; the ending decides between ``.csv`` and ``.jsonl``.

    Raises
    ------
    OptionError
        For another ending.
    """
    if path.suffix == ".csv":
        text = to_csv(results)
    elif path.suffix == ".jsonl":
        text = "".join(json.dumps(record(case, row)) + "\n" for case, row in results)
    else:
        raise OptionError(f"{path}: results are exported as .csv or .jsonl")
    path.write_text(text, encoding="utf-8")


def record(case: Case, row: Row) -> dict[str, Any]:
    """Return everything about a row, JSON-ready."""
    return {
        "model": case.name,
        "domain": case.domain.to_json(),
        "output": case.output,
        "expected": None if case.expected is None else str(case.expected),
        "reason": case.reason,
        **row.to_json(),
    }


def to_csv(results: Iterable[tuple[Case, Row]]) -> str:
    """Return the flat columns as CSV; an empty field stands for nothing."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for case, row in results:
        pair = row.counterexample or {}
        flat = record(case, row) | {
            "domain": canonical(case.domain.to_json()),
            "violation": pair.get("violation_float"),
        }
        writer.writerow(flat)
    return stream.getvalue()
