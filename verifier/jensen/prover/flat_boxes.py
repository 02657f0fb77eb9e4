"""Few inputs are left, as the others are fixed or nothing reads them: the question about these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np
import scipy.sparse as sp

from jensen.domains.domain import Box
from jensen.groups.prepared import Prepared
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.prover.signs import SPACE
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen.verdicts.counterexample import Point
from jensen.verdicts.options import Engine

WALKED = 5  # free inputs up to which walks cost less than programs


def decide_fixed(question: Question, decide: Callable[[Question], Outcome]) -> Outcome | None:
    """Ask about the network of the inputs that matter, if a walk can look at all of them.

    These may move on the domain, and something reads them. Neurons keep their names; pairs
    are checked again with the network itself. Certificates speak of the given inputs.

    Parameters
    ----------
    question : Question
    decide : callable
        Answers the other question.
    """
    options, old = question.options, question.prepared
    if options.engine is not Engine.AUTO or options.tolerance or options.certificate:
        return None
    domain, size = question.domain, question.network.input_size
    sides = domain.box_sides(size)
    if domain.has_rows:
        return None
    lower, upper = (np.zeros(size), np.ones(size)) if sides is None else sides
    matters = lower < upper
    if size > SPACE:
        matters &= _read(question.network)
    free = np.flatnonzero(matters)
    inputs = _moving(options.inputs, free)
    if not 0 < len(free) <= min(WALKED, size - 1) or inputs == ():
        return None
    network = question.network.fix_inputs(
        {i: float(lower[i]) for i in np.flatnonzero(~matters).tolist()}
    )
    box = domain if sides is None else Box(lower[free], upper[free])
    prepared = Prepared(network, box, old.watch, old.deadline, old.folds)
    outcome = decide(replace(question, prepared=prepared, options=replace(options, inputs=inputs)))
    translated = outcome.about(question, partial(_with_fixed, fixed=lower, free=free))
    pair, found = translated.counterexample, outcome.counterexample
    if pair is None or found is None:
        return translated
    return replace(translated, counterexample=replace(pair, slope_change=found.slope_change))


def _read(network: ReluNetwork) -> BoolArray:
    """Return the inputs that have a weight which is not 0."""
    read = np.zeros(network.input_size, dtype=bool)
    for block in network.blocks:
        weight = block.weights.get(INPUT)
        if weight is not None:
            count = weight.getnnz(axis=0) if sp.issparse(weight) else np.abs(weight).max(axis=0)
            read |= count != 0
    return read


def _moving(inputs: tuple[int, ...] | None, free: IndexArray) -> tuple[int, ...] | None:
    """Return the inputs of a partial question as numbers among those that are free."""
    return None if inputs is None else tuple(np.flatnonzero(np.isin(free, inputs)).tolist())


def _with_fixed(point: Point, fixed: FloatArray, free: IndexArray) -> Point:
    """Put the fixed inputs of a point in their places."""
    whole = [Fraction(value) for value in fixed.tolist()]
    for i, value in zip(free.tolist(), point, strict=True):
        whole[i] = value
    return tuple(whole)
