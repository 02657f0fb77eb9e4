"""``jensen check``: the independent checker of certificates."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from jensen.certificate import checker
from jensen.certificate.checker import Claim
from jensen.certificate.claims import domain_record
from jensen.certificate.model_export import export_json
from jensen.cli.common import (
    Indices,
    chosen_domain,
    domain_options,
    fix_option,
    stderr_console,
    with_fixed_inputs,
)
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.domains.domain import Domain, Everywhere
from jensen.loaders import load
from jensen.outputs import path_of


@click.command("check", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@click.argument("certificate", shell_complete=file_names)
@domain_options
@fix_option
@click.option(
    "--output", type=int, metavar="K", help="The output in the expected claim; 0 by default."
)
@click.option(
    "--in",
    "inputs",
    type=Indices(),
    metavar="I,J,...",
    help="The inputs in the expected claim, if not all.",
)
@click.option("--concave", is_flag=True, help="Expect concavity.")
@click.option("--nonconvex", is_flag=True, help="Expect a counterexample, not a proof.")
def command(
    model: str,
    certificate: str,
    *,
    output: int | None,
    inputs: tuple[int, ...] | None,
    concave: bool,
    nonconvex: bool,
    fix: tuple[dict[int, float], ...],
    **settings: Any,
) -> int:
    """Check CERTIFICATE against MODEL in exact arithmetic.

    Without options the answer states the claim that is proved; compare it with what you
    expect. With any option the claim has to be the one that the options describe. What they
    leave out means, as for `jensen verify`: convex, in all inputs, of output 0, everywhere.

    The checker reads what `jensen export` writes. Any other MODEL is exported first, by the
    code that also verified it.

    Exit codes: 0 accepted, 1 rejected or another claim, 2 malformed.

    \b
    jensen check model.onnx proof.jsonl.gz --box -1 1   compares the claim, too
    jensen check model.json proof.jsonl.gz              the weights that export wrote
    """  # noqa: D301  (\b keeps click from folding the examples)
    domain = chosen_domain(settings)
    for file in map(path_of, (model, certificate)):
        if file.is_dir() or not file.exists():  # pipes are read
            raise click.ClickException(f"{file}: {'not a' if file.is_dir() else 'no such'} file")
    code, answer, claim = _run(model, certificate, fix)
    anything = (output, inputs, domain) != (None, None, None) or concave or nonconvex
    if claim is not None and anything:
        kind = ("non" if nonconvex else "") + ("concave" if concave else "convex")
        differences = _differences(claim, kind, output or 0, domain or Everywhere(), inputs)
        if differences:
            code, answer = 1, f"rejected: another claim: {'; '.join(differences)}"
    click.echo(answer)
    return code


def _run(
    model: str, certificate: str, fix: tuple[dict[int, float], ...]
) -> tuple[int, str, Claim | None]:
    if Path(model).suffix == ".json":
        if fix:
            raise click.UsageError("--fix: an exported model is checked as it is; export it anew")
        return checker.run(model, certificate)
    network = with_fixed_inputs(load(model), fix)
    note = "jensen: the checker takes the weights from this package's reading of the model"
    stderr_console().print(note, style="dim", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder, "model.json")
        export_json(network, export)
        return checker.run(str(export), certificate)


def _differences(
    claim: Claim, kind: str, output: int, domain: Domain, inputs: tuple[int, ...] | None
) -> list[str]:
    """Say in what a proved claim differs from the one that was asked for."""
    count = len(claim.ranges) - 1
    asked = domain_record(domain, count)
    chosen = list(range(count)) if inputs is None else sorted({*inputs})
    pairs: list[tuple[str, Any, Any]] = [
        ("proved is", claim.kind, kind),
        ("the output is", claim.output, output),
        ("the inputs are", claim.inputs, chosen),
        ("the domain is", _named(claim.domain), _named(asked)),
    ]
    return [
        f"{what} {_short(found)}, not {_short(wanted)}"
        for what, found, wanted in pairs
        if found != wanted
    ]


def _short(value: Any) -> str:
    return value if isinstance(value, str) else checker.shown(value)


def _named(domain: dict[str, Any]) -> str:
    return f"{checker.shown(domain)}, SHA-256 {checker.digest(domain)}"
