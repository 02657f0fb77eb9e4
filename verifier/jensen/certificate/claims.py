"""What a certificate claims, in exact numbers (docs/FORMAT.md, sections 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import flint

from jensen.arithmetic.rational import ONE, ZERO, fraction
from jensen.certificate import checker
from jensen.certificate.checker import text_of
from jensen.domains.domain import Domain
from jensen.domains.hull import relative_interior
from jensen.domains.working_set import cone_of
from jensen.errors import DomainError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen_encodings.deadline import NEVER, Deadline


def domain_record(domain: Domain, inputs: int) -> dict[str, Any]:
    """Describe a domain in exact numbers."""
    return {key: _written(value) for key, value in domain.exact_record(inputs).items()}


def _written(value: Any) -> Any:
    """Write the fractions of a nested list as text."""
    if isinstance(value, str):
        return value
    return text_of(value) if isinstance(value, Fraction) else [_written(v) for v in value]


def interior_rule(domain: Domain, inputs: int, deadline: Deadline = NEVER) -> list[Any]:
    """Return a point inside a polyhedron, and multipliers that solve its equations for inputs.

    Raises
    ------
    DomainError
        If the polyhedron is empty.
    OutOfTimeError
        If the deadline is over before its hull is known.
    """
    cone = cone_of(*domain.inequalities(inputs))
    found = relative_interior(cone, deadline)
    if found is None:
        raise DomainError("the polyhedron is empty")
    point = [fraction(v / found.point[-1]) for v in found.point[:-1]]
    equal = [i for i, y in enumerate(found.multipliers[:-1]) if y > 0]
    known = [found.multipliers[i] for i in equal]
    equations = []
    for index, mixture in _solved(cone[equal]):
        # multipliers of any signs are made up for by those whose sum of rows is 0
        share = max((abs(m) / y for m, y in zip(mixture, known, strict=True)), default=ZERO)
        sides = []
        for sign in (1, -1):
            side = [ZERO] * (len(cone) - 1)
            for i, m, y in zip(equal, mixture, known, strict=True):
                side[i] = share * y + sign * m
            sides.append([text_of(fraction(v)) for v in side])
        equations.append([index, *sides])
    return ["interior", [text_of(v) for v in point], equations]


def _solved(rows: Any) -> list[tuple[int, list[Any]]]:
    """Return the inputs that rows ``a x = b`` determine, and how to mix the rows for each."""
    count = len(rows)
    if not count:
        return []
    width = rows.shape[1]
    eye = [[ONE if i == j else ZERO for j in range(count)] for i in range(count)]
    joined = [v for row, unit in zip(rows, eye, strict=True) for v in (*row, *unit)]
    reduced, _ = flint.fmpq_mat(count, width + count, joined).rref()
    solved = []
    for i in range(count):
        row = [reduced[i, j] for j in range(width + count)]
        index = next((j for j in range(width - 1) if row[j] != 0), None)
        if index is not None:
            solved.append((index, row[width:]))
    return solved


def claim_record(
    network: ReluNetwork | FunctionGraph,
    digest: str,
    domain: Domain,
    output: int,
    kind: str,
    inputs: Sequence[int] | None,
) -> dict[str, Any]:
    """Return the first line of a certificate: what is claimed, and where.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    digest : str
        Of its export.
    domain : Domain
    output : int
    kind : str
        "convex", "concave", "nonconvex" or "nonconcave".
    inputs : sequence of int, optional
    """
    claim = {
        "format": checker.FORMAT,
        "model": digest,
        "claim": kind,
        "output": output,
        "domain": domain_record(domain, network.input_size),
    }
    if inputs is not None:
        claim["inputs"] = list(inputs)
    return claim
