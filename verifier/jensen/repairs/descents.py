"""Points on kinks that bend down, found by the prover's descents (docs/theory.md, section 11)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from jensen.arithmetic.rational import floats
from jensen.domains.base import Domain
from jensen.domains.cone_segments import NEAREST
from jensen.errors import OutOfTimeError
from jensen.groups.prepared import Prepared, prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.descent import Descent
from jensen.prover.joint_engine import joint_boxes
from jensen.types import FloatArray, Unit
from jensen_encodings.deadline import NEVER, Deadline

STEPS = 40
MOST = 512  # points that are looked at, those of the lowest J first


def descended(
    network: ReluNetwork, domain: Domain, starts: int, seed: int, deadline: Deadline = NEVER
) -> FloatArray:
    """Return points of a domain, (n, inputs), near kinks at which the network seems to bend down.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    starts : int
        Descents along the kink of each group.
    seed : int
    deadline : Deadline
    """
    prepared = prepare(network, domain, deadline=deadline)
    try:
        descent = _descent(prepared, seed, deadline)
    except OutOfTimeError:
        descent = None
    if descent is None:
        return np.empty((0, network.input_size))
    cone = _in_cone(prepared, islice(descent.candidates(starts, STEPS), MOST))
    points: FloatArray = cone[:, :-1] / cone[:, -1:]
    return points


def lowest_points(
    network: ReluNetwork, domain: Domain, starts: int, each: int, seed: int
) -> FloatArray:
    """Return points of a domain's cone, (n, inputs + 1), on kinks, where J is small.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    starts : int
        Descents along the kink of each group.
    each : int
        Points of each group at most, whatever the sign of J there.
    seed : int
    """
    prepared = prepare(network, domain)
    descent = _descent(prepared, seed, NEVER)
    if descent is None:
        return np.empty((0, network.input_size + 1))
    return _in_cone(prepared, descent.lowest(starts, STEPS, each))


def _descent(prepared: Prepared, seed: int, deadline: Deadline) -> Descent | None:
    """Return descents of all groups; None where there are none, or no boxes to start in."""
    groups = prepared.grouped.groups()
    boxes = joint_boxes(prepared.grouped) if groups and prepared.working.dim else ()
    if not boxes:
        return None
    return Descent(prepared.grouped, groups, boxes, seed, deadline)


def _in_cone(prepared: Prepared, found: Iterable[tuple[Unit, FloatArray]]) -> FloatArray:
    """Return points ``(x, t)`` of the cone, without those that are too far out."""
    working = prepared.working
    points = [point for _, point in found]
    if not points:
        return np.empty((0, prepared.network.input_size + 1))
    cone: FloatArray = np.array(points) @ floats(working.matrix).T + floats(working.offset)
    return cone[cone[:, -1] > NEAREST]
