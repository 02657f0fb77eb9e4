"""``jensen convert``: the canonical form of a model, as a model."""

from __future__ import annotations

from pathlib import Path

import click

from jensen.cli.common import fix_option, with_fixed_inputs
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.loaders import WRITABLE, load, save
from jensen.loaders.companions import files_of
from jensen.outputs import check_output
from jensen.text import printable


@click.command("convert", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@click.argument("out", shell_complete=file_names)
@fix_option
@click.option(
    "--simplify/--as-is",
    default=True,
    help="Simplify the network, without changing its function, or keep it as it is.",
)
def command(model: str, out: str, *, fix: tuple[dict[int, float], ...], simplify: bool) -> int:
    """Lower MODEL to affine maps and ReLUs and write it as OUT (.npz or .onnx).

    A model with smooth functions is written as .npz.

    \b
    jensen convert model.pt2 model.onnx          MatMul, Add and Relu in float64
    jensen convert model.onnx slice.npz --fix 3=0.5
    """  # noqa: D301  (\b keeps click from folding the examples)
    check_output(out, endings=WRITABLE, inputs=files_of(Path(model)))
    network = with_fixed_inputs(load(model, simplify=simplify), fix)
    save(network, out)
    click.echo(f"{printable(out)}: {network!r}")
    return 0
