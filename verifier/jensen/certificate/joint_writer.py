"""Trees of a certificate that begin with bounds on the kink and end in joint programs.

For groups that no tree of the prover closed: the bounds decide most states, the sign rule
closes what it can, and what is left is branched on by joint programs. Nothing of how the
prover closed the group is needed. In a lift there is one such tree for every face of the
cube around the origin, where alone the bounds can decide anything.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.joint_hints import HintedMultipliers, HintNode, below
from jensen.certificate.joint_leaf import JointProver
from jensen.certificate.joint_roots import Root
from jensen.certificate.joint_rows import JointRows
from jensen.certificate.kink_ranges import MARGIN
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.tree_writer import TreeWriter
from jensen.prover.nodes import Node


class JointWriter(TreeWriter):
    """Writes the tree of one group on one face, or on the whole domain."""

    def __init__(
        self, net: BoundedNetwork, root: Root, leaves: LeafProver, names: Names, units: FloatUnits
    ) -> None:
        super().__init__(net, root.node.group, leaves, names)
        self._root, self._units, self._node = root, units, root.node

    def run(self, root: Node | HintNode | None) -> list[Any]:
        """Return all lines of the tree, the first one with its bounds."""
        first = ["tree", *self._leaves.lead(self._group), self._node.face, self._root.lemmas]
        if self._root.leaf is not None:
            return [first, self._root.leaf]
        # the rows of all nodes are those of the root
        self._joint  # noqa: B018
        return [first, *super().run(root)]

    # ----------------------------------------------------------------------- leaves

    @cached_property
    def _rows(self) -> JointRows:
        return JointRows(self._net, self._units, self._root, self._leaves.lead)

    @cached_property
    def _joint(self) -> JointProver:
        return JointProver(self._rows)

    @cached_property
    def _hinted(self) -> HintedMultipliers:
        return HintedMultipliers(self._net, self._names, self._group, self._rows)

    def _enter(self, proof: Node | HintNode | None) -> None:
        check_time(self._net)
        if isinstance(proof, HintNode):
            found = self._followed(proof)
            if found is None:
                return
            proof = found
        least = self._rows.least_jump(self._node.fixed)
        if least > 0:
            self._lines.append(["sign"])
            return
        if least > -MARGIN and self._asked("sign"):
            return
        if isinstance(proof, Node):
            self._node.settle()
            super()._enter(proof)
        elif proof is None:
            self._leaf(None)
        elif not self._by_hint(proof):
            self._leaf(proof.tree)

    def _followed(self, proof: HintNode) -> HintNode | None:
        """Return the leaf that is next; None where there is something to branch on before."""
        while proof.unit is not None:
            unit, on, off = proof.unit, proof.on, proof.off
            assert on is not None
            assert off is not None
            if unit not in self._net.kinks or unit in self._node.fixed:
                proof = on if self._side(unit) else off
                continue
            short = None if proof.chosen else self._shortened(proof)
            if short is None:
                self._branch(unit, on, off)
                return None
            proof = short
        return proof

    def _shortened(self, proof: HintNode) -> HintNode | None:
        """Return the leaf to which implied states lead, below those that its multipliers need."""
        states: list[tuple[int, bool]] = []
        while proof.unit is not None:
            on, off = proof.on, proof.off
            assert on is not None
            assert off is not None
            side = proof.implied
            if proof.unit not in self._net.kinks or proof.unit in self._node.fixed:
                side = self._side(proof.unit)
            elif side is None:
                return None
            else:
                states.append((proof.unit, side))
            proof = on if side else off
        if proof.leaf is None or proof.by_sign:
            return None
        found = self._hinted.of(proof.leaf)
        needed = self._joint.needed(self._node, states, found, empty=proof.leaf.empty)
        fixed = dict(self._node.fixed)
        for unit, side in needed:
            if self._rows.least_jump(fixed | {unit: not side}) <= 0:
                return None
            fixed[unit] = side
        return below(needed, proof)

    def _by_hint(self, proof: HintNode) -> bool:
        """Close a leaf by the multipliers of the prover, if they do."""
        if proof.leaf is None:
            return False
        found = self._hinted.of(proof.leaf)
        if not np.isfinite(found).all():
            return False
        entries = self._joint.hinted(self._node, found, empty=proof.leaf.empty)
        if entries is not None:
            self._lines.append(["empty", entries])
        return entries is not None

    def _leaf(self, proof: Node | None) -> None:
        """Close a leaf by its joint program, or branch where that says."""
        found = self._joint.answer(self._node)
        if found.entries is not None:
            self._lines.append(["empty", found.entries])
        elif found.unit is not None:
            self._branch_further(found.unit)
        else:
            self._node.settle()
            super()._leaf(proof)

    def _asked(self, name: str) -> bool:
        """Ask the checker's rule, which computes with all bounds."""
        self._node.settle()
        return self._try(name)
