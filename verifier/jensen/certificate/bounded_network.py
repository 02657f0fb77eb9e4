"""The checker's network as the producer of certificates sees it (docs/FORMAT.md, section 4)."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import Any

from jensen.arithmetic.rational import floats
from jensen.certificate import checker
from jensen.certificate.checker import (
    ONE,
    Claim,
    Form,
    Model,
    Network,
    Node,
    Scaled,
)
from jensen.certificate.leaf_proof import LeafProver
from jensen.certificate.row_bounds import RowBounds
from jensen.errors import CertificateError
from jensen.groups.groups import GroupedNetwork
from jensen.types import FloatArray
from jensen_encodings.deadline import Deadline
from jensen_encodings.lp import LpSolver

NARROW = Fraction(9, 10)  # of a range, or less, is worth a rule
OUT_OF_TIME = "the time limit was reached while the certificate was produced"


class BoundedNetwork(Network):
    """The checker's network, with the bounds that settle what the prover knows to be settled.

    Attributes
    ----------
    bounds : list
        The entries of the certificate's rule.
    deadline : Deadline
        Of all work on the certificate.
    walking : bool
        Whether the checker's own walk is going on, so that the clock is looked at.
    free : dict from key to scaled form
        What is left of 1 or t (key 0) and of inputs (from 1 on), in units.

    Parameters
    ----------
    model : Model
    claim : Claim
    grouped : GroupedNetwork or None
        The prover's groups and bounds.
    deadline : Deadline
    plain : bool
        Whether intervals do, so that no entries are looked for.
    """

    def __init__(
        self,
        model: Model,
        claim: Claim,
        grouped: GroupedNetwork | None,
        deadline: Deadline,
        *,
        plain: bool = False,
    ) -> None:
        self.bounds: list[list[Any]] = []
        self.deadline, self._plain = deadline, plain
        self.walking = False
        self._leaves = LeafProver(self, LpSolver(deadline))
        self._given = model.inputs
        self._boxed = not claim.lifted and bool(claim.rows)
        self._settled = {} if grouped is None else _settled(grouped.unfolded or grouped, model)
        super().__init__(model, claim, {})

    def _inputs(self, claim: Claim) -> dict[int, Scaled]:
        self.free = super()._inputs(claim)
        return self.free

    @property
    def output(self) -> int:
        """The unit of the output, which the checker's walk asks for at every step."""
        if self.walking:
            in_time(self)
        return self._output

    @output.setter
    def output(self, unit: int) -> None:
        self._output = unit

    @cached_property
    def dimensions(self) -> int:
        """How many inputs vary, or on a cone without rows how many units read them at most."""
        lifted = len(self.faces) > 0
        varying = self.inputs - 1 - lifted
        if not lifted or self.rows:
            return varying
        reading = [any(1 < key < self.inputs for key in unit.form) for unit in self.units]
        return min(varying, sum(reading))

    @cached_property
    def _rows_matter(self) -> bool:
        """Whether the polyhedron may be much smaller than its box.

        It has many faces, or what is left of its inputs makes up for others, whose bounds
        only rows know.
        """
        left, faces = self.inputs - 1, sum(len(form.keys() - {ONE}) > 1 for form, _ in self.rows)
        return self._boxed and (left < self._given or faces >= left)

    @cached_property
    def _row_bounds(self) -> RowBounds:
        return RowBounds(self)

    def _expanded(self, zeta: Form) -> list[list[Any] | None]:
        """Bound a form of units that are only passed on by what these are made of.

        Intervals of them forget how they hang together; without multipliers a form is expanded.
        """
        node = Node(self, ONE, {})
        both = [{key: sign * v for key, v in zeta.items()} for sign in (-1, 1)]
        apart = [node.largest(form) for form in both]
        total, factor = node.combine([], zeta)
        together = [
            ceil(factor * node.largest({k: sign * v for k, v in total.items()})) for sign in (-1, 1)
        ]
        narrow = sum(together) <= NARROW * sum(apart)
        return [[] if narrow and b < a else None for a, b in zip(apart, together, strict=True)]

    def lead(self, unit: int) -> list[Any]:
        """Return ``[block, index]`` of the first neuron of a unit."""
        return self._leaves.lead(unit)

    def multipliers(self, block: str, index: int, zeta: Form) -> Any:
        """Prove again that a neuron is settled, where interval arithmetic does not see it."""
        check_time(self)
        sides: list[list[Any] | None] = [None, None]
        if self._plain:
            return sides
        on = self._settled.get((block, index))
        if on is None:
            if self._rows_matter and all(0 <= key < self.inputs for key in zeta):
                sides = self._row_bounds.sides(zeta)
            elif any(key >= self.inputs for key in zeta):
                sides = self._expanded(zeta)
            if sides != [None, None]:
                self.bounds.append([block, index, *sides])
            return sides
        side = 0 if on else 1
        sign = 1 if side else -1
        form = {key: sign * v for key, v in zeta.items()}
        node = Node(self, ONE, {})
        if node.largest(form) <= 0:
            return sides
        entries: Any = "0" if node.line(zeta, sign, 0) <= 0 else None
        if entries is None and self._boxed:
            entries = self._row_bounds.settling(self.lead, form)
        if entries is None:
            entries = self._leaves.bound(zeta, sign)
        if entries is not None:
            sides[side] = entries
            self.bounds.append([block, index, *sides])
        return sides


def check_time(net: BoundedNetwork) -> None:
    """Give up where time is up. What is tried here is no work of the reader's."""
    checker.WORK[0] = 0
    in_time(net)


def in_time(net: BoundedNetwork) -> None:
    """Give up where time is up, and count the work as it is."""
    if net.deadline.over():
        raise CertificateError(OUT_OF_TIME)


def _settled(grouped: GroupedNetwork, model: Model) -> dict[tuple[str, int], bool]:
    """Return the ReLUs that the prover's bounds settle, and whether they are on.

    The prover keeps no unit for those that are off, and one without kink for those on.
    """
    kinks = {
        (member.block, member.index): bool(kink)
        for level in grouped.levels
        for members, kink in zip(level.units, level.kink, strict=True)
        for member in members
    }
    relus = [neuron.name for neuron in model.neurons if neuron.relu]
    return {relu: relu in kinks for relu in relus if not kinks.get(relu, False)}


class Names:
    """From the prover's units to the checker's: ``z_prover = factor * zeta``."""

    def __init__(self, net: Network, grouped: GroupedNetwork | None) -> None:
        self._net = net
        self._grouped = grouped

    def unit(self, level: int, index: int) -> tuple[int, Fraction]:
        """Return the checker's unit and the factor of a unit of the prover."""
        if self._grouped is None:
            return ONE, Fraction(0)
        lead = self._grouped.levels[level].units[index][0]
        return self._net.neurons[lead.block, lead.index]

    def working_matrix(self, inputs: list[int]) -> FloatArray:
        """Return how inputs depend on the working variables, rounded: (inputs, variables)."""
        assert self._grouped is not None
        return floats(self._grouped.working_set.matrix[inputs])
