"""Three inputs: domains of so many vertices that they are walked in parts, which overlap.

A function that is convex on all parts is convex on the domain, as every point inside the domain
is inside a part (docs/theory/walks.md, the complex in space).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.cells.start import dense
from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.walks.solid import SOLID_LIMIT, TooLargeError, most_signs, walk_surfaces_within
from jensen.prover.walks.walked import Walked
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import NEVER, Deadline

SPACE = 3  # inputs
PART = 1e7  # signs of a part, as far as a sample says: 0.2 GB
MOST = 4  # times as many in one that cannot be parted
TRIPLES = 1 << 9  # of planes whose common points are a sample, at first
MOST_TRIPLES = 1 << 14
ENOUGH = 64  # of these points inside a domain that say how many there are, and where to part it
FEWEST = 8  # by which it can be parted
PARALLEL = 1e-12  # determinant of planes of largest slope 1 that meet in no point, or far away
LEVELS, DEEPER = 2, 4.0  # levels; times as many signs for each one more
LARGEST = 0.75  # share of the points in one of two parts: else they meet in a few places
OVERLAP = 2.0**-8  # of the middle half of the points on each side


def is_large(network: ReluNetwork) -> bool:
    """Whether one walk through all of a domain may hold too many signs."""
    return most_signs(network) > SOLID_LIMIT or len(network.hidden) > LEVELS


def expected_signs(network: ReluNetwork, domain: Domain) -> float:
    """Return about how many signs a walk through a domain takes, told by common points of planes.

    Parameters
    ----------
    network : ReluNetwork
        Of three inputs.
    domain : Domain
    """
    planes = _planes(network)
    return _expected(network, planes, _points_inside(planes, domain)[1])


def walk_in_parts(
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> Walked | None:
    """As :func:`~jensen.prover.walks.solid.walk_surfaces`, in the memory of one part."""
    planes, left = _planes(network), [domain]
    while left:
        part = left.pop()
        points, share = _points_inside(planes, part)
        expected = _expected(network, planes, share)
        parts = _parted(part, points) if expected > PART else None
        if parts is None and expected <= MOST * PART:
            try:
                walked = walk_surfaces_within(2 * PART, network, part, closed, deadline)
            except TooLargeError:
                parts = _parted(part, points)
            else:
                if walked is None or walked.pair is not None:
                    return walked
                continue
        if parts is None or deadline.over():
            return None
        left += parts
    return Walked(proved=True)


def _planes(network: ReluNetwork) -> FloatArray:
    """Return planes (planes, inputs + 1) of units that read inputs alone, of largest slope 1."""
    blocks = [block for block in network.hidden if set(block.weights) == {INPUT}]
    parts = [np.column_stack([dense(block.weights[INPUT]), block.bias]) for block in blocks]
    rows = np.concatenate(parts) if parts else np.empty((0, SPACE + 1))
    steepest = np.abs(rows[:, :SPACE]).max(axis=1, initial=0.0)
    with np.errstate(all="ignore"):
        planes: FloatArray = rows[steepest > 0] / steepest[steepest > 0, None]
    return planes


def _expected(network: ReluNetwork, planes: FloatArray, share: float) -> float:
    inside = len(planes) * share ** (1 / 3)  # so many planes have as many points
    points = inside**3 / 6 + inside**2
    edges: float = 3 * points
    return edges * network.relu_count * DEEPER ** max(0, len(network.hidden) - LEVELS)


@np.errstate(all="ignore")
def _points_inside(planes: FloatArray, domain: Domain) -> tuple[FloatArray, float]:
    """Return common points of planes inside a domain (n, 3), and their share of all."""
    if len(planes) < SPACE:
        return np.empty((0, SPACE)), 0.0
    rng = np.random.default_rng(len(planes))
    A, b = domain.inequalities(SPACE)
    sides = domain.box_sides(SPACE)
    lower, upper = sides if sides is not None else (-np.inf, np.inf)
    inside, count, drawn = [np.empty((0, SPACE))], 0, 0
    while count < ENOUGH and drawn < MOST_TRIPLES:
        some = planes[rng.integers(0, len(planes), (max(TRIPLES, drawn), SPACE))]
        drawn += len(some)
        points = _common(some)
        kept = ((points >= lower) & (points <= upper)).all(axis=1)
        kept &= (points @ A.T <= b).all(axis=1)
        inside.append(points[kept])
        count += int(np.count_nonzero(kept))
    return np.concatenate(inside), count / drawn


def _common(planes: FloatArray) -> FloatArray:
    """Return the common points of planes (n, 3, 4), NaN where there is not one."""
    normals, offsets = planes[..., :SPACE], planes[..., SPACE:]
    single = np.abs(np.linalg.det(normals)) > PARALLEL
    points = np.full(planes.shape[:2], np.nan)
    points[single] = np.linalg.solve(normals[single], -offsets[single])[..., 0]
    return points


def _parted(domain: Domain, points: FloatArray) -> list[Domain] | None:
    """Return two parts of a domain with about half of the points each, which overlap, or None."""
    if len(points) < FEWEST:
        return None
    low, middle, high = np.quantile(points, [0.25, 0.5, 0.75], axis=0)
    axis = int(np.argmax(high - low))
    step = OVERLAP * float(high[axis] - low[axis])
    below, above = float(middle[axis]) + step, float(middle[axis]) - step
    along = points[:, axis]
    most = max(np.count_nonzero(along <= below), np.count_nonzero(along >= above))
    if not above < below or most > LARGEST * len(points):
        return None
    box = domain.box_sides(SPACE)
    if box is not None:
        lower, upper = (np.array(side) for side in box)
        if not lower[axis] < above < below < upper[axis]:
            return None
        ends = np.arange(SPACE) == axis
        return [
            Box(lower, np.where(ends, below, upper)),
            Box(np.where(ends, above, lower), upper),
        ]
    A, b = domain.inequalities(SPACE)
    row = np.eye(SPACE)[axis]
    return [
        Polyhedron(np.vstack([A, row]), np.append(b, below)),
        Polyhedron(np.vstack([A, -row]), np.append(b, -above)),
    ]
