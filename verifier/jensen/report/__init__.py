"""Reports of batches: one self-contained HTML page, or Markdown for CI comments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from jensen.batch.case import Case, Row
from jensen.outputs import Extra, check_output, write_whole
from jensen.report.markdown import to_markdown
from jensen.report.page import to_html
from jensen.report.worst import SECONDS

__all__ = ["check_report", "to_html", "to_markdown", "write_report"]

ENDINGS = (".html", ".md")
EXTRAS = {
    ".html": Extra(
        ("jinja2", "matplotlib"),
        "a page needs {missing}: pip install 'jensen[report]'; "
        "a report that ends in .md needs neither",
    )
}


def write_report(
    results: Sequence[tuple[Case, Row]],
    path: Path,
    *,
    title: str = "",
    pictures: int = 60,
    time_limit: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a report; the ending decides between ``.html`` and ``.md``.

    Parameters
    ----------
    results : sequence of (Case, Row)
    path : Path
    title : str
        Heading of the report.
    pictures : int
        For how many models the page holds plots, nonconvex ones first; their files are
        read again.
    time_limit : float
        Seconds per nonconvex model to seek its worst pair; 0 draws the pair that refuted it.
    progress : callable, optional
        Gets how many of how many models are drawn.

    Raises
    ------
    OutputError
        For another ending, or where the file cannot be written.
    MissingExtraError
        Without jinja2 and matplotlib, for a page.
    """
    check_report(path)
    if path.suffix.lower() == ".html":
        text = to_html(
            results, title=title, pictures=pictures, time_limit=time_limit, progress=progress
        )
    else:
        text = to_markdown(results, title=title)
    write_whole(path, text)


def check_report(path: Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a report that could not be written, before the results are there.

    Parameters
    ----------
    path : Path
    inputs : iterable of str or Path
        Files that it may not take the place of.

    Raises
    ------
    OutputError
        For another ending, or a place that cannot be written to.
    MissingExtraError
        Without jinja2 and matplotlib, for a page.
    """
    check_output(path, endings=ENDINGS, inputs=inputs, extras=EXTRAS)
