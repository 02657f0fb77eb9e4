"""Jobs on a Dask cluster."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jensen.batch import Limits, RowStatus, Store, find_cases, run_batch
from jensen.batch import dask as jensen_dask
from jensen.batch.dask import ClusterError, DaskExecutor
from jensen.cli import main

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers of one thread each, in this process."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as local:
        yield local


@pytest.fixture
def executor(cluster) -> Iterator[DaskExecutor]:
    """Two threads of a cluster."""
    remote = DaskExecutor(cluster.scheduler_address)
    yield remote
    remote.close()


def write_external(path: Path) -> None:
    """Write relu(x), its weight in a file beside the model."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1], b"\0\0\x80?", raw=True)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1]) for n in "xy"]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    (path.parent / "weights.bin").write_bytes(np.float32(1).tobytes())


def stored(file: Path) -> list[tuple[Any, ...]]:
    """Return every row of a store without what no two runs share."""
    with Store(file, read_only=True) as store:
        rows = [(case.name, case.question, row.to_json()) for case, row in store.rows()]
    for _, _, record in rows:
        for key in ("seconds", "times", "finished"):
            record.pop(key)
    return rows


def test_the_store_of_a_cluster_equals_that_of_this_machine(tmp_path, make, executor):
    folder = tmp_path / "models"
    for k in range(4):
        make(f"models/{k}.npz", 1 if k % 2 else -1)
    (folder / "cut.npz").write_bytes((folder / "0.npz").read_bytes()[:100])
    (folder / "text.onnx").write_text("no model")
    (folder / "folder.onnx").mkdir()
    os.symlink("loop.onnx", folder / "loop.onnx")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.npz")).write_bytes(b"")
    write_external(folder / "outside.onnx")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    for name, where in (("here", None), ("there", executor)):
        with Store(tmp_path / f"{name}.db") as store:
            run_batch(
                find_cases([folder]), executor=where, store=store, certificates=str(certificates)
            )
        written = sorted(certificates.iterdir())
        assert len(written) == 5
        for file in written:
            file.unlink()
    rows = stored(tmp_path / "there.db")
    assert rows == stored(tmp_path / "here.db")
    assert [record["status"] for *_, record in rows].count("error") == 5
    assert len(rows) == 10


def test_a_worker_process_that_is_killed_is_one_error_row(make, hard, executor, monkeypatch):
    monkeypatch.setattr(jensen_dask, "_wanted", lambda: lambda: False)
    ((_, row),) = run_batch(find_cases([hard]), executor=executor)
    assert row.status is RowStatus.ERROR
    assert "SIGKILL" in row.error
    monkeypatch.undo()
    ((_, row),) = run_batch(find_cases([make("a.npz", 1)]), executor=executor)
    assert row.status is RowStatus.CONVEX


def test_limits_hold_on_a_cluster(hard, executor):
    ((_, row),) = run_batch(find_cases([hard]), executor=executor, limits=Limits(time_limit=0.01))
    assert row.status is RowStatus.UNKNOWN


def test_where_there_is_no_scheduler_the_error_names_the_address(monkeypatch):
    monkeypatch.setattr(jensen_dask, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9: cannot be reached"):
        DaskExecutor("tcp://127.0.0.1:9", quiet=True)


def test_the_command_says_in_one_line_what_a_cluster_lacks(make, monkeypatch, capsys):
    model = str(make("a.npz", 1))
    monkeypatch.setattr(jensen_dask, "_CONNECT_SECONDS", 0.2)
    assert main(["batch", model, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "tcp://127.0.0.1:9: cannot be reached" in capsys.readouterr().err
    assert main(["batch", model, "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"]) == 2
    assert "--scheduler and --jobs exclude each other" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["batch", model, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "pip install 'jensen[dask]'" in capsys.readouterr().err


def test_workers_of_another_release_are_refused(cluster, monkeypatch):
    monkeypatch.setattr(jensen_dask, "versions", iter([{"jensen": "9"}, {}, {}]).__next__)
    with pytest.raises(ClusterError, match="here is 9"):
        DaskExecutor(cluster.scheduler_address)


# ------------------------------------------------------------- real processes on loopback


def dask(*arguments: object) -> "subprocess.Popen[bytes]":
    path = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_" + str(arguments[0]),
            *map(str, arguments[1:]),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
    )


@pytest.fixture
def address() -> Iterator[str]:
    """A scheduler, and nothing else."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    yield f"tcp://127.0.0.1:{port}"
    scheduler.kill()
    scheduler.wait()


@contextlib.contextmanager
def worker(address: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    folder.mkdir()
    process = dask("worker", address, *options, "--local-directory", folder)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path, address, tournament):
    models = tmp_path / "models"
    for k in range(60):
        tournament(f"models/{k:02}.npz", 32, 6, k)
    run = [sys.executable, "-m", "jensen", "batch", models, "--time-limit", "60", "--json"]
    path = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    environment = os.environ | {"PYTHONPATH": path}
    with worker(address, tmp_path / "a") as first, worker(address, tmp_path / "b"):
        remote = [*run, "--scheduler", address, "--store", tmp_path / "remote.db"]
        with subprocess.Popen(
            list(map(str, remote)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as batch:
            assert batch.stderr is not None
            done = 0
            while done < 10:
                event = json.loads(batch.stderr.readline())
                done = event["done"]
            first.kill()
            out, err = batch.communicate(timeout=240)
    assert batch.returncode == 0, err
    assert len(json.loads(out)) == 60
    subprocess.run(
        list(map(str, [*run, "--store", tmp_path / "local.db"])),
        check=True,
        capture_output=True,
        env=environment,
    )
    assert stored(tmp_path / "remote.db") == stored(tmp_path / "local.db")


@pytest.mark.slow
def test_dask_workers_that_are_daemons_have_children_all_the_same(make):
    cases = find_cases([make(f"{k}.npz", 1 if k % 2 else -1) for k in range(10)])
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as local:
        remote = DaskExecutor(local.scheduler_address)
        try:
            results = run_batch(cases, executor=remote)
        finally:
            remote.close()
    assert [str(row.status) for _, row in results] == ["nonconvex", "convex"] * 5
