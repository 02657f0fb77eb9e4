"""Turn the prover's closed trees into lines of a certificate (docs/FORMAT.md, section 5).

The trees are a skeleton: every leaf is proved again in the terms of the checker and by
the checker's own rules, and is branched further where those ask for more, for instance
because the prover knew tighter bounds. What comes out was checked once already.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.joint_hints import hint_tree
from jensen.certificate.joint_writer import JointWriter
from jensen.certificate.kink_lemmas import MOST_UNITS, FloatUnits
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.proof_node import ProofNode
from jensen.certificate.tree_writer import TreeWriter
from jensen.errors import CertificateError
from jensen.groups.groups import GroupedNetwork
from jensen.prover.joint_proof import JointProof
from jensen.prover.nodes import Node
from jensen.prover.outcome import GroupProof
from jensen_encodings.lp import LpSolver


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
        self._leaves = LeafProver(net, LpSolver())
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
        for unit in sorted(net.kinks - proved):
            lines += self._tree(unit)
        return lines

    def _tree(self, unit: int) -> list[Any]:
        """Return the lines of one group: along the prover's tree, or by joint programs."""
        net, first = self._net, ["tree", *self._leaves.lead(unit)]
        check_time(net)
        root = self._roots.get(unit)
        if root is not None or len(net.units) > MOST_UNITS:
            return [first, *TreeWriter(net, unit, self._leaves, self._names).run(root)]
        try:
            checker.rule_sign(checker.Node(net, unit, {unit: False}))
        except checker.Rejected:
            walked = self._by_walks(unit)
            if walked is not None:
                return walked
            try:
                return self._by_joint_programs(unit)
            except CertificateError:
                check_time(net)
                return [first, *TreeWriter(net, unit, self._leaves, self._names).run(None)]
        return [first, ["sign"]]

    def _by_walks(self, unit: int) -> list[Any] | None:
        """Return trees of one leaf each, where the kink is a segment on every face."""
        lines: list[Any] = []
        for face in sorted(self._net.faces) or [0]:
            node = ProofNode(self._net, unit)
            if face:
                node.on_face(face)
            try:
                checker.rule_walk(node)
            except (checker.Rejected, checker.Malformed):
                return None
            lines += [["tree", *self._leaves.lead(unit), *([face, []] if face else [])], ["walk"]]
        return lines

    def _by_joint_programs(self, unit: int) -> list[Any]:
        """Return the trees of all faces, or the one of the whole domain."""
        lines: list[Any] = []
        for face in sorted(self._net.faces) or [0]:
            writer = JointWriter(self._net, unit, self._leaves, self._names, self._units, face)
            proof = self._joint.get(unit)
            hints = (
                None if proof is None else hint_tree(proof, self._piece(proof, face), self._names)
            )
            lines += writer.run(hints)
        return lines

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
