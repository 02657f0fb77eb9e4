"""What the page draws of a model: its layer graph, its function, and the worst pair's segment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.batch.case import Case, Row
from jensen.batch.networks import network_of
from jensen.domains.domain import Domain
from jensen.errors import JensenError
from jensen.graphs.drawing import graph_lines
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.layer_graph import draw_layer_graph
from jensen.network.relu_network import ReluNetwork
from jensen.report.worst import ShownPair, shown_pair
from jensen.types import FloatArray

# more is too slow to look at in a browser
_GRAPH_LINES = 120


@dataclass(frozen=True)
class Picture:
    """What is shown of one model; empty where there is nothing to show.

    Attributes
    ----------
    graph : str
        The layer graph as text.
    svg : str
        The function and the segment.
    caption : str
        What is drawn where there is no pair.
    pair : ShownPair or None
        The pair that is drawn.
    """

    graph: str = ""
    svg: str = ""
    caption: str = ""
    pair: ShownPair | None = None


def drawn(case: Case, row: Row, *, salt: str, time_limit: float) -> Picture:
    """Draw a model; nothing where its file is no longer there or no longer the same.

    Parameters
    ----------
    case : Case
    row : Row
    salt : str
        Makes the picture's identifiers its own on a page of several.
    time_limit : float
        Seconds to seek the worst pair.

    Raises
    ------
    MissingExtraError
        Without matplotlib.
    """
    try:
        network = network_of(case)
    except (JensenError, OSError):
        return Picture()
    if network.digest != row.digest:
        return Picture()
    lines = draw_layer_graph(network) if isinstance(network, ReluNetwork) else graph_lines(network)
    graph = "\n".join(lines) if len(lines) <= _GRAPH_LINES else ""
    scalar = network.select_output(_decisive_output(case, row))
    if row.counterexample is not None:
        pair = shown_pair(scalar, case, row.counterexample, time_limit=time_limit)
        svg = _svg(scalar, case.domain, pair.ends, salt, marked=True)
        return Picture(graph, svg, pair=pair)
    if network.input_size > 2:
        return Picture(graph)
    diagonal = np.stack(_where(case.domain, network.input_size))
    svg = _svg(scalar, case.domain, diagonal, salt, marked=False)
    return Picture(graph, svg, "The segment is a diagonal of the box that is drawn.")


def _decisive_output(case: Case, row: Row) -> int:
    if case.output is not None:
        return case.output
    status = str(row.status)
    return next((int(o["output"]) for o in row.outputs if o["status"] == status), 0)


def _svg(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    ends: FloatArray,
    salt: str,
    *,
    marked: bool,
) -> str:
    from jensen.report.plot import figure, to_svg  # noqa: PLC0415  (draws: an extra)

    bounds = _where(domain, network.input_size, ends if marked else None)
    inside = domain.box_sides(network.input_size) is not None
    return to_svg(figure(network, ends, bounds=bounds, mark_pair=marked, inside=inside), salt=salt)


def _where(
    domain: Domain, inputs: int, pair: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the box to draw: the domain where it is one, else the pair's surroundings."""
    sides = domain.box_sides(inputs)
    if sides is not None:
        return sides
    if pair is None:
        return np.full(inputs, -2.0), np.full(inputs, 2.0)
    reach = max(float(np.abs(pair[1] - pair[0]).max()), 1e-6)
    return pair.mean(axis=0) - reach, pair.mean(axis=0) + reach
