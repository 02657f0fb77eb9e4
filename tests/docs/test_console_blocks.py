"""Every command of every page runs, and prints what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pages import NAMES, ROOT, fences

from jensen.cli import main

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
CHECKER = ROOT / "verifier" / "jensen" / "certificate" / "checker.py"
BAD_INPUT = 2  # exit codes


def steps(session: str) -> list[tuple[str, list[str]]]:
    """Return commands with the lines that a session shows after each."""
    found: list[tuple[str, list[str]]] = []
    for line in session.replace("\\\n", " ").splitlines():
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
    line = re.sub(r"(real arithmetic: they differ by ).*", r"\1", line)
    line = re.sub(r"(the worst pair found, .*) <= .*", r"\1", line)
    line = re.sub(r" {2,}\([-\d.e, ]+\) *", " (a point) ", line)  # any point of a facet will do
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


def sessions(name: str) -> list[str]:
    return [f.text for f in fences(name) if f.language == "console" and not f.remark]


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    if words[0] == "jensen":
        assert main(words[1:]) != BAD_INPUT, words
        return capsys.readouterr().out
    if words[0] == "sqlite3":
        with closing(sqlite3.connect(words[1])) as store:
            return "".join("|".join(map(str, row)) + "\n" for row in store.execute(words[2]))
    assert words[0] == "python", f"{words}: cannot be run here: say why not, '<!-- not run: -->'"
    done = subprocess.run(
        [sys.executable, *words[1:]], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [name for name in NAMES if sessions(name)])
def test_the_commands_of_a_page_print_what_is_shown(name, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "models", tmp_path / "models")
    shutil.copy(CHECKER, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for session in sessions(name):
        assert steps(session), session
        for command, shown in steps(session):
            said = run(shlex.split(command, comments=True), capsys).splitlines()
            said = [line.rstrip() for line in said if not is_effort(line)]
            for line in (line.rstrip() for line in shown if not is_effort(line)):
                found = [n for n in said if agrees(n, line)]
                assert not line or found, "\n".join((command, line, *said))


def test_the_commands_of_the_readme_are_those_that_ci_runs():
    script = Path(ROOT, ".ci", "run").read_text(encoding="utf-8")
    marked = [f for f in fences("README.md") if f.remark == "ci"]
    assert marked
    for fence in marked:
        assert f"readme_command {fence.reason}" in script
        assert fence.text.count("\n") == 1
