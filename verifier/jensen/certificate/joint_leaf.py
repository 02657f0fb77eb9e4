"""Multipliers of the joint program for leaves of a certificate (docs/FORMAT.md, rule `empty`).

The program of a node has the inputs, a value for every open unit in front, a state for every
open unit behind the group, and a product where the slope that arrives at such a unit
depends on other states. It minimises the jump; rows and ranges are the checker's own.
The solver's multipliers are rounded to short numbers, and count if the rule accepts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import ONE, Form, Network, add, spans, text_of
from jensen.certificate.leaf_proof import CUT, Entry, accepted
from jensen.certificate.proof_node import ProofNode
from jensen.types import FloatArray
from jensen_encodings.lp import LpSolver, LpStatus

INTEGRAL = 1e-6  # distance from 0 and 1 below which a state is decided
EXACT = 1e-7  # distance of a value from the kinked line, over its size, below which it is exact
BITS = (20, 44)  # of multipliers: short ones mostly do

Point = dict[int, float]


@dataclass(frozen=True, eq=False)
class JointAnswer:
    """Entries that close a node, or the unit to branch on, or neither."""

    entries: list[Entry] | None = None
    unit: int | None = None


@dataclass(frozen=True, eq=False)
class JointRow:
    """A row ``factor * form >= 0`` with the words that name it; ``2**bits`` is its size."""

    words: tuple[Any, ...]
    form: Form
    factor: Fraction | int
    bits: int


class JointProver:
    """Finds multipliers of joint programs.

    Parameters
    ----------
    net : Network
    solver : LpSolver
    lead : callable
        The words that name a unit.
    """

    def __init__(self, net: Network, solver: LpSolver, lead: Callable[[int], list[Any]]) -> None:
        self._net, self._solver, self._lead = net, solver, lead
        self._count = len(net.units)

    def answer(self, node: ProofNode) -> JointAnswer:
        """Solve the joint program of a node."""
        node.spans = spans(node)
        node.bend()
        program = _Program(node, self._rows(node), self._count)
        multipliers, point = program.solve(self._solver, node.jumps[self._net.output])
        for bits in BITS if multipliers.size else ():
            entries = program.entries(multipliers, bits, with_jump=point is not None)
            if accepted(node, entries):
                return JointAnswer(entries)
        return JointAnswer(unit=None if point is None else self._branching(node, point))

    # ------------------------------------------------------------------------ rows

    def _rows(self, node: ProofNode) -> list[tuple[Any, ...]]:
        """Name all rows that bear on the jump and on the kink."""
        states, fixed = self._open(node), node.branched
        wanted = [node.form(k) for k in (node.group, *states, *fixed)]
        values = set(states)
        while wanted:
            for key in wanted.pop():
                if key < 0 and -key not in values:
                    values.add(-key)
                    wanted.append(node.form(-key))
        rows: list[tuple[Any, ...]] = [("facet",)]
        rows += [("sign", *self._lead(k)) for k in fixed]
        for k in sorted(values):
            low, high = node.bounds(k)
            rows.append(("above", *self._lead(k)))
            if low < 0 < high and k not in states:  # the rows of the state imply it
                rows.append(("below", *self._lead(k)))
        for k in states:
            low, high = node.bounds(k)
            if low <= 0 <= high:
                rows += [("on", *self._lead(k)), ("off", *self._lead(k))]
                if node.jumps[k].keys() != {ONE}:
                    rows += [("product", *self._lead(k), which) for which in range(4)]
        return [*rows, *(("domain", i) for i in range(len(self._net.rows)))]

    def _open(self, node: ProofNode) -> list[int]:
        """Return the open units behind the group whose state matters."""
        return [
            k
            for k, slope in node.jumps.items()
            if slope and k not in node.fixed and k in self._net.kinks
        ]

    # ------------------------------------------------------------------- branching

    def _branching(self, node: ProofNode, point: Point) -> int | None:
        """Return the unit whose relaxation is furthest off; states come before values."""
        best: tuple[float, int] | None = None
        for k in self._open(node):
            share = point.get(self._count + k, 0.0)
            if INTEGRAL < share < 1 - INTEGRAL:
                low, high = node.spans.get(k, (0, 0))
                down, up = self._net.slopes[-k]
                score = min(share, 1 - share) * float(max(-low, high)) * float(max(-down, up))
                if best is None or score > best[0]:
                    best = score, k
        if best is not None:
            return best[1]
        for key, value in point.items():
            if key < 0:
                form, low_high = node.form(-key), node.bounds(-key)
                z = sum(
                    float(c) * (1.0 if k == ONE else point.get(k, 0.0)) for k, c in form.items()
                )
                gap = abs(value - max(z, 0.0)) / (max(map(abs, low_high)) or 1)
                if gap > EXACT and (best is None or gap > best[0]):
                    best = gap, -key
        return None if best is None else best[1]


class _Program:
    """The program of one node, its variables divided by their ranges' sizes."""

    def __init__(self, node: ProofNode, names: list[tuple[Any, ...]], count: int) -> None:
        self._node, self._count = node, count
        self._range: dict[int, tuple[int, int]] = {}
        self._rows = [row for row in map(self._row, names) if row is not None]
        self._column = {key: i for i, key in enumerate(self._range)}
        self._top = 0

    def _row(self, words: tuple[Any, ...]) -> JointRow | None:
        form, factor, _ = self._node.row(*words)
        whole = self._node.expand({k: v for k, v in form.items() if k < self._count})
        add(whole, 1, {k: v for k, v in form.items() if k >= self._count})
        keys = whole.keys() - {ONE}
        if not keys:
            return None
        for key in keys - self._range.keys():
            low, high = self._node.bounds(abs(key))
            self._range[key] = (0 if key < 0 else low), max(high, 0) if key < 0 else high
        bits = max((abs(v) * self._size(k)).bit_length() for k, v in whole.items())
        return JointRow(words, whole, factor, bits)

    def _size(self, key: int) -> int:
        return 1 if key == ONE else max(map(abs, self._range[key])) or 1

    def solve(self, solver: LpSolver, jump: Form) -> tuple[FloatArray, Point | None]:
        """Minimise the jump; return multipliers, and the point unless there is none."""
        width = len(self._range)
        A, b = np.zeros((len(self._rows), width)), np.zeros(len(self._rows))
        size = {key: self._size(key) for key in self._range}
        for r, row in enumerate(self._rows):
            scale = 1 << row.bits
            for k, c in row.form.items():
                if k == ONE:
                    b[r] = c / scale
                else:
                    A[r, self._column[k]] = -(c * size[k]) / scale
        lower = np.array([low / size[k] for k, (low, _) in self._range.items()])
        upper = np.array([high / size[k] for k, (_, high) in self._range.items()])
        cost = np.zeros(width)
        self._top = (
            max((abs(v) * size.get(k, 1)).bit_length() for k, v in jump.items()) if jump else 0
        )
        for k, c in jump.items():
            if k in self._column:
                cost[self._column[k]] = -(c * size[k]) / (1 << self._top)
        equality = np.array([row.words[0] == "facet" for row in self._rows])
        found = solver.maximise(cost, A, b, equality, (lower, upper))
        if found.status is not LpStatus.OPTIMAL:
            return found.multipliers, None
        return found.multipliers, {k: float(found.x[i]) * size[k] for k, i in self._column.items()}

    def entries(self, multipliers: FloatArray, bits: int, *, with_jump: bool) -> list[Entry]:
        """Round multipliers to so many bits; of a ray any multiple will do."""
        largest = 2.0 ** math.frexp(float(np.abs(multipliers).max(initial=0.0)))[1]
        unit = 1.0 if with_jump else largest
        # in terms of the rows as they are, a multiplier is multiplied by 2**(top - bits of the row)
        top = self._top if with_jump else max(row.bits for row in self._rows)
        found: list[Entry] = [["jump", "1"]] if with_jump else []
        for row, y in zip(self._rows, multipliers.tolist(), strict=True):
            rounded = round(y / largest * (1 << bits)) if abs(y) > CUT * largest else 0
            if rounded and (rounded > 0 or row.words[0] == "facet"):
                exact = rounded * Fraction(largest / unit) * Fraction(2) ** (top - row.bits - bits)
                found.append([*row.words, text_of(exact / row.factor)])
        return found
