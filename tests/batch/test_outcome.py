"""What rows count as, and the exit code."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from jensen.batch import Case, Kind, Row, RowStatus, exit_code, outcome
from jensen.batch.junit import write_junit
from jensen.batch.outcome import summary
from jensen.domains.domain import Everywhere

C, N, U, E = RowStatus.CONVEX, RowStatus.NONCONVEX, RowStatus.UNKNOWN, RowStatus.ERROR


def pair(status: RowStatus, expected: RowStatus | None = None) -> tuple[Case, Row]:
    case = Case(Path("a"), "a", Everywhere(), expected=expected)
    return case, Row(status, "d", error="\x00 broken" if status is E else "")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], 0),
        ([pair(C)], 0),
        ([pair(N)], 1),
        ([pair(U)], 3),
        ([pair(E)], 2),
        ([pair(N, N), pair(E, E), pair(U, U), pair(C, C)], 0),
        ([pair(C, N)], 1),
        ([pair(N, C)], 1),
        ([pair(C, E)], 1),
        ([pair(U, C)], 3),
        ([pair(E, C)], 2),
        ([pair(U), pair(N), pair(E)], 2),
        ([pair(U), pair(N)], 1),
    ],
)
def test_the_gravest_row_that_is_not_expected_decides(rows, code):
    assert exit_code(rows) == code


def test_fail_on_counts_only_what_it_lists_expected_or_not():
    rows = [pair(N, N), pair(U), pair(E)]
    assert exit_code(rows, {Kind.NONCONVEX}) == 1
    assert exit_code(rows, {Kind.UNKNOWN}) == 3
    assert exit_code(rows, {Kind.MISMATCH}) == 0
    assert exit_code(rows, set()) == 0
    assert exit_code([pair(N, C)], {Kind.MISMATCH}) == 1


def test_a_mismatch_is_a_contradiction():
    assert Kind.MISMATCH in outcome(*pair(N, C))
    assert Kind.MISMATCH not in outcome(*pair(U, C))
    assert Kind.MISMATCH not in outcome(*pair(E, C))
    assert Kind.MISMATCH not in outcome(*pair(N))


def test_the_summary_counts():
    line = summary([pair(C, C), pair(N, C), pair(U, C), pair(E)])
    assert line == (
        "4 models: 1 convex, 1 nonconvex, 1 unknown, 1 error; "
        "1 mismatch with 3 expected verdicts, 1 of them not decided"
    )


def test_junit_is_xml_with_the_same_counts(tmp_path):
    rows = [pair(C, C), pair(N, C), pair(U), pair(E), pair(E, E)]
    write_junit(rows, tmp_path / "out.xml")
    suite = ET.parse(tmp_path / "out.xml").getroot()[0]
    assert suite.attrib["tests"] == "5"
    assert (suite.attrib["errors"], suite.attrib["failures"], suite.attrib["skipped"]) == (
        "1",
        "1",
        "1",
    )
    assert suite[1].find("failure") is not None
