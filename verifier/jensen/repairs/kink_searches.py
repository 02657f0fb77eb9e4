"""All kinks of a network under one choice of output weights after another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from jensen.domains.base import Domain
from jensen.errors import OutOfTimeError
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.joint.search import bounded_pieces
from jensen.prover.joint_engine import joint_boxes
from jensen.repairs.features import Features
from jensen.repairs.kink_search import KinkSearch
from jensen.repairs.output_slopes import OutputSlopes
from jensen.types import FloatArray
from jensen.verdicts.crossing import Crossing
from jensen_encodings.deadline import NEVER, Deadline


@dataclass(frozen=True)
class Sweep:
    """What one look at all kinks found.

    Attributes
    ----------
    crossings : list of Crossing
        Facets that bend down, at most one of each kink.
    open : int
        Nodes that were left open.
    """

    crossings: list[Crossing]
    open: int


class KinkSearches:
    """A search for every group; see :class:`~jensen.repairs.kink_search.KinkSearch`.

    Parameters
    ----------
    features : Features
    domain : Domain
    deadline : Deadline
        Kinks whose searches are not set up by then are not looked at.
    """

    def __init__(self, features: Features, domain: Domain, deadline: Deadline = NEVER) -> None:
        self._features = features
        # no weight is 0, so that no unit is left out
        everything = features.with_weights(np.ones(len(features.weights)))
        self._searches: list[KinkSearch] = []
        try:
            grouped = prepare(everything, domain, deadline=deadline).grouped
            slopes = OutputSlopes(features, grouped)
            pieces = bounded_pieces(grouped, joint_boxes(grouped), deadline.over)
        except OutOfTimeError:
            return
        groups = grouped.groups() if pieces and slopes.on else []
        for group in groups:
            if not deadline.over():
                self._searches.append(KinkSearch(grouped, group, pieces, slopes))

    @property
    def nodes(self) -> int:
        """How many programs were solved so far."""
        return sum(search.nodes for search in self._searches)

    def sweep(self, weights: FloatArray, budget: int, deadline: Deadline) -> Sweep:
        """Look at every kink under some output weights.

        Parameters
        ----------
        weights : array (units,), or (units + 1,) with the output's bias behind them
        budget : int
            Programs per kink at most.
        deadline : Deadline
        """

        @cache
        def network() -> ReluNetwork:
            return self._features.with_weights(weights)

        units = weights[: len(self._features.weights)]
        found: list[Crossing] = []
        left = 0
        for search in self._searches:
            if deadline.over():
                break
            crossing, still_open = search.run(units, network, budget, deadline)
            left += still_open
            if crossing is not None:
                found.append(crossing)
        return Sweep(found, left)
