"""Turn the prover's closed trees into lines of a certificate (docs/FORMAT.md, section 5).

The trees are a skeleton: every leaf is proved again in the terms of the checker, and is branched
further where its rules ask for more, for instance because the prover knew tighter bounds. What
the rules find is computed in doubles, with bounds of all errors; where that does not reach they
are asked themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Any

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.cut_rows import hinted_cuts
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.joint_hints import hint_tree
from jensen.certificate.joint_roots import JointRoots, Root, closed_by_sign
from jensen.certificate.joint_writer import JointWriter
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.sign_trees import SignTrees
from jensen.certificate.tree_writer import TreeWriter
from jensen.errors import CertificateError
from jensen.prover.group_proof import GroupProof
from jensen.prover.joint.proof import JointProof
from jensen.prover.trees.nodes import Node
from jensen_encodings.lp import LpSolver

PLANE, SPACE = 2, 3  # inputs
FEW = 3  # names in a message
SHORT = 16  # nodes of trees, beyond which the checker walks
MANY = 12  # units, of which one nearly always needs more
LONGEST = 400_000  # groups times units squared that are walked: 2 s in space
MOST_UNITS = 3000  # matrices of all units are dense
TABLE = 1 << 20  # numbers of a table of roots and units


@dataclass(eq=False)
class Growing:
    """The trees of one unit on all faces, while they grow.

    Attributes
    ----------
    trees : list of JointWriter
        Those that are left, last first.
    lines : list
        Those that are there.
    nodes, programs : int
        What they took.
    """

    trees: list[JointWriter]
    lines: list[Any] = field(default_factory=list)
    nodes: int = 0
    programs: int = 0

    def grow(self, nodes: int) -> bool:
        """Go on with so many nodes of each tree; return whether all are closed.

        Raises
        ------
        CertificateError
            If one cannot be closed.
        """
        while self.trees:
            tree = self.trees[-1]
            if not tree.advance(nodes):
                return False
            lines = self.trees.pop().lines()
            self.lines += lines
            self.nodes += len(lines) - 1
            self.programs += tree.programs
        return True


class Producer:
    """Builds the lines that follow the claim.

    Parameters
    ----------
    net : BoundedNetwork
    names : Names
    """

    def __init__(self, net: BoundedNetwork, names: Names) -> None:
        self._net, self._names = net, names
        self._leaves = LeafProver(net, LpSolver(net.deadline))
        self._roots: dict[int, Node] = {}
        self._joint: dict[int, JointProof] = {}
        self._written: dict[int, list[Any]] = {}

    def begin(self, units: Iterable[int]) -> dict[int, Growing]:
        """Begin the trees of some units, so that they can be grown by turns.

        Units are left out where other rules do, or more than trees is needed.
        """
        net, asked = self._net, dict.fromkeys(units)
        proved = checker.rule_path_signs(net)
        found = {unit: Growing([]) for unit in asked if unit not in net.kinks - proved}
        usable = len(net.units) <= MOST_UNITS and net.dimensions > PLANE
        if not usable or not self._units.usable:
            return found
        left = [unit for unit in asked if unit not in found]
        if not left:
            return found
        for unit in closed_by_sign(net, self._units, left):
            found[unit] = Growing([], [["tree", *net.lead(unit)], ["sign"]])
        for unit, roots in self._roots_of([unit for unit in left if unit not in found]):
            found[unit] = Growing([self._writer(root, stubborn=False) for root in roots])
        return found

    def close_by_signs(self) -> bool:
        """Close all units by trees that end in `sign`; return whether that is done."""
        net = self._net
        trees = SignTrees(net)
        for unit in sorted(net.kinks - checker.rule_path_signs(net)):
            check_time(net)
            lines = trees.grow(unit)
            if lines is None:
                return False
            self.keep(unit, [["tree", *net.lead(unit)], *lines])
        return True

    def keep(self, unit: int, lines: list[Any]) -> None:
        """Take the lines that close a unit."""
        self._written[unit] = lines

    def lines(self, proofs: Sequence[GroupProof], *, walked: bool = False) -> list[Any]:
        """Return all lines.

        Parameters
        ----------
        proofs : sequence of GroupProof
        walked : bool
            Whether a walk has proved the claim, so that what trees do not close soon is walked.

        Raises
        ------
        CertificateError
            If a leaf cannot be certified.
        """
        for proof in proofs:
            group, _ = self._names.unit(*proof.group)
            if proof.root is not None:
                self._roots[group] = proof.root
            elif proof.joint is not None:
                self._joint[group] = proof.joint
        net = self._net
        lines: list[Any] = [["bounds", net.bounds]]
        proved = checker.rule_path_signs(net)
        if net.kinks & proved:
            lines.append(["path_signs"])
        left = []
        for unit in sorted(net.kinks - proved):
            check_time(net)
            if unit in self._written:
                lines += self._written[unit]
                continue
            left.append(unit)
        cheap = len(left) * len(net.units) ** 2 <= LONGEST
        walks = net.dimensions <= SPACE and (walked or cheap)
        if not walks or (net.dimensions > PLANE and not (walked and len(left) > MANY)):
            written, open_ = self._by_trees(left, walks=walks, short=walked)
            if not (walked and open_):  # a walk for some units costs as much as for all
                lines, left = lines + written, open_
        if left and not walked:
            self._walk(left)
        return [*lines, ["walk"]] if left else lines

    def _walk(self, units: list[int]) -> None:
        """Walk as the checker will."""
        self._net.walking = True
        try:
            checker.rule_walk(self._net, {*units})
        except (checker.Malformed, checker.Rejected) as error:
            names = ", ".join(self._net.units[unit].name for unit in units[:FEW])
            raise CertificateError(f"{names} cannot be certified: {error}") from None
        finally:
            self._net.walking = False

    def _by_trees(
        self, units: list[int], *, walks: bool, short: bool
    ) -> tuple[list[Any], list[int]]:
        """Return the lines of trees, and the units that are left: none where nothing walks."""
        lines, left = list[Any](), list[int]()
        others = [u for u in units if u in self._roots or len(self._net.units) > MOST_UNITS]
        joint = self._by_joint_programs([u for u in units if u not in others], short=short)
        for unit, found in chain(((unit, None) for unit in others), joint):
            written = found
            if written is None and (unit in self._roots or not walks):
                try:
                    written = self._tree(unit, self._roots.get(unit))
                except CertificateError:
                    check_time(self._net)
                    if not walks:
                        raise
            lines += written or []
            left += [unit] if written is None else []
        return lines, left

    def _tree(self, unit: int, root: Node | None) -> list[Any]:
        """Return the lines of one group along the prover's tree, or a new one."""
        first = ["tree", *self._net.lead(unit)]
        return [first, *TreeWriter(self._net, unit, self._leaves, self._names).run(root)]

    def _by_joint_programs(
        self, units: list[int], *, short: bool
    ) -> Iterator[tuple[int, list[Any] | None]]:
        """Yield the trees of all faces, or the one of the whole domain; None where that fails."""
        if not units:
            return
        net = self._net
        if not self._units.usable:
            yield from ((unit, None) for unit in units)
            return
        signed = closed_by_sign(net, self._units, units)
        yield from ((unit, [["tree", *net.lead(unit)], ["sign"]]) for unit in sorted(signed))
        for unit, roots in self._roots_of([unit for unit in units if unit not in signed]):
            try:
                if short:
                    trees = Growing([self._writer(root, stubborn=False) for root in roots])
                    closed = trees.grow(SHORT)
                    yield unit, trees.lines if closed else None
                    if not closed:
                        return
                else:
                    written = [self._hinted(root) for root in roots]
                    yield unit, [line for lines in written for line in lines]
            except CertificateError:
                check_time(net)
                yield unit, None

    def _roots_of(self, units: list[int]) -> Iterator[tuple[int, list[Root]]]:
        """Yield the roots of all faces of some units."""
        net, faces = self._net, sorted(self._net.faces) or [0]
        step = max(1, TABLE // (len(net.units) * len(faces)))
        for at in range(0, len(units), step):
            some = units[at : at + step]
            roots = JointRoots(net, self._units, [(u, f) for u in some for f in faces]).run()
            yield from zip(some, _split(roots, len(faces)), strict=True)

    def _writer(self, root: Root, **options: Any) -> JointWriter:
        check_time(self._net)
        parts = self._leaves, self._names, self._units
        return JointWriter(self._net, root, *parts, **options)

    def _hinted(self, root: Root) -> list[Any]:
        """Return the tree of one group on one face, along what the prover found."""
        proof = self._joint.get(root.node.group)
        if proof is None or root.leaf is not None:
            return self._writer(root).run(None)
        hints = hint_tree(proof, self._piece(proof, root.node.face), self._names)
        cuts = hinted_cuts(self._net, self._units, self._names, proof)
        return self._writer(root, cuts=cuts).run(hints)

    def _piece(self, proof: JointProof, face: int) -> int:
        """Return the prover's number of a face; it has t last, the checker has it first."""
        if not face:
            return 0
        last = self._net.inputs - 2
        fixed = (last if abs(face) == 1 else abs(face) - 2, 1 if face > 0 else -1)
        return proof.faces.index(fixed) if fixed in proof.faces else -1

    @cached_property
    def _units(self) -> FloatUnits:
        return FloatUnits(self._net)


def _split(roots: Iterator[Root], count: int) -> Iterator[list[Root]]:
    """Yield so many at a time."""
    while some := list(islice(roots, count)):
        yield some
