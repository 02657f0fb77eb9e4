"""The checker alone: its corpus, its reading of models, hostile files."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from jensen.certificate import checker_model, export_json
from jensen.network import Activation, Block, ReluNetwork

ROOT = Path(__file__).resolve().parents[1]
CHECKER = ROOT / "verifier" / "jensen" / "checker.py"
CORPUS = ROOT / "tests" / "certificates"
EXIT_CODES = {"accepted": 0, "rejected": 1, "malformed": 2}

# a copy of its own, so that nothing that the producer does can reach it
spec = importlib.util.spec_from_file_location("lonely_checker", CHECKER)
assert spec is not None
assert spec.loader is not None
checker = importlib.util.module_from_spec(spec)
sys.modules["lonely_checker"] = checker
spec.loader.exec_module(checker)


def files(kind: str) -> list[Path]:
    return sorted((CORPUS / kind).iterdir())


def model_of(certificate: Path) -> Path:
    return CORPUS / "models" / f"{certificate.name.split('--')[0]}.json"


def answer(model: Path, certificate: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = checker.main([str(model), str(certificate)])
    return code, capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("kind", "file"),
    [pytest.param(kind, file, id=f"{kind}: {file.stem}")
     for kind in EXIT_CODES for file in files(kind)],
)  # fmt: skip
def test_the_corpus_gets_its_answers(
    kind: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = answer(model_of(file), file, capsys)
    assert (code, text.split(":")[0]) == (EXIT_CODES[kind], kind)
    assert "\n" not in text


def test_a_certificate_is_accepted_gzipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in files("accepted"):
        zipped = tmp_path / "certificate.gz"
        zipped.write_bytes(gzip.compress(file.read_bytes()))
        assert answer(model_of(file), zipped, capsys)[0] == 0


def test_it_runs_alone_without_site_packages() -> None:
    file = files("accepted")[0]
    command = [sys.executable, "-I", "-S", str(CHECKER), str(model_of(file)), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("accepted: output 0 is ")


def test_it_imports_the_standard_library_only() -> None:
    tree = ast.parse(CHECKER.read_text())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
               for alias in node.names}  # fmt: skip
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= set(sys.stdlib_module_names)


def test_wrong_usage_is_malformed(capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main([]) == 2
    assert "usage" in capsys.readouterr().err


# -------------------------------------------------------------------------- the model


def awkward_network() -> ReluNetwork:
    """Dense in both memory orders, sparse with stored zeros, -0.0, an affine block."""
    sparse = sp.csr_array(
        (np.array([2.0, 0.0, -1e-300]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3)
    )
    blocks = [
        Block("a", {"input": np.asfortranarray([[1.0, -0.0], [0.1, 2.0], [3.0, 5e-324]])},
              np.array([-0.0, 1.0, 0.3])),
        Block("b", {"a": sparse, "input": np.array([[1.0, 2.0], [0.0, 0.0]])}, np.zeros(2),
              Activation.IDENTITY),
        Block("output", {"b": np.ones((1, 2)), "a": np.eye(1, 3)}, np.ones(1),
              Activation.IDENTITY),
    ]  # fmt: skip
    return ReluNetwork(2, blocks)


def test_the_digest_is_the_networks_from_every_kind_of_file(tmp_path: Path) -> None:
    network = awkward_network()
    network.save(tmp_path / "m.npz")
    export_json(network, tmp_path / "m.json")
    models = [
        checker_model(network),
        checker.read_model(str(tmp_path / "m.npz")),
        checker.read_model(str(tmp_path / "m.json")),
    ]
    assert {checker.model_digest(model) for model in models} == {network.digest}
    assert all(tuple(model) == tuple(models[0]) for model in models)


def test_the_integer_form_equals_the_network() -> None:
    from fractions import Fraction  # noqa: PLC0415

    network = awkward_network()
    model = checker_model(network)
    head = {"format": checker.FORMAT, "network": network.digest, "claim": "convex", "output": 0}
    for domain in ({"type": "everywhere"},
                   {"type": "box", "lower": ["-1/3", "-2"], "upper": ["1/7", "5"]}):  # fmt: skip
        net = checker.Network(model, checker.Claim(head | {"domain": domain}, model), {})
        rng = np.random.default_rng(1)
        ratios = set()
        for x in rng.uniform(-1, 1, (20, 2)).tolist():
            point = [Fraction(0)] * net.inputs
            point[0] = point[net.bias_unit] = Fraction(1)
            for value, ((unit, factor),) in zip(x, net.places, strict=True):
                point[unit] = Fraction(value) / factor
            z = [value for value, _ in net.along(point, {})]
            exact = network.exact_pre_activations(x)
            for name in ("a", "b"):
                for (unit, factor), value in zip(
                    net.neurons[name], exact[name].to_fractions(), strict=True
                ):
                    assert factor * z[unit] == value
            ratios.add(exact["output"].to_fractions()[0] / z[net.output])
        assert len(ratios) == 1
        assert ratios.pop() > 0


def certificate_for(model: Path) -> Path:
    return next(file for file in files("accepted") if model_of(file) == model)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_models_are_malformed_or_other_networks(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(seed)
    network = awkward_network()
    file = tmp_path / ("m.npz" if seed % 2 else "m.json")
    if seed % 2:
        network.save(file)
    else:
        export_json(network, file)
    certificate = tmp_path / "c.jsonl"
    head = {"format": checker.FORMAT, "network": network.digest, "claim": "convex", "output": 0,
            "domain": {"type": "box", "lower": ["1", "1"], "upper": ["1", "1"]}}  # fmt: skip
    certificate.write_text(json.dumps(head) + '\n["bounds",[]]\n')
    assert answer(file, certificate, capsys)[0] == 0
    data = bytearray(file.read_bytes())
    if seed % 3:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    else:
        data = data[: rng.integers(len(data))]
    file.write_bytes(bytes(data))
    code, _ = answer(file, certificate, capsys)
    if code == 0:  # a bit of the archive's bookkeeping: the network that was read is the same
        model = checker.read_model(str(file))
        assert checker.model_digest(model) == network.digest


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "MAX_MODEL", 1 << 20)
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", bytes(1 << 21))
    code, text = answer(tmp_path / "m.npz", files("accepted")[0], capsys)
    assert code == 2
    assert "unpacks to" in text


@pytest.mark.parametrize(("limit", "value"), [("MAX_LINE", 40), ("MAX_FILE", 100)])
def test_a_certificate_beyond_the_limits_is_malformed(
    limit: str,
    value: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = next(f for f in files("accepted") if "path signs" in f.name)
    monkeypatch.setattr(checker, limit, value)
    lines = checker.Lines(str(file))
    with pytest.raises(checker.Malformed, match="too long"):
        list(lines)


def test_other_endings_and_missing_files_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = files("accepted")[0]
    for model in ("m.onnx", "missing.npz", "missing.json", "", "folder.npz"):
        (tmp_path / "folder.npz").mkdir(exist_ok=True)
        code, text = answer(tmp_path / model, certificate, capsys)
        assert code == 2
        assert "\n" not in text
    assert answer(model_of(certificate), tmp_path / "missing.jsonl", capsys)[0] == 2


def test_a_network_can_claim_a_huge_input_only_in_vain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = json.loads(model_of(files("accepted")[0]).read_text())
    model["input_size"] = 10**15
    (tmp_path / "m.json").write_text(json.dumps(model))
    assert answer(tmp_path / "m.json", files("accepted")[0], capsys)[0] == 2


def test_bounds_of_a_twin_that_was_read_before_leave_its_relaxation_valid() -> None:
    """The second twin's bound comes too late for what reads the first one: its kink stays."""
    falling = {"relu_1": np.array([[-1.0]]), "input": np.array([[1.0]])}  # x - relu(x) - 1 < 0
    blocks = [
        Block("relu_1", {"input": np.ones((1, 1))}, np.zeros(1)),
        Block("relu_2", falling, -np.ones(1)),
        Block("relu_3", {"relu_2": np.ones((1, 1))}, np.zeros(1)),
        Block("relu_4", falling, -np.ones(1)),
        Block("output", {"relu_3": np.ones((1, 1)), "relu_4": -np.ones((1, 1))}, np.zeros(1),
              Activation.IDENTITY),
    ]  # fmt: skip
    network = ReluNetwork(1, blocks)
    model = checker_model(network)
    head = {"format": checker.FORMAT, "network": network.digest, "claim": "convex", "output": 0,
            "domain": {"type": "box", "lower": ["-2"], "upper": ["2"]}}  # fmt: skip
    bounds = {("relu_4", 0): [["upper", [["above", "relu_1", 0, "1"]]]]}
    net = checker.Network(model, checker.Claim(head, model), bounds)
    unit, _ = net.neurons["relu_2"][0]
    assert net.neurons["relu_4"][0][0] == unit
    assert net.high[unit] == -1
    assert unit in net.kinks
    node = checker.Node(net, net.neurons["relu_1"][0][0])
    assert node.largest({-unit: 1}) == node.largest({-unit: -1}) == 0
    for kind in ("above", "below"):
        with pytest.raises(checker.Rejected, match="no such row"):
            node.row(kind, "relu_2", 0)
