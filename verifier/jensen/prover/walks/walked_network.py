"""A network and its domain as walks see them: levels of units, and which of them need a look."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jensen.cells.layers import layers_of_network
from jensen.cells.start import coordinate_scale, domain_rows
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork
from jensen.prover.walks.across import PairFinder
from jensen.types import BoolArray, FloatArray, IndexArray


class WalkedNetwork:
    """A network of up to three inputs on a domain, in coordinates of size about 1.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    closed : mapping from block name to bool array (size,)
        Neurons whose J is known to be >= 0 under every pattern.

    Attributes
    ----------
    scale : array (inputs,)
        The coordinates are ``x / scale``.
    rows : int
        Units of the level that stands for the domain's rows, before the network's own.
    first : int
        The network's own first level.
    layers : Layers
    closed : bool array (units,)
        Units whose kinks bend down nowhere.
    pairs : PairFinder
    """

    def __init__(
        self, network: ReluNetwork, domain: Domain, closed: Mapping[str, BoolArray]
    ) -> None:
        self.scale = coordinate_scale(network, domain)
        rows = domain_rows(domain, self.scale)
        self.rows = 0 if rows is None else rows.size
        self.first = 0 if rows is None else 1
        self.layers = layers_of_network(network, self.scale, rows)
        self.pairs = PairFinder(network, domain, self.layers, self.scale, self.first)
        own = [closed[block.name] | (not block.is_relu) for block in network.hidden]
        self.closed: BoolArray = np.concatenate([np.ones(self.rows, dtype=bool), *own])

    @property
    def can_be_walked(self) -> bool:
        """Whether there is a kink, and no number is so small or large that signs are lost."""
        return self.layers.usable and len(self.layers.hidden) > self.first

    def last_weights(self) -> FloatArray:
        """Return the weights with which the output reads the last level's units."""
        last = self.layers.hidden[-1]
        for read in self.layers.layers[-1].reads:
            if read.level == last:
                weights: FloatArray = read.weights[0]
                return weights
        return np.zeros(self.layers.layers[last].size)

    def bending(self) -> IndexArray:
        """Return the units of the last level whose kinks bend down wherever they are."""
        last = self.layers.layers[self.layers.hidden[-1]]
        return np.flatnonzero((self.last_weights() < 0) & last.kink)

    def asked_at(self, level: int, bending: IndexArray) -> BoolArray | None:
        """Return the units of a level that a cut is needed for; None for all.

        Where no kink of the last level bends down, those of the level before it that need no
        look are left out.
        """
        before_last = level == self.layers.hidden[-1] - 1 and level >= self.first
        if not before_last or len(bending):
            return None
        return ~self.closed[self.layers.span(level)]
