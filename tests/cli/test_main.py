"""Exit codes, error lines and streams of the commands."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jensen.cli import main
from jensen.network.relu_network import ReluNetwork

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def the_error(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("jensen: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def environment() -> dict[str, str]:
    sources = os.pathsep.join([str(ROOT / "verifier"), str(ROOT / "encodings")])
    return os.environ | {"PYTHONPATH": sources}


def process(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "jensen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def test_a_convex_model_exits_with_0(capsys, convex_file):
    code, out, _ = run(capsys, "verify", convex_file)
    assert code == 0
    assert out.startswith("convex  ")
    assert "all of R^n" in out


def test_a_nonconvex_model_exits_with_1_and_shows_its_pair(capsys, nonconvex_file):
    code, out, _ = run(capsys, "verify", nonconvex_file, "--box", "-1", "1")
    assert code == 1
    assert out.startswith("nonconvex  ")
    assert "x = (" in out
    assert "y = (" in out


def test_json_holds_the_exact_pair(capsys, nonconvex_file, absolute_value):
    code, out, _ = run(capsys, "verify", nonconvex_file, "--box", "-1,-2", "1,2", "--json")
    record = json.loads(out)
    pair = record["counterexample"]
    x, y = ([Fraction(v) for v in pair[name]] for name in "xy")
    network = absolute_value.negated()
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    violation = network.exact(middle)[0] - (network.exact(x)[0] + network.exact(y)[0]) / 2
    assert code == 1
    assert Fraction(pair["violation"]) == violation > 0
    assert record["domain"] == {"type": "box", "lower": [-1.0, -2.0], "upper": [1.0, 2.0]}


def test_concave_turns_the_question_round(capsys, convex_file, nonconvex_file):
    assert run(capsys, "verify", convex_file, "--concave")[0] == 1
    assert run(capsys, "verify", nonconvex_file, "--concave")[0] == 0


def test_evidence_names_the_neurons(capsys, convex_file):
    _, out, _ = run(capsys, "verify", convex_file, "--evidence")
    assert "relu_1[0]" in out


def test_a_domain_file_is_read(capsys, nonconvex_file, tmp_path):
    half = tmp_path / "half.toml"
    half.write_text('type = "polyhedron"\nA = [[1.0, 0.0], [0.0, 1.0]]\nb = [0.0, 0.0]\n')
    code, out, _ = run(capsys, "verify", nonconvex_file, "--domain", half)
    assert code == 0
    assert "polyhedron of 2 rows" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--box", "1", "-1"], "box is empty"),
        (["--box", "0", "inf"], "infinite"),
        (["--box", "nan", "1"], "NaN"),
        (["--box", "0,0,0", "1,1,1"], "box has 3 dimensions, the network 2 inputs"),
        (["--box", "a", "1"], "no number"),
        (["--box", "-1"], "2 arguments"),
        (["--box", "-1", "1", "--everywhere"], "exclude each other"),
        (["--output", "7"], "no output 7"),
        (["--time-limit", "0"], "time limit"),
        (["--time-limit", "nan"], "time limit"),
        (["--tolerance", "-1"], "tolerance"),
        (["--in", "0,x"], "input numbers"),
        (["--in", "5"], "inputs [5]"),
        (["--engine", "magic"], "magic"),
        (["--nonsense"], "--nonsense"),
        (["--domain", "nowhere.toml"], "nowhere.toml: No such file"),
        (["--domain", "domain.txt"], "domain.txt: a domain file ends in"),
        (["--domain", "."], "a domain file ends in"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(capsys, convex_file, arguments, says):
    assert says in the_error(capsys, "verify", convex_file, *arguments)


@pytest.mark.parametrize("command", ["verify", "info"])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.onnx", None, "no such file"),
        ("text.onnx", b"this is no model\n" * 20, "not an ONNX file"),
        ("empty.onnx", b"", "empty.onnx"),
        ("text.npz", b"this is no archive", "archive"),
        ("model.pdf", b"%PDF", "unknown model format"),
        ("folder.onnx", "folder", "not a file"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_code_2(capsys, tmp_path, command, name, content, says):
    file = tmp_path / name
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    error = the_error(capsys, command, file)
    assert says in error
    assert name in error


def test_a_truncated_onnx_file_is_one_line(capsys, tmp_path):
    whole = (ROOT / "models" / "mlp_bowl.onnx").read_bytes()
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cut.onnx" in the_error(capsys, "verify", cut)


def test_nan_weights_are_refused(capsys, tmp_path, convex_file):
    with np.load(convex_file) as archive:
        arrays = dict(archive)
    arrays["w0_0"] = np.full_like(arrays["w0_0"], np.nan)
    np.savez(tmp_path / "nan.npz", **arrays)
    assert "NaN" in the_error(capsys, "verify", tmp_path / "nan.npz")


def test_a_network_of_trees_is_refused_by_operator(capsys):
    model = ROOT.parent / "shared" / "real" / "omlt_gbt_model.onnx"
    if not model.exists():
        pytest.skip("needs ../shared/real")
    assert "TreeEnsembleRegressor" in the_error(capsys, "verify", model)


def test_odd_file_names_are_printed_escaped(capsys, tmp_path, convex_file):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 [red].npz")
    os.rename(convex_file, odd)
    code, out, _ = run(capsys, "verify", odd)
    assert code == 0
    assert r"caf\xe9 [red].npz" in out


def test_an_unexpected_fault_is_one_line_too(capsys, monkeypatch, convex_file):
    monkeypatch.setattr("jensen.cli.verify.verify", lambda *_, **__: 1 / 0)
    assert "ZeroDivisionError" in the_error(capsys, "verify", convex_file)


def test_help_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for command in ("verify", "violation", "batch", "info", "plot", "check"):
        assert command in out
        assert run(capsys, command, "--help")[0] == 0


def test_an_unknown_command_is_an_error(capsys):
    assert "frobnicate" in the_error(capsys, "frobnicate")


def test_info_shows_sizes_and_the_layer_graph(capsys, tmp_path, skip_network):
    skip_network.save(tmp_path / "skip.npz")
    code, out, _ = run(capsys, "info", tmp_path / "skip.npz")
    assert code == 0
    lines = out.splitlines()
    assert any(line.split() == ["inputs", "2"] for line in lines)
    assert any(line.split() == ["relus", "7"] for line in lines)
    assert any(line.startswith("  output") and "◄" in line for line in lines)
    code, out, _ = run(capsys, "info", tmp_path / "skip.npz", "--json")
    assert json.loads(out)["layer_graph"][1]["from"] == ["a", "input"]


def test_nothing_but_json_is_on_stdout_and_no_colours_without_a_terminal(convex_file):
    with process("verify", convex_file, "--json") as run_:
        out, err = run_.communicate(timeout=60)
    assert run_.returncode == 0
    assert json.loads(out)["status"] == "convex"
    assert "\x1b" not in out + err


def test_a_reader_that_leaves_is_no_error_message(convex_file):
    with process("info", convex_file) as run_:
        assert run_.stdout is not None
        run_.stdout.close()
        assert run_.stderr is not None
        assert "Traceback" not in run_.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_exits_with_130_and_no_traceback(tmp_path):
    rng = np.random.default_rng(0)
    widths = [12, 40, 40, 1]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    ReluNetwork.from_layers(
        [rng.normal(size=shape) for shape in shapes], [rng.normal(size=s[0]) for s in shapes]
    ).save(tmp_path / "hard.npz")
    code = (
        "import sys, jensen.cli.violation\nprint('ready', flush=True)\nsys.exit(jensen.cli.main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "violation", tmp_path / "hard.npz", "--box", "-1", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as run_:
        assert run_.stdout is not None
        assert run_.stdout.readline() == "ready\n"  # Ctrl-C while modules load is Python's
        time.sleep(1)
        run_.send_signal(signal.SIGINT)
        try:
            out, err = run_.communicate(timeout=60)
        finally:
            run_.kill()  # if it did not listen, nothing waits for it
    assert "Traceback" not in err
    # the search ends with its best bounds if it was already running
    assert run_.returncode == 130 or "<= worst midpoint violation <=" in out


@pytest.mark.parametrize("fixture", ["convex_file", "nonconvex_file"])
def test_a_certificate_is_written_and_checked(capsys, request, tmp_path, fixture):
    model = request.getfixturevalue(fixture)
    certificate = tmp_path / "proof.jsonl"
    code, _, _ = run(capsys, "verify", model, "--certificate", certificate)
    assert code in {0, 1}
    code, out, err = run(capsys, "check", model, certificate)
    assert (code, out.split(":")[0]) == (0, "accepted")
    assert "this package's reading" in err
    code, out, _ = run(capsys, "export", model, tmp_path / "model.json")
    assert code == 0
    claim = json.loads(certificate.read_text().split("\n")[0])
    assert claim["model"] == out.split()[-1]
    assert run(capsys, "check", tmp_path / "model.json", certificate)[::2] == (0, "")


def test_a_certificate_is_about_the_network_and_not_about_its_file(
    capsys, nonconvex_file, tmp_path
):
    certificate, other = tmp_path / "proof.jsonl", tmp_path / "other.npz"
    assert run(capsys, "convert", nonconvex_file, other, "--as-is")[0] == 0
    assert run(capsys, "verify", other, "--certificate", certificate)[0] == 1
    assert run(capsys, "check", nonconvex_file, certificate)[0] == 0


def test_a_certificate_for_another_model_is_rejected(capsys, convex_file, nonconvex_file, tmp_path):
    certificate = tmp_path / "proof.jsonl"
    run(capsys, "verify", convex_file, "--certificate", certificate)
    code, out, _ = run(capsys, "check", nonconvex_file, certificate)
    assert code == 1
    assert out.startswith("rejected")


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        (("--box", "-1", "1"), None),
        (("--box", "-1,-1", "1,1", "--output", "0", "--in", "0,1"), None),
        (("--box", "-1", "2"), "the domain is"),
        (("--everywhere",), "the domain is"),
        (("--output", "0"), "the domain is"),  # everywhere, as for verify
        (("--box", "-1", "1", "--output", "1"), "the output is 0, not 1"),
        (("--box", "-1", "1", "--in", "0"), "the inputs are [0, 1], not [0]"),
        (("--box", "-1", "1", "--concave"), "proved is convex, not concave"),
        (("--box", "-1", "1", "--nonconvex"), "proved is convex, not nonconvex"),
    ],
)
def test_a_claim_that_is_not_the_one_asked_for_fails(
    capsys, convex_file, tmp_path, asked, difference
):
    certificate = tmp_path / "proof.jsonl"
    run(capsys, "verify", convex_file, "--box", "-1", "1", "--certificate", certificate)
    code, out, _ = run(capsys, "check", convex_file, certificate, *asked)
    assert code == (0 if difference is None else 1)
    assert out.startswith("accepted" if difference is None else "rejected: another claim: ")
    assert difference is None or difference in out


def test_a_domain_file_can_be_asked_for(capsys, nonconvex_file, tmp_path):
    certificate, domain = tmp_path / "proof.jsonl", tmp_path / "domain.json"
    domain.write_text('{"type": "polyhedron", "A": [[1.0, 0.5]], "b": [0.1]}')
    run(capsys, "verify", nonconvex_file, "--domain", domain, "--certificate", certificate)
    asked = ("check", nonconvex_file, certificate, "--domain", domain)
    assert run(capsys, *asked, "--nonconvex")[0] == 0
    code, out, _ = run(capsys, *asked)
    assert (code, "proved is nonconvex, not convex" in out) == (1, True)


def test_a_rejected_certificate_stays_rejected_whatever_is_asked(capsys, convex_file, tmp_path):
    certificate = tmp_path / "proof.jsonl"
    certificate.write_text('{"format": 1}')
    assert run(capsys, "check", convex_file, certificate, "--everywhere")[0] == 2


def test_convert_writes_a_model_with_the_same_verdict(capsys, nonconvex_file, tmp_path):
    assert run(capsys, "convert", nonconvex_file, tmp_path / "out.onnx")[0] == 0
    assert run(capsys, "verify", tmp_path / "out.onnx")[0] == 1
    assert "cannot write" in the_error(capsys, "convert", nonconvex_file, tmp_path / "out.pdf")


def test_an_export_needs_its_ending(capsys, convex_file, tmp_path):
    for name in ("model.txt", "model.npz"):
        code, _, err = run(capsys, "export", convex_file, tmp_path / name)
        assert code == 2
        assert "must end in .json" in err


@pytest.fixture
def convex_model(tmp_path: Path) -> Path:
    path = tmp_path / "convex.npz"
    ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]]).save(path)
    return path


def ended(arguments: list[str], **streams: Any) -> int:
    command = [sys.executable, "-m", "jensen", *arguments]
    return subprocess.run(
        command, check=False, timeout=200, env=environment(), **streams
    ).returncode


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_reader_that_has_gone_is_never_told_nonconvex(convex_model, more):
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        assert ended(["verify", str(convex_model), *more], stdout=theirs) == 2
    finally:
        os.close(theirs)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_streams_that_take_nothing_end_with_an_error_and_not_with_nonconvex(convex_model):
    with open("/dev/full", "w") as full:
        assert ended(["verify", str(convex_model)], stdout=full, stderr=full) == 2
        assert ended(["verify", "missing.npz"], stderr=full) == 2


def test_closed_streams_are_no_fault_of_the_program(convex_model):
    program = f"{shlex.quote(sys.executable)} -m jensen verify {shlex.quote(str(convex_model))}"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        shell = subprocess.run(
            ["sh", "-c", f"{program} {closed}"],
            check=False,
            capture_output=True,
            timeout=200,
            env=environment(),
        )
        assert (shell.returncode, b"fault" in shell.stderr) == (0, False)
