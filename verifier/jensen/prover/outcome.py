"""What a screen or a prover found out; ``decide`` makes a verdict of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jensen.groups.groups import GroupedNetwork
from jensen.network.relu_network import ReluNetwork
from jensen.prover.group_proof import GroupProof, GroupWriter
from jensen.prover.question import Question
from jensen.types import Neurons, Unit
from jensen.verdicts.counterexample import Point, counterexample
from jensen.verdicts.crossing import Crossing
from jensen.verdicts.evidence import Counterexample, GroupEvidence, Reason
from jensen.verdicts.verdict import Status


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is proved; the default says nothing.

    Attributes
    ----------
    status : Status
        Convex with evidence for every group, nonconvex with a counterexample, else unknown.
    evidence : tuple of GroupEvidence
        One per group; ``Reason.OPEN`` where the group was left open.
    counterexample : Counterexample or None
    grouped : GroupedNetwork or None
        The groups that the proofs speak of.
    proofs : tuple of GroupProof
    writer : GroupWriter or None
        What has proved the groups that no proof is there for.
    walked : int or None
        For a certificate: how many neurons were walked, of at most three inputs.
    tolerance : float
        The largest tolerance that entered, asked for or the solver's; 0 if all is exact.
    violation_bounds : (float, float) or None
        Proved bounds of the worst midpoint violation, where known.
    note : str
        What is left open, or which restriction applies.
    interrupted : bool
        Whether Ctrl-C ended the work.
    """

    status: Status = Status.UNKNOWN
    evidence: tuple[GroupEvidence, ...] = ()
    counterexample: Counterexample | None = None
    grouped: GroupedNetwork | None = None
    proofs: tuple[GroupProof, ...] = ()
    writer: GroupWriter | None = None
    walked: int | None = None
    tolerance: float = 0.0
    violation_bounds: tuple[float, float] | None = None
    note: str = ""
    interrupted: bool = False

    def about(self, question: Question, way: Callable[[Point], Point] = tuple) -> Outcome:
        """Return what this says of a question that was answered by asking another one.

        Groups and proofs are left out, as they speak of the other network. A pair is checked with
        the network itself; if it does not refute that, nothing is claimed.

        Parameters
        ----------
        question : Question
        way : callable
            Leads from points of the other domain to points of this one.
        """
        found = self.counterexample
        if found is None:
            return replace(self, grouped=None, proofs=())
        pair = counterexample(
            question.network,
            question.domain,
            way(found.x),
            way(found.y),
            found.neuron,
            inputs=question.options.inputs,
        )
        if pair is None:
            return Outcome(note=self.note)
        return replace(self, counterexample=pair, grouped=None, proofs=())


def refuted_by(pair: Counterexample, evidence: Iterable[GroupEvidence] = ()) -> Outcome:
    """Return the outcome that an exact pair proves."""
    return Outcome(Status.NONCONVEX, tuple(evidence), pair)


def bent_at(
    question: Question, crossing: Crossing, group: Unit, found: Mapping[Unit, GroupEvidence]
) -> Outcome:
    """Return the outcome of a facet that bends down: a pair that is checked once more.

    Parameters
    ----------
    question : Question
    crossing : Crossing
        Of a facet of ``group``.
    found : mapping from group to evidence
        What is known of the groups so far.
    """
    network, grouped = question.network, question.prepared.grouped
    evidence = (*never_crossing(grouped, network), *found.values())
    pair = counterexample(
        network,
        question.domain,
        crossing.before,
        crossing.after,
        grouped.neurons(group)[0],
        inputs=question.options.inputs,
    )
    if pair is None:
        return Outcome(evidence=evidence, note=_left_open(evidence))
    return refuted_by(replace(pair, slope_change=crossing.slope_change), evidence)


def looked_at(
    question: Question,
    found: Mapping[Unit, GroupEvidence],
    *,
    proofs: Sequence[GroupProof] = (),
    tolerance: float = 0.0,
) -> Outcome:
    """Return the outcome of a look at every group: convex if each one was closed.

    Parameters
    ----------
    question : Question
    found : mapping from group to evidence
    proofs : sequence of GroupProof
    tolerance : float
        Of the solver, where one entered.
    """
    grouped = question.prepared.grouped
    groups = grouped.groups()
    every = [
        found.get(group, GroupEvidence(grouped.neurons(group), Reason.OPEN)) for group in groups
    ]
    evidence = (*never_crossing(grouped, question.network), *every)
    if any(item.reason is Reason.OPEN for item in every):
        return Outcome(evidence=evidence, note=_left_open(evidence))
    return Outcome(
        Status.CONVEX,
        evidence,
        grouped=grouped,
        proofs=tuple(proofs),
        tolerance=max(tolerance, question.options.tolerance),
    )


def never_crossing(grouped: GroupedNetwork, network: ReluNetwork) -> list[GroupEvidence]:
    """Return the evidence of the neurons that never change their activation, or bend nothing."""
    kinking = {neuron for group in grouped.groups() for neuron in grouped.neurons(group)}
    kinking.update(neuron for neurons in grouped.passed for neuron in neurons)
    never = [
        GroupEvidence((neuron,), Reason.NEVER_CROSSES)
        for neuron in every_neuron(network)
        if neuron not in kinking
    ]
    # what is passed on as it is has the jump 0
    passed = [
        GroupEvidence(neurons, Reason.SIGN, jump_lower_bound=0.0) for neurons in grouped.passed
    ]
    return never + passed


def every_neuron(network: ReluNetwork) -> Neurons:
    """Return (block name, index) of all ReLU neurons."""
    return tuple(
        (block.name, i) for block in network.hidden if block.is_relu for i in range(block.size)
    )


def _left_open(evidence: Sequence[GroupEvidence]) -> str:
    left = max(sum(item.reason is Reason.OPEN for item in evidence), 1)
    return f"{left} of {len(evidence)} hyperplane groups left open"
