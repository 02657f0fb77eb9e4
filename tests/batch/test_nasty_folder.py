"""A folder with everything that can be wrong: one row each with its reason."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]
DROP = "-dac_override,-dac_read_search"


def as_anybody() -> list[str]:
    """Return what makes a command of root respect permissions, as it does for others."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may read everything, and there is no setpriv")
    return [setpriv, f"--bounding-set={DROP}", f"--inh-caps={DROP}"]


def write_onnx(path: Path, *nodes: onnx.NodeProto, weights: tuple = ()) -> None:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 1]) for n in "xy"]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())


def declared(gibibytes: int, *, external: bool) -> onnx.TensorProto:
    """Return a float tensor of a few bytes that says it is large."""
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1, 1], b"\0\0\x80?", raw=True)
    tensor.dims[0] = gibibytes * 2**28
    if external:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="few_bytes.bin")
    return tensor


def fill(folder: Path, make) -> dict[str, str]:
    """Write the files; return what each row must say, by name."""
    make("nasty/good.npz", 1)
    good = (folder / "good.npz").read_bytes()
    relu = helper.make_node("Relu", ["x"], ["y"])
    times = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    write_onnx(folder / "good.onnx", relu)
    (folder / "cut.onnx").write_bytes((folder / "good.onnx").read_bytes()[:-20])
    (folder / "cut.npz").write_bytes(good[:100])
    (folder / "empty.onnx").touch()
    (folder / "same_bytes.npz").write_text("x")
    (folder / "same_bytes.nnet").write_text("x")
    write_onnx(folder / "sigmoid.onnx", helper.make_node("Atan", ["x"], ["y"], name="squash"))
    write_onnx(folder / "large.onnx", times, weights=(declared(2, external=False),))
    write_onnx(folder / "outside.onnx", times, weights=(declared(2, external=True),))
    (folder / "few_bytes.bin").write_bytes(b"1234")
    (folder / "x.onnx").mkdir()
    os.symlink(".", folder / "here")
    os.symlink("round.onnx", folder / "round.onnx")
    os.symlink("nowhere.onnx", folder / "dangling.onnx")
    os.mkfifo(folder / "pipe.onnx")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.npz")).write_bytes(good)
    (folder / "two\nlines.npz").write_bytes(b"")
    (folder / "secret.npz").write_bytes(good)
    (folder / "secret.npz").chmod(0)
    (folder / "secrets").mkdir()
    (folder / "secrets").chmod(0)
    return {
        "good.npz": "",
        "good.onnx": "",
        "cut.onnx": "damaged",
        "cut.npz": "not a jensen-network/1 archive",
        "empty.onnx": "not an ONNX model",
        "same_bytes.npz": "archive",
        "same_bytes.nnet": ".nnet",
        "sigmoid.onnx": "'squash' (Atan)",
        "large.onnx": "536870912",
        "outside.onnx": "536870912",
        "x.onnx": "not a file",
        "round.onnx": "a link, Too many levels of symbolic links",
        "dangling.onnx": "a link, No such file",
        "pipe.onnx": "not a file",
        r"caf\xe9.npz": "",
        r"two\nlines.npz": "not a jensen-network/1 archive",
        "secret.npz": "Permission denied",
        "secrets": "Permission denied",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="names, links and permissions of Linux")
def test_everything_that_is_wrong_is_one_row_with_its_reason(tmp_path, make):
    folder = tmp_path / "nasty"
    says = fill(folder, make)
    files = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "xml", "md", "db")}
    path = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    outputs = zip(
        ("--export", "--junit", "--report", "--store"),
        (files["csv"], files["xml"], files["md"], files["db"]),
        strict=True,
    )
    command = [*as_anybody(), sys.executable, "-m", "jensen", "batch", folder, "-r", "--jobs", "1"]
    command += [word for pair in outputs for word in pair]
    for kept in ("error", "none"):  # the second time from the store
        done = subprocess.run(
            [*map(str, command), "--retry", kept],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
            timeout=120,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        with files["csv"].open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        # an escaped name is followed by a digest of the path
        found = {row["model"].removeprefix(f"{folder}/").partition(" #")[0]: row for row in rows}
        assert len(rows) == len(found) == len(says)
        for name, text in says.items():
            assert text in found[name]["error"], name
            assert str(folder) not in found[name]["error"], name
            assert found[name]["status"] == ("error" if text else "convex"), name
        progress = [line for line in done.stderr.splitlines() if line.startswith("[")]
        assert len(progress) == len(says)
    # what has no bytes to recognise, or keeps some elsewhere, is looked at again
    assert sum("(stored)" in line for line in progress) == len(says) - 7
