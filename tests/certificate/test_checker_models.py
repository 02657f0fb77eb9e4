"""How the checker reads models: exports of all kinds, and hostile ones."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle
import pytest
import scipy.sparse as sp
from checker_corpus import answer, checker, exported, files

from jensen.certificate.model_export import export_bytes, export_json
from jensen.loaders import load
from jensen.network.relu_network import Activation, Block, ReluNetwork


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


def test_the_export_is_the_network(tmp_path: Path) -> None:
    network = awkward_network()
    export_json(network, tmp_path / "m.json")
    model = checker.read_model((tmp_path / "m.json").read_bytes())
    assert model.digest == hashlib.sha256((tmp_path / "m.json").read_bytes()).hexdigest()
    assert model.inputs == network.input_size
    names = [(block.name, index) for block in network.blocks for index in range(block.size)]
    assert [neuron.name for neuron in model.neurons] == names
    numbers = dict(zip([("input", 0), ("input", 1), *names], range(1, len(names) + 3), strict=True))
    for name, index in names:
        neuron, block = model.neurons[numbers[name, index] - 3], network[name]
        wanted = {0: Fraction(float(block.bias[index]))}
        for source, weights in block.weights.items():
            row = oracle.dense(weights)[index].tolist()
            wanted |= {numbers[source, j]: Fraction(w) for j, w in enumerate(row) if w}
        assert neuron.relu == block.is_relu
        row, factor = neuron.row
        assert {key: v * factor for key, v in row.items()} == wanted


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
