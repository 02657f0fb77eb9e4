"""The pair that a picture of a nonconvex model shows: the worst one that a short search finds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.arithmetic.exact import to_double
from jensen.arithmetic.intervals import round_down
from jensen.batch.case import Case
from jensen.domains.domain import Domain
from jensen.errors import JensenError
from jensen.graphs.function_graph import FunctionGraph
from jensen.midpoint import worst_pair as midpoint
from jensen.midpoint.pair_violation import UNBOUNDED, Violation
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen.violation.jump_violation import JumpViolation
from jensen.violation.recession import everywhere_violation, growth_rate
from jensen.violation.worst_jump import worst_jump
from jensen_encodings import EncodingError

SECONDS = 1.0  # per model
GAP = 0.01  # between the bounds: pictures need no more
DIGITS = 5
REFUTING = "Refuting pair"
UNKNOWN_ELSEWHERE = "by how much other pairs do is not known."


@dataclass(frozen=True)
class ShownPair:
    """Two points, and what is proved about them.

    Attributes
    ----------
    name : str
        For a heading; :data:`REFUTING` where it is the pair of the verdict.
    ends : array of shape (2, inputs)
    caption : str
    bounds : str
        Both proved bounds of what was measured; empty where nothing was.
    """

    name: str
    ends: FloatArray
    caption: str
    bounds: str = ""


def shown_pair(
    network: ReluNetwork | FunctionGraph,
    case: Case,
    pair: dict[str, Any],
    *,
    time_limit: float = SECONDS,
) -> ShownPair:
    """Seek the worst pair of a case's domain, from the pair that refuted it.

    On a polyhedron, where the midpoint violation is not bounded, the worst facet is sought.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
        With one output.
    case : Case
    pair : mapping
        The counterexample of its row.
    time_limit : float
        Seconds for the search; 0 for none.
    """
    ends = np.array([pair["x_float"], pair["y_float"]])
    claim = "concavity" if case.options.concave else "convexity"
    if case.options.inputs is not None:
        text = f"The pair that refutes {claim} in the inputs chosen; worse ones are not sought."
        return ShownPair(REFUTING, ends, text)
    if time_limit <= 0 or isinstance(network, FunctionGraph):
        return ShownPair(REFUTING, ends, f"The pair that refutes {claim}.")
    measured = network.negated() if case.options.concave else network
    limits: dict[str, Any] = {"time_limit": time_limit, "gap": GAP, "seed": 0}
    try:
        if case.domain.has_rows:
            return _facet(worst_jump(measured, case.domain, **limits), ends, claim)
        if case.domain.box_sides(measured.input_size) is not None:
            start = _fractions(ends[0]), _fractions(ends[1])
            found = midpoint.worst_pair(measured, case.domain, start=start, **limits)
        else:
            found = everywhere_violation(measured, **limits)
    except (JensenError, EncodingError, OverflowError) as error:
        cause = "values beyond the doubles" if isinstance(error, OverflowError) else error
        text = f"The pair that refutes {claim}; the search for a worse one failed: {cause}"
        return ShownPair(REFUTING, ends, text)
    _pass_on_interrupt(found)
    if found.status == UNBOUNDED:
        return _unbounded(found, growth_rate(measured, found.x, found.y), claim)
    return _worst(found, case.domain, ends, pair["violation_float"], claim)


def _pass_on_interrupt(found: Violation | JumpViolation) -> None:
    """Stop where the search kept Ctrl-C to itself."""
    if found.status == "interrupted":
        raise KeyboardInterrupt


def _worst(
    found: Violation, domain: Domain, refuting: FloatArray, violation: float, claim: str
) -> ShownPair:
    # the refuting pair's own violation was rounded to the nearest double
    low = _down(max(found.lower, math.nextafter(violation, 0.0)))
    others, bounds = UNKNOWN_ELSEWHERE, f"{low} ≤ worst violation"
    if math.isfinite(found.upper):
        high = _up(max(found.upper, math.nextafter(violation, math.inf)))
        others = f"no pair of {domain.place} violates it by more than {high}."
        bounds += f" ≤ {high}"
    if to_double(found.exact_lower) > violation:
        text = f"The worst pair found violates {claim} by at least {low}; {others}"
        return ShownPair("Worst pair", _ends(found.x, found.y), text, bounds)
    text = (
        f"No worse pair was found than the one that refutes {claim}, which violates it by at "
        f"least {low}; {others}"
    )
    return ShownPair(REFUTING, refuting, text, bounds)


def _unbounded(found: Violation, rate: Fraction, claim: str) -> ShownPair:
    text = (
        f"Violations of {claim} grow without bound on R^n, so there is no worst pair. This one "
        f"violates it by at least {_down(found.lower)}; the pair (s x, s y) does by at least "
        f"{_down(round_down(rate))} s less a constant."
    )
    bounds = "the worst violation is unbounded"
    return ShownPair("Violations without bound", _ends(found.x, found.y), text, bounds)


def _facet(found: JumpViolation, refuting: FloatArray, claim: str) -> ShownPair:
    _pass_on_interrupt(found)
    fall, falls = ("fall", "falls") if claim == "convexity" else ("rise", "rises")
    low = _down(found.lower)
    others = f"how much it {falls} across others is not known."
    bounds = f"{low} ≤ worst gradient jump"
    if math.isfinite(found.upper):
        high = _up(found.upper)
        others = f"across no facet of the polyhedron does it {fall} by more than {high}."
        bounds += f" ≤ {high}"
    if found.point is None:
        text = f"The pair that refutes {claim}: the gradient {falls} between x and y; {others}"
        return ShownPair(REFUTING, refuting, text, bounds)
    text = f"Across the worst facet found, between x and y, the gradient {falls} by at least {low}"
    return ShownPair("Worst facet", _ends(found.x, found.y), f"{text}; {others}", bounds)


def _ends(x: Point, y: Point) -> FloatArray:
    """Return a pair as doubles, the one further left first."""
    return np.array([[to_double(v) for v in end] for end in sorted((x, y))])


def _fractions(values: Iterable[float]) -> Point:
    return tuple(Fraction(float(v)) for v in values)


def _down(value: float) -> str:
    return _rounded(value, ROUND_FLOOR)


def _up(value: float) -> str:
    return _rounded(value, ROUND_CEILING)


def _rounded(value: float, rounding: str) -> str:
    """Write a number with few digits, on the side where it stays a bound."""
    bound = Context(prec=DIGITS, rounding=rounding).create_decimal(Decimal(value)).normalize()
    return f"{bound:f}" if value == 0 or 1e-4 <= value < 10**DIGITS else f"{bound:g}"
