"""The rows of one batch, written to its store as they come."""

from __future__ import annotations

from collections.abc import Sequence

from jensen.batch.case import Case, Row
from jensen.batch.fingerprint import fingerprint
from jensen.batch.store import Store, StoreError


class LostStoreError(StoreError):
    """A store that could not take all results of a batch.

    Attributes
    ----------
    results : list of (Case, Row)
        What :func:`jensen.batch.run_batch` would have returned.
    """

    def __init__(self, message: str, results: list[tuple[Case, Row]]) -> None:
        super().__init__(message)
        self.results = results


class Ledger:
    """What is known of each case; a full disk ends no batch, and may have room later.

    Parameters
    ----------
    cases : sequence of Case
    store : Store or None

    Attributes
    ----------
    rows : dict from number of the case to Row
    """

    def __init__(self, cases: Sequence[Case], store: Store | None) -> None:
        self.rows: dict[int, Row] = {}
        self._cases = cases
        self._store = store
        self._unwritten: list[tuple[int, Row]] = []
        self._contents: dict[int, str | None] = {}  # of files, as they were given to a worker

    @property
    def open(self) -> list[int]:
        """The cases without a row."""
        return [number for number in range(len(self._cases)) if number not in self.rows]

    def results(self) -> list[tuple[Case, Row]]:
        """Return the rows there are, in the order of the cases."""
        return [(case, self.rows[n]) for n, case in enumerate(self._cases) if n in self.rows]

    # ----------------------------------------------------------------------- reading

    def find(self, number: int) -> Row | None:
        """Return the row that the store has for a case, by its file."""
        return None if self._store is None else self._store.find(self._cases[number])

    def find_by_digest(self, number: int, digest: str) -> Row | None:
        """Return the row that the store has for the question of a case about a network."""
        return None if self._store is None else self._store.get(self._cases[number], digest)

    def keep(self, number: int, row: Row) -> None:
        """Take a row from the store, and note there whom it answers, too."""
        self.rows[number] = row
        if self._store is None:
            return
        try:
            self._store.name(self._cases[number], row.digest)
        except StoreError:
            self._unwritten.append((number, row))

    # ----------------------------------------------------------------------- writing

    def note_content(self, number: int) -> None:
        """Remember what is in the file of a case that a worker is going to read."""
        case = self._cases[number]
        if self._store is not None and case.network is None:
            self._contents[number] = fingerprint(case.path)

    def add(self, number: int, row: Row) -> None:
        """Take a new row, and write it and what was left unwritten."""
        self.rows[number] = row
        if self._store is not None:
            self._unwritten.append((number, row))
            self._write(self._store)

    def add_unstored(self, number: int, row: Row) -> None:
        """Take a row that a resume has to find out anew."""
        self.rows[number] = row

    def settle(self) -> None:
        """Write what could not be written when it was found.

        Raises
        ------
        LostStoreError
            If that fails again.
        """
        if self._store is None:
            return
        error = self._write(self._store)
        if error is not None:
            results = self.results()
            left = f"{len(self._unwritten)} of {len(results)} results are not in it"
            raise LostStoreError(f"{error}; {left}", results)

    def _write(self, store: Store) -> StoreError | None:
        """Store what is not there yet, in order; return why that failed."""
        while self._unwritten:
            number, row = self._unwritten[0]
            case, content = self._cases[number], self._contents.get(number)
            if content is not None and content != fingerprint(case.path):
                content = None  # replaced meanwhile: nobody knows which of the two was read
            try:
                store.put(case, row, content)
            except StoreError as error:
                return error
            del self._unwritten[0]
        return None
