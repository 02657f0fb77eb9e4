"""Write certificates that the independent checker accepts (docs/FORMAT.md).

Trees of joint programs are grown in the terms of the checker, before the engine searches. Trees
that the engine closed are a skeleton: every leaf is proved again, and is branched further where
the checker's rules ask for more. What a rule will find is
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

from jensen.certificate import checker
from jensen.certificate.bounded_network import OUT_OF_TIME
from jensen.certificate.checker import Claim, Rejected, text_of
from jensen.certificate.claims import claim_record, interior_rule
from jensen.certificate.convex_writer import Claimed, ConvexWriter, still_in_time
from jensen.certificate.model_export import export_bytes
from jensen.certificate.plain_signs import signs_of_weights_do
from jensen.certificate.walks import LINES, SPACE, costs_much, signs_do
from jensen.domains.domain import Domain
from jensen.errors import CertificateError, OutOfTimeError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.groups import GroupedNetwork
from jensen.network.relu_network import ReluNetwork
from jensen.outputs import write_whole
from jensen.prover.group_proof import GroupProof
from jensen.text import counted
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        """Return one line, however long the proof is."""
        return f"Certificate({self.lines[0]['claim']!r}, {counted(len(self.lines), 'line')})"

    def write(self, path: str | Path) -> None:
        """Write JSON Lines, gzipped if the name ends in ``.gz``; the same bytes every time."""
        file = Path(path)
        zipped = file.suffix == ".gz"
        write_whole(file, gzip.compress(self.data, mtime=0) if zipped else self.data)


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
    claim = claim_record(network, digest, domain, output, kind, inputs)
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
    walked: int | None = None,
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
    walked : int, optional
        How many neurons a walk closed, as in :class:`jensen.prover.outcome.Outcome`: the
        checker's walk is then enough.
    deadline : Deadline
        Of all work.

    Raises
    ------
    CertificateError
        If a leaf could not be certified, which the message names, or time is up.
    """
    claimed = Claimed(network, domain, output, concave=concave, inputs=inputs)
    if walked is None and signs_of_weights_do(network, output, concave=concave):
        walked = 0
    if walked and costs_much(network, walked):
        plain = network.input_size < SPACE
        if not plain or signs_do(claimed):
            writer = ConvexWriter(claimed, None if plain else grouped, deadline, plain=plain)
            return Certificate(tuple(writer.lines((), walked=True)))
    if walked is not None:
        return Certificate((*_unread_head(claimed, deadline), *LINES[: 3 if walked else 2]))
    return Certificate(tuple(ConvexWriter(claimed, grouped, deadline).lines(proofs)))


def _unread_head(claimed: Claimed, deadline: Deadline) -> list[Any]:
    """Return the first lines of a certificate, for which the checker's network is not needed."""
    network, domain = claimed.network, claimed.domain
    still_in_time(deadline)
    exported = export_bytes(network)
    still_in_time(deadline)
    if len(exported) > checker.MAX_MODEL or network.input_size >= checker.MAX_INPUTS:
        raise CertificateError("no certificate: the network is too large for the checker")
    kind = "concave" if claimed.concave else "convex"
    digest = hashlib.sha256(exported).hexdigest()
    claim = claim_record(network, digest, domain, claimed.output, kind, claimed.inputs)
    if not claim["domain"].get("A"):
        return [claim]
    try:
        return [claim, interior_rule(domain, network.input_size, deadline)]
    except OutOfTimeError:
        raise CertificateError(OUT_OF_TIME) from None


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
            _, point, *others = piecewise.lines[1]
            checker.rule_interior(read, checker.rationals(point, model.inputs), *others)
        checker.rule_quadratic(model, read)
    except (checker.Malformed, Rejected) as error:
        raise CertificateError(f"no certificate: {error}") from None
    last = [["quadratic"]] if model.quadratic[read.output] else []
    return Certificate((claim, *piecewise.lines[1:], *last))
