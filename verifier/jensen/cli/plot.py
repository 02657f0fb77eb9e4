"""``jensen plot``: look at a function and at the pair that breaks its convexity."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from jensen.cli import common
from jensen.decide import verify
from jensen.domain import Box, Domain, Everywhere
from jensen.loaders import load
from jensen.network import FloatArray, ReluNetwork
from jensen.options import Options
from jensen.plot import figure, save


@click.command("plot")
@click.argument("model")
@common.domain_options
@click.option("-o", "--out", default="plot.svg", show_default=True, help="A .svg, .png or .pdf.")
@click.option("--output", type=int, default=0, metavar="K", help="Which output; the first.")
@click.option(
    "--segment",
    type=common.Numbers(),
    nargs=2,
    metavar="X Y",
    help="Points such as 0,1 1,0; by default those of the counterexample.",
)
@click.option("--time-limit", type=float, default=10.0, show_default=True, metavar="SECONDS")
def command(
    model: str,
    *,
    out: str,
    output: int,
    segment: tuple[Any, Any] | None,
    time_limit: float,
    **settings: Any,
) -> int:
    """Draw f along a segment with its chord, and f itself if it has 1 or 2 inputs.

    Without --segment the network is verified first, and the segment is that of the pair
    which breaks convexity; of a convex network it is a diagonal of the domain.
    """
    network = load(model)
    domain = common.chosen_domain(settings) or Everywhere()
    domain.check(network.input_size)
    network = network.select_output(output)
    pair, broken = _pair(network, domain, segment, time_limit)
    save(figure(network, pair, bounds=_bounds(domain, pair), mark_pair=broken), out)
    click.echo(f"{out}: {'a pair that breaks convexity' if broken else 'the segment'}")
    return 0


def _pair(
    network: ReluNetwork, domain: Domain, segment: tuple[Any, Any] | None, time_limit: float
) -> tuple[FloatArray, bool]:
    """Return two points as rows, and whether they break midpoint convexity."""
    if segment is not None:
        points = [np.atleast_1d(np.array(end, dtype=np.float64)) for end in segment]
        for end in points:
            if end.shape != (network.input_size,):
                raise click.UsageError(
                    f"--segment: a point of {end.size} numbers, the model has "
                    f"{network.input_size} inputs"
                )
        return np.stack(points), True
    verdict = verify(network, domain, options=Options(time_limit=time_limit))
    if verdict.counterexample is not None:
        ends = (verdict.counterexample.x, verdict.counterexample.y)
        return np.array([[float(v) for v in end] for end in ends]), True
    if isinstance(domain, Box):
        return np.stack(domain.bounds(network.input_size)), False
    ones = np.ones(network.input_size)
    return np.stack([-2 * ones, 2 * ones]), False


def _bounds(domain: Domain, pair: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the box to draw: the domain where it is one, else the pair's surroundings."""
    if isinstance(domain, Box):
        return domain.bounds(pair.shape[1])
    middle = pair.mean(axis=0)
    reach = max(float(np.abs(pair[1] - pair[0]).max()), 1e-6)
    return middle - reach, middle + reach
