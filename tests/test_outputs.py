"""Outputs are looked at before the work, and are whole or not there after it."""

import errno
import os
import stat
from pathlib import Path

import pytest

import jensen
from jensen.errors import JensenError, OptionError, OutputError
from jensen.outputs import check_output, check_output_folder, path_of, replacing, write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FullDisk:
    """Lets so many calls of a function of ``os`` through, then says that the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, calls: int = 0) -> None:
        self.left, self.real = calls, getattr(os, name)
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments: object, **keywords: object) -> object:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*arguments, **keywords)


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "a", "é")
    write_whole(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"second"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_what_was_there_stays_if_writing_ends_early(tmp_path, failure):
    file = tmp_path / "a"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as stream:
            stream.write(b"half of the n")
            raise failure

    with pytest.raises(failure):
        write()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["open", "fsync", "fdopen"])
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch, call):
    file = tmp_path / "a"
    file.write_text("old")
    FullDisk(monkeypatch, call)
    with pytest.raises(OutputError) as found:
        write_whole(file, "new")
    monkeypatch.undo()
    assert str(found.value) == f"{file}: cannot be written: No space left on device"
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_an_error_of_outputs_is_one_of_this_package_and_of_the_system():
    assert issubclass(OutputError, JensenError)
    assert issubclass(OutputError, OSError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_is_written_to_and_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left"):
        write_whole("/dev/full", b"x" * 100_000)
    write_whole("/dev/null", "gone")
    assert check_output("/dev/null") == Path("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@posix
def test_a_new_file_has_the_usual_permissions_and_an_old_one_its_own(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o600)
    write_whole(tmp_path / "new", "y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a")
    write_whole(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "a").read_text() == "x"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.txt", "cannot write .txt; supported are .csv, .md"),
        ("a", "cannot write (no ending)"),
        ("no/a.csv", "no such folder"),
        ("folder.csv", "a folder, a file is needed"),
        ("n" * 300 + ".csv", "cannot be written: File name too long"),
        ("file/a.csv", "cannot be written: Not a directory"),
        ("nul\0.csv", "null"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, name, says):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as found:
        check_output(tmp_path / name, endings=(".csv", ".md"))
    assert says in str(found.value)
    assert "\n" not in str(found.value)
    assert names(tmp_path) == ["file", "folder.csv"]


def test_a_check_leaves_nothing_and_changes_nothing(tmp_path):
    (tmp_path / "a.CSV").write_text("old")
    check_output(tmp_path / "a.CSV", endings=(".csv",))
    check_output(tmp_path / "new.csv", endings=(".csv",))
    assert names(tmp_path) == ["a.CSV"]
    assert (tmp_path / "a.CSV").read_text() == "old"


@posix
def test_no_output_is_an_input_by_whatever_name(tmp_path):
    model = tmp_path / "model.onnx"
    model.write_text("model")
    (tmp_path / "link").symlink_to(model)
    (tmp_path / "hard").hardlink_to(model)
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")
    for name in ("model.onnx", "link", "hard", "../" + tmp_path.name + "/model.onnx"):
        with pytest.raises(OutputError, match=r"model\.onnx, which would be lost"):
            check_output(tmp_path / name, inputs=["nowhere", model])
        with pytest.raises(OutputError, match="which would be lost"):
            check_output(model, inputs=[tmp_path / name])
    with pytest.raises(OutputError, match="dangling, which would be lost"):
        check_output(tmp_path / "missing", inputs=[tmp_path / "dangling"])
    assert check_output(tmp_path / "other", inputs=[model]) == tmp_path / "other"
    assert model.read_text() == "model"


@posix
def test_a_read_only_file_or_folder_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(OutputError, match="read-only"):
        check_output(tmp_path / "a")
    monkeypatch.undo()

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    for check in (check_output, check_output_folder):
        with pytest.raises(OutputError, match="cannot be written: Read-only file system"):
            check(tmp_path / "folder" if check is check_output_folder else tmp_path / "b")


def test_a_folder_for_outputs_is_made(tmp_path):
    assert check_output_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: a file, a folder is needed"):
        check_output_folder(tmp_path / "file")


def test_an_empty_name_is_not_the_current_folder():
    for check in (path_of, check_output, check_output_folder, jensen.load):
        with pytest.raises(OptionError, match="an empty name"):
            check("")
