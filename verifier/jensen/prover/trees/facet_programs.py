"""The facet engine: one mixed-integer program per hyperplane group (theory, section 4).

A second, independent way to the tree's answer. A candidate pattern of the program is
looked at in exact arithmetic: no facet has it (cut off with the conflict), the facet
does not bend down (cut off outside the coincident units), or it bends down: a
counterexample. When the program has no candidate left, the group is closed up to the
solver's tolerance, which the result carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.arithmetic.rational import rational
from jensen.errors import SolverError
from jensen.groups.forms import ExactForms, RowName
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, JumpProblem
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.margin import MarginProgram
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing, cross_facet
from jensen_encodings import NetworkData, SolveOptions, SolverFailure, SolveStatus
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.facet import FacetProgram, facet_program
from jensen_encodings.highs import Program, solve
from jensen_encodings.lp import LpSolver
from jensen_encodings.pyomo_model import compile_model

Activations = tuple[Any, ...]
Members = Mapping[Unit, list[tuple[str, int, Any]]]

TOLERANCE = 1e-6  # jumps below minus this, relative to their range, are looked for
MAX_ROUNDS = 10_000


@dataclass(frozen=True)
class FacetResult:
    """The end of one group's search.

    Attributes
    ----------
    closed : bool
        No facet of the group bends down, by ``jump_lower_bound`` and ``tolerance``.
    crossing : Crossing or None
        A facet that bends down, exactly.
    jump_lower_bound : float
        ``J_g`` is at least this on every facet; >= 0 only where it is exact.
    tolerance : float
        0 where the bound is exact, else the solver tolerance it rests on.
    rounds, nodes : int
        Candidates looked at, nodes of all programs.
    note : str
        Why the group was left open, if it was.
    """

    closed: bool
    crossing: Crossing | None
    jump_lower_bound: float
    tolerance: float
    rounds: int = 0
    nodes: int = 0
    note: str = ""


@dataclass(eq=False)
class FacetSearch:
    """The loop of Theorem B for one group.

    Parameters
    ----------
    net : GroupedNetwork
    data : NetworkData
        The same network as arrays, on the box of the working set.
    group : (level, unit)
    network : ReluNetwork
        The scalar network, for exact evaluation.
    solver : LpSolver
    inputs : tuple of int or None
        Directions to cross facets in (partial convexity).
    least_jump : float
        ``J_g >= -least_jump`` is accepted.
    tolerance : Fraction
        Facets whose gradient jump is >= -tolerance are accepted.
    threads : int
    deadline : Deadline
    """

    net: GroupedNetwork
    data: NetworkData
    group: Unit
    network: ReluNetwork
    solver: LpSolver
    inputs: tuple[int, ...] | None = None
    least_jump: float = 0.0
    tolerance: Fraction = Fraction(0)
    threads: int = 1
    deadline: Deadline = NEVER

    def run(self) -> FacetResult:
        """Search until no candidate is left, a facet bends down, or time is out.

        Raises
        ------
        SolverError
            If HiGHS fails.
        """
        activations = self._free_pattern()
        jump = JumpProblem(self.net, *self.group)
        state = jump.bound(activations)
        low, high = state.output
        if jump.is_nonnegative(state, activations, rational(-self.least_jump)):
            return FacetResult(True, None, max(low, -self.least_jump), 0.0)
        members = self._members()
        program = facet_program(
            self.data,
            members[self.group],
            groups=members.values(),
            projective=self.net.working_set.lifted,
        )
        tolerance = TOLERANCE * max(abs(low), abs(high))
        program.demand_below(-self.least_jump - tolerance)
        return self._search(program, members, low, tolerance)

    def _search(
        self, program: FacetProgram, members: Members, low: float, tolerance: float
    ) -> FacetResult:
        """Solve, examine and cut until a candidate decides or none is left."""
        margins = MarginProgram(self.net, self.group, self.solver)
        result = FacetResult(False, None, low, tolerance, note="too many candidates")
        for _ in range(MAX_ROUNDS):
            compiled = compile_model(program.model)
            try:
                solved = solve(compiled, self._solve_options())
            except SolverFailure as error:
                raise SolverError(str(error)) from error
            result = replace(result, nodes=result.nodes + solved.nodes)
            if solved.status is SolveStatus.INFEASIBLE:
                bound = -self.least_jump - tolerance
                return replace(result, closed=True, jump_lower_bound=bound, note="")
            if solved.values is None:
                return replace(result, note=f"facet program: {solved.status}")
            result = replace(result, rounds=result.rounds + 1)
            pattern = self._pattern(program, members, compiled, solved.values)
            found = self._examine(margins, pattern)
            if isinstance(found, Crossing):
                return replace(result, crossing=found, tolerance=0.0, note="")
            if found is None:
                return replace(result, note="a facet could be neither crossed nor shown empty")
            if not found:
                # the group's facets are the same under every pattern, and none bends down
                least = -self.least_jump
                return replace(result, closed=True, jump_lower_bound=least, tolerance=0.0, note="")
            program.exclude({members[unit][0][:2]: self._is_on(pattern, unit) for unit in found})
        return result

    @staticmethod
    def _is_on(pattern: Activations, unit: Unit) -> bool:
        return bool(pattern[unit[0]][unit[1]] == ON)

    def _solve_options(self) -> SolveOptions:
        left = self.deadline.left()
        return SolveOptions(time_limit=left, threads=self.threads, objective_limit=0.0)

    def _members(self) -> Members:
        """Return the twins of every unit that may kink."""
        return {
            (k, u): [(m.block, m.index, m.c) for m in self.net.levels[k].units[u]]
            for k, u in self.net.groups()
        }

    def _free_pattern(self) -> Activations:
        return tuple(np.where(level.kink, FREE, ON).astype(np.int8) for level in self.net.levels)

    def _pattern(
        self,
        program: FacetProgram,
        members: Members,
        compiled: Program,
        values: FloatArray,
    ) -> Activations:
        """Read the activations off the binaries; the group itself stays free."""
        value = {id(v): x for v, x in zip(compiled.columns, values, strict=True)}
        activations = self._free_pattern()
        for (k, u), twins in members.items():
            switch = program.copy.switches[twins[0][0], twins[0][1]]
            on = switch.constant + switch.slope * value.get(id(switch.variable), 0.0) > 0.5
            activations[k][u] = ON if on else OFF
        activations[self.group[0]][self.group[1]] = FREE
        return activations

    def _examine(self, margins: MarginProgram, pattern: Activations) -> Crossing | set[Unit] | None:
        """Look at a candidate exactly.

        Returns
        -------
        Crossing
            Of a facet that bends down.
        set of (level, unit)
            No pattern that agrees with this one on these units has such a facet.
        None
            Neither could be shown.
        """
        margin = margins.solve(pattern)
        if margin.empty:
            return self._conflict(margin.multipliers)
        if margin.point is None:
            return None
        crossing = cross_facet(
            self.net, self.group, pattern, margin.point, self.network, inputs=self.inputs
        )
        if crossing is None:
            return None
        if crossing.bends_down(self.tolerance):
            return crossing
        forms = ExactForms(self.net, self.group, pattern, {})
        units = {unit for unit in self.net.groups() if not forms.is_coincident(*unit)}
        return units - {self.group}

    def _conflict(self, rows: Iterable[RowName]) -> set[Unit]:
        """Return the units whose activations a proof of emptiness rests on.

        They are the units of its rows and, because their forms depend on them, all units
        in front of these and of the group.
        """
        found = {(row.level, row.unit) for row in rows if row.kind == "fixed"}
        waiting = [*found, self.group]
        seen = set(waiting)
        while waiting:
            k, u = waiting.pop()
            for source, slopes in self.net.levels[k].slopes.items():
                if source == SOURCE:
                    continue
                used = slopes.on[u] != 0
                if slopes.off is not None:
                    used = used | (slopes.off[u] != 0)
                for unit in ((source, int(i)) for i in np.flatnonzero(used)):
                    if unit not in seen:
                        seen.add(unit)
                        waiting.append(unit)
        return {(k, u) for k, u in seen if self.net.levels[k].kink[u]} - {self.group}
