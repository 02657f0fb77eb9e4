"""Reports and exports of batches."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jensen.batch import Case, Row, RowStatus, find_cases, run_batch
from jensen.batch.export import COLUMNS, write_export
from jensen.domains.domain import Box, Everywhere
from jensen.errors import MissingExtraError, OutputError

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from jensen.report import to_html, to_markdown, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
Results = list[tuple[Case, Row]]


@pytest.fixture
def results(tmp_path: Path, make) -> Results:
    make("up.npz", 1)
    make("down.npz", -1)
    (tmp_path / "<b>bad.npz").write_bytes(b"nothing")
    return run_batch(find_cases([tmp_path], domain=Box(-200, 200)))


class Page(HTMLParser):
    """Collects identifiers, links and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "action"} and not (value or "").startswith(
                "#"
            ):
                self.fetched.append(value or "")


def test_the_page_is_one_file_that_fetches_nothing(results):
    page = Page(to_html(results))
    assert page.fetched == []
    # matplotlib names markers and clips by their content, and may repeat them within a plot
    own = [name for name in page.ids if not re.fullmatch(r"[mp][0-9a-f]{10}", name)]
    assert len(own) == len(set(own))
    assert page.tags.count("article") == 3
    assert page.tags.count("svg") == 2


def test_names_and_messages_are_escaped(results):
    text = to_html(results, title="<script>alert(1)</script>")
    assert "<b>bad" not in text
    assert "&lt;b&gt;bad.npz" in text
    assert "<script>alert" not in text
    assert r"\<b\>bad" in to_markdown(results)


def test_no_pictures_are_drawn_of_files_that_have_changed(results, make):
    make("up.npz", -1)
    assert Page(to_html(results)).tags.count("svg") == 1
    assert Page(to_html(results, pictures=0)).tags.count("svg") == 0


def test_markdown_puts_first_what_needs_attention(results):
    text = to_markdown(results)
    first, _, folded = text.partition("<details>")
    assert "down.npz" in first
    assert "up.npz" in folded
    table = [line for line in first.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


def test_the_ending_decides_and_others_are_refused(results, tmp_path):
    write_report(results, tmp_path / "r.html")
    write_report(results, tmp_path / "r.md")
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    with pytest.raises(OutputError, match=r"\.html, \.md"):
        write_report(results, tmp_path / "r.pdf")
    with pytest.raises(OutputError, match=r"\.csv, \.jsonl, \.parquet"):
        write_export(results, tmp_path / "r.xls")


def test_exports_hold_every_row(results, tmp_path):
    write_export(results, tmp_path / "r.csv")
    write_export(results, tmp_path / "r.jsonl")
    with (tmp_path / "r.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert list(rows[0]) == list(COLUMNS)
    assert [row["status"] for row in rows] == [line["status"] for line in lines]
    assert {row["status"] for row in rows} == {"convex", "nonconvex", "error"}
    down = next(line for line in lines if line["status"] == "nonconvex")
    assert down["counterexample"]["violation"]


def test_parquet_holds_the_same_columns_with_the_same_types_whatever_the_rows(results, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_export(results, tmp_path / "r.parquet")
    write_export([], tmp_path / "none.parquet")
    table = parquet.read_table(tmp_path / "r.parquet")
    assert table.column_names == list(COLUMNS)
    types = {name: str(table.schema.field(name).type) for name in ("relus", "seconds", "status")}
    assert types == {"relus": "int64", "seconds": "double", "status": "string"}
    assert table.schema.equals(parquet.read_schema(tmp_path / "none.parquet"))
    assert sorted(table["status"].to_pylist()) == ["convex", "error", "nonconvex"]
    violations = dict(zip(table["status"].to_pylist(), table["violation"].to_pylist(), strict=True))
    assert violations["nonconvex"] > 0
    assert violations["convex"] is None


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"jensen\[parquet\]"):
        write_export([], tmp_path / "r.parquet")


def test_a_report_of_nothing_is_a_report(tmp_path):
    assert "0 models" in to_html([])
    assert "0 models" in to_markdown([])


def browse(page: Path, profile: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Open a page in headless Chromium, which fetches nothing by itself; its console goes to
    standard error."""
    assert CHROMIUM is not None
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    silent = "--disable-background-networking --disable-component-update --hide-scrollbars"
    return subprocess.run(
        [
            CHROMIUM,
            *quiet.split(),
            *silent.split(),
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=3000",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_sorts_filters_and_shows_model_pages_without_errors(tmp_path):
    rows = [
        (Case(Path(f"{k}"), f"model {k}", Everywhere()), Row(status, f"d{k}", seconds=10.0 - k))
        for k, status in enumerate(
            [RowStatus.UNKNOWN, RowStatus.CONVEX, RowStatus.NONCONVEX, RowStatus.CONVEX]
        )
    ]
    probe = """
    <script>
    window.addEventListener("error", (e) => document.body.dataset.error = e.message);
    window.addEventListener("load", () => {
      const names = () => Array.from(document.querySelectorAll("#models tbody tr"))
        .filter((r) => !r.hidden).map((r) => r.dataset.name.slice(-1)).join("");
      const shown = () => Array.from(document.querySelectorAll(".model"))
        .filter((m) => m.offsetParent !== null).map((m) => m.id).join(",");
      const out = document.body.dataset;
      const click = (key) => document.querySelector(`[data-key=${key}]`).click();
      out.first = names();
      click("seconds"); out.up = names();
      click("seconds"); out.down = names();
      click("status"); out.status = names();
      const box = document.querySelector("[name=status][value=convex]");
      box.click(); out.filtered = names();
      const search = document.getElementById("search");
      search.value = "model 2"; search.dispatchEvent(new Event("input", {bubbles: true}));
      out.searched = names();
      out.before = shown();
      location.hash = "#m3";
      setTimeout(() => { out.after = shown(); }, 200);
    });
    </script></head>"""
    page = tmp_path / "page.html"
    page.write_text(to_html(rows, pictures=0).replace("</head>", probe, 1))
    run = browse(page, tmp_path / "profile", "--dump-dom")
    assert "CONSOLE" not in run.stderr
    found = re.search(r"<body([^>]*)>", run.stdout)
    assert found is not None, run.stderr[-2000:]
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', found[1]))
    assert "error" not in data
    assert data == {
        "first": "0123",
        "up": "3210",
        "down": "0123",
        "status": "1320",
        "filtered": "20",
        "searched": "2",
        "before": "",
        "after": "m3",
    }


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("dark", [False, True])
def test_pages_fit_a_phone_and_follow_its_colours(tmp_path, make, dark):
    probe = """
    <script>
    window.addEventListener("load", () => {
      const out = parent.document.body.dataset;
      const root = document.documentElement;
      out.width = innerWidth;
      out.table = root.scrollWidth - root.clientWidth;
      location.hash = "#m0";
      setTimeout(() => {
        const line = document.querySelector("#m0 svg path[style*=currentColor]");
        out.model = root.scrollWidth - root.clientWidth;
        out.ink = getComputedStyle(document.body).color;
        out.line = getComputedStyle(line).stroke;
        const behind = document.querySelector("#m0 svg [style*='fill: #ffffff']");
        out.paper = getComputedStyle(document.body).backgroundColor;
        out.behind = getComputedStyle(behind).fill;
        const right = (what) => document.querySelector(what).getBoundingClientRect().right;
        out.hidden = Math.round(right("#m0 .plot svg") - right("#m0 .plot"));
      }, 200);
    });
    </script></head>"""
    path = make("a_rather_long_name_without_any_place_to_break.npz", -1)
    results = run_batch(find_cases([path], domain=Box(-2000, 2000)))
    page = tmp_path / "page.html"
    whole = escape(to_html(results).replace("</head>", probe, 1))
    # no window is as narrow as a phone
    page.write_text(f'<iframe style="width: 390px; border: 0" srcdoc="{whole}"></iframe>')
    scheme = f"--blink-settings=preferredColorScheme={int(not dark)}"
    run = browse(page, tmp_path / "profile", scheme, "--dump-dom")
    assert "CONSOLE" not in run.stderr
    found = re.search(r"<body([^>]*)>", run.stdout)
    assert found is not None, run.stderr[-2000:]
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', found[1]))
    assert (data["width"], data["table"], data["model"]) == ("390", "0", "0")
    assert data["hidden"] == "0"  # the segment, which is the right part of a wide plot
    # the letters of the pair are written in the page's ink on its paper
    assert data["behind"] == data["paper"] == ("rgb(20, 25, 30)" if dark else "rgb(252, 251, 248)")
    assert data["ink"] == data["line"] == ("rgb(228, 233, 237)" if dark else "rgb(27, 39, 51)")
