"""``jensen violation``: how non-convex is it, with proof from both sides."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from jensen.cli import common
from jensen.domain import Box
from jensen.errors import DomainError
from jensen.loaders import load
from jensen.midpoint import Violation, worst_violation
from jensen.text import printable
from jensen_encodings.highs import Progress


@click.command("violation")
@click.argument("model")
@common.domain_options
@click.option("--output", type=int, default=0, metavar="K", help="Which output; the first.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="Stop with the best bounds.")
@click.option("--gap", type=float, default=1e-4, show_default=True, help="Relative gap to reach.")
@click.option("--threads", type=int, default=1, show_default=True, help="Solver threads.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    *,
    output: int,
    time_limit: float | None,
    gap: float,
    threads: int,
    as_json: bool,
    **settings: Any,
) -> int:
    """Maximise f((x+y)/2) - (f(x)+f(y))/2 over pairs x, y of a box.

    Exit code 1: a violation, and the pair that shows it; 0: none above the solver's
    tolerance; 3: stopped before either was shown. Ctrl-C stops with the best bounds.
    """
    domain = common.chosen_domain(settings)
    if not isinstance(domain, Box):
        raise DomainError("the worst violation is sought on a box: give --box LO HI")
    common.checked_time_limit(time_limit)
    network = load(model)
    text = f"{printable(model)} on {domain}"
    with common.stderr_console().status(text) as status:

        def progress(state: Progress) -> None:
            lower = 0.0 if state.objective is None else state.objective
            bounds = f"{lower:.4g} <= worst violation <= {state.bound:.4g}"
            status.update(f"{text}: {bounds}, {state.nodes:,} nodes, {state.seconds:.0f} s")

        found = worst_violation(
            network,
            domain,
            output=output,
            time_limit=time_limit,
            gap=gap,
            threads=threads,
            progress=progress,
        )
    if as_json:
        click.echo(common.to_json({"model": printable(model), **found.to_json()}))
    else:
        _show(found, common.stdout_console())
    if found.lower > 0:
        return 1
    return 0 if found.upper <= (found.tolerance or 0.0) else 3


def _show(found: Violation, console: Console) -> None:
    upper = f"{found.upper:.6g}"
    console.print(f"{found.lower:.6g} <= worst violation <= {upper}", style="bold")
    if found.tolerance is not None:
        console.print(f"  the lower bound is exact, the upper one up to {found.tolerance:g}")
    if found.lower > 0:
        console.print(f"  x = {common.point(map(float, found.x))}", soft_wrap=True)
        console.print(f"  y = {common.point(map(float, found.y))}", soft_wrap=True)
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in found.times.items())
    console.print(f"  {found.status}; {found.nodes:,} nodes; {seconds}", style="dim")
