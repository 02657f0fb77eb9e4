"""Results as JUnit XML, which continuous integration systems show as tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from jensen.batch.case import Case, Row
from jensen.batch.outcome import Kind, failures
from jensen.outputs import replacing
from jensen.text import printable


def write_junit(results: Sequence[tuple[Case, Row]], path: Path) -> None:
    """Write results as one test suite.

    An error is an ``error``, a mismatch or an unexpected nonconvex model a ``failure``,
    an undecided one ``skipped``; a verdict that is as expected passes.

    Parameters
    ----------
    results : sequence of (Case, Row)
    path : Path

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    suite = ET.Element("testsuite", name="jensen", tests=str(len(results)))
    counts = {"error": 0, "failure": 0, "skipped": 0}
    for case, row in results:
        test = ET.SubElement(
            suite,
            "testcase",
            classname=printable(f"jensen.{case.domain}"),
            name=printable(case.name + ("" if case.output is None else f"[{case.output}]")),
            time=f"{row.seconds:.3f}",
        )
        tag = _tag(failures(case, row))
        if tag is not None:
            counts[tag] += 1
            expected = "" if case.expected is None else f", expected {case.expected}"
            message = printable(f"{row.status}{expected}: {row.error or row.summary}")
            ET.SubElement(test, tag, message=message)
        ET.SubElement(test, "system-out").text = printable(row.summary or row.error)
    suite.set("errors", str(counts["error"]))
    suite.set("failures", str(counts["failure"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("time", f"{sum(row.seconds for _, row in results):.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    with replacing(path) as stream:
        ET.ElementTree(root).write(stream, encoding="utf-8", xml_declaration=True)


def _tag(kinds: frozenset[Kind]) -> str | None:
    if Kind.ERROR in kinds:
        return "error"
    if kinds & {Kind.MISMATCH, Kind.NONCONVEX}:
        return "failure"
    return "skipped" if Kind.UNKNOWN in kinds else None
