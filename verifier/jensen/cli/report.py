"""``jensen report``: a store of results as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import click

from jensen.batch.case import Case, Row
from jensen.batch.export import ENDINGS, check_export, write_export
from jensen.batch.store import Store
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.outputs import check_output
from jensen.report import ENDINGS as REPORTS
from jensen.report import check_report, write_report
from jensen.report.worst import SECONDS
from jensen.text import counted, printable


@click.command("report", cls=OnceCommand)
@click.argument("store", shell_complete=file_names)
@click.option("-o", "--out", default="report.html", show_default=True, metavar="FILE")
@click.option("--title", default="", help="Heading of the report.")
@click.option("--pictures", type=click.IntRange(0), default=60, show_default=True, metavar="N")
@click.option(
    "--time-limit",
    type=click.FloatRange(0),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="For the worst pair of each nonconvex model; 0 draws the pair that refuted it.",
)
def command(store: str, out: str, title: str, pictures: int, time_limit: float) -> int:
    """Write the results of STORE as .html, .md, .csv, .jsonl or .parquet.

    The page holds everything it needs. Plots are drawn for the first --pictures models,
    nonconvex ones first, if their files are still there and unchanged. The segment of a
    nonconvex model is that of the worst pair which is found in --time-limit.

    \b
    jensen report results.db -o report.html
    jensen report results.db -o results.csv
    """  # noqa: D301  (\b keeps click from folding the examples)
    if math.isnan(time_limit):
        raise click.UsageError("--time-limit nan: seconds >= 0 are needed")
    path = Path(out)
    check_output(path, endings=(*REPORTS, *ENDINGS), inputs=[store, f"{store}-wal"])
    if path.suffix.lower() in ENDINGS:
        check_export(path)
    else:
        check_report(path)
    with Store(store, read_only=True) as stored:
        results = list(stored.rows())
    if path.suffix.lower() in ENDINGS:
        write_export(results, path)
    else:
        draw(
            results, path, title=title or printable(store), pictures=pictures, time_limit=time_limit
        )
    click.echo(f"{printable(path)}: {counted(len(results), 'model')}")
    return 0


def draw(
    results: Sequence[tuple[Case, Row]],
    path: Path,
    *,
    title: str = "",
    pictures: int = 60,
    time_limit: float = SECONDS,
) -> None:
    """Write a report, and say on standard error how far it is."""
    text = f"writing {printable(path)}"
    with common.stderr_console().status(text) as status:

        def progress(done: int, total: int) -> None:
            status.update(common.as_text(f"{text}: {done} of {total} pictures"))

        write_report(
            results, path, title=title, pictures=pictures, time_limit=time_limit, progress=progress
        )
