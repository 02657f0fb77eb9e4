"""Which models a folder, a manifest or a list names."""

import os
from pathlib import Path

import numpy as np
import pytest

from jensen.batch import RowStatus, find_cases, run_batch
from jensen.batch.manifest import told
from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.errors import ModelFileError
from jensen.verdicts.options import Options


def manifest(folder: Path, text: str, name: str = "manifest.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_folder_without_manifest_is_its_model_files_in_order(tmp_path, make):
    make("b.npz", 1)
    make("a.npz", 1)
    make("deep/c.npz", 1)
    (tmp_path / "notes.txt").write_text("not a model")
    (tmp_path / "folder.onnx").mkdir()
    names = [case.path.name for case in find_cases([tmp_path])]
    assert names == ["a.npz", "b.npz", "folder.onnx"]
    everything = find_cases([tmp_path], recursive=True)
    assert [case.path.name for case in everything] == ["a.npz", "b.npz", "c.npz", "folder.onnx"]
    assert all(isinstance(case.domain, Everywhere) for case in everything)


def test_links_are_not_followed_round_in_circles(tmp_path, make):
    make("a.npz", 1)
    os.symlink(tmp_path, tmp_path / "loop")
    os.symlink("b.npz", tmp_path / "b.npz")
    assert [c.path.name for c in find_cases([tmp_path], recursive=True)] == ["a.npz", "b.npz"]


def test_a_manifest_says_domain_output_and_expected_verdict(tmp_path):
    (tmp_path / "half.toml").write_text('type = "polyhedron"\nA = [[1.0]]\nb = [0.0]\n')
    manifest(
        tmp_path,
        """
        [[model]]
        file = "a.onnx"
        expected = "convex"
        reason = "of a kind"
        [[model]]
        file = "a.onnx"
        domain = { type = "box", lower = -1.0, upper = [1.0, 2.0] }
        output = 1
        concave = true
        inputs = [0, 2]
        [[model]]
        file = "b.onnx"
        domain = "half.toml"
        expected = "error"
        [[model]]
        file = "b.onnx"
        domain = "box -1 1e2"
        tolerance = 1e-6
        """,
    )
    first, second, third, fourth = find_cases([tmp_path])
    assert (first.path, first.expected) == (tmp_path / "a.onnx", RowStatus.CONVEX)
    assert first.reason == "of a kind"
    assert isinstance(second.domain, Box)
    assert (second.output, second.options.concave, second.options.inputs) == (1, True, (0, 2))
    assert isinstance(third.domain, Polyhedron)
    assert third.expected is RowStatus.ERROR
    assert fourth.options.tolerance == 1e-6
    assert fourth.domain.to_json() == {"type": "box", "lower": -1.0, "upper": 100.0}


def test_a_csv_manifest_says_the_same(tmp_path):
    manifest(
        tmp_path,
        "file,domain,expected,output,inputs\n"
        "a.onnx,everywhere,convex,,\n"
        "a.onnx,box -1 1,nonconvex,1,0 2\n",
        "manifest.csv",
    )
    first, second = find_cases([tmp_path / "manifest.csv"])
    assert (first.expected, first.output) == (RowStatus.CONVEX, None)
    assert (second.expected, second.output) == (RowStatus.NONCONVEX, 1)
    assert second.options.inputs == (0, 2)


def test_a_domain_on_the_command_line_drops_what_the_manifest_expects(tmp_path):
    manifest(tmp_path, '[[model]]\nfile = "a.onnx"\nexpected = "convex"\n')
    (case,) = find_cases([tmp_path], domain=Box(-1, 1))
    assert case.expected is None
    assert isinstance(case.domain, Box)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[model]\n", "not TOML"),
        ("model = 3\n", "[[model]]"),
        ("", "lists no model"),
        ('[[model]]\nname = "a"\n', "unknown keys ['name']"),
        ("[[model]]\noutput = 1\n", "'file' is missing"),
        ('[[model]]\nfile = "a"\nexpected = "maybe"\n', "maybe"),
        ('[[model]]\nfile = "a"\ndomain = "nowhere.toml"\n', "nowhere.toml"),
        ('[[model]]\nfile = "a"\ndomain = { type = "ball" }\n', "ball"),
        ('[[model]]\nfile = "a"\ntolerance = -1\n', "tolerance"),
        ('[[model]]\nfile = "a"\noutput = "x"\n', "model 1"),
    ],
)
def test_a_damaged_manifest_is_refused_by_name(tmp_path, text, says):
    manifest(tmp_path, text)
    with pytest.raises(ModelFileError) as error:
        find_cases([tmp_path])
    assert says in str(error.value)
    assert "manifest.toml" in str(error.value)


def test_what_does_not_exist_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no such file or folder"):
        find_cases([tmp_path / "nowhere"])
    with pytest.raises(ModelFileError, match="no model in it"):
        find_cases([tmp_path])
    (tmp_path / "net.pt").touch()
    with pytest.raises(ModelFileError, match=r"no model in it .*: net\.pt may run code"):
        find_cases([tmp_path])


def test_a_verdict_that_nobody_can_expect_is_refused_by_its_name(make, tmp_path):
    make("a.npz", 1)
    for value in ('"maybe"', '""', "1"):
        file = manifest(tmp_path, f'[[model]]\nfile = "a.npz"\nexpected = {value}\n')
        with pytest.raises(ModelFileError, match=r"expected = .*: known are convex, nonconvex"):
            find_cases([file])


def test_models_of_other_kinds_in_folders_are_told_of(make, tmp_path):
    model = make("a.npz", 1)
    for name in ("b.pt", "c.pt", "d.keras", "notes.txt", "sub/e.pkl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def said(target, *, recursive=False):
        others: list[Path] = []
        find_cases([target], recursive=recursive, passed_over=others)
        return told(others)

    torch, keras = said(tmp_path)
    assert torch.startswith("2 .pt files passed over: b.pt may run code")
    assert keras.startswith("1 .keras file passed over: d.keras is read by Keras only")
    assert len(said(tmp_path, recursive=True)) == 3
    assert not said(model)
    manifest(tmp_path, '[[model]]\nfile = "a.npz"\n')
    assert not said(tmp_path)


def test_limits_are_no_part_of_the_question(make):
    path = make("a.npz", 1)
    (slow,) = find_cases([path], options=Options(time_limit=100, seed=3))
    (fast,) = find_cases([path], options=Options(time_limit=1))
    (other,) = find_cases([path], options=Options(concave=True))
    assert slow.job("digest") == fast.job("digest")
    assert slow.job("digest") != other.job("digest")
    assert slow.job("digest") != slow.job("another")


@pytest.mark.parametrize(
    ("word", "concave"),
    [("true", True), ("TRUE", True), ("True", True), ("1", True), ("yes", True), (" Yes ", True),
     ("false", False), ("FALSE", False), ("0", False), ("no", False), ("", False)],
)  # fmt: skip
def test_a_spreadsheets_words_for_true_and_false_are_read(tmp_path, make, word, concave):
    make("a.npz", 1)
    (tmp_path / "manifest.csv").write_text(f"file,concave\na.npz,{word}\n")
    (case,) = find_cases([tmp_path])
    assert case.options.concave is concave


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("concave = 2", "concave = 2: neither true nor false"),
        ("concave = 1.0", "concave = 1.0: neither true nor false"),
        ('concave = "WAHR"', "concave = 'WAHR': neither true nor false"),
        ("output = 0.5", "output = 0.5: a whole number"),
        ("output = true", "output = True: a whole number"),
        ('output = "-1"', "output = '-1': a whole number"),
        ("inputs = [0.5]", "inputs = 0.5: a whole number"),
        ("inputs = 3", "inputs = 3: a list such as [0, 2]"),
        ('inputs = "0 x"', "inputs = 'x': a whole number"),
    ],
)
def test_what_may_mean_anything_is_an_error(tmp_path, make, line, says):
    make("a.npz", 1)
    (tmp_path / "manifest.toml").write_text(f'[[model]]\nfile = "a.npz"\n{line}\n')
    with pytest.raises(ModelFileError) as found:
        find_cases([tmp_path])
    assert says in str(found.value)
    assert "model 1" in str(found.value)


def test_a_line_with_more_fields_than_names_is_an_error(tmp_path, make):
    make("a.npz", 1)
    (tmp_path / "manifest.csv").write_text("file,concave\na.npz,true,everywhere\n")
    with pytest.raises(ModelFileError, match="more fields than the header has names"):
        find_cases([tmp_path])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("manifest.toml", "a = " + "[" * 20000 + "]" * 20000, "not TOML"),
        ("manifest.toml", '[[model]]\nfile = "a.npz"\ntolerance = true', "tolerance = True"),
        ("manifest.toml", '[[model]]\nfile = "a.npz"\ntolerance = [1]', "tolerance"),
        ("manifest.csv", "file,tolerance\na.npz,1_0", "1_0"),
        ("manifest.csv", "file,file\na.npz,b.npz", "two columns are called 'file'"),
    ],
)
def test_manifests_that_can_be_read_in_two_ways_or_none_are_refused(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelFileError, match=words) as caught:
        find_cases([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_an_archive_that_asks_for_a_newer_unpacker_is_one_case(tmp_path):
    np.savez(tmp_path / "a.npz", W0=np.ones((3, 1, 2)), b0=np.zeros((3, 1)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\1\2") + 6] = 99  # the version needed, in the directory
    (tmp_path / "a.npz").write_bytes(content)
    ((_, row),) = run_batch(find_cases([tmp_path]))
    assert row.status is RowStatus.ERROR


def test_a_spreadsheets_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    for name, text in (
        ("manifest.csv", 'file,domain,reason\na.onnx,"box -1,0 1,2","two\nlines"\n'),
        ("manifest.toml", '[[model]]\nfile = "a.onnx"\ndomain = "d.json"\n'),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        (tmp_path / "d.json").write_text(
            '{"type": "box", "lower": [-1, 0], "upper": [1, 2]}', encoding="utf-8-sig"
        )
        (case,) = find_cases([tmp_path / name])
        assert case.path.name == "a.onnx"
        assert case.domain == Box([-1, 0], [1, 2])
        assert case.reason in {"", "two\nlines"}
