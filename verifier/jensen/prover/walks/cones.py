"""Three inputs without biases: walk planes beside the origin instead of cones around it.

All kinks of such a network meet in the origin, where walks in space and relaxations see nothing.
It is enough to look at planes (docs/theory.md, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from jensen.domains.domain import Domain, Everywhere
from jensen.network.fixing import blocks_on_plane
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.walked import Walked
from jensen.types import BoolArray
from jensen.verdicts.counterexample import Point, counterexample
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

PLANES = ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0))  # input and value; two inputs are enough
HALVINGS = 1100  # of a pair, until it is in a domain around the origin: doubles end before


def is_cone_question(network: ReluNetwork, domain: Domain) -> bool:
    """Whether no hidden neuron has a bias, and the origin is inside the domain.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    """
    if any(block.bias.any() for block in network.hidden):
        return False
    return bool((domain.inequalities(network.input_size)[1] > 0).all())


def walk_cones(
    network: ReluNetwork,
    domain: Domain,
    closed: Mapping[str, BoolArray],
    deadline: Deadline = NEVER,
) -> Walked | None:
    """Decide convexity in three inputs where :func:`is_cone_question`.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    closed : mapping from block name to bool array (size,)
        Neurons whose J is known to be >= 0 under every pattern.
    deadline : Deadline

    Returns
    -------
    Walked or None
        None if a plane was too degenerate or too large.

    References
    ----------
    docs/theory.md, section 4: few inputs.
    """
    for index, value in PLANES:
        plane = ReluNetwork(2, blocks_on_plane(network.blocks, index, value))
        walked = walk_kinks(plane, Everywhere(), closed, deadline)
        if walked is None:
            return None
        if walked.pair is not None:
            pair = _brought_inside(network, domain, walked.pair, index, Fraction(value))
            return None if pair is None else Walked(proved=False, pair=pair)
    return Walked(proved=True)


def _brought_inside(
    network: ReluNetwork, domain: Domain, pair: Counterexample, index: int, value: Fraction
) -> Counterexample | None:
    """Return the pair of a plane as one of the network, so close to the origin as need be."""
    x, y = _lifted(pair.x, index, value), _lifted(pair.y, index, value)
    for _ in range(HALVINGS):
        if domain.contains(x) and domain.contains(y):
            return counterexample(network, domain, x, y, pair.neuron)
        x, y = tuple(v / 2 for v in x), tuple(v / 2 for v in y)
    return None


def _lifted(point: Point, index: int, value: Fraction) -> Point:
    """Return a point of a plane with the input that is fixed there."""
    return (*point[:index], value, *point[index:])
