"""Exported programs that would run code: what PyTorch would evaluate never reaches it."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_programs import with_program, written

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

from torch import nn  # noqa: E402

from jensen.errors import ModelFileError  # noqa: E402
from jensen.loaders import load  # noqa: E402
from jensen.loaders.onnx.reader import network_from_model  # noqa: E402
from jensen.loaders.pt2_archive import (  # noqa: E402
    PROGRAM,
    ForbiddenError,
    checked_program,
    safe_archive,
)
from jensen.loaders.pt2_operators import only_computes  # noqa: E402

WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Network(nn.Module):
    """Sizes that depend on the batch, a constant, names, and text as an argument."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 2)])
        self.shift = torch.tensor([0.5, -0.5])

    def forward(self, x):
        z = torch.relu(self.layers[0](x)).reshape(x.shape[0], 2, 2)
        z = torch.einsum("nij,nij->nij", z, torch.ones(1, 2, 2).expand(z.shape[0], 2, 2))
        return self.layers[1](z.flatten(1)) + self.shift


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    module = Network().eval()
    path = tmp_path_factory.mktemp("pt2") / "good.pt2"
    dims = ({0: torch.export.Dim("batch", max=64)},)
    program = torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=dims)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def members(saved) -> dict[str, bytes]:
    with zipfile.ZipFile(saved) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def places(value: Any, key: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Yield (container, index, key) of every text in a program."""
    if isinstance(value, dict):
        for name, part in value.items():
            if isinstance(part, str):
                yield value, name, name
            else:
                yield from places(part, name)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            if isinstance(part, str):
                yield value, index, key
            else:
                yield from places(part, key)


def test_a_saved_program_is_read_as_the_function_it_computes(saved):
    module = torch.export.load(saved).module()
    network = load(saved)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = torch.cat([module(torch.from_numpy(x))]).detach().numpy()
    np.testing.assert_allclose(network(x), expected, rtol=1e-5, atol=1e-5)


def test_what_is_taken_over_holds_no_pickle_and_no_text_to_evaluate(saved):
    with zipfile.ZipFile(safe_archive(saved)) as archive:
        assert archive.read("model/data/sample_inputs/model.pt") == b""
        program = json.loads(archive.read(f"model/{PROGRAM}"))
    assert all(node["metadata"] == {} for node in program["graph_module"]["graph"]["nodes"])
    assert program["guards_code"] == []
    sizes = [container[key] for container, key, name in places(program) if name == "expr_str"]
    assert sizes
    assert all(re.fullmatch(r"Symbol\('s\d+', [\w=, ]*\)|[s\d *+]*", size) for size in sizes)


# ------------------------------------------------------------------- files that would run


def marker_code(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w')"


def expression(code: str) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        for container, key, name in list(places(program)):
            if name == "expr_str":
                container[key] = code

    return change


def test_a_size_that_is_code_is_not_evaluated(members, tmp_path):
    """PyTorch itself runs this file: SymPy evaluates its sizes as Python."""
    marker = tmp_path / "trapped"
    parts = with_program(members, expression(marker_code(marker)))
    path = written(tmp_path / "bad.pt2", parts)
    with pytest.raises(ModelFileError, match=r"bad\.pt2: .*is no size; it is not read"):
        load(path)
    assert not marker.exists()


def first_node(key: str, value: Any) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        program["graph_module"]["graph"]["nodes"][0][key] = value

    return change


def renamed(text: str) -> Callable[[Any], None]:
    """Give an input of the program another name everywhere."""

    def change(program: Any) -> None:
        whole = json.dumps(program).replace('"x"', json.dumps(text))
        program.clear()
        program.update(json.loads(whole))

    return change


def nested(spec: Any) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        call = program["graph_module"]["module_call_graph"][0]["signature"]
        call["in_spec"] = json.dumps([1, spec])

    return change


def argument(value: Any) -> Callable[[Any], None]:
    def change(program: Any) -> None:
        program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = value

    return change


LEAF = {"type": None, "context": None, "children_spec": []}
ENUM = {"__enum__": True, "fqn": "antigravity:x", "name": "x"}
FORGED = {
    "operator that writes files": first_node("target", "torch.ops.aten.save.default"),
    "operator that reads files": first_node("target", "torch.ops.aten.from_file.default"),
    "function of torch": first_node("target", "torch.hub.load"),
    "function of Python": first_node("target", "_operator.methodcaller"),
    "library": first_node("target", "torch.ops.other.op.default"),
    "name that is code": renamed("x):\n    open('trapped', 'w')\ndef f(x"),
    "name with a bracket": renamed("x()"),
    "module imported by its name": nested(
        {"type": "builtins.dict", "context": json.dumps(ENUM), "children_spec": []}
    ),
    "factory imported by its name": nested(
        {"type": "collections.defaultdict", "context": "{}", "children_spec": [LEAF]}
    ),
    "keys that are code": nested(
        {"type": "builtins.dict", "context": '["a b"]', "children_spec": [LEAF]}
    ),
    "another protocol": lambda p: p["graph_module"]["module_call_graph"][0]["signature"].update(
        in_spec=json.dumps([2, LEAF])
    ),
    "subprogram": argument({"as_graph": {"name": "g", "graph": {}}}),
    "function as an argument": argument({"as_operator": "torch.hub.load"}),
    "object as an argument": argument({"as_custom_obj": {"name": "o", "class_fqn": "c"}}),
    "symbols without end": lambda p: p["range_constraints"].update(
        u999999999={"min_val": 0, "max_val": 1}
    ),
    "huge integer": argument({"as_int": 2**70}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_program_is_refused_before_pytorch_sees_it(name, members, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("PyTorch saw it"))
    path = written(tmp_path / "bad.pt2", with_program(members, FORGED[name]))
    with pytest.raises(ModelFileError, match=r"bad\.pt2: .*it is not read, as PyTorch may run"):
        load(path)


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def table(members: dict[str, bytes], which: str, **change: Any) -> dict[str, bytes]:
    config = json.loads(members[which])
    for entry in config["config"].values():
        entry.update(change)
    return members | {which: json.dumps(config).encode()}


def test_other_members_of_the_archive_are_refused(members, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("PyTorch saw it"))
    trap = pickle.dumps(Trap())
    forged = [
        (table(members, WEIGHTS, use_pickle=True), "is pickled"),
        (table(members, CONSTANTS, use_pickle=True), "is pickled"),
        (table(members, CONSTANTS, path_name="opaque_obj_0"), "object and no tensor"),
        (table(members, CONSTANTS, path_name="custom_obj_0"), "object and no tensor"),
        (members | {"data/constants/opaque_obj_0": trap}, "it holds 'data/constants/opaque"),
        (members | {"data/weights/model.pt": trap}, "it holds 'data/weights/model.pt'"),
        (members | {"data/aotinductor/model/m.so": b"\x7fELF"}, "it holds 'data/aotinductor"),
        (members | {"models/other.json": members[PROGRAM]}, r"it holds 'models/other\.json'"),
        (members | {"archive_version": b"1"}, "'archive_version' is not '0'"),
        ({k: v for k, v in members.items() if k != PROGRAM}, "it holds no 'models/model.json'"),
        ({"version": b"8.1", "serialized_state_dict.pt": trap}, "it holds "),
    ]
    for parts, message in forged:
        path = written(tmp_path / "bad.pt2", parts)
        with pytest.raises(ModelFileError, match=message):
            load(path)


def test_pickled_samples_are_left_out(members, tmp_path):
    samples = {"data/sample_inputs/model.pt": pickle.dumps(Trap())}
    path = written(tmp_path / "samples.pt2", members | samples)
    assert load(path).input_size == 3


# ---------------------------------------------------------------------------- mutations

HOSTILE = [
    "__import__('os').system('true')",
    "open('trapped','w')",
    "x):\n  open('trapped','w')\ndef f(",
    "x;y",
    "torch.ops.aten.from_file.default",
    "torch.hub.load",
    "_operator.methodcaller",
    "antigravity:x",
    "\x1b]0;x\x07",
    "\ud800",
    "Symbol('s7')(1)",
    "getattr(s7,'a')",
    '[1, {"type": "enum.Enum", "context": "{}", "children_spec": []}]',
    "${x}",
    "{0.__class__}",
    "#ns:op",
]
HARMLESS = re.compile(r"[A-Za-z0-9_ ,.>+<=-]*")


def mutated(program: Any, rng: random.Random) -> str:
    """Put hostile text somewhere, as a value, a key or a part of a value; return it."""
    hostile = rng.choice(HOSTILE)
    container, key, _ = rng.choice(list(places(program)))
    kind = rng.randrange(4)
    if kind == 0:
        container[key] = hostile
    elif kind == 1:
        text = container[key]
        cut = rng.randrange(len(text) + 1)
        container[key] = text[:cut] + hostile + text[cut:]
    elif kind == 2 and isinstance(container, dict):
        container[hostile] = container.pop(key)
    else:
        container[key] = {"as_expr": {"expr_str": hostile, "hint": None}}
    return hostile


def check_mutations(members: dict[str, bytes], count: int) -> None:
    rng = random.Random(count)
    whole = json.loads(members[PROGRAM])
    refused = 0
    for _ in range(count):
        program = copy.deepcopy(whole)
        hostile = mutated(program, rng)
        try:
            clean = checked_program(program)
        except (ForbiddenError, ValueError, TypeError, KeyError):
            refused += 1
            continue
        text = json.dumps(clean)
        # torch's own operator names are harmless as names, not as what is called
        calls = [holder[key] for holder, key, name in places(clean) if name == "target"]
        assert all(map(only_computes, calls))
        if not HARMLESS.fullmatch(hostile):
            assert json.dumps(hostile)[1:-1] not in text, hostile
    assert refused > count // 2


def test_mutated_programs_are_refused_or_freed_of_what_was_put_in(members):
    check_mutations(members, 400)


@pytest.mark.slow
def test_ten_thousand_mutated_programs(members):
    check_mutations(members, 10_000)


@pytest.mark.slow
def test_what_passes_the_check_runs_nothing_in_pytorch(members, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(5)
    whole = json.loads(members[PROGRAM])
    passed = 0
    for _ in range(1000):
        program = copy.deepcopy(whole)
        mutated(program, rng)
        try:
            checked_program(program)
        except (ForbiddenError, ValueError, TypeError, KeyError):
            continue
        passed += 1
        if passed > 40:
            break
        path = written(tmp_path / "m.pt2", members | {PROGRAM: json.dumps(program).encode()})
        with contextlib.suppress(ModelFileError):
            assert load(path).input_size == 3
        assert not (tmp_path / "trapped").exists()
    assert passed > 5


def test_a_program_is_compared_with_what_was_read_from_it(saved, monkeypatch):
    def changed(*arguments):
        network = network_from_model(*arguments)
        return network.negated()

    monkeypatch.setattr("jensen.loaders.torch.network_from_model", changed)
    with pytest.raises(ModelFileError, match="the exporter changed the function"):
        load(saved)


def test_a_word_that_unpacks_to_megabytes_is_not_unpacked(members, tmp_path, monkeypatch):
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            if name != "byteorder":
                archive.writestr(f"model/{name}", content)
        archive.writestr("model/byteorder", b"little" + b" " * 2**20)
    read, unpacked = zipfile.ZipFile.read, []

    def watched(self, item, *rest):
        unpacked.append(item.file_size)
        return read(self, item, *rest)

    monkeypatch.setattr(zipfile.ZipFile, "read", watched)
    with pytest.raises(ModelFileError, match="byteorder"):
        safe_archive(path)
    assert not unpacked or max(unpacked) < 100


def test_strides_of_zero_do_not_claim_more_numbers_than_memory_holds(members, tmp_path):
    config = json.loads(members[WEIGHTS])
    meta = next(iter(config["config"].values()))["tensor_meta"]
    meta["sizes"] = [{"as_int": 2**20}, {"as_int": 2**20}]
    meta["strides"] = [{"as_int": 0}, {"as_int": 0}]
    path = written(tmp_path / "w.pt2", members | {WEIGHTS: json.dumps(config).encode()})
    with pytest.raises(ModelFileError, match="claim 1099511627"):
        safe_archive(path)
