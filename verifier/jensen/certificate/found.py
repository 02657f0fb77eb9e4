"""Certificates of what was found: of outcomes, and of verdicts about graphs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jensen.certificate.certificate import (
    Certificate,
    certify_convex,
    certify_nonconvex,
    certify_sum,
)
from jensen.certificate.convex_writer import Claimed, ConvexWriter
from jensen.certificate.walks import costs_much
from jensen.errors import CertificateError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Verdict


def begun(
    network: ReluNetwork, output: int, question: Question, *, plain: bool = False
) -> ConvexWriter | None:
    """Begin a certificate of convexity; None if there cannot be one, as the end will say.

    Where signs may do the prover's bounds are not needed, and plain intervals are enough.
    """
    options = question.options
    claimed = Claimed(
        network, question.domain, output, concave=options.concave, inputs=options.inputs
    )
    try:
        grouped = None if plain else question.prepared.grouped
        return ConvexWriter(claimed, grouped, question.deadline, plain=plain)
    except CertificateError:
        return None  # the verdict's note will say why


def certificate_of(
    network: ReluNetwork, output: int, question: Question, outcome: Outcome
) -> Certificate:
    """Turn an outcome into lines that the independent checker accepts.

    Raises
    ------
    CertificateError
        If a leaf could not be certified, or time is up.
    """
    options = question.options
    asked: dict[str, Any] = {
        "output": output,
        "concave": options.concave,
        "inputs": options.inputs,
    }
    if outcome.counterexample is not None:
        pair = outcome.counterexample.x, outcome.counterexample.y
        return certify_nonconvex(network, question.domain, pair, **asked)
    walked, grouped = outcome.walked, outcome.grouped
    if walked and costs_much(network, walked):
        grouped = question.prepared.grouped
    if outcome.writer is not None:
        return Certificate(tuple(outcome.writer.lines(outcome.proofs)))
    return certify_convex(
        network,
        question.domain,
        **asked,
        grouped=grouped,
        proofs=outcome.proofs,
        walked=walked,
        deadline=question.deadline,
    )


def certified_graph(graph: FunctionGraph, verdict: Verdict, options: Options) -> Verdict:
    """Give the verdict about a graph its certificate, or a note that the checker has no rules."""
    pair, inner = verdict.counterexample, verdict.certificate
    try:
        certificate = None
        if inner is not None:
            certificate = certify_sum(graph, inner)
        elif pair is not None:
            certificate = certify_nonconvex(
                graph,
                verdict.domain,
                (pair.x, pair.y),
                output=verdict.output or 0,
                concave=options.concave,
                inputs=options.inputs,
            )
    except CertificateError as error:
        return replace(verdict, certificate=None, note=str(error))
    return replace(verdict, certificate=certificate)
