"""``jensen minimise``: the least value of a convex network, with proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from jensen.arithmetic.exact import to_double
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.domains.domain import Everywhere
from jensen.domains.domain_file import read_table
from jensen.errors import DomainError, NotConvexError, UndecidedError
from jensen.loaders import load
from jensen.optimise.answers import Minimum
from jensen.optimise.convex_function import ConvexFunction
from jensen.text import counted, point, printable
from jensen_encodings.deadline import Deadline

LEAST_SECONDS = 0.01  # where time is up: what is known at once


@click.command("minimise", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@common.domain_options
@common.fix_option
@common.output_option
@click.option(
    "--linear",
    type=common.Numbers(),
    metavar="C",
    help="Linear cost C added to f, such as 0.5,-1,0, or one number for all inputs.",
)
@click.option(
    "--rows", metavar="FILE", help="Constraints A x <= b, E x = e in a .json or .toml file."
)
@click.option(
    "--integers",
    type=common.Indices(),
    default=(),
    metavar="I,J,...",
    help="Inputs that have to be whole numbers.",
)
@click.option(
    "--certificate", metavar="FILE", help="Check this certificate instead of proving convexity."
)
@click.option(
    "--time-limit", type=float, metavar="SECONDS", help="Time limit for proof and search together."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the point as exact fractions."
)
def command(
    model: str,
    *,
    fix: tuple[dict[int, float], ...],
    output: int | None,
    linear: float | list[float] | None,
    rows: str | None,
    integers: tuple[int, ...],
    certificate: str | None,
    time_limit: float | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Minimise f(x) + C x over a domain on which MODEL is convex.

    Convexity is proved first. Two bounds of the minimum are printed, and both hold in real
    arithmetic.

    \b
    jensen minimise model.onnx --box -1 1 --linear 0.5,-1
    jensen minimise model.onnx --domain half.toml --integers 0 --fix 3=0.5

    Exit codes: 0 minimised, 1 not convex (the pair is shown), 2 error, infeasible or unbounded,
    3 convexity not decided, or no bound within the time limit.
    """  # noqa: D301  (\b keeps click from folding the examples)
    domain = common.chosen_domain(settings) or Everywhere()
    common.checked_time_limit(time_limit)
    network = common.with_fixed_inputs(load(model), fix)
    output = common.chosen_output(network.output_size, output)
    beside = {} if rows is None else _rows(Path(rows))
    console, log = common.stdout_console(), common.stderr_console()
    try:
        with log.status(f"minimising {printable(model)} on {domain}"):
            deadline = Deadline.after(common.remaining(time_limit))
            f = ConvexFunction(
                network,
                domain,
                output=output,
                certificate=certificate,
                time_limit=deadline.seconds(LEAST_SECONDS),
            )
            left = deadline.seconds(LEAST_SECONDS)
            found = f.minimise(linear, integers=integers, time_limit=left, **beside)
    except NotConvexError as error:
        return _not_convex(error, console, as_json)
    except UndecidedError as error:
        if as_json:
            click.echo(common.to_json({"status": "unknown", "note": str(error)}))
        else:
            console.print(f"unknown  {error}", soft_wrap=True)
        return 3
    if as_json:
        record = {"model": printable(model), "status": "minimised", "domain": domain.to_json()}
        click.echo(common.to_json(record | found.to_json()))
    else:
        show(found, console)
    return 0 if np.isfinite(found.lower) else 3


def show(found: Minimum, console: Console) -> None:
    """Print a minimum for people."""
    console.print(found.summary, style="bold")
    console.print(f"  both bounds hold in real arithmetic: they differ by {found.gap:.2g}")
    console.print(f"  x = {point(found.x)}", soft_wrap=True)
    if found.residual:
        console.print(f"  in doubles x misses the equations by {found.residual:.2g} at most")
    nodes = f", {counted(found.nodes, 'node')}" if found.nodes else ""
    console.print(f"  {counted(found.evaluations, 'evaluation')}{nodes}", style="dim")


def _not_convex(error: NotConvexError, console: Console, as_json: bool) -> int:
    pair = error.counterexample
    if as_json:
        record = None if pair is None else pair.to_json()
        click.echo(common.to_json({"status": "nonconvex", "counterexample": record}))
        return 1
    console.print(f"nonconvex  {error}", soft_wrap=True)
    if pair is not None:
        console.print(f"  x = {point(map(to_double, pair.x))}", soft_wrap=True)
        console.print(f"  y = {point(map(to_double, pair.y))}", soft_wrap=True)
    return 1


def _rows(file: Path) -> dict[str, Any]:
    """Read ``A``, ``b``, ``E`` and ``e`` from a file."""
    data = read_table(file)
    if not isinstance(data, dict) or not data or not data.keys() <= {"A", "b", "E", "e"}:
        raise DomainError(f"{file}: a table with A and b, or E and e, or all four is needed")
    for matrix, side in (("A", "b"), ("E", "e")):
        if (matrix in data) != (side in data):
            raise DomainError(f"{file}: {matrix} and {side} go together")
    rows = {name: data[name] for name in ("A", "b") if name in data}
    return rows | ({"equality": (data["E"], data["e"])} if "E" in data else {})
