"""Results as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from jensen.batch.case import Case, Row, canonical
from jensen.outputs import Extra, check_output, replacing, write_whole
from jensen.text import csv_text, json_ready

COLUMNS = (
    "model", "status", "expected", "domain", "output", "lower", "upper", "violation", "tolerance",
    "seconds", "engine", "nodes", "lps", "inputs", "relus", "parameters", "summary", "note",
    "error", "certificate", "certificate_bytes", "digest", "finished",
)  # fmt: skip
ENDINGS = (".csv", ".jsonl", ".parquet")
EXTRAS = {".parquet": Extra(("pyarrow",), "Parquet needs {missing}: pip install 'jensen[parquet]'")}
_TYPES = {item.name: str(item.type) for item in fields(Row)} | {
    "output": "int",
    "violation": "float",
}


def write_export(results: Iterable[tuple[Case, Row]], path: Path) -> None:
    """Write results; the ending decides between ``.csv``, ``.jsonl`` and ``.parquet``.

    Raises
    ------
    OutputError
        For another ending, or where the file cannot be written.
    MissingExtraError
        For Parquet without pyarrow.
    """
    check_export(path)
    ending = path.suffix.lower()
    if ending == ".parquet":
        _write_parquet(results, path)
    elif ending == ".csv":
        write_whole(path, to_csv(results))
    else:
        write_whole(path, "".join(json.dumps(record(case, row)) + "\n" for case, row in results))


def check_export(path: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse an export that could not be written, before the results are there.

    Parameters
    ----------
    path : Path
    inputs : iterable of str or Path
        Files that it may not take the place of.

    Raises
    ------
    OutputError
        For another ending, or a place that cannot be written to.
    MissingExtraError
        For Parquet without pyarrow.
    """
    check_output(path, endings=ENDINGS, inputs=inputs, extras=EXTRAS)


def record(case: Case, row: Row) -> dict[str, Any]:
    """Return everything about a row, JSON-ready."""
    everything: dict[str, Any] = json_ready(_everything(case, row))
    return everything


def _everything(case: Case, row: Row) -> dict[str, Any]:
    return {
        "model": case.name,
        "domain": case.domain.to_json(),
        "output": case.output,
        "expected": None if case.expected is None else str(case.expected),
        "reason": case.reason,
        **row.to_json(),
    }


def flat(case: Case, row: Row) -> dict[str, Any]:
    """Return what fits into the columns of a table: :data:`COLUMNS`."""
    pair = row.counterexample or {}
    whole = record(case, row) | {
        "status": str(row.status),
        "domain": canonical(case.domain.to_json()),
        "violation": pair.get("violation_float"),
    }
    return {column: whole[column] for column in COLUMNS}


def to_csv(results: Iterable[tuple[Case, Row]]) -> str:
    """Return the flat columns as CSV; an empty field stands for nothing."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for case, row in results:
        fields = flat(case, row)
        writer.writerow({k: csv_text(v) if isinstance(v, str) else v for k, v in fields.items()})
    return stream.getvalue()


def _write_parquet(results: Iterable[tuple[Case, Row]], path: Path) -> None:
    """Write the flat columns with their types, the same ones whatever the rows hold."""
    import pyarrow as pa  # noqa: PLC0415  (an extra, looked for by check_export)
    from pyarrow import parquet  # noqa: PLC0415

    def kind(column: str) -> Any:
        declared = _TYPES.get(column, "str")
        if declared.startswith("float"):
            return pa.float64()
        return pa.int64() if declared.startswith("int") else pa.string()

    schema = pa.schema([(column, kind(column)) for column in COLUMNS])
    rows = [flat(case, row) for case, row in results]
    with replacing(path) as stream:
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), stream)
