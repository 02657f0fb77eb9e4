"""Pairs whose midpoint lies on a facet that bends down (theory, section 6, Lemma 15).

Their worst violation is at least half of that of all pairs, and the whole of it where one group
alone bends down that reads inputs only. In networks trained to be convex such facets are few and
small: most of the signs at the midpoint are known, and so is whose gap pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations
from jensen.midpoint.linked import Columns, LinkedNetwork
from jensen.midpoint.raised import Neuron
from jensen.midpoint.roots import MIDDLE, Roots, favour_of_pairs
from jensen.types import Unit

Facets = Mapping[Unit, Sequence[Activations]]


def excess(facets: Facets) -> float:
    """Return by which factor the worst of all pairs may exceed the worst centred one.

    Parameters
    ----------
    facets : mapping from group to sequence of activations
        Of :func:`jensen.midpoint.bad_facets.bad_facets`, for :func:`groups_that_bend`.
    """
    return 1.0 if len(facets) == 1 else 2.0


def groups_that_bend(net: GroupedNetwork, amounts: Mapping[Neuron, float]) -> list[Unit] | None:
    """Return the groups whose J may be negative on their kinks, the worst ones first.

    None if some of them read other units: a segment may meet such a kink more than once, and what
    is raised there changes the jumps in front.

    Parameters
    ----------
    net : GroupedNetwork
    amounts : mapping from (block, index) to float
        Of :func:`jensen.midpoint.raised.raises`.
    """
    found: dict[Unit, float] = {}
    for group in net.groups():
        reads_inputs = set(net.levels[group[0]].slopes) <= {SOURCE}
        amount = amounts.get(net.neurons(group)[0], 0.0)
        if amount > 0 and not reads_inputs:
            return None
        if amount > 0:
            found[group] = amount
    return sorted(found, key=lambda group: -found[group])


def centred_roots(
    linked: LinkedNetwork, columns: Columns, net: GroupedNetwork, facets: Facets
) -> Roots | None:
    """Return the nodes below which all centred pairs are; None if there are none.

    Parameters
    ----------
    linked : LinkedNetwork
        Three copies of the network's hidden layers.
    columns : Columns
        Of :func:`jensen.midpoint.columns.pair_columns`.
    net : GroupedNetwork
        The same network.
    facets : mapping from group to sequence of activations
    """
    place = {int(neuron): k for k, neuron in enumerate(linked.free)}
    starts = np.searchsorted(columns.own, np.arange(len(linked.free) + 1))

    def free(block: str, index: int) -> int | None:
        return place.get(linked.spans[block].start + index)

    every_sign, every_column = [], []
    for group, patterns in facets.items():
        lead = free(*net.neurons(group)[0])
        if lead is None:
            continue  # the kink is not inside of the box
        for activations in patterns:
            signs = np.zeros((len(linked.free), linked.points), dtype=np.int8)
            allowed = np.ones(len(columns.own), dtype=bool)
            for level, states in zip(net.levels, activations, strict=True):
                for unit in np.flatnonzero(level.kink & (states != FREE)):
                    for member in level.units[unit]:
                        own = free(member.block, member.index)
                        if own is None:
                            continue
                        sign = 1 if (states[unit] == ON) == (member.c > 0) else -1
                        mine = slice(starts[own], starts[own + 1])
                        allowed[mine] &= sign * columns.z[mine, MIDDLE] >= 0
                        signs[own, MIDDLE] = sign
            # z = 0 at m, and as x and y may be exchanged, z >= 0 at x
            mine = slice(starts[lead], starts[lead + 1])
            allowed[mine] &= (columns.z[mine, MIDDLE] == 0) & (columns.z[mine, 0] >= 0)
            signs[lead] = 1, -1, 1
            every_sign.append(signs)
            every_column.append(allowed)
    if not every_sign:
        return None
    return Roots(np.array(every_sign), np.array(every_column), favour_of_pairs(linked))
