"""Stacks of networks walked at once, where signs of J under linked states leave some open."""

from __future__ import annotations

import numpy as np

from jensen.bounds.linked import LinkedSigns
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.prover.walks.edges import can_walk_edges, edges_bend_upwards
from jensen.prover.walks.narrow import can_walk_narrow, narrow_bend_upwards
from jensen.prover.walks.planes import can_walk_planes, planes_bend_upwards
from jensen.prover.walks.straight import can_bend_upwards, stack_bends_upwards
from jensen.types import BoolArray, IndexArray


def walked_straight(stack: NetworkStack, domain: Domain, signs: LinkedSigns) -> BoolArray:
    """Return the networks of two levels in the plane that lines along their kinks prove convex.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    domain : Domain
    signs : LinkedSigns
        Of its networks on the domain.

    Returns
    -------
    bool array (networks,)
        False as well where signs alone prove it, and where there are twins.
    """
    found = np.zeros(len(stack), dtype=bool)
    if not can_bend_upwards(stack) or is_flat(domain, stack.input_size):
        return found
    left = np.flatnonzero(~signs.convex & _without_twins(signs))
    if left.size:
        closed = [
            ((low >= 0) | ~crossing)[left]
            for low, crossing in zip(signs.jumps, signs.crossing, strict=True)
        ]
        found[left] = stack_bends_upwards(stack.take(left), domain, closed)
    return found


def walked_in_space(
    stack: NetworkStack, domain: Domain, signs: LinkedSigns, left: IndexArray
) -> IndexArray:
    """Return the networks that are proved convex by planes, by edges in space, or narrow levels.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    domain : Domain
    signs : LinkedSigns
        Of its networks on the domain.
    left : int array
        The networks that are looked at.

    Returns
    -------
    int array
        None of those with twins.
    """
    found = left[:0]
    left = left[_without_twins(signs)[left]]
    asked = signs.open_neurons() if left.size else np.zeros((0, 0), dtype=bool)
    for can_walk, bend_upwards in (
        (can_walk_planes, planes_bend_upwards),
        (can_walk_edges, edges_bend_upwards),
        (can_walk_narrow, narrow_bend_upwards),
    ):
        if left.size and can_walk(stack, domain):
            shown = bend_upwards(stack.take(left), domain, asked[left])
            found, left = np.concatenate([found, left[shown]]), left[~shown]
    return found


def _without_twins(signs: LinkedSigns) -> BoolArray:
    """Return which networks have none: J of twins is that of both, and walks look at one unit."""
    found: BoolArray = np.logical_and.reduce([layer.lead.all(axis=1) for layer in signs.layers])
    return found
