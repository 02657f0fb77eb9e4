"""Reports of batches: one self-contained HTML page, or Markdown for CI comments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jensen.batch.case import Case, Row
from jensen.errors import OptionError
from jensen.report.markdown import to_markdown
from jensen.report.page import to_html
from jensen.report.worst import SECONDS

__all__ = ["to_html", "to_markdown", "write_report"]


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
    OptionError
        For another ending.
    MissingExtraError
        Without jinja2 and matplotlib.
    """
    if path.suffix == ".html":
        text = to_html(
            results, title=title, pictures=pictures, time_limit=time_limit, progress=progress
        )
    elif path.suffix == ".md":
        text = to_markdown(results, title=title)
    else:
        raise OptionError(f"{path}: a report is written as .html or .md")
    path.write_text(text, encoding="utf-8")
