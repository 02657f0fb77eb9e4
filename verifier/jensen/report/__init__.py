"""Reports of batches: one self-contained HTML page, or Markdown for CI comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jensen.batch.case import Case, Row
from jensen.errors import OptionError
from jensen.report.markdown import to_markdown
from jensen.report.page import to_html

__all__ = ["to_html", "to_markdown", "write_report"]


def write_report(
    results: Sequence[tuple[Case, Row]], path: Path, *, title: str = "", pictures: int = 60
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

    Raises
    ------
    OptionError
        For another ending.
    MissingExtraError
        Without jinja2 and matplotlib.
    """
    if path.suffix == ".html":
        text = to_html(results, title=title, pictures=pictures)
    elif path.suffix == ".md":
        text = to_markdown(results, title=title)
    else:
        raise OptionError(f"{path}: a report is written as .html or .md")
    path.write_text(text, encoding="utf-8")
