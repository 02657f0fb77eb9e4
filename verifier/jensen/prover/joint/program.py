"""The joint program of one group: its jump over the relaxed kink (docs/theory.md, section 11).

Variables are y, a value h for every unit in front that changes sign on the kink, a state a
in [0, 1] for every unit behind whose state matters to J, and a product g = a U where
the jump U that arrives at such a unit depends on other states:

    minimise J(a, g)
    z_g = 0,  domain
    h >= 0,  h >= z,  h <= s z + t                               units without a state
    h >= 0,  h >= z,  h <= u a,  h <= z - l (1 - a)              units with h and a state
    z <= u a,  z >= l (1 - a)                                    units with a state only
    g <= M a,  g >= m a,  g <= U - m (1 - a),  g >= U - M (1 - a)    products, U in [m, M]

with bounds l, u of z on the kink. Every point of the kink with every pattern that is
compatible with it satisfies all rows, so that a proved bound >= 0 of the optimum, or a proof
that there is no point, closes all patterns at once. Rows are doubles, their sides are moved
outward by what rounding may have cost. A unit is fixed by bounds alone: its a, or
``h = z``, or ``h = 0``. Where a state takes part in the objective alone, of its two rows only
the one that stands against the objective's pull is there (:class:`OneSided`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jensen.groups.forms import RowName
from jensen.groups.groups import GroupedNetwork
from jensen.groups.jump import FREE, ON, Activations, JumpProblem, JumpState
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.arriving import ArrivingJumps
from jensen.prover.joint.assembly import Arriving, ProgramRows
from jensen.prover.joint.branching import Branching, Choice
from jensen.prover.joint.dual_bound import LinearProgram
from jensen.prover.joint.forms import JointForms
from jensen.prover.joint.kink_bounds import Ranges
from jensen.prover.joint.proof import Path
from jensen.types import BoolArray, FloatArray, Unit
from jensen_encodings.bounded import BoundedProgram, BoundedStatus
from jensen_encodings.deadline import Deadline


@dataclass(frozen=True, eq=False)
class JointSolution:
    """What one program says.

    Attributes
    ----------
    bound : float
        Proved: J is at least this wherever the program has a point; infinite if it has none.
    x : array (columns,) or None
        The solver's optimum.
    multipliers : array (rows,)
        Those that prove the bound.
    """

    bound: float
    x: FloatArray | None
    multipliers: FloatArray


@dataclass(frozen=True, eq=False)
class _Told:
    """What the solver knows of the sides that fixing moves."""

    lower: FloatArray
    upper: FloatArray
    row_lower: FloatArray


class JointProgram:
    """Programs of one group over one piece, which differ in the units that are fixed.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    jump : JumpProblem
        The group's.
    state : JumpState
        Intervals of the jump under the activations.
    activations : sequence of int8 arrays
        Those that the ranges decide strictly; the group itself is free.
    ranges : Ranges
        Bounds on the kink.
    piece : Piece
    jump_may_change : bool
        Whether :meth:`set_jump` or :meth:`set_objective` is going to be used.
    path : tuple of ((level, unit), on)
        States that hold: rows say so. The ranges and the activations know them.
    below : float
        Points where J is more than this are left out; with ``jump_may_change`` only.

    Attributes
    ----------
    state : JumpState
    states : dict from unit to the column of its a
    h : dict from unit to the column of its h
    lps : int
        Programs solved so far.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        jump: JumpProblem,
        state: JumpState,
        activations: Activations,
        ranges: Ranges,
        piece: Piece,
        *,
        jump_may_change: bool = False,
        path: Path = (),
        below: float = np.inf,
    ) -> None:
        self._net, self._group, self._ranges, self._piece = net, group, ranges, piece
        self._jump, self.state, self._activations = jump, state, activations
        self._given, self._below = path, below
        matter = _mattering(net, jump, state, activations)
        wanted = {k: mask.copy() for k, mask in matter.items()}
        for k, u in (group, *(unit for unit, _ in path)):
            wanted.setdefault(k, np.zeros(net.levels[k].size, dtype=bool))[u] = True
        self.forms = JointForms(net, group, ranges, piece, wanted)
        self.dim = self.forms.dim
        self.h = self.forms.h
        units = [(k, u) for k in sorted(matter) for u in np.flatnonzero(matter[k]).tolist()]
        self.states = {unit: self.forms.width + i for i, unit in enumerate(units)}
        self._columns = np.arange(self.forms.width, self.forms.width + len(units))
        self._arriving = ArrivingJumps(net, jump, state, activations, self.states, self.forms.width)
        self._products, self.width = self._arriving.products, self._arriving.width
        self._told: _Told
        self._assemble(one_sided=not (jump_may_change or self._products))
        self._own_rows = len(self._data.row_lower)
        self._added: list[RowName] = []
        self.lps = 0

    @cached_property
    def _names(self) -> list[RowName]:
        return self._builder.names

    def named(self, multipliers: FloatArray) -> dict[RowName, float]:
        """Return the multipliers that are not 0, by what their rows say.

        A second side of a one-sided row goes by the name of the row that it stands for.
        """
        other = {side.row: side for side in self._builder.one_sided.values()}
        found = {}
        for i in np.flatnonzero(multipliers).tolist():
            added = i - self._own_rows
            name, y = self._added[added] if added >= 0 else self._names[i], float(multipliers[i])
            if name.kind == "group":
                y *= self._builder.kink_factor
            if y > 0 and i in other:
                name = RowName("off" if other[i].on else "on", name.level, name.unit)
                y = -y
            found[name] = y
        return found

    # --------------------------------------------------------------------- solving

    def fix(self, unit: Unit, on: bool | None) -> None:
        """Fix a unit's state, or free it again (None)."""
        data = self._data
        column = self.states.get(unit)
        if column is not None:
            data.lower[column] = 1.0 if on else 0.0
            data.upper[column] = 0.0 if on is False else 1.0
            self._moved.add(column)
            side = self._builder.one_sided.get(unit)
            if side is not None:
                self._set_low(side.row, side.low if on is side.on else -np.inf)
            return
        column = self.h[unit]
        data.upper[column] = 0.0 if on is False else self._ranges.upper[unit[0]][unit[1]]
        self._moved.add(column)
        row, slack = self._builder.above[unit]
        self._set_low(row, float(data.row_upper[row]) - slack if on else -np.inf)

    def _set_low(self, row: int, low: float) -> None:
        self._data.row_lower[row] = low
        self._moved_rows.add(row)

    def _hand_over(self) -> None:
        """Tell the solver what was fixed and freed since the last program."""
        data = self._data
        if self._moved:
            columns = np.array(list(self._moved), dtype=np.intp)
            self._moved.clear()
            lower, upper = data.lower[columns], data.upper[columns]
            changed = (lower != self._told.lower[columns]) | (upper != self._told.upper[columns])
            columns, lower, upper = columns[changed], lower[changed], upper[changed]
            if columns.size:
                self._solver.set_columns(columns, lower, upper)
                self._told.lower[columns], self._told.upper[columns] = lower, upper
        for row in self._moved_rows:
            low = data.row_lower[row]
            if low != self._told.row_lower[row]:
                self._solver.set_row(row, low, data.row_upper[row])
                self._told.row_lower[row] = low
        self._moved_rows.clear()

    def solve(self, target: float, deadline: Deadline) -> JointSolution:
        """Bound J from below under the units fixed; stop once the bound passes the target."""
        self.lps += 1
        self._hand_over()
        data = self._data
        found = self._solver.solve(target - data.shift, deadline)
        if found.status is BoundedStatus.INFEASIBLE and found.ray.size:
            ray = found.ray / np.abs(found.ray).max(initial=1e-300)
            for sign in (1.0, -1.0):
                if data.least(sign * ray, with_cost=False) > 0:
                    return JointSolution(np.inf, None, sign * ray)
        x = found.x if found.status is BoundedStatus.OPTIMAL else None
        if found.multipliers.size:
            return JointSolution(data.least(found.multipliers), x, found.multipliers)
        return JointSolution(-np.inf, x, np.empty(0))

    def add_rows(self, rows: FloatArray, limits: FloatArray, names: Iterable[RowName]) -> None:
        """Add rows ``rows x <= limits`` that hold wherever the others do, named if need be."""
        if len(limits) and self._solver.add_rows(rows, limits):
            self._data.add_rows(rows, limits)
            told, absent = self._told, np.full(len(limits), -np.inf)
            self._told = _Told(told.lower, told.upper, np.append(told.row_lower, absent))
            self._added += names

    def leans_on_added(self, solution: JointSolution) -> bool:
        """Whether a bound needs rows that were added."""
        return bool(solution.multipliers[self._own_rows :].any())

    def priced(self, solution: JointSolution) -> tuple[float, FloatArray, FloatArray, FloatArray]:
        """Return what a solution's multipliers say without the objective, and the columns' bounds.

        Returns
        -------
        (constant, combined, lower, upper)
            Any objective is at least ``constant + sum of min (cost - combined) x`` over the
            bounds, up to rounding.
        """
        data = self._data
        y = data.signed(solution.multipliers)
        side = np.where(y > 0, data.row_lower, np.where(y < 0, data.row_upper, 0.0))
        return float(y @ side), y @ data.A, data.lower.copy(), data.upper.copy()

    def value(self, x: FloatArray) -> float:
        """Return J at a solution, in floating point."""
        return float(self._data.cost @ x + self._data.shift)

    def arriving(self, level: int) -> list[tuple[int, int, Arriving]]:
        """Return the jumps at a level's units that depend on states: support, place, jump."""
        return [
            (i, place, self._arriving.at((k, u)))
            for i, (k, units) in enumerate(self._jump.supports[:-1])
            for place, u in enumerate(units.tolist())
            if k == level and (k, u) in self._products
        ]

    # --------------------------------------------------------- other output weights

    def jump_map(self, on: Mapping[int, FloatArray], off: Mapping[int, FloatArray]) -> FloatArray:
        """Return J as a function of parameters on which the output's slopes depend.

        Parameters
        ----------
        on, off : mapping from level to array (units, parameters)
            The output's slopes on a level's units, per unit of each parameter.

        Returns
        -------
        array (parameters, 1 + columns)
            With parameters p, J is ``p @ map @ (1, x)`` at a solution x, up to rounding.
        """
        found = np.zeros((next(iter(on.values())).shape[1], 1 + self.width))
        level, unit = self._group
        if level in on:
            found[:, 0] += on[level][unit] - off[level][unit]
        for i, (k, units) in enumerate(self._jump.supports[:-1]):
            if k not in on:
                continue
            act = np.where(self._net.levels[k].kink, self._activations[k], ON)[units]
            forms, _ = self._arriving.forms[i]
            passed = np.where((act == ON)[:, None], on[k][units], off[k][units])
            found += passed.T @ forms
            bend = (on[k] - off[k])[units]
            for p in np.flatnonzero(act == FREE).tolist():
                at = (k, int(units[p]))
                if at in self._products:
                    found[:, 1 + self._products[at]] += bend[p]
                elif at in self.states:
                    found[:, 1 + self.states[at]] += bend[p] * forms[p, 0]
        return found

    def set_jump(self, jump: FloatArray) -> None:
        """Minimise another J, ``jump @ (1, x)``; bounds then hold up to its rounding."""
        self.set_objective(jump)
        data = self._data
        read = self._net.levels[self._net.output_level].slopes
        weights = {}
        for unit, state in self.states.items():
            if unit[0] in read:
                column = self._products.get(unit, state)
                reach = max(abs(data.lower[column]), abs(data.upper[column]))
                weights[unit] = abs(float(data.cost[column])) * (1.0 if column == state else reach)
        self._branching.reweigh(weights)

    def set_objective(self, form: FloatArray) -> None:
        """Minimise ``form @ (1, first columns)``, a form that is no J."""
        cost = np.zeros(self.width)
        cost[: len(form) - 1] = form[1:]
        self._data.set_cost(cost, float(form[0]))
        self._solver.set_cost(cost)

    def keep_primal(self) -> None:
        """Expect programs that differ in the objective alone."""
        self._solver.keep_primal()

    # ------------------------------------------------------------------- branching

    def choose(self, x: FloatArray, fixed: Container[Unit]) -> Choice | None:
        """Return the unit to branch on at a solution; None if it satisfies everything exactly."""
        return self._branching.choose(x, fixed)

    def implied(self, floor: float) -> list[tuple[Unit, bool]] | None:
        """Return the states that all patterns with J below a floor have, under the units fixed.

        With any other state of one of these units J is at least the floor, whatever the
        states of the rest are. None if there is no such pattern.
        """
        data = self._data
        least = data.interval()
        if least >= floor:
            return None
        columns = self._columns
        pull = data.cost[columns]
        forced = (data.lower[columns] < data.upper[columns]) & (pull != 0.0)
        forced &= np.nextafter(least + np.abs(pull), -np.inf) >= floor
        units = list(self.states)
        return [(units[i], bool(pull[i] < 0)) for i in np.flatnonzero(forced).tolist()]

    # ------------------------------------------------------------------ assembling

    def _assemble(self, *, one_sided: bool) -> None:
        """Build the program: columns, rows, objective, and the weights for branching."""
        forms, ranges = self.forms, self._ranges
        objective, rounding = self._arriving.forms[-1]
        cost = np.zeros(self.width)
        if len(objective):
            cost[: objective.shape[1] - 1] = objective[0, 1:]
        lower, upper = np.zeros(self.width), np.ones(self.width)
        lower[: self.dim], upper[: self.dim] = self._piece.lower, self._piece.upper
        for (k, u), column in self.h.items():
            upper[column] = ranges.upper[k][u]
        builder = ProgramRows(forms, ranges, self.states, self.width)
        form, error = forms.forms[self._group[0]][self._group[1]], builder.error(self._group)
        builder.add_kink(RowName("group", *self._group), form, error)
        for i, row in enumerate(self._piece.rows):
            number = self._piece.numbers[i]
            builder.add(RowName("domain", 0, number), row, -np.inf, self._piece.limits[i])
        for unit, on in self._given:
            builder.add_sign(unit, on)
        if len(objective) and self._below < np.inf:
            builder.add_jump(objective[0], float(rounding[0]), self._below)
        builder.add_values(list(self.h))
        alone = [unit for unit in self.states if unit not in self.h]
        builder.add_states(alone, cost if one_sided else None)
        for unit, column in self._products.items():
            lower[column], upper[column] = builder.add_product(
                unit, column, self._arriving.at(unit)
            )
        self._builder = builder
        shift = 0.0
        if len(objective):
            shift = float(np.nextafter(objective[0, 0] - rounding[0], -np.inf))
        self._data = LinearProgram(cost, shift, *builder.arrays(), lower, upper)
        self._solver = BoundedProgram(
            cost, self._data.A, self._data.row_lower, self._data.row_upper, lower, upper
        )
        self._told = _Told(lower.copy(), upper.copy(), self._data.row_lower.copy())
        self._moved: set[int] = set()
        self._moved_rows: set[int] = set()
        parts = self._net, self._group, self._jump, self.state, forms, self.states
        self._branching = Branching(*parts, ranges, self._given)


def _mattering(
    net: GroupedNetwork, jump: JumpProblem, state: JumpState, activations: Activations
) -> dict[int, BoolArray]:
    """Return the free units at which a jump may arrive and from which one may leave."""
    found: dict[int, BoolArray] = {}
    for i, (k, units) in enumerate(jump.supports[:-1]):
        arrives = (state.lower[i] != 0) | (state.upper[i] != 0)
        chosen = units[(activations[k][units] == FREE) & net.leads[k][units] & arrives]
        if chosen.size:
            mask = np.zeros(net.levels[k].size, dtype=bool)
            mask[chosen] = True
            found[k] = mask
    return found
