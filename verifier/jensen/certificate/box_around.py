"""The box around a bounded polyhedron, with multipliers that prove it (docs/FORMAT.md, section 3).

The multipliers of the prover's own box are taken for what they nearly are: small fractions,
with which rows cancel exactly, or else numbers of 30 bits. Then something of the other inputs is
left, so little that the side can be moved out beyond it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fractions import Fraction
from math import floor, frexp, isfinite
from typing import Any

from jensen.certificate import checker
from jensen.certificate.checker import Claim, Number, Scaled, text_of
from jensen.domains.working_set import WorkingSet

BITS = 30  # of multipliers that do not cancel exactly
CUT = 1e-10  # relative: multipliers below it are taken for 0
SMALL = 4096  # denominators of those that may
NEAR = 1e-9  # relative distance at which a fraction is tried
SHORT = 128  # bits of a side that is taken as it is
GRAIN_BITS = 24  # of the width, to which other sides are rounded

Multipliers = dict[int, Fraction]  # by row


def box_around(claim: Claim, point: list[Number], working: WorkingSet) -> list[Any] | None:
    """Return sides of all inputs that are free, with multipliers of rows; None without a box.

    Parameters
    ----------
    claim : Claim
        After its rule `interior`.
    point : list of numbers
        Inside the polyhedron.
    working : WorkingSet
        The prover's, of the same polyhedron.
    """
    if working.multipliers is None:
        return None
    outer = [(Fraction(1), Fraction(1))]  # of t and the inputs
    outer += [(Fraction(a), Fraction(b)) for a, b in zip(*map(_floats, working.box), strict=True)]
    box = []
    for key, (form, _) in enumerate(claim.values):
        if key and key in form:
            both = working.multipliers[key - 1].tolist()
            found = [
                _side(claim, outer, key, sign, y) for sign, y in zip((-1, 1), both, strict=True)
            ]
            sides = [text_of(side) for side, _ in found]
            box.append([*sides, *([[i, text_of(v)] for i, v in y.items()] for _, y in found)])
    trial = copy.copy(claim)
    trial.ranges = [*claim.ranges]
    try:
        checker.rule_box(trial, point, box)
    except (checker.Rejected, checker.Malformed):
        return None
    return box


def _floats(side: Any) -> list[float]:
    return [float(v) for v in side]


def _side(
    claim: Claim,
    outer: Sequence[tuple[Fraction, Fraction]],
    key: int,
    sign: int,
    guess: Sequence[float],
) -> tuple[Fraction, Multipliers]:
    """Return a side of the box, and the multipliers that prove it."""
    y = _simple(guess)
    total, factor = _sum(claim, key, sign, y)
    if total.keys() <= {0}:
        side = sign * factor * total.get(0, 0)
        if max(side.numerator.bit_length(), side.denominator.bit_length()) <= SHORT:
            return Fraction(side), y
    low, high = outer[key]
    grain = Fraction(2) ** (frexp(float(high - low))[1] - GRAIN_BITS)
    # over a box of twice its width: what the sides are moved out by does not matter
    most = Fraction(0)
    for k, v in total.items():
        a, b = outer[k]
        most += factor * (v * (b if v > 0 else a) + abs(v) * (b - a))
    return sign * (floor(most / grain) + 2) * grain, y


def _sum(claim: Claim, key: int, sign: int, y: Multipliers) -> Scaled:
    rows = [(claim.rows[i][0], v * claim.rows[i][1]) for i, v in y.items()]
    return checker.mix([({key: sign}, 1), *rows])


def _simple(guess: Sequence[float]) -> Multipliers:
    """Return multipliers next to a guess, short ones where they are near."""
    top = max((y for y in guess if isfinite(y)), default=0.0)
    unit = Fraction(2) ** (frexp(top)[1] - BITS)
    found = {}
    for i, y in enumerate(guess):
        if CUT * top < y <= top:
            exact = Fraction(y)
            short = exact.limit_denominator(SMALL)
            near = abs(short - exact) <= NEAR * exact
            found[i] = short if near else round(exact / unit) * unit
    return found
