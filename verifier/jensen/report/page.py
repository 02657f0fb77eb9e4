"""A batch as one HTML page that needs no network and no second file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.outcome import Kind, evidence, failures, outcome, summary
from jensen.errors import MissingExtraError
from jensen.report.pictures import Picture, drawn
from jensen.report.worst import REFUTING, SECONDS
from jensen.text import printable
from jensen.types import FloatArray

_WORDS = {
    RowStatus.CONVEX: "{Convex}: every kink of the function on the domain bends {up}wards.",
    RowStatus.NONCONVEX: "Not {convex}: between the points x and y the function lies {above} its "
    "chord, shown in rational arithmetic.",
    RowStatus.UNKNOWN: "Unknown: neither proved nor refuted within the limits.",
    RowStatus.ERROR: "No verdict: the model could not be verified.",
}


def to_html(
    results: Sequence[tuple[Case, Row]],
    *,
    title: str = "",
    pictures: int = 60,
    time_limit: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    results : sequence of (Case, Row)
    title : str
    pictures : int
        For how many models plots and layer graphs are drawn, nonconvex ones first.
    time_limit : float
        Seconds per nonconvex model to seek its worst pair; 0 draws the pair that refuted it.
    progress : callable, optional
        Gets how many of how many models are drawn, before each.

    Raises
    ------
    MissingExtraError
        Without jinja2 or matplotlib.
    """
    try:
        from jinja2 import Environment  # noqa: PLC0415  (an extra)
        from markupsafe import Markup  # noqa: PLC0415  (comes with jinja2)
    except ImportError:
        raise MissingExtraError("reports need jinja2: pip install 'jensen[report]'") from None
    here = files("jensen.report")
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_readable
    )
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    models = [_model(number, case, row) for number, (case, row) in enumerate(results)]
    chosen = _chosen(results, pictures)
    for done, number in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        with np.errstate(all="ignore"):  # networks whose values leave the doubles, too
            picture = drawn(*results[number], salt=f"m{number}", time_limit=time_limit)
        models[number] |= _shown(picture)
        models[number]["picture"] = Markup(models[number]["picture"])
    counts = Counter(str(row.status) for _, row in results)
    return template.render(
        title=title or "Convexity of ReLU networks",
        summary=summary(results),
        statuses=[(str(status), counts[status]) for status in RowStatus if counts[status]],
        any_expected=any(case.expected is not None for case, _ in results),
        mismatches=sum(Kind.MISMATCH in outcome(case, row) for case, row in results),
        total=len(results),
        seconds=_seconds(sum(row.seconds for _, row in results)),
        models=models,
        versions=next((row.versions for _, row in results if row.versions), {}),
        finished=max((row.finished for _, row in results), default=""),
        css=Markup((here / "page.css").read_text(encoding="utf-8")),
        js=Markup((here / "page.js").read_text(encoding="utf-8")),
    )


def _readable(value: Any) -> Any:
    """Return what the page writes for a value; markup of its own is a subclass of str."""
    return printable(value, lines=True) if type(value) is str else value


def _chosen(results: Sequence[tuple[Case, Row]], pictures: int) -> list[int]:
    """Return which models are drawn: what needs attention first, errors never."""

    def rank(number: int) -> tuple[bool, bool, int]:
        case, row = results[number]
        return not failures(case, row), row.status is not RowStatus.NONCONVEX, number

    drawable = [n for n, (_, row) in enumerate(results) if row.status is not RowStatus.ERROR]
    return sorted(drawable, key=rank)[: max(0, pictures)]


def _model(number: int, case: Case, row: Row) -> dict[str, Any]:
    kinds = outcome(case, row)
    pair = row.counterexample
    return {
        "id": f"m{number}",
        "name": case.name,
        "short": case.name.rpartition("/")[2],
        "domain": str(case.domain),
        "sides": case.domain.sides() if "…" in str(case.domain) else "",
        "output": case.output,
        "options": _asked(case),
        "status": str(row.status),
        "words": _words(case, row),
        "summary": row.summary or row.error,
        "note": "" if row.note in row.summary else row.note,
        "expected": "" if case.expected is None else str(case.expected),
        "reason": case.reason,
        "mismatch": Kind.MISMATCH in kinds,
        "evidence": evidence(row),
        "relus": row.relus,
        "inputs": row.inputs,
        "parameters": row.parameters,
        "violation": None if pair is None else pair["violation_float"],
        "pair": None if pair is None else {k: _point(pair[f"{k}_float"]) for k in "xy"},
        "neuron": None if pair is None else pair.get("neuron"),
        "slope_change": None if pair is None else pair.get("slope_change"),
        "bounds": _bounds(row),
        "layers": _layers(row),
        "outputs": row.outputs,
        "nodes": row.nodes,
        "lps": row.lps,
        "engine": row.engine,
        "tolerance": row.tolerance,
        "seconds": row.seconds,
        "times": [(stage, _seconds(spent)) for stage, spent in row.times.items() if spent >= 5e-3],
        "digest": row.digest,
        "finished": row.finished,
        "certificate": row.certificate,
        **_shown(Picture()),
    }


def _shown(picture: Picture) -> dict[str, Any]:
    """Return what the page says of a picture; what it proved may say more than the row."""
    pair = picture.pair
    found: dict[str, Any] = {
        "graph": picture.graph,
        "picture": picture.svg,
        "caption": picture.caption if pair is None else pair.caption,
        "shown": "" if pair is None else pair.name,
        "ends": None,
    }
    if pair is not None and pair.name != REFUTING:
        found["ends"] = {"x": _point(pair.ends[0]), "y": _point(pair.ends[1])}
    if pair is not None and pair.bounds:
        found["bounds"] = pair.bounds
    return found


def _words(case: Case, row: Row) -> str:
    words = _WORDS[row.status]
    if case.options.concave:
        return words.format(Convex="Concave", convex="concave", up="down", above="below")
    return words.format(Convex="Convex", convex="convex", up="up", above="above")


def _asked(case: Case) -> str:
    options = case.options
    parts = ["concavity" if options.concave else ""]
    if options.inputs is not None:
        parts.append(f"in the inputs {', '.join(map(str, options.inputs))} only")
    if options.tolerance:
        parts.append(f"within {options.tolerance:g}")
    return ", ".join(part for part in parts if part)


def _bounds(row: Row) -> str:
    if row.lower is None or row.upper is None:
        return ""
    upper = f"{row.upper:.6g}" if math.isfinite(row.upper) else "∞"
    return f"{row.lower:.6g} ≤ worst violation ≤ {upper}"


def _layers(row: Row) -> list[dict[str, Any]]:
    """Return per layer how many neuron groups each reason closed, and their shares."""
    found = []
    for name, reasons in row.layers.items():
        total = sum(reasons.values())
        parts = [
            {"reason": reason, "slug": reason.replace(" ", "-"), "count": count,
             "share": 100 * count / total}
            for reason, count in reasons.items()
        ]  # fmt: skip
        found.append({"name": name, "total": total, "parts": parts})
    return found


def _point(values: Sequence[float] | FloatArray) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values[:12])
    return f"({shown})" if len(values) <= 12 else f"({shown}, …), {len(values)} numbers"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.2f} s"
