"""Signs of J under linked states: twins, and neurons that are on wherever others are.

The screen for dense layers in a row, of whatever number of inputs; for one network, or for a
stack of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jensen.bounds.linked import LinkedSigns, linked_signs
from jensen.bounds.stacked import stacked_bounds
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack, architecture
from jensen.prover.outcome import Outcome
from jensen.prover.plane_screens import links_say_much
from jensen.prover.question import Question
from jensen.prover.refute import may_sink
from jensen.prover.signs import SPACE, bounds_come_first, is_small
from jensen.prover.walk import THREE, edges_come_first, lines_were_walked
from jensen.types import FloatArray, Interval
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen.verdicts.options import Engine
from jensen.verdicts.verdict import Status

WORK = 5e7  # weights times neurons: beyond, sweeps from single neurons cost more than provers


def signs_of_twins(question: Question) -> Outcome | None:
    """As :func:`signs_of_links`, before any lines are drawn: twins are there since one put them."""
    return _links(question) if _asks(question) and question.prepared.may_have_twins else None


def signs_of_links(question: Question) -> Outcome | None:
    """Close everything at once if intervals and the signs of J do, states linked."""
    asks = _cost_little(question) and not lines_were_walked(question)
    if not asks or _edges_say_more(question) or not _asks_without_twins(question):
        return None
    return _links(question, forward=not _more_is_next(question))


def signs_of_links_behind_edges(question: Question) -> Outcome | None:
    """As :func:`signs_of_links` where edges said more, but could not be told apart."""
    return _links(question) if _edges_say_more(question) else None


def _edges_say_more(question: Question) -> bool:
    """Whether edges come before links: without a box, where these seldom close what signs leave.

    Links close most where few kinks are open, or where half of the last level is known.
    """
    network = question.network
    if not edges_come_first(question) or len(network.hidden) < THREE:
        return False
    if question.domain.box_sides(SPACE) is not None or not _asks_without_twins(question):
        return False
    signs = question.prepared.signs.values()
    left = sum(int(np.count_nonzero(~(low >= 0))) for low, _ in signs)
    return 2 * left > network.relu_count and not links_say_much(network.hidden[-1])


def _more_is_next(question: Question) -> bool:
    """Whether tighter bounds than intervals, or edges, are next.

    They close more than forward sweeps, and do not cost much more.
    """
    box = question.domain.box_sides(question.network.input_size)
    return (box is not None and bounds_come_first(question)) or edges_come_first(question)


def signs_of_costly_links(question: Question) -> Outcome | None:
    """As :func:`signs_of_links`, behind random lines, which cost as much and refute many."""
    costly = not _cost_little(question)
    return _links(question) if costly and _asks_without_twins(question) else None


def _asks_without_twins(question: Question) -> bool:
    """Whether there is no twin, and no state seen under which a kink bends down."""
    asks = _asks(question) and not question.prepared.may_have_twins
    return asks and not may_sink(question)


def _cost_little(question: Question) -> bool:
    """Whether links cost less than what would come before them: random lines, or a walk."""
    return question.network.input_size <= SPACE or is_small(question.network)


def _work(question: Question) -> int:
    return question.network.parameter_count * question.network.relu_count


def _asks(question: Question) -> bool:
    """Whether the network is of the kind, and no more is asked than a verdict."""
    options, network = question.options, question.network
    plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
    if not plain or (options.certificate and question.writer is None):
        return False
    return _work(question) <= WORK and architecture(network) is not None


def _links(question: Question, *, forward: bool = True) -> Outcome | None:
    network, prepared = question.network, question.prepared
    with prepared.watch.stage("links"):
        stack, twins = NetworkStack.from_networks([network]), prepared.may_have_twins
        if question.domain.box_sides(network.input_size) is None:
            signs = links_of_stack(stack, question.domain, forward=forward, twins=twins)
        else:
            bounds = [(low[None], high[None]) for low, high in prepared.intervals.values()]
            signs = _links_under(stack, bounds, forward=forward, twins=twins)
        if not signs.convex[0]:
            return None
    writer = None
    if question.writer is not None:
        with question.prepared.watch.stage("certificate"):
            writer = question.writer(plain=True)
            if writer is None or not writer.close_by_signs():
                return None  # others may leave a proof that can be written
    names = [block.name for block in network.hidden]
    return Outcome(Status.CONVEX, linked_evidence(signs, 0, names), writer=writer)


def links_of_stack(
    stack: NetworkStack,
    domain: Domain,
    *,
    thorough: bool = True,
    forward: bool = True,
    backward: bool = False,
    twins: bool = True,
) -> LinkedSigns:
    """Return the signs of networks of one output; not-a-number settles nothing.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    thorough : bool
        Look for pairs of neurons, and sweep forward, too.
    forward : bool
        Whether to sweep forward where that is thorough.
    backward : bool
        Take linear bounds of pre-activations, too.
    twins : bool
        Look for twins; False where it is known that there are none.
    """
    with np.errstate(all="ignore"):
        sides = _sides(domain, stack.input_size)
        bounds, sound = stacked_bounds(stack, *sides, backward=backward)
    signs = _links_under(stack, bounds, thorough=thorough, forward=forward, twins=twins)
    return signs.known_of(sound)


def _links_under(
    stack: NetworkStack,
    bounds: Sequence[Interval],
    *,
    thorough: bool = True,
    forward: bool,
    twins: bool,
) -> LinkedSigns:
    """Return the signs under bounds of pre-activations, per hidden layer."""
    stable = [(low >= 0, high <= 0) for low, high in bounds]
    return linked_signs(
        stack.weights, stack.biases, stable, thorough=thorough, forward=forward, twins=twins
    )


def linked_evidence(
    signs: LinkedSigns, number: int, names: Sequence[str]
) -> tuple[GroupEvidence, ...]:
    """Return why each unit of a network cannot break convexity: by signs, or else by a walk.

    Parameters
    ----------
    signs : LinkedSigns
    number : int
        Of the network.
    names : sequence of str
        Of the hidden blocks.
    """
    evidence = []
    for name, layer, crossing, jumps in zip(
        names, signs.layers, signs.crossing, signs.jumps, strict=True
    ):
        parts = (layer.twin, layer.lead, crossing, jumps)
        rows = zip(*(part[number].tolist() for part in parts), strict=True)
        for unit, (twin, lead, crosses, low) in enumerate(rows):
            neurons = ((name, unit),) if twin < 0 else ((name, unit), (name, twin))
            if lead and crosses and not low >= 0:
                evidence.append(GroupEvidence(neurons, Reason.WALK))
            elif lead and crosses:
                evidence.append(GroupEvidence(neurons, Reason.SIGN, jump_lower_bound=low))
            elif lead:
                evidence.append(GroupEvidence(neurons, Reason.NEVER_CROSSES))
    return tuple(evidence)


def _sides(domain: Domain, inputs: int) -> tuple[FloatArray, FloatArray]:
    """Return a box that holds the domain; its sides may be infinite."""
    sides = domain.box_sides(inputs)
    return sides or (np.full(inputs, -np.inf), np.full(inputs, np.inf))
