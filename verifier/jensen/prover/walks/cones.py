"""Three inputs and more without biases: walk planes beside the origin instead of cones around it.

All kinks of such a network meet in the origin, where walks in space and relaxations see nothing.
It is enough to look at planes (docs/theory.md, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from jensen.domains.domain import Domain, Everywhere
from jensen.network.fixing import blocks_on_plane
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.cells import MOST, CellWalk, fits_in_tables
from jensen.prover.walks.plane import walk_kinks
from jensen.prover.walks.walked import Walked
from jensen.types import BoolArray
from jensen.verdicts.counterexample import Point, counterexample
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

SPACE = 3  # inputs that are walked along kinks; more from cell to cell
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


class ConeWalk:
    """As :func:`walk_cones` from cell to cell, in four inputs and more.

    Parameters
    ----------
    network, domain, closed, deadline
        As of :func:`walk_cones`, of a network that :func:`can_walk_cones` takes.

    Attributes
    ----------
    inputs : int
        Dimensions of the planes.
    left : bool
        As for :class:`~jensen.prover.walks.cells.CellWalk`.
    """

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: Mapping[str, BoolArray],
        deadline: Deadline = NEVER,
    ) -> None:
        self._network, self._domain = network, domain
        self.inputs = network.input_size - 1
        self._walks = []
        for index, value in PLANES:
            plane = ReluNetwork(self.inputs, blocks_on_plane(network.blocks, index, value))
            self._walks.append(CellWalk(plane, Everywhere(), closed, deadline))
        self._at = 0
        self.left = True

    @property
    def signs(self) -> int:
        """What it took so far, as for :class:`~jensen.prover.walks.cells.CellWalk`."""
        return sum(walk.signs for walk in self._walks)

    def leave_out(self, neurons: Iterable[tuple[str, int]]) -> None:
        """Look no more at kinks of neurons that something else has closed."""
        every = list(neurons)
        for walk in self._walks:
            walk.leave_out(every)

    def run(self, signs: float = math.inf) -> Walked | None:
        """Search until all planes are closed, or a kink bends down, or for so many more signs."""
        limit = self.signs + signs
        while self.left and self.signs < limit:
            walk = self._walks[self._at]
            walked = walk.run(limit - self.signs)
            if walked is None:
                self.left = walk.left
                return None
            if walked.pair is not None:
                self.left, (index, value) = False, PLANES[self._at]
                inside = self._network, self._domain, walked.pair, index, Fraction(value)
                pair = _brought_inside(*inside)
                return None if pair is None else Walked(proved=False, pair=pair)
            self._at += 1
            if self._at == len(PLANES):
                self.left = False
                return Walked(proved=True)
        return None


def can_walk_cones(network: ReluNetwork, domain: Domain) -> bool:
    """Whether a network and a domain are of the kind that :class:`ConeWalk` takes."""
    inputs = network.input_size
    if not (SPACE < inputs <= MOST + 1 and network.hidden and network.hidden[0].is_relu):
        return False
    return fits_in_tables(network) and is_cone_question(network, domain)


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
