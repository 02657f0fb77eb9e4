"""The store of results."""

import contextlib
import gzip
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from jensen.batch import Case, Row, RowStatus, Store, cases_of, edition, find_cases, job, run_batch
from jensen.batch.edition import EDITION
from jensen.batch.fingerprint import fingerprint
from jensen.batch.job import run_job
from jensen.batch.store import StoreError
from jensen.cli import main
from jensen.domains.domain import Box, Everywhere
from jensen.network.relu_network import ReluNetwork


def row(status: RowStatus, digest: str = "d") -> Row:
    return Row(status, digest, summary="so", counterexample={"x": ["1/3"]}, layers={"a": {"s": 1}})


def test_a_row_comes_back_as_it_went_in(tmp_path):
    case = Case(tmp_path / "a", "a", Box(-1, [1, 2]), output=1, expected=RowStatus.CONVEX)
    with Store(tmp_path / "s.db") as store:
        store.put(case, row(RowStatus.NONCONVEX))
    with Store(tmp_path / "s.db", read_only=True) as store:
        assert store.get(case, "d") == row(RowStatus.NONCONVEX)
        assert store.get(case, "other") is None
        ((found, again),) = store.rows()
    assert again == row(RowStatus.NONCONVEX)
    assert found.question == case.question
    assert (found.name, found.expected, found.output) == ("a", RowStatus.CONVEX, 1)


def test_another_domain_is_another_job(tmp_path):
    case = Case(tmp_path / "a", "a", Everywhere())
    with Store(tmp_path / "s.db") as store:
        store.put(case, row(RowStatus.CONVEX))
        assert store.get(replace(case, domain=Box(-1, 1)), "d") is None


def test_a_newer_row_takes_the_place_of_the_older(tmp_path):
    case = Case(tmp_path / "a", "a", Everywhere())
    with Store(tmp_path / "s.db") as store:
        store.put(case, row(RowStatus.UNKNOWN))
        store.put(case, row(RowStatus.CONVEX))
        assert [r.status for _, r in store.rows()] == [RowStatus.CONVEX]


@pytest.mark.parametrize("content", [b"this is no database at all, only some text\n" * 50, None])
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    file = tmp_path / "other.db"
    if content is None:
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE mine (a)")
        db.close()
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"other\.db"):
        Store(file)
    assert file.read_bytes() == before


def test_a_store_of_another_version_is_refused(tmp_path):
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(tmp_path / "s.db")


def test_a_missing_store_is_not_made_by_reading(tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        Store(tmp_path / "s.db", read_only=True)
    assert not (tmp_path / "s.db").exists()


def test_a_rerun_finds_everything_and_a_changed_file_is_done_again(tmp_path, make):
    for name in ("a.npz", "b.npz", "copy/a.npz"):
        make(name, 1)
    cases = find_cases([tmp_path], recursive=True)
    kinds: list[str] = []

    def run() -> list[str]:
        kinds.clear()
        with Store(tmp_path / "s.db") as store:
            results = run_batch(cases, store=store, on_event=lambda e: kinds.append(str(e.kind)))
        return [str(r.status) for _, r in results]

    assert run() == ["convex"] * 3
    assert kinds.count("done") == 3
    assert run() == ["convex"] * 3
    assert kinds == ["found"] * 3
    make("b.npz", -1)
    assert run() == ["convex", "nonconvex", "convex"]
    assert kinds.count("found") == 2
    with Store(tmp_path / "s.db") as store:
        assert [str(r.status) for _, r in store.rows()] == ["convex", "nonconvex", "convex"]


def test_a_file_replaced_in_place_with_its_size_and_times_kept_is_another_file(tmp_path, make):
    first, second = make("a.npz", 1).read_bytes(), make("a.npz", -1).read_bytes()
    size = max(len(first), len(second))
    path = tmp_path / "a.npz"

    def write(content: bytes) -> None:
        with path.open("wb") as stream:  # in place: the same inode
            # what stands before the first member of an archive is skipped by its readers
            stream.write(bytes(size - len(content)) + content)
        os.utime(path, ns=(10**18, 10**18))

    statuses = []
    for content in (first, second, first):
        write(content)
        with Store(tmp_path / "s.db") as store:
            ((_, row),) = run_batch(find_cases([path]), store=store)
        statuses.append(str(row.status))
    assert statuses == ["convex", "nonconvex", "convex"]


def test_a_file_replaced_while_it_is_verified_is_verified_again(tmp_path, make, monkeypatch):
    path = make("a.npz", 1)
    old = path.read_bytes()

    def verify_another(job: object) -> Row:
        make("a.npz", -1)
        return run_job(job)  # type: ignore[arg-type]

    with Store(tmp_path / "s.db") as store:
        monkeypatch.setattr("jensen.batch.executor.run_job", verify_another)
        ((_, row),) = run_batch(find_cases([path]), store=store)
        assert str(row.status) == "nonconvex"
        monkeypatch.undo()
        path.write_bytes(old)
        ((_, row),) = run_batch(find_cases([path]), store=store)
        assert str(row.status) == "convex"


def test_the_content_of_a_file_is_known_wherever_and_whenever_it_appears(tmp_path, make):
    path = make("a.npz", 1)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"broken")
    with Store(tmp_path / "s.db") as store:
        run_batch(find_cases([path, broken]), store=store)
        os.utime(path, (1, 1))
        (tmp_path / "copy.npz").write_bytes(path.read_bytes())
        (tmp_path / "copy_of_broken.npz").write_bytes(broken.read_bytes())
        (tmp_path / "other.onnx").write_bytes(path.read_bytes())
        kinds: dict[str, str] = {}
        run_batch(
            find_cases([tmp_path]),
            store=store,
            retry=(),
            on_event=lambda e: kinds.update({e.case.path.name: str(e.kind)}),
        )
    assert kinds == {
        "a.npz": "found",
        "copy.npz": "found",
        "broken.npz": "found",
        "copy_of_broken.npz": "done",
        "other.onnx": "done",
    }


def test_a_store_of_version_1_is_brought_up_to_date(tmp_path, make):
    cases = find_cases([make("a.npz", 1)])
    with Store(tmp_path / "s.db") as store:
        run_batch(cases, store=store)
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("DROP TABLE content")
        as_before_editions(db)
        db.execute("CREATE TABLE file (path TEXT PRIMARY KEY, stamp TEXT, digest TEXT)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    kinds: list[str] = []
    for _ in range(2):
        with Store(tmp_path / "s.db") as store:
            run_batch(cases, store=store, on_event=lambda e: kinds.append(str(e.kind)))
            run_batch(cases, store=store, force=True)
    # version 1 knew files by size and time, which prove nothing, and no editions
    assert kinds == ["start", "done", "found"]


def as_before_editions(db: sqlite3.Connection) -> None:
    """Turn a store of version 4 into one of version 3."""
    view = db.execute("SELECT sql FROM sqlite_master WHERE name = 'verdict'").fetchone()[0]
    db.execute("DROP VIEW verdict")
    db.execute("ALTER TABLE result DROP COLUMN edition")
    db.execute(view.replace(", edition", ""))
    db.execute("UPDATE result SET record = json_remove(record, '$.edition')")
    db.execute("PRAGMA user_version = 3")


def test_what_was_found_before_editions_were_counted_is_shown_and_asked_again(tmp_path, make):
    path = tmp_path / "s.db"
    cases = find_cases([make("a.npz", 1), make("b.npz", -1)])
    with Store(path) as store:
        new = run_batch(cases, store=store)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        as_before_editions(db)
        db.execute("UPDATE result SET record = json_set(record, '$.status', 'nonconvex')")
    before = path.read_bytes()
    with Store(path, read_only=True) as store:
        assert [(r.status, r.edition) for _, r in store.rows()] == [(RowStatus.NONCONVEX, 0)] * 2
    assert path.read_bytes() == before  # `jensen report` only reads
    kinds: list[str] = []
    for _ in range(2):
        with Store(path) as store:
            rows = run_batch(cases, store=store, on_event=lambda e: kinds.append(str(e.kind)))
        assert [row.status for _, row in rows] == [row.status for _, row in new]
    assert (kinds.count("done"), kinds.count("found")) == (2, 2)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert set(db.execute("SELECT edition FROM verdict")) == {(EDITION,)}


def test_editions_that_may_have_been_wrong_answer_no_question(tmp_path, make, monkeypatch):
    cases = find_cases([make("a.npz", 1)])
    started: list[str] = []

    def run() -> list[str]:
        started.clear()
        with Store(tmp_path / "s.db") as store:
            run_batch(cases, store=store, on_event=lambda e: started.append(str(e.kind)))
        return started

    assert "done" in run()
    monkeypatch.setattr(job, "EDITION", EDITION + 1)
    assert run() == ["found"]  # a newer edition takes what it still trusts
    monkeypatch.setattr(edition, "TRUSTED_SINCE", EDITION + 1)
    assert "done" in run()
    assert run() == ["found"]
    monkeypatch.setattr(edition, "TRUSTED_SINCE", EDITION)
    assert run() == ["found"]  # and an older one what a newer one found


def test_errors_are_done_again_and_unknowns_when_asked(tmp_path, make, monkeypatch):
    path = make("a.npz", 1)
    (case,) = find_cases([path])
    started: list[int] = []

    def run(**settings: object) -> None:
        started.clear()
        run_batch(
            [case],
            store=store,
            on_event=lambda e: started.append(1) if e.kind == "start" else None,
            **settings,  # type: ignore[arg-type]
        )

    with Store(tmp_path / "s.db") as store:
        run()
        (_, whole) = next(store.rows())
        store.put(case, replace(whole, status=RowStatus.UNKNOWN), fingerprint(path))
        run()
        assert not started
        run(retry={RowStatus.UNKNOWN})
        assert started
        run()
        assert not started
        run(force=True)
        assert started
        store.put(case, replace(whole, status=RowStatus.ERROR), fingerprint(path))
        run()
        assert started


def test_an_onnx_file_with_weights_elsewhere_is_read_every_time(tmp_path):
    inside, outside = tmp_path / "in.onnx", tmp_path / "out.onnx"
    inside.write_bytes(b"weights")
    outside.write_bytes(b"..location..weights.bin")
    assert fingerprint(inside) is not None
    assert fingerprint(outside) is None
    assert fingerprint(tmp_path) is None
    assert fingerprint(Path(tmp_path / "nothing.onnx")) is None


def test_a_stored_verdict_without_its_certificate_is_proved_again(tmp_path, make):
    cases = find_cases([make("a.npz", 1.0)])
    folder = tmp_path / "certificates"
    folder.mkdir()
    with Store(tmp_path / "s.db") as store:
        run_batch(cases, store=store)
        ((_, row),) = run_batch(cases, store=store, certificates=str(folder))
        (file,) = folder.iterdir()
        assert row.certificate == str(file)
        assert row.certificate_bytes == len(gzip.decompress(file.read_bytes()))
        assert run_batch(cases, store=store, certificates=str(folder))[0][1] == row
        file.unlink()
        run_batch(cases, store=store, certificates=str(folder))
        assert file.exists()


def test_names_that_are_escaped_to_the_same_text_have_rows_of_their_own(tmp_path):
    files = [tmp_path / "a\nb.npz", tmp_path / "a\\nb.npz"]
    with Store(tmp_path / "s.db") as store:
        for file in files:
            file.write_bytes(b"")
            (case,) = find_cases([file], domain=Box(-1, 1))
            store.put(case, row(RowStatus.CONVEX))
    with Store(tmp_path / "s.db", read_only=True) as store:
        names = [case.name for case, _ in store.rows()]
    assert len(set(names)) == 2
    assert all(name.isprintable() for name in names)


def test_names_that_a_program_gives_have_rows_of_their_own(tmp_path):
    cases = [Case(Path(name), name, Box(-1, 1)) for name in ("a\tb", "a\\tb")]
    with Store(tmp_path / "s.db") as store:
        for case in cases:
            store.put(case, row(RowStatus.CONVEX))
        assert len(list(store.rows())) == 2


DAMAGED = {
    "options": "UPDATE result SET options = '{'",
    "an unknown option": """UPDATE result SET options = '{"bad": 1}'""",
    "options of a list": "UPDATE result SET options = '[]'",
    "deep": "UPDATE result SET domain = '" + "[" * 20000 + "'",
    "an empty record": "UPDATE result SET record = '{}'",
    "no record": "UPDATE result SET record = 'x'",
    "a domain of none": "UPDATE result SET domain = '{}'",
    "bytes": "UPDATE result SET domain = X'ff'",
    "a word": "UPDATE model SET expected = 'boo'",
    "a path of bytes": "UPDATE model SET path = X'00ff'",
    "a name of bytes": "UPDATE model SET name = X'00ff'",
    "seconds in words": "UPDATE result SET record = json_set(record, '$.seconds', 'long')",
    "an edition in words": "UPDATE result SET record = json_set(record, '$.edition', 'new')",
    "an error of numbers": "UPDATE result SET record = json_set(record, '$.error', 3)",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON model BEGIN DELETE FROM result; END",
    "a view": "ALTER TABLE model RENAME TO other; CREATE VIEW model AS SELECT * FROM other",
}


@pytest.mark.parametrize("change", DAMAGED)
def test_a_store_that_somebody_changed_is_refused_in_one_line(change, tmp_path, capsys):
    path = tmp_path / "r.db"
    net = ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    with Store(path) as store:
        run_batch(cases_of([net]), store=store)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(DAMAGED[change])
    before = path.read_bytes()
    with (
        pytest.raises(StoreError, match=r"r\.db: ") as caught,
        Store(path, read_only=True) as store,
    ):
        list(store.rows())
    assert "\n" not in str(caught.value)
    assert main(["report", str(path), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
    assert path.read_bytes() == before
