"""``jensen export``: the weights of a model, for the checker of certificates."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from jensen.certificate.model_export import export_json
from jensen.cli.common import fix_option, with_fixed_inputs
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.errors import OptionError
from jensen.loaders import load
from jensen.loaders.companions import files_of
from jensen.outputs import check_output
from jensen.text import printable


@click.command("export", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@click.argument("out", shell_complete=file_names)
@fix_option
def command(model: str, out: str, *, fix: tuple[dict[int, float], ...]) -> int:
    """Write MODEL as OUT.json, which `jensen check` and the checker alone read.

    Every number is an exact hexadecimal string (docs/FORMAT.md). The SHA-256 that is
    printed is what certificates call the model by.

    \b
    jensen export model.onnx model.json
    """  # noqa: D301  (\b keeps click from folding the examples)
    file = Path(out)
    if file.suffix != ".json":
        hint = "; `jensen convert` writes .npz and .onnx"
        raise OptionError(f"{printable(out)}: the name of an export must end in .json{hint}")
    check_output(file, inputs=files_of(Path(model)))
    network = with_fixed_inputs(load(model), fix)
    export_json(network, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    click.echo(f"{printable(out)}: {network!r}, SHA-256 {digest}")
    return 0
