"""Rows of a store as cases and results; what does not read as one is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jensen.batch.case import Case, Row, RowStatus
from jensen.domains.domain import domain_from_json
from jensen.verdicts.options import Options

_NUMBERS = ("lower", "upper", "seconds")
_WORDS = ("digest", "error", "finished")


class DamagedRowError(ValueError):
    """A row that no version of this package has written."""


def stored_row(record: Any) -> Row:
    """Return a result from the JSON that is stored of it.

    Raises
    ------
    DamagedRowError
    """
    try:
        values = json.loads(record)
        fine = all(isinstance(values[name], int | float | None) for name in _NUMBERS)
        fine = fine and all(isinstance(values[name], str) for name in _WORDS)
        row = Row.from_json(values)
        fine = fine and isinstance(row.edition, int)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedRowError(_line(error)) from None
    if not fine:
        raise DamagedRowError("a number or a word is of another type")
    return row


def stored_case(
    name: Any, path: Any, expected: Any, reason: Any, domain: Any, output: Any, options: Any
) -> Case:
    """Return a case from the columns of a store.

    Raises
    ------
    DamagedRowError
    """
    try:
        if not isinstance(name, str):
            raise TypeError("its name is no text")
        return Case(
            Path(path),
            name,
            domain_from_json(json.loads(domain)),
            Options(**json.loads(options)),
            output,
            None if expected is None else RowStatus(expected),
            str(reason),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedRowError(_line(error)) from None


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
