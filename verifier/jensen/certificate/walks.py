"""Certificates of few inputs that leave kinks to the checker's own walk (docs/FORMAT.md).

The checker goes along all kinks in exact numbers, and finds that a function bends upwards there
wherever it does. So nothing is computed again, and nothing is written but the word; only what it
costs the checker speaks for other rules.
"""

from __future__ import annotations

from typing import Any

from jensen.certificate.convex_writer import Claimed
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.closed import closed_neurons

LINES: list[Any] = [["bounds", []], ["path_signs"], ["walk"]]
SPACE = 3  # inputs
# neurons, squared, times walks: 20 ms of the checker's in a plane, 0.1 s in space; and 10 ms
# in networks of so few levels that trees have few leaves
MUCH, SHALLOW, LEVELS = 30_000, 3_000, 2


def costs_much(network: ReluNetwork, walked: int) -> bool:
    """Whether walks cost the checker so much that other proofs are worth a look."""
    shallow = network.input_size == SPACE and len(network.hidden) <= LEVELS
    return walked * network.relu_count**2 > (SHALLOW if shallow else MUCH)


def signs_do(claimed: Claimed) -> bool:
    """Whether signs close all groups, as far as doubles tell, since some neurons never cross."""
    if claimed.domain.has_rows:
        return False  # a walk over its cone needs no box around it
    prepared = prepare(
        claimed.network, claimed.domain, output=claimed.output, concave=claimed.concave
    )
    return all(closed.all() for closed in closed_neurons(prepared).values())
