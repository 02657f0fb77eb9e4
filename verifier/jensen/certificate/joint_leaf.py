"""Multipliers of the joint program for leaves of a certificate (docs/FORMAT.md, rule `empty`).

One program for all nodes of a tree, in doubles: the inputs, a value for every open unit in
front, a state for every open unit behind the group, and a product where the slope that
arrives at such a unit depends on other states. It minimises the jump. Branching changes
bounds only, so that every node starts from the basis of the last one. The solver's
multipliers are rounded to short numbers, and count if the rule accepts them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.certificate.checker import text_of
from jensen.certificate.joint_rows import JointRows
from jensen.certificate.leaf_proof import Entry, accepted
from jensen.certificate.proof_node import ProofNode
from jensen.prover.dual_bound import LinearProgram
from jensen.types import FloatArray
from jensen_encodings.bounded import BoundedProgram, BoundedStatus

INTEGRAL = 1e-6  # distance from 0 and 1 below which a state is decided
EXACT = 1e-7  # distance of a value from the kinked line below which it is exact
BITS = (20, 32, 44)  # of multipliers: short ones mostly do
TARGET = 1e-5  # of the jump's size: programs are stopped once their bound is this far above 0
LOOSE = 8.0  # a value that is fixed on may leave its range, which no row of the checker says


@dataclass(frozen=True, eq=False)
class JointAnswer:
    """Entries that close a node, or the unit to branch on, or neither."""

    entries: list[Entry] | None = None
    unit: int | None = None


class JointProver:
    """The joint programs of one tree.

    Parameters
    ----------
    rows : JointRows
        At the root of the tree, with all bounds that it begins with.
    """

    def __init__(self, rows: JointRows) -> None:
        self._rows = rows
        self._root = LinearProgram(
            rows.cost, rows.shift, rows.A, rows.lower, rows.upper, rows.least, rows.most
        )
        self._data = LinearProgram(
            rows.cost,
            rows.shift,
            rows.A,
            rows.lower.copy(),
            rows.upper.copy(),
            rows.least.copy(),
            rows.most.copy(),
        )
        self._solver = BoundedProgram(
            rows.cost, rows.A, rows.lower, rows.upper, rows.least, rows.most
        )
        self._fixed: dict[int, bool] = {}

    def answer(self, node: ProofNode) -> JointAnswer:
        """Solve the joint program of a node of the tree."""
        self._fix({unit: node.fixed[unit] for unit in node.branched})
        data = self._data
        found = self._solver.solve(TARGET - data.shift)
        infeasible = found.status is BoundedStatus.INFEASIBLE
        if infeasible and found.ray.size:
            for sign in (1.0, -1.0):
                if data.least(sign * found.ray, with_cost=False) > 0:
                    entries = self._accepted(node, sign * found.ray, with_jump=False)
                    return JointAnswer(entries)
        if found.multipliers.size and data.least(found.multipliers) > -EXACT:
            entries = self._accepted(node, found.multipliers, with_jump=True)
            if entries is not None:
                return JointAnswer(entries)
        if found.status is BoundedStatus.OPTIMAL:
            return JointAnswer(unit=self._branching(found.x))
        return JointAnswer()

    # ------------------------------------------------------------------------ fixing

    def _fix(self, wanted: dict[int, bool]) -> None:
        for unit in [u for u, on in self._fixed.items() if wanted.get(u) is not on]:
            self._restore(unit)
            del self._fixed[unit]
        for unit, on in wanted.items():
            if unit not in self._fixed:
                self._set(unit, on)
                self._fixed[unit] = on

    def _restore(self, unit: int) -> None:
        rows, root = self._rows, self._root
        for column in rows.columns_of(unit):
            self._column(column, root.lower[column], root.upper[column])
        for row in rows.rows_of(unit):
            self._side(row, root.row_lower[row], root.row_upper[row])

    def _set(self, unit: int, on: bool) -> None:
        """Leave the rows that the checker knows of a unit that is fixed.

        These are its sign, and that its value is zeta or 0. Rows that are right for both
        states are not told again.
        """
        rows, root = self._rows, self._root
        if unit in rows.states:
            self._column(rows.states[unit], float(on), float(on))
        value = rows.values.get(unit)
        if value is not None:
            top = LOOSE * root.upper[value] if on else 0.0
            self._column(value, 0.0, top)
        for row in rows.rows_of(unit):
            kind, which = rows.words[row][0], rows.words[row][-1]
            kept = (
                kind == "above"
                or (kind == "product" and (which in (2, 3)) == on)
                or (value is None and (kind == "off") == on)
            )
            side = root.row_lower[row] if kept else -np.inf
            self._side(row, side, side if kind == "above" and on else np.inf)

    def _column(self, column: int, lower: float, upper: float) -> None:
        self._data.lower[column], self._data.upper[column] = lower, upper
        self._solver.set_column(column, lower, upper)

    def _side(self, row: int, lower: float, upper: float) -> None:
        self._data.row_lower[row], self._data.row_upper[row] = lower, upper
        self._solver.set_row(row, lower, upper)

    # ----------------------------------------------------------------------- entries

    def _accepted(
        self, node: ProofNode, found: FloatArray, *, with_jump: bool
    ) -> list[Entry] | None:
        """Round multipliers, to more bits where fewer do not do."""
        found = self._data.signed(found)
        largest = 2.0 ** math.frexp(float(np.abs(found).max(initial=0.0)))[1]
        for bits in BITS:
            step = largest / 2.0**bits
            rounded = np.rint(found / step) * step
            if self._data.least(rounded, with_cost=with_jump) < -EXACT and bits < BITS[-1]:
                continue
            entries = self._entries(rounded, step, with_jump)
            if accepted(node, entries):
                return entries
        return None

    def _entries(self, multipliers: FloatArray, step: float, with_jump: bool) -> list[Entry]:
        """Write multipliers of the program as those of the checker's rows."""
        rows = self._rows
        found: dict[tuple[object, ...], Fraction] = {}

        def put(words: tuple[object, ...], y: float, bits: int) -> None:
            exact = Fraction(y) * Fraction(2) ** (rows.top - bits)
            found[words] = found.get(words, Fraction(0)) + exact

        for row in np.flatnonzero(multipliers).tolist():
            y, words, bits = float(multipliers[row]), rows.words[row], rows.bits[row]
            unit = rows.unit_of[row]
            kind = words[0]
            if unit in self._fixed:
                if kind == "product" or (kind == "above" and self._fixed[unit]):
                    continue  # nothing is left of them
                put(("sign", *words[1:]), y, bits)
            else:
                put(words, y, bits)
                if kind == "on" and unit not in rows.values:
                    put(("above", *words[1:]), y, bits)
        reduced = (rows.cost if with_jump else 0.0) - multipliers @ rows.A
        for unit, on in self._fixed.items():
            if on and unit in rows.values:
                y = math.floor(reduced[rows.values[unit]] / step) * step
                if y > 0:
                    put(("sign", *rows.lead(unit)), y, rows.size_bits(unit))
        first: list[Entry] = [["jump", "1"]] if with_jump else []
        return first + [[*words, text_of(y)] for words, y in found.items()]

    # ------------------------------------------------------------------- branching

    def _branching(self, x: FloatArray) -> int | None:
        """Return the unit whose relaxation is furthest off; states come before values."""
        rows = self._rows
        best: tuple[float, int] | None = None
        for unit, column in rows.states.items():
            share = float(x[column])
            if unit not in self._fixed and INTEGRAL < share < 1 - INTEGRAL:
                score = min(share, 1 - share) * rows.weights[unit]
                if best is None or score > best[0]:
                    best = score, unit
        if best is not None:
            return best[1]
        for unit, column in rows.values.items():
            if unit in self._fixed:
                continue
            z = rows.forms[unit, 0] + rows.forms[unit, 1:] @ x
            gap = abs(float(x[column]) - max(float(z), 0.0)) / (self._root.upper[column] or 1.0)
            if gap > EXACT and (best is None or gap > best[0]):
                best = gap, unit
        return None if best is None else best[1]
