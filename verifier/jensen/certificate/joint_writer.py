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

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.checker import Malformed, Rejected
from jensen.certificate.joint_hints import HintedMultipliers, HintNode
from jensen.certificate.joint_leaf import JointProver
from jensen.certificate.joint_rows import JointRows
from jensen.certificate.kink_lemmas import (
    MARGIN,
    FloatUnits,
    KinkLemmas,
    Lemma,
    lemma_line,
)
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.tree_writer import TreeWriter
from jensen.prover.nodes import Node


class JointWriter(TreeWriter):
    """Writes the tree of one group on one face, or on the whole domain (face 0)."""

    def __init__(
        self,
        net: BoundedNetwork,
        group: int,
        leaves: LeafProver,
        names: Names,
        units: FloatUnits,
        face: int,
    ) -> None:
        super().__init__(net, group, leaves, names)
        self._units = units
        self._bounds: list[Any] = []
        self._spans: dict[int, tuple[int, int]] = {}
        if face:
            self._node.on_face(face)
        behind = units.behind(group)
        behind[self._net.output :] = False
        kinks = np.zeros_like(behind)
        kinks[list(net.kinks)] = True
        self._slopes = behind & kinks

    def run(self, root: Node | HintNode | None) -> list[Any]:
        """Return all lines of the tree, the first one with its bounds."""
        if not (self._try("sign") or self._misses() or self._decide()):
            # the rows of all nodes are those of the root
            self._joint  # noqa: B018
            super().run(root)
        first = ["tree", *self._leaves.lead(self._group), self._node.face, self._bounds]
        return [first, *self._lines]

    def _misses(self) -> bool:
        """Close the root if the kink is not there."""
        if KinkLemmas(self._units, self._node).meets():
            return False
        return any(self._try("empty", [["facet", y]]) for y in ("1", "-1"))

    # ----------------------------------------------------------------------- bounds

    def _decide(self) -> bool:
        """Bound units on the kink; close the root if that is enough."""
        behind = self._slopes.copy()
        behind[self._group] = True
        wanted = self._units.in_front(behind)
        wanted[list(self._node.fixed)] = False
        lemmas: list[Lemma] = []
        # bounds of the units behind are often enough, without those of the units in front
        for units in (self._slopes, wanted):
            lemmas = self._useful(KinkLemmas(self._units, self._node).find(units))
            if self._decide_states(lemmas):
                return True
        self._add(lemmas)
        return self._try("sign")

    def _decide_states(self, lemmas: list[Lemma]) -> bool:
        """Bound the units behind the group that the sign rule needs, if that is enough."""
        self._spans = checker.spans(self._net, self._group, self._node.fixed)
        decided = [item for item in lemmas if item.state is not None and self._slopes[item.unit]]
        decided.sort(key=lambda item: -self._pull(item.unit))
        states = {item.unit: bool(item.state) for item in decided}
        if not self._would_hold(states, len(states)):
            return False
        few, many = 0, len(states)  # the first ones suffice from some number on
        while few < many:
            middle = (few + many) // 2
            if self._would_hold(states, middle):
                many = middle
            else:
                few = middle + 1
        chosen = np.zeros_like(self._slopes)
        chosen[[item.unit for item in decided[:many]]] = True
        front = self._units.in_front(chosen)
        self._add([
            item for item in lemmas
            if chosen[item.unit] or (front[item.unit] and item not in decided[many:])
        ])  # fmt: skip
        return self._try("sign")

    def _useful(self, lemmas: list[Lemma]) -> list[Lemma]:
        """Leave out what cannot raise the jump's least value, of units that only the output reads.

        Where the jump is least with such a unit off, for instance, it helps to know that the
        unit is on, or how far up it goes; not that it is off, or how far down it goes.
        """
        net, kept = self._net, []
        spans = checker.spans(net, self._group, self._node.fixed)
        for item in lemmas:
            ends = [
                net.units[net.output].form.get(-item.unit, 0) * v
                for v in spans.get(item.unit, (0, 0))
            ]
            inner = item.unit in self._read or min(ends) < 0 < max(ends)
            least_on = max(ends) <= 0  # the jump is least where the unit is on
            low, high = item.lower, item.upper
            if not inner and least_on and item.state is None:
                high = None
            elif not inner and item.state is None:
                low = None
            if (inner or item.state is not least_on) and (low, high) != (None, None):
                kept.append(Lemma(item.unit, low, high, item.state))
        return kept

    @cached_property
    def _read(self) -> set[int]:
        """The units that others than the output read."""
        return set().union(*(unit.reads for unit in self._net.units[: self._net.output]))

    def _add(self, lemmas: list[Lemma]) -> None:
        for lemma in lemmas:
            check_time(self._net)
            if lemma.unit in self._node.fixed:
                continue
            entry = lemma_line(self._leaves.lead, self._units, lemma, self._group)
            self._node.narrow(lemma.unit, *entry[2:])
            self._bounds.append(entry)

    def _pull(self, unit: int) -> float:
        """Return how much a unit's state can move the jump."""
        (low, high), (down, up) = self._spans.get(unit, (0, 0)), self._net.slopes[-unit]
        return float(max(-low, high)) * float(max(-down, up))

    def _would_hold(self, states: dict[int, bool], count: int) -> bool:
        """Ask the sign rule, with the first states taken for granted."""
        chosen = dict(list(states.items())[:count])
        there = checker.Node(self._net, self._group, self._node.fixed | chosen)
        try:
            checker.rule_sign(there)
        except (Rejected, Malformed):
            return False
        return True

    # ----------------------------------------------------------------------- leaves

    @cached_property
    def _rows(self) -> JointRows:
        return JointRows(self._net, self._units, self._node, self._leaves.lead)

    @cached_property
    def _joint(self) -> JointProver:
        return JointProver(self._rows)

    @cached_property
    def _hinted(self) -> HintedMultipliers:
        return HintedMultipliers(self._net, self._names, self._group, self._rows)

    def _enter(self, proof: Node | HintNode | None) -> None:
        check_time(self._net)
        while isinstance(proof, HintNode) and proof.unit is not None:
            unit = proof.unit
            if unit in self._net.kinks and unit not in self._node.fixed:
                self._branch(unit, proof.on, proof.off)
                return
            proof = proof.on if self._side(unit) else proof.off
        if self._rows.least_jump(self._node.fixed) > -MARGIN and self._try("sign"):
            return
        if not isinstance(proof, HintNode):
            super()._enter(proof)
        elif not self._by_hint(proof):
            self._leaf(proof.tree)

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
            super()._leaf(proof)
