"""The lines of a certificate where the prover has gone along straight kinks (docs/FORMAT.md).

The checker goes along the same lines in exact numbers, so that nothing is computed here.
What was proved is that J >= 0 all along the kink of each neuron that is named, whatever state
a neuron has that vanishes there, and under every pattern for all others. That is what the
rules `walk` and `path_signs` ask for: J of a unit of several neurons is the sum of theirs.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from jensen.certificate.convex_writer import Claimed
from jensen.groups.prepared import prepare
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.signs import closed_neurons
from jensen.types import Neurons

MUCH = 30_000  # neurons, squared, times walks: 20 ms of the checker's


def costs_much(network: ReluNetwork, walked: Neurons) -> bool:
    """Whether walks cost the checker so much that shorter proofs are worth a look."""
    return len(walked) * network.relu_count**2 > MUCH


def walked_lines(network: ReluNetwork, walked: Neurons) -> list[Any]:
    """Return the lines that follow the claim, and the point inside a polyhedron.

    Parameters
    ----------
    network : ReluNetwork
        Of two inputs, on a box of two sides, or a cone: R^2, a polyhedron with interior.
    walked : tuple of (block name, index)
        Neurons that read the inputs alone.
    """
    lines: list[Any] = [["bounds", []], ["path_signs"]]
    for neuron in _without_twins(network, walked):
        lines += [["tree", *neuron], ["walk"]]
    return lines


def _without_twins(network: ReluNetwork, neurons: Neurons) -> Neurons:
    """Leave out neurons whose kink is that of one before them."""
    found: dict[tuple[Fraction, ...], tuple[str, int]] = {}
    for block, index in neurons:
        row = [*network[block].weights[INPUT][index], network[block].bias[index]]
        exact = [Fraction(float(v)) for v in row]
        lead = next(v for v in exact if v)
        found.setdefault(tuple(v / lead for v in exact), (block, index))
    return tuple(found.values())


def signs_do(claimed: Claimed) -> bool:
    """Whether signs close all groups, as far as doubles tell, since some neurons never cross."""
    if claimed.domain.has_rows:
        return False  # a walk over its cone needs no box around it
    prepared = prepare(
        claimed.network, claimed.domain, output=claimed.output, concave=claimed.concave
    )
    return all(closed.all() for closed in closed_neurons(prepared).values())
