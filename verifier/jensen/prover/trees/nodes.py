"""Nodes of the tree prover: partial patterns, and after the search the proof."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jensen.groups.jump import Activations, JumpState
from jensen.types import Unit


class Rule(StrEnum):
    """Why a node is closed."""

    SIGN = "sign"
    EMPTY = "empty"
    SMOOTH = "smooth"
    SIDE = "side"


@dataclass(eq=False)
class Node:
    """A partial pattern; after the search, a node of the proof.

    Attributes
    ----------
    rule : Rule or None
        Set on closed leaves.
    proof : object
        Multipliers of an empty leaf, the facet point of a smooth one, the two units that
        contradict the sides of the kink.
    unit, children : the branching unit with the nodes for on and off, inner nodes only
    """

    activations: Activations
    state: JumpState
    patience: Patience
    rule: Rule | None = None
    proof: Any = None
    unit: Unit | None = None
    children: tuple[Node, ...] = ()


@dataclass(eq=False)
class Patience:
    """How many nodes may still be tried by sign alone below the last linear program."""

    nodes: int

    @property
    def is_over(self) -> bool:
        """Whether the sign alone has had its chance."""
        return self.nodes <= 0

    def spend(self) -> None:
        """Count a node that is tried by sign alone."""
        self.nodes -= 1


@dataclass(eq=False)
class Allowance:
    """How many nodes the sign alone is given before a linear program, learned over all groups.

    Programs that close nodes halve it, programs that do not double it: where the sign
    decides (tournaments) hardly any program is solved, where regions decide nearly all are.
    """

    nodes: int = 64

    def learn(self, closed: bool) -> None:
        """Adapt to whether a program closed its node."""
        self.nodes = self.nodes // 2 if closed else min(2 * self.nodes + 1, 4096)
