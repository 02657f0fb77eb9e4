"""``jensen report``: a store of results as a page."""

from __future__ import annotations

from pathlib import Path

import click

from jensen.batch.export import ENDINGS, write_export
from jensen.batch.store import Store
from jensen.report import write_report
from jensen.text import printable


@click.command("report")
@click.argument("store")
@click.option("-o", "--out", default="report.html", show_default=True, metavar="FILE")
@click.option("--title", default="", help="Heading of the report.")
@click.option("--pictures", type=click.IntRange(0), default=60, show_default=True, metavar="N")
def command(store: str, out: str, title: str, pictures: int) -> int:
    """Write the results of STORE as .html, .md, .csv, .jsonl or .parquet.

    The page holds everything it needs. Plots are drawn for the first --pictures models,
    nonconvex ones first, if their files are still there and unchanged.
    """
    with Store(store, create=False) as stored:
        results = list(stored.rows())
    path = Path(out)
    if path.suffix in ENDINGS:
        write_export(results, path)
    else:
        write_report(results, path, title=title or printable(store), pictures=pictures)
    click.echo(f"{printable(path)}: {len(results)} models")
    return 0
