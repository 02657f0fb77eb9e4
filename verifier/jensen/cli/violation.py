"""``jensen violation``: how non-convex is it, with proof from both sides."""

from __future__ import annotations

from typing import Any

import click

from jensen.cli import common
from jensen.domain import Box
from jensen.errors import DomainError
from jensen.loaders import load
from jensen.midpoint import worst_violation
from jensen.text import printable


@click.command("violation")
@click.argument("model")
@common.domain_options
@click.option("--output", type=int, default=0, metavar="K", help="Which output; the first.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="Stop with the best bounds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    *,
    output: int,
    time_limit: float | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Maximise f((x+y)/2) - (f(x)+f(y))/2 over pairs x, y of a box.

    Exit code 0: no violation, proved; 1: a violation, the pair is shown; 3: neither.
    """
    domain = common.chosen_domain(settings)
    if not isinstance(domain, Box):
        raise DomainError("the worst violation is sought on a box: give --box LO HI")
    network = load(model)
    with common.stderr_console().status(f"searching {printable(model)} on {domain}"):
        found = worst_violation(network, domain, output=output, time_limit=time_limit)
    if as_json:
        click.echo(common.to_json({"model": printable(model), **found.to_json()}))
    else:
        console = common.stdout_console()
        console.print(f"{found.lower:.6g} <= worst violation <= {found.upper:.6g}", style="bold")
        if found.lower > 0:
            console.print(f"  x = {common.point(map(float, found.x))}", soft_wrap=True)
            console.print(f"  y = {common.point(map(float, found.y))}", soft_wrap=True)
    if found.lower > 0:
        return 1
    return 0 if found.upper <= 0 else 3
