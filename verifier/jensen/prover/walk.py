"""Few inputs: look at every kink everywhere, in the plane, in space, or on planes of a cone."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.intervals import round_down, round_up
from jensen.cells.start import is_flat
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.groups.prepared import Prepared
from jensen.network.relu_network import Block, ReluNetwork
from jensen.network.stack import NetworkStack, architecture
from jensen.prover.closed import closed_neurons
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.plane_screens import (
    one_signed,
    planes_bend,
    planes_come_first,
    planes_cost_little,
)
from jensen.prover.question import Question
from jensen.prover.signs import SPACE, bounds_come_first
from jensen.prover.walk_outcome import all_bend_upwards
from jensen.prover.walks.cones import is_cone_question, walk_cones
from jensen.prover.walks.edges import can_walk_edges, edges_bend_upwards
from jensen.prover.walks.narrow import is_narrow, walk_narrow
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.solid import walk_surfaces
from jensen.prover.walks.straight import bend_upwards, has_two_levels, seems_to_bend_down
from jensen.types import BoolArray, Interval
from jensen.verdicts.counterexample import admits
from jensen.verdicts.evidence import Counterexample
from jensen.verdicts.options import Engine

PLANE = 2
PAIR = 2  # units of a level, up to which an exact walk costs about as much as links
EDGES = 124  # ReLUs up to which edges in space cost about as much as bounds, where those say little
THREE, DEEP = 3, 4  # levels from which on edges come before sweeps; before bounds, on a box
SHARE = 8  # of neurons, of which one that is open makes signs of links say more than a walk
TWINS = 64  # neurons of a block whose rows are compared, all with all
CELLS = {1: np.inf, 2: 320, 3: 48}  # ReLUs from which on they cost less than whole complexes
FOUR, SIGNS = 4, 4e6  # inputs, and signs in cells, which cost less than descents and programs
NEAR = 1e-9  # rows of largest entry 1 that may be equal


def walk_few_inputs_upwards(question: Question) -> Outcome | None:
    """Prove networks of one to three inputs by J alone, cheaper than a walk that refutes."""
    if not walks(question):
        return None
    closed, signs, never = closed_kinks(question)
    with question.prepared.watch.stage("walk"):
        # unless another screen tried
        planes = not planes_come_first(question) and planes_bend(question, closed)
        if isinstance(planes, Counterexample):
            return refuted_by(planes)
        if planes or (
            bounds_come_first(question)
            and bend_upwards(question.network, _walked_domain(question), closed)
        ):
            return all_bend_upwards(question, signs, never)
        tried = edges_come_first(question)
        if not tried and _edges_bend_upwards(question, closed):
            return all_bend_upwards(question, signs, never)
    return None


def walk_cells_of_few_inputs(question: Question) -> Outcome | None:
    """Decide larger networks of two or three inputs by cells that bounds leave open."""
    prepared, network = question.prepared, question.network
    if network.input_size > SPACE or network.relu_count < CELLS[network.input_size]:
        return None
    if not walks(question) or question.cells is None:
        return None
    with prepared.watch.stage("walk"):
        walked = question.cells.run(SIGNS)
    if walked is None:
        return None
    if walked.pair is not None:
        return refuted_by(walked.pair)
    return all_bend_upwards(question, prepared.stable_signs, never_cross(prepared))


def walk_few_inputs(question: Question) -> Outcome | None:
    """Decide networks of one to three inputs; None where that is not asked for or did not do."""
    prepared, network = question.prepared, question.network
    if not walks(question):
        return None
    closed, signs, never = closed_kinks(question)
    domain = _walked_domain(question)
    cones = network.input_size == SPACE and is_cone_question(network, question.domain)
    in_space = network.input_size == SPACE and not cones
    if (in_space or _is_one_level_of_plane(network)) and open_twins(prepared, closed):
        return None
    with prepared.watch.stage("walk"):
        walk = walk_kinks if network.input_size < SPACE else walk_surfaces
        walk = walk_cones if cones else walk
        walked = walk(network, domain, closed, question.deadline)
    if walked is None:
        return None
    if walked.pair is not None:
        # the ends of an interval were rounded outward
        inside = domain is question.domain or admits(question.domain, walked.pair.x, walked.pair.y)
        return refuted_by(walked.pair) if inside else None
    return all_bend_upwards(question, signs, never)


def closed_kinks(
    question: Question,
) -> tuple[dict[str, BoolArray], Mapping[str, Interval], dict[str, BoolArray]]:
    """Return the neurons that signs or bounds close, the signs, and those that never cross."""
    prepared = question.prepared
    if not bounds_come_first(question):
        signs = prepared.signs
        return {name: low >= 0 for name, (low, _) in signs.items()}, signs, {}
    return closed_neurons(prepared), prepared.stable_signs, never_cross(prepared)


def _walked_domain(question: Question) -> Domain:
    one = question.network.input_size == 1
    return _around(question.domain) if one else question.domain


def walk_edges(question: Question) -> Outcome | None:
    """Prove small networks of three inputs by their edges, where bounds would say little.

    On a box, bounds of few levels are taken first, without sweeps from single neurons.
    """
    if not edges_come_first(question):
        return None
    prepared = question.prepared
    bounded = not _bounds_say_little(question)
    signs = prepared.swept_signs if bounded else prepared.signs
    never = never_cross(prepared) if bounded else {}
    closed = {name: low >= 0 for name, (low, _) in signs.items()}
    for name, idle in never.items():
        closed[name] |= idle
    if all(part.all() for part in closed.values()):
        return None  # the next screen says so
    with prepared.watch.stage("walk"):
        planes = not planes_cost_little(question) and planes_bend(question, closed)
        if isinstance(planes, Counterexample):
            return refuted_by(planes)
        if not planes and not _edges_bend_upwards(question, closed):
            return None
    return all_bend_upwards(question, signs, never)


def never_cross(prepared: Prepared) -> dict[str, BoolArray]:
    """Return the neurons that keep their sign by bounds."""
    return one_signed(prepared.hidden_bounds)


def edges_come_first(question: Question) -> bool:
    """Whether edges are looked at before what bounds, or sweeps from single neurons, say."""
    network = question.network
    if network.input_size != SPACE or network.relu_count > EDGES:
        return False
    if not bounds_come_first(question):
        return False
    deep = _bounds_say_little(question) or len(network.hidden) >= THREE
    return deep and not question.prepared.may_have_twins and walks(question)


def _bounds_say_little(question: Question) -> bool:
    """Whether bounds of a small network cost more than they close: no box, or many levels."""
    endless = question.domain.box_sides(SPACE) is None
    return endless or len(question.network.hidden) >= DEEP


def _edges_bend_upwards(question: Question, closed: Mapping[str, BoolArray]) -> bool:
    """Whether a network of three inputs is proved by J on all faces, told by their edges."""
    network, domain = question.network, question.domain
    if network.input_size != SPACE or architecture(network) is None:
        return False
    stack = NetworkStack.from_networks([network])
    if not can_walk_edges(stack, domain):
        return False
    asked = ~np.concatenate([closed[block.name] for block in network.hidden])
    return bool(edges_bend_upwards(stack, domain, asked[None], question.deadline)[0])


def _around(domain: Domain) -> Domain:
    """Return what is walked for a domain of one input: rows are an interval or a half-line."""
    if not domain.has_rows:
        return domain
    A, b = domain.inequalities(1)
    ends = [Fraction(right) / Fraction(a) for a, right in zip(A[:, 0], b, strict=True) if a]
    above = [end for a, end in zip(A[A[:, 0] != 0, 0], ends, strict=True) if a > 0]
    below = [end for a, end in zip(A[A[:, 0] != 0, 0], ends, strict=True) if a < 0]
    if not (above and below):
        return Everywhere()
    return Box([round_down(max(below))], [round_up(min(above))])


def walk_open_cells(question: Question) -> Outcome | None:
    """Prove networks of more than three inputs by what bounds leave open of their kinks.

    Of two levels on a box these are planes; with four inputs, cells are cut.
    """
    prepared, network = question.prepared, question.network
    if network.input_size <= SPACE or not bounds_come_first(question):
        return None  # edges say more in space
    if question.options.certificate:
        return None  # the engine leaves more for a certificate to go by
    closed = closed_neurons(prepared)
    with prepared.watch.stage("walk"):
        proved = not planes_come_first(question) and planes_bend(question, closed)
        if isinstance(proved, Counterexample):
            return refuted_by(proved)
        cells = question.cells if network.input_size == FOUR and not proved else None
        if cells is not None:
            walked = cells.run(SIGNS)
            if walked is not None and walked.pair is not None:
                return refuted_by(walked.pair)
            proved = walked is not None
    return (
        all_bend_upwards(question, prepared.stable_signs, never_cross(prepared)) if proved else None
    )


def walk_straight_lines(question: Question) -> Outcome | None:
    """Decide networks of two small levels in the plane, which costs less than to draw lines.

    By pieces of the first level's kinks where units of the second one may bend down, else along
    these kinks; so, too, where some coincide.
    """
    if not _has_straight_lines(question):
        return None
    network, prepared = question.network, question.prepared
    if seems_to_bend_down(network, question.domain):
        return None
    signs = prepared.signs
    closed = {name: low >= 0 for name, (low, _) in signs.items()}
    with prepared.watch.stage("walk"):
        bends = not closed[network.hidden[1].name].all()
        found = bends and planes_bend(question, closed)
        if isinstance(found, Counterexample):
            return refuted_by(found)
        if not found and not bend_upwards(network, question.domain, closed):
            return None
    return all_bend_upwards(question, signs, {})


def _has_straight_lines(question: Question) -> bool:
    plane = has_two_levels(question.network) and not bounds_come_first(question)
    return plane and walks(question)


def lines_were_walked(question: Question) -> bool:
    """Whether straight lines were walked: what that leaves open, linked states do, too."""
    return _has_straight_lines(question) and not question.domain.has_rows


def walk_narrow_levels(question: Question) -> Outcome | None:
    """Decide networks of many levels of one or two units where the plane has few cells."""
    return _walk_narrow(question) if _is_walked_before_links(question) else None


def walk_less_narrow_levels(question: Question) -> Outcome | None:
    """As :func:`walk_narrow_levels` behind links, which cost less there.

    So it is with levels of three units, and where signs alone leave few kinks open.
    """
    return None if _is_walked_before_links(question) else _walk_narrow(question)


def _is_walked_before_links(question: Question) -> bool:
    network = question.network
    if max((block.size for block in network.hidden), default=0) > PAIR:
        return False
    signs = question.prepared.signs.values()
    left = sum(int(np.count_nonzero(~(low >= 0))) for low, _ in signs)
    return SHARE * left > network.relu_count


def _walk_narrow(question: Question) -> Outcome | None:
    network, domain = question.network, question.domain
    if not is_narrow(network, domain) or not walks(question):
        return None
    with question.prepared.watch.stage("walk"):
        walked = walk_narrow(network, domain, question.deadline)
    if walked is None:
        return None
    if walked.pair is not None:
        return refuted_by(walked.pair)
    return all_bend_upwards(question, question.prepared.signs, {})


def walks(question: Question) -> bool:
    """Whether a walk is asked for, and possible."""
    options, network = question.options, question.network
    some = options.inputs is not None and len(set(options.inputs)) < network.input_size
    if options.engine is not Engine.AUTO or some or options.tolerance:
        return False
    if not can_walk(network, question.domain):
        return False
    if not question.domain.has_rows:
        return True
    working = question.prepared.working
    return working.dim == network.input_size + working.lifted


def _is_one_level_of_plane(network: ReluNetwork) -> bool:
    """Whether J of every group is a constant, while a walk meets every crossing of two kinks."""
    return network.input_size == PLANE and len(network.hidden) == 1


def open_twins(prepared: Prepared, closed: Mapping[str, BoolArray]) -> bool:
    """Whether open neurons kink at one place together where a search costs less than a walk.

    So it does in networks of few levels; of twins that pass z on, J of each alone says nothing.
    """
    if not any(_may_have_twins(block, ~closed[block.name]) for block in prepared.network.hidden):
        return False
    grouped = prepared.grouped
    every = list(grouped.passed)
    if len(prepared.network.hidden) < THREE:
        every += map(grouped.neurons, grouped.groups())
    twins = [members for members in every if len(members) > 1]
    return any(not closed[block][index] for members in twins for block, index in members)


def _may_have_twins(block: Block, asked: BoolArray) -> bool:
    """Whether rows of a block are about proportional, one of them asked for: no costly look."""
    parts = block.weights.values()
    if any(sp.issparse(part) for part in parts) or block.size > TWINS:
        return True
    rows = np.concatenate([*parts, block.bias[:, None]], axis=1)
    largest = np.abs(rows).argmax(axis=1)[:, None]
    rows = rows / np.take_along_axis(rows, largest, axis=1)
    close = np.abs(rows[:, None] - rows).max(axis=2) < NEAR
    np.fill_diagonal(close, val=False)
    return bool(close[asked].any())


def can_walk(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that is walked."""
    inputs = network.input_size
    return inputs <= SPACE and not is_flat(domain, inputs)
