"""Results in one SQLite file (docs/store-schema.md)."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from jensen.arguments import checked_flag
from jensen.batch.case import Case, Row, asked_options, canonical
from jensen.batch.fingerprint import fingerprint
from jensen.batch.job import file_digest
from jensen.batch.stored import DamagedRowError, stored_case, stored_row
from jensen.errors import JensenError, OutputError
from jensen.outputs import check_output, path_of
from jensen.text import own_name, printable

VERSION = 4
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
  record   TEXT NOT NULL,
  edition  INTEGER NOT NULL DEFAULT 0
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
CREATE TABLE content (
  content  TEXT PRIMARY KEY,
  digest   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX model_job ON model (job);
"""
_VIEW = """
CREATE VIEW verdict AS
  SELECT name, status, expected, domain, output, options, lower, upper, error, seconds,
         finished, digest, edition
  FROM model JOIN result USING (job)
"""
# what makes a store of one version into one of the next
_UPGRADES = {
    1: ("CREATE TABLE content (content TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID",),
    2: ("DROP TABLE file",),  # said by size and time whether a file is the same: no proof of it
    3: (  # rows that are there get edition 0
        "ALTER TABLE result ADD COLUMN edition INTEGER NOT NULL DEFAULT 0",
        "DROP VIEW IF EXISTS verdict",
        _VIEW,
    ),
}

_FOREIGN = """
SELECT type, name FROM sqlite_master
WHERE type = 'trigger' OR (type = 'view' AND name <> 'verdict')
"""
_CAUSES = {
    "SQLITE_FULL": "cannot be written: No space left on device",
    "SQLITE_BUSY": "cannot be written: another program holds it",
}


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
    read_only : bool
        The file must exist; neither it nor its folder is written to.

    Raises
    ------
    StoreError
        If the file is something else, or cannot be written to.
    OptionError
        If ``path`` is no name of a file.

    Examples
    --------
    >>> import jensen.batch, tempfile
    >>> net = jensen.ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    >>> (case,) = jensen.batch.cases_of([net])
    >>> with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/results.db") as store:
    ...     _ = jensen.batch.run_batch([case], store=store)  # calls store.put(...)
    ...     same = store.find(case) == store.get(case, net.digest)
    ...     same, store.name(case, net.digest), len(list(store.rows())), store.close()
    (True, None, 1, None)
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = path_of(path)
        self._copy: TemporaryDirectory[str] | None = None
        try:
            if checked_flag(read_only, "read_only"):
                self._db = self._reader()
            else:
                self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        except sqlite3.Error as error:
            self._close_copy()
            raise self._failed(error) from None
        try:
            self._check_version() if read_only else self._open()
        except sqlite3.Error as error:
            self.close()
            raise self._failed(error) from None
        except StoreError:
            self.close()
            raise

    def _reader(self) -> sqlite3.Connection:
        """Open the file as it is, with what a run that was killed left in its journal."""
        if not self.path.is_file():
            raise self._refused("no such store")
        if not self.path.stat().st_size:
            raise self._refused("an empty file, no store of results")
        journal = Path(f"{self.path}-wal")
        if not (journal.is_file() and journal.stat().st_size):
            # all is in the file; without this word SQLite would need to write beside it
            return _connected(self.path, "mode=ro&immutable=1")
        try:
            return _connected(self.path, "mode=ro")
        except sqlite3.OperationalError:  # a folder that may not be written to
            self._copy = TemporaryDirectory(prefix="jensen-")
            copy = Path(self._copy.name, "store.db")
            shutil.copyfile(self.path, copy)
            shutil.copyfile(journal, f"{copy}-wal")
            return _connected(copy, "mode=rw")

    def _failed(self, error: sqlite3.Error) -> StoreError:
        """Return an error that says the true cause, where the system tells it."""
        if isinstance(error, sqlite3.OperationalError):
            try:
                check_output(self.path)
            except OutputError as found:
                return StoreError(str(found))
            return self._refused(_CAUSES.get(_kind(error), str(error)))
        return self._refused(f"not a store of results ({error})")

    def _refused(self, why: str) -> StoreError:
        return StoreError(f"{printable(self.path)}: {why}")

    def _open(self) -> None:
        db = self._db
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._check_version()
        db.execute("PRAGMA journal_mode = WAL")
        # WAL with NORMAL: nothing is lost when a process dies, at most the last results
        # when the power fails, and the file is never damaged
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in (*_SCHEMA.split(";\n"), _VIEW):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        else:
            for version in range(self._version(), VERSION):
                for statement in _UPGRADES[version]:
                    db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")

    def _check_version(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._version()
        if application != APPLICATION_ID:
            raise self._refused("an SQLite file, but no store of results")
        # what a view or a trigger of somebody else's does is not known, and may not end
        foreign = self._db.execute(_FOREIGN).fetchone()
        if foreign is not None:
            raise self._refused(f"it holds the {foreign[0]} {printable(str(foreign[1]))}")
        if not 1 <= version <= VERSION:
            raise self._refused(f"store of version {version}, supported is {VERSION}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def find(self, case: Case) -> Row | None:
        """Return the stored row of a case if a file with its content was verified before.

        Sizes and times of files decide nothing: what is in a file does.

        Parameters
        ----------
        case : Case
        """
        if case.network is not None:
            return self.get(case, case.network.digest)
        if self._one("SELECT 1 FROM result LIMIT 1") is None:
            return None
        content = fingerprint(case.path)
        if content is None:
            return None
        found = self._one("SELECT digest FROM content WHERE content = ?", content)
        return self.get(case, file_digest(case.path) if found is None else found[0])

    def get(self, case: Case, digest: str) -> Row | None:
        """Return the stored row of a case's question to the network of that digest.

        Parameters
        ----------
        case : Case
        digest : str

        Raises
        ------
        StoreError
            If the row is damaged.
        """
        found = self._one("SELECT record FROM result WHERE job = ?", case.job(digest))
        try:
            return None if found is None else stored_row(found[0])
        except DamagedRowError as error:
            raise self._refused(f"a damaged row ({error})") from None

    def _one(self, query: str, *values: str) -> Any:
        try:
            return self._db.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def put(self, case: Case, row: Row, content: str | None = None) -> None:
        """Write one row, in place of an older one of the same job.

        Parameters
        ----------
        case : Case
        row : Row
        content : str, optional
            The file's :func:`fingerprint` when it was read; without it the model is verified
            again next time.

        Raises
        ------
        StoreError
            If it cannot be written; what was stored before is untouched.
        """
        try:
            self._put(case, row, content)
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _put(self, case: Case, row: Row, content: str | None) -> None:
        job = case.job(row.digest)
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT OR REPLACE INTO result VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
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
                    row.edition,
                ),
            )
            self._name(case, job)
            if content is not None and row.relus is not None:  # a network's digest, no file's
                values = (content, row.digest)
                db.execute("INSERT OR REPLACE INTO content VALUES (?,?)", values)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk may have ended it already
                db.execute("ROLLBACK")
            raise

    def name(self, case: Case, digest: str) -> None:
        """Note that a case is answered by a result that is already here.

        Parameters
        ----------
        case : Case
        digest : str

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        try:
            self._name(case, case.job(digest))
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _name(self, case: Case, job: str) -> None:
        expected = None if case.expected is None else str(case.expected)
        # a network that a program made has no file
        path = "" if case.network is not None and not case.path.is_file() else _absolute(case.path)
        names = own_name(case.name), case.question, path
        values = (*names, job, expected, printable(case.reason))
        self._db.execute("INSERT OR REPLACE INTO model VALUES (?,?,?,?,?,?)", values)

    def rows(self) -> Iterator[tuple[Case, Row]]:
        """Return every model with its row, in order of names.

        Raises
        ------
        StoreError
            If the file is damaged.
        """
        try:
            yield from self._rows()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        except DamagedRowError as error:
            raise self._refused(f"a damaged row ({error})") from None

    def _rows(self) -> Iterator[tuple[Case, Row]]:
        query = (
            "SELECT name, path, expected, reason, domain, output, options, record"
            " FROM model JOIN result USING (job) ORDER BY name, question"
        )
        for *columns, record in self._db.execute(query):
            yield stored_case(*columns), stored_row(record)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._close_copy()

    def _close_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    try:
        db.execute("SELECT count(*) FROM sqlite_master")  # connects in earnest
    except sqlite3.Error:
        db.close()
        raise
    return db


def _kind(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "")


def _absolute(path: Path) -> str:
    return printable(path.absolute())
