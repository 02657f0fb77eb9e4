"""The checker alone: its corpus, limits, hostile files."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import subprocess
import sys
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificate_tools import CHECKER
from checker_corpus import CORPUS, EXIT_CODES, answer, checker, exported, files, model_of

from jensen.certificate.model_export import export_json
from jensen.network.relu_network import Activation, Block, ReluNetwork


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


def test_a_gzipped_certificate_is_limited_by_what_it_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "certificate.gz"
    file.write_bytes(gzip.compress(b"{}\n" + b"[]\n" * 1000))
    assert len(list(checker.Lines(str(file)))) == 1001
    monkeypatch.setattr(checker, "MAX_FILE", 3002)
    assert file.stat().st_size < 3002
    lines = checker.Lines(str(file))
    with pytest.raises(checker.Malformed, match="too long"):
        list(lines)
    assert lines.number == 1001


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
    everywhere = checker.Node(net, checker.ONE, {})
    assert everywhere.largest({-unit: 1}) == everywhere.largest({-unit: -1}) == 0
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
        checker.mix([(form, factor)])
        costs.append(checker.WORK[0])
    checker.WORK[0] = 0
    checker.mix([({7: 1}, Fraction(1, 2**bits + 1)), ({7: 1}, Fraction(1, 2**bits))])
    costs.append(checker.WORK[0])
    assert costs[0] <= costs[1] <= costs[2]
    assert costs[2] >= bits**2 // 1024
    assert costs[3] >= bits**2 // 1024


def test_reading_is_counted_where_a_number_is_long() -> None:
    """Of 64 characters it is not, and costs no more than the file does."""
    checker.WORK[0] = 0
    assert checker.ratio("-" + "7" * 30 + "/" + "3" * 32) == (-int("7" * 30), int("3" * 32))
    assert checker.WORK[0] == 0
    assert checker.rational("0x" + "f" * 63) == 16**63 - 1
    assert checker.WORK[0] > 0
    with pytest.raises(checker.Malformed, match="too many digits"):
        checker.ratio("0x" + "f" * checker.MAX_BITS)


def test_a_line_of_large_rows_does_not_fill_the_memory() -> None:
    """The jump is a form of 300 states; a line of 36 kB names it 3,000 times."""
    width, count = 300, 3_000
    second = np.linspace(-1, 1, width)[:, None] * np.ones((1, 2))
    network = ReluNetwork.from_layers(
        [[[1.0], [2.0]], second, np.ones((1, width))], [[0.0, 1.0], np.full(width, 0.1), [0.0]]
    )
    model = exported(network)
    head = claim_on({"type": "box", "lower": ["-9"], "upper": ["9"]}, model=model.digest)
    lines = [head, ["bounds", []], ["tree", "relu_1", 0], ["empty", [["jump", "1"]] * count]]
    tracemalloc.start()
    with pytest.raises(checker.Rejected):
        checker.check(model, iter(lines))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # with a copy for each entry it was 15e6
