"""The linear program over the cuts, kept in one HiGHS instance while cuts are added.

    minimise  c x + sum_s w_s t_s
    subject to  t_s >= g_i x + c_i   (cuts i of term s),   A x <= b,   E x = e,   l <= x <= u.

Columns, rows and the objective are scaled by powers of two, x is counted from the point of the
box next to 0 and each t_s from a value of its term, so that HiGHS's absolute tolerances mean the
same for every unit of x and f, and no coefficient falls below what it drops (1e-9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import highspy
import numpy as np

from jensen.arithmetic.powers import exponents_near
from jensen.errors import SolverError
from jensen.optimise.cuts import Cuts
from jensen.optimise.feasible import FeasibleSet
from jensen.types import FloatArray
from jensen_encodings.solver import INFINITY, Compressed, accepts, linear_program, started

TOLERANCE = 1e-9
ROUGH = 1e-2  # gap of the integer search, which only looks for a good point
OPTIONS: dict[str, int | float | str] = {
    "threads": 1,
    "presolve": "off",
    "solver": "simplex",
    "primal_feasibility_tolerance": TOLERANCE,
    "dual_feasibility_tolerance": TOLERANCE,
}


class LpEnd(StrEnum):
    """How a program ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class Duals:
    """Multipliers in the units of the problem; hints.

    Attributes
    ----------
    cuts : array (cuts,)
        ``>= 0``; those of a term add up to its weight.
    rows : array (rows,)
        ``>= 0``, of ``A x <= b``.
    equations : array (equations,)
        Of ``E x = e``, counted like ``rows``.
    """

    cuts: FloatArray
    rows: FloatArray
    equations: FloatArray


@dataclass(frozen=True, eq=False)
class LpPoint:
    """The end of one solve: a point, the solver's bound, its multipliers."""

    end: LpEnd
    x: FloatArray
    objective: float
    duals: Duals


class EpigraphLp:
    """One persistent program.

    Parameters
    ----------
    feasible : FeasibleSet
    lower, upper : arrays (inputs,)
        Finite bounds of x, at most as wide as those of the set.
    linear : array (inputs,)
    weights : array (terms,)
        Positive.
    cuts : Cuts
        At least one of each term.
    integers : sequence of int, optional
        Inputs that :meth:`solve_integer` keeps integral.
    """

    def __init__(
        self,
        feasible: FeasibleSet,
        lower: FloatArray,
        upper: FloatArray,
        linear: FloatArray,
        weights: FloatArray,
        cuts: Cuts,
        integers: Sequence[int] = (),
    ) -> None:
        self._feasible, self._linear, self._weights = feasible, linear, weights
        inputs, terms = len(lower), len(weights)
        self._unit = _power_of_two(upper - lower)
        still = feasible.ground.still  # where sides differ by rounding: no unit to measure in
        self._unit[still] = np.maximum(self._unit[still], 1.0)
        self._unit[list(integers)] = 1.0
        self._origin = np.clip(np.zeros(inputs), lower, upper)
        self._integers = np.array(integers, dtype=np.int32)
        steep = np.abs(linear) * self._unit
        slopes = np.abs(cuts.gradient) * self._unit
        steep = np.maximum(steep, (weights[cuts.term][:, None] * slopes).max(axis=0, initial=0.0))
        self._scale = float(_power_of_two(np.array([steep.max(initial=0.0)]))[0])
        self._start = np.full(terms, -np.inf)
        np.maximum.at(self._start, cuts.term, cuts.gradient @ self._origin + cuts.offset)
        self._highs = started(OPTIONS)
        free, none = np.full(terms, INFINITY), np.empty(0)
        lp = linear_program(
            np.concatenate([linear * self._unit / self._scale, weights]),
            (np.append(self._scaled(lower), -free), np.append(self._scaled(upper), free)),
            Compressed.of_dense(np.empty((0, inputs + terms))),
            (none, none),
        )
        if not accepts(self._highs, lp):
            raise SolverError("HiGHS rejects the program: are all numbers finite?")
        self._row_scale = self._add_fixed_rows(feasible)
        self.cuts = cuts
        self._add_rows(cuts)

    def _set(self, **options: Any) -> None:
        for name, value in options.items():
            if self._highs.setOptionValue(name, value) != highspy.HighsStatus.kOk:
                raise SolverError(f"HiGHS refuses the option {name} = {value}")

    def _add_fixed_rows(self, feasible: FeasibleSet) -> FloatArray:
        matrix = np.concatenate([feasible.A, feasible.E]) * self._unit
        scale = 1.0 / _power_of_two(np.abs(matrix).max(axis=1, initial=0.0))
        sides = np.concatenate([feasible.b, feasible.e])
        sides -= np.concatenate([feasible.A, feasible.E]) @ self._origin
        upper = sides * scale
        lower = np.where(np.arange(len(upper)) < len(feasible.b), -INFINITY, upper)
        self._add(matrix * scale[:, None], lower, upper)
        return scale

    def add(self, cuts: Cuts) -> None:
        """Add cuts; the next solve goes on from the last basis."""
        self.cuts = self.cuts.joined(cuts)
        self._add_rows(cuts)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is an error in _add
    def _add_rows(self, cuts: Cuts) -> None:
        matrix = np.zeros((len(cuts), len(self._linear) + len(self._weights)))
        matrix[:, : len(self._linear)] = -cuts.gradient * (self._unit / self._scale)
        matrix[np.arange(len(cuts)), len(self._linear) + cuts.term] = 1.0
        offset = cuts.offset + cuts.gradient @ self._origin
        lower = (offset - self._start[cuts.term]) / self._scale
        self._add(matrix, lower, np.full(len(cuts), INFINITY))

    def _add(self, matrix: FloatArray, lower: FloatArray, upper: FloatArray) -> None:
        rows, columns = np.nonzero(matrix)
        starts = np.searchsorted(rows, np.arange(len(lower))).astype(np.int32)
        values = matrix[rows, columns]
        if not np.isfinite(values).all():
            raise SolverError("a cut is not finite: the network's numbers are too large")
        status = self._highs.addRows(
            len(lower), lower, upper, len(values), starts, columns.astype(np.int32), values
        )
        if status == highspy.HighsStatus.kError:
            raise SolverError("HiGHS rejects rows: numbers of a cut, or of a row, are too large")

    def set_bounds(self, lower: FloatArray, upper: FloatArray) -> None:
        """Change the bounds of x."""
        columns = np.arange(len(lower), dtype=np.int32)
        self._highs.changeColsBounds(len(lower), columns, self._scaled(lower), self._scaled(upper))

    def _scaled(self, x: FloatArray) -> FloatArray:
        return np.asarray((x - self._origin) / self._unit)

    def solve(self) -> LpPoint:
        """Solve from the last basis."""
        self._highs.run()
        status = self._highs.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            _, found, ray = self._highs.getDualRay()  # type: ignore[attr-defined]
            duals = self._duals(np.array(ray)) if found else self._duals(np.zeros(self._rows))
            return LpPoint(LpEnd.INFEASIBLE, np.zeros(0), np.inf, duals)
        if status != highspy.HighsModelStatus.kOptimal:
            return LpPoint(LpEnd.FAILED, np.zeros(0), -np.inf, self._duals(np.zeros(self._rows)))
        solution = self._highs.getSolution()
        values = np.array(solution.col_value)
        inputs = len(self._linear)
        x = self._origin + values[:inputs] * self._unit
        t = self._start + values[inputs:] * self._scale
        objective = float(self._linear @ x + self._weights @ t)
        return LpPoint(LpEnd.OPTIMAL, x, objective, self._duals(np.array(solution.row_dual)))

    def solve_integer(self, time_limit: float | None) -> LpPoint:
        """Solve with the integer inputs integral, by HiGHS's search; without multipliers."""
        kinds = highspy.HighsVarType
        count = len(self._integers)
        self._highs.changeColsIntegrality(
            count, self._integers, np.full(count, int(kinds.kInteger), dtype=np.uint8)
        )
        left = INFINITY if time_limit is None else time_limit
        self._set(presolve="choose", solver="choose", mip_rel_gap=ROUGH, time_limit=left)
        self._highs.run()
        duals = self._duals(np.zeros(self._rows))
        info = self._highs.getInfo()
        found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if not found:
            return LpPoint(LpEnd.INFEASIBLE, np.zeros(0), np.inf, duals)
        inputs = len(self._linear)
        x = self._origin + np.array(self._highs.getSolution().col_value)[:inputs] * self._unit
        return LpPoint(LpEnd.OPTIMAL, x, self.values_at(x), duals)

    @property
    def _rows(self) -> int:
        return len(self._row_scale) + len(self.cuts)

    def _duals(self, duals: FloatArray) -> Duals:
        fixed = len(self._row_scale)
        units = -duals[:fixed] * self._row_scale * self._scale
        count = len(self._feasible.b)
        return Duals(np.maximum(duals[fixed:], 0.0), np.maximum(units[:count], 0.0), units[count:])

    def values_at(self, x: FloatArray) -> float:
        """Return about the value of the model of the cuts at a point."""
        t = np.full(len(self._weights), -np.inf)
        np.maximum.at(t, self.cuts.term, self.cuts.gradient @ x + self.cuts.offset)
        return float(self._linear @ x + self._weights @ t)


def _power_of_two(sizes: FloatArray) -> FloatArray:
    """Return powers of two near positive numbers; 1 for others."""
    usable = (sizes > 2.0**-500) & (sizes < 2.0**500)
    return np.asarray(np.ldexp(1.0, exponents_near(np.where(usable, sizes, 0.0))))
