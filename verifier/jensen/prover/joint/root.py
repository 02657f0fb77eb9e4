"""Where the nodes of a joint search begin: a piece, or a part of it (docs/theory.md, section 11).

A part is a node of a search that took long: the states on the way to it are facts there, so that
bounds on the kink, and the program that is built with them, can be better than those of the piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations, JumpState
from jensen.prover.joint.kink_bounds import Ranges
from jensen.prover.joint.proof import Path
from jensen.types import Unit


@dataclass(frozen=True, eq=False)
class JointRoot:
    """A piece, or what is left of it where the units of a path have their states.

    Attributes
    ----------
    index : int
        Number of the piece.
    ranges : Ranges
        Bounds on the kink.
    activations : sequence of int8 arrays
        What these decide, and the states of the path.
    path : tuple of ((level, unit), on)
        The units fixed.
    within : JumpState or None
        Where the jumps that arrive at units are known to be.
    above : float
        Proved: J is at least this.
    begun : int
        How often the search was begun anew with better bounds on the way here.
    """

    index: int
    ranges: Ranges
    activations: Activations
    path: Path = ()
    within: JumpState | None = None
    above: float = float("-inf")
    begun: int = 0


def decided(net: GroupedNetwork, group: Unit, ranges: Ranges, path: Path = ()) -> Activations:
    """Return the states that are strict all over the kink, and those of a path.

    No facet of the kink that is not closed has another one.
    """
    found = []
    for level, lower, upper in zip(net.levels, ranges.lower, ranges.upper, strict=True):
        act = np.where(lower > 0, ON, np.where(upper < 0, OFF, FREE))
        found.append(np.where(level.kink, act, ON).astype(np.int8))
    found[group[0]][group[1]] = FREE
    for (k, u), on in path:
        found[k][u] = ON if on else OFF
    return tuple(found)


def with_path(ranges: Ranges, path: Path) -> Ranges:
    """Return ranges in which the units of a path have the signs of their states."""
    found = ranges.copy()
    for k in {k for (k, _), _ in path}:
        lower, upper = found.lower[k].copy(), found.upper[k].copy()
        for (level, u), on in path:
            if level == k and on:
                lower[u] = max(lower[u], 0.0)
            elif level == k:
                upper[u] = min(upper[u], 0.0)
        found.lower[k], found.upper[k] = lower, upper
    return found
