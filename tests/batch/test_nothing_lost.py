"""A batch that is killed, or whose disk is full, at any of its writes loses nothing."""

import csv
import gzip
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from commands import forked

from jensen.batch import Store, find_cases, run_batch
from jensen.batch.ledger import LostStoreError
from jensen.batch.store import StoreError
from jensen.cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

FILES = ("r.csv", "r.xml", "r.md")
EXPECTED = ["convex", "convex", "nonconvex"]


@pytest.fixture
def models(tmp_path: Path, make: Callable[..., Path]) -> Path:
    for name, sign in (("m/a.npz", 1), ("m/b.npz", 1), ("m/c.npz", -1)):
        make(name, sign)
    return tmp_path / "m"


def arguments(models: Path, out: Path) -> list[str]:
    csv_, xml, md = (str(out / name) for name in FILES)
    written = ["--export", csv_, "--junit", xml, "--report", md]
    kept = ["--store", str(out / "s.db"), "--certificates", str(out / "proofs")]
    return ["batch", str(models), "--jobs", "0", *kept, *written]


def child(out: Path, prepare: Callable[[], None], models: Path) -> tuple[int, str]:
    """Run a batch in a forked process; return how it ended and what it said."""
    return forked(arguments(models, out), prepare)


def check_whole(out: Path, old: str | None) -> None:
    """Every file is what it was, or complete; every result in the store is whole."""
    for name in FILES:
        file = out / name
        if not file.exists():
            assert old is None
            continue
        text = file.read_text()
        if text == old:
            continue
        if name == "r.csv":
            rows = list(csv.DictReader(text.splitlines()))
            for row, expected in zip(rows, EXPECTED, strict=True):
                # without its certificate a verdict is an error, and is proved again
                assert row["status"] == expected or "cannot be written" in row["error"]
        elif name == "r.xml":
            assert ET.fromstring(text)[0].get("tests") == "3"
        else:
            assert text.startswith("## ")
            assert text.count(".npz") == 3
    proofs = out / "proofs"
    for proof in proofs.glob("*.jsonl.gz") if proofs.is_dir() else ():
        json.loads(gzip.decompress(proof.read_bytes()).splitlines()[-1])
    if (out / "s.db").exists() and (out / "s.db").stat().st_size:
        with suppress(StoreError):  # killed before it was one
            with Store(out / "s.db", read_only=True) as store:
                rows = [row for _, row in store.rows()]
            for row in rows:
                assert str(row.status) in EXPECTED or "cannot be written" in row.error


def check_resumes(models: Path, out: Path) -> None:
    code, said = child(out, lambda: None, models)
    assert code == 1, said
    check_whole(out, None)
    assert {path.name for path in out.iterdir()} >= {*FILES, "s.db"}
    with Store(out / "s.db", read_only=True) as store:
        assert [str(row.status) for _, row in store.rows()] == EXPECTED
    assert len(list((out / "proofs").glob("*.jsonl.gz"))) == 3


class Writes:
    """Counts what a batch writes, and does something at one of these moments."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.number, self.act, self.count = number, act, 0

    def install(self) -> None:
        """Look at every file that is made, closed and renamed, and every statement of SQLite."""
        for name in ("open", "fdopen", "fsync", "replace"):
            setattr(os, name, self.watched(getattr(os, name)))
        connect = sqlite3.connect

        def connected(*args: object, **keywords: object) -> sqlite3.Connection:
            db = connect(*args, **keywords)  # type: ignore[call-overload]
            db.set_trace_callback(lambda statement: self.step())
            return db  # type: ignore[no-any-return]

        sqlite3.connect = connected  # type: ignore[assignment]

    def watched(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **keywords: object) -> object:
            self.step()
            return real(*args, **keywords)

        return call

    def step(self) -> None:
        self.count += 1
        if self.count > self.number:
            self.number = sys.maxsize
            self.act()


def fresh(tmp_path: Path, old: str | None) -> Path:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if old is not None:
        for name in FILES:
            (out / name).write_text(old)
    return out


def kill_from(first: int, step: int, tmp_path: Path, models: Path) -> int:
    """Kill a batch at its n-th write for n = first, first + step, ...; return how many."""
    number = first
    while True:
        old = "old" if number % 2 else None
        out = fresh(tmp_path, old)
        kill = Writes(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        code, said = child(out, kill.install, models)
        if code == 1:
            return number
        assert code == -signal.SIGKILL, said
        check_whole(out, old)
        check_resumes(models, out)
        number += step


def test_a_batch_killed_at_some_of_its_writes_resumes_and_leaves_nothing_half(tmp_path, models):
    assert kill_from(3, 17, tmp_path, models) > 60


@pytest.mark.slow
def test_a_batch_killed_at_each_of_its_writes_resumes_and_leaves_nothing_half(tmp_path, models):
    assert kill_from(0, 1, tmp_path, models) > 60


@pytest.mark.slow
def test_a_batch_killed_at_any_moment_resumes(tmp_path, models):
    command = [sys.executable, "-m", "jensen"]
    for tenths in range(2, 32):
        out = fresh(tmp_path, None)
        run = [*command, *arguments(models, out), "--jobs", "1"]
        with subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as batch:
            try:
                batch.wait(tenths / 10)
            except subprocess.TimeoutExpired:
                batch.kill()
        check_whole(out, None)
        check_resumes(models, out)


# ------------------------------------------------------------------------------ full disks


def check_full(tmp_path: Path, models: Path, prepare: Callable[[], None], old: str | None) -> str:
    """Run a batch whose disk gets full; return what it said."""
    out = fresh(tmp_path, old)
    code, said = child(out, prepare, models)
    assert "Traceback" not in said
    assert "fault of this program" not in said
    lines = [line for line in said.splitlines() if line.startswith("jensen: error: ")]
    if code == 2 and "error" in said:
        # either the run ended with one line, or the rows say that certificates are missing
        assert len(lines) == 1 or " error " in said
    check_whole(out, old)
    check_resumes(models, out)
    return "\n".join(lines)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 8, 13, 21, 34])
def test_a_disk_that_is_full_for_a_moment_costs_at_most_what_was_written_then(
    tmp_path, models, number
):
    def full() -> None:
        raise OSError(28, "No space left on device")

    def prepare() -> None:
        moment = Writes(number, full)
        for name in ("open", "fdopen", "fsync", "replace"):
            setattr(os, name, moment.watched(getattr(os, name)))

    check_full(tmp_path, models, prepare, "old")


def limited(size: int) -> Callable[[], None]:
    """Return what makes every file end at a size, as a full disk does, by the system itself."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", [0, 300, 900, 5_000, 40_000, 70_000])
def test_files_that_cannot_grow_are_one_line_and_lose_nothing(tmp_path, models, size):
    said = check_full(tmp_path, models, limited(size), "old")
    assert said or size >= 40_000


@pytest.mark.slow
def test_files_that_cannot_grow_beyond_any_size_lose_nothing(tmp_path, models):
    for size in (*range(0, 4_000, 100), *range(4_000, 120_000, 2_000)):
        check_full(tmp_path, models, limited(size), "old")


@pytest.mark.slow
def test_a_small_disk_that_is_full_in_earnest_loses_nothing(tmp_path, models):
    disk = tmp_path / "disk"
    disk.mkdir()
    for size in (16, 32, 48, 64, 96, 128, 160):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root mounts disks")
        try:
            code, said = child(disk, lambda: None, models) if size else (0, "")
            assert code in {1, 2}
            assert "Traceback" not in said
            assert "fault of this program" not in said
            check_whole(disk, None)
        finally:
            subprocess.run(["umount", str(disk)], check=True)


# -------------------------------------------------------------------- the store while it runs


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Let stores refuse to write while the list holds True."""
    full = [False]
    real = Store._put

    def put(self: Store, *arguments: object) -> None:
        if full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        real(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "_put", put)
    return full


def test_results_wait_while_the_disk_is_full_and_are_stored_when_it_is_not(tmp_path, models, stuck):
    cases = find_cases([models])
    with Store(tmp_path / "s.db") as store:
        seen: list[str] = []

        def on_event(event: object) -> None:
            seen.append("event")
            stuck[0] = len(seen) < 4

        stuck[0] = True
        results = run_batch(cases, store=store, on_event=on_event)
        assert [str(row.status) for _, row in results] == EXPECTED
        assert [str(row.status) for _, row in store.rows()] == EXPECTED


def test_what_could_never_be_stored_is_returned_with_the_error(tmp_path, models, stuck):
    cases = find_cases([models])
    with Store(tmp_path / "s.db") as store:
        stuck[0] = True
        with pytest.raises(LostStoreError, match="3 of 3 results are not in it") as lost:
            run_batch(cases, store=store)
    assert "disk is full" in str(lost.value)
    assert [str(row.status) for _, row in lost.value.results] == EXPECTED


def test_the_table_and_the_files_are_there_although_the_store_is_not(
    tmp_path, models, stuck, capsys
):
    stuck[0] = True
    out = fresh(tmp_path, None)
    assert main(arguments(models, out)) == 2
    captured = capsys.readouterr()
    assert captured.out.count(".npz") == 3
    assert "results are not in it" in captured.err
    check_whole(out, None)
    assert all((out / name).exists() for name in FILES)
