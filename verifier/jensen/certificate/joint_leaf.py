"""Multipliers of the joint program for leaves of a certificate (docs/FORMAT.md, rule `empty`).

One program for all nodes of a tree, in doubles: the inputs, a value for every open unit in
front, a state for every open unit behind the group, and a product where the slope that
arrives at such a unit depends on other states. It minimises the jump. Branching changes
bounds only, so that every node starts from the basis of the last one. The solver's
multipliers are rounded to short numbers. Those are what the checker will read: what its rule
finds is bounded in doubles, and where that bound does not reach the rule itself is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.arithmetic.intervals import SAFETY, rounding_factor
from jensen.certificate.checker import text_of
from jensen.certificate.float_units import TINY, trailing_zeros
from jensen.certificate.joint_rows import JointRows, Words
from jensen.certificate.leaf_proof import Entry, accepted
from jensen.certificate.proof_node import ProofNode
from jensen.prover.joint.dual_bound import LinearProgram
from jensen.types import FloatArray
from jensen_encodings.bounded import BoundedProgram, BoundedSolution, BoundedStatus
from jensen_encodings.deadline import NEVER, Deadline

EXACT = 1e-7  # bounds this far below 0 are not given up before they were computed exactly
BITS = (16, 28, 44)  # of multipliers: short ones mostly do
SPARED = 0.5  # of what a bound has to spare, for states that are left open
TARGET = 1e-5  # of the jump's size: programs are stopped once their bound is this far above 0


@dataclass(frozen=True, eq=False)
class JointAnswer:
    """What the program of a node says.

    Attributes
    ----------
    multipliers : array (rows,)
        Those that may close it; empty where none do.
    empty : bool
        Whether they prove that there is no point (the jump takes no part).
    x : array (columns,) or None
        The solution to branch at.
    """

    multipliers: FloatArray
    empty: bool = False
    x: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class _Written:
    """Multipliers in units of ``2**step``, those of ends of values, and what they prove."""

    multipliers: FloatArray
    step: int
    ends: dict[int, int]
    bound: float


class JointProver:
    """The joint programs of one tree.

    Parameters
    ----------
    rows : JointRows
        At the root of the tree, with all bounds that it begins with.
    deadline : Deadline
        A program that runs into it proves nothing.
    """

    def __init__(self, rows: JointRows, deadline: Deadline = NEVER) -> None:
        self._rows, self._deadline = rows, deadline
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
        self._above = {
            rows.unit_of[i]: i for i, words in enumerate(rows.words) if words[0] == "above"
        }
        self._rounding = rows.rounding + rounding_factor(2 * sum(rows.A.shape) + 32)
        self._states = list(rows.states)
        self._columns = np.array(list(rows.states.values()), dtype=np.intp)
        self._fixed: dict[int, bool] = {}
        # units that the solver does not yet know to be fixed, or free
        self._stale: set[int] = set()

    @cached_property
    def _solver(self) -> BoundedProgram:
        rows = self._rows
        sides = rows.lower, rows.upper, rows.least, rows.most
        return BoundedProgram(rows.cost, rows.A, *sides, perturbed=True)

    def hinted(self, node: ProofNode, found: FloatArray, *, empty: bool) -> list[Entry] | None:
        """Return entries that close a node, from multipliers of another program; or None."""
        self._fix({unit: node.fixed[unit] for unit in node.branched})
        return self._accepted(node, found, with_jump=not empty)

    def needed(
        self,
        node: ProofNode,
        states: list[tuple[int, bool]],
        found: FloatArray,
        *,
        empty: bool,
    ) -> list[tuple[int, bool]]:
        """Return the states that multipliers need, besides those that are fixed at a node."""
        rows, data = self._rows, self._data
        here = {unit: node.fixed[unit] for unit in node.branched}
        self._fix(here | dict(states))
        room = SPARED * data.least(found, with_cost=not empty)
        rest = (0.0 if empty else rows.cost) - data.signed(found) @ rows.A
        losses = []
        for unit, on in states:
            slope = float(rest[rows.states[unit]]) if unit in rows.states else math.inf
            loss = math.inf if unit in rows.values else max(slope if on else -slope, 0.0)
            losses.append((loss, unit))
        spared = set()
        for loss, unit in sorted(losses):
            room -= loss
            if not room > 0:
                break
            spared.add(unit)
        return [item for item in states if item[0] not in spared]

    def value(self, x: FloatArray) -> float:
        """Return the jump at a solution, in floating point."""
        return float(self._rows.cost @ x + self._rows.shift)

    def implied(self, node: ProofNode) -> list[tuple[int, bool]]:
        """Return the states that all patterns with a negative jump have, by the program's ranges.

        With any other state of one of these units the jump is at least 0, up to rounding.
        """
        self._fix({unit: node.fixed[unit] for unit in node.branched})
        data, columns = self._data, self._columns
        pull = data.cost[columns]
        least = data.shift + float(data.cost @ np.where(data.cost > 0, data.lower, data.upper))
        forced = (data.lower[columns] < data.upper[columns]) & (least + np.abs(pull) > 0)
        return [(self._states[i], bool(pull[i] < 0)) for i in np.flatnonzero(forced & (pull != 0))]

    def answer(self, node: ProofNode, states: Sequence[tuple[int, bool]] = ()) -> JointAnswer:
        """Solve the joint program of a node of the tree, with some states fixed besides."""
        self._fix({unit: node.fixed[unit] for unit in node.branched} | dict(states))
        data = self._data
        found = self._solve()
        if found.status is BoundedStatus.INFEASIBLE and found.ray.size:
            for sign in (1.0, -1.0):
                if data.least(sign * found.ray, with_cost=False) > 0:
                    return JointAnswer(sign * found.ray, empty=True)
        x = found.x if found.status is BoundedStatus.OPTIMAL else None
        if found.multipliers.size and data.least(found.multipliers) > -EXACT:
            return JointAnswer(found.multipliers, x=x)
        return JointAnswer(np.empty(0), x=x)

    # ------------------------------------------------------------------------ fixing

    def _fix(self, wanted: dict[int, bool]) -> None:
        """Fix units by bounds alone: all rows hold for units that are fixed, too."""
        for unit in [u for u, on in self._fixed.items() if wanted.get(u) is not on]:
            self._set(unit, None)
            del self._fixed[unit]
        for unit, on in wanted.items():
            if unit not in self._fixed:
                self._set(unit, on)
                self._fixed[unit] = on

    def _set(self, unit: int, on: bool | None) -> None:
        rows, data, root = self._rows, self._data, self._root
        self._stale.add(unit)
        state, value = rows.states.get(unit), rows.values.get(unit)
        if state is not None:
            data.lower[state], data.upper[state] = (0.0, 1.0) if on is None else (on, on)
        if value is not None:
            data.upper[value] = 0.0 if on is False else root.upper[value]
            above = self._above[unit]
            data.row_upper[above] = data.row_lower[above] if on else np.inf

    def _solve(self) -> BoundedSolution:
        rows, data = self._rows, self._data
        for unit in self._stale:
            columns = np.array(rows.columns_of(unit), dtype=np.intp)
            self._solver.set_columns(columns, data.lower[columns], data.upper[columns])
            if unit in self._above:
                row = self._above[unit]
                self._solver.set_row(row, data.row_lower[row], data.row_upper[row])
        self._stale.clear()
        return self._solver.solve(TARGET - data.shift, self._deadline)

    # -------------------------------------------------------------------- multipliers

    def _accepted(
        self, node: ProofNode, found: FloatArray, *, with_jump: bool
    ) -> list[Entry] | None:
        """Round multipliers, to more bits where fewer do not do."""
        found = self._data.signed(found)
        exponent = math.frexp(float(np.abs(found).max(initial=0.0)))[1]
        for bits in BITS:
            step = exponent - bits
            written = self._written(np.rint(np.ldexp(found, -step)), step, with_jump=with_jump)
            least = 0.0 if with_jump else TINY
            if self._rows.certain and written.bound >= least:
                return self._entries(written, with_jump=with_jump)
            if written.bound > -EXACT and (bits == BITS[-1] or not self._rows.certain):
                entries = self._entries(written, with_jump=with_jump)
                node.settle()
                if accepted(node, entries):
                    return entries
        return None

    def _written(self, multipliers: FloatArray, step: int, *, with_jump: bool) -> _Written:
        """Bound the jump by multipliers in units of ``2**step``, as the checker's rule does.

        Units that are on have no value there: zeta is put in its place, and what the solver
        knew of the value's range is said by rows of its own.
        """
        rows, data = self._rows, self._data
        y = np.ldexp(multipliers, step)
        on = sorted(
            (k for k, state in self._fixed.items() if state and k in rows.values), reverse=True
        )
        total = (rows.cost if with_jump else 0.0) - y @ rows.A
        ends = {k: math.floor(np.ldexp(total[rows.values[k]], -step)) for k in on}
        above = [self._above[k] for k in on]
        total += y[above] @ rows.A[above]
        y[above] = 0.0
        constant = (rows.shift if with_jump else 0.0) - float(y @ rows.constants)
        size = float(np.abs(y) @ rows.sizes) + (
            abs(rows.shift) + rows.cost_size if with_jump else 0.0
        )
        slack = float(np.abs(y) @ rows.slack)
        for k in on:
            column, end = rows.values[k], math.ldexp(ends[k], step)
            rest = float(total[column]) - end
            total += rest * rows.forms[k, 1:]
            total[column] = 0.0
            constant += rest * float(rows.forms[k, 0]) + min(end, 0.0) * rows.high(k)
            size += 2 * (abs(rest) + abs(end)) * (float(rows.reach[column]) + rows.high(k))
        bound = constant + float(total @ np.where(total > 0, data.lower, data.upper))
        error = self._rounding * size + slack + TINY
        return _Written(multipliers, step, ends, bound - SAFETY * error)

    # ----------------------------------------------------------------------- entries

    def _entries(self, written: _Written, *, with_jump: bool) -> list[Entry]:
        """Write multipliers as those of the checker's rows.

        All are integers, with one power of two in common.
        """
        rows, step = self._rows, written.step
        used = np.flatnonzero(written.multipliers)
        whole = written.multipliers[used].astype(np.int64)
        zeros = trailing_zeros(whole)
        odd = zip(used.tolist(), (whole >> zeros).tolist(), zeros.tolist(), strict=True)
        found: list[tuple[Words, int, int]] = []  # odd numbers, and powers of two
        for row, y, zero in odd:
            words, unit, shift = rows.words[row], rows.unit_of[row], zero - rows.bits[row]
            kind = words[0]
            on = self._fixed.get(unit)
            if kind == "above" and on:
                continue  # the value is zeta
            if kind == "off" and on and unit not in rows.values:
                words = ("sign", *words[1:])  # the row has no value, the checker's one has
            found.append((words, y, shift))
            if kind == "on" and unit not in rows.values:
                found.append((("above", *words[1:]), y, shift))
        for unit, end in written.ends.items():
            if end:
                # the checker puts zeta in its place, which only rows keep in its range
                words = ("sign" if end > 0 else "on", *rows.lead(unit))
                zero = (end & -end).bit_length() - 1
                found.append((words, abs(end) >> zero, zero - rows.size_bits(unit)))
        if with_jump:
            found.append((("jump",), 1, -rows.top - step))
        base = min((shift for _, _, shift in found), default=0)
        total: dict[Words, int] = {}
        for words, y, shift in found:
            total[words] = total.get(words, 0) + (y << (shift - base))
        return [[*words, text_of(y)] for words, y in total.items()]
