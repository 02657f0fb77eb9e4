"""Pairs around the kinks at which f bends down most: short ones, to climb from.

What training leaves of non-convexity lies in needles that ascents from random pairs never meet.
The prover's descents lead along kinks to where J is least, and a short segment around a point
there mostly violates. Nothing found here is a proof.

References
----------
docs/theory.md, sections 6 and 11.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np

from jensen.arithmetic.rational import floats
from jensen.errors import OutOfTimeError
from jensen.groups.prepared import Prepared
from jensen.midpoint.feasible import Feasible
from jensen.prover.descents.descent import FINE, WIDE, Descent
from jensen.prover.joint_engine import joint_boxes
from jensen.types import FloatArray
from jensen_encodings.deadline import Deadline

STARTS, STEPS = 64, 40  # descents of each group, for each schedule
EACH, MOST = 4, 512  # points of a group, and of all
LENGTHS = 64  # segments around each of them
SHORTEST = 1e-3  # of the box
NUMBERS = 2_000_000  # coordinates of all segments: of many inputs fewer points are looked at

Violation = Callable[[FloatArray, FloatArray], FloatArray]


def kink_pairs(
    prepared: Prepared, feasible: Feasible, violation: Violation, seed: int, deadline: Deadline
) -> FloatArray:
    """Return pairs (n, 2, inputs) that violate, as far as doubles tell, the worst ones first.

    Parameters
    ----------
    prepared : Prepared
        A network on a box.
    feasible : Feasible
        Where both points lie.
    violation : callable
        From both ends, each (pairs, inputs), to the violations.
    seed : int
    deadline : Deadline
    """
    rng = np.random.default_rng(seed)
    middles = _low_points(prepared, seed, deadline)
    middles = middles[: max(1, NUMBERS // (2 * LENGTHS * max(1, middles.shape[1])))]
    shape = len(middles), LENGTHS, middles.shape[1]
    sizes = SHORTEST ** rng.random((*shape[:2], 1)) * (feasible.upper - feasible.lower) / 2
    room = np.minimum(middles - feasible.lower, feasible.upper - middles)[:, None]
    moves = np.clip(sizes * rng.normal(size=shape), -room, room)
    # in a polyhedron ends may be moved, each for itself
    ends = np.stack([middles[:, None] + moves, middles[:, None] - moves], axis=2)
    ends = feasible.into(ends.reshape(-1, shape[2])).reshape(*shape[:2], 2, shape[2])
    flat = ends.reshape(-1, 2, shape[2])
    values = violation(flat[:, 0], flat[:, 1]).reshape(shape[:2])
    best = ends[np.arange(len(middles)), values.argmax(axis=1)]
    most = values.max(axis=1)
    order = np.argsort(-most)
    return np.asarray(best[order[most[order] > 0]])


def _low_points(prepared: Prepared, seed: int, deadline: Deadline) -> FloatArray:
    """Return points of the box, (n, inputs), on kinks at which J seems to be negative."""
    nothing = np.empty((0, prepared.network.input_size))
    try:
        net = prepared.grouped
        groups = net.groups()
        boxes = joint_boxes(net) if groups else ()
        if not boxes:
            return nothing
        descent = Descent(net, groups, boxes, seed, deadline)
        found = [
            point
            for schedule in (WIDE, FINE)
            for _, point in islice(descent.lowest(STARTS, STEPS, EACH, schedule, 0.0), MOST)
        ]
    except OutOfTimeError:
        return nothing
    if not found:
        return nothing
    working = prepared.working
    points = np.array(found) @ floats(working.matrix).T + floats(working.offset)
    return np.asarray(points[:, :-1])
