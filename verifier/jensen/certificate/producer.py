"""Turn the prover's closed trees into lines of a certificate (docs/FORMAT.md, section 5).

The trees are a skeleton: every leaf is proved again in the terms of the checker, and is branched
further where its rules ask for more, for instance because the prover knew tighter bounds. What
the rules find is computed in doubles, with bounds of all errors; where that does not reach they
are asked themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.float_units import FloatUnits
from jensen.certificate.joint_hints import hint_tree
from jensen.certificate.joint_roots import JointRoots, Root, closed_by_sign
from jensen.certificate.joint_writer import JointWriter
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.proof_node import ProofNode
from jensen.certificate.tree_writer import TreeWriter
from jensen.errors import CertificateError
from jensen.groups.groups import GroupedNetwork
from jensen.prover.joint_proof import JointProof
from jensen.prover.nodes import Node
from jensen.prover.outcome import GroupProof
from jensen_encodings.lp import LpSolver

MOST_UNITS = 3000  # matrices of all units are dense
TABLE = 1 << 20  # numbers of a table of roots and units


class Producer:
    """Builds the lines that follow the claim.

    Parameters
    ----------
    net : BoundedNetwork
    grouped : GroupedNetwork or None
        The prover's groups.
    proofs : sequence of GroupProof
    """

    def __init__(
        self, net: BoundedNetwork, grouped: GroupedNetwork | None, proofs: Sequence[GroupProof]
    ) -> None:
        self._net = net
        self._names = Names(net, grouped)
        self._leaves = LeafProver(net, LpSolver(net.deadline))
        self._roots: dict[int, Node] = {}
        self._joint: dict[int, JointProof] = {}
        for proof in proofs:
            unit, _ = self._names.unit(*proof.group)
            if proof.root is not None:
                self._roots[unit] = proof.root
            elif proof.joint is not None:
                self._joint[unit] = proof.joint

    def lines(self) -> list[Any]:
        """Return all lines.

        Raises
        ------
        CertificateError
            If a leaf cannot be certified.
        """
        net = self._net
        lines: list[Any] = [["bounds", net.bounds]]
        proved = checker.rule_path_signs(net)
        if net.kinks & proved:
            lines.append(["path_signs"])
        left = []
        for unit in sorted(net.kinks - proved):
            check_time(net)
            if unit in self._roots or len(net.units) > MOST_UNITS:
                lines += self._tree(unit, self._roots.get(unit))
                continue
            walked = self._by_walks(unit)
            lines += walked or []
            if walked is None:
                left.append(unit)
        for unit, written in self._by_joint_programs(left):
            lines += self._tree(unit, None) if written is None else written
        return lines

    def _tree(self, unit: int, root: Node | None) -> list[Any]:
        """Return the lines of one group along the prover's tree, or a new one."""
        first = ["tree", *self._net.lead(unit)]
        return [first, *TreeWriter(self._net, unit, self._leaves, self._names).run(root)]

    def _by_walks(self, unit: int) -> list[Any] | None:
        """Return trees of one leaf each, where the kink is a segment on every face."""
        lines: list[Any] = []
        for face in sorted(self._net.faces) or [0]:
            node = ProofNode(self._net, unit, face)
            try:
                checker.rule_walk(node)
            except (checker.Rejected, checker.Malformed):
                return None
            lines += [["tree", *self._net.lead(unit), *([face, []] if face else [])], ["walk"]]
        return lines

    def _by_joint_programs(self, units: list[int]) -> Iterator[tuple[int, list[Any] | None]]:
        """Yield the trees of all faces, or the one of the whole domain; None where that fails."""
        if not units:
            return
        net, faces = self._net, sorted(self._net.faces) or [0]
        if not self._units.usable:
            yield from ((unit, None) for unit in units)
            return
        signed = closed_by_sign(net, self._units, units)
        yield from ((unit, [["tree", *net.lead(unit)], ["sign"]]) for unit in sorted(signed))
        left = [unit for unit in units if unit not in signed]
        step = max(1, TABLE // (len(net.units) * len(faces)))
        for at in range(0, len(left), step):
            some = left[at : at + step]
            roots = JointRoots(net, self._units, [(u, f) for u in some for f in faces]).run()
            for unit, found in zip(some, _split(roots, len(faces)), strict=True):
                try:
                    yield unit, [line for root in found for line in self._joint_tree(root)]
                except CertificateError:
                    check_time(net)
                    yield unit, None

    def _joint_tree(self, root: Root) -> list[Any]:
        """Return the lines of one group on one face, along what the prover found."""
        check_time(self._net)
        proof, hints = self._joint.get(root.node.group), None
        if proof is not None and root.leaf is None:
            hints = hint_tree(proof, self._piece(proof, root.node.face), self._names)
        writer = JointWriter(self._net, root, self._leaves, self._names, self._units)
        return writer.run(hints)

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
