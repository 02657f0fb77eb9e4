"""The source roots never shadow Python, and the arrows between packages point one way."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import networkx as nx
import pytest

import jensen
from jensen.decide import SCREENS

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"jensen": ROOT / "verifier" / "jensen"}
SOURCES["jensen_encodings"] = ROOT / "encodings" / "jensen_encodings"

# From the top. A room imports rooms of later lines only, never its own line or an earlier one.
ROOMS = (
    {"cli"},
    {"plot"},
    {"report"},
    {"batch"},
    {"learning", "surrogate"},
    {"optimise", "repairs"},
    {"violation", "many"},
    {"decide"},
    {"certificate"},
    {"midpoint", "composition"},
    {"linear_regions"},
    {"prover"},
    {"verdicts"},
    {"cells"},
    {"groups"},
    {"bounds"},
    {"icnn"},
    {"loaders"},
    {"domains", "graphs"},
    {"network"},
    {"arithmetic", "outputs", "arguments"},
    {"errors", "text", "processors", "blas", "stopwatch", "types"},
)

# The same inside the largest room: its screens and engines, then what they are made of.
PROVER = (
    {"jensen.prover"},
    {"jensen.prover.joint"},
    {"jensen.prover.descents", "jensen.prover.lines", "jensen.prover.trees", "jensen.prover.walks"},
)


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@cache
def parsed(path: Path) -> ast.Module:
    """Return a module's syntax tree, read once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path.name}"
            yield node.module or ""


def modules(package: str) -> list[Path]:
    return sorted(SOURCES[package].rglob("*.py"))


def test_python_starts_with_the_repository_root_on_its_path():
    assert run("import codecs, encodings.utf_8", ROOT).returncode == 0


@pytest.mark.parametrize("root", ["verifier", "encodings"])
def test_source_roots_are_no_packages(root):
    assert not (ROOT / root / "__init__.py").exists()


def test_both_packages_are_typed():
    assert all((folder / "py.typed").is_file() for folder in SOURCES.values())


def test_every_subpackage_is_shipped():
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    found = {
        ".".join((name, *init.parent.relative_to(folder).parts))
        for name, folder in SOURCES.items()
        for init in folder.rglob("__init__.py")
    }
    assert listed == found


def test_the_encodings_know_nothing_of_the_verifier():
    for path in modules("jensen_encodings"):
        for name in imports(path):
            assert name.split(".")[0] != "jensen", path.name


def test_the_checker_needs_the_standard_library_only():
    checker = SOURCES["jensen"] / "certificate" / "checker.py"
    optional = {"gmpy2", "flint"}
    for name in imports(checker):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in optional, name


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCES["jensen"]).with_suffix("").parts
    return ".".join(("jensen", *parts)).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "the front door"


def arrows() -> Iterator[tuple[str, str]]:
    """Yield (module, imported module) within the package, type-only and late imports too."""
    paths = {name_of(path): path for path in modules("jensen")}
    for name, path in paths.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                longer = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [full if full in paths else node.module for full in longer]
            else:
                continue
            yield from ((name, target) for target in found if target in paths)


def test_every_room_stands_in_the_table():
    rooms = {room_of(name_of(path)) for path in modules("jensen")} - {"the front door", "__main__"}
    assert rooms == {room for level in ROOMS for room in level}


def test_the_map_names_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room in {room for level in ROOMS for room in level}:
        folder = (SOURCES["jensen"] / room).is_dir()
        assert f"`{room}{'/' if folder else '.py'}`" in page, room


def test_imports_between_rooms_run_down_only():
    level = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
    level |= {"__main__": -2, "the front door": -1}
    up = [
        f"{source} imports {target}"
        for source, target in arrows()
        if room_of(source) != room_of(target) and level[room_of(source)] >= level[room_of(target)]
    ]
    assert not up, "\n".join(up)


def test_imports_inside_the_prover_run_down_only():
    level = {folder: i for i, folders in enumerate(PROVER) for folder in folders}
    found = {name_of(path).rpartition(".")[0] for path in modules("jensen")}
    assert {name for name in found if name.startswith("jensen.prover")} == set(level)
    pairs = [
        (source, source.rpartition(".")[0], target, target.rpartition(".")[0])
        for source, target in arrows()
    ]
    up = [
        f"{source} imports {target}"
        for source, above, target, below in pairs
        if above != below and above in level and below in level and level[above] >= level[below]
    ]
    assert not up, "\n".join(up)


def test_no_modules_import_one_another_in_a_circle():
    graph = nx.DiGraph((source, target) for source, target in arrows() if source != target)
    assert not list(nx.simple_cycles(graph))


def assigned(path: Path) -> set[str]:
    """Return the names that a module assigns to outside of functions and classes."""
    body = parsed(path).body
    targets = [target for node in body if isinstance(node, ast.Assign) for target in node.targets]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def types_asked_for(path: Path) -> Iterator[tuple[int, ast.expr]]:
    """Yield the types that ``isinstance`` and ``match`` ask for, with their lines."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.MatchClass):
            yield node.lineno, node.cls
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}:
            yield node.lineno, node.args[1]


def test_domains_know_themselves():
    kinds = {"Box", "Polyhedron", "Everywhere"}
    asked = [
        f"{path.name}:{line}"
        for path in modules("jensen")
        if path.parent.name != "domains"
        for line, types in types_asked_for(path)
        if kinds & {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(types)}
    ]
    assert not asked, "ask the domain, in a method that every kind answers: " + ", ".join(asked)


def test_aliases_of_types_are_written_down_once():
    for package, folder in SOURCES.items():
        known = assigned(folder / "types.py") - {"__all__"}
        for path in modules(package):
            assert path == folder / "types.py" or not known & assigned(path), path.name


WHOLE = {"checker.py"}  # a proof is checked by one file that can be carried away


def test_a_name_means_one_thing():
    names = {"Block", "Member", "Node", "Program", "Row", "worst_violation"}
    defined = [
        node.name
        for package in SOURCES
        for path in modules(package)
        if path.name not in WHOLE  # shares nothing with what it checks, names included
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    assert {name: defined.count(name) for name in names} == dict.fromkeys(names, 1)


LONGEST = 400  # lines


def test_modules_are_short_enough_to_be_read():
    long = [
        f"{path.name}: {lines} lines"
        for package in SOURCES
        for path in modules(package)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
        if path.name not in WHOLE
    ]
    assert not long, ", ".join(long)


def test_no_room_takes_the_name_of_something_public():
    rooms = {path.parent.name for path in SOURCES["jensen"].glob("*/__init__.py")}
    rooms |= {path.stem for path in SOURCES["jensen"].glob("*.py")}
    functions = {
        name for name in jensen.__all__ if not isinstance(getattr(jensen, name), ModuleType)
    }
    assert not rooms & functions


def test_the_library_unpickles_nothing():
    for package in SOURCES:
        for path in modules(package):
            text = path.read_text(encoding="utf-8")
            assert not {"pickle", "dill", "joblib"} & {n.split(".")[0] for n in imports(path)}
            assert "allow_pickle=True" not in text


HEAVY = ("torch", "matplotlib", "pyomo", "scipy.optimize", "networkx", "onnx")


def loaded_by(code: str) -> list[str]:
    """Return which of the heavy packages a program has loaded at its end."""
    code = f"import sys\n{code}\nprint([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    result = run(code, SOURCES["jensen"].parent, SOURCES["jensen_encodings"].parent)
    assert result.returncode == 0, result.stderr
    return ast.literal_eval(result.stderr.splitlines()[-1])


NET = "net = jensen.ReluNetwork.from_layers([[[1.0], [-2.0]], [[1.0, -1.0]]], [[0, 1], [0]])"


def test_importing_jensen_and_its_help_load_nothing_heavy():
    assert loaded_by("import jensen, jensen_encodings; assert 'numpy' not in sys.modules") == []
    assert loaded_by("from jensen.cli import main; main(['--help'])") == []


def test_a_verification_loads_no_model_builder():
    question = "jensen.verify(net, jensen.Box(-1, 1), certificate=True)"
    assert loaded_by(f"import jensen\n{NET}\n{question}\njensen.worst_jump(net)") == []
    assert loaded_by(f"import jensen\n{NET}\njensen.worst_violation(net, jensen.Box(-1, 1))") == []


@pytest.mark.parametrize("package", ["jensen", "jensen_encodings"])
def test_public_names_are_the_same_for_type_checkers_and_at_run_time(package):
    module = importlib.import_module(package)
    tree = ast.parse((SOURCES[package] / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        (alias.name, node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if alias.name not in {"TYPE_CHECKING", "Any"}
    }
    homes = {
        (name, home if home.startswith("jensen") else f"{package}.{home}")
        for home, names in module._HOMES.items()
        for name in names
    } | {(room, package) for room in getattr(module, "_ROOMS", ())}
    assert typed == homes
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def test_the_page_lists_the_screens_in_their_order():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("### The screens")[2].partition("\n\nStacks")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)\.py`", table, re.MULTILINE)
    named = [(screen.__name__, screen.__module__.rpartition(".")[2]) for screen in SCREENS]
    assert rows == named
