"""Jobs for machines that do not see the model files: the bytes go along with the job."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from jensen.batch.case import Row
from jensen.batch.job import Job, file_digest
from jensen.loaders.companions import external_locations
from jensen.outputs import write_whole
from jensen.text import printable

_CERTIFICATES = "certificates"


@dataclass(frozen=True)
class SentJob:
    """A job with the files it reads.

    Attributes
    ----------
    job : Job
    files : mapping from name to bytes
        The model and the files of its external weights; names relative to its folder.
    """

    job: Job
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Answer:
    """A row with the certificates that the job wrote, by file name."""

    row: Row
    certificates: Mapping[str, bytes] = field(default_factory=dict)


def pack(job: Job) -> SentJob | None:
    """Read what a job needs beyond its network; None where there is no file to read.

    Such a job fails wherever it runs, so it can just as well be run here.
    """
    path = job.case.path
    if job.case.network is not None:
        return SentJob(job, {})
    try:
        if not path.is_file():
            return None
        files = {path.name: path.read_bytes()}
    except OSError:
        return None
    for location in external_locations(path, files[path.name]):
        content = _beside(path, location)
        if content is not None:
            files[location] = content
    return SentJob(job, files)


def run_sent(sent: SentJob, run: Callable[[Job], Row]) -> Answer:
    """Run a job on files that are written to a temporary folder for it.

    Parameters
    ----------
    sent : SentJob
    run : callable
        Runs the job once its files are there.

    Returns
    -------
    Answer
        Its row is the one that the job would have had beside the original file.
    """
    original = sent.job.case.path
    with tempfile.TemporaryDirectory(prefix="jensen-") as name:
        folder = Path(name).resolve()
        models = folder / "model"
        for relative, content in sent.files.items():
            target = models / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        job = replace(sent.job, case=replace(sent.job.case, path=models / original.name))
        written = folder / _CERTIFICATES
        if sent.job.certificates is not None:
            written.mkdir()
            job = replace(job, certificates=str(written))
        row = run(job)
        certificates = (
            {file.name: file.read_bytes() for file in written.iterdir()}
            if sent.job.certificates is not None
            else {}
        )
        error = row.error.replace(printable(models / original.name), printable(original))
        error = error.replace(printable(models), printable(original.parent))
        return Answer(replace(row, error=error), certificates)


def unpack(job: Job, answer: Answer) -> Row:
    """Write the certificates of an answer where the job wants them; return its row.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    if answer.row.digest.startswith("file:"):  # it says where the file was
        return replace(answer.row, digest=file_digest(job.case.path))
    if job.certificates is None or not answer.certificates:
        return answer.row
    folder = Path(job.certificates)
    for name, content in answer.certificates.items():
        # a name, never a path: it comes from another machine
        write_whole(folder / Path(name).name, content)
    names = [part.rpartition("/")[2] for part in (answer.row.certificate or "").split(", ")]
    return replace(answer.row, certificate=", ".join(printable(folder / name) for name in names))


def _beside(path: Path, location: str) -> bytes | None:
    """Return the content of a file in the model's folder, None for any other place."""
    parts = PurePosixPath(location)
    if parts.is_absolute() or ".." in parts.parts or "\0" in location:
        return None
    file = path.parent / location
    try:
        inside = file.resolve().is_relative_to(path.parent.resolve())
        return file.read_bytes() if inside and file.is_file() else None
    except (OSError, RuntimeError):
        return None
