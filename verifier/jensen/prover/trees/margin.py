"""Is there a facet under this partial pattern? The margin program (docs/theory.md, section 4).

Variables are the working variables y, a value h for every free unit in front of a fixed
one, and the margin t, which is maximised:

    z_g(y, h) = 0
    s_j z_j(y, h) >= t |P grad z_j|      fixed units (s_j = +1 on, -1 off)
    h >= 0, h >= z, h <= u (z - l) / (u - l)      free units (triangle relaxation)
    rows y + t |row| <= limits           inside the working set by t

P projects on the hyperplane. Rows carry a margin only where every genuine facet has them
strict: the set's own rows, and units that are affine under the pattern and do not vanish
on the hyperplane of g. No facet is left if t <= 0 or nothing is feasible. That is never
believed to the solver: its multipliers are rounded to the null space of the exact rows
and checked in rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jensen.arithmetic.exact_lp import maximise
from jensen.arithmetic.rational import ONE, ZERO, project_to_null_space
from jensen.groups.forms import ExactForms, FloatForms, RowName
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations
from jensen.types import FloatArray, ObjectArray, Unit
from jensen_encodings.lp import LpResult, LpSolver, LpStatus

MARGIN_TOLERANCE = 1e-8  # below it, a proof of emptiness is tried; it decides nothing itself
COINCIDENCE_ANGLE = 1e-7  # below it, coincidence with the hyperplane is decided exactly
MULTIPLIER_CUT = 1e-10  # smaller multipliers are taken for zero before the exact solve


@dataclass(frozen=True, eq=False)
class Margin:
    """The answer for one partial pattern.

    Attributes
    ----------
    empty : bool
        Proved in rational arithmetic: no facet of the group has this pattern.
    multipliers : mapping from RowName to ``fmpq``
        The proof, if empty.
    margin : float
        The solver's optimum, a hint.
    point : array (dim,) or None
        The solver's y, None if infeasible.
    gaps : mapping from free unit to the distance of h from relu(z)
    affine : bool
        Whether no free unit takes part: the answer then speaks of the network itself.
    """

    empty: bool
    margin: float
    point: FloatArray | None
    multipliers: Mapping[RowName, Any] = field(default_factory=dict)
    gaps: Mapping[Unit, float] = field(default_factory=dict)
    affine: bool = False


@dataclass(frozen=True, eq=False)
class ExactMargin:
    """The exact answer for a full pattern: a proof of emptiness, or an interior point."""

    multipliers: Mapping[RowName, Any]
    point: ObjectArray | None


class MarginProgram:
    """Margin programs of one group."""

    def __init__(self, net: GroupedNetwork, group: Unit, solver: LpSolver) -> None:
        self._net = net
        self._group = group
        self._solver = solver
        working = net.working_set
        self._set_rows = working.float_rows
        self._set_limits = working.float_limits
        self._set_norms = working.float_norms
        self.lps = 0

    def likely_point(self, activations: Activations) -> FloatArray | None:
        """Return the solver's y inside a facet of a pattern; None, unproved, if it finds none."""
        forms = FloatForms(self._net, self._group, activations)
        exact = ExactForms(self._net, self._group, activations, forms.variables)
        rows, A, b, _ = self._assemble(forms, exact, activations)
        c = np.zeros(A.shape[1])
        c[-1] = 1.0
        self.lps += 1
        result = self._solver.maximise(c, A, b, np.array([row.kind == "group" for row in rows]))
        found = result.status is LpStatus.OPTIMAL and result.objective > 0
        return result.x[: forms.dim] if found else None

    def solve(self, activations: Activations) -> Margin:
        """Solve the program of a partial pattern."""
        forms = FloatForms(self._net, self._group, activations)
        exact = ExactForms(self._net, self._group, activations, forms.variables)
        if _vanishes(forms.group_form()) and not any(exact.form(*self._group)):
            return Margin(True, 0.0, None, {RowName("group"): ZERO})
        rows, A, b, sizes = self._assemble(forms, exact, activations)
        equality = np.array([row.kind == "group" for row in rows])
        contradiction = np.flatnonzero(~A.any(axis=1) & ((b < 0) | (equality & (b > 0))))
        if contradiction.size:
            # HiGHS gives no ray for a row without coefficients
            hint = np.zeros(len(rows))
            hint[contradiction[0]] = -np.sign(b[contradiction[0]])
            result = LpResult(LpStatus.INFEASIBLE, -np.inf, np.empty(0), hint)
        else:
            c = np.zeros(A.shape[1])
            c[-1] = 1.0
            self.lps += 1
            result = self._solver.maximise(c, A, b, equality)
        affine = not forms.variables
        if result.status is LpStatus.OPTIMAL and result.objective > MARGIN_TOLERANCE:
            return self._open(result, forms, affine)
        proof = None
        if result.multipliers.size:
            proof = self._prove_empty(result.multipliers / sizes, rows, exact, activations)
        if proof is not None:
            return Margin(True, 0.0, None, proof, affine=affine)
        if result.status is LpStatus.OPTIMAL:
            return self._open(result, forms, affine)
        return Margin(False, 0.0, None, affine=affine)

    def solve_exactly(
        self, activations: Activations, out_of_time: Callable[[], bool]
    ) -> ExactMargin | None:
        """Solve the program of a full pattern in rational arithmetic; None if time ran out.

        The last resort at leaves whose facet is too thin for the solver.
        """
        forms = FloatForms(self._net, self._group, activations)
        exact = ExactForms(self._net, self._group, activations, forms.variables)
        rows = [RowName("group")]
        margins = [ZERO]
        for k, u in forms.needed_units():
            if out_of_time():
                return None
            if (k, u) == self._group or exact.is_coincident(k, u):
                continue
            rows.append(RowName("fixed", k, u))
            margins.append(_rough_size(exact.form(k, u)[1:]))
        for i, row in enumerate(self._net.working_set.rows):
            rows.append(RowName("domain", 0, i))
            margins.append(_rough_size(row))
        exact_rows = [exact.row(row, activations) for row in rows]
        A = [[*row[1:], margin] for row, margin in zip(exact_rows, margins, strict=True)]
        b = [row[0] for row in exact_rows]
        cap = [*([ZERO] * forms.dim), ONE]
        equality = [row.kind == "group" for row in rows] + [False]
        limits, deadline = [*b, ONE], self._solver.deadline
        solution = maximise(cap, [*A, cap], limits, equality, out_of_time, deadline)
        if solution is None:
            return None
        if solution.v is not None and solution.v[-1] > 0:
            return ExactMargin({}, np.array(solution.v[:-1], dtype=object))
        proof = {row: y for row, y in zip(rows, solution.multipliers, strict=False) if y != 0}
        return ExactMargin(proof, None)

    def _assemble(
        self, forms: FloatForms, exact: ExactForms, activations: Activations
    ) -> tuple[list[RowName], FloatArray, FloatArray, FloatArray]:
        """Return the rows ``A (y, h, t) <= b``, scaled to gradients of size 1, and the sizes."""
        width = forms.width
        group = forms.group_form()
        rows = [RowName("group")]
        matrix, limits = [np.append(group[1:], 0.0)], [-group[0]]
        normal = group[1 : 1 + forms.dim]
        group_affine = not group[1 + forms.dim :].any()
        for k, u in forms.needed_units():
            if (k, u) == self._group:
                continue
            form = forms.form(k, u)
            act = activations[k][u]
            if act == FREE:
                self._relax(rows, matrix, limits, forms, k, u)
                continue
            sign = -1.0 if act == ON else 1.0
            margin = 0.0
            if group_affine and not form[1 + forms.dim :].any():
                margin = self._projected_norm(form[1 : 1 + forms.dim], normal)
                if margin <= COINCIDENCE_ANGLE * _norm(form[1:]) and exact.is_coincident(k, u):
                    continue  # vanishes on the whole hyperplane: binds nothing
            rows.append(RowName("fixed", k, u))
            matrix.append(np.append(sign * form[1:], margin))
            limits.append(-sign * form[0])
        rows += [RowName("domain", 0, i) for i in range(len(self._set_rows))]
        domain = np.zeros((len(self._set_rows), width))
        domain[:, : forms.dim], domain[:, -1] = self._set_rows, self._set_norms
        A, b = np.vstack([matrix, domain]), np.append(limits, self._set_limits)
        size = np.linalg.norm(A[:, :-1], axis=1)
        size = np.where(size > 0, size, np.where(b != 0, np.abs(b), 1.0))
        A /= size[:, None]
        b /= size
        cap = np.zeros(width)
        cap[-1] = 1.0
        return (
            [*rows, RowName("cap")],
            np.vstack([A, cap]),
            np.append(b, 1.0),
            np.append(size, 1.0),
        )

    def _relax(
        self,
        rows: list[RowName],
        matrix: list[FloatArray],
        limits: list[float],
        forms: FloatForms,
        k: int,
        u: int,
    ) -> None:
        form = forms.form(k, u)
        h = np.zeros(forms.width)
        h[forms.variables[k, u]] = 1.0
        z = np.append(form[1:], 0.0)
        lower, upper = self._net.levels[k].lower[u], self._net.levels[k].upper[u]
        slope = upper / (upper - lower)
        rows += [RowName("nonnegative", k, u), RowName("above", k, u), RowName("below", k, u)]
        matrix += [-h, z - h, h - slope * z]
        limits += [0.0, -form[0], slope * (form[0] - lower)]

    def _projected_norm(self, gradient: FloatArray, normal: FloatArray) -> float:
        size = _norm(normal)
        if size == 0:
            return _norm(gradient)
        unit = normal / size
        return _norm(gradient - (gradient @ unit) * unit)

    # --------------------------------------------------------------------- answers

    def _open(self, result: LpResult, forms: FloatForms, affine: bool) -> Margin:
        gaps = {}
        for (k, u), column in forms.variables.items():
            form = forms.form(k, u)
            z = form[0] + form[1:] @ result.x[:-1]
            gaps[k, u] = float(abs(result.x[column] - max(z, 0.0)))
        return Margin(False, result.objective, result.x[: forms.dim], gaps=gaps, affine=affine)

    def _prove_empty(
        self,
        multipliers: FloatArray,
        rows: list[RowName],
        exact: ExactForms,
        activations: Activations,
    ) -> dict[RowName, Any] | None:
        """Turn the solver's multipliers into exact ones, or return None."""
        multipliers = multipliers / np.abs(multipliers).max(initial=1e-300)
        support = [
            i
            for i, row in enumerate(rows)
            if row.kind != "cap" and abs(multipliers[i]) > MULTIPLIER_CUT
        ]
        if not support:
            return None
        exact_rows = [exact.row(rows[i], activations) for i in support]
        guess = [float(multipliers[i]) for i in support]
        for with_limits in (False, True):
            columns = [row if with_limits else row[1:] for row in exact_rows]
            y = project_to_null_space(columns, guess)
            if y and self._is_proof(y, [rows[i] for i in support], exact_rows, exact):
                return {rows[i]: v for i, v in zip(support, y, strict=True)}
        return None

    def _is_proof(
        self, y: list[Any], rows: list[RowName], exact_rows: list[list[Any]], exact: ExactForms
    ) -> bool:
        if any(v < 0 for v, row in zip(y, rows, strict=True) if row.kind != "group"):
            return False
        limit = sum((v * row[0] for v, row in zip(y, exact_rows, strict=True)), ZERO)
        if limit != 0:
            return bool(limit < 0)
        return any(v > 0 and exact.is_strict(row) for v, row in zip(y, rows, strict=True))


def _rough_size(row: ObjectArray) -> Any:
    """Return a positive rational of about the size of a row, 1 for a zero row."""
    size = max((abs(v) for v in row), default=ZERO)
    return size if size != 0 else ONE


def _norm(vector: FloatArray) -> float:
    return float(np.linalg.norm(vector))


def _vanishes(form: FloatArray) -> bool:
    return bool(np.abs(form).max() <= 1e-9)
