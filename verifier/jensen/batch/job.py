"""One job from file to row: what a worker does. Nothing that a file holds ends the worker."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jensen.batch.case import Case, Row, RowStatus
from jensen.batch.edition import EDITION
from jensen.batch.networks import network_of
from jensen.decide import verify
from jensen.errors import JensenError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.text import printable
from jensen.verdicts.verdict import Verdict

_PACKAGES = ("jensen", "highspy", "pyomo", "numpy", "onnx")


@dataclass(frozen=True)
class Job:
    """A case and how long it may take.

    Attributes
    ----------
    number : int
        Which case of the run.
    case : Case
    time_limit : float or None
        Seconds for the proof.
    certificates : str or None
        Folder for certificates.
    kill_after : float or None
        Seconds after which an executor may end the worker: far beyond ``time_limit``,
        for jobs that their own limit did not end.
    """

    number: int
    case: Case
    time_limit: float | None = None
    certificates: str | None = None
    kill_after: float | None = None


def run_job(job: Job) -> Row:
    """Load, verify and sum up one case; a failure of any kind is a row with its error."""
    start = time.perf_counter()
    case = job.case
    try:
        network = network_of(case)
    except Exception as error:
        row = error_row(case, error)
    else:
        row = _verified(job, network)
    return _signed(row, time.perf_counter() - start)


def error_row(case: Case, error: BaseException | str) -> Row:
    """Return the row of a case that gave no verdict."""
    text = describe(error, case.path)
    digest = file_digest(case.path) if case.network is None else case.network.digest
    return Row(RowStatus.ERROR, digest, error=text)


def verdict_row(verdict: Verdict, network: ReluNetwork | FunctionGraph) -> Row:
    """Return the row of a verdict."""
    row = _summed_up(verdict, _facts(network))
    return _signed(row, sum(verdict.times.values()))


def _signed(row: Row, seconds: float) -> Row:
    """Return a row with what tells when, how long and by what it was found."""
    return replace(row, seconds=seconds, finished=now(), versions=versions(), edition=EDITION)


def describe(error: BaseException | str, path: Path | None = None) -> str:
    """Return an error in one line, with its type unless it is one of this package.

    Parameters
    ----------
    error : exception or str
    path : Path, optional
        Of the model, which need not be named again.
    """
    if isinstance(error, str):
        return error
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}" + (f": {error.filename!r}" if error.filename else "")
    text = str(error)
    if path is not None:
        text = text.removeprefix(f"{path}: ").replace(str(path), printable(path))
    text = printable(" ".join(text.split()))
    return text if isinstance(error, JensenError) else f"{type(error).__name__}: {text}"


def file_digest(path: Path) -> str:
    """Return a digest for a case without a network: of where it is, and of its bytes if any.

    Two files with the same bytes may fail for different reasons.
    """
    where = os.fsencode(path.absolute())
    sha = hashlib.sha256(where + b"\0")
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError
        with path.open("rb") as stream:
            while chunk := stream.read(2**20):
                sha.update(chunk)
    except OSError:
        return f"name:{hashlib.sha256(where).hexdigest()}"
    return f"file:{sha.hexdigest()}"


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def versions() -> dict[str, str]:
    """Return the versions that a verdict may depend on."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _verified(job: Job, network: ReluNetwork | FunctionGraph) -> Row:
    case = job.case
    facts = _facts(network)
    try:
        options = replace(
            case.options, time_limit=job.time_limit, certificate=job.certificates is not None
        )
        verdict = verify(network, case.domain, output=case.output, options=options)
        saved = _save_certificates(job, network, verdict)
    except Exception as error:
        return Row(RowStatus.ERROR, error=describe(error), **facts)
    sizes = [p.certificate.size for p in verdict.outputs or (verdict,) if p.certificate is not None]
    row = _summed_up(verdict, facts)
    return replace(row, certificate=saved, certificate_bytes=sum(sizes) if sizes else None)


def _facts(network: ReluNetwork | FunctionGraph) -> dict[str, Any]:
    return {
        "digest": network.digest,
        "inputs": network.input_size,
        "relus": network.relu_count,
        "parameters": network.parameter_count,
    }


def _summed_up(verdict: Verdict, facts: dict[str, Any]) -> Row:
    parts = verdict.outputs or (verdict,)
    pair = next((p.counterexample for p in parts if p.counterexample is not None), None)
    reasons: dict[str, int] = {}
    layers: dict[str, dict[str, int]] = {}
    for part in parts:
        for item in part.evidence:
            layer = layers.setdefault(item.neurons[0][0], {})
            for table in (reasons, layer):
                table[str(item.reason)] = table.get(str(item.reason), 0) + 1
    lower, upper = verdict.violation_bounds or (None, None)
    return Row(
        RowStatus(str(verdict.status)),
        summary=verdict.summary,
        note=verdict.note,
        engine=verdict.engine,
        tolerance=verdict.tolerance,
        lower=lower,
        upper=upper,
        counterexample=None if pair is None else pair.to_json(),
        reasons=reasons,
        layers=layers,
        outputs=[
            {"output": part.output, "status": str(part.status), "summary": part.summary}
            for part in verdict.outputs
        ],
        nodes=sum(part.nodes for part in parts),
        lps=sum(part.lps for part in parts),
        times=dict(verdict.times),
        **facts,
    )


def _save_certificates(
    job: Job, network: ReluNetwork | FunctionGraph, verdict: Verdict
) -> str | None:
    """Write a certificate per proved output; return their files."""
    if job.certificates is None:
        return None
    files = []
    for part in verdict.outputs or (verdict,):
        if part.certificate is not None:
            case = replace(job.case, output=part.output)
            name = f"{case.path.stem}-{case.job(network.digest)[:12]}.jsonl.gz"
            target = Path(job.certificates, name)
            part.certificate.write(target)
            files.append(printable(target))
    return ", ".join(files) or None
