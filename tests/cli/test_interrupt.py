"""Ctrl-C: what was proved is shown, and no traceback is."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import jensen
from jensen.batch import Row
from jensen.batch.job import Job, run_job
from jensen.cli import main
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.tree import Tree
from jensen.verdicts.evidence import Reason
from jensen.verdicts.interrupted import Interrupted
from jensen.verdicts.verdict import Status

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")


def tournaments(outputs: int) -> ReluNetwork:
    """Return maxima of affine functions, whose groups need a tree each."""
    rng = np.random.default_rng(0)
    value, offset = rng.normal(size=(16, 4)), rng.normal(size=16)
    weights, biases = [], []
    while len(value) > 1:
        pairs = np.eye(len(value) // 2)
        # twins of different sizes, which signs alone do not settle
        rows = np.kron(pairs, [[1.0, -1.0], [0.0, 2.0], [0.0, -1.0]])
        weights.append(rows @ value)
        biases.append(rows @ offset)
        value, offset = np.kron(pairs, [[1.0, 0.5, -1.0]]), np.zeros(len(pairs))
    last = np.repeat(value, outputs, axis=0)
    return ReluNetwork.from_layers([*weights, last], [*biases, np.zeros(outputs)])


@pytest.fixture
def after_two_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C in the third tree."""
    runs = iter(range(1000))
    for name in ("run", "run_by_sign"):
        real = getattr(Tree, name)

        def run(self: Tree, budget: int, real: Callable[[Tree, int], object] = real) -> object:
            if next(runs) == 2:
                raise KeyboardInterrupt
            return real(self, budget)

        monkeypatch.setattr(Tree, name, run)


@pytest.mark.usefixtures("after_two_groups")
def test_ctrl_c_raises_what_was_proved():
    with pytest.raises(KeyboardInterrupt) as stopped:
        jensen.verify(tournaments(1), jensen.Box(-1, 1))
    assert isinstance(stopped.value, Interrupted)
    verdict = stopped.value.verdict
    assert verdict.status is Status.UNKNOWN
    assert verdict.note.startswith("interrupted; ")
    done = [item for item in verdict.evidence if item.reason in {Reason.TREE, Reason.SIGN}]
    assert len(done) >= 2
    assert verdict.reasons[str(Reason.OPEN)] > 0
    assert f"{verdict.reasons[str(Reason.OPEN)]} of {len(verdict.evidence)}" in verdict.note


@pytest.mark.usefixtures("after_two_groups")
@pytest.mark.parametrize("outputs", [1, 3])
def test_ctrl_c_in_verify_prints_what_was_proved(capsys, tmp_path, outputs):
    tournaments(outputs).save(tmp_path / "m.npz")
    before = signal.getsignal(signal.SIGINT)
    assert main(["verify", str(tmp_path / "m.npz"), "--box", "-1", "1"]) == 130
    assert signal.getsignal(signal.SIGINT) is before  # whoever calls main goes on
    captured = capsys.readouterr()
    assert captured.out.startswith("unknown  ")
    assert "interrupted; " in captured.out
    assert "hyperplane groups left open" in captured.out
    assert captured.err.strip() == "jensen: interrupted"


def test_ctrl_c_keeps_the_outputs_that_are_done(monkeypatch):
    network = tournaments(3)
    runs = iter(range(1000))
    real = jensen.decide._decide

    def decide(question: object) -> object:
        if next(runs) == 2:
            raise KeyboardInterrupt
        return real(question)  # type: ignore[arg-type]

    monkeypatch.setattr("jensen.decide._decide", decide)
    with pytest.raises(Interrupted) as stopped:
        jensen.verify(network, jensen.Box(-1, 1))
    verdict = stopped.value.verdict
    assert [str(part.status) for part in verdict.outputs] == ["convex", "convex", "unknown"]
    assert verdict.status is Status.UNKNOWN
    assert verdict.note == "interrupted before anything was proved"


def test_ctrl_c_while_a_certificate_is_made_keeps_the_verdict(monkeypatch, capsys, tmp_path):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jensen.certificate.found.certify_convex", stop)
    tournaments(1).save(tmp_path / "m.npz")
    out = tmp_path / "proof.jsonl"
    assert main(["verify", str(tmp_path / "m.npz"), "--certificate", str(out)]) == 130
    captured = capsys.readouterr()
    assert captured.out.startswith("convex  ")
    assert "interrupted before the certificate was complete" in captured.err
    assert not out.exists()


def test_ctrl_c_while_a_report_is_drawn_keeps_the_table(monkeypatch, capsys, tmp_path):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jensen.cli.report.draw", stop)
    model, report = tmp_path / "m.npz", tmp_path / "r.html"
    ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]]).save(model)
    assert main(["batch", str(model), "--jobs", "0", "--report", str(report)]) == 130
    assert "1 model: 1 convex" in capsys.readouterr().out
    assert not report.exists()


def test_ctrl_c_is_answered_at_once_where_the_model_runs_in_this_process(
    monkeypatch, capsys, tmp_path
):
    for name in ("a.npz", "b.npz"):
        ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]]).save(tmp_path / name)
    said = []

    def run(job: Job) -> Row:
        signal.raise_signal(signal.SIGINT)
        end = time.monotonic() + 60
        while not any("Ctrl-C again stops at once" in text for text in said):
            assert time.monotonic() < end
            said.append(capsys.readouterr().err)
        return run_job(job)

    monkeypatch.setattr("jensen.batch.executor.run_job", run)
    assert main(["batch", str(tmp_path), "--jobs", "0"]) == 130
    captured = capsys.readouterr()
    assert "1 model: 1 convex" in captured.out
    assert "stopping" not in captured.err


# ----------------------------------------------------------------- signals, in earnest


def batch(folder: Path, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a batch in a process group of its own, and press Ctrl-C in it as a terminal does."""
    sources = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    loading = "import sys, jensen.cli.batch"
    code = f"{loading}\nprint('ready', flush=True)\nsys.exit(jensen.cli.main())"
    arguments = ["batch", str(folder), "--jobs", "2", "--store", str(folder / "s.db")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": sources},
        process_group=0,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        time.sleep(seconds)
        os.killpg(run.pid, signal.SIGINT)
        try:
            out, err = run.communicate(timeout=120)
        finally:
            run.kill()  # if it did not listen, nothing waits for it
    return subprocess.CompletedProcess(arguments, run.returncode, out, err)


def check_batch(folder: Path, seconds: float) -> None:
    (folder / "s.db").unlink(missing_ok=True)
    done = batch(folder, seconds)
    assert "Traceback" not in done.stderr
    assert "SIGINT" not in done.stdout + done.stderr
    assert "error" not in done.stdout
    assert done.returncode == (130 if "jensen: interrupted" in done.stderr else 0)


@posix
def test_ctrl_c_while_workers_start_is_no_traceback_and_no_row(tmp_path):
    for number in range(8):
        tournaments(1).save(tmp_path / f"{number}.npz")
    check_batch(tmp_path, 0.4)


@posix
@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_a_batch_is_no_traceback_and_no_row(tmp_path):
    for number in range(8):
        tournaments(1).save(tmp_path / f"{number}.npz")
    moments = random.Random(0)
    for _ in range(25):
        check_batch(tmp_path, moments.uniform(0.0, 4.0))


@posix
def test_ctrl_c_after_the_last_word_changes_no_exit_code():
    sources = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    code = "import os, signal, sys, jensen.cli\ncode = jensen.cli.main()\n"
    code += "os.kill(os.getpid(), signal.SIGINT)\nsys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": sources},
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("jensen, version")
    assert done.stderr == ""
