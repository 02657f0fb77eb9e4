"""The source roots never shadow Python, and the arrows between packages point one way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"jensen": ROOT / "verifier" / "jensen"}
SOURCES["jensen_encodings"] = ROOT / "encodings" / "jensen_encodings"


def run(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    checker = SOURCES["jensen"] / "checker.py"
    optional = {"gmpy2", "flint"}
    for name in imports(checker):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in optional, name


@pytest.mark.parametrize(
    "module", ["network", "domain", "exact", "errors", "intervals", "crown", "bounds", "paths"]
)
def test_the_foundation_does_not_know_who_decides(module):
    above = {"decide", "tree", "facets", "midpoint", "refute", "cli", "batch", "checker"}
    for name in imports(SOURCES["jensen"] / f"{module}.py"):
        if name.startswith("jensen."):
            assert name.split(".")[1] not in above, name


def test_the_library_unpickles_nothing():
    for package in SOURCES:
        for path in modules(package):
            text = path.read_text(encoding="utf-8")
            assert not {"pickle", "dill", "joblib"} & {n.split(".")[0] for n in imports(path)}
            assert "allow_pickle=True" not in text


def test_importing_jensen_imports_neither_torch_nor_matplotlib():
    code = "import sys, jensen; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    result = run(code, SOURCES["jensen"].parent, SOURCES["jensen_encodings"].parent)
    assert result.stdout.strip() == "[]", result.stderr
