"""A batch as one HTML page that needs no network and no second file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.networks import network_of
from jensen.batch.outcome import Kind, evidence, failures, outcome, summary
from jensen.domain import Box, Domain
from jensen.errors import JensenError, MissingExtraError
from jensen.layer_graph import draw_layer_graph
from jensen.network import FloatArray, ReluNetwork

# more is too slow to look at in a browser
_GRAPH_LINES = 120
_WORDS = {
    RowStatus.CONVEX: "Convex: every kink of the function on the domain bends upwards.",
    RowStatus.NONCONVEX: "Not convex: between the points x and y the function lies above its "
    "chord, shown in rational arithmetic.",
    RowStatus.UNKNOWN: "Unknown: neither proved nor refuted within the limits.",
    RowStatus.ERROR: "No verdict: the model could not be verified.",
}


def to_html(results: Sequence[tuple[Case, Row]], *, title: str = "", pictures: int = 60) -> str:
    """Return the page.

    Parameters
    ----------
    results : sequence of (Case, Row)
    title : str
    pictures : int
        For how many models plots and layer graphs are drawn, nonconvex ones first.

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
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((here / "page.html").read_text(encoding="utf-8"))
    models = [_model(number, case, row) for number, (case, row) in enumerate(results)]
    for number in _chosen(results, pictures):
        graph, picture = _drawn(*results[number], salt=f"m{number}")
        models[number] |= {"graph": graph, "picture": Markup(picture)}
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
        "sides": _sides(case.domain),
        "output": case.output,
        "options": _asked(case),
        "status": str(row.status),
        "words": _WORDS[row.status],
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
        "graph": "",
        "picture": "",
    }


def _asked(case: Case) -> str:
    options = case.options
    parts = ["concavity" if options.concave else ""]
    if options.inputs is not None:
        parts.append(f"in the inputs {', '.join(map(str, options.inputs))} only")
    if options.tolerance:
        parts.append(f"within {options.tolerance:g}")
    return ", ".join(part for part in parts if part)


def _sides(domain: Domain) -> str:
    """Return the sides of a small box that are not all the same."""
    if not isinstance(domain, Box) or domain.lower.ndim == domain.upper.ndim == 0:
        return ""
    sides = list(zip(*np.broadcast_arrays(domain.lower, domain.upper), strict=True))
    shown = " × ".join(f"[{low:g}, {high:g}]" for low, high in sides[:8])
    return shown + (" × …" if len(sides) > 8 else "")


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


def _point(values: Sequence[float]) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values[:12])
    more = f", … ({len(values)} numbers)" if len(values) > 12 else ""
    return f"({shown}{more})"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.2f} s"


def _drawn(case: Case, row: Row, *, salt: str) -> tuple[str, str]:
    """Return layer graph and plot of a model, empty where its file is no longer the same."""
    try:
        network = network_of(case)
    except (JensenError, OSError):
        return "", ""
    if network.digest != row.digest:
        return "", ""
    lines = draw_layer_graph(network)
    graph = "\n".join(lines) if len(lines) <= _GRAPH_LINES else ""
    return graph, _picture(network, case, row, salt)


def _picture(network: ReluNetwork, case: Case, row: Row, salt: str) -> str:
    from jensen.plot import figure, to_svg  # noqa: PLC0415  (draws: an extra)

    output = _decisive_output(case, row)
    pair = _pair(row)
    bounds = _where(case.domain, network.input_size, pair)
    if pair is None and (bounds is None or network.input_size > 2):
        return ""
    segment = np.stack(bounds) if pair is None and bounds is not None else pair
    if segment is None:
        return ""
    network = network.select_output(output)
    drawn = figure(network, segment, bounds=bounds, mark_pair=pair is not None)
    return to_svg(drawn, salt=salt)


def _decisive_output(case: Case, row: Row) -> int:
    if case.output is not None:
        return case.output
    status = str(row.status)
    return next((int(o["output"]) for o in row.outputs if o["status"] == status), 0)


def _pair(row: Row) -> FloatArray | None:
    if row.counterexample is None:
        return None
    return np.array([row.counterexample["x_float"], row.counterexample["y_float"]])


def _where(
    domain: Domain, inputs: int, pair: FloatArray | None
) -> tuple[FloatArray, FloatArray] | None:
    """Return the box to draw: the domain where it is one, else the pair's surroundings."""
    if isinstance(domain, Box):
        return domain.bounds(inputs)
    if pair is None:
        return np.full(inputs, -2.0), np.full(inputs, 2.0)
    reach = max(float(np.abs(pair[1] - pair[0]).max()), 1e-6)
    return pair.mean(axis=0) - reach, pair.mean(axis=0) + reach
