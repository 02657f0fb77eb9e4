"""``jensen check``: the independent checker of certificates."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from jensen.certificate import checker
from jensen.certificate.model_export import export_json
from jensen.cli.common import fix_option, stderr_console, with_fixed_inputs
from jensen.loaders import load


@click.command("check")
@click.argument("model")
@click.argument("certificate")
@fix_option
def command(model: str, certificate: str, *, fix: tuple[dict[int, float], ...]) -> int:
    """Check CERTIFICATE against MODEL in exact arithmetic.

    The checker reads what `jensen export` writes; any other MODEL is exported first, by the
    same code that verified it.
    Exit code 0: accepted; 1: rejected; 2: malformed.
    """
    if Path(model).suffix == ".json":
        if fix:
            raise click.UsageError("--fix: an exported model is checked as it is; export it anew")
        return checker.main([model, certificate])
    network = with_fixed_inputs(load(model), fix)
    note = "jensen: the checker takes the weights from this package's reading of the model"
    stderr_console().print(note, style="dim", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder, "model.json")
        export_json(network, export)
        return checker.main([str(export), certificate])
