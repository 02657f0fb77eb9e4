"""``jensen verify``: one model, one verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
from rich.console import Console
from rich.status import Status

from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.decide import Progress, verify
from jensen.domains.domain import Everywhere
from jensen.errors import OptionError
from jensen.loaders import load
from jensen.text import counted, printable
from jensen.verdicts.interrupted import Interrupted
from jensen.verdicts.verdict import Status as VerdictStatus
from jensen.verdicts.verdict import Verdict

REPORT_SECONDS = 0.2
CODES = {VerdictStatus.CONVEX: 0, VerdictStatus.NONCONVEX: 1, VerdictStatus.UNKNOWN: 3}


@click.command("verify", cls=OnceCommand)
@click.argument("model", shell_complete=file_names)
@common.domain_options
@common.fix_option
@click.option("--output", type=int, metavar="K", help="Verify one output only; all by default.")
@common.proof_options
@click.option(
    "--certificate",
    metavar="OUT",
    help="Write the proof or the counterexample to a file for `jensen check`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--evidence", is_flag=True, help="Print the reason for each neuron group.")
def command(
    model: str,
    *,
    fix: tuple[dict[int, float], ...],
    output: int | None,
    certificate: str | None,
    as_json: bool,
    evidence: bool,
    **settings: Any,
) -> int:
    """Decide whether MODEL (.onnx, .npz, .nnet, .pt2) is convex on a domain.

    \b
    jensen verify model.onnx                  on all of R^n
    jensen verify model.onnx --box -1 1       on the box [-1, 1]^n
    jensen verify model.onnx --box 0,-1 1,1   sides per input
    """  # noqa: D301  (\b keeps click from folding the examples)
    domain = common.chosen_domain(settings) or Everywhere()
    options = common.chosen_options(settings, certificate=certificate is not None)
    if certificate is not None:
        common.check_named_freely(certificate, common.files_read(model, settings))
    start = time.perf_counter()
    network = common.with_fixed_inputs(load(model), fix)
    loading = time.perf_counter() - start
    if certificate is not None and output is None and network.output_size > 1:
        raise OptionError("a certificate speaks of one output: give --output K")
    options = replace(options, time_limit=common.remaining(options.time_limit))
    progress = common.stderr_console()
    interrupted = False
    text = f"verifying {printable(model)} on {domain}"
    with progress.status(text) as status:
        report = _reporter(status, text, network.output_size, options.time_limit)
        try:
            verdict = verify(network, domain, output=output, options=options, progress=report)
        except Interrupted as stop:
            verdict, interrupted = stop.verdict, True
    written = _write_certificate(verdict, certificate, progress)
    if as_json:
        record = {"model": printable(model), "digest": network.digest}
        record |= verdict.to_json() | {"certificate": written, "loading_seconds": loading}
        click.echo(common.to_json(record))
    else:
        console = common.stdout_console()
        show(verdict, console, model=printable(model), evidence=evidence)
        if written is not None:
            lines, size = len(verdict.certificate.lines), verdict.certificate.size
            text = f"  certificate of {counted(lines, 'line')}, {size:,} bytes: {written}"
            console.print(text, style="dim", soft_wrap=True, markup=False)
    if interrupted:
        raise KeyboardInterrupt
    return CODES[verdict.status]


def _reporter(
    status: Status, text: str, outputs: int, time_limit: float | None
) -> Callable[[Progress], None]:
    """Show on a terminal how many groups are closed, the time, and what may be left."""
    start = last = time.monotonic()

    def report(state: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now < last + REPORT_SECONDS:
            return
        last = now
        which = f"output {state.output} of {outputs}, " if outputs > 1 else ""
        limit = ""
        if time_limit is not None:
            limit = f", at most {max(0.0, start + time_limit - now):.0f} s left"
        # the numbers first: a terminal may be too narrow for long names
        status.update(
            f"{which}{state.closed:,} of {state.groups:,} groups closed, "
            f"{now - start:.0f} s{limit}: {text}"
        )

    return report


def show(verdict: Verdict, console: Console, *, model: str, evidence: bool = False) -> None:
    """Print a verdict for people."""
    console.print(str(verdict.status), style=f"bold {common.STYLES[verdict.status]}", end="")
    console.print(f"  {model}", soft_wrap=True)
    for part in verdict.outputs or (verdict,):
        label = f"output {part.output}: " if verdict.outputs else ""
        first, *rest = part.details
        for line in (label + first, *rest):
            console.print(f"  {line}", soft_wrap=True)
        if evidence:
            _show_evidence(part, console)
    if verdict.effort:
        console.print(f"  {verdict.effort}", style="dim", soft_wrap=True)


def _show_evidence(verdict: Verdict, console: Console) -> None:
    for item in verdict.evidence:
        exact = "" if item.exact else " (up to the solver's tolerance)"
        search = f", {counted(item.nodes, 'node')}, {counted(item.lps, 'LP')}" if item.nodes else ""
        console.print(f"    {item.label}: {item.reason}{exact}{search}", soft_wrap=True)


def _write_certificate(verdict: Verdict, path: str | None, log: Console) -> str | None:
    """Write the certificate where one was produced; say so where none was."""
    if path is None:
        return None
    if verdict.certificate is None:
        why = verdict.note.removeprefix("no certificate: ") or "the verdict is unknown"
        log.print(f"jensen: no certificate: {why}", style="yellow", soft_wrap=True, markup=False)
        return None
    verdict.certificate.write(path)
    return printable(path)
