"""The command group; a command's module is imported when that command runs."""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import PackageNotFoundError, version

import click

# kept here and not in the modules, so that ``jensen --help`` imports none of them
COMMANDS = {
    "verify": "Decide whether a network is convex, and prove it.",
    "violation": "Bound the worst violation of convexity from both sides.",
    "minimise": "Minimise a convex network over a domain, with proof.",
    "conditions": "List the path conditions of a network, and where they fail.",
    "batch": "Verify a folder of models, or a list of them.",
    "report": "Turn a store of results into a page to look at.",
    "repair": "Make a network convex by the smallest change of its output weights.",
    "info": "Show inputs, outputs, layer graph and size of a model.",
    "plot": "Draw a network along a segment, or over its one or two inputs.",
    "check": "Check a certificate of convexity in exact arithmetic.",
    "export": "Write the weights of a model for the checker.",
    "convert": "Write the canonical form of a model as .npz or .onnx.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"jensen.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"jensen.cli.{cmd_name}.command is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if near and args[0] not in COMMANDS:
            raise click.UsageError(f"no command {args[0]!r}: did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version() -> str:
    try:
        return version("jensen")
    except PackageNotFoundError:
        return "unknown (not installed)"


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(_version(), prog_name="jensen")
@click.pass_context
def app(context: click.Context) -> int:
    """Exact convexity verification of ReLU networks.

    Exit codes: 0 convex, 1 nonconvex, 2 error (bad file, bad option), 3 unknown, 130
    interrupted. Verdicts go to standard output, progress and errors to standard error.

    \b
    jensen verify model.onnx --box -1 1      is it convex on this box?
    jensen violation model.onnx --box -1 1   how far is it from convex?
    jensen COMMAND --help                    options and examples of a command
    """  # noqa: D301  (\b keeps click from folding the examples)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return 2  # nothing was asked; in a script, 0 would mean convex
    return 0
