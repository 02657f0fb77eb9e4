"""Boxes of which few inputs are left, as the others are fixed: the question about these alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import numpy as np

from jensen.domains.domain import Box
from jensen.groups.prepared import Prepared
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.types import FloatArray, IndexArray
from jensen.verdicts.counterexample import Point
from jensen.verdicts.options import Engine

WALKED = 5  # free inputs up to which walks cost less than programs


def decide_fixed(question: Question, decide: Callable[[Question], Outcome]) -> Outcome | None:
    """Ask about the network of the inputs that may move, if a walk can look at all of them.

    Walks look at networks of five inputs at most sooner. Neurons keep their names; pairs
    are checked again with the network itself. Certificates speak of the given inputs.

    Parameters
    ----------
    question : Question
    decide : callable
        Answers the other question.
    """
    options, old = question.options, question.prepared
    sides = question.domain.box_sides(question.network.input_size)
    if options.engine is not Engine.AUTO or options.tolerance or options.certificate:
        return None
    if sides is None:
        return None
    lower, upper = sides
    free = np.flatnonzero(lower < upper)
    inputs = _moving(options.inputs, free)
    if not 0 < len(free) <= min(WALKED, len(lower) - 1) or inputs == ():
        return None
    values = {i: float(lower[i]) for i in np.flatnonzero(lower == upper).tolist()}
    network, box = question.network.fix_inputs(values), Box(lower[free], upper[free])
    prepared = Prepared(network, box, old.watch, old.deadline, old.folds)
    outcome = decide(replace(question, prepared=prepared, options=replace(options, inputs=inputs)))
    translated = outcome.about(question, partial(_with_fixed, fixed=lower, free=free))
    pair, found = translated.counterexample, outcome.counterexample
    if pair is None or found is None:
        return translated
    return replace(translated, counterexample=replace(pair, slope_change=found.slope_change))


def _moving(inputs: tuple[int, ...] | None, free: IndexArray) -> tuple[int, ...] | None:
    """Return the inputs of a partial question as numbers among those that are free."""
    return None if inputs is None else tuple(np.flatnonzero(np.isin(free, inputs)).tolist())


def _with_fixed(point: Point, fixed: FloatArray, free: IndexArray) -> Point:
    """Put the fixed inputs of a point in their places."""
    whole = [Fraction(value) for value in fixed.tolist()]
    for i, value in zip(free.tolist(), point, strict=True):
        whole[i] = value
    return tuple(whole)
