"""Trees of a certificate that begin with bounds on the kink and end in joint programs.

For groups that no tree of the prover closed: the bounds decide most states, the sign rule
closes what it can, and what is left is branched on by joint programs. Nothing of how the
prover closed the group is needed. In a lift there is one such tree for every face of the
cube around the origin, where alone the bounds can decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.branching import Branching, Choice
from jensen.certificate.cut_rows import CutHint
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.joint_hints import HintedMultipliers, HintNode, below
from jensen.certificate.joint_leaf import TARGET, JointAnswer, JointProver
from jensen.certificate.joint_roots import Root
from jensen.certificate.joint_rows import JointRows
from jensen.certificate.kink_ranges import MARGIN
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.tree_writer import TreeWriter
from jensen.prover.trees.nodes import Node
from jensen.types import FloatArray

STALE = 5  # units that are branched on at one solution, while their other sides are closed


class _Part(list[Any]):
    """Lines of a subtree; subtrees of it are parts in their turn."""


@dataclass(eq=False)
class _Open:
    """A node that waits.

    Attributes
    ----------
    proof : Node, HintNode or None
        What the prover found there.
    path : dict from unit to bool
        The states that lead to it.
    lines : _Part
        Where its lines go.
    x : array or None
        The last solution above, if the node may be branched on there.
    expected : float
        The jump at x with the real states of the units that were branched on since.
    age : int
        How many units these are.
    """

    proof: Node | HintNode | None
    path: dict[int, bool]
    lines: _Part
    x: FloatArray | None = None
    expected: float = 0.0
    age: int = 0


class JointWriter(TreeWriter):
    """Writes the tree of one group on one face, or on the whole domain.

    Parameters
    ----------
    net : BoundedNetwork
    root : Root
    leaves : LeafProver
    names : Names
    units : FloatUnits
    cuts : mapping from number to CutHint, optional
        Those that the prover's multipliers speak of.
    stubborn : bool
        Whether leaves that their programs do not close are tried in other ways.

    Attributes
    ----------
    programs : int
        How many were solved.
    """

    def __init__(
        self,
        net: BoundedNetwork,
        root: Root,
        leaves: LeafProver,
        names: Names,
        units: FloatUnits,
        *,
        cuts: Mapping[int, CutHint] | None = None,
        stubborn: bool = True,
    ) -> None:
        super().__init__(net, root.node.group, leaves, names)
        self._root, self._units, self._node, self._cuts = root, units, root.node, cuts
        self._top = _Part()
        self._open = [_Open(None, {}, self._top)]  # last first
        self._here = _Open(None, {}, _Part())
        self._stubborn, self.programs = stubborn, 0
        self._failed = False  # whether a leaf could not be closed

    def run(self, root: Node | HintNode | None) -> list[Any]:
        """Return all lines of the tree, along what the prover found."""
        self._open = [_Open(root, {}, self._top)]
        self.advance(self.limit)
        return self.lines()

    def advance(self, nodes: int) -> bool:
        """Go on with about so many nodes; return whether the tree is closed.

        Raises
        ------
        CertificateError
            If a leaf cannot be closed, or the limit is reached.
        """
        if self._root.leaf is not None:
            return True
        # the rows of all nodes are those of the root
        self._joint  # noqa: B018
        pause = self._extra + nodes
        if self._failed:
            self._fail("as it was found before")
        self._failed = True  # unless all goes well
        while self._open and self._extra < pause:
            self._here = self._open.pop()
            self._lines = self._here.lines
            self._go_to(self._here.path)
            self._enter(self._here.proof)
        self._failed = False
        return not self._open

    def lines(self) -> list[Any]:
        """Return all lines of the tree, the first one with its bounds."""
        lemmas, closed, cuts = self._root.lemmas, [self._root.leaf], list[Any]()
        if self._root.leaf is None:
            assert not self._open
            assert not self._failed
            closed = list(_in_preorder(self._top))
            lemmas = self._needed(lemmas, closed)
            cuts = self._used_cuts(closed)
        first = ["tree", *self._leaves.lead(self._group), self._node.face, lemmas]
        return [[*first, cuts] if cuts else first, *closed]

    def _used_cuts(self, lines: list[Any]) -> list[Any]:
        """Return the cuts that rows were made of, and number these rows anew."""
        rows = [entry for line in lines if line[0] == "empty" for entry in line[1]]
        rows = [entry for entry in rows if entry[0] == "cut"]
        used = sorted({entry[1] for entry in rows})
        for entry in rows:
            entry[1] = used.index(entry[1])
        return [self._rows.cuts.lines[index] for index in used]

    def _needed(self, lemmas: list[Any], lines: list[Any]) -> list[Any]:
        """Leave out bounds of units that only the output reads, where no row was made of them."""
        # rows of the lower bound, and of the upper one
        used: dict[str, set[tuple[str, int]]] = {"off": set(), "on": set()}
        for entry in (entry for line in lines if line[0] == "empty" for entry in line[1]):
            if entry[0] in used:
                used[entry[0]].add((entry[1], entry[2]))
        found = []
        for block, index, *both in lemmas:
            sides, unit = both, self._net.neurons[block, index][0]
            if unit not in self._node.root and not self._units.read[unit]:
                rows = zip(both, used.values(), strict=True)
                sides = [side if (block, index) in named else None for side, named in rows]
            if sides != [None, None]:
                found.append([block, index, *sides])
        return found

    def _go_to(self, path: dict[int, bool]) -> None:
        """Fix the states of a path, and free the others that are branched on."""
        node = self._node
        for unit in node.branched:
            if path.get(unit) is not node.fixed[unit]:
                node.fix(unit, None)
        for unit, on in path.items():
            if unit not in node.fixed:
                node.fix(unit, on)

    def _branch(self, unit: int, on: Any, off: Any) -> None:
        self._children(unit, on, off)

    def _children(self, unit: int, on: Any, off: Any) -> dict[bool, _Open]:
        """Branch; return both sides, of which that where the unit is on is next."""
        found = {
            side: _Open(proof, self._here.path | {unit: side}, _Part())
            for side, proof in ((True, on), (False, off))
        }
        self._lines += [["branch", *self._leaves.lead(unit)], found[True].lines, found[False].lines]
        self._open += [found[False], found[True]]
        return found

    # ----------------------------------------------------------------------- leaves

    @cached_property
    def _rows(self) -> JointRows:
        return JointRows(self._net, self._units, self._root, self._leaves.lead, self._cuts)

    @cached_property
    def _joint(self) -> JointProver:
        return JointProver(self._rows, self._net.deadline)

    @cached_property
    def _branching(self) -> Branching:
        return Branching(self._rows)

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
        here = self._here
        if here.x is not None and here.expected < TARGET and here.age < STALE:
            # its solution is that of the node above, but for states that were put right
            choice = self._branching.choose(here.x, self._node.fixed)
            if choice is not None and choice.is_state:
                self._split(choice, here.x, here.expected, here.age)
                return
        states = self._implied()
        found = self._joint.answer(self._node, states)
        self.programs += 1
        if found.multipliers.size and self._closed_by(found, states):
            return
        self._fix_implied(states)
        choice = None
        if found.x is not None:
            choice = self._branching.choose(found.x, self._node.fixed)
        if choice is None:
            if not self._stubborn:
                self._fail("its program does not close it")
            self._node.settle()
            super()._leaf(proof)
        elif choice.is_state:
            assert found.x is not None
            self._split(choice, found.x, self._joint.value(found.x), 0)
        else:
            self._branch_further(choice.unit)

    def _implied(self) -> list[tuple[int, bool]]:
        """Return states that follow from the jump alone: with the other one it is not negative."""
        return [
            (unit, on)
            for unit, on in self._joint.implied(self._node)
            if self._rows.least_jump(self._node.fixed | {unit: not on}) > 0
        ]

    def _closed_by(self, found: JointAnswer, states: list[tuple[int, bool]]) -> bool:
        """Close a node by multipliers, below those of some implied states that they need."""
        needed = states
        if states:
            needed = self._joint.needed(self._node, states, found.multipliers, empty=found.empty)
        for some in (needed, states) if len(needed) < len(states) else (states,):
            for unit, on in some:
                self._node.fix(unit, on)
            entries = self._joint.hinted(self._node, found.multipliers, empty=found.empty)
            for unit, _ in some:
                self._node.fix(unit, None)
            if entries is not None:
                self._fix_implied(some)
                self._lines.append(["empty", entries])
                return True
        return False

    def _fix_implied(self, states: list[tuple[int, bool]]) -> None:
        """Branch on states of which the sign rule closes the other side; go on with this one."""
        for unit, on in states:
            sides = {side: _Part() for side in (True, False)}
            self._lines += [["branch", *self._leaves.lead(unit)], sides[True], sides[False]]
            sides[not on].append(["sign"])
            self._lines = self._here.lines = sides[on]
            self._here.path[unit] = on
            self._node.fix(unit, on)

    def _split(self, choice: Choice, x: FloatArray, expected: float, age: int) -> None:
        """Branch at a solution: the side that it contradicts is next, and mostly closed."""
        self._count()
        sides = self._children(choice.unit, None, None)
        real = sides[choice.real]
        real.x, real.expected, real.age = x, expected + choice.gain, age + 1
        self._open[-2:] = [real, sides[not choice.real]]

    def _asked(self, name: str) -> bool:
        """Ask the checker's rule, which computes with all bounds."""
        self._node.settle()
        return self._try(name)


def _in_preorder(lines: _Part) -> Iterator[Any]:
    """Yield the lines of a part, and of the parts in it."""
    stack: list[Iterator[Any]] = [iter(lines)]
    while stack:
        for line in stack[-1]:
            if isinstance(line, _Part):
                stack.append(iter(line))
                break
            yield line
        else:
            stack.pop()
