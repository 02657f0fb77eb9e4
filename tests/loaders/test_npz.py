"""The package's own format: what is written is read back, what is damaged is refused."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

from jensen.cli import ExitCode, main
from jensen.errors import ModelFileError, NetworkError
from jensen.loaders import load
from jensen.loaders.npz import FORMAT
from jensen.network.relu_network import Activation, Block, ReluNetwork

SCHEMA = ("format", "input_size", "input_shape", "output_shape", "blocks")


def network():
    rng = np.random.default_rng(0)
    return ReluNetwork(
        3,
        [
            Block("a", {"input": sp.csr_array(np.diag([1.0, -2.0, 0.5]))}, rng.normal(size=3)),
            Block(
                "output",
                {"a": rng.normal(size=(2, 3)), "input": rng.normal(size=(2, 3))},
                rng.normal(size=2),
                Activation.IDENTITY,
            ),
        ],
        input_shape=(1, 3),
    )


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def array(value):
    stream = io.BytesIO()
    np.save(stream, value)
    return stream.getvalue()


@pytest.fixture
def parts(tmp_path):
    network().save(tmp_path / "a.npz")
    return members(tmp_path / "a.npz")


def refused(path, words, kind=ModelFileError):
    with pytest.raises(kind, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_as_documented_and_is_read_back(parts, tmp_path):
    assert set(parts) == {
        f"{name}.npy"
        for name in (
            "header",
            "b0",
            "w0_0_data",
            "w0_0_indices",
            "w0_0_indptr",
            "b1",
            "w1_0",
            "w1_1",
        )
    }
    header = json.loads(str(np.load(io.BytesIO(parts["header.npy"]))))
    assert tuple(header) == SCHEMA
    assert header["format"] == FORMAT
    again = load(tmp_path / "a.npz")
    assert again.digest == network().digest
    assert (again.input_shape, again.output_shape) == ((1, 3), (2,))
    network().save(tmp_path / "b.npz")
    assert members(tmp_path / "b.npz") == parts


def test_an_array_that_asks_for_more_than_is_stored_is_refused(parts, tmp_path):
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(stream, header)
    write(tmp_path / "z.npz", parts | {"b0.npy": stream.getvalue() + bytes(1000)})
    refused(tmp_path / "z.npz", r"array 'b0' does not fill its shape \(1099511627776,\)")


def test_an_archive_too_large_to_unpack_is_refused(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("jensen.loaders.npz.MAX_BYTES", 1000)
    refused(tmp_path / "a.npz", "bytes when unpacked; at most 1000")


@pytest.mark.parametrize("column", [7, -1])
def test_positions_outside_a_sparse_matrix_are_refused(column, parts, tmp_path):
    write(tmp_path / "z.npz", parts | {"w0_0_indices.npy": array(np.array([0, column, 2]))})
    refused(tmp_path / "z.npz", "indices")


def test_an_array_of_objects_is_not_unpickled(parts, tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([{}, {}, {}]), allow_pickle=True)
    write(tmp_path / "z.npz", parts | {"b0.npy": stream.getvalue()})
    refused(tmp_path / "z.npz", "b0|[Oo]bject")


def test_headers_of_another_kind_are_refused(parts, tmp_path):
    for value, words in (
        ('{"format": "other/2"}', "format 'other/2', supported are"),
        ("[]", "not a jensen-network/1 archive"),
        ("{", "not a jensen-network/1 archive"),
    ):
        write(tmp_path / "z.npz", parts | {"header.npy": array(np.array(value))})
        refused(tmp_path / "z.npz", words)
    np.savez(tmp_path / "z.npz", W0=np.ones((2, 1)), b0=np.zeros(2))
    refused(tmp_path / "z.npz", "no array 'header'; jensen.ReluNetwork.from_layers takes arrays")
    changed = {name: content for name, content in parts.items() if name != "b1.npy"}
    write(tmp_path / "z.npz", changed)
    refused(tmp_path / "z.npz", "b1")
    write(tmp_path / "z.npz", parts | {"b1.npy": array(np.array([np.nan, 0]))})
    refused(tmp_path / "z.npz", "NaN", NetworkError)


def test_damaged_archives_give_a_verdict_or_one_line(parts, tmp_path, capsys):
    rng = np.random.default_rng(0)
    whole = (tmp_path / "a.npz").read_bytes()
    path = tmp_path / "z.npz"
    for i in range(150):
        name = list(parts)[i % len(parts)]
        data = bytearray(whole if i % 2 else parts[name])
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        if i % 2:
            path.write_bytes(bytes(data))
        else:
            write(path, parts | {name: bytes(data)})
        code = main(["verify", str(path), "--time-limit", "1"])
        captured = capsys.readouterr()
        if code == ExitCode.ERROR:
            assert captured.err.startswith(f"jensen: error: {path}: ")
            assert captured.err.count("\n") == 1
        else:
            assert captured.out.split()[0] in ("convex", "nonconvex", "unknown")


@pytest.mark.parametrize("size", [2**27, 10**18])
def test_a_header_that_claims_more_inputs_than_memory_holds_is_refused(size, tmp_path):
    header = {
        "format": FORMAT,
        "input_size": size,
        "input_shape": [size],
        "output_shape": [1],
        "blocks": [
            {
                "name": "output",
                "size": 1,
                "activation": "identity",
                "inputs": [{"from": "input", "storage": "csr"}],
            }
        ],
    }
    edge = sp.csr_array((np.ones(1), np.zeros(1, int), np.array([0, 1])), shape=(1, size))
    stored = {f"w0_0_{part}": getattr(edge, part) for part in ("data", "indices", "indptr")}
    path = tmp_path / "many.npz"
    np.savez(path, header=np.array(json.dumps(header)), b0=np.zeros(1), **stored)
    refused(path, "inputs; at most")
