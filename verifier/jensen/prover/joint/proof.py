"""What the joint search of one group found, and how a certificate can say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jensen.groups.forms import RowName
from jensen.groups.jump import OFF, ON, Activations, JumpProblem, JumpState
from jensen.prover.joint.kink_bounds import Ranges
from jensen.prover.trees.tree import SearchState
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing

Path = tuple[tuple[Unit, bool], ...]


@dataclass(frozen=True, eq=False)
class JointLeaf:
    """A node closed by its joint program: what a certificate needs.

    Attributes
    ----------
    piece : int
        Number of the piece.
    path : tuple of ((level, unit), on)
        The units fixed, in the order of branching.
    multipliers : mapping from RowName to float
        ``<= 0`` on upper sides, ``>= 0`` on lower ones; rows are named as in
        :mod:`jensen.prover.joint.program`.
    empty : bool
        Whether they prove that there is no point (J takes no part), or that J is bounded.
    """

    piece: int
    path: Path
    multipliers: Mapping[RowName, float]
    empty: bool


@dataclass(frozen=True, eq=False)
class JointProof:
    """How a group was closed piece by piece, for a certificate.

    Attributes
    ----------
    ranges : mapping from piece to Ranges
        The bounds on the kink that the programs used; pieces that the kink does not meet
        are left out.
    activations : mapping from piece to activations
        Those that the ranges decide.
    raising : mapping from piece to path
        Those of them without which J might be less. A certificate whose bounds are a little
        wider begins with these.
    leaves : list of JointLeaf
        Those of pieces that the interval of J did not close.
    trees : list of (piece, path, root node)
        Closed trees below leaves.
    faces : list of (coordinate, value) or None
        Of every piece, the coordinate that it fixes.
    cuts : list of (unit, slopes)
        Rows that say that the unit's value is at most a form of the working variables; rows
        ``cut`` are named by their number here.
    """

    ranges: dict[int, Ranges] = field(default_factory=dict)
    activations: dict[int, Activations] = field(default_factory=dict)
    raising: dict[int, Path] = field(default_factory=dict)
    leaves: list[JointLeaf] = field(default_factory=list)
    trees: list[tuple[int, Path, Any]] = field(default_factory=list)
    faces: list[tuple[int, float] | None] = field(default_factory=list)
    cuts: list[tuple[Unit, FloatArray]] = field(default_factory=list)

    def forget(self, piece: int) -> None:
        """Drop what was found on a piece that is begun anew; its first bounds stay."""
        self.leaves[:] = [leaf for leaf in self.leaves if leaf.piece != piece]
        self.trees[:] = [tree for tree in self.trees if tree[0] != piece]


def raising_states(jump: JumpProblem, state: JumpState, activations: Activations) -> Path:
    """Return the states decided without which J might be less, those that move it most first.

    Parameters
    ----------
    jump : JumpProblem
    state : JumpState
        Intervals of the jump under the activations.
    activations : sequence of int8 arrays
    """
    found = []
    for i, (k, units) in enumerate(jump.supports[:-1]):
        low, high = jump.slopes_behind[i]
        ends = [a * b for a in (low, high) for b in (state.lower[i], state.upper[i])]
        least, most = np.minimum.reduce(ends), np.maximum.reduce(ends)
        for p, u in enumerate(units.tolist()):
            act = activations[k][u]
            if jump.net.levels[k].kink[u] and (
                (act == ON and most[p] > 0) or (act == OFF and least[p] < 0)
            ):
                found.append((float(max(most[p], -least[p])), ((k, u), bool(act == ON))))
    return tuple(item for _, item in sorted(found, reverse=True))


@dataclass(frozen=True)
class JointResult:
    """The state of one group's search.

    Attributes
    ----------
    state : SearchState
    crossing : Crossing or None
        A facet that bends down.
    nodes, lps : int
    """

    state: SearchState
    crossing: Crossing | None
    nodes: int
    lps: int
