"""``jensen conditions``: the path conditions of a network, and where they fail."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.rational import decimal
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.domains.domain import Everywhere
from jensen.linear_regions.condition import Condition
from jensen.linear_regions.conditions import path_conditions, path_formula, path_terms
from jensen.loaders import load_piecewise_linear
from jensen.network.relu_network import ReluNetwork
from jensen.text import counted, point, printable

FIELDS = ("neurons", "pattern", "value", "value_float", "point", "reachable", "violated", "reason")
MOST_BLOCKS = 12


@click.command("conditions", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@common.domain_options
@common.fix_option
@common.output_option
@click.option(
    "--time-limit",
    type=float,
    metavar="SECONDS",
    help="Stop after this time, and list what was found.",
)
@click.option("--violated", is_flag=True, help="List only the conditions that fail.")
@click.option(
    "--most",
    type=click.IntRange(0),
    default=40,
    show_default=True,
    help="Number of lines in the table.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    *,
    fix: tuple[dict[int, float], ...],
    output: int | None,
    time_limit: float | None,
    violated: bool,
    most: int,
    as_csv: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """List the path conditions of MODEL: J >= 0 for every kink and every pattern behind it.

    J of a neuron is the sum, over all paths from it to the output whose neurons are on, of the
    products of the weights along the path. With one or two inputs, and in small networks with
    three, every condition that occurs at some point of the domain is listed with its exact value.
    With more inputs, the list shows the smallest value found on each kink, which is exact, and a
    lower bound of J over all patterns. If time runs out, the conditions found so far are
    listed, and the exit code is 3.

    \b
    jensen conditions model.onnx --box -1 1 --violated
    jensen conditions model.onnx --json > conditions.json
    """  # noqa: D301  (\b keeps click from folding the examples)
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    network = common.with_fixed_inputs(load_piecewise_linear(model, "jensen conditions"), fix)
    domain = common.chosen_domain(settings) or Everywhere()
    domain.check(network.input_size)
    scalar = network.select_output(common.chosen_output(network.output_size, output))
    common.checked_time_limit(time_limit)
    found = path_conditions(scalar, domain, time_limit=common.remaining(time_limit))
    chosen = [c for c in found if c.is_violated or not violated]
    if as_json:
        record = {
            "model": printable(model),
            "domain": domain.to_json(),
            "formulas": _formulas(scalar),
            "complete": found.complete,
            "conditions": [condition.to_json() for condition in chosen],
        }
        click.echo(common.to_json(record))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(FIELDS)
        writer.writerows(_fields(condition) for condition in chosen)
    else:
        _show(scalar, f"{printable(Path(model).stem)} on {domain}", found, chosen, most)
    if not found.complete:
        common.stderr_console().print("time was up: the list is not complete", soft_wrap=True)
        return 3
    return 0


def _formulas(network: ReluNetwork) -> list[str]:
    blocks = [block.name for block in network.hidden if block.is_relu]
    return [path_formula(network, name) for name in blocks[:MOST_BLOCKS]]


def _fields(condition: Condition) -> list[Any]:
    return [
        " ".join(f"{block}[{index}]" for block, index in condition.neurons),
        condition.pattern_text,
        decimal(condition.value),
        to_double(condition.value),
        "" if condition.point is None else " ".join(map(decimal, condition.point)),
        "" if condition.reachable is None else condition.reachable,
        condition.is_violated,
        condition.reason,
    ]


def _show(
    network: ReluNetwork,
    title: str,
    found: Sequence[Condition],
    chosen: Sequence[Condition],
    most: int,
) -> None:
    console = common.stdout_console()
    console.print(title, style="bold", soft_wrap=True)
    for line in _formulas(network):
        console.print(f"  {line}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (("kink", "left"), ("behind it", "left"), ("J", "right"), ("at", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("", overflow="fold")
    for condition in chosen[:most]:
        neurons = ", ".join(f"{block}[{index}]" for block, index in condition.neurons)
        at = "" if condition.point is None else point(map(to_double, condition.point))
        state = "FAILS" if condition.is_violated else condition.reason
        table.add_row(
            common.as_text(neurons),
            common.as_text(condition.pattern_text),
            f"{to_double(condition.value):.6g}",
            at,
            state,
            style=common.STYLES["nonconvex"] if condition.is_violated else None,
        )
    console.print(table)
    if chosen and chosen[0].is_violated and len(chosen[0].neurons) == 1:
        console.print(f"{path_terms(network, chosen[0])} < 0", soft_wrap=True)
    fails = sum(condition.is_violated for condition in found)
    bounds = sum(c.pattern is None and c.reachable is not False for c in found)
    asked = sum(condition.reachable is not False for condition in found) - bounds
    beside = f", {counted(bounds, 'bound')} over all patterns" if bounds else ""
    more = f"; {counted(len(chosen) - most, 'more line')}" if len(chosen) > most else ""
    failing = f"{fails} fail{'s' * (fails == 1)}"
    console.print(f"{counted(asked, 'condition')}, {failing}{beside}{more}", soft_wrap=True)
