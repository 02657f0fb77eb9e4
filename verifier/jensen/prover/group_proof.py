"""How groups were closed, as far as a certificate needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jensen.prover.evidence import GroupEvidence
from jensen.prover.joint_proof import JointProof
from jensen.prover.nodes import Node
from jensen.types import Unit


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


class GroupWriter(Protocol):
    """Proves groups in the terms of a certificate that was asked for."""

    def close(self, groups: Sequence[Unit], nodes: int) -> Closed:
        """Prove groups with about so many nodes each, or go on with it."""
        ...

    def lines(self, proofs: Sequence[GroupProof]) -> list[Any]:
        """Return the certificate, with proofs of the groups that are left."""
        ...
