"""Screens that look along random lines, before any solver is started.

All are one search (:class:`~jensen.prover.lines.line_search.LineSearch`) that goes on where the
screen before ended: how far it goes next depends on what it costs beside the screens that follow.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from jensen.network.relu_network import INPUT, Block
from jensen.prover.lines.line_search import FIRST, ROUND
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import SPACE, bounds_come_first, is_small
from jensen.prover.walk import walks
from jensen.types import BoolArray
from jensen.verdicts.options import Engine

# after so many lines looks end
EARLY = FIRST + ROUND // 4  # in front of a walk that costs a few times as much
LATE = FIRST + ROUND  # in small networks: what they miss, descents find as soon
MOST = (EARLY, LATE, LATE + ROUND, LATE + 2 * ROUND)  # in large ones
COSTLY_WALK = 32  # ReLUs from which on a walk in space costs tens of milliseconds
DEEP = 4  # levels from which on bounds do not come before edges in space


def first_lines(question: Question) -> Outcome | None:
    """Look along a few random lines: a fraction of a millisecond, enough for most networks."""
    return _lines(question, FIRST)


def lines_for_sinking(question: Question) -> Outcome | None:
    """As the next two screens, before bounds, walks and links, where a kink seems to bend down."""
    network = question.network
    lines_are_next = network.input_size > SPACE and not is_small(network)
    if lines_are_next or not may_sink(question):
        return None
    glimpse = question.lines.glimpse
    if glimpse is not None and glimpse.bends_down:
        return _lines(question, EARLY, LATE)
    return lines_before_walks(question) or lines_before_bounds(question)


def may_sink(question: Question) -> bool:
    """Whether f is not convex unless bounds that come later show that some kinks lie elsewhere.

    Some neuron has J < 0 at a point, and both signs on the domain, as far as intervals say, in
    space also the bounds of few levels, which are next; off boxes, as far as its own weights say.
    No bounds of J under all patterns close that: twins are left out of account.
    """
    options, prepared, network = question.options, question.prepared, question.network
    glimpse = question.lines.glimpse
    plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
    if glimpse is None or not plain or not glimpse.sinking:
        return False
    if glimpse.bends_down:
        return True
    if question.domain.box_sides(network.input_size) is None:
        return any(_has_both_signs(network[name], down) for name, down in glimpse.sinking.items())
    if not glimpse.sinks_within(prepared.intervals):
        return False
    bounds_are_next = network.input_size == SPACE and len(network.hidden) < DEEP
    return not bounds_are_next or glimpse.sinks_within(prepared.hidden_bounds)


def _has_both_signs(block: Block, units: BoolArray) -> bool:
    """Whether z of some units may have both signs, as far as their own weights say."""
    rows = [block.bias[units, None]]
    for name, weight in block.weights.items():
        part = weight[units]
        part = part.toarray() if sp.issparse(part) else part
        # blocks of ReLUs pass on nothing negative; others, and inputs, may have both signs
        rows += [part] if name != INPUT else [part, -part]
    every = np.concatenate(rows, axis=1)
    return bool(np.count_nonzero((every.min(axis=1) < 0) & (every.max(axis=1) > 0)))


def lines_before_walks(question: Question) -> Outcome | None:
    """Look along so many more lines as cost a small part of the walk that is next."""
    network = question.network
    if not walks(question) or network.input_size == 1:
        return None
    costly = network.input_size == SPACE and network.relu_count >= COSTLY_WALK
    return _lines(question, EARLY, LATE) if costly else _lines(question, EARLY)


def lines_before_bounds(question: Question) -> Outcome | None:
    """As :func:`random_lines`, for small networks of more than three inputs.

    Bounds, cells and single kinks, which are next, cost a few times as much.
    """
    first = question.network.input_size > SPACE and bounds_come_first(question)
    return random_lines(question) if first else None


def random_lines(question: Question) -> Outcome | None:
    """Look for a counterexample along more random lines, after :func:`first_lines`."""
    return _lines(question, LATE) if is_small(question.network) else _lines(question, *MOST)


def _lines(question: Question, *ends: int) -> Outcome | None:
    """Search until so many lines were drawn, in rounds; any violation refutes exact convexity."""
    if question.options.tolerance or question.lines.drawn >= ends[-1]:
        return None
    with question.prepared.watch.stage("lines"):
        for end in ends:
            found = question.lines.look(end - question.lines.drawn)
            if found is not None:
                return refuted_by(found)
    return None
