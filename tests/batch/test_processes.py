"""Worker processes: limits, deaths, interruptions and resumed runs."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from jensen.batch import Limits, Row, RowStatus, Store, cases_of, find_cases, run_batch
from jensen.batch.job import Job
from jensen.batch.processes import ProcessExecutor
from jensen.network.relu_network import ReluNetwork

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@pytest.fixture
def executor() -> Iterator[ProcessExecutor]:
    """Two workers."""
    two = ProcessExecutor(2)
    yield two
    two.close()


def command(*arguments: object) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    return subprocess.Popen(
        [sys.executable, "-m", "jensen", "batch", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,
    )


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in listed.read_text().split()]
    except OSError:
        return []


def workers(pid: int) -> list[int]:
    """Return the spawned workers below a batch, its resource tracker left out."""

    def is_worker(child: int) -> bool:
        try:
            return b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            return False

    return [child for child in children(pid) if is_worker(child)]


def test_every_model_is_one_row_and_broken_ones_say_why(tmp_path, make, executor):
    make("good.npz", 1)
    make("bad.npz", -1)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:100])
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "folder.onnx").mkdir()
    os.symlink("loop.onnx", tmp_path / "loop.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npz")).write_bytes(b"")
    results = run_batch(find_cases([tmp_path]), executor=executor)
    # an escaped name is followed by a digest of the path
    rows = {case.name.partition(" #")[0].rpartition("/")[2]: row for case, row in results}
    assert len(rows) == len(results) == 8
    assert rows["good.npz"].status is RowStatus.CONVEX
    assert rows["bad.npz"].status is RowStatus.NONCONVEX
    for name in ("cut.npz", "text.onnx", "folder.onnx", "loop.onnx", "pipe.onnx", r"caf\xe9.npz"):
        assert rows[name].status is RowStatus.ERROR
        assert rows[name].error


def test_rows_do_not_depend_on_where_jobs_run(tmp_path, make, executor):
    for k in range(6):
        make(f"{k}.npz", 1 if k % 2 else -1)
    cases = find_cases([tmp_path])
    here = run_batch(cases)
    there = run_batch(cases, executor=executor)
    assert [r.status for _, r in here] == [r.status for _, r in there]
    assert [r.digest for _, r in here] == [r.digest for _, r in there]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_a_killed_worker_is_one_error_row_and_a_new_worker(tmp_path, make, executor, monkeypatch):
    for k in range(4):
        make(f"{k}.npz", 1)
    cases = find_cases([tmp_path])
    killed: list[int] = []

    run_batch(cases[:1], executor=executor)  # so that there is a worker
    monkeypatch.setattr(executor, "submit", submit_then_kill(executor, killed))
    results = run_batch(cases, executor=executor, limits=Limits(quick=0))
    counts = Counter(str(row.status) for _, row in results)
    assert counts == {"error": 1, "convex": 3}
    assert "SIGKILL" in next(row.error for _, row in results if row.status is RowStatus.ERROR)


def submit_then_kill(executor: ProcessExecutor, killed: list[int]):
    plain = executor.submit

    def submit(job):
        if not killed:
            (worker,) = executor._workers
            os.kill(worker.process.pid, signal.SIGSTOP)
            plain(job)
            os.kill(worker.process.pid, signal.SIGKILL)
            killed.append(worker.process.pid)
        else:
            plain(job)

    return submit


def test_a_worker_that_died_idle_costs_nothing(make, executor):
    cases = find_cases([make("a.npz", 1)])
    run_batch(cases, executor=executor)
    for worker in executor._workers:
        worker.process.kill()
        worker.process.join()
    ((_, row),) = run_batch(cases, executor=executor)
    assert row.status is RowStatus.CONVEX


def end_at_once(*_: object) -> None:
    os._exit(7)


def test_workers_that_die_while_a_large_job_is_handed_over_are_error_rows(executor, monkeypatch):
    monkeypatch.setattr("jensen.batch.processes._work", end_at_once)
    rng = np.random.default_rng(0)  # more numbers than a pipe holds
    weights = [rng.normal(size=(300, 100)), np.ones((1, 300))]
    net = ReluNetwork.from_layers(weights, [np.zeros(300), [0.0]])
    executor.submit(Job(0, cases_of([net])[0]))
    while not (done := executor.wait(1.0)):
        pass
    ((_, row),) = done
    assert row.status is RowStatus.ERROR
    assert "ended with code 7" in row.error


@pytest.mark.skipif(sys.platform != "linux", reason="needs setrlimit on address space")
def test_a_job_that_needs_too_much_memory_is_a_row_and_the_next_one_runs(tmp_path, make):
    make("small.npz", 1)
    wide = np.zeros((3000, 3000))
    ReluNetwork.from_layers([wide, np.zeros((1, 3000))], [np.zeros(3000), np.zeros(1)]).save(
        tmp_path / "large.npz"
    )
    # address space beyond what the interpreter and the libraries take
    small = ProcessExecutor(1, memory_limit=64 * 2**20)
    try:
        results = run_batch(find_cases([tmp_path]), executor=small, limits=Limits(quick=0))
    finally:
        small.close()
    rows = {case.path.name: row for case, row in results}
    assert rows["large.npz"].status is RowStatus.ERROR
    assert "memory" in rows["large.npz"].error or "worker" in rows["large.npz"].error
    assert rows["small.npz"].status is RowStatus.CONVEX


def test_a_job_that_ignores_its_limit_is_killed(tournament, make, executor):
    (endless,) = find_cases([tournament("endless.npz", 1024, 32)])
    executor.submit(Job(0, endless, kill_after=3.0))
    answers: list[tuple[Job, Row]] = []
    while not answers:
        answers = executor.wait(0.5)
    assert answers[0][1].status is RowStatus.ERROR
    assert "still running long after its limit" in answers[0][1].error
    ((_, row),) = run_batch(find_cases([make("a.npz", 1)]), executor=executor)
    assert row.status is RowStatus.CONVEX


def test_workers_end_with_their_parent_even_if_it_is_killed(tmp_path, make, hard):
    if not Path("/proc/self/task").exists():
        pytest.skip("reads /proc")
    for k in range(3):
        make(f"{k}.npz", 1)
    with command(tmp_path, "--jobs", "2") as run:
        deadline = time.monotonic() + 60
        while not (mine := workers(run.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.kill()
        assert mine
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() and state(pid) != "Z" for pid in mine):
            assert time.monotonic() < deadline, "a worker outlived its parent"
            time.sleep(0.1)


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def crash(folder: Path, store: Path, moment: Callable[["subprocess.Popen[str]"], None]) -> None:
    """Kill a run, or one of its workers, once ``moment`` has come."""
    with command(folder, "--store", store, "--jobs", "2") as run:
        moment(run)
        victims = [run.pid] if random.random() < 0.5 else workers(run.pid)
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(victims[0], signal.SIGKILL)
        run.communicate(timeout=120)


def check_resumed(folder: Path, store: Path, count: int) -> None:
    """Let a run finish: every model must have exactly one row, and the right one."""
    with command(folder, "--store", store, "--jobs", "2", "--json") as run:
        out, err = run.communicate(timeout=240)
    assert run.returncode == 1, err
    right = {f"{k:03}.npz": "convex" if k % 3 else "nonconvex" for k in range(count)}
    rows = json.loads(out)
    assert len(rows) == count
    assert {Path(row["model"]).name: row["status"] for row in rows} == right
    with Store(store) as stored:
        kept = list(stored.rows())
    assert sorted(case.name for case, _ in kept) == sorted(str(folder / name) for name in right)
    assert {case.path.name: str(row.status) for case, row in kept} == right
    assert len({row.digest for _, row in kept}) == count


def test_a_killed_run_is_resumed_without_loss(tmp_path, make, monkeypatch):
    for k in range(60):
        make(f"models/{k:03}.npz", 1 if k % 3 else -1)
    folder, store = tmp_path / "models", tmp_path / "s.db"
    for whom in (0.0, 0.9):  # the run, a worker
        monkeypatch.setattr(random, "random", lambda whom=whom: whom)
        crash(folder, store, lambda run: [run.stderr.readline() for _ in range(10)])
    check_resumed(folder, store, 60)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_a_run_killed_at_five_moments_is_resumed_without_loss(tmp_path, make, part):
    rng = random.Random(part)
    for k in range(300):
        make(f"models/{k:03}.npz", 1 if k % 3 else -1)
    with command(tmp_path / "models", "--jobs", "2") as run:
        start = time.monotonic()
        assert run.stderr is not None
        run.stderr.readline()
        first = time.monotonic() - start
        run.communicate(timeout=240)
        whole = time.monotonic() - start
    for attempt in range(5):
        store = tmp_path / f"{attempt}.db"
        moment = rng.uniform(0.8 * first, whole)
        crash(tmp_path / "models", store, lambda _, moment=moment: time.sleep(moment))
        check_resumed(tmp_path / "models", store, 300)


def test_ctrl_c_stops_with_130_and_keeps_what_was_done(tmp_path, make):
    for k in range(400):
        make(f"models/{k:03}.npz", 1)
    store = tmp_path / "s.db"
    with command(tmp_path / "models", "--store", store, "--jobs", "1") as run:
        assert run.stderr is not None
        run.stderr.readline()  # the first model is done
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert "jensen: interrupted" in err
    assert "stopping when the running models are done" in err
    with Store(store) as stored:
        kept = len(list(stored.rows()))
    assert 0 < kept < 400
    assert f"{kept} model" in out


def test_ctrl_c_twice_stops_at_once_shows_what_is_done_and_leaves_no_worker(
    tmp_path, tournament, make
):
    if not Path("/proc/self/task").exists():
        pytest.skip("reads /proc")
    tournament("endless.npz", 2048, 32)
    make("small.npz", 1)
    with command(tmp_path, "--jobs", "1", "--json", "--export", tmp_path / "r.csv") as run:
        assert run.stderr is not None
        started = [json.loads(run.stderr.readline()) for _ in range(3)]
        assert sorted(event["event"] for event in started) == ["done", "start", "start"]
        mine = workers(run.pid)
        run.send_signal(signal.SIGINT)
        assert json.loads(run.stderr.readline())["event"] == "stopping"
        pressed = time.monotonic()
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=30)
    assert run.returncode == 130
    assert time.monotonic() - pressed < 10
    assert [row["status"] for row in json.loads(out)] == ["convex"]
    assert "small.npz" in (tmp_path / "r.csv").read_text()
    assert all(state(pid) == "Z" for pid in mine)


def test_total_time_leaves_the_rest_unknown_and_unstored(tmp_path, make):
    for k in range(5):
        make(f"{k}.npz", 1)
    with Store(tmp_path / "s.db") as store:
        results = run_batch(find_cases([tmp_path]), store=store, limits=Limits(total_time=1e-9))
        assert [str(row.status) for _, row in results] == ["unknown"] * 5
        assert "total time" in results[0][1].note
        assert not list(store.rows())


def test_cheap_models_come_first(tmp_path, make, hard):
    make("zz.npz", 1)
    done: list[str] = []
    kinds: list[str] = []

    def note(event) -> None:
        kinds.append(str(event.kind))
        if event.kind == "done":
            done.append(event.case.path.name)

    run_batch(find_cases([tmp_path]), limits=Limits(time_limit=5, quick=0.02), on_event=note)
    assert done == ["zz.npz", "hard.npz"]
    assert "deferred" in kinds
