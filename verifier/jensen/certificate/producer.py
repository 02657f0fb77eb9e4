"""Turn the prover's closed trees into lines of a certificate (docs/FORMAT.md, section 5).

The trees are a skeleton: every leaf is proved again in the terms of the checker and by
the checker's own rules, and is branched further where those ask for more, for instance
because the prover knew tighter bounds. What comes out was checked once already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.tree_writer import TreeWriter
from jensen.groups.groups import GroupedNetwork
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
        self._roots = {self._names.unit(*proof.group)[0]: proof.root for proof in proofs}

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
            lines.append(["tree", *self._leaves.lead(unit)])
            writer = TreeWriter(net, unit, self._leaves, self._names)
            lines += writer.run(self._roots.get(unit))
        return lines
