"""What the commands share: domain and proof options, consoles, JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

from jensen.arithmetic.doubles import double_of_text
from jensen.cli.completion import file_names
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.domains.domain_file import load_domain
from jensen.errors import OutputError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import SUPPORTED
from jensen.loaders.companions import files_of
from jensen.network.checks import chosen_output as checked_output
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import check_output
from jensen.text import json_ready, printable
from jensen.verdicts.options import Engine, Options, checked_seconds

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # generic for type checkers only: older releases of click cannot be subscripted
    ParamType = click.ParamType

Command = TypeVar("Command", bound=Callable[..., Any])
Network = TypeVar("Network", ReluNetwork, FunctionGraph, ReluNetwork | FunctionGraph)
_STORE = b"SQLite format 3\0"
STYLES = {
    "convex": "green",
    "nonconvex": "red",
    "unknown": "yellow",
    "error": "magenta",
    "mismatch": "bold red",
}


class Numbers(ParamType):
    """A number, or one number per input separated by commas."""

    name = "number[,number...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | list[float]:
        """Return a float, or a list of floats."""
        if not isinstance(value, str):
            return [float(v) for v in value] if isinstance(value, list) else float(value)
        try:
            numbers = [double_of_text(part) for part in value.split(",")]
        except ValueError as error:
            self.fail(f"{error}; needed is one number, or one per input (1,2,3)", param, ctx)
        return numbers if "," in value else numbers[0]


class Indices(ParamType):
    """Whole numbers >= 0 separated by commas."""

    name = "index[,index...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return a tuple of indices."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() for part in parts):
            self.fail(f"{value!r}: input numbers such as 0,1,5 are needed", param, ctx)
        return tuple(int(part) for part in parts)


class Assignments(ParamType):
    """Values of inputs, such as ``3=0.5`` or ``3=0.5,4=-1``."""

    name = "index=number[,...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[int, float]:
        """Return a mapping from input to its value."""
        if isinstance(value, dict):
            return value
        values: dict[int, float] = {}
        for part in str(value).split(","):
            index, _, number = part.partition("=")
            try:
                # int() would take 1_0 for 10
                key = int(index) if index.strip().isdecimal() else -1
                fixed = double_of_text(number)
                if key < 0:
                    raise ValueError(index)
            except ValueError:
                self.fail(f"{part!r}: an input and its value such as 3=0.5", param, ctx)
            if key in values:
                self.fail(f"input {key} is fixed twice", param, ctx)
            values[key] = fixed
        return values


def fix_option(command: Command) -> Command:
    """Add ``--fix`` (see :func:`with_fixed_inputs`)."""
    return click.option(
        "--fix",
        type=Assignments(),
        multiple=True,
        metavar="I=VALUE,...",
        help="Fix inputs; domains and points then refer to the remaining inputs, in their order.",
    )(command)


def with_fixed_inputs(network: Network, fix: Sequence[Mapping[int, float]]) -> Network:
    """Return the network with the inputs fixed that the values of ``--fix`` ask for.

    Raises
    ------
    click.UsageError
        If an input is fixed twice.
    NetworkError
        If there is no such input, or none is left.
    """
    values: dict[int, float] = {}
    for part in fix:
        for index in part:
            if index in values:
                raise click.UsageError(f"--fix: input {index} is fixed twice")
        values |= part
    return network.fix_inputs(values) if values else network


def output_option(command: Command) -> Command:
    """Add --output of the commands that speak of one output."""
    text = "Which output; the first, and a note says so where there are several."
    return click.option("--output", type=int, metavar="K", help=text)(command)


def chosen_output(outputs: int, chosen: int | None) -> int:
    """Return which output is meant; stderr says so if there are several and none was chosen."""
    if chosen is None and outputs > 1:
        note = f"the model has {outputs} outputs, and this is the first: --output K chooses one"
        stderr_console().print(note, soft_wrap=True)
    return checked_output(outputs, chosen or 0)


def domain_options(command: Command) -> Command:
    """Add ``--box``, ``--everywhere`` and ``--domain`` (see :func:`chosen_domain`)."""
    for option in (
        click.option(
            "--domain",
            "domain_file",
            shell_complete=file_names,
            metavar="FILE",
            help="Domain in a .json or .toml file (docs/domain-format.md).",
        ),
        click.option("--everywhere", is_flag=True, help="All of R^n; this is the default."),
        click.option(
            "--box",
            type=Numbers(),
            nargs=2,
            metavar="LO HI",
            help="Box; LO and HI are one number for all inputs, or a list such as -1,0,2.5.",
        ),
    ):
        command = option(command)
    return command


def files_read(model: str, settings: Mapping[str, Any]) -> list[Path]:
    """Return the files that a command reads, none of which may be one that it writes."""
    domain_file = settings["domain_file"]
    return files_of(Path(model)) + ([] if domain_file is None else [Path(domain_file)])


def check_named_freely(path: str, inputs: Sequence[str | Path]) -> Path:
    """Refuse an output that may have any name where it would replace a model, or a store.

    Raises
    ------
    OutputError
        Then, and as :func:`check_output` does.
    """
    file = check_output(path, inputs=inputs)
    if file.is_file():
        with file.open("rb") as stream:
            is_store = stream.read(len(_STORE)) == _STORE
        if is_store or file.suffix.lower() in SUPPORTED:
            what = "a store of results" if is_store else "a model"
            raise OutputError(
                f"{printable(file)}: is {what}, which would be lost; write to another file"
            )
    return file


def chosen_domain(settings: Mapping[str, Any]) -> Domain | None:
    """Return the domain that the values of :func:`domain_options` ask for, None if none.

    Raises
    ------
    click.UsageError
        If more than one was given.
    DomainError
        If it is not a domain.
    """
    box, everywhere = settings["box"], settings["everywhere"]
    domain_file = settings["domain_file"]
    if (box is not None) + everywhere + (domain_file is not None) > 1:
        raise click.UsageError("--box, --everywhere and --domain exclude each other")
    if box is not None:
        if np.isinf(np.concatenate([np.ravel(side) for side in box])).any():
            raise click.UsageError(
                "--box: infinite sides; --everywhere asks about all of R^n, and a --domain "
                "FILE holds a half space or another polyhedron"
            )
        return Box(*box)
    if domain_file is not None:
        return load_domain(domain_file)
    return Everywhere() if everywhere else None


def proof_options(command: Command) -> Command:
    """Add the options of :class:`jensen.verdicts.options.Options` (see :func:`chosen_options`)."""
    for option in (
        click.option("--seed", type=int, default=0, help="Seed of the search for counterexamples."),
        click.option(
            "--threads",
            type=int,
            default=1,
            show_default=True,
            help="Threads for searches and solvers.",
        ),
        click.option(
            "--node-limit",
            type=int,
            metavar="N",
            help="Limit on search nodes per neuron group; none by default.",
        ),
        click.option(
            "--time-limit",
            type=float,
            metavar="SECONDS",
            help="Time limit per model; none by default.",
        ),
        click.option(
            "--in",
            "inputs",
            type=Indices(),
            metavar="I,J,...",
            help="Ask for convexity in these inputs only, for all values of the others.",
        ),
        click.option("--concave", is_flag=True, help="Ask for concavity instead."),
        click.option(
            "--tolerance",
            type=float,
            default=0.0,
            metavar="EPS",
            help="Accept slopes that fall by at most EPS; the verdict says so.",
        ),
        click.option(
            "--engine",
            type=click.Choice([str(engine) for engine in Engine]),
            default=str(Engine.AUTO),
            show_default=True,
            help="Prover to use where quick checks do not decide.",
        ),
    ):
        command = option(command)
    return command


def chosen_options(settings: Mapping[str, Any], *, certificate: bool = False) -> Options:
    """Build the options record from the values of :func:`proof_options`."""
    return Options(
        engine=Engine(settings["engine"]),
        time_limit=settings["time_limit"],
        node_limit=settings["node_limit"],
        tolerance=settings["tolerance"],
        concave=settings["concave"],
        inputs=settings["inputs"],
        certificate=certificate,
        threads=settings["threads"],
        seed=settings["seed"],
    )


def checked_time_limit(seconds: float | None) -> float | None:
    """Return a time limit.

    Raises
    ------
    OptionError
        Unless it is a number of seconds > 0, or None.
    """
    return checked_seconds(seconds)


def remaining(seconds: float | None) -> float | None:
    """Return what is left of a command's time limit, half of it at least.

    The limit counts from the command's start. A file that takes long to load gets its half
    all the same, and the command takes longer.

    Parameters
    ----------
    seconds : float or None

    Raises
    ------
    OptionError
        Unless it is a number of seconds > 0, or None.
    """
    limit = checked_time_limit(seconds)
    context = click.get_current_context(silent=True)
    began = None if context is None else context.find_object(float)
    if limit is None or began is None:
        return limit
    return max(limit / 2, limit - (time.monotonic() - began))


def as_text(text: str) -> Text:
    """Return one line for rich, in which nothing is markup."""
    return Text(printable(text))


class SafeConsole(Console):
    """A console on which text from files can do nothing but be read."""

    def on_broken_pipe(self) -> None:
        """Leave it to the program; rich would end it with 1, which says nonconvex."""
        raise  # noqa: PLE0704  (rich calls this where it has caught a BrokenPipeError)

    def status(self, status: RenderableType, **settings: Any) -> Status:
        """Show what is going on; rich would look for its markup in a string."""
        return super().status(as_text(status) if isinstance(status, str) else status, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Turn a string into text, as printing does with every string."""
        return super().render_str(printable(text, lines=True), **settings)


def stdout_console() -> Console:
    """Return the console for verdicts: coloured and folded only on a terminal."""
    return _console(sys.stdout)


def stderr_console() -> Console:
    """Return the console for progress and logs."""
    return _console(sys.stderr)


def _console(stream: Any) -> Console:
    terminal = stream.isatty()
    return SafeConsole(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=None if terminal else True,
        force_terminal=terminal,
        # a pipe has no width: give every table its own
        width=None if terminal else 400,
    )


def to_json(record: Any) -> str:
    """Return strict JSON: printable text, null for numbers that are not finite."""
    return json.dumps(json_ready(record), indent=2, ensure_ascii=False, allow_nan=False)
