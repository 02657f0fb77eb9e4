"""What a row counts as, and the exit code that all rows add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any

from jensen.batch.case import Case, Row, RowStatus
from jensen.errors import OptionError
from jensen.network.checks import listed
from jensen.text import counted, shown


class Kind(StrEnum):
    """What ``--fail-on`` can name.

    Examples
    --------
    >>> Kind("mismatch")
    <Kind.MISMATCH: 'mismatch'>
    """

    ERROR = "error"
    MISMATCH = "mismatch"
    NONCONVEX = "nonconvex"
    UNKNOWN = "unknown"


# in order of precedence
CODES = {Kind.ERROR: 2, Kind.MISMATCH: 1, Kind.NONCONVEX: 1, Kind.UNKNOWN: 3}


def outcome(case: Case, row: Row) -> frozenset[Kind]:
    """Return everything a row counts as.

    ``mismatch`` is a verdict that contradicts the expected one; a job that failed or ended
    undecided contradicts nothing and counts as ``error`` or ``unknown``.

    Parameters
    ----------
    case : Case
    row : Row

    Returns
    -------
    frozenset of Kind

    Raises
    ------
    OptionError
        If something else was given.

    Examples
    --------
    >>> from jensen.batch import cases_of
    >>> from jensen.network.relu_network import ReluNetwork
    >>> case = cases_of([ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])])[0]
    >>> outcome(case, Row(RowStatus.CONVEX, "")), outcome(case, Row(RowStatus.UNKNOWN, ""))
    (frozenset(), frozenset({<Kind.UNKNOWN: 'unknown'>}))
    """
    _pairs([(case, row)])
    kinds: set[Kind] = set()
    if row.status is not RowStatus.CONVEX:
        kinds.add(Kind(str(row.status)))
    if case.expected is not None and row.status is not case.expected:
        undecided = row.status in {RowStatus.UNKNOWN, RowStatus.ERROR}
        kinds |= set() if undecided else {Kind.MISMATCH}
    return frozenset(kinds)


def failures(case: Case, row: Row) -> frozenset[Kind]:
    """Return what a row counts as where nothing was chosen: an expected verdict is no failure."""
    return frozenset() if row.status is case.expected else outcome(case, row)


def _pairs(results: Any) -> list[tuple[Case, Row]]:
    """Return results as :func:`jensen.batch.run_batch` does, and refuse anything else."""
    if not isinstance(results, str | bytes) and isinstance(results, Iterable):
        found = list(results)
        kinds = [tuple(map(type, pair)) for pair in found if isinstance(pair, tuple)]
        if len(kinds) == len(found) and set(kinds) <= {(Case, Row)}:
            return found
    raise OptionError(f"results {shown(results)}: what run_batch returns is needed")


def exit_code(results: Iterable[tuple[Case, Row]], fail_on: Collection[Kind] | None = None) -> int:
    """Return the exit code of a batch: that of the gravest kind that occurred.

    Parameters
    ----------
    results : iterable of (Case, Row)
    fail_on : collection of Kind, optional
        Only these count, whether expected or not. By default every kind counts, but a
        row whose verdict is the expected one does not.

    Returns
    -------
    int
        0 for none; 2 error, 1 mismatch or nonconvex, 3 unknown, in this order.

    Raises
    ------
    OptionError
        For other results than those of a batch, or other kinds.

    Examples
    --------
    >>> from jensen.batch import cases_of
    >>> from jensen.network.relu_network import ReluNetwork
    >>> case = cases_of([ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])])[0]
    >>> exit_code([(case, Row(RowStatus.CONVEX, "")), (case, Row(RowStatus.UNKNOWN, ""))])
    3
    """
    chosen = () if fail_on is None else listed(fail_on, "fail_on")
    if not all(isinstance(kind, str) and kind in list(Kind) for kind in chosen):
        raise OptionError(f"fail_on {shown(fail_on)}: a list of {', '.join(Kind)} is needed")
    found: set[Kind] = set()
    for case, row in _pairs(results):
        met = failures(case, row) if fail_on is None else outcome(case, row) & set(chosen)
        if fail_on is None and Kind.MISMATCH in met:
            met = frozenset({Kind.MISMATCH})
        found |= met
    return next((code for kind, code in CODES.items() if kind in found), 0)


def summary(results: Collection[tuple[Case, Row]]) -> str:
    """Return one line: how many models, what they are, how many are not as expected."""
    counts = Counter(str(row.status) for _, row in results)
    parts = [f"{counts[status]:,} {status}" for status in RowStatus if counts[status]]
    models = counted(len(results), "model")
    line = f"{models}: {', '.join(parts) or 'none'}"
    expected = [(case, row) for case, row in results if case.expected is not None]
    if expected:
        wrong = sum(Kind.MISMATCH in outcome(case, row) for case, row in expected)
        open_ = sum(row.status is not case.expected for case, row in expected) - wrong
        mismatches = "1 mismatch" if wrong == 1 else f"{wrong or 'no'} mismatches"
        verdicts = "verdict" if len(expected) == 1 else "verdicts"
        line += f"; {mismatches} with {len(expected):,} expected {verdicts}"
        line += f", {open_} of them not decided" if open_ else ""
    return line


def evidence(row: Row) -> str:
    """Return in few words what a verdict rests on, or why there is none."""
    if row.status is RowStatus.ERROR:
        return row.error
    if row.status is RowStatus.CONVEX:
        reasons = ", ".join(f"{count} {reason}" for reason, count in row.reasons.items())
        within = "" if row.tolerance is None else f" (within {row.tolerance:g})"
        search = f"; {counted(row.nodes, 'node')}" if row.nodes else ""
        return f"{reasons or 'no kink'}{within}{search}"
    if row.counterexample is not None:
        return f"violation {row.counterexample['violation_float']:.3g}"
    return row.note or row.summary
