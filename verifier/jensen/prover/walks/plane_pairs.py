"""Where pieces of hyperplanes seem to bend down, and a pair about such a point.

Floating point only proposes: a pair passes the exact check of every counterexample.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.cells.arrangement import Arrangement
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.counterexample import counterexample
from jensen.verdicts.evidence import Counterexample

DISTANCES = np.ldexp(1.0, np.arange(6, -44, -2))  # of the ends of a pair, relative to the point
ASIDE = 2.0**-8
SHARES = np.linspace(0.0, 1.0, 33)  # of a segment
ROUNDS = 6  # of looking closer
TRIED = 4  # pairs that are looked at exactly
GRID = -20  # bits of a distance to which ends are rounded


@dataclass(frozen=True, eq=False)
class Bend:
    """A point near a kink that seems to bend down, and the direction across.

    Attributes
    ----------
    point : array (inputs + 1,)
        Homogeneous.
    across : array (inputs,)
    """

    point: FloatArray
    across: FloatArray


def bend_of_unit(
    found: Arrangement, rows: FloatArray, weight: FloatArray, bias: float, z: FloatArray
) -> Bend | None:
    """Return where a unit of the second level changes its sign between two vertices.

    Parameters
    ----------
    found : Arrangement
    rows : array (first units, coordinates)
    weight : array (first units,)
    bias : float
    z : array (vertices,)
        Of this unit.
    """
    points = found.points
    size = np.maximum(points[-1], np.abs(points).max(axis=0) * (points[-1] == 0))
    points, z = points / size, z / size
    # beside the line between two vertices, which may lie in other kinks
    beside = points @ (ASIDE / np.arange(2.0, points.shape[1] + 2.0))
    start, end = (points[:, at] + beside for at in (int(z.argmin()), int(z.argmax())))
    for _ in range(ROUNDS):
        some = start[:, None] * (1 - SHARES) + end[:, None] * SHARES
        passed = rows @ some
        value = weight @ np.maximum(passed, 0.0) + bias * some[-1]
        at = ((value[:-1] < 0) & (value[1:] > 0)).nonzero()[0]
        if not at.size:
            return None
        start, end = some[:, at[0]], some[:, at[0] + 1]
    on = rows @ end > 0
    return Bend((start + end) / 2, (weight * on) @ rows[:, :-1])


def pair_about(
    network: ReluNetwork, domain: Domain, point: FloatArray, across: FloatArray
) -> Counterexample | None:
    """Return an exact counterexample across a point, if one of a few distances shows it.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    point, across : arrays (inputs,)
    """
    length = float(np.abs(across).max())
    if not (np.isfinite(point).all() and 0 < length < np.inf):
        return None
    distance = DISTANCES * max(float(np.abs(point).max()), 2.0**-100)
    steps = distance[:, None] * (across / length)
    box = domain.box_sides(len(point))
    values = network(np.concatenate([point + steps, point - steps, point[None]]))[:, 0]
    violation = values[-1] - (values[: len(steps)] + values[len(steps) : -1]) / 2
    if box is not None:
        inside = ((point + steps >= box[0]) & (point + steps <= box[1])).all(axis=1)
        inside &= ((point - steps >= box[0]) & (point - steps <= box[1])).all(axis=1)
        violation[~inside] = -np.inf
    for k in (-violation / distance).argsort()[:TRIED].tolist():
        if not violation[k] > 0:
            return None
        grid = np.ldexp(1.0, int(np.frexp(distance[k])[1]) + GRID)
        ends = [np.round(end / grid) * grid for end in (point - steps[k], point + steps[k])]
        x, y = (tuple(map(Fraction, end.tolist())) for end in ends)
        pair = counterexample(network, domain, x, y)
        if pair is not None:
            return pair
    return None
