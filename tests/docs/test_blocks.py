"""Nothing is shown that nobody runs: the languages of blocks, and files that pages quote."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from pages import NAMES, ROOT, Fence, fences, indented

from jensen import Box, Function, FunctionGraph, GraphNode, ReluNetwork
from jensen.batch import find_cases
from jensen.cli.app import app
from jensen.domains.domain_file import load_domain

RUN = {"python", "console"}  # test_python_blocks.py, test_console_blocks.py
QUOTED = {"toml", "json", "csv", "yaml"}  # below
DRAWN = {"mermaid"}  # by the browser
PROSE = {"text"}  # formulas
COMMAND = re.compile(r"\s+(?:\$ )?(?:jensen|python3?|pip|dask|mkdocs|sqlite3|\.venv/\S+) ")


def quoted() -> list[Fence]:
    return [f for name in NAMES for f in fences(name) if f.language in QUOTED and not f.remark]


@pytest.mark.parametrize("name", NAMES)
def test_a_block_is_run_or_says_why_not(name):
    for fence in fences(name):
        assert fence.language in RUN | QUOTED | DRAWN | PROSE, f"{fence}: name its language"
        if fence.remark == "not run":
            assert len(fence.reason) > 10, f"{fence}: say why"
    for line in indented(name):
        assert not COMMAND.match(line), f"{name}: {line.strip()}: a fence, console, is run"


def read_domain(fence: Fence, folder: Path) -> None:
    file = folder / f"domain.{fence.language}"
    file.write_text(fence.text, encoding="utf-8")
    load_domain(file)


def read_manifest(fence: Fence, folder: Path) -> None:
    for name in ("icnn", "cost"):
        shutil.copy(ROOT / "models" / "beyond_icnn.onnx", folder / f"{name}.onnx")
    file = folder / f"manifest.{fence.language}"
    file.write_text(fence.text, encoding="utf-8")
    found = find_cases([file])
    assert [Path(case.name).stem for case in found] == ["icnn", "cost"]
    assert [str(case.expected) for case in found] == ["convex", "nonconvex"]
    assert str(found[1].domain) == str(Box(-1, 1))


def read_header(fence: Fence, folder: Path) -> None:
    """The header that is written has the fields that the page shows."""
    square = GraphNode("celu_1", {"input": [[1.0]]}, [0.0], Function.CELU, 1)
    written = {
        "jensen-network/1": ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]]),
        "jensen-graph/1": FunctionGraph(1, [square, GraphNode("output", {"celu_1": [[1.0]]}, [0])]),
    }
    shown = json.loads(fence.text)
    written[shown["format"]].save(folder / "net.npz")
    with np.load(folder / "net.npz") as archive:
        header = json.loads(str(archive["header"]))
    assert set(shown) <= set(header) | {"input_shape", "output_shape"}
    for blocks in ("blocks", "nodes"):
        if blocks in shown:
            assert set(shown[blocks][0]) == set(header[blocks][0])


def read_workflow(fence: Fence, folder: Path) -> None:
    """The commands that a workflow or a hook runs can be read by the program."""
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(fence.text)
    lines: list[str] = []
    for job in content.get("jobs", {}).values():
        for step in job["steps"]:
            lines += step.get("run", "").replace("\\\n", " ").splitlines()
    for repository in content.get("repos", ()):
        for hook in repository["hooks"]:
            lines.append(shlex.join(["jensen", "batch", *hook["args"], "models"]))
    commands = [shlex.split(line) for line in lines if line.startswith("jensen ")]
    assert commands
    with click.Context(app, info_name="jensen") as context:
        for words in commands:
            command = app.get_command(context, words[1])
            assert command is not None
            command.make_context(words[1], words[2:], parent=context)


READERS: dict[str, Any] = {
    "docs/domain-format.md": read_domain,
    "docs/manifest.md": read_manifest,
    "docs/npz-format.md": read_header,
    "docs/ci.md": read_workflow,
}


@pytest.mark.parametrize("fence", quoted(), ids=str)
def test_a_file_that_a_page_quotes_is_read_by_the_program(fence, tmp_path):
    if fence.language == "csv":
        assert list(csv.DictReader(io.StringIO(fence.text)))
    if fence.language == "toml":
        assert tomllib.loads(fence.text)
    READERS[fence.page](fence, tmp_path)
