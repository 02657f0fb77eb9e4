"""Exact multipliers for the leaves of a certificate (docs/FORMAT.md, section 5).

A linear program over the rows that the checker knows proposes multipliers. They are
rounded, or, where the margin is exactly 0, moved to the null space of the exact rows by
a rational solve. Nothing here decides anything: a proposal counts if the checker's own
rule accepts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.arithmetic.exact_lp import maximise
from jensen.arithmetic.rational import ONE as ONE_EXACT
from jensen.arithmetic.rational import ZERO, fraction, project_to_null_space, rational
from jensen.certificate.checker import (
    ONE,
    Form,
    Malformed,
    Network,
    Node,
    Rejected,
    rule_empty,
    text_of,
)
from jensen.certificate.proof_node import ProofNode
from jensen.types import FloatArray
from jensen_encodings.lp import LpSolver, LpStatus

Key = tuple[Any, ...]
Entry = list[Any]

ROUNDED_BITS = 30  # of the multipliers where there is room for rounding
CUT = 1e-10  # multipliers and residuals below it are tried as exact zeros
MARGIN = 1e-7  # an optimal margin above it means that there is a facet


@dataclass(frozen=True)
class LeafRow:
    """A row ``form >= 0`` of the checker, with the words that name it."""

    key: Key
    form: dict[int, Any]
    strict: bool = False
    free: bool = False


@dataclass(frozen=True, eq=False)
class LeafSolution:
    """Solution of the program of one node: a point, its margin and multipliers."""

    margin: float
    point: dict[int, Fraction]
    multipliers: FloatArray


class LeafProver:
    """Finds multipliers at the nodes of one network.

    Parameters
    ----------
    net : Network
        The checker's own network.
    solver : LpSolver
    """

    def __init__(self, net: Network, solver: LpSolver) -> None:
        self._net = net
        self._solver = solver
        self.lps = 0
        self._leads: dict[int, list[Any]] = {}
        self._node: ProofNode | None = None  # whose rows were named last
        self._domain: ProofNode | None = None  # of the network, which grows meanwhile

    def lead(self, unit: int) -> list[Any]:
        """Return ``[block, index]`` of the first neuron of a unit."""
        if unit not in self._leads:
            block, _, index = self._net.units[unit].name[:-1].rpartition("[")
            self._leads[unit] = [block, int(index)]
        return self._leads[unit]

    # ------------------------------------------------------------------------ rows

    def rows(self, node: ProofNode, target: Form) -> list[LeafRow]:
        """Return the rows that bear on a form: fixed units, relaxations, the domain."""
        self._node = node
        keys: list[Key] = [("facet",)] if node.group else []
        fixed = sorted(node.fixed.keys() - {node.group})
        wanted = [target, *map(node.form, fixed)]
        seen: set[int] = set()
        while wanted:
            for key in wanted.pop():
                if key < 0 and -key not in seen:
                    seen.add(-key)
                    wanted.append(node.form(-key))
        keys += [("sign", *self.lead(unit)) for unit in fixed]
        for unit in sorted(seen):
            low, high = node.bounds(unit)
            if low < 0 < high:
                keys += [("above", *self.lead(unit)), ("below", *self.lead(unit))]
        keys += [("domain", i) for i in range(len(self._net.rows))]
        rows = []
        for words in keys:
            ((form, factor),) = node.row(*words)
            whole = {key: factor * value for key, value in node.expand(form).items()}
            rows.append(LeafRow(words, whole, node.strict(*words), free=words[0] == "facet"))
        return [row for row in rows if row.form]

    # --------------------------------------------------------------------- programs

    def solve(self, rows: list[LeafRow], objective: Form | None = None) -> LeafSolution | None:
        """Maximise the margin of the strict rows, or a form, over the relaxation."""
        keys = sorted({k for row in rows for k in row.form} | set(objective or {}) - {ONE})
        keys = [k for k in keys if k != ONE]
        if not keys:
            return None
        column = {k: i for i, k in enumerate(keys)}
        size = [self._size(k) for k in keys]
        width = len(keys) + 1
        matrix, limits = np.zeros((len(rows) + 2 * len(keys) + 1, width)), []
        scales = []
        for r, row in enumerate(rows):
            scale = max((abs(c) * self._size(k) for k, c in row.form.items()), default=1)
            scales.append(scale)
            for k, c in row.form.items():
                if k != ONE:
                    matrix[r, column[k]] = -_ratio(c * size[column[k]], scale)
            matrix[r, -1] = 1.0 if row.strict and objective is None else 0.0
            limits.append(_ratio(row.form.get(ONE, 0), scale))
        for i, k in enumerate(keys):
            low, high = self._range(k)
            at = len(rows) + 2 * i
            matrix[at, i], matrix[at + 1, i] = 1.0, -1.0
            if k > 0 and objective is None and not self._on_a_face():
                matrix[at : at + 2, -1] = 1.0
            limits += [_ratio(high, size[i]), -_ratio(low, size[i])]
        matrix[-1, -1] = 1.0
        limits.append(1.0)
        c = np.zeros(width)
        c[-1] = 1.0
        if objective is not None:
            top = max(abs(v) * self._size(k) for k, v in objective.items())
            c[:] = 0.0
            for k, v in objective.items():
                if k != ONE:
                    c[column[k]] = _ratio(v * size[column[k]], top)
        equality = np.array([row.free for row in rows] + [False] * (2 * len(keys) + 1))
        self.lps += 1
        result = self._solver.maximise(c, matrix, np.array(limits), equality)
        if not result.multipliers.size:
            return None
        infeasible = result.status is LpStatus.INFEASIBLE
        point = (
            {}
            if infeasible
            else {
                k: Fraction(float(result.x[i])) * s
                for i, (k, s) in enumerate(zip(keys, size, strict=True))
            }
        )
        return LeafSolution(
            -1.0 if infeasible else result.objective, point, result.multipliers[: len(rows)]
        )

    def _range(self, key: int) -> tuple[int, int]:
        """Return the range of a variable."""
        low, high = self._net.units[abs(key)].low, self._net.units[abs(key)].high
        if self._node is not None:
            low, high = self._node.bounds(abs(key))
        return (0, max(high, 0)) if key < 0 else (low, high)

    def _on_a_face(self) -> bool:
        """Whether points lie on sides of the inputs' ranges, which are not strict there."""
        return self._node is not None and self._node.face != 0

    def _size(self, key: int) -> int:
        low, high = self._range(key)
        return max(abs(low), abs(high)) or 1

    # -------------------------------------------------------------- exact multipliers

    def candidates(
        self, rows: list[LeafRow], guess: FloatArray, objective: Form | None = None
    ) -> Iterator[list[Entry]]:
        """Yield multipliers next to a guess: rounded, and exact for what seems to cancel."""
        scales = [
            Fraction(max((abs(c) * self._size(k) for k, c in row.form.items()), default=1))
            for row in rows
        ]
        top = float(np.abs(guess).max(initial=0.0))
        if objective is not None:
            scale = Fraction(max(abs(v) * self._size(k) for k, v in objective.items()))
            top = 1.0
        if top == 0:
            yield []
            return
        support = [r for r in range(len(rows)) if abs(guess[r]) > CUT * top]
        rounded = {
            r: Fraction(round(float(guess[r]) / top * 2**ROUNDED_BITS), 2**ROUNDED_BITS)
            for r in support
        }
        if objective is not None:
            rounded = {r: y * scale for r, y in rounded.items()}
        yield self._entries(rows, {r: y / scales[r] for r, y in rounded.items()})
        exact_rows = [(rows[r].form, scales[r]) for r in support]
        floats = [float(guess[r]) / top for r in support]
        if objective is not None:
            exact_rows.append((objective, scale))
            floats.append(1.0)
        for exact in self._exact(exact_rows, floats):
            y = [v / s for v, (_, s) in zip(exact, exact_rows, strict=True)]
            if objective is not None:
                if y[-1] <= 0:
                    continue
                y = [v / y[-1] for v in y[:-1]]
            if all(v >= 0 or rows[r].free for r, v in zip(support, y, strict=True)):
                yield self._entries(rows, dict(zip(support, y, strict=True)))

    def _exact(self, rows: list[tuple[Form, Fraction]], guess: list[float]) -> list[list[Fraction]]:
        """Return exact multipliers of scaled rows that cancel what nearly cancels."""
        keys = sorted({k for form, _ in rows for k in form})
        residual: dict[int, float] = {}
        for k in keys:
            terms = [
                _ratio(f.get(k, 0) * self._size(k), s) * y
                for (f, s), y in zip(rows, guess, strict=True)
            ]
            total = sum(terms)
            residual[k] = 0.0 if abs(total) <= 1e-8 * max(map(abs, terms)) else total
        columns: list[dict[int, Any]] = [
            {k: Fraction(form.get(k, 0)) / s for k in keys if k != ONE and not residual[k]}
            for form, s in rows
        ]
        results = []
        for with_bound in (False, True):
            vectors = [[rational(v) for v in column.values()] for column in columns]
            if with_bound:  # the bound over the box shall vanish as well
                for vector, (form, s) in zip(vectors, rows, strict=True):
                    vector.append(
                        rational(
                            sum(
                                (
                                    Fraction(c) / s * self._end(k, residual[k])
                                    for k, c in form.items()
                                ),
                                Fraction(0),
                            )
                        )
                    )
            solution = project_to_null_space(vectors, guess)
            if solution:
                results.append([fraction(v) for v in solution])
        return results

    def _end(self, key: int, residual: float) -> Any:
        if key == ONE:
            return 1
        low, high = self._range(key)
        return high if residual > 0 else low if residual < 0 else 0

    def _entries(self, rows: list[LeafRow], multipliers: dict[int, Fraction]) -> list[Entry]:
        return [
            [*rows[r].key, text_of(y)]
            for r, y in multipliers.items()
            if y > 0 or (y and rows[r].free)
        ]

    # --------------------------------------------------------------------- leaves

    def empty(self, node: ProofNode) -> tuple[list[Entry] | None, LeafSolution | None]:
        """Return multipliers that prove a node empty, or the point that speaks against it."""
        rows = self.rows(node, node.form(node.group))
        program = self.solve(rows)
        if program is None or program.margin > MARGIN:
            return None, program
        for entries in self.candidates(rows, program.multipliers):
            if accepted(node, entries):
                return entries, program
        return None, program

    def exactly(self, node: ProofNode, out_of_time: Callable[[], bool]) -> list[Entry] | None:
        """Solve a leaf's program in rational arithmetic.

        For leaves that floating point cannot decide, as in sets of width 1e-17. Nothing is
        returned where time is up, and arbitrary multipliers where the leaf is not empty.
        """
        rows = self.rows(node, node.form(node.group))
        keys = sorted({k for row in rows for k in row.form} - {ONE})
        A: list[list[Any]] = []
        b: list[Any] = []
        for row in rows:
            A.append([rational(Fraction(-row.form.get(k, 0))) for k in keys])
            A[-1].append(max(map(abs, A[-1]), default=ZERO) if row.strict else ZERO)
            b.append(rational(Fraction(row.form.get(ONE, 0))))
        for k in keys:
            low, high = self._range(k)
            for sign, limit in ((1, high), (-1, -low)):
                strict = k > 0 and not self._on_a_face()
                margin = rational(Fraction(self._size(k) if strict else 0))
                A.append([*(rational(sign * int(k == other)) for other in keys), margin])
                b.append(rational(limit))
        cap = [*([ZERO] * len(keys)), ONE_EXACT]
        equality = [row.free for row in rows] + [False] * (2 * len(keys) + 1)
        limits, deadline = [*b, ONE_EXACT], self._solver.deadline
        solution = maximise(cap, [*A, cap], limits, equality, out_of_time, deadline)
        if solution is None:
            return None
        found = [fraction(y) for y in solution.multipliers[: len(rows)]]
        return self._entries(rows, dict(enumerate(found)))

    def bound(self, zeta: Form, sign: int) -> list[Entry] | None:
        """Return multipliers that bound a form, or minus it, from above on the whole domain.

        The first ones that settle its sign will do.
        """
        if self._domain is None:
            self._domain = ProofNode(self._net, ONE)
        node = self._domain
        form = {key: sign * value for key, value in zeta.items()}
        objective = node.expand(form)
        rows = self.rows(node, objective)
        program = self.solve(rows, objective)
        if program is None:
            return None
        best: tuple[Any, list[Entry]] | None = None
        for entries in self.candidates(rows, program.multipliers, objective):
            total, factor = node.combine(entries, objective)
            limit = factor * node.largest(total)
            if best is None or limit < best[0]:
                best = limit, entries
            if limit <= 0:
                break
        return None if best is None else best[1]


def accepted(node: Node, entries: list[Entry]) -> bool:
    """Ask the checker's rule."""
    try:
        rule_empty(node, entries)
    except (Malformed, Rejected):  # wrong, or numbers of too many digits
        return False
    return True


def _ratio(a: Any, b: Any) -> float:
    """Divide exact numbers of any size."""
    if type(a) is int and type(b) is int:
        return a / b
    return float(Fraction(a) / Fraction(b))
