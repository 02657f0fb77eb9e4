"""Weight products that cannot be negative close groups without any search (theory, section 3)."""

from __future__ import annotations

from jensen.groups.prepared import Prepared
from jensen.prover.options import Engine
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.prover.verdict import GroupEvidence, Reason, Status
from jensen.types import Unit


def signs_of_all_paths(question: Question) -> Outcome | None:
    """Close everything at once if no path product is negative, on whatever domain."""
    if question.options.engine is Engine.MIDPOINT:
        return None  # asked for a measure of the violation
    signs = question.prepared.signs
    neurons = [block for block in question.network.hidden if block.is_relu]
    # not-a-number is no sign
    if not all((signs[block.name][0] >= 0).all() for block in neurons):
        return None
    evidence = tuple(
        GroupEvidence(((block.name, i),), Reason.SIGN, jump_lower_bound=float(low))
        for block in neurons
        for i, low in enumerate(signs[block.name][0])
    )
    return Outcome(Status.CONVEX, evidence)


def closed_by_sweep(prepared: Prepared) -> dict[Unit, GroupEvidence]:
    """Close groups whose members all have J >= 0 under every pattern of the unstable neurons."""
    signs, grouped = prepared.stable_signs, prepared.grouped
    closed = {}
    for group in grouped.groups():
        neurons = grouped.neurons(group)
        lows = [float(signs[block][0][index]) for block, index in neurons]
        if all(low >= 0 for low in lows):
            closed[group] = GroupEvidence(neurons, Reason.SIGN, jump_lower_bound=min(lows))
    return closed
