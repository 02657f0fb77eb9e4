"""Trees of a certificate, along the prover's trees (docs/FORMAT.md, section 5).

Every leaf is proved in the terms of the checker, by the checker's own rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any

from jensen.arithmetic.rational import fraction
from jensen.certificate import checker
from jensen.certificate.bounded_network import BoundedNetwork, Names, check_time
from jensen.certificate.checker import ONE, Malformed, Rejected, text_of
from jensen.certificate.leaf_proof import Entry, LeafProver, LeafSolution, accepted
from jensen.certificate.proof_node import ProofNode
from jensen.errors import CertificateError
from jensen.prover.trees.nodes import Node, Rule
from jensen.types import Unit

EXTRA_NODES = 20_000  # nodes that may be added to the prover's tree of one group
ON = 1


class TreeWriter:
    """Writes the tree of one group, along the prover's tree where there is one.

    Attributes
    ----------
    limit : int
        Nodes that may be added to it.
    """

    def __init__(self, net: BoundedNetwork, group: int, leaves: LeafProver, names: Names) -> None:
        self._net = net
        self._group = group
        self._node = ProofNode(net, group)
        self._leaves = leaves
        self._names = names
        self._lines: list[Any] = []
        self._extra = 0
        self.limit = EXTRA_NODES
        # what is left to do, last first: (node of the prover to enter,) or (unit, side)
        self._todo: list[tuple[Any, ...]] = []

    @cached_property
    def _behind(self) -> list[int]:
        """The units that the group reaches."""
        keys, found = {-self._group}, []
        for unit in range(self._group + 1, self._net.output):
            if not self._net.units[unit].form.keys().isdisjoint(keys):
                keys |= {unit, -unit}
                found.append(unit)
        return found

    def run(self, root: Any) -> list[Any]:
        """Return the lines in preorder, on-child first."""
        self._todo = [(root,)]
        while self._todo:
            step = self._todo.pop()
            if len(step) == 2:
                self._node.fix(*step)
            else:
                self._enter(step[0])
        return self._lines

    def _enter(self, proof: Any) -> None:
        check_time(self._net)
        if self._try("sign"):
            return
        while proof is not None and proof.unit is not None:
            unit, factor = self._names.unit(*proof.unit)
            level, index = proof.unit
            on, off = proof.children
            if (on.activations[level][index] == ON) != (factor > 0):
                on, off = off, on
            if unit in self._net.kinks and unit != self._group and unit not in self._node.fixed:
                self._branch(unit, on, off)
                return
            # a unit that is settled, or does not bend: one of its sides is as good as both
            proof = on if self._side(unit) else off
        self._leaf(proof)

    def _branch(self, unit: int, on: Any, off: Any) -> None:
        self._lines.append(["branch", *self._leaves.lead(unit)])
        self._todo += [(unit, None), (off,), (unit, False), (on,), (unit, True)]

    def _leaf(self, proof: Node | None) -> None:
        """Close a leaf, or branch it further."""
        if proof is not None and proof.rule is Rule.SIDE and self._try_sides(proof.proof):
            return
        if self._try("empty", []) or self._try("smooth"):
            return
        if proof is not None and proof.rule is Rule.EMPTY:
            hint = self._translated(proof.proof or {})
            if accepted(self._node, hint):
                self._lines.append(["empty", hint])
                return
        entries, program = self._leaves.empty(self._node)
        if entries is not None:
            self._lines.append(["empty", entries])
            return
        unit = self._next(program)
        if unit is None:
            self._last()
            return
        self._branch_further(unit)

    def _branch_further(self, unit: int) -> None:
        self._count()
        self._branch(unit, None, None)

    def _count(self) -> None:
        """Count nodes that the prover did not need."""
        self._extra += 2
        if self._extra > self.limit:
            self._fail("more branching than expected")

    def _next(self, program: LeafSolution | None) -> int | None:
        """Return an open unit: one in front whose relaxation is far off, else any that counts."""
        node, net = self._node, self._net
        if program is not None and program.point:
            gaps = {
                -key: abs(value - max(self._value(-key, program.point), Fraction(0)))
                for key, value in program.point.items()
                if key < 0
            }
            far = [unit for unit, gap in gaps.items() if 10 * gap >= max(gaps.values())]
            if far:
                return min(far)
        in_front = [-key for key in node.form(self._group) if key < 0]
        open_units = net.kinks - node.fixed.keys() - {self._group}
        behind = [unit for unit in self._behind if unit in open_units]
        return next(iter([*sorted(in_front), *behind, *sorted(open_units)]), None)

    def _value(self, unit: int, point: Mapping[int, Fraction]) -> Fraction:
        """Evaluate a form, in numbers that may be beyond the range of doubles."""
        form = self._node.form(unit)
        one, zero = Fraction(1), Fraction(0)
        values = (c * (one if k == ONE else point.get(k, zero)) for k, c in form.items())
        return sum(values, zero)

    def _side(self, unit: int) -> bool:
        if unit in self._node.fixed:
            return self._node.fixed[unit]
        return bool(self._net.units[unit].high > 0)

    def _last(self) -> None:
        """Close a leaf with nothing left to branch on and no proof in floating point."""
        entries = self._leaves.exactly(self._node, self._net.deadline.over)
        if entries is None or not self._try("empty", entries):
            self._fail("neither empty nor crossed upwards")

    # ----------------------------------------------------------------------- helpers

    def _try(self, name: str, *arguments: Any) -> bool:
        """Write a leaf if the checker's rule accepts it."""
        rules: dict[str, Any] = {
            "sign": checker.rule_sign,
            "empty": checker.rule_empty,
            "smooth": checker.rule_smooth,
            "side": checker.rule_side,
        }
        try:
            rules[name](self._node, *arguments)
        except (Rejected, Malformed):
            return False
        self._lines.append([name, *arguments])
        return True

    def _try_sides(self, units: tuple[Unit, Unit]) -> bool:
        """Write the leaf of two units that contradict the sides of the kink, on and off."""
        (on, _), (off, _) = (self._names.unit(*unit) for unit in units)
        if self._group_factor() < 0:
            on, off = off, on
        if ONE in (on, off):
            return False
        return self._try("side", *self._leaves.lead(on), *self._leaves.lead(off))

    def _translated(self, multipliers: Mapping[Any, Any]) -> list[Entry]:
        """Write the prover's multipliers in the checker's units, where they have a row."""
        entries: list[Entry] = []
        for row, multiplier in multipliers.items():
            y = fraction(multiplier)
            if row.kind == "domain":
                # the prover leaves out rows of zeros; sides of the box need no multiplier here
                rows = [i for i, (form, _) in enumerate(self._net.rows) if form]
                if row.unit < len(rows):
                    entries.append(["domain", rows[row.unit], text_of(y)])
                continue
            if row.kind == "group":
                unit, factor = self._group, self._group_factor()
            else:
                unit, factor = self._names.unit(row.level, row.unit)
            if unit == ONE or not y:
                continue
            entries += self._entry(row.kind, unit, y * factor)
        return entries

    def _group_factor(self) -> Fraction:
        block, index = self._leaves.lead(self._group)
        factor: Fraction = self._net.neurons[block, index][1]
        return factor

    def _entry(self, kind: str, unit: int, y: Fraction) -> list[Entry]:
        """Return the checker's row for one of the prover's; y is in terms of zeta."""
        if kind == "group":
            return [["facet", text_of(-y)]]  # the prover writes its rows as <= 0
        lead = self._leaves.lead(unit)
        if kind == "fixed":
            return [["sign", *lead, text_of(abs(y))]] if unit in self._node.fixed else []
        if unit in self._node.fixed or unit == self._group:
            return []
        if kind == "below":
            low, high = self._net.units[unit].low, self._net.units[unit].high
            return [["below", *lead, text_of(abs(y) / Fraction(high - low))]]
        wants_above = (kind == "above") == (y > 0)
        return [["above", *lead, text_of(abs(y))]] if wants_above else []

    def _fail(self, why: str) -> None:
        fixed = len(self._node.fixed) - 1  # the group is among them
        raise CertificateError(
            f"the tree of {self._net.units[self._group].name} has a leaf that cannot be certified "
            f"({why}); {fixed} units are fixed there"
        )
