"""``jensen batch``: folders and lists of models."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

import click

from jensen.batch import (
    Case,
    Kind,
    Limits,
    Row,
    RowStatus,
    Store,
    exit_code,
    find_cases,
    outcome,
    run_batch,
)
from jensen.batch.dask import DaskExecutor
from jensen.batch.executor import Executor, InlineExecutor
from jensen.batch.export import check_export, write_export
from jensen.batch.junit import write_junit
from jensen.batch.ledger import LostStoreError
from jensen.batch.manifest import files_read, told
from jensen.batch.processes import ProcessExecutor, check_memory_limit
from jensen.batch.runner import Event
from jensen.cli import common
from jensen.cli.completion import file_names
from jensen.cli.once import OnceCommand
from jensen.cli.progress import progress_for
from jensen.cli.table import show_table
from jensen.errors import JensenError
from jensen.loaders.companions import files_of
from jensen.outputs import check_output, check_output_folder
from jensen.processors import available_processors


class _Choices(common.ParamType):
    """Several of a few words, separated by commas."""

    name = "list"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(",") if word.strip())
        for word in words:
            if word not in self.words:
                self.fail(f"{word!r}: known are {', '.join(self.words)}", param, ctx)
        return words


@click.command("batch", cls=OnceCommand)
@click.argument("targets", nargs=-1, metavar="FOLDER|MODEL...", shell_complete=file_names)
@click.option(
    "--manifest",
    "manifests",
    multiple=True,
    metavar="FILE",
    help="Manifest of any name, .toml or .csv; may be repeated.",
)
@common.domain_options
@click.option("--output", type=int, metavar="K", help="Verify one output only; all by default.")
@common.proof_options
@click.option("-r", "--recursive", is_flag=True, help="Look into subfolders as well.")
@click.option(
    "--store", "store_file", metavar="FILE", help="Keep results in this file, and resume from it."
)
@click.option(
    "--retry",
    type=_Choices("error", "unknown", "none"),
    default="error",
    show_default=True,
    metavar="LIST",
    help="Stored results to compute again: error, unknown, none.",
)
@click.option("--force", is_flag=True, help="Compute everything again, whatever is stored.")
@click.option(
    "--jobs",
    type=click.IntRange(0),
    metavar="N",
    help="Worker processes, one per core by default; 0 runs in this process.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run on this Dask cluster; it can run code here (pickles), so it has to be trusted.",
)
@click.option(
    "--memory-limit", type=click.IntRange(64), metavar="MIB", help="Memory limit per worker."
)
@click.option("--total-time", type=float, metavar="SECONDS", help="Time limit for the whole batch.")
@click.option(
    "--fail-on",
    type=_Choices(*Kind),
    metavar="LIST",
    help="What makes the exit code non-zero: error, mismatch, nonconvex, unknown.",
)
@click.option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
@click.option("--export", metavar="FILE", help="Write the results as .csv, .jsonl or .parquet.")
@click.option("--report", metavar="FILE", help="Write a report, .html or .md.")
@click.option(
    "--certificates", metavar="DIR", help="Write a certificate for each verdict into this folder."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print results as JSON on stdout, and events on stderr."
)
def command(targets: tuple[str, ...], **settings: Any) -> int:
    """Verify many models, and compare the verdicts with the expected ones.

    A folder's manifest.toml or manifest.csv lists models, domains and expected verdicts
    (docs/manifest.md); --manifest reads one of any other name. In a folder without a manifest
    all .onnx, .npz, .nnet and .pt2 files are verified. A broken file becomes a row with its error.

    Exit codes: 2 if a model failed with an error; else 1 if a verdict is not the expected one, or
    is nonconvex and no verdict was expected; else 3 if one is unknown; else 0. What the
    manifest expects does not count. --fail-on selects what counts.

    \b
    jensen batch models --store results.db --report report.html
    jensen batch --manifest nightly.toml --jobs 2 --junit jensen.xml
    """  # noqa: D301  (\b keeps click from folding the examples)
    domain = common.chosen_domain(settings)
    # limit and certificates are no part of what is asked, and are handed to the runner instead
    options = common.chosen_options(settings, certificate=settings["certificates"] is not None)
    options = replace(options, time_limit=None, certificate=False)
    common.checked_time_limit(settings["total_time"])
    manifests = settings["manifests"]
    if not (targets or manifests):
        raise click.UsageError("Missing argument 'FOLDER|MODEL...', or --manifest FILE.")
    passed_over: list[Path] = []
    cases = find_cases(
        targets,
        manifests=manifests,
        domain=domain,
        options=options,
        output=settings["output"],
        recursive=settings["recursive"],
        passed_over=passed_over,
    )
    for line in told(passed_over):
        common.stderr_console().print(f"jensen: {line}", soft_wrap=True, markup=False)
    _check_outputs(settings, files_read(targets, cases, manifests))
    if settings["memory_limit"] is not None:
        _check_memory_limit(settings)
    errors: list[JensenError] = []
    found: dict[int, tuple[Case, Row]] = {}
    with _stop_on_interrupt() as interrupt:
        try:
            results = _run(cases, settings, interrupt, found)
        except LostStoreError as error:  # what was found is shown and written all the same
            results = error.results
            errors.append(error)
        except KeyboardInterrupt:  # Ctrl-C a second time: the running models are given up
            results = [found[number] for number in sorted(found)]
    interrupted = interrupt.pressed
    try:
        errors += _write_files(results, settings, stopped=interrupted)
    except KeyboardInterrupt:  # what was found is shown, whatever was not written any more
        interrupted = True
    if settings["as_json"]:
        click.echo(common.to_json([_record(case, row) for case, row in results]))
    else:
        show_table(results, common.stdout_console())
    if errors:
        raise click.ClickException("; ".join(map(str, errors)))
    if interrupted:
        raise KeyboardInterrupt
    chosen = settings["fail_on"]
    return exit_code(results, None if chosen is None else {Kind(word) for word in chosen})


def _check_outputs(settings: dict[str, Any], read: list[Path]) -> None:
    """Refuse, before the first model, every output that could not be written after the last."""
    # another output is no place for an output either
    taken = [*read, *([] if settings["domain_file"] is None else [Path(settings["domain_file"])])]
    written = (settings[kind] for kind in ("junit", "export", "report"))
    if any(file is not None and Path(file).exists() for file in written):
        # what is there may be weights that a model keeps outside; to tell, the models are read
        taken += [part for file in read for part in files_of(file)[1:]]
    if settings["store_file"] is not None:
        taken.append(check_output(settings["store_file"], inputs=taken))
    if settings["junit"] is not None:
        taken.append(common.check_named_freely(settings["junit"], taken))
    if settings["export"] is not None:
        check_export(Path(settings["export"]), taken)
        taken.append(Path(settings["export"]))
    if settings["report"] is not None:
        from jensen.report import check_report  # noqa: PLC0415  (an extra)

        check_report(Path(settings["report"]), taken)
    if settings["certificates"] is not None:
        check_output_folder(settings["certificates"])


def _check_memory_limit(settings: dict[str, Any]) -> None:
    if settings["jobs"] == 0:
        raise click.UsageError("--memory-limit is one of worker processes: not with --jobs 0")
    if settings["scheduler"] is None:  # other machines may need more or less than this one
        check_memory_limit(settings["memory_limit"] * 2**20)


def _run(
    cases: list[Case],
    settings: dict[str, Any],
    interrupt: _Interrupt,
    found: dict[int, tuple[Case, Row]],
) -> list[tuple[Case, Row]]:
    """Run the cases, and note in ``found`` what is known of each as soon as it is known."""
    with ExitStack() as stack:
        store = None
        if settings["store_file"] is not None:
            store = stack.enter_context(Store(settings["store_file"]))
        executor = _executor(settings, len(cases))
        stack.callback(executor.close)
        progress = stack.enter_context(
            progress_for(len(cases), as_json=settings["as_json"], stopped=lambda: interrupt.pressed)
        )
        interrupt.tell = progress.stop
        stack.callback(interrupt.tell_no_more)

        def on_event(event: Event) -> None:
            if event.row is not None:
                found[event.number] = (event.case, event.row)
            progress.on_event(event)

        return run_batch(
            cases,
            executor=executor,
            store=store,
            limits=Limits(settings["time_limit"], settings["total_time"]),
            retry={RowStatus(word) for word in settings["retry"] if word != "none"},
            force=settings["force"],
            on_event=on_event,
            stop=progress.stop,
            certificates=settings["certificates"],
        )


def _executor(settings: dict[str, Any], count: int) -> Executor:
    jobs, scheduler = settings["jobs"], settings["scheduler"]
    limit = None if settings["memory_limit"] is None else settings["memory_limit"] * 2**20
    if scheduler is not None:
        if jobs is not None:
            raise click.UsageError("--scheduler and --jobs exclude each other")
        return DaskExecutor(scheduler, memory_limit=limit, quiet=True)
    if jobs == 0:
        return InlineExecutor()
    return ProcessExecutor(min(jobs or available_processors(), max(1, count)), memory_limit=limit)


class _Interrupt:
    """Whether Ctrl-C was pressed; the first time is told at once, the second interrupts."""

    def __init__(self) -> None:
        self.pressed = False
        self.tell: Callable[[], object] = _nothing

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        # --jobs 0 asks only after the model at work; in a thread, as the signal may come in the
        # middle of a line that is written
        Thread(target=self.tell, daemon=True).start()

    def tell_no_more(self) -> None:
        """Let nobody be told: the progress is over."""
        self.tell = _nothing


def _nothing() -> None:
    return None


@contextmanager
def _stop_on_interrupt() -> Iterator[_Interrupt]:
    """Yield whether Ctrl-C was pressed; the second time it interrupts at once."""
    interrupt = _Interrupt()
    try:
        before = signal.signal(signal.SIGINT, interrupt.handle)
    except ValueError:  # not the main thread: Ctrl-C is somebody else's
        yield interrupt
        return
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def _write_files(
    results: list[tuple[Case, Row]], settings: dict[str, Any], *, stopped: bool
) -> list[JensenError]:
    """Write what was asked for; one file that fails keeps no other from being written."""

    def report(results: list[tuple[Case, Row]], path: Path) -> None:
        from jensen.cli.report import draw  # noqa: PLC0415  (draws: an extra)
        from jensen.report.worst import SECONDS  # noqa: PLC0415

        # after Ctrl-C nothing more is sought
        draw(results, path, time_limit=0.0 if stopped else SECONDS)

    errors: list[JensenError] = []
    for name, write in (("junit", write_junit), ("export", write_export), ("report", report)):
        if settings[name] is not None:
            try:
                write(results, Path(settings[name]))
            except JensenError as error:
                errors.append(error)
    return errors


def _record(case: Case, row: Row) -> dict[str, Any]:
    return {
        "model": case.name,
        "domain": case.domain.to_json(),
        "output": case.output,
        "expected": case.expected and str(case.expected),
        "counts_as": sorted(outcome(case, row)),
        **row.to_json(),
    }
