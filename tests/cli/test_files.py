"""No command destroys what it reads, or finds out after the work that it cannot write."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import forked, refused
from onnx import TensorProto, helper

from jensen.batch.store import Store
from jensen.cli import main
from jensen.network.relu_network import ReluNetwork

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_model_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a command begins its work."""

    def begun(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    for command in ("convert", "export", "plot", "verify"):
        monkeypatch.setattr(f"jensen.cli.{command}.load", begun)
    monkeypatch.setattr("jensen.cli.batch.run_batch", begun)


@pytest.fixture
def domain_file(tmp_path: Path) -> Path:
    (tmp_path / "domain.json").write_text('{"type": "box", "lower": -1, "upper": 1}')
    return tmp_path / "domain.json"


COMMANDS: list[Callable[[Path, object], list[object]]] = [
    lambda model, out: ["verify", model, "--certificate", out],
    lambda model, out: ["batch", model, "--jobs", 0, "--junit", out],
    lambda model, out: ["batch", model.parent, "--jobs", 0, "--junit", out],
    lambda model, out: ["batch", model, "--jobs", 0, "--store", out],
]


@pytest.mark.usefixtures("no_model_is_read")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("by", ["name", "link", "hard link", "case of letters", "way round"])
def test_a_model_is_never_taken_for_an_output(capsys, convex_file, tmp_path, command, by):
    before = convex_file.read_bytes()
    out = convex_file
    if by == "link":
        out = tmp_path / "link"
        out.symlink_to(convex_file)
    elif by == "hard link":
        out = tmp_path / "hard"
        out.hardlink_to(convex_file)
    elif by == "way round":
        out = tmp_path / ".." / tmp_path.name / convex_file.name
    elif not (tmp_path / "CONVEX.npz").exists():
        pytest.skip("a file system that tells cases apart")
    assert "would be lost" in refused(capsys, *command(convex_file, out))
    assert convex_file.read_bytes() == before


@pytest.mark.usefixtures("no_model_is_read")
def test_convert_export_and_plot_do_not_take_their_model_either(capsys, convex_file, tmp_path):
    assert "would be lost" in refused(capsys, "convert", convex_file, convex_file)
    for name, command in (("link.json", ["export"]), ("link.svg", ["plot", "-o"])):
        (tmp_path / name).symlink_to(convex_file)
        arguments = [command[0], convex_file, *command[1:], tmp_path / name]
        assert "would be lost" in refused(capsys, *arguments)


@pytest.mark.usefixtures("no_model_is_read")
@pytest.mark.parametrize("option", ["--junit", "--store", "--export", "--report"])
def test_a_batch_takes_no_manifest_domain_or_other_output(
    capsys, convex_file, tmp_path, domain_file, option
):
    ending = {"--export": ".csv", "--report": ".md"}.get(option, "")
    manifest = tmp_path / "manifest.toml"
    manifest.write_text('[[model]]\nfile = "convex.npz"\ndomain = "domain.json"\n')
    for read in (manifest, domain_file):
        out = tmp_path / f"link{ending}"
        out.unlink(missing_ok=True)
        out.symlink_to(read)
        for target in (tmp_path, manifest):
            error = refused(capsys, "batch", target, "--jobs", 0, option, out)
            assert f"{read.name}, which would be lost" in error
    lone = ["batch", convex_file, "--jobs", 0, "--domain", domain_file, option, out]
    assert "domain.json, which would be lost" in refused(capsys, *lone)
    if option != "--junit":
        twice = tmp_path / f"twice{ending}"
        error = refused(capsys, "batch", convex_file, "--jobs", 0, "--junit", twice, option, twice)
        assert "which would be lost" in error


@pytest.mark.usefixtures("no_model_is_read")
def test_outputs_of_any_name_take_the_place_of_no_other_model_and_of_no_store(
    capsys, convex_file, tmp_path
):
    other, store, text = tmp_path / "other.onnx", tmp_path / "results", tmp_path / "old.xml"
    other.write_bytes(b"weights")
    with Store(store):
        pass
    text.write_text("old")
    for out, what in ((other, "a model"), (store, "a store of results")):
        before = out.read_bytes()
        for arguments in (
            ["verify", convex_file, "--certificate"],
            ["batch", convex_file, "--junit"],
        ):
            assert f"is {what}, which would be lost" in refused(capsys, *arguments, out)
        assert out.read_bytes() == before
    main(["batch", str(convex_file), "--jobs", "0", "--junit", str(text)])
    assert "the work has begun" in capsys.readouterr().err


@pytest.mark.usefixtures("no_model_is_read")
def test_the_weights_beside_a_model_are_an_input_too(capsys, tmp_path):
    weights = np.eye(2, dtype=np.float32)
    tensor = helper.make_tensor("w", TensorProto.FLOAT, (2, 2), weights.tobytes(), raw=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [tensor],
    )
    onnx.save(
        helper.make_model(graph),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    outside = tmp_path / "weights.bin"
    error = refused(capsys, "verify", tmp_path / "m.onnx", "--certificate", outside)
    assert "weights.bin, which would be lost" in error
    for target in (tmp_path, tmp_path / "m.onnx"):
        error = refused(capsys, "batch", target, "--jobs", 0, "--junit", outside)
        assert "weights.bin, which would be lost" in error
    assert (tmp_path / "weights.bin").read_bytes() == weights.tobytes()


@pytest.mark.usefixtures("no_model_is_read")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--report", "r.html"], "a page needs jinja2 and matplotlib: pip install"),
        (["--export", "r.parquet"], "Parquet needs pyarrow: pip install"),
        (["--report", "r.pdf"], "cannot write .pdf; supported are .html, .md"),
        (["--export", "r.xls"], "cannot write .xls; supported are .csv, .jsonl, .parquet"),
        (["--junit", "no/r.xml"], "no such folder"),
        (["--store", "no/s.db"], "no such folder"),
        (["--report", "no/r.md"], "no such folder"),
        (["--export", "folder.csv"], "a folder, a file is needed"),
        (["--certificates", "file"], "a file, a folder is needed"),
        (["--memory-limit", "64"], "--memory-limit is one of worker processes"),
    ],
)
def test_a_batch_finds_out_what_is_missing_before_the_first_model(
    capsys, monkeypatch, tmp_path, convex_file, arguments, says
):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    for module in ("jinja2", "matplotlib", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    option, value = arguments
    value = value if option == "--memory-limit" else tmp_path / value
    assert says in refused(capsys, "batch", convex_file, "--jobs", 0, option, value)


def test_a_batch_with_a_markdown_report_needs_no_extra(capsys, monkeypatch, tmp_path, convex_file):
    for module in ("jinja2", "matplotlib", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    report = tmp_path / "r.md"
    assert main(["batch", str(convex_file), "--jobs", "0", "--report", str(report)]) == 0
    assert "convex.npz" in report.read_text()


@pytest.mark.usefixtures("no_model_is_read")
def test_pictures_are_looked_at_before_the_search(capsys, monkeypatch, convex_file, tmp_path):
    error = refused(capsys, "plot", convex_file, "-o", tmp_path / "p.bmp")
    assert "supported are .svg, .png, .pdf" in error
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = refused(capsys, "plot", convex_file, "-o", tmp_path / "p.svg")
    assert "pictures need matplotlib" in error


@pytest.mark.usefixtures("no_model_is_read")
@pytest.mark.skipif(sys.platform != "linux", reason="address space is known on Linux")
def test_a_memory_limit_below_what_a_worker_needs_is_refused_with_the_number(capsys, convex_file):
    error = refused(capsys, "batch", convex_file, "--jobs", 1, "--memory-limit", 100)
    assert "memory limit 100 MiB: a worker needs at least " in error


@pytest.mark.skipif(sys.platform != "linux", reason="address space is known on Linux")
def test_the_number_that_a_memory_limit_needs_is_enough(capsys, convex_file):
    main(["batch", str(convex_file), "--jobs", "1", "--memory-limit", "64"])
    need = int(capsys.readouterr().err.split("at least ")[1].split()[0])
    limit = ["--memory-limit", str(need + 16)]  # it differs a little from run to run
    assert main(["batch", str(convex_file), "--jobs", "1", *limit]) == 0


# ------------------------------------------------------------------------------ reports


@pytest.fixture
def store(convex_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    file = folder / "s.db"
    assert main(["batch", str(convex_file), "--jobs", "0", "--store", str(file)]) == 0
    capsys.readouterr()
    return file


@pytest.mark.parametrize("content", [b"", b"no database" * 100, b"SQLite format 3\0" + bytes(84)])
def test_a_report_changes_no_file_that_is_no_store(capsys, tmp_path, content):
    file = tmp_path / "s.db"
    file.write_bytes(content)
    assert "s.db: " in refused(capsys, "report", file, "-o", tmp_path / "r.md")
    assert file.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


def test_a_report_leaves_the_store_and_its_folder_as_they_are(capsys, tmp_path, store):
    before = store.read_bytes(), store.stat().st_mtime_ns
    assert main(["report", str(store), "-o", str(tmp_path / "r.csv")]) == 0
    assert [path.name for path in store.parent.iterdir()] == ["s.db"]
    assert (store.read_bytes(), store.stat().st_mtime_ns) == before
    for out in (store, Path(f"{store}.md")):
        if out != store:
            out.symlink_to(store)
        capsys.readouterr()
        assert refused(capsys, "report", store, "-o", out)
    assert store.read_bytes() == before[0]


def test_a_report_is_looked_at_before_the_store_is_read(capsys, tmp_path, store):
    assert "no such folder" in refused(capsys, "report", store, "-o", tmp_path / "no" / "r.md")
    assert "supported are .html, .md, .csv" in refused(capsys, "report", store, "-o", "r.pdf")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs a user to become")
@pytest.mark.parametrize("killed", [False, True])
def test_a_store_that_may_not_be_written_to_can_be_reported_from(convex_file, killed, monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        folder, report = Path(name, "kept"), Path(name, "r.csv")
        folder.mkdir()
        shutil.copy(convex_file, name)
        store = folder / "s.db"
        batch = ["batch", Path(name, "convex.npz"), "--jobs", "0", "--store", store]

        def die_without_closing() -> None:
            if killed:
                monkeypatch.setattr(Store, "close", lambda self: os._exit(0))

        assert forked(batch, die_without_closing)[0] == 0
        Path(f"{store}-shm").unlink(missing_ok=True)
        expected = ["s.db", "s.db-wal"] if killed else ["s.db"]
        assert sorted(path.name for path in folder.iterdir()) == expected
        assert main(["report", str(store), "-o", str(report)]) == 0  # imports what is needed
        Path(f"{store}-shm").unlink(missing_ok=True)
        report.unlink()
        Path(name).chmod(0o777)
        folder.chmod(0o555)
        before = {path: path.read_bytes() for path in folder.iterdir()}

        def become_nobody() -> None:
            os.setuid(65534)

        code, said = forked(["report", store, "-o", report], become_nobody)
        assert (code, said) == (0, "")
        assert report.read_text().count("convex.npz") == 1
        assert {path: path.read_bytes() for path in folder.iterdir()} == before
        code, said = forked(batch, become_nobody)
        assert code == 2
        assert said.startswith(f"jensen: error: {store}: cannot be written: ")
        folder.chmod(0o755)


def test_a_store_that_a_batch_holds_open_is_read_as_it_is(store, convex_file):
    with Store(store) as writing:
        ((case, row),) = writing.rows()
        writing.put(case, row)
        with Store(store, read_only=True) as reading:
            assert len(list(reading.rows())) == 1


# ------------------------------------------------------------------------- standard output


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["verify"], ["info"], ["verify", "--json"], ["batch"]])
def test_a_full_disk_behind_standard_output_is_one_line(convex_file, command):
    sources = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "jensen", command[0], convex_file, *command[1:]],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": sources},
            check=False,
        )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    what = "standard output: cannot be written: No space left on device"
    assert errors == [f"jensen: error: {what}"]


def test_the_bare_command_prints_help_as_help(capsys):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("Usage: jensen")
    assert "\n  verify  " in captured.out


def test_networks_are_saved_whole(tmp_path, monkeypatch, absolute_value: ReluNetwork):
    absolute_value.save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"a\.npz: cannot be written: No space left on device"):
        absolute_value.negated().save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == before
