"""The table that a batch ends in."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jensen.batch import Case, Kind, Row, outcome
from jensen.batch.outcome import evidence, summary
from jensen.cli.common import STYLES, as_text


def show_table(results: Sequence[tuple[Case, Row]], console: Console) -> None:
    """Print one line per model, and the summary."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shared = _shared_folder([case.name for case, _ in results])
    table.add_column("model", no_wrap=True, overflow="fold")
    table.add_column("domain", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("expected", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    for case, row in results:
        output = "" if case.output is None else f" [{case.output}]"
        table.add_row(
            as_text(case.name.removeprefix(shared) + output),
            str(case.domain),
            _verdict(case, row),
            _expected(case, row),
            f"{row.seconds:.2f}",
            as_text(evidence(row)),
        )
    if console.is_terminal:
        console.print(table)
    else:
        with console.capture() as text:
            console.print(table)
        click.echo("\n".join(line.rstrip() for line in text.get().strip("\n").splitlines()))
    console.print(summary(results), soft_wrap=True)


def _verdict(case: Case, row: Row) -> Text:
    style = STYLES[str(row.status)]
    mismatch = Kind.MISMATCH in outcome(case, row)
    return Text(str(row.status), style=STYLES["mismatch"] if mismatch else style)


def _expected(case: Case, row: Row) -> Text:
    if case.expected is None:
        return Text("")
    if row.status is case.expected:
        return Text("as expected", style="dim")
    if Kind.MISMATCH in outcome(case, row):
        return Text(f"MISMATCH: {case.expected}", style=STYLES["mismatch"])
    return Text(f"expected {case.expected}", style="yellow")


def _shared_folder(names: list[str]) -> str:
    """Return the folder that all names begin with, to leave it out."""
    folders = {name.rpartition("/")[0] for name in names}
    return f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""
