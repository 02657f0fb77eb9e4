"""The checker alone: its corpus, its reading of models, hostile files."""

from __future__ import annotations

import ast
import gzip
import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import scipy.sparse as sp

from jensen.certificate.model_export import export_bytes, export_json
from jensen.loaders import load
from jensen.network.relu_network import Activation, Block, ReluNetwork

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "verifier" / "jensen" / "certificate" / "checker.py"
CORPUS = ROOT / "tests" / "certificate"
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


def exported(network: ReluNetwork) -> Any:
    """Return a network as the checker reads it."""
    return checker.read_model(export_bytes(network))


def test_the_export_is_the_network(tmp_path: Path) -> None:
    network = awkward_network()
    export_json(network, tmp_path / "m.json")
    model = checker.read_model((tmp_path / "m.json").read_bytes())
    assert model.digest == hashlib.sha256((tmp_path / "m.json").read_bytes()).hexdigest()
    assert model.inputs == network.input_size
    assert [block.name for block in model.blocks] == [block.name for block in network.blocks]
    for read, block in zip(model.blocks, network.blocks, strict=True):
        assert (read.relu, read.bias) == (block.is_relu, block.bias.tolist())
        assert read.weights.keys() == block.weights.keys()
        for source, rows in read.weights.items():
            dense = oracle.dense(block.weights[source])
            assert [{j: w for j, w in enumerate(row) if w} for row in dense.tolist()] == rows


def test_the_export_is_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    network = awkward_network()
    network.save(tmp_path / "m.npz")
    dense = ReluNetwork(2, [
        Block(b.name, {s: np.array(oracle.dense(w)) for s, w in b.weights.items()}, b.bias + 0.0,
              b.activation)
        for b in network.blocks
    ])  # fmt: skip
    assert export_bytes(load(tmp_path / "m.npz")) == export_bytes(network)
    assert export_bytes(dense) == export_bytes(network)


def test_the_integer_form_equals_the_network() -> None:
    network = awkward_network()
    model = exported(network)
    head = {"format": checker.FORMAT, "model": model.digest, "claim": "convex", "output": 0}
    box = {"type": "box", "lower": ["-1/3", "-2"], "upper": ["1/7", "5"]}
    # the input units: 1, then t = 1, or inputs whose bounds are integers
    for domain, start, scales in (({"type": "everywhere"}, [1, 1], (1, 1)), (box, [1], (21, 1))):
        net = checker.Network(model, checker.Claim(head | {"domain": domain}, model), {})
        rng = np.random.default_rng(1)
        ratios = set()
        for x in rng.uniform([-0.33, -2], [0.14, 5], (20, 2)).tolist():
            exact = [Fraction(v) for v in x]
            z = [*map(Fraction, start), *(v * s for v, s in zip(exact, scales, strict=True))]
            for unit in net.units[net.inputs :]:
                z.append(sum(c * (z[k] if k >= 0 else max(z[-k], 0))
                             for k, c in unit.form.items()))  # fmt: skip
                assert domain != box or unit.name == "output" or unit.low <= z[-1] <= unit.high
            values = network.exact_pre_activations(x)
            for name in ("a", "b"):
                for i, value in enumerate(values[name].to_fractions()):
                    unit, factor = net.neurons[name, i]
                    assert factor * z[unit] == value
            output = values["output"].to_fractions()[0]
            assert checker.evaluate(model, 0, exact) == output
            ratios.add(output / z[net.output])
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
    file = tmp_path / "m.json"
    export_json(network, file)
    digest = exported(network).digest
    certificate = tmp_path / "c.jsonl"
    head = {"format": checker.FORMAT, "model": digest, "claim": "convex", "output": 0,
            "domain": {"type": "box", "lower": ["1", "1"], "upper": ["1", "1"]}}  # fmt: skip
    certificate.write_text(json.dumps(head) + '\n["bounds",[]]\n')
    assert answer(file, certificate, capsys)[0] == 0
    data = bytearray(file.read_bytes())
    if seed % 3:
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    else:
        data = data[: rng.integers(len(data))]
    file.write_bytes(bytes(data))
    if bytes(data) == export_bytes(network):
        return  # the end was cut off behind the last character
    code, text = answer(file, certificate, capsys)
    assert code == 2 or (code == 1 and "another model" in text)


MODEL = """{"format":"jensen-export/2","inputs":2,"blocks":[
 {"name":"relu_1","relu":true,"bias":["0x1.0000000000000p+0"],"weights":{"input":[[0,"0x1.0000000000000p+0",1,"-0x1.0000000000000p+0"]]}},
 {"name":"output","relu":false,"bias":["0x0.0p+0"],"weights":{"relu_1":[[0,"0x1.0000000000000p+0"]]}}]}"""
FLAWS = {  # what is replaced, by what
    "infinite weight": ('"-0x1.0000000000000p+0"', '"inf"'),
    "bias that is not a number": ('["0x1.0000000000000p+0"]', '["nan"]'),
    "weight that is too large": ('"-0x1.0000000000000p+0"', '"0x1.0000000000000p+1024"'),
    "weight without all its digits": ('"-0x1.0000000000000p+0"', '"-0x1p+0"'),
    "weight that would be read as 0": ('"-0x1.0000000000000p+0"', '"-0x1p-1080"'),
    "weight that would be read as 16": ('"-0x1.0000000000000p+0"', '"10"'),
    "weight with a space": ('"-0x1.0000000000000p+0"', '" -0x1.0000000000000p+0"'),
    "weight in capitals": ('"-0x1.0000000000000p+0"', '"-0X1.0000000000000P+0"'),
    "weight that is not normal": ('"-0x1.0000000000000p+0"', '"-0x0.8000000000000p+1"'),
    "unknown key": ('"inputs":2', '"inputs":2,"comment":"convex"'),
    "unknown key of a block": ('"relu":true', '"relu":true,"bound":"0x0.0p+0"'),
    "weight as a number": ('"-0x1.0000000000000p+0"', "-1.0"),
    "column repeated": ('1,"-0x1.0000000000000p+0"', '0,"-0x1.0000000000000p+0"'),
    "column that is not there": ('1,"-0x1.0000000000000p+0"', '2,"-0x1.0000000000000p+0"'),
    "column as a float": ('1,"-0x1.0000000000000p+0"', '1.0,"-0x1.0000000000000p+0"'),
    "columns that fall": ('0,"0x1.0000000000000p+0",1,', '1,"0x1.0000000000000p+0",0,'),
    "column without a weight": (',1,"-0x1.0000000000000p+0"', ",1"),
    "too few rows": ('[[0,"0x1.0000000000000p+0",1,"-0x1.0000000000000p+0"]]', "[]"),
    "too many rows": ('[[0,"0x1.0000000000000p+0",1,"-0x1.0000000000000p+0"]]', "[[],[]]"),
    "source that comes later": ('"input":[[0', '"output":[[0'),
    "source that is not there": ('"input":[[0', '"relu_9":[[0'),
    "source repeated": ('"weights":{"relu_1":', '"weights":{"relu_1":[[]],"relu_1":'),
    "name repeated": ('"name":"output"', '"name":"relu_1"'),
    "name of the inputs": ('"name":"relu_1"', '"name":"input"'),
    "output with kinks": ('"relu":false', '"relu":true'),
    "activation as a number": ('"relu":true', '"relu":1'),
    "no neurons": (MODEL[MODEL.index('"bias"') : MODEL.index("},")], '"bias":[],"weights":{'),
    "no blocks": ('"blocks":[', '"blocks":[],"others":['),
    "another format": ("export/2", "export/3"),
    "too many inputs": ('"inputs":2', '"inputs":1000000000000000'),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_models_with_a_flaw_are_malformed(flaw: str) -> None:
    good, bad = FLAWS[flaw]
    assert MODEL.count(good) == 1
    checker.read_model(MODEL.encode())
    with pytest.raises(Exception) as caught:  # noqa: PT011  (main takes any error for malformed)
        checker.read_model(MODEL.replace(good, bad).encode())
    assert not isinstance(caught.value, checker.Rejected)


def test_models_beyond_the_limit_are_refused_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checker, "MAX_MODEL", 1 << 20)
    (tmp_path / "m.json").write_text("{" + " " * (1 << 21))
    code, text = answer(tmp_path / "m.json", files("accepted")[0], capsys)
    assert code == 2
    assert "too large" in text


def test_other_models_than_exports_are_told_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    awkward_network().save(tmp_path / "m.npz")
    code, text = answer(tmp_path / "m.npz", files("accepted")[0], capsys)
    assert code == 2
    assert "`jensen export`" in text


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
    lines = iter(checker.Lines(str(file)))
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


@pytest.mark.parametrize(
    ("claim", "line"), [("convex", '["bounds",[]]'), ("nonconvex", '["pair",["1/3"],["2/7"]]')]
)
def test_a_deep_network_of_extreme_weights_does_not_take_hours(
    claim: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thousand bits more per layer: the numbers of many layers would fill the memory."""
    blocks = [
        Block(f"relu_{k}", {f"relu_{k - 1}" if k else "input": np.full((1, 1), 1e300 + k)},
              np.full(1, -1e-300 * (k + 1)))
        for k in range(5_000)
    ]  # fmt: skip
    output = Block("output", {blocks[-1].name: np.eye(1)}, np.zeros(1), Activation.IDENTITY)
    file = tmp_path / "m.json"
    export_json(ReluNetwork(1, [*blocks, output]), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    head = {"format": checker.FORMAT, "model": digest, "claim": claim, "output": 0,
            "domain": {"type": "everywhere"}}  # fmt: skip
    (tmp_path / "c.jsonl").write_text(json.dumps(head) + "\n" + line + "\n")
    code, text = answer(file, tmp_path / "c.jsonl", capsys)
    assert code == 2
    assert "too many digits" in text


def test_names_cannot_forge_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = json.loads(MODEL)
    model["blocks"][0]["name"] = "\ud800\naccepted: all\x1b[2J"
    model["blocks"][1]["weights"] = {model["blocks"][0]["name"]: [[0, "-0x1.0000000000000p+0"]]}
    raw = json.dumps(model).encode()
    (tmp_path / "m.json").write_bytes(raw)
    head = {"format": checker.FORMAT, "model": hashlib.sha256(raw).hexdigest(), "output": 0,
            "claim": "convex", "domain": {"type": "everywhere"}}  # fmt: skip
    (tmp_path / "c.jsonl").write_text(json.dumps(head) + '\n["bounds",[]]\n')
    code, text = answer(tmp_path / "m.json", tmp_path / "c.jsonl", capsys)
    assert code == 1
    assert text.isascii()
    assert text.isprintable()


def falling_twins() -> tuple[Any, Any]:
    """Return a model whose relu_2 and relu_4 are twins and never on, and a claim about it."""
    falling = {"relu_1": np.array([[-1.0]]), "input": np.array([[1.0]])}  # x - relu(x) - 1 < 0
    blocks = [
        Block("relu_1", {"input": np.ones((1, 1))}, np.zeros(1)),
        Block("relu_2", falling, -np.ones(1)),
        Block("relu_3", {"relu_2": np.ones((1, 1))}, np.zeros(1)),
        Block("relu_4", falling, -np.ones(1)),
        Block("output", {"relu_3": np.ones((1, 1)), "relu_4": -np.ones((1, 1))}, np.zeros(1),
              Activation.IDENTITY),
    ]  # fmt: skip
    model = exported(ReluNetwork(1, blocks))
    head = {"format": checker.FORMAT, "model": model.digest, "claim": "convex", "output": 0,
            "domain": {"type": "box", "lower": ["-2"], "upper": ["2"]}}  # fmt: skip
    return model, checker.Claim(head, model)


def test_bounds_of_a_unit_settle_its_twins() -> None:
    model, claim = falling_twins()
    upper = [["above", "relu_1", 0, "1"]]
    net = checker.Network(model, claim, {("relu_2", 0): (None, upper)})
    unit = net.unit("relu_2", 0)
    assert net.unit("relu_4", 0) == unit
    assert net.units[unit].high == -1
    assert not net.kinks
    assert net.largest({-unit: 1}) == net.largest({-unit: -1}) == 0
    group = net.unit("relu_1", 0)
    with pytest.raises(checker.Rejected, match="does not change its sign"):
        checker.Node(net, group, {group: False}).row("below", "relu_2", 0)


def test_bounds_of_a_twin_that_comes_too_late_are_malformed() -> None:
    """What reads the first twin was written with its kink: there is nothing to bound any more."""
    model, claim = falling_twins()
    upper = [["above", "relu_1", 0, "1"]]
    with pytest.raises(checker.Malformed, match="not the first neuron"):
        checker.Network(model, claim, {("relu_4", 0): (None, upper)})


# ------------------------------------------------------------------- what is printed


def claim_on(domain: dict[str, Any], **others: Any) -> dict[str, Any]:
    digest = hashlib.sha256((CORPUS / "models" / "two.json").read_bytes()).hexdigest()
    head = {"format": checker.FORMAT, "model": digest, "claim": "convex", "output": 0}
    return head | {"domain": domain} | others


def proved(head: dict[str, Any], folder: Path) -> tuple[int, str, Any]:
    file = folder / "c.jsonl"
    file.write_text(json.dumps(head) + '\n["bounds",[]]\n["path_signs"]\n')
    return checker.run(str(CORPUS / "models" / "two.json"), str(file))  # type: ignore[no-any-return]


def test_the_domain_is_printed_in_lowest_terms(tmp_path: Path) -> None:
    large = 2**64
    sides = {"lower": ["-0x6/4", "0/7"], "upper": ["30/0xf", f"{large * 6}/4"]}
    code, text, claim = proved(claim_on({"type": "box", **sides}), tmp_path)
    assert code == 0
    assert claim.domain == {
        "type": "box",
        "lower": ["-3/2", "0"],
        "upper": ["2", hex(large // 2 * 3)],
    }
    assert json.dumps(claim.domain) in text
    canonical = json.dumps(claim.domain, separators=(",", ":")).encode()
    assert text.endswith(f", SHA-256 {hashlib.sha256(canonical).hexdigest()}")


def test_what_is_left_out_of_a_long_domain_is_said_and_tells_in_the_digest(tmp_path: Path) -> None:
    """Sides that differ far behind what is printed are different domains."""
    texts = set()
    for last in "12":
        side = hex(2**2000) + f"00{last}"
        domain = {"type": "box", "lower": ["-1", "-1"], "upper": [side, side]}
        code, text, claim = proved(claim_on(domain), tmp_path)
        assert code == 0
        assert f"... ({len(json.dumps(claim.domain))} characters), SHA-256 " in text
        texts.add(text)
    assert len(texts) == 2


# --------------------------------------------------------------------- what it may cost


def test_work_beyond_the_limit_is_malformed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = claim_on({"type": "everywhere"})
    assert proved(head, tmp_path)[0] == 0
    monkeypatch.setattr(checker, "MAX_WORK", checker.WORK[0] - 1)
    code, text, _ = proved(head, tmp_path)
    assert code == 2
    assert "the work is more" in text


def test_a_small_file_of_large_numbers_is_no_large_work(tmp_path: Path) -> None:
    """Distinct prime denominators over wide rows: the sums have one denominator."""
    width, count = 40, 3000
    network = ReluNetwork.from_layers([np.ones((1, width)), [[-1.0]]], [[0.0], [0.0]])
    export_json(network, tmp_path / "m.json")
    digest = hashlib.sha256((tmp_path / "m.json").read_bytes()).hexdigest()
    rows = [[str(1 + (i * j) % 7) for j in range(width)] for i in range(width)]
    head = claim_on({"type": "polyhedron", "A": rows, "b": ["1"] * width}, model=digest)
    primes = [p for p in range(1000, 40_000) if all(p % q for q in range(2, int(p**0.5) + 1))]
    entries = [["domain", i % width, f"1/{p}"] for i, p in enumerate(primes[:count])]
    lines = [head, ["interior", ["0"] * width, []], ["bounds", []], ["tree", "relu_1", 0],
             ["empty", entries]]  # fmt: skip
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    began = time.process_time()
    code, _, _ = checker.run(str(tmp_path / "m.json"), str(tmp_path / "c.jsonl"))
    assert code == 1
    assert time.process_time() - began < 20  # 0.6 on a slow core; fractions took 15 times that
    assert checker.WORK[0] < checker.MAX_WORK / 1000


@pytest.mark.parametrize("bits", [60, 3000, 40_000])
def test_what_is_counted_grows_with_the_numbers(bits: int) -> None:
    """A product of two numbers costs at least its digits, squared where both are long."""
    small, large = {7: 3}, {7: 2**bits}
    costs = []
    for factor, form in ((5, small), (5, large), (2**bits, large)):
        checker.WORK[0] = 0
        checker.add({}, factor, form)
        costs.append(checker.WORK[0])
    checker.WORK[0] = 0
    checker.add({}, Fraction(1, 2**bits + 1), {7: Fraction(1, 2**bits)})
    costs.append(checker.WORK[0])
    assert costs[0] <= costs[1] <= costs[2]
    assert costs[2] >= bits**2 // 1024
    assert costs[3] >= bits**2 // 1024
