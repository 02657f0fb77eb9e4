"""Domains written down in a JSON or TOML file (docs/domain-format.md)."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from jensen.arithmetic.doubles import double_of_text
from jensen.domains.domain import Domain, domain_from_json
from jensen.errors import DomainError
from jensen.outputs import path_of

SUPPORTED = (".json", ".toml")
_LIMIT = 64 * 2**20


def load_domain(path: str | Path) -> Domain:
    r"""Read a domain; the ending decides between JSON and TOML.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Domain

    Raises
    ------
    DomainError
        If the file cannot be read or holds no domain; the message names the file.
    OptionError
        If ``path`` is no name of a file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "half.toml")
    ...     _ = file.write_text('type = "polyhedron"\nA = [[1.0, 0.0]]\nb = [0.0]\n')
    ...     print(load_domain(file))
    polyhedron of 1 row
    """
    file = path_of(path)
    data = read_table(file)
    try:
        return domain_from_json(data)
    except DomainError as error:
        raise DomainError(f"{file}: {error}") from None


def read_table(file: Path) -> Any:
    """Return the content of a JSON or TOML file.

    Raises
    ------
    DomainError
        If the file is missing, too large, or not what its ending says.
    """
    suffix = file.suffix.lower()
    if suffix not in SUPPORTED:
        raise DomainError(
            f"{file}: a domain file ends in {' or '.join(SUPPORTED)}, found {suffix or 'no ending'}"
        )
    try:
        if file.stat().st_size > _LIMIT:
            raise DomainError(f"{file}: larger than {_LIMIT >> 20} MiB")
        text = file.read_text(encoding="utf-8-sig")
        if suffix == ".json":
            return json.loads(text, parse_float=double_of_text, object_pairs_hook=_distinct)
        return tomllib.loads(text, parse_float=double_of_text)
    except OSError as error:
        raise DomainError(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DomainError(f"{file}: not {suffix[1:].upper()} ({error})") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a table as TOML takes it, with each key once; of two, JSON would take the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {max(names, key=names.count)!r} is given twice")
    return table
