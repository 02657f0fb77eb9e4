"""Write certificates that the independent checker accepts (docs/FORMAT.md).

The prover's closed trees are a skeleton: every leaf is proved again, in the terms of
the checker and by the checker's own rules, and is branched further where they ask for
more. A certificate is therefore complete and checked once when it exists; where a leaf
cannot be certified there is an error that names it, never a certificate with a hole.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import scipy.sparse as sp

from jensen import checker
from jensen.bounded_network import BoundedNetwork
from jensen.certify import GroupProof, Producer
from jensen.checker import Claim, Model, Rejected
from jensen.domain import Box, Domain, Polyhedron
from jensen.errors import CertificateError, DomainError
from jensen.exact import exact_fractions
from jensen.groups import GroupedNetwork
from jensen.leaf_proof import text_of
from jensen.lift import cone_of
from jensen.network import ReluNetwork
from jensen.polyhedron import relative_interior
from jensen.rational import fraction


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
        file.write_bytes(gzip.compress(self.data, mtime=0) if zipped else self.data)


# -------------------------------------------------------------------------- export


def export_json(network: ReluNetwork, path: str | Path) -> None:
    """Write a network as JSON, doubles as exact hexadecimal strings (docs/FORMAT.md).

    Parameters
    ----------
    network : ReluNetwork
    path : str or Path
        Must end in ``.json``.

    Raises
    ------
    CertificateError
        For another ending, by which the checker would take it for an archive.
    """
    file = Path(path)
    if file.suffix != ".json":
        raise CertificateError(f"{file}: the name of an export must end in .json")
    blocks = [
        {
            "name": block.name,
            "activation": str(block.activation),
            "size": block.size,
            "bias": [float(b).hex() for b in block.bias],
            "inputs": [
                {"from": source, "entries": [[i, j, w.hex()] for i, j, w in _entries(weight)]}
                for source, weight in block.weights.items()
            ],
        }
        for block in network.blocks
    ]
    head = {"format": checker.MODEL_FORMAT, "input_size": network.input_size, "blocks": blocks}
    file.write_text(json.dumps(head, separators=(",", ":")) + "\n", encoding="utf-8")


def _entries(weight: Any) -> Iterable[tuple[int, int, float]]:
    """Yield the non-zeros in row-major order."""
    csr = sp.csr_array(weight, copy=True)  # sorting needs writable arrays
    csr.sum_duplicates()
    for i in range(csr.shape[0]):
        for at in range(csr.indptr[i], csr.indptr[i + 1]):
            if csr.data[at] != 0:
                yield i, int(csr.indices[at]), float(csr.data[at])


def checker_model(network: ReluNetwork) -> Model:
    """Hand a network to the checker's code without a file."""
    blocks = []
    for block in network.blocks:
        edges: dict[str, list[dict[int, float]]] = {}
        for source, weight in block.weights.items():
            rows: list[dict[int, float]] = [{} for _ in range(block.size)]
            for i, j, value in _entries(weight):
                rows[i][j] = value
            edges[source] = rows
        bias = [float(b) + 0.0 for b in block.bias]
        blocks.append(checker.Block(block.name, block.is_relu, bias, edges))
    return Model(network.input_size, blocks)


# --------------------------------------------------------------------------- claims


def domain_record(domain: Domain, inputs: int) -> dict[str, Any]:
    """Describe a domain in exact numbers."""
    if isinstance(domain, Box):
        lower, upper = domain.bounds(inputs)
        return {
            "type": "box",
            "lower": [text_of(v) for v in exact_fractions(lower)],
            "upper": [text_of(v) for v in exact_fractions(upper)],
        }
    if isinstance(domain, Polyhedron):
        return {
            "type": "polyhedron",
            "A": [[text_of(v) for v in exact_fractions(row)] for row in domain.A],
            "b": [text_of(v) for v in exact_fractions(domain.b)],
        }
    return {"type": "everywhere"}


def interior_rule(domain: Polyhedron) -> list[Any]:
    """Return a point inside a polyhedron, and multipliers that show which rows are equations.

    Raises
    ------
    DomainError
        If the polyhedron is empty.
    """
    found = relative_interior(cone_of(domain))
    if found is None:
        raise DomainError("the polyhedron is empty")
    point = [fraction(v / found.point[-1]) for v in found.point[:-1]]
    multipliers = [fraction(y) for y in found.multipliers[:-1]]
    return ["interior", [text_of(v) for v in point], [text_of(y) for y in multipliers]]


def _claim(
    network: ReluNetwork,
    domain: Domain,
    output: int,
    kind: str,
    inputs: Sequence[int] | None,
) -> dict[str, Any]:
    claim = {
        "format": checker.FORMAT,
        "network": network.digest,
        "claim": kind,
        "output": output,
        "domain": domain_record(domain, network.input_size),
    }
    if inputs is not None:
        claim["inputs"] = list(inputs)
    return claim


def certify_nonconvex(
    network: ReluNetwork,
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
    network : ReluNetwork
    domain : Domain
    pair : two points of length inputs
    output : int
    concave : bool
        Whether concavity is refuted.
    inputs : sequence of int, optional
        Inputs in which convexity was claimed; the points agree in the others.
    """
    kind = "nonconcave" if concave else "nonconvex"
    points = [[text_of(Fraction(v)) for v in point] for point in pair]
    return Certificate((_claim(network, domain, output, kind, inputs), ["pair", *points]))


def certify_convex(
    network: ReluNetwork,
    domain: Domain,
    *,
    output: int = 0,
    concave: bool = False,
    inputs: Sequence[int] | None = None,
    grouped: GroupedNetwork | None = None,
    proofs: Sequence[GroupProof] = (),
    out_of_time: Callable[[], bool] = lambda: False,
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
    out_of_time : callable
        Asked now and then whether to give up.

    Raises
    ------
    CertificateError
        If a leaf could not be certified, which the message names, or time is up.
    """
    claim = _claim(network, domain, output, "concave" if concave else "convex", inputs)
    model = checker_model(network)
    lines: list[Any] = [claim]
    try:
        read = Claim(claim, model)
        if isinstance(domain, Polyhedron) and read.rows:
            lines.append(interior_rule(domain))
            checker.rule_interior(read, *(list(map(checker.rational, v)) for v in lines[-1][1:]))
        net = BoundedNetwork(model, read, grouped, out_of_time)
    except (checker.Malformed, Rejected) as error:
        raise CertificateError(f"no certificate: {error}") from None
    return Certificate((*lines, *Producer(net, grouped, proofs).lines()))
