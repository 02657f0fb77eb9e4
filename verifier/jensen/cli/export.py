"""``jensen export``: the weights of a model, for the checker of certificates."""

from __future__ import annotations

from pathlib import Path

import click

from jensen.certificate import export_json
from jensen.errors import OptionError
from jensen.loaders import load
from jensen.text import printable


@click.command("export")
@click.argument("model")
@click.argument("out")
def command(model: str, out: str) -> int:
    """Write MODEL as OUT (.npz or .json), which `jensen check` reads by itself.

    A JSON export holds every number as an exact hexadecimal string (docs/FORMAT.md).
    """
    if Path(out).suffix not in {".npz", ".json"}:
        raise OptionError(f"{printable(out)}: the name of an export must end in .npz or .json")
    network = load(model)
    if Path(out).suffix == ".json":
        export_json(network, out)
    else:
        network.save(out)
    click.echo(f"{printable(out)}: {network!r}, digest {network.digest}")
    return 0
