"""The examples in the docstrings run and say what they say."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {"torch", "keras", "sklearn", "matplotlib", "jinja2", "distributed", "pyarrow", "cvxpy"}
EXTRAS |= {"onnxscript", "onnxruntime", "pandas", "scs", "clarabel"}


def modules_with_examples() -> list[str]:
    found = []
    for source in ("verifier", "encodings"):
        for file in sorted((ROOT / source).rglob("*.py")):
            if ">>> " in file.read_text(encoding="utf-8"):
                parts = file.relative_to(ROOT / source).with_suffix("").parts
                found.append(".".join(parts).removesuffix(".__init__"))
    return found


NEEDS = {"jensen.surrogate.dcp": "cvxpy", "jensen.plot": "matplotlib"}  # imported when called


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_say_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(module)
    assert not result.failed, f"{result.failed} examples of {name} say something else"


def test_there_are_many_examples():
    assert len(modules_with_examples()) > 40
