"""From a folder, a manifest or a list of files to cases (docs/manifest.md)."""

from __future__ import annotations

import csv
import io
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jensen.arithmetic.doubles import double_of_text
from jensen.batch.case import Case, RowStatus
from jensen.batch.networks import expanded
from jensen.domains.domain import Box, Domain, Everywhere, domain_from_json
from jensen.domains.domain_file import SUPPORTED as DOMAIN_FILES
from jensen.domains.domain_file import load_domain
from jensen.errors import JensenError, ModelFileError, OptionError
from jensen.loaders import ELSEWHERE, SUPPORTED
from jensen.outputs import path_of
from jensen.prover.question import check_domain, merged_options
from jensen.text import own_name, printable
from jensen.verdicts.options import Options

NAMES = ("manifest.toml", "manifest.csv")
ENDINGS = (".toml", ".csv")
_TRUE = ("true", "yes", "1")
_FALSE = ("false", "no", "0")
KEYS = (
    "file",
    "domain",
    "expected",
    "output",
    "reason",
    "origin",
    "concave",
    "inputs",
    "tolerance",
)


def find_cases(
    targets: Sequence[str | Path],
    *,
    manifests: Sequence[str | Path] = (),
    domain: Domain | None = None,
    options: Options | None = None,
    output: int | None = None,
    recursive: bool = False,
    passed_over: list[Path] | None = None,
) -> list[Case]:
    """Return the cases in folders, manifests and model files.

    A folder with a manifest is what its manifest says; any other folder is every file
    in it whose name has a supported ending, in order of names. Whatever carries such a
    name (a folder, a dangling link) becomes a case, so that it is reported, not skipped.

    Parameters
    ----------
    targets : sequence of path
    manifests : sequence of path
        Manifests by any name; one that is called :data:`NAMES` may be among the targets, too.
    domain : Domain, optional
        For models without a manifest; overrides the domains of a manifest where given
        (the expected verdicts are then dropped: they speak of another domain).
    options : Options, optional
    output : int, optional
    recursive : bool
        Look into folders below; links to folders are not followed.
    passed_over : list of Path, optional
        Gets the files in folders that are no models (:func:`told`).

    Returns
    -------
    list of Case

    Raises
    ------
    ModelFileError
        If a target does not exist, or a manifest is damaged.
    OptionError
        If no list of names was given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.npz").write_bytes(b""), Path(folder, "notes.txt").write_text("")
    ...     [Path(case.name).name for case in find_cases([folder])]
    ['a.npz']
    """
    base = merged_options(options, {})
    if domain is not None:
        check_domain(domain)
    cases: list[Case] = []
    others = [] if passed_over is None else passed_over
    for target in _paths(targets):
        if target.name in NAMES and target.is_file():
            cases += _from_manifest(target, domain, base, output)
        elif target.is_dir() and target.suffix.lower() not in SUPPORTED:
            cases += _from_folder(target, domain, base, output, recursive, others)
        elif os.path.lexists(target):
            cases += _cases(target, domain or Everywhere(), base, output)
        else:
            raise ModelFileError(f"{target}: no such file or folder")
    for manifest in _paths(manifests):
        if manifest.suffix.lower() not in ENDINGS:
            raise ModelFileError(f"{manifest}: a manifest ends in {' or '.join(ENDINGS)}")
        cases += _from_manifest(manifest, domain, base, output)
    return cases


def _paths(names: Any) -> list[Path]:
    if isinstance(names, str | os.PathLike) or not isinstance(names, Iterable):
        found = printable(f"{names!r:.40}")
        raise OptionError(f"{found} where a list of files and folders is needed: [{found}]")
    return [path_of(name) for name in names]


def files_read(
    targets: Sequence[str | Path], cases: Iterable[Case], named: Sequence[str | Path] = ()
) -> list[Path]:
    """Return the files that a batch reads: models, manifests, the domain files of manifests.

    Parameters
    ----------
    targets : sequence of path
    cases : iterable of Case
        What :func:`find_cases` made of the targets.
    named : sequence of path
        Manifests by any name.
    """
    files = {case.path: None for case in cases}
    found = [Path(manifest) for manifest in named]
    for target in map(Path, targets):
        files[target] = None
        found += [target] if target.name in NAMES else [target / name for name in NAMES]
    for manifest in found:
        if manifest.is_file():
            files[manifest] = None
            values = (str(entry.get("domain", "")) for entry in _entries(manifest))
            domains = (value for value in values if value.endswith(DOMAIN_FILES))
            files |= dict.fromkeys(manifest.parent / value for value in domains)
    return list(files)


def _cases(path: Path, domain: Domain, options: Options, output: int | None) -> list[Case]:
    return expanded(Case(path, own_name(path), domain, options, output))


def _from_folder(
    folder: Path,
    domain: Domain | None,
    options: Options,
    output: int | None,
    recursive: bool,
    passed_over: list[Path],
) -> list[Case]:
    for name in NAMES:
        if (folder / name).is_file():
            return _from_manifest(folder / name, domain, options, output)
    found, closed = _listed(folder, recursive)
    models = [path for path in found if path.suffix.lower() in SUPPORTED]
    # a folder that cannot be listed is a case, so that it is reported, not skipped
    models += [Path(os.fsdecode(error.filename)) for error in closed]
    if not models:
        others = (f"; {line}" for line in told(found)[:1])
        raise ModelFileError(f"{folder}: no model in it ({', '.join(SUPPORTED)}){''.join(others)}")
    passed_over += (path for path in found if path.suffix.lower() not in SUPPORTED)
    chosen = domain or Everywhere()
    return [case for path in models for case in _cases(path, chosen, options, output)]


def _listed(folder: Path, recursive: bool) -> tuple[list[Path], list[OSError]]:
    """Return all files of a folder, and folders named like models, and what could not be read."""
    found: list[Path] = []
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        named = [name for name in folders if Path(name).suffix.lower() in SUPPORTED]
        found += [Path(here, name) for name in [*files, *named]]
        folders[:] = sorted(set(folders) - set(named)) if recursive else []
    return sorted(found), closed


def told(found: Iterable[Path]) -> list[str]:
    """Return what to say of files passed over: a line for each kind that holds models.

    Parameters
    ----------
    found : iterable of Path

    Examples
    --------
    >>> told([Path("notes.txt"), Path("b.h5")])  # doctest: +ELLIPSIS
    ['1 .h5 file passed over: b.h5 is read by Keras only; load it there and ...']
    """
    kinds: dict[str, list[Path]] = {}
    for path in found:
        kinds.setdefault(path.suffix.lower(), []).append(path)
    return [
        f"{len(paths)} {kind} file{'s' * (len(paths) > 1)} passed over: "
        f"{printable(paths[0].name)} {ELSEWHERE[kind]}"
        for kind, paths in kinds.items()
        if kind in ELSEWHERE
    ]


def _from_manifest(
    file: Path, domain: Domain | None, options: Options, output: int | None
) -> list[Case]:
    cases = []
    for number, entry in enumerate(_entries(file), start=1):
        where = f"{file}: model {number}"
        try:
            case = _entry(file.parent, entry, options)
        except (JensenError, ValueError, TypeError) as error:
            raise ModelFileError(f"{where}: {error}") from None
        if domain is not None or output is not None:
            case = replace(case, expected=None, reason="")
            case = case if domain is None else replace(case, domain=domain)
            case = case if output is None else replace(case, output=output)
        cases += expanded(case)
    if not cases:
        raise ModelFileError(f"{file}: lists no model")
    return cases


def _entries(file: Path) -> list[Mapping[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets write a byte order mark
        if file.suffix.lower() == ".csv":
            reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
            names = [name.strip() for name in reader.fieldnames or ()]
            if twice := [name for name in names if name and names.count(name) > 1]:
                raise ValueError(f"two columns are called {twice[0]!r}")
            return [_fields(row) for row in reader]
        entries = tomllib.loads(text).get("model", [])
    except OSError as error:
        raise ModelFileError(f"{file}: {error.strerror or error}") from None
    except (ValueError, RecursionError, csv.Error) as error:
        raise ModelFileError(f"{file}: not {file.suffix[1:].upper()} ({error})") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ModelFileError(f"{file}: tables called [[model]] are needed")
    return entries


def _fields(row: Mapping[str | None, Any]) -> dict[str, str]:
    """Return what is in a line of CSV, without its blanks."""
    if None in row:
        raise ValueError(f"more fields than the header has names: {row[None]}")
    return {
        key.strip(): value.strip() for key, value in row.items() if key and value and value.strip()
    }


def _entry(folder: Path, entry: Mapping[str, Any], options: Options) -> Case:
    unknown = set(entry) - set(KEYS)
    if unknown:
        raise ModelFileError(f"unknown keys {sorted(unknown)}; known are {', '.join(KEYS)}")
    if not isinstance(entry.get("file"), str):
        raise ModelFileError("the key 'file' is missing")
    path = folder / entry["file"]
    expected = entry.get("expected")
    return Case(
        path,
        own_name(path),
        _domain(folder, entry.get("domain", "everywhere")),
        _options(entry, options),
        None if entry.get("output") is None else _number("output", entry["output"]),
        None if expected is None else _expected(expected),
        str(entry.get("reason", "")),
    )


def _expected(value: Any) -> RowStatus:
    if not isinstance(value, str) or value not in list(RowStatus):
        raise ModelFileError(f"expected = {value!r}: known are {', '.join(RowStatus)}")
    return RowStatus(value)


def _options(entry: Mapping[str, Any], options: Options) -> Options:
    changes: dict[str, Any] = {}
    if "concave" in entry:
        changes["concave"] = _truth("concave", entry["concave"])
    if "tolerance" in entry:
        changes["tolerance"] = _real("tolerance", entry["tolerance"])
    if "inputs" in entry:
        inputs = entry["inputs"]
        parts = inputs.replace(",", " ").split() if isinstance(inputs, str) else inputs
        if not isinstance(parts, list):
            raise ModelFileError(f"inputs = {parts!r}: a list such as [0, 2] is needed")
        changes["inputs"] = tuple(_number("inputs", part) for part in parts)
    return replace(options, **changes)


def _truth(key: str, value: Any) -> bool:
    """Read a boolean of TOML, or a word for one in CSV; whatever else there is may mean either."""
    if isinstance(value, bool):
        return value
    for truth, words in ((True, _TRUE), (False, _FALSE)):
        if str(value).strip().lower() in words and isinstance(value, str | int):
            return truth
    known = ", ".join((*_TRUE, *_FALSE))
    raise ModelFileError(f"{key} = {value!r}: neither true nor false; known are {known}")


def _real(key: str, value: Any) -> float:
    """Read a number; float() would take true for 1, and 1_0 for 10."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        return double_of_text(value)
    raise ModelFileError(f"{key} = {value!r}: a number is needed")


def _number(key: str, value: Any) -> int:
    """Read a whole number; int() would cut off digits, and take true for 1."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        return int(value)
    raise ModelFileError(f"{key} = {value!r}: a whole number >= 0 is needed")


def _domain(folder: Path, value: Any) -> Domain:
    """Read ``everywhere``, ``box LO HI``, a file name, or a table as in a domain file."""
    if isinstance(value, dict):
        return domain_from_json(value)
    words = str(value).split()
    if words == ["everywhere"]:
        return Everywhere()
    if len(words) == 3 and words[0] == "box":
        return Box(_side(words[1]), _side(words[2]))
    return load_domain(folder / str(value))


def _side(text: str) -> float | list[float]:
    """Read a side of a box as on the command line: a number for all inputs, or one per input."""
    numbers = [double_of_text(part) for part in text.split(",")]
    return numbers if "," in text else numbers[0]
