"""The outcome of walks along kinks: what closed every neuron."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jensen.network.relu_network import ReluNetwork
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.types import BoolArray, Interval
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen.verdicts.verdict import Status


def all_bend_upwards(
    question: Question, signs: Mapping[str, Interval], never: Mapping[str, BoolArray]
) -> Outcome:
    """Return the outcome of a walk that looked at every kink."""
    evidence = tuple(_evidence(question.network, signs, never))
    walked = sum(found.reason is Reason.WALK for found in evidence)
    return Outcome(Status.CONVEX, evidence, walked=walked)


def _evidence(
    network: ReluNetwork, signs: Mapping[str, Interval], never: Mapping[str, BoolArray]
) -> Iterator[GroupEvidence]:
    """Say of every neuron what closed it: its sign, its bounds or the walk."""
    for block in network.hidden:
        if not block.is_relu:
            continue
        for i, low in enumerate(signs[block.name][0].tolist()):
            neuron = ((block.name, i),)
            if low >= 0:
                yield GroupEvidence(neuron, Reason.SIGN, jump_lower_bound=low)
            elif block.name in never and never[block.name][i]:
                yield GroupEvidence(neuron, Reason.NEVER_CROSSES)
            else:
                yield GroupEvidence(neuron, Reason.WALK)
