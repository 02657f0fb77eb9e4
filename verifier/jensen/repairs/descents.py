"""Points on kinks that bend down, found by the prover's descents (docs/theory.md, section 11)."""

from __future__ import annotations

from itertools import islice

import numpy as np

from jensen.arithmetic.rational import floats
from jensen.domains.base import Domain
from jensen.domains.cone_segments import NEAREST
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descent import Descent
from jensen.prover.joint_engine import joint_boxes
from jensen.types import FloatArray
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
    prepared = prepare(network, domain)
    none = np.empty((0, network.input_size))
    boxes = joint_boxes(prepared.grouped)
    if not boxes:
        return none
    descent = Descent(prepared.grouped, prepared.grouped.groups(), boxes, seed, deadline)
    found = [point for _, point in islice(descent.candidates(starts, STEPS), MOST)]
    if not found:
        return none
    working = prepared.working
    cone = np.array(found) @ floats(working.matrix).T + floats(working.offset)
    cone = cone[cone[:, -1] > NEAREST]
    points: FloatArray = cone[:, :-1] / cone[:, -1:]
    return points
