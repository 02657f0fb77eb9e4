"""What the pages show is what happens: Python, shell sessions, pictures, links."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jensen.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
TUTORIAL = "docs/tutorial.md"


def blocks(page: Path, language: str) -> Iterator[str]:
    for found, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if found == language:
            yield text


def pages_with(sign: str) -> list[str]:
    pairs = zip(NAMES, PAGES, strict=True)
    return [name for name, page in pairs if re.search(sign, page.read_text("utf-8"))]


def pages_of_python() -> list[Any]:
    slow = {TUTORIAL: [pytest.mark.slow]}  # trains
    return [pytest.param(name, marks=slow.get(name, [])) for name in pages_with(">>> ")]


@pytest.mark.parametrize("name", pages_of_python())
def test_the_examples_of_a_page_run(name, monkeypatch):
    if name == TUTORIAL:
        pytest.importorskip("torch")
    if "jensen.plot" in (ROOT / name).read_text(encoding="utf-8"):
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(ROOT / name), module_relative=False, encoding="utf-8")
    assert tried
    assert not failed


# pages whose Python is not written as a session, and what it takes for granted
SETUP = {
    "README.md": "",
    "docs/batch.md": "",
    "docs/smooth.md": "import jensen",
    "docs/regions.md": """
import numpy as np
import jensen
rng = np.random.default_rng(0)
def network(*sizes):
    weights = [rng.normal(size=(b, a)) for a, b in zip(sizes[:-1], sizes[1:])]
    return jensen.ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])
net, net3, net5 = network(2, 6, 5, 1), network(3, 5, 1), network(5, 8, 1)
x, y = [-1.0, -1.0], [1.0, 1.0]
figure = jensen.plot.pair(net, x, y)
""",
}


@pytest.mark.parametrize("name", SETUP)
def test_the_python_of_a_page_runs(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(SETUP[name], space)
    for code in blocks(ROOT / name, "python"):
        if ">>> " not in code:
            exec(compile(code, name, "exec"), space)


def steps(session: str) -> list[tuple[str, list[str]]]:
    """Return commands with the lines that a session shows after each."""
    found: list[tuple[str, list[str]]] = []
    for line in session.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
    return found


def is_effort(line: str) -> bool:
    """Whether a line tells seconds, nodes or bytes, which are not the same anywhere."""
    return bool(re.search(r"\d (s|bytes)\b", line))


def essence(line: str) -> str:
    """Return a line without what may come out differently: which pair, which reasons."""
    line = re.sub(r"^  ([xy]) = .*", r"  \1 = a point", line)
    line = re.sub(r"(not convex on .*): midpoint violation .*", r"\1", line)
    line = re.sub(r"( none outside | is between ).*", r"\1", line)
    return re.sub(r"(convex on .*) \(\d+ [\w ,]+\)$", r"\1", line)


def agrees(said: str, shown: str) -> bool:
    """Whether lines agree in words, and in numbers to a hundredth."""
    said, shown = essence(said), essence(shown)
    if said == shown:
        return True
    if NUMBER.sub("#", said) != NUMBER.sub("#", shown):
        return False
    pairs = zip(NUMBER.findall(said), NUMBER.findall(shown), strict=True)
    numbers = [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs]
    return all(abs(a - b) <= 0.01 * max(abs(a), abs(b)) for a, b in numbers)


def pages_of_sessions() -> list[str]:
    runs = re.compile(r"^\$ jensen [a-z]+ models/", re.MULTILINE)
    pairs = zip(NAMES, PAGES, strict=True)
    return [name for name, page in pairs if any(map(runs.search, blocks(page, "console")))]


@pytest.mark.parametrize("name", pages_of_sessions())
def test_the_sessions_of_a_page_are_what_the_command_prints(name, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    tried = 0
    for session in blocks(ROOT / name, "console"):
        for command, shown in steps(session):
            words = shlex.split(command)
            if words[0] != "jensen" or not Path(words[2]).exists():
                continue
            main(words[1:])
            said = [n.rstrip() for n in capsys.readouterr().out.splitlines() if not is_effort(n)]
            wanted = [n.rstrip() for n in shown if not is_effort(n)]
            for line in filter(None, wanted):
                assert any(agrees(line, n) for n in said), f"{command}\n{line}\n{said}"
            tried += 1
    assert tried


def test_every_picture_of_the_gallery_is_drawn():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "site" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    drawn = pictures.drawn()
    shown = set(re.findall(r"\((pictures/[^)]+)\)", (DOCS / "gallery.md").read_text("utf-8")))
    assert shown == set(drawn)
    assert len(drawn) >= 8
    for name, content in drawn.items():
        assert content.startswith(b"\x89PNG"), name
        assert (DOCS / name).is_file(), f"{name}: python docs/site/pictures.py draws it"


def test_links_between_files_lead_somewhere():
    pages = [*PAGES, *ROOT.glob("*.md"), ROOT / "models" / "README.md"]
    for page in pages:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in link and not link.startswith("#"):
                file = link.split("#")[0]
                assert (page.parent / file).exists() or file == "performance.md", (page.name, link)


@pytest.mark.slow
def test_the_site_builds_with_strict_links(tmp_path):
    pytest.importorskip("mkdocs")
    from mkdocs.commands.build import build  # noqa: PLC0415  (an extra)
    from mkdocs.config import load_config  # noqa: PLC0415  (an extra)

    build(
        load_config(str(DOCS / "site" / "mkdocs.yml"), strict=True, site_dir=str(tmp_path / "site"))
    )
    assert (tmp_path / "site" / "index.html").is_file()
