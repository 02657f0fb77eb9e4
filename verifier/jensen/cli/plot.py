"""``jensen plot``: look at a function and at the pair that breaks its convexity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.decide import verify
from jensen.domains.domain import Domain, Everywhere
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import load
from jensen.network.relu_network import ReluNetwork
from jensen.report.plot import check_picture, figure, save
from jensen.text import printable
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen.verdicts.options import Options
from jensen.violation.worst_violation import worst_violation
from jensen_encodings.deadline import Deadline

LEAST_SECONDS = 0.01  # for the worst pair, where the verdict took all the time
DRAWING_SECONDS = 1.0  # to load matplotlib, and to draw
GAP = 0.01  # between the bounds of the worst pair: pictures need no more


@click.command("plot", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@common.domain_options
@common.fix_option
@click.option(
    "-o",
    "--out",
    default="plot.svg",
    show_default=True,
    help="Picture to write: .svg, .png or .pdf.",
)
@common.output_option
@click.option(
    "--segment",
    type=common.Numbers(),
    nargs=2,
    metavar="X Y",
    help="End points, such as 0,1 1,0; by default the worst pair.",
)
@click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="SECONDS")
def command(
    model: str,
    *,
    fix: tuple[dict[int, float], ...],
    out: str,
    output: int | None,
    segment: tuple[Any, Any] | None,
    time_limit: float,
    **settings: Any,
) -> int:
    """Draw f along a segment with its chord, and f itself if it has 1 or 2 inputs.

    Without --segment, the segment joins the worst pair that is found on a box within the time
    limit; on other domains a pair that breaks convexity; for a convex network it is
    a diagonal of the domain.

    \b
    jensen plot model.onnx --box -1 1 -o plot.svg
    jensen plot model.onnx --segment 0,1 1,0 -o segment.png
    """  # noqa: D301  (\b keeps click from folding the examples)
    check_picture(out, inputs=common.files_read(model, settings))
    network = common.with_fixed_inputs(load(model), fix)
    domain = common.chosen_domain(settings) or Everywhere()
    domain.check(network.input_size)
    common.checked_time_limit(time_limit)
    network = network.select_output(common.chosen_output(network.output_size, output))
    with common.stderr_console().status(f"looking for a pair of {printable(model)}"):
        chosen = _pair(network, domain, segment, _for_the_search(time_limit))
    drawn = figure(
        network,
        chosen.ends,
        bounds=_bounds(domain, chosen.ends),
        mark_pair=chosen.marked,
        title="\n".join(
            filter(None, (f"{printable(Path(model).stem)} on {_named(domain)}", chosen.text))
        ),
        inside=domain.box_sides(network.input_size) is not None,
    )
    save(drawn, out)
    click.echo(f"{printable(out)}: {chosen.what}")
    return 0


def _for_the_search(time_limit: float) -> float:
    """Return the seconds that are left for a search when drawing has had its own."""
    left = common.remaining(time_limit) or time_limit
    return left - min(DRAWING_SECONDS, left / 2)


def _named(domain: Domain) -> str:
    """Return a domain for a title: the sides of a box of two or three inputs."""
    sides = domain.sides(4)
    return sides if 1 <= sides.count("\u00d7") <= 2 else str(domain)


@dataclass(frozen=True)
class _Pair:
    """Two points as rows, what they are, and whether they are worth marking."""

    ends: FloatArray
    what: str
    text: str = ""
    marked: bool = True


def _pair(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    segment: tuple[Any, Any] | None,
    time_limit: float,
) -> _Pair:
    if segment is not None:
        points = [np.atleast_1d(np.array(end, dtype=np.float64)) for end in segment]
        for end in points:
            if end.shape != (network.input_size,):
                raise click.UsageError(
                    f"--segment: a point of {end.size} numbers, the model has "
                    f"{network.input_size} inputs"
                )
            if not np.isfinite(end).all():
                raise click.UsageError("--segment: a point holds a number that is not finite")
        if (points[0] == points[1]).all():
            raise click.UsageError("--segment: two different points are needed")
        return _Pair(np.stack(points), "the segment asked for")
    deadline = Deadline.after(time_limit)
    verdict = verify(network, domain, options=Options(time_limit=time_limit))
    pair = verdict.counterexample
    sides = domain.box_sides(network.input_size)
    if pair is not None and sides is not None:
        left = max(deadline.left(), LEAST_SECONDS)
        found = worst_violation(network, domain, time_limit=left, gap=GAP)
        if found.exact_lower >= pair.violation:
            text = f"{found.lower:.4g} <= worst midpoint violation <= {found.upper:.4g}"
            ends = _doubles(found.x, found.y)
            return _Pair(ends, f"the worst pair found, {text}", text.replace("<=", "\u2264"))
    if pair is not None:
        return _Pair(_doubles(pair.x, pair.y), "a pair that breaks convexity", "nonconvex")
    text = str(verdict.status)
    if sides is not None:
        return _Pair(np.stack(sides), f"{text}, a diagonal", text, marked=False)
    ones = np.ones(network.input_size)
    return _Pair(np.stack([-2 * ones, 2 * ones]), f"{text}, a segment", text, marked=False)


def _doubles(x: Point, y: Point) -> FloatArray:
    """Return a pair as doubles, the one further left first."""
    return np.array([[to_double(v) for v in end] for end in sorted((x, y))])


def _bounds(domain: Domain, pair: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the box to draw: the domain where it is one, else the pair's surroundings."""
    sides = domain.box_sides(pair.shape[1])
    if sides is not None:
        return sides
    middle = pair.mean(axis=0)
    reach = max(float(np.abs(pair[1] - pair[0]).max()), 1e-6)
    return middle - reach, middle + reach
