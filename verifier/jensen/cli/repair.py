"""``jensen repair``: the nearest convex network with the same hidden layers."""

from __future__ import annotations

from typing import Any

import click

from jensen.cli import common
from jensen.cli.common import checked_time_limit, chosen_domain, stderr_console, stdout_console
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.domains.domain import Everywhere
from jensen.loaders import WRITABLE, check_format, load, save
from jensen.outputs import check_output
from jensen.repairs.nearest import Repair, repair
from jensen.repairs.program import Norm
from jensen.repairs.row_search import RepairProgress
from jensen.text import counted, printable
from jensen.verdicts.verdict import Status


@click.command("repair", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@click.option(
    "-o",
    "--out",
    "--to",
    "target",
    required=True,
    metavar="FIXED",
    help="Where to write the repaired network, .onnx or .npz (with a quadratic part: .npz).",
)
@common.domain_options
@click.option(
    "--norm",
    type=click.Choice([str(norm) for norm in Norm]),
    default=str(Norm.L2),
    show_default=True,
    help="Norm of the change of the output weights, which is minimised.",
)
@click.option("--output", type=int, metavar="K", help="Which output, where there are several.")
@click.option("--concave", is_flag=True, help="Make the network concave instead.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="Give up after this time.")
@click.option("--seed", type=int, default=0, help="Seed of the kinks that are looked at first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: str,
    *,
    target: str,
    norm: str,
    output: int | None,
    concave: bool,
    time_limit: float | None,
    seed: int,
    as_json: bool,
    **settings: Any,
) -> int:
    """Change the output weights of a network as little as possible, so that it is convex.

    The hidden layers stay as they are. FIXED is written once the repaired network is proved
    convex on the domain; the printed result says how close the change is to the smallest possible.

    Exit codes: 0 repaired, 2 error, 3 given up (nothing is written).

    \b
    jensen repair model.onnx --box -1 1 -o fixed.onnx
    """  # noqa: D301  (\b keeps click from folding the examples)
    domain = chosen_domain(settings) or Everywhere()
    checked_time_limit(time_limit)
    check_output(target, endings=WRITABLE, inputs=common.files_read(model, settings))
    network = load(model)
    check_format(network, target)
    if output is None and network.output_size > 1:
        raise click.UsageError(f"MODEL has {network.output_size} outputs: --output K chooses one")
    text = f"{printable(model)} on {domain}"
    with stderr_console().status(text) as status:

        def progress(state: RepairProgress) -> None:
            status.update(
                f"{text}: round {state.rounds}, {counted(state.rows, 'row')}, {state.seconds:.0f} s"
            )

        found = repair(
            network,
            domain,
            norm=norm,
            output=output,
            concave=concave,
            time_limit=common.remaining(time_limit),
            progress=progress,
            seed=seed,
        )
    if found.verdict.status is Status.CONVEX:
        save(found.network, target)
    if as_json:
        click.echo(common.to_json({"model": printable(model), **found.to_json()}))
    else:
        _show(found, target)
    # what was given up may have been refuted last: that is no verdict on the model
    return 0 if found.verdict.status is Status.CONVEX else 3


def _show(found: Repair, target: str) -> None:
    console = stdout_console()
    console.print(found.summary, style="bold", soft_wrap=True)
    if found.verdict.status is Status.CONVEX:
        console.print(f"  written to {printable(target)}", soft_wrap=True)
    seconds = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in found.times.items())
    counts = f"{counted(found.rounds, 'round')} of the prover, {counted(found.rows, 'row')}"
    console.print(f"  {counts}; {seconds}", style="dim")
