"""Results in one SQLite file (docs/store-schema.md)."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from jensen.batch.case import Case, Row, RowStatus, asked_options, canonical
from jensen.domains.domain import domain_from_json
from jensen.errors import JensenError
from jensen.prover.options import Options
from jensen.text import printable

VERSION = 2
# "jens" in ASCII: tells such a file from any other SQLite file
APPLICATION_ID = 0x6A656E73

_SCHEMA = """
CREATE TABLE result (
  job      TEXT PRIMARY KEY,
  digest   TEXT NOT NULL,
  domain   TEXT NOT NULL,
  output   INTEGER,
  options  TEXT NOT NULL,
  status   TEXT NOT NULL CHECK (status IN ('convex', 'nonconvex', 'unknown', 'error')),
  lower    REAL,
  upper    REAL,
  error    TEXT NOT NULL,
  seconds  REAL NOT NULL,
  finished TEXT NOT NULL,
  record   TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE model (
  name     TEXT NOT NULL,
  question TEXT NOT NULL,
  path     TEXT NOT NULL,
  job      TEXT NOT NULL REFERENCES result (job),
  expected TEXT,
  reason   TEXT NOT NULL,
  PRIMARY KEY (name, question)
) WITHOUT ROWID;
CREATE TABLE file (
  path     TEXT PRIMARY KEY,
  stamp    TEXT NOT NULL,
  digest   TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE content (
  content  TEXT PRIMARY KEY,
  digest   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX model_job ON model (job);
CREATE VIEW verdict AS
  SELECT name, status, expected, domain, output, options, lower, upper, error, seconds,
         finished, digest
  FROM model JOIN result USING (job);
"""
# what makes a store of the version before into one of this version
_UPGRADES = {
    1: "CREATE TABLE content (content TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID"
}


_ELSEWHERE = b"location"


class StoreError(JensenError, ValueError):
    """A file that is no store of results, or one of another version."""


@dataclass(frozen=True)
class Fingerprint:
    """What tells a file from another: where it stands at a glance, and what it holds.

    ``stamp``: size, time of change, inode; ``content``: SHA-256 of its ending and its bytes.
    """

    stamp: str
    content: str


class Store:
    """The results of batches: each job once, found again by later runs.

    Every :meth:`put` is one transaction. The journal is a write-ahead log, so that a
    process killed at any moment leaves each result either whole or absent.

    Parameters
    ----------
    path : str or Path
        Made where it does not exist.

    Raises
    ------
    StoreError
        If the file is something else.
    """

    def __init__(self, path: str | Path, *, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise StoreError(f"{path}: no such store")
        try:
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._open()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: not a store of results ({error})") from None

    def _open(self) -> None:
        db = self._db
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables:
            self._check_version()
        db.execute("PRAGMA journal_mode = WAL")
        # WAL with NORMAL: nothing is lost when a process dies, at most the last results
        # when the power fails, and the file is never damaged
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        else:
            for version in range(self._version(), VERSION):
                db.execute(_UPGRADES[version])
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")

    def _check_version(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._version()
        if application != APPLICATION_ID:
            raise StoreError(f"{self.path}: an SQLite file, but no store of results")
        if not 1 <= version <= VERSION:
            raise StoreError(f"{self.path}: store of version {version}, supported is {VERSION}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def find(self, case: Case) -> Row | None:
        """Return the stored row of a case if a file with its content was verified before."""
        if case.network is not None:
            return self.get(case, case.network.digest)
        found = self._db.execute(
            "SELECT digest FROM file WHERE path = ? AND stamp = ?",
            (_absolute(case.path), _stamp(case.path)),
        ).fetchone()
        if found is not None:
            return self.get(case, found[0])
        # touched, moved or checked out anew: the content decides
        if self._db.execute("SELECT 1 FROM content LIMIT 1").fetchone() is None:
            return None
        file = fingerprint(case.path)
        if file is None:
            return None
        found = self._db.execute(
            "SELECT digest FROM content WHERE content = ?", (file.content,)
        ).fetchone()
        return None if found is None else self.get(case, found[0])

    def get(self, case: Case, digest: str) -> Row | None:
        """Return the stored row of a case's question to the network of that digest."""
        found = self._db.execute(
            "SELECT record FROM result WHERE job = ?", (case.job(digest),)
        ).fetchone()
        return None if found is None else Row.from_json(json.loads(found[0]))

    def put(self, case: Case, row: Row, file: Fingerprint | None = None) -> None:
        """Write one row, in place of an older one of the same job.

        Parameters
        ----------
        case : Case
        row : Row
        file : Fingerprint, optional
            The file when it was read; without it the file is read again next time.
        """
        job = case.job(row.digest)
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT OR REPLACE INTO result VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    job,
                    row.digest,
                    canonical(case.domain.to_json()),
                    case.output,
                    canonical(asked_options(case.options)),
                    str(row.status),
                    row.lower,
                    row.upper,
                    printable(row.error),
                    row.seconds,
                    row.finished,
                    json.dumps(row.to_json()),
                ),
            )
            self._name(case, job)
            if file is not None:
                db.execute(
                    "INSERT OR REPLACE INTO file VALUES (?,?,?)",
                    (_absolute(case.path), file.stamp, row.digest),
                )
                if row.relus is not None:  # the digest is a network's, not a broken file's
                    values = (file.content, row.digest)
                    db.execute("INSERT OR REPLACE INTO content VALUES (?,?)", values)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def name(self, case: Case, digest: str) -> None:
        """Note that a case is answered by a result that is already here."""
        self._name(case, case.job(digest))

    def _name(self, case: Case, job: str) -> None:
        expected = None if case.expected is None else str(case.expected)
        # a network that a program made has no file
        path = "" if case.network is not None and not case.path.is_file() else _absolute(case.path)
        names = printable(case.name), case.question, path
        values = (*names, job, expected, printable(case.reason))
        self._db.execute("INSERT OR REPLACE INTO model VALUES (?,?,?,?,?,?)", values)

    def rows(self) -> Iterator[tuple[Case, Row]]:
        """Return every model with its row, in order of names."""
        query = (
            "SELECT name, path, expected, reason, domain, output, options, record"
            " FROM model JOIN result USING (job) ORDER BY name, question"
        )
        for name, path, expected, reason, domain, output, options, record in self._db.execute(
            query
        ):
            case = Case(
                Path(path),
                name,
                domain_from_json(json.loads(domain)),
                Options(**json.loads(options)),
                output,
                None if expected is None else RowStatus(expected),
                reason,
            )
            yield case, Row.from_json(json.loads(record))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what tells whether a file has changed; None where that cannot be told.

    An ONNX file may keep its weights in other files, whose names follow the key
    ``location``; such a file is read every time.
    """
    stamp = _stamp(path)
    if stamp is None:
        return None
    onnx = path.suffix.lower() == ".onnx"
    sha = hashlib.sha256(path.suffix.lower().encode("utf-8", "surrogateescape"))
    tail = b""
    try:
        with path.open("rb") as stream:
            while part := stream.read(2**20):
                sha.update(part)
                if onnx and _ELSEWHERE in tail + part:
                    return None
                tail = part[-len(_ELSEWHERE) :]
    except OSError:
        return None
    return Fingerprint(stamp, sha.hexdigest())


def _stamp(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _absolute(path: Path) -> str:
    return printable(path.absolute())
