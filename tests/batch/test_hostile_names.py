"""Hostile names through every output of a batch: nothing breaks, nothing is taken for more."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hostile import hostile_names, is_harmless

from jensen.batch import Case, Row, RowStatus, Store
from jensen.batch.export import to_csv, write_export
from jensen.batch.junit import write_junit
from jensen.batch.runner import Event, EventKind
from jensen.cli.common import SafeConsole, to_json
from jensen.cli.progress import Events, Plain
from jensen.cli.table import show_table
from jensen.cli.verify import show
from jensen.decide import verify
from jensen.domains.domain import Box
from jensen.network.block import Activation, Block
from jensen.network.layer_graph import draw_layer_graph
from jensen.network.relu_network import ReluNetwork
from jensen.report import to_html, to_markdown
from jensen.text import csv_text, own_name, printable

Results = list[tuple[Case, Row]]
TEXTS: tuple[Any, ...] = ("summary", "error", "note", "engine", "certificate")


def results_for(names: list[str]) -> Results:
    """Return rows in which every text is a hostile name."""
    found: Results = []
    for number, name in enumerate(names):
        status = list(RowStatus)[number % 4]
        expected = RowStatus.CONVEX if number % 3 == 0 else None
        case = Case(Path(f"m{number}.npz"), name, Box(-1, 1), expected=expected, reason=name)
        row = Row(
            status,
            f"{number:064x}",
            **dict.fromkeys(TEXTS, name),
            reasons={name: 1},
            layers={name: {name: 1}},
            inputs=2,
            relus=3,
            parameters=4,
            outputs=[{"output": 0, "status": "convex", "summary": name}],
        )
        found.append((case, row))
    return found


def text_of_file(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def check_csv(results: Results) -> None:
    text = to_csv(results)
    text.encode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model"] for row in rows] == [csv_text(case.name) for case, _ in results]
    for row in rows:
        assert all(is_harmless(value) for value in row.values())
        assert not row["model"].startswith(("=", "+", "-", "@"))
        assert not row["error"].startswith(("=", "+", "-", "@"))


def check_json_lines(results: Results, folder: Path) -> None:
    write_export(results, folder / "r.jsonl")
    lines = text_of_file(folder / "r.jsonl").splitlines()
    assert [json.loads(line)["model"] for line in lines] == [printable(c.name) for c, _ in results]
    text = to_json([row.to_json() for _, row in results])
    text.encode()
    assert is_harmless(text.replace("\n", ""))
    json.loads(text)


def check_parquet(results: Results, folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_export(results, folder / "r.parquet")
    read = parquet.read_table(folder / "r.parquet").column("model").to_pylist()
    assert read == [printable(case.name) for case, _ in results]


def check_junit(results: Results, folder: Path) -> None:
    write_junit(results, folder / "r.xml")
    tests = ET.parse(folder / "r.xml").getroot().findall("./testsuite/testcase")
    assert [test.get("name") for test in tests] == [printable(case.name) for case, _ in results]


def check_markdown(results: Results) -> None:
    text = to_markdown(results, title=results[0][0].name)
    assert is_harmless(text.replace("\n", ""))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) in {len(results) + 1, len(results) + 2}  # one head for each table
    for row in rows:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 7  # cells are not cut
        assert not re.search(r"(?<!\\)(?:\\\\)*[<`]", row)


class Tags(HTMLParser):
    """Collects what kinds of elements a page has, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag}.{name}" for name, _ in attrs)}


def tags(page: str) -> set[str]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def check_html(results: Results) -> None:
    pytest.importorskip("jinja2")
    page = to_html(results, title=results[0][0].name, pictures=0)
    page.encode()
    assert is_harmless(page.replace("\n", ""))
    plain = [
        (replace(case, name="m", reason="m"), replace(row, **dict.fromkeys(TEXTS, "m")))
        for case, row in results
    ]
    assert tags(page) <= tags(to_html(plain, pictures=0))


def check_store(results: Results, folder: Path) -> None:
    with Store(folder / "r.sqlite") as store:
        for case, row in results:
            store.put(case, row)
        read = {case.name for case, _ in store.rows()}
    assert read == {own_name(case.name) for case, _ in results}


def check_terminal(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    show_table(results, SafeConsole(file=stream, width=400, markup=False, emoji=False))
    plain = Plain(len(results), lambda: False)
    events = Events(len(results), lambda: False)
    for number, (case, row) in enumerate(results):
        for progress in (plain, events):
            progress.on_event(Event(EventKind.DONE, number, case, row))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == 2 * len(results)
    assert all(map(is_harmless, lines))
    assert [json.loads(line)["model"] for line in lines[1::2]] == [
        printable(case.name) for case, _ in results
    ]
    assert is_harmless((out + stream.getvalue()).replace("\n", ""))


def check_everything(names: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = results_for(names)
    check_csv(results)
    check_json_lines(results, folder)
    check_parquet(results, folder)
    check_junit(results, folder)
    check_markdown(results)
    check_html(results)
    check_store(results, folder)
    check_terminal(results, capsys)


def test_hostile_names_through_every_output(tmp_path, capsys):
    check_everything(hostile_names(200), tmp_path, capsys)


@pytest.mark.slow
def test_10000_hostile_names_through_every_output(tmp_path, capsys):
    check_everything(hostile_names(10_000, seed=1), tmp_path, capsys)


# ------------------------------------------------------------------------ names of blocks


def named(name: str) -> ReluNetwork:
    """Return -relu(x) with a block of that name."""
    hidden = Block(name, {"input": np.ones((1, 1))}, np.zeros(1))
    output = Block("output", {name: -np.ones((1, 1))}, np.zeros(1), Activation.IDENTITY)
    return ReluNetwork(1, [hidden, output])


def test_hostile_names_of_blocks_are_shown_harmlessly():
    for name in hostile_names(100, seed=2):
        network = named(name)
        stream = io.StringIO()
        console = SafeConsole(file=stream, width=400, markup=False, emoji=False)
        for subject in (network, network.negated()):
            verdict = verify(subject, Box(-1, 1))
            show(verdict, console, model=name, evidence=True)
            assert is_harmless(verdict.summary)
            json.loads(to_json(verdict.to_json()))
            to_json(verdict.to_json()).encode()
        for line in draw_layer_graph(network):
            assert is_harmless(line)
            console.print(line)
        assert is_harmless(stream.getvalue().replace("\n", ""))
        assert printable(name) in stream.getvalue()


def test_a_picture_takes_a_hostile_title():
    plot = pytest.importorskip("jensen.report.plot")
    pytest.importorskip("matplotlib")
    for name in ["$x^$", *hostile_names(8, seed=3)]:
        ends = np.array([[-1.0], [1.0]])
        svg = plot.to_svg(plot.figure(named(name), ends, title=name))
        svg.encode()
        ET.fromstring(re.sub(r"xlink:", "", svg))


def test_the_status_line_takes_names_that_look_like_markup():
    for name in ["[/x]", "[red]", *hostile_names(20, seed=4)]:
        stream = io.StringIO()
        console = SafeConsole(file=stream, width=400, force_terminal=True, markup=False)
        with console.status(f"verifying {name}"):
            pass
        assert "\x1b[2J" not in stream.getvalue()
