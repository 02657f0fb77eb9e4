"""Files that are written: looked at before the work, and whole or not there after it."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from jensen.errors import MissingExtraError, OptionError, OutputError
from jensen.text import printable, shown

# written to as they are: what lies there is no file that could be put in place of another
_STREAMS = ("/dev/", "/proc/")
_PROBE = 4096  # bytes that a disk must have room for before the work begins


@dataclass(frozen=True)
class Extra:
    """Packages that write a kind of file, and what is said where they are missing.

    Examples
    --------
    >>> Extra(("a_package_that_nobody_has",), "a page needs {missing}").check()
    Traceback (most recent call last):
    jensen.errors.MissingExtraError: a page needs a_package_that_nobody_has
    """

    packages: tuple[str, ...]
    message: str

    def check(self) -> None:
        """Raise :class:`MissingExtraError` unless all packages are installed."""
        missing = [name for name in self.packages if find_spec(name) is None]
        if missing:
            raise MissingExtraError(self.message.format(missing=" and ".join(missing)))


def path_of(given: Any) -> Path:
    """Return the name of a file or a folder as a path.

    Raises
    ------
    OptionError
        If it is no name, or an empty one: that would be the current folder.

    Examples
    --------
    >>> path_of("results.db").suffix
    '.db'
    """
    if isinstance(given, str) and not given:  # an unset variable of a script
        raise OptionError("an empty name where that of a file or a folder is needed")
    try:
        return Path(given)
    except TypeError:
        raise OptionError(
            f"{shown(given)} where the name of a file is needed: pass a str or a Path"
        ) from None


def check_output(
    path: str | Path,
    *,
    endings: Sequence[str] = (),
    inputs: Iterable[str | Path] = (),
    extras: Mapping[str, Extra] | None = None,
) -> Path:
    """Refuse an output that could not be written, before the work rather than after it.

    Parameters
    ----------
    path : str or Path
    endings : sequence of str
        What its name may end in, such as ``.csv``; anything by default.
    inputs : iterable of str or Path
        Files that are read, or that other outputs go to. The output may be none of them,
        by whatever name: link, hard link, other spelling.
    extras : mapping from ending to Extra, optional
        What it takes to write a file of that ending.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the ending is another one, the folder is missing, full or may not be written to,
        or the file is an input.
    MissingExtraError
        If a package is missing that writes such a file.
    """
    file = path_of(path)
    if endings and file.suffix.lower() not in endings:
        found = printable(file.suffix or "(no ending)")
        supported = ", ".join(endings)
        raise OutputError(f"{printable(file)}: cannot write {found}; supported are {supported}")
    if extras and file.suffix.lower() in extras:
        extras[file.suffix.lower()].check()
    status = _status(file)
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{printable(file)}: a folder, a file is needed")
    _check_no_input(file, status, inputs)
    if not _is_stream(file, status):
        _check_folder(file, status)
    return file


def check_output_folder(path: str | Path) -> Path:
    """Make a folder where it is missing, and refuse one in which no file can be made.

    Raises
    ------
    OutputError
    """
    folder = path_of(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{printable(folder)}: a file, a folder is needed") from None
    except OSError as error:
        raise _named(folder, error) from None
    _check_folder(folder / "file", None)
    return folder


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of ``path`` when it is complete.

    Whatever happens in between (an error, a full disk, ``kill -9``), ``path`` is what it was.
    Devices and pipes are written to directly.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    binary stream

    Raises
    ------
    OutputError
        With the path and the cause, if the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as stream:
    ...         _ = stream.write(b"whole")
    ...     print(Path(folder, "a.txt").read_text())
    whole
    """
    file = path_of(path)
    status = _status(file)
    try:
        if _is_stream(file, status):
            with file.open("wb") as stream:
                yield stream
            return
        target = Path(os.path.realpath(file))  # a link stays a link
        temporary, descriptor = _new_beside(target)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(descriptor)  # some file systems find out only now that they are full
            if status is not None:
                temporary.chmod(stat.S_IMODE(status.st_mode))
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OutputError:
        raise
    except OSError as error:
        raise _named(file, error) from None


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8, by :func:`replacing`.

    Raises
    ------
    OutputError
        If it cannot be written; what was there is still there.
    """
    with replacing(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def cause(error: OSError) -> str:
    """Return what the operating system says, without numbers."""
    return error.strerror or str(error)


def _named(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{printable(path)}: cannot be written: {cause(error)}")


def _status(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # a name with a null character is a ValueError
        text = cause(error) if isinstance(error, OSError) else str(error)
        raise OutputError(f"{printable(file)}: cannot be written: {text}") from None


def _is_stream(file: Path, status: os.stat_result | None) -> bool:
    if os.name == "posix" and str(file.absolute()).startswith(_STREAMS):
        return True
    return status is not None and not stat.S_ISREG(status.st_mode)


def _check_no_input(
    file: Path, status: os.stat_result | None, inputs: Iterable[str | Path]
) -> None:
    place = os.path.realpath(file)
    for other in inputs:
        same = os.path.realpath(other) == place
        if not same and status is not None:
            with suppress(OSError, ValueError):
                same = os.path.samestat(os.stat(other), status)
        if same:
            raise OutputError(
                f"{printable(file)}: is also {printable(other)}, which would be lost; "
                "write to another file"
            )


def _check_folder(file: Path, status: os.stat_result | None) -> None:
    """Make a file where the output will be made: the system alone knows whether that works."""
    if status is not None and not os.access(file, os.W_OK):
        raise OutputError(f"{printable(file)}: cannot be written: it is read-only")
    target = Path(os.path.realpath(file))
    if not target.parent.is_dir():
        raise OutputError(f"{printable(file)}: no such folder")
    try:
        temporary, descriptor = _new_beside(target)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(bytes(_PROBE))
        finally:
            temporary.unlink()
    except OSError as error:
        raise _named(file, error) from None


def _new_beside(target: Path) -> tuple[Path, int]:
    """Return a new file in the same folder, open for writing, with the usual permissions."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = target.parent / f".jensen-{secrets.token_hex(6)}.tmp"
        with suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666)
