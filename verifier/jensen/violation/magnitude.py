"""How large a violation is, compared with its length and with the range of f.

A midpoint violation of 0.01 is much where f varies by 0.1, and nothing where it varies by
1000. Everything here is proved: values are exact, the range of f is enclosed from both sides.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.arithmetic.exact import root_to_double, to_double
from jensen.arithmetic.intervals import round_down
from jensen.domains.domain import Domain
from jensen.groups.prepared import Prepared, prepare
from jensen.midpoint.ranges import THOROUGH, tightened
from jensen.midpoint.search import in_range
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen_encodings import UnboundedNeuronError
from jensen_encodings.deadline import NEVER, Deadline

SAMPLES = 4096
WORK = 4e8  # multiply-adds: large networks are looked at in fewer points
NUMBERS = 1_000_000  # coordinates of the points that are looked at together
CORNERS = 10  # up to so many inputs all corners of a box are looked at
MOVES = 2  # single inputs that are moved at a time, as multiples of the points before
CLIMBS = 4  # rounds of moving single inputs to the ends of their sides
RANGE_SECONDS = 0.5  # for values of f, and again for its bounds


@dataclass(frozen=True)
class Range:
    """The range of f on a box, from both sides.

    Attributes
    ----------
    attained : (lower, upper)
        Exact values of f at points of the box, rounded to the nearest doubles.
    proved : (lower, upper)
        Proved bounds of f on the box.
    widths : (least, most)
        Proved bounds of the range's width: between attained values, between bounds.
    """

    attained: tuple[float, float]
    proved: tuple[float, float]
    widths: tuple[float, float]


@dataclass(frozen=True)
class Magnitude:
    """What a person needs to judge a violation.

    Attributes
    ----------
    at_x, at_y, at_middle : float
        f at the pair's ends and in its middle, exact values rounded to the nearest double.
    distance : float
        ``|x - y|``, Euclidean.
    per_distance : float or None
        The pair's exact violation divided by its length; None for equal points.
    range : Range or None
        Of f on the box; None on unbounded domains.
    share : (lower, upper) or None
        The worst violation as a share of the range's width lies in this interval: the proved
        lower bound over the largest width, the proved upper one over the smallest; never
        more than 1.
    """

    at_x: float
    at_y: float
    at_middle: float
    distance: float
    per_distance: float | None
    range: Range | None
    share: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "f_x": self.at_x,
            "f_y": self.at_y,
            "f_middle": self.at_middle,
            "distance": self.distance,
            "violation_per_distance": self.per_distance,
            "range_attained": None if self.range is None else list(self.range.attained),
            "range_proved": None if self.range is None else list(self.range.proved),
            "share_of_range": None if self.share is None else list(self.share),
        }


@np.errstate(over="ignore", invalid="ignore")  # values beyond the doubles
def magnitude(
    network: ReluNetwork,
    domain: Domain,
    x: Point,
    y: Point,
    bounds: tuple[float, float],
    *,
    output: int = 0,
    concave: bool = False,
    seed: int = 0,
    deadline: Deadline = NEVER,
) -> Magnitude:
    """Compare a violation with the length of its pair and with the range of f.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
        The range is given on a box.
    x, y : tuples of Fraction, length inputs
        The pair that shows the violation.
    bounds : (lower, upper)
        Proved bounds of the worst midpoint violation.
    output : int
        Which output is f.
    concave : bool
        The violation is that of ``-f``.
    seed : int
        Of the points at which f is looked at.
    deadline : Deadline
        For the range of f, as of :func:`value_range`.
    """
    scalar = network.select_output(output)
    middle = tuple((a + b) / 2 for a, b in zip(x, y, strict=True))
    (at_x,), (at_y,), (at_middle,) = (scalar.exact(point) for point in (x, y, middle))
    squared = sum(((a - b) ** 2 for a, b in zip(x, y, strict=True)), Fraction(0))
    violation = (at_middle - (at_x + at_y) / 2) * (-1 if concave else 1)
    found, share = None, None
    if domain.box_sides(scalar.input_size) is not None:
        extra = at_x, at_y, at_middle
        found = value_range(scalar, domain, extra=extra, seed=seed, deadline=deadline)
        narrow, wide = found.widths
        if narrow > 0 and math.isfinite(wide):
            share = (
                max(0.0, math.nextafter(bounds[0] / wide, -math.inf)),
                min(1.0, _above(bounds[1], narrow)),
            )
    return Magnitude(
        to_double(at_x),
        to_double(at_y),
        to_double(at_middle),
        root_to_double(squared),
        None if not squared else _signed_root(violation, squared),
        found,
        share,
    )


def value_range(
    network: ReluNetwork,
    domain: Domain,
    *,
    extra: Iterable[Fraction] = (),
    seed: int = 0,
    deadline: Deadline = NEVER,
) -> Range:
    """Enclose the range of a scalar network on a box from both sides.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
        A box.
    extra : iterable of Fraction
        Values of f that are known to be attained.
    seed : int
    deadline : Deadline
        Half of what is left until then is for each side, at most half a second.
    """
    prepared = prepare(network, domain, deadline=deadline)
    extremes = _extremes(network, *prepared.box, seed, deadline.share(0.5).within(RANGE_SECONDS))
    ends = [network.exact(point.tolist())[0] for point in extremes]
    values = [*ends, *extra]
    below, above = _bounds(prepared, deadline.within(RANGE_SECONDS))
    least, most = min(values), max(values)
    return Range(
        (to_double(least), to_double(most)),
        (below, above),
        (round_down(most - least), math.nextafter(above - below, math.inf)),
    )


def proved_range(
    network: ReluNetwork, domain: Domain, deadline: Deadline = NEVER
) -> tuple[float, float]:
    """Enclose the range of a scalar network on a box from outside.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
        A box.
    deadline : Deadline
    """
    prepared = prepare(network, domain, deadline=deadline)
    return _bounds(prepared, deadline.within(RANGE_SECONDS))


def _bounds(prepared: Prepared, deadline: Deadline) -> tuple[float, float]:
    """Return proved bounds of f on a box, by a short search where that is possible."""
    try:
        data = prepared.data
    except UnboundedNeuronError:
        below, above = prepared.bounds["output"]
        return float(below[0]), float(above[0])
    if in_range(data) and not deadline.over():
        data = tightened(data, THOROUGH, deadline)
    return float(data.output.lower[0]), float(data.output.upper[0])


def _extremes(
    network: ReluNetwork, lower: FloatArray, upper: FloatArray, seed: int, deadline: Deadline
) -> list[FloatArray]:
    """Return points of the box where f seems to be least and largest."""
    rng = np.random.default_rng(seed)
    size = network.input_size
    most = max(1, NUMBERS // size)  # points at a time
    count = int(np.clip(WORK / max(1, network.parameter_count), 16, min(SAMPLES, max(16, most))))
    shares = rng.random((count, size))
    shares[count // 2 :] = np.round(shares[count // 2 :])
    if size <= CORNERS:
        shares = np.vstack([shares, list(itertools.product((0.0, 1.0), repeat=size))])
    points = np.clip(lower * (1 - shares) + upper * shares, lower, upper)
    values = network(points)[:, 0]
    found = []
    for sign in (1.0, -1.0):
        best = points[int(np.argmin(sign * values))]
        for _ in range(CLIMBS):
            if deadline.over():
                break
            # all of them, unless they are many or the network is large
            inputs = rng.permutation(size)[: max(1, min(most, MOVES * count) // 2)]
            moved = np.repeat(best[None], 2 * len(inputs) + 1, axis=0)
            moved[np.arange(1, len(inputs) + 1), inputs] = lower[inputs]
            moved[np.arange(len(inputs) + 1, len(moved)), inputs] = upper[inputs]
            best = moved[int(np.argmin(sign * network(moved)[:, 0]))]
        found.append(best)
    return found


def _above(part: float, whole: float) -> float:
    """Return a double that ``part / whole`` is not above; 0 of anything is 0."""
    return math.nextafter(part / whole, math.inf) if part else 0.0


def _signed_root(violation: Fraction, squared: Fraction) -> float:
    root = root_to_double(violation**2 / squared)
    return root if violation >= 0 else -root  # a violation may be larger than any double
