"""A batch as Markdown, for the comments and summaries of a CI system."""

from __future__ import annotations

from collections.abc import Sequence

from jensen.batch.case import Case, Row
from jensen.batch.outcome import Kind, evidence, failures, outcome, summary
from jensen.text import printable

_SIGNS = {"convex": "✅", "nonconvex": "❌", "unknown": "❔", "error": "⚠️"}


def to_markdown(results: Sequence[tuple[Case, Row]], *, title: str = "") -> str:
    """Return a summary, the rows that need attention, and the rest folded away.

    Parameters
    ----------
    results : sequence of (Case, Row)
    title : str
    """
    open_ = [pair for pair in results if failures(*pair)]
    fine = [pair for pair in results if not failures(*pair)]
    lines = [f"## {_cell(title or 'Convexity of ReLU networks')}", "", summary(results), ""]
    if open_:
        lines += [*_table(open_), ""]
    if fine:
        some = "1 model is" if len(fine) == 1 else f"{len(fine)} models are"
        count = f"{some} as expected" if open_ else f"All {len(fine)} models"
        lines += ["<details>", f"<summary>{count}</summary>", "", *_table(fine), "", "</details>"]
    return "\n".join(lines) + "\n"


def _table(results: Sequence[tuple[Case, Row]]) -> list[str]:
    lines = [
        "| model | domain | verdict | expected | seconds | evidence |",
        "|---|---|---|---|--:|---|",
    ]
    for case, row in results:
        output = "" if case.output is None else f" [{case.output}]"
        expected = "" if case.expected is None else str(case.expected)
        if Kind.MISMATCH in outcome(case, row):
            expected = f"**{expected}**"
        cells = (
            _cell(case.name + output),
            _cell(str(case.domain)),
            f"{_SIGNS[str(row.status)]} {row.status}",
            expected,
            f"{row.seconds:.2f}",
            _cell(evidence(row)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(text: str) -> str:
    """Return text that Markdown takes as it is."""
    escaped = "".join(f"\\{c}" if c in r"\`*_[]<>|#&~" else c for c in printable(text))
    return " ".join(escaped.split())
