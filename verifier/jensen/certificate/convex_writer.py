"""Certificates of convexity while they are written: before the engine's search, or after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jensen.certificate import checker
from jensen.certificate.bounded_network import OUT_OF_TIME, BoundedNetwork, Names, check_time
from jensen.certificate.box_around import box_around
from jensen.certificate.checker import Claim, Rejected
from jensen.certificate.claims import claim_record, interior_rule
from jensen.certificate.model_export import export_bytes
from jensen.certificate.producer import Growing, Producer
from jensen.domains.domain import Domain
from jensen.errors import CertificateError, OutOfTimeError
from jensen.groups.groups import GroupedNetwork
from jensen.network.relu_network import ReluNetwork
from jensen.prover.group_proof import Closed, GroupProof
from jensen.types import Unit
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen_encodings.deadline import Deadline

FAILURES = 3  # groups that trees of joint programs cannot close, before no more are tried


@dataclass(frozen=True, eq=False)
class Claimed:
    """What is claimed of a network.

    Attributes
    ----------
    network : ReluNetwork
        The whole network, with all its outputs.
    domain : Domain
    output : int
    concave : bool
    inputs : sequence of int or None
        Inputs in which convexity is claimed (partial convexity).
    """

    network: ReluNetwork
    domain: Domain
    output: int = 0
    concave: bool = False
    inputs: Sequence[int] | None = None


class ConvexWriter:
    """Writes one certificate of convexity.

    Parameters
    ----------
    claimed : Claimed
    grouped : GroupedNetwork or None
        The prover's groups and bounds.
    deadline : Deadline
    plain : bool
        Whether units are bounded by intervals alone.

    Raises
    ------
    CertificateError
        If the checker cannot read what is claimed, or time is up.
    """

    def __init__(
        self,
        claimed: Claimed,
        grouped: GroupedNetwork | None,
        deadline: Deadline,
        *,
        plain: bool = False,
    ) -> None:
        network, domain = claimed.network, claimed.domain
        # large networks take seconds to be exported, and to be read
        still_in_time(deadline)
        exported = export_bytes(network)
        still_in_time(deadline)
        model = checker.read_model(exported)
        kind = "concave" if claimed.concave else "convex"
        claim = claim_record(network, model.digest, domain, claimed.output, kind, claimed.inputs)
        self._head: list[Any] = [claim]
        self._grouped = grouped
        try:
            read = Claim(claim, model)
            if domain.has_rows and read.rows:
                self._head.append(interior_rule(domain, network.input_size, deadline))
                _, point, equations = self._head[-1]
                exact = checker.rationals(point, model.inputs)
                checker.rule_interior(read, exact, equations)
                box = box_around(read, exact, domain.working_set(model.inputs, deadline))
                if box is not None:
                    checker.rule_box(read, exact, box)
                    self._head[-1].append(box)
            self._net = BoundedNetwork(model, read, grouped, deadline, plain=plain)
        except (checker.Malformed, Rejected) as error:
            raise CertificateError(f"no certificate: {error}") from None
        except OutOfTimeError:
            raise CertificateError(OUT_OF_TIME) from None
        self._producer = Producer(self._net, Names(self._net, grouped))
        self._growing: dict[int, Growing] = {}
        self._failures = 0

    def close_by_signs(self) -> bool:
        """Prove all groups by the signs of J under some states; return whether that is done.

        These are then the lines that the certificate will have.
        """
        try:
            return self._producer.close_by_signs()
        except (CertificateError, checker.Malformed):  # time is up, or numbers too long
            return False

    def close(self, groups: Sequence[Unit], nodes: int) -> Closed:
        """Prove groups without the engine, or go on with that.

        What is proved here are the lines that the certificate will have.
        """
        assert self._grouped is not None
        units = {group: self._units_of(group) for group in groups}
        closed: dict[Unit, GroupEvidence] = {}
        paused: list[Unit] = []
        try:
            new = dict.fromkeys(unit for some in units.values() for unit in some)
            self._growing |= self._producer.begin(k for k in new if k not in self._growing)
            for group, some in units.items():
                if self._failures > FAILURES:
                    break
                trees = [self._growing.get(unit) for unit in some]
                grown = self._grown([tree for tree in trees if tree is not None], nodes)
                if grown is None or None in trees:
                    continue
                if grown:
                    closed[group] = self._closed(group, some)
                else:
                    paused.append(group)
        except CertificateError:
            return Closed(closed, ())  # time is up
        return Closed(closed, tuple(paused) if self._failures <= FAILURES else ())

    def _units_of(self, group: Unit) -> list[int]:
        assert self._grouped is not None
        neurons = self._grouped.neurons(group)
        return sorted({self._net.neurons[neuron][0] for neuron in neurons})

    def _grown(self, trees: list[Growing], nodes: int) -> bool | None:
        """Let trees grow; return whether they are closed, None if one cannot be."""
        try:
            return all(tree.grow(nodes) for tree in trees)
        except CertificateError:
            check_time(self._net)
            self._failures += 1
            return None

    def _closed(self, group: Unit, units: list[int]) -> GroupEvidence:
        """Keep the lines of a group."""
        assert self._grouped is not None
        trees = [self._growing[unit] for unit in units]
        for unit, tree in zip(units, trees, strict=True):
            self._producer.keep(unit, tree.lines)
        nodes, programs = sum(t.nodes for t in trees), sum(t.programs for t in trees)
        return GroupEvidence(self._grouped.neurons(group), Reason.JOINT, nodes, programs)

    def lines(self, proofs: Sequence[GroupProof], *, walked: bool = False) -> list[Any]:
        """Return all lines of the certificate.

        Parameters
        ----------
        proofs : sequence of GroupProof
            The prover's closed trees. Groups without one are searched from scratch.
        walked : bool
            Whether a walk of few inputs has proved the claim, so that the checker's will.

        Raises
        ------
        CertificateError
            If a leaf could not be certified, which the message names, or time is up.
        """
        return [*self._head, *self._producer.lines(proofs, walked=walked)]


def still_in_time(deadline: Deadline) -> None:
    """Give up where time is up."""
    if deadline.over():
        raise CertificateError(OUT_OF_TIME)
