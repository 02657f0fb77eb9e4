"""How groups were closed, as far as a certificate needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jensen.prover.joint.proof import JointProof
from jensen.prover.trees.nodes import Node
from jensen.types import Unit
from jensen.verdicts.evidence import GroupEvidence


@dataclass(frozen=True, eq=False)
class GroupProof:
    """How one group was closed, for a certificate: by a tree, or by joint programs.

    Attributes
    ----------
    group : (level, unit)
    root : Node or None
    joint : JointProof or None
    """

    group: Unit
    root: Node | None = None
    joint: JointProof | None = None


@dataclass(frozen=True, eq=False)
class Closed:
    """What a writer found out about some groups.

    Attributes
    ----------
    evidence : mapping from group to GroupEvidence
        Of those that are closed.
    paused : tuple of groups
        Those that can be gone on with; all others are left to the engine.
    """

    evidence: Mapping[Unit, GroupEvidence]
    paused: tuple[Unit, ...]


class BeginWriter(Protocol):
    """Begins a certificate; None where there cannot be one."""

    def __call__(self, *, plain: bool = False) -> GroupWriter | None:
        """Return what writes it; plain: all units are bounded by intervals alone."""
        ...


class GroupWriter(Protocol):
    """Proves groups in the terms of a certificate that was asked for."""

    def close_by_signs(self) -> bool:
        """Prove all groups by signs of J under some states; return whether that is done."""
        ...

    def close(self, groups: Sequence[Unit], nodes: int) -> Closed:
        """Prove groups with about so many nodes each, or go on with it."""
        ...

    def lines(self, proofs: Sequence[GroupProof]) -> list[Any]:
        """Return the certificate, with proofs of the groups that are left."""
        ...
