"""Write certificates that the independent checker accepts (docs/FORMAT.md).

The prover's closed trees are a skeleton: every leaf is proved again, in the terms of
the checker, and is branched further where its rules ask for more. What a rule will find is
known before it is written: by doubles with bounds of all their errors, of the very numbers
that are written, or where these do not reach by the rule itself. Where a leaf cannot be
certified there is an error that names it, never a certificate with a hole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import flint

from jensen.arithmetic.rational import ONE, ZERO, fraction
from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork
from jensen.certificate.checker import Claim, Rejected, text_of
from jensen.certificate.model_export import export_bytes
from jensen.certificate.producer import Producer
from jensen.certificate.walked_lines import walked_lines
from jensen.domains.domain import Domain
from jensen.domains.hull import relative_interior
from jensen.domains.working_set import cone_of
from jensen.errors import CertificateError, DomainError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.groups import GroupedNetwork
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import write_whole
from jensen.prover.outcome import GroupProof
from jensen.types import Neurons
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True, eq=False)
class Certificate:
    """A claim with its proof, line by line.

    Attributes
    ----------
    lines : tuple
        JSON-ready records; the first is the claim.
    """

    lines: tuple[Any, ...]

    @cached_property
    def data(self) -> bytes:
        """The lines as JSON Lines."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self.lines)
        return text.encode()

    @property
    def size(self) -> int:
        """Bytes, not compressed."""
        return len(self.data)

    def write(self, path: str | Path) -> None:
        """Write JSON Lines, gzipped if the name ends in ``.gz``; the same bytes every time."""
        file = Path(path)
        zipped = file.suffix == ".gz"
        write_whole(file, gzip.compress(self.data, mtime=0) if zipped else self.data)


# --------------------------------------------------------------------------- claims


def domain_record(domain: Domain, inputs: int) -> dict[str, Any]:
    """Describe a domain in exact numbers."""
    return {key: _written(value) for key, value in domain.exact_record(inputs).items()}


def _written(value: Any) -> Any:
    """Write the fractions of a nested list as text."""
    if isinstance(value, str):
        return value
    return text_of(value) if isinstance(value, Fraction) else [_written(v) for v in value]


def interior_rule(domain: Domain, inputs: int) -> list[Any]:
    """Return a point inside a polyhedron, and multipliers that solve its equations for inputs.

    Raises
    ------
    DomainError
        If the polyhedron is empty.
    """
    cone = cone_of(*domain.inequalities(inputs))
    found = relative_interior(cone)
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


def _claim(
    network: ReluNetwork | FunctionGraph,
    digest: str,
    domain: Domain,
    output: int,
    kind: str,
    inputs: Sequence[int] | None,
) -> dict[str, Any]:
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


def certify_nonconvex(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    pair: tuple[Sequence[Fraction], Sequence[Fraction]],
    *,
    output: int = 0,
    concave: bool = False,
    inputs: Sequence[int] | None = None,
) -> Certificate:
    """Return the certificate of a pair that violates midpoint convexity (concavity).

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    domain : Domain
    pair : two points of length inputs
    output : int
    concave : bool
        Whether concavity is refuted.
    inputs : sequence of int, optional
        Inputs in which convexity was claimed; the points agree in the others.

    Raises
    ------
    CertificateError
        For a graph that the checker has no rules for.
    """
    kind = "nonconcave" if concave else "nonconvex"
    points = [[text_of(Fraction(v)) for v in point] for point in pair]
    digest = hashlib.sha256(export_bytes(network)).hexdigest()
    claim = _claim(network, digest, domain, output, kind, inputs)
    return Certificate((claim, ["pair", *points]))


def certify_convex(
    network: ReluNetwork,
    domain: Domain,
    *,
    output: int = 0,
    concave: bool = False,
    inputs: Sequence[int] | None = None,
    grouped: GroupedNetwork | None = None,
    proofs: Sequence[GroupProof] = (),
    walked: Neurons | None = None,
    deadline: Deadline = NEVER,
) -> Certificate:
    """Turn a proof of convexity into a certificate.

    Parameters
    ----------
    network : ReluNetwork
        The whole network, with all its outputs.
    domain : Domain
    output : int
    concave : bool
    inputs : sequence of int, optional
        Inputs in which convexity is claimed (partial convexity).
    grouped : GroupedNetwork, optional
        The prover's groups and bounds.
    proofs : sequence of GroupProof
        The prover's closed trees. Groups without one are searched from scratch.
    walked : tuple of (block name, index), optional
        Neurons that a walk closed, all others being closed by their signs, as in
        :class:`jensen.prover.outcome.Outcome`: the rest is then not asked for.
    deadline : Deadline
        Of all work.

    Raises
    ------
    CertificateError
        If a leaf could not be certified, which the message names, or time is up.
    """
    kind = "concave" if concave else "convex"
    exported = export_bytes(network)
    if walked is not None:
        digest = hashlib.sha256(exported).hexdigest()
        claim = _claim(network, digest, domain, output, kind, inputs)
        return Certificate((claim, *walked_lines(network, domain, walked)))
    model = checker.read_model(exported)
    claim = _claim(network, model.digest, domain, output, kind, inputs)
    lines: list[Any] = [claim]
    try:
        read = Claim(claim, model)
        if domain.has_rows and read.rows:
            lines.append(interior_rule(domain, network.input_size))
            _, point, equations = lines[-1]
            checker.rule_interior(read, checker.rationals(point, model.inputs), equations)
        net = BoundedNetwork(model, read, grouped, deadline)
    except (checker.Malformed, Rejected) as error:
        raise CertificateError(f"no certificate: {error}") from None
    return Certificate((*lines, *Producer(net, grouped, proofs).lines()))


def certify_sum(graph: FunctionGraph, piecewise: Certificate) -> Certificate:
    """Return the certificate of a ReLU network plus quadratic functions, from that of the network.

    Parameters
    ----------
    graph : FunctionGraph
    piecewise : Certificate
        Of convexity, about the same output of the piecewise-linear part alone.

    Raises
    ------
    CertificateError
        If the checker does not prove the quadratic part.

    References
    ----------
    docs/FORMAT.md, sections 5 and 6: rule `quadratic`.
    """
    model = checker.read_model(export_bytes(graph))
    claim = piecewise.lines[0] | {"model": model.digest}
    try:
        read = Claim(claim, model)
        if piecewise.lines[1][0] == "interior":
            _, point, equations = piecewise.lines[1]
            checker.rule_interior(read, checker.rationals(point, model.inputs), equations)
        checker.rule_quadratic(model, read)
    except (checker.Malformed, Rejected) as error:
        raise CertificateError(f"no certificate: {error}") from None
    last = [["quadratic"]] if model.quadratic[read.output] else []
    return Certificate((claim, *piecewise.lines[1:], *last))
