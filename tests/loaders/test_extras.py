"""Formats of other packages: what is needed for them, and who reads them instead."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from pathlib import Path

import pytest

import jensen
from jensen.cli import ExitCode, main
from jensen.errors import MissingExtraError, ModelFileError
from jensen.loaders.quiet import quiet


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("without_torch")
def test_without_torch_the_extra_is_named(tmp_path, capsys):
    with pytest.raises(MissingExtraError, match=r'pip install "jensen\[torch\]"'):
        jensen.from_torch(object(), (3,))
    path = tmp_path / "model.pt2"
    path.write_bytes(b"PK")
    assert main(["verify", str(path)]) == ExitCode.ERROR
    captured = capsys.readouterr()
    assert "jensen: error: PyTorch models need the extra" in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_without_the_exporter_of_keras_the_extra_is_named():
    class Model:
        def export(self, *_, **__):
            raise ModuleNotFoundError("No module named 'tf2onnx'", name="tf2onnx")

    with pytest.raises(MissingExtraError, match=r'"jensen\[keras\]" \(tf2onnx is missing\)'):
        jensen.from_keras(Model())


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (".pt", r"torch\.load\(\.\.\., weights_only=True\) and use jensen\.from_torch"),
        (".joblib", r"jensen\.from_sklearn"),
        (".keras", r"jensen\.from_keras"),
    ],
)
def test_files_that_only_their_own_package_may_read_are_refused_with_advice(
    ending, words, tmp_path
):
    with pytest.raises(ModelFileError, match=words):
        jensen.load(tmp_path / f"model{ending}")


def test_other_packages_keep_quiet_and_talk_again_afterwards(capsys):
    logger = logging.getLogger("noisy.part")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        with quiet("noisy"):
            logger.error("not shown")
            sys.stdout.write("not shown")
            warnings.warn("not shown", stacklevel=1)
        logger.error("shown")
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr() == ("", "shown\n")


def test_two_threads_that_keep_others_quiet_give_back_what_they_found():
    inside, leave = threading.Event(), threading.Event()
    before = sys.stdout, sys.stderr

    def first():
        with quiet("noisy"):
            inside.set()
            leave.wait(5)

    def second():
        with quiet("noisy"):
            pass

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait(5)
    threads[1].start()
    threads[1].join(0.2)  # before, it ended here and put the other thread's stream in its place
    leave.set()
    for thread in threads:
        thread.join()
    assert (sys.stdout, sys.stderr) == before


def test_a_file_that_is_no_archive_is_not_said_to_hold_pickles(tmp_path):
    path = Path(tmp_path / "model.npz")
    path.write_bytes(b"not an archive")
    with pytest.raises(ModelFileError, match=r"model\.npz: not a .* archive \(no zip archive\)"):
        jensen.load(path)
