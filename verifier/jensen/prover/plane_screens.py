"""When pieces of planes are looked at: before links or bounds, where they cost as much."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp

from jensen.cells.arrangement import incidences
from jensen.network.relu_network import Block
from jensen.network.stack import NetworkStack, architecture
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import SPACE, bounds_come_first
from jensen.prover.walk_outcome import all_bend_upwards
from jensen.prover.walks.plane_pairs import pair_about
from jensen.prover.walks.planes import FEWEST, MOST, can_walk_planes, looked_at_planes
from jensen.types import BoolArray, Interval
from jensen.verdicts.evidence import Counterexample

FOUR = 4  # inputs up to which planes cost as much as links
FEW_PIECES = 1 << 14  # incidences of planes and vertices, up to which these cost as much as links


def walk_planes(question: Question) -> Outcome | None:
    """Prove small networks of two levels by the pieces of their first level's kinks.

    These cost as much as signs of links.
    """
    return _looked_at(question) if planes_cost_little(question) else None


def walk_planes_of_more(question: Question) -> Outcome | None:
    """As :func:`walk_planes` for others, behind links and lines, which cost less there.

    In space without a box, edges come before lines, and planes with them.
    """
    if not planes_come_first(question) or planes_cost_little(question):
        return None
    in_space = question.network.input_size == SPACE
    return None if in_space and not _has_box(question) else _looked_at(question)


def planes_cost_little(question: Question) -> bool:
    """Whether planes come before links, which say more where units are steady or linked."""
    network = question.network
    if question.options.certificate or not planes_come_first(question):
        return False  # signs make shorter certificates
    second, boxed = network.hidden[1], _has_box(question)
    if network.input_size > FOUR or links_say_much(second):
        return False
    if boxed:
        low, high = question.prepared.intervals[second.name]
        return 2 * int(np.count_nonzero((low >= 0) | (high <= 0))) < second.size
    return _has_few_pieces(question)


def _has_few_pieces(question: Question) -> bool:
    inputs, first = question.network.input_size, question.network.hidden[0]
    return incidences(first.size, inputs, box=_has_box(question)) <= FEW_PIECES


def links_say_much(block: Block) -> bool:
    """Whether half of the units of a level keep their sign, or others are on wherever they are.

    So weights and biases say: they are all of one sign, or no larger than another unit's.
    """
    parts = [*block.weights.values(), block.bias[:, None]]
    if any(sp.issparse(part) for part in parts):
        return False
    rows = np.concatenate(parts, axis=1)
    known = (rows >= 0).all(axis=1) | (rows <= 0).all(axis=1)
    below: BoolArray = np.logical_and.reduce(rows[:, None] <= rows, axis=2)
    np.fill_diagonal(below, val=False)
    known |= below.any(axis=1)
    return 2 * int(np.count_nonzero(known)) >= block.size


def planes_come_first(question: Question) -> bool:
    """Whether planes of two levels are looked at before bounds.

    So it is without a box, and in the plane and in space where there are few of them.
    """
    network = question.network
    inputs, boxed = network.input_size, _has_box(question)
    if len(network.hidden) != 2 or not FEWEST <= inputs <= MOST:
        return False
    # bounds and the engine leave more for a certificate to go by
    if (inputs > SPACE) + boxed + question.options.certificate > 1:
        return False
    if not bounds_come_first(question) or question.prepared.may_have_twins:
        return False
    if boxed and not _has_few_pieces(question):
        return False
    glimpse = question.lines.glimpse if boxed else None
    # where some J is negative, bounds were taken to say whether its kink lies in the box
    return glimpse is None or not glimpse.sinks_within(question.prepared.intervals)


def _has_box(question: Question) -> bool:
    return question.domain.box_sides(question.network.input_size) is not None


def _looked_at(question: Question) -> Outcome | None:
    prepared = question.prepared
    signs, never = prepared.signs, dict[str, BoolArray]()
    closed = {name: low >= 0 for name, (low, _) in signs.items()}
    if _has_box(question):
        never = one_signed(prepared.intervals)
        closed = {name: part | never[name] for name, part in closed.items()}
    with prepared.watch.stage("walk"):
        found = planes_bend(question, closed)
    if isinstance(found, Counterexample):
        return refuted_by(found)
    return all_bend_upwards(question, signs, never) if found else None


def planes_bend(question: Question, closed: Mapping[str, BoolArray]) -> bool | Counterexample:
    """Whether J >= 0 is proved on all pieces of the first level's kinks; a pair that refutes it."""
    network, domain = question.network, question.domain
    if architecture(network) is None:
        return False
    stack = NetworkStack.from_networks([network])
    if not can_walk_planes(stack, domain):
        return False
    asked = ~np.concatenate([closed[block.name] for block in network.hidden])
    found = looked_at_planes(stack, domain, asked[None])
    if isinstance(found, bool):
        return found
    return pair_about(network, domain, found.point[:-1], found.across) or False


def one_signed(bounds: Mapping[str, Interval]) -> dict[str, BoolArray]:
    """Return the neurons that keep their sign within bounds of pre-activations."""
    return {name: (low >= 0) | (high <= 0) for name, (low, high) in bounds.items()}
