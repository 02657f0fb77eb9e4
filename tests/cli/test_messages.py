"""Refusals say what to do instead."""

import sys

import pytest
from commands import refused
from onnx import TensorProto, helper, save

from jensen.batch import find_cases
from jensen.cli import main
from jensen.errors import ModelFileError
from jensen.loaders import SUPPORTED, load
from jensen.loaders.quiet import quiet
from jensen.network.relu_network import ReluNetwork


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("box", [("-inf", "inf"), ("0", "inf"), ("-inf,0", "0,1")])
@pytest.mark.parametrize("command", ["verify", "violation", "batch", "plot"])
def test_an_infinite_box_names_everywhere_and_half_spaces(capsys, convex_file, box, command):
    says = error_of(capsys, command, convex_file, "--box", *box)
    assert "--everywhere asks about all of R^n" in says
    assert "half space" in says


@pytest.mark.parametrize("command", ["verify", "batch"])
def test_help_names_every_format_that_loads(capsys, command):
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert all(ending in out for ending in SUPPORTED)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("w.safetensors", "holds weights without the network they belong to"),
        ("m.tflite", "before quantisation, to ONNX"),
    ],
)
def test_files_of_other_programs_are_refused_with_a_way(tmp_path, name, says):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ModelFileError, match=says):
        load(tmp_path / name)


@pytest.mark.parametrize("operator", ["QuantizeLinear", "DynamicQuantizeLinear"])
def test_quantised_models_are_called_quantised(capsys, tmp_path, operator):
    inputs = ["x"] if operator == "DynamicQuantizeLinear" else ["x", "s", "z"]
    outputs = ["y", "ys", "yz"] if operator == "DynamicQuantizeLinear" else ["y"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, outputs)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, (1, 2))],
        [
            helper.make_tensor("s", TensorProto.FLOAT, (), [0.1]),
            helper.make_tensor("z", TensorProto.UINT8, (), [3]),
        ],
    )
    save(helper.make_model(graph), tmp_path / "q.onnx")
    says = error_of(capsys, "verify", tmp_path / "q.onnx")
    assert "the model is quantised" in says
    assert "verify the floating-point model" in says


def test_what_a_package_prints_while_it_exports_stays_away(capsys):
    with quiet("torch"):
        print("program")  # noqa: T201
        print("class GraphModule", file=sys.stderr)  # noqa: T201
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_a_folder_is_for_batch_and_a_slip_is_named(capsys, tmp_path):
    assert "a folder; jensen batch verifies all" in error_of(capsys, "verify", tmp_path)
    assert "did you mean 'verify'?" in error_of(capsys, "verfy", tmp_path)
    assert "No such command" in error_of(capsys, "xyz")


# --------------------------------------------------------------------------- manifests


@pytest.fixture
def nightly(tmp_path, convex_file):
    (tmp_path / "nightly.csv").write_text(f"file,expected\n{convex_file.name},convex\n")
    return tmp_path / "nightly.csv"


def test_a_manifest_may_have_any_name(capsys, nightly, convex_file):
    assert main(["batch", "--manifest", str(nightly), "--jobs", "0"]) == 0
    assert "as expected" in capsys.readouterr().out
    cases = find_cases([convex_file], manifests=[nightly, nightly])
    assert [case.expected and str(case.expected) for case in cases] == [None, "convex", "convex"]


def test_a_manifest_by_name_is_an_input_and_must_be_one(capsys, nightly, tmp_path):
    says = error_of(capsys, "batch", "--manifest", nightly, "--jobs", 0, "--export", nightly)
    assert "which would be lost" in says
    assert nightly.read_text().startswith("file,expected")
    assert "ends in .toml or .csv" in error_of(capsys, "batch", "--manifest", tmp_path / "m.txt")
    assert "No such file" in error_of(capsys, "batch", "--manifest", tmp_path / "none.csv")
    assert "--manifest FILE" in error_of(capsys, "batch")


def test_a_table_of_less_than_no_lines_is_refused(capsys, convex_file):
    says = error_of(capsys, "conditions", convex_file, "--most", -1)
    assert "--most" in says
    assert main(["conditions", str(convex_file), "--most", "0"]) == 0


def test_options_that_say_two_things_are_refused(capsys, convex_file):
    assert "exclude each other" in error_of(capsys, "conditions", convex_file, "--csv", "--json")
    says = error_of(capsys, "violation", convex_file, "--measure", "jump", "--engine", "milp")
    assert "--engine milp is one of --measure midpoint" in says


def test_a_certificate_that_is_not_there_is_named_once(capsys, convex_file):
    for words in (["check", convex_file, "none.gz"], ["minimise", convex_file, "--certificate"]):
        says = error_of(capsys, *words, *(["none.gz"] if words[0] == "minimise" else []))
        assert says.startswith("jensen: error: none.gz: ")
        assert "Errno" not in says


def test_repair_asks_for_the_output_by_its_option(capsys, tmp_path):
    layers = [[[1.0]], [[1.0], [1.0]]], [[0.0], [0.0, 0.0]]
    ReluNetwork.from_layers(*layers).save(tmp_path / "two.npz")
    says = error_of(capsys, "repair", tmp_path / "two.npz", "-o", tmp_path / "fixed.npz")
    assert "MODEL has 2 outputs: --output K chooses one" in says


def test_a_manifest_of_another_name_in_place_of_a_model_names_the_option(capsys, nightly):
    assert main(["batch", str(nightly), "--jobs", "0"]) == 2
    assert "no model; jensen batch --manifest FILE reads manifests" in capsys.readouterr().out


def test_a_key_that_is_given_twice_is_refused(capsys, convex_file, tmp_path):
    """JSON takes the last one; in TOML it is an error."""
    (tmp_path / "d.json").write_text('{"type": "box", "lower": -1, "upper": 1, "upper": 5}')
    says = error_of(capsys, "verify", convex_file, "--domain", tmp_path / "d.json")
    assert "the key 'upper' is given twice" in says


def test_what_check_cannot_open_is_said_in_words(capsys, convex_file, tmp_path):
    proof = tmp_path / "proof"
    proof.touch()
    for model, certificate in (
        (tmp_path / "missing.json", proof),
        (convex_file, tmp_path / "missing"),
    ):
        assert refused(capsys, "check", model, certificate).endswith(": no such file\n")
    for model, certificate in ((tmp_path, proof), (convex_file, tmp_path)):
        assert refused(capsys, "check", model, certificate).endswith(": not a file\n")


def test_seconds_that_are_no_number_are_refused_by_report(capsys, tmp_path):
    error = refused(capsys, "report", tmp_path / "s.db", "--time-limit", "nan")
    assert "seconds >= 0 are needed" in error


def test_what_is_said_of_a_network_names_its_file(capsys, tmp_path):
    model, out = tmp_path / "m.onnx", tmp_path / "out.npz"
    nodes = [helper.make_node("Sigmoid", ["x"], ["y"])]
    shape = (None, 1)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy")
    save(helper.make_model(helper.make_graph(nodes, "g", [x], [y])), model)
    for command in (
        ["violation", model, "--measure", "jump"],
        ["repair", model, "-o", out],
        ["minimise", model],
        ["conditions", model],
        ["verify", model, "--output", 3],
    ):
        assert refused(capsys, *command).startswith(f"jensen: error: {model}: ")
