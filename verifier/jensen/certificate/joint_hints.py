"""What the joint engine found, in the terms of a certificate (docs/theory.md, section 11).

The engine's tree of a piece is the skeleton of the tree of a face, and the multipliers
of its leaves are those of the same rows of the checker, up to the sizes of units. They are
hints: the ranges that the engine used may be a little narrower than the certificate's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.certificate.bounded_network import BoundedNetwork, Names
from jensen.certificate.float_units import quotient
from jensen.certificate.joint_rows import JointRows
from jensen.groups.forms import RowName
from jensen.prover.joint.proof import JointLeaf, JointProof, Path
from jensen.prover.trees.nodes import Node
from jensen.types import FloatArray

KINDS = {"group": "facet"} | {f"product {letter}": "product" for letter in "abcd"}


@dataclass(eq=False)
class HintNode:
    """A node of the engine's search, in units of the checker.

    Attributes
    ----------
    unit : int or None
        The unit that is branched on; None at leaves.
    on, off : HintNode or None
    leaf : JointLeaf or None
        The multipliers that closed it.
    tree : Node or None
        The tree of the prover that closed it.
    chosen : bool
        Whether the unit is branched on even if its state is implied.
    """

    unit: int | None = None
    on: HintNode | None = None
    off: HintNode | None = None
    leaf: JointLeaf | None = None
    tree: Node | None = None
    chosen: bool = False

    @property
    def by_sign(self) -> bool:
        """Whether the interval of J closed it."""
        return self.leaf is not None and not self.leaf.multipliers

    @property
    def implied(self) -> bool | None:
        """The state of the unit, if the sign of J closed the side of the other one."""
        if self.chosen or self.on is None or self.off is None:
            return None
        return False if self.on.by_sign else True if self.off.by_sign else None


def below(states: Sequence[tuple[int, bool]], end: HintNode) -> HintNode:
    """Return a node with some implied states on the way to its end."""
    for unit, on in reversed(states):
        other = HintNode(leaf=JointLeaf(0, (), {}, empty=False))
        sides = (end, other) if on else (other, end)
        end = HintNode(unit, *sides, chosen=True)
    return end


def hint_tree(proof: JointProof, piece: int, names: Names) -> HintNode:
    """Return the engine's tree of one piece.

    It begins with the states that the engine's bounds decide: where the certificate's own
    bounds do not decide one of them, it is branched on once, not below every leaf.
    """
    root = HintNode()

    def at(path: Path) -> HintNode:
        node = root
        for place, on in (*proof.raising.get(piece, ()), *path):
            unit, factor = names.unit(*place)
            if node.unit is None:
                node.unit, node.on, node.off = unit, HintNode(), HintNode()
            child = node.on if on == (factor > 0) else node.off
            assert child is not None
            node = child
        return node

    for leaf in proof.leaves:
        if leaf.piece == piece:
            at(leaf.path).leaf = leaf
    for index, path, tree in proof.trees:
        if index == piece:
            at(path).tree = tree
    return root


class HintedMultipliers:
    """Multipliers of the engine's programs as those of the rows at the root of a tree.

    Parameters
    ----------
    net : BoundedNetwork
    names : Names
    group : int
        The checker's unit.
    rows : JointRows
    """

    def __init__(self, net: BoundedNetwork, names: Names, group: int, rows: JointRows) -> None:
        self._names, self._rows = names, rows
        self._places: dict[RowName, tuple[int | None, float]] = {}
        self._index = {words: i for i, words in enumerate(rows.words)}
        self._group = self._factor(group, net)
        # the engine's jump is so many times the one of the rows
        self._scale = _float(net.scale) * float(np.ldexp(1.0, rows.top)) / self._group
        self._net = net

    @staticmethod
    def _factor(unit: int, net: BoundedNetwork) -> float:
        block, _, index = net.units[unit].name[:-1].rpartition("[")
        return _float(net.neurons[block, int(index)][1])

    def of(self, leaf: JointLeaf) -> FloatArray:
        """Return a multiplier per row; what is said of rows that are not there is left out."""
        found = np.zeros(len(self._rows.words))
        for name, y in leaf.multipliers.items():
            place = self._places.get(name)
            if place is None:
                place = self._places[name] = self._place(name)
            index, scale = place
            if index is not None:
                found[index] += scale * (y if name.kind == "group" else -y)  # the others are <= 0
        return found if leaf.empty else found / self._scale

    def _place(self, name: RowName) -> tuple[int | None, float]:
        """Return the row of a row's name, and what its multiplier is multiplied by."""
        rows, kind = self._rows, KINDS.get(name.kind, name.kind)
        if kind == "cut":
            place, size = rows.cuts.places.get(name.unit, (None, 0.0))
            return self._index.get((kind, place)), size
        if kind == "domain":
            there = [i for i, (form, _) in enumerate(self._net.rows) if form]
            index = self._index.get((kind, there[name.unit]))
            return index, 0.0 if index is None else float(np.ldexp(1.0, rows.bits[index]))
        unit, exact = self._names.unit(name.level, name.unit)
        factor = _float(exact)
        if factor <= 0:
            return None, 0.0
        if kind == "facet":
            index = self._index[kind,]
            return index, factor * float(np.ldexp(1.0, rows.bits[index]))
        words = (kind, *rows.lead(unit))
        if kind == "product":
            words = (*words, "abcd".index(name.kind[-1]))
            factor /= self._group
        index = self._index.get(words)
        if index is None:
            return None, 0.0
        if kind == "below":
            factor /= rows.chord(unit)
        return index, factor * float(np.ldexp(1.0, rows.bits[index]))


def _float(value: Fraction) -> float:
    """Round a number, which may be beyond the range of doubles: then nothing is hinted at."""
    return quotient(value.numerator, value.denominator)
