"""The simplex method over the rationals: the fallback of :mod:`jensen.arithmetic.exact_lp`.

``max c v`` subject to ``A v <= b`` (equalities for some rows), v free, is solved through
its dual ``min b y, y A = c, y >= 0`` by the primal simplex method with Bland's rule over
``fmpq``. The dual solution is what a proof of emptiness needs; its ray proves that
nothing is feasible. Meant for tens of columns, not for speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jensen.arithmetic.rational import ONE, ZERO

Row = list[Any]


@dataclass(frozen=True, eq=False)
class ExactSolution:
    """The end of an exact linear program.

    Attributes
    ----------
    feasible : bool
        Whether some v satisfies all rows.
    v : list of ``fmpq`` or None
        An optimal point; None if infeasible.
    multipliers : list of ``fmpq``
        One per row, ``>= 0`` on inequality rows: ``y A = c`` and ``b y`` optimal if
        feasible, else ``y A = 0`` and ``b y < 0``.
    """

    feasible: bool
    v: list[Any] | None
    multipliers: list[Any]


def maximise(
    c: Sequence[Any],
    A: Sequence[Sequence[Any]],
    b: Sequence[Any],
    equality: Sequence[bool],
    out_of_time: Callable[[], bool] = lambda: False,
) -> ExactSolution | None:
    """Solve ``max c v``, ``A v <= b`` exactly; the optimum must be finite.

    Returns
    -------
    ExactSolution, or None if the time ran out or the objective is unbounded.
    """
    columns = [(i, ONE) for i in range(len(A))] + [
        (i, -ONE) for i, equal in enumerate(equality) if equal
    ]
    tableau = _Tableau(c, A, b, columns, out_of_time)
    if not tableau.find_feasible():
        return None
    ray = tableau.optimise()
    if ray is None and tableau.stopped:
        return None
    values = tableau.solution() if ray is None else ray
    multipliers = [ZERO] * len(A)
    for value, (i, sign) in zip(values, columns, strict=True):
        multipliers[i] += sign * value
    return ExactSolution(ray is None, tableau.prices() if ray is None else None, multipliers)


class _Tableau:
    """Simplex tableau of ``min cost y, M y = c, y >= 0`` with one artificial per row."""

    def __init__(
        self,
        c: Sequence[Any],
        A: Sequence[Sequence[Any]],
        b: Sequence[Any],
        columns: list[tuple[int, Any]],
        out_of_time: Callable[[], bool],
    ) -> None:
        self._n = len(c)
        self._real = len(columns)
        self._signs = [-ONE if v < 0 else ONE for v in c]
        self._rows: list[Row] = []
        for k in range(self._n):
            row = [self._signs[k] * sign * A[i][k] for i, sign in columns]
            row += [ONE if j == k else ZERO for j in range(self._n)]
            self._rows.append([*row, self._signs[k] * c[k]])
        self._basis = [self._real + k for k in range(self._n)]
        self._cost = [sign * b[i] for i, sign in columns]
        self._out_of_time = out_of_time
        self._reduced: Row = []
        self.stopped = False

    def find_feasible(self) -> bool:
        """Drive the artificial variables to zero (phase 1)."""
        width = self._real + self._n + 1
        self._reduced = [ZERO] * width
        for row in self._rows:
            self._reduced = [r - v for r, v in zip(self._reduced, row, strict=True)]
        for j in range(self._real, self._real + self._n):
            self._reduced[j] = ZERO
        if self._pivot_to_optimum() is not None or self.stopped:
            return False
        if self._reduced[-1] != 0:
            return False
        self._drop_artificials()
        return True

    def optimise(self) -> list[Any] | None:
        """Minimise the cost (phase 2); return a ray if it is unbounded."""
        self._reduced = [*self._cost, *([ZERO] * (self._n + 1))]
        for row, j in zip(self._rows, self._basis, strict=True):
            price = self._cost[j] if j < self._real else ZERO
            if price != 0:
                self._reduced = [r - price * v for r, v in zip(self._reduced, row, strict=True)]
        return self._pivot_to_optimum()

    def solution(self) -> list[Any]:
        """Return y at the current basis."""
        values = [ZERO] * self._real
        for row, j in zip(self._rows, self._basis, strict=True):
            if j < self._real:
                values[j] = row[-1]
        return values

    def prices(self) -> list[Any]:
        """Return v, read off the reduced costs of the artificial columns."""
        return [-self._signs[k] * self._reduced[self._real + k] for k in range(self._n)]

    def _pivot_to_optimum(self) -> list[Any] | None:
        """Pivot by Bland's rule; return a ray where nothing bounds the entering column."""
        while True:
            if self._out_of_time():
                self.stopped = True
                return None
            entering = next((j for j in range(self._real) if self._reduced[j] < 0), None)
            if entering is None:
                return None
            leaving = self._leaving_row(entering)
            if leaving is None:
                ray = [ZERO] * self._real
                ray[entering] = ONE
                for row, j in zip(self._rows, self._basis, strict=True):
                    if j < self._real:
                        ray[j] -= row[entering]
                return ray
            self._pivot(leaving, entering)

    def _leaving_row(self, entering: int) -> int | None:
        best: tuple[Any, int, int] | None = None
        for index, row in enumerate(self._rows):
            if row[entering] > 0:
                candidate = (row[-1] / row[entering], self._basis[index], index)
                if best is None or candidate[:2] < best[:2]:
                    best = candidate
        return None if best is None else best[2]

    def _pivot(self, index: int, entering: int) -> None:
        pivot = self._rows[index][entering]
        row = self._rows[index] = [v / pivot for v in self._rows[index]]
        for other, values in enumerate(self._rows):
            if self._out_of_time():
                return  # what is left of the tableau is not looked at any more
            factor = values[entering]
            if other != index and factor != 0:
                self._rows[other] = [
                    v - factor * p if p != 0 else v for v, p in zip(values, row, strict=True)
                ]
        factor = self._reduced[entering]
        if factor != 0:
            self._reduced = [r - factor * p for r, p in zip(self._reduced, row, strict=True)]
        self._basis[index] = entering

    def _drop_artificials(self) -> None:
        """Pivot basic artificials out where a real column can take their place.

        A row without one is a redundant equality: it stays, harmless, at zero.
        """
        for index in range(self._n):
            if self._basis[index] >= self._real:
                row = self._rows[index]
                entering = next((j for j in range(self._real) if row[j] != 0), None)
                if entering is not None:
                    self._pivot(index, entering)
