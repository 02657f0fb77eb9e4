"""The trees that bound the worst pair, one after another, with the same programs.

First come the pairs whose midpoint lies on a facet that bends down, which bound all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.twin_groups import Twins
from jensen.midpoint.bad_facets import bad_facets
from jensen.midpoint.centred import centred_roots, excess, groups_that_bend
from jensen.midpoint.columns import pair_columns
from jensen.midpoint.cuts import root_cuts
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.linked import (
    PAIR,
    PAIR_WEIGHTS,
    LinkedNetwork,
    Objective,
    SafeDual,
)
from jensen.midpoint.raised import Neuron, Raised, convexity_row
from jensen.midpoint.relaxation import LinearRelaxation, Relaxation
from jensen.midpoint.roots import Roots
from jensen.midpoint.subgradient import SubgradientRelaxation
from jensen.midpoint.tree import Incumbent, SignTree, TreeOptions
from jensen_encodings import NetworkData
from jensen_encodings.highs import Progress

LP_NEURONS = 250  # free neurons beyond which a linear program per node takes too long
TOGETHER = 16  # nodes that are branched on at a time
SMALL_NEURONS = 64  # beyond which programs take much longer than what is around them
FIRST_SHARE = 0.2  # of the time that is left, for ranges, and again for cuts
FACETS_SHARE = 0.3  # of the time that is left, for facets that bend down
CENTRED_SHARE = 0.6  # and for pairs around them
CENTRED_NODES = 50_000


@dataclass(frozen=True, eq=False)
class Programs:
    """What trees solve at their nodes."""

    dual: SafeDual
    relaxation: Relaxation
    options: TreeOptions


def programs_of(
    data: NetworkData,
    feasible: Feasible,
    incumbent: Incumbent,
    options: TreeOptions,
    threads: int,
    amounts: Mapping[Neuron, float] | None,
) -> Programs | None:
    """Return the relaxation that suits a network's size; None where time is up before."""
    linked = LinkedNetwork(data.input_lower, data.input_upper, data.layers[:-1], PAIR)
    columns = pair_columns(linked)
    if options.deadline.over():
        return None
    objective = Objective.of_row(data.output, 0, PAIR_WEIGHTS)
    if len(linked.free) > LP_NEURONS:
        dual = SafeDual(linked, columns, objective)
        return Programs(dual, SubgradientRelaxation(dual), options)
    share = options.deadline.share(FIRST_SHARE)
    cuts = feasible.cuts(linked).with_more(
        root_cuts(linked, columns, objective, incumbent.value, share)
    )
    if amounts is not None:
        cuts = cuts.with_more(convexity_row(linked, data, amounts))
    dual = SafeDual(linked, columns, objective, cuts)
    small = len(linked.free) <= SMALL_NEURONS
    options = replace(options, together=TOGETHER if small else 2 * threads)
    return Programs(dual, LinearRelaxation(dual, threads), options)


class Trees:
    """The trees of one network, and what they have proved.

    Parameters
    ----------
    programs : Programs
    incumbent : Incumbent
    twins : sequence of groups of (free neuron, +1 or -1)
    upper : float
        A true upper bound that is already known.
    progress : callable, optional
    """

    def __init__(
        self,
        programs: Programs,
        incumbent: Incumbent,
        twins: Sequence[Sequence[tuple[int, int]]],
        upper: float,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._programs, self._incumbent, self._twins = programs, incumbent, twins
        self._progress = progress
        self.upper, self.nodes = upper, 0

    @property
    def linear(self) -> bool:
        """Whether nodes have linear programs."""
        return isinstance(self._programs.relaxation, LinearRelaxation)

    def centre(self, net: GroupedNetwork, raised: Raised) -> None:
        """Bound all pairs by those whose midpoint lies on a facet that bends down."""
        deadline = self._programs.options.deadline
        groups = groups_that_bend(net, raised.amounts)
        if groups is None or raised.kinks is None:
            return
        facets = bad_facets(raised.kinks, groups, deadline.share(FACETS_SHARE))
        if facets is None:
            return
        dual = self._programs.dual
        roots = centred_roots(dual.linked, dual.columns, net, facets)
        factor = excess(facets)
        if roots is None:
            self.upper = 0.0
            return
        options = replace(
            self._programs.options,
            deadline=deadline.share(CENTRED_SHARE),
            node_limit=CENTRED_NODES,
        )
        self._grow(options, roots, factor)

    def run(self) -> str:
        """Search all pairs."""
        dual = self._programs.dual
        roots = Roots.of_pairs(dual.linked, dual.columns)
        return self._grow(self._programs.options, roots, 1.0)

    def _grow(self, options: TreeOptions, roots: Roots, factor: float) -> str:
        nodes, known = self.nodes, self.upper

        def report(found: Progress) -> None:
            bound = min(known, factor * found.bound)
            if self._progress is not None:
                self._progress(replace(found, bound=bound, nodes=nodes + found.nodes))

        tree = SignTree(
            self._programs.dual,
            self._programs.relaxation,
            self._incumbent,
            options,
            symmetric=True,
            twins=self._twins,
            first_bound=known,
            roots=roots,
            progress=report,
        )
        try:
            return tree.run()
        finally:
            self.nodes, self.upper = nodes + tree.nodes, min(known, factor * tree.upper)


def free_twins(linked: LinkedNetwork, group: Twins) -> list[tuple[int, int]]:
    """Return a group's free neurons, with the sign of their factor."""
    found = []
    for name, index, factor in group:
        place = int(np.searchsorted(linked.free, linked.spans[name].start + index))
        if place < len(linked.free) and linked.free[place] == linked.spans[name].start + index:
            found.append((place, 1 if factor > 0 else -1))
    return found
