"""Results in one SQLite file (docs/store-schema.md)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from jensen.batch.case import Case, Row, RowStatus, asked_options, canonical
from jensen.domain import domain_from_json
from jensen.errors import JensenError
from jensen.options import Options
from jensen.text import printable

VERSION = 1
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
CREATE INDEX model_job ON model (job);
CREATE VIEW verdict AS
  SELECT name, status, expected, domain, output, options, lower, upper, error, seconds,
         finished, digest
  FROM model JOIN result USING (job);
"""


class StoreError(JensenError, ValueError):
    """A file that is no store of results, or one of another version."""


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
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")

    def _check_version(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            raise StoreError(f"{self.path}: an SQLite file, but no store of results")
        if version != VERSION:
            raise StoreError(f"{self.path}: store of version {version}, supported is {VERSION}")

    def find(self, case: Case) -> Row | None:
        """Return the stored row of a case if its file is unchanged since."""
        if case.network is not None:
            return self.get(case, case.network.digest)
        stamp = file_stamp(case.path)
        if stamp is None:
            return None
        found = self._db.execute(
            "SELECT digest FROM file WHERE path = ? AND stamp = ?", (_absolute(case.path), stamp)
        ).fetchone()
        return None if found is None else self.get(case, found[0])

    def get(self, case: Case, digest: str) -> Row | None:
        """Return the stored row of a case's question to the network of that digest."""
        found = self._db.execute(
            "SELECT record FROM result WHERE job = ?", (case.job(digest),)
        ).fetchone()
        return None if found is None else Row.from_json(json.loads(found[0]))

    def put(self, case: Case, row: Row, stamp: str | None = None) -> None:
        """Write one row, in place of an older one of the same job.

        Parameters
        ----------
        case : Case
        row : Row
        stamp : str, optional
            The file's stamp when it was read; without it the file is read again next time.
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
                    row.error,
                    row.seconds,
                    row.finished,
                    json.dumps(row.to_json()),
                ),
            )
            self._name(case, job)
            if stamp is not None:
                db.execute(
                    "INSERT OR REPLACE INTO file VALUES (?,?,?)",
                    (_absolute(case.path), stamp, row.digest),
                )
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
        values = (case.name, case.question, path, job, expected, case.reason)
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


def file_stamp(path: Path) -> str | None:
    """Return what tells whether a file changed; None where that cannot be told.

    An ONNX file may keep its weights in other files, whose names follow the key
    ``location``; such a file has no stamp and is read every time.
    """
    try:
        if not path.is_file():
            return None
        status = path.stat()
        if path.suffix.lower() == ".onnx" and b"location" in path.read_bytes():
            return None
    except OSError:
        return None
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"


def _absolute(path: Path) -> str:
    return printable(path.absolute())
