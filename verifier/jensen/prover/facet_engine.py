"""The engine of the facet programs: HiGHS looks at every hyperplane group, up to its tolerance."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from jensen.errors import SolverError
from jensen.groups.tolerance import least_jumps
from jensen.prover.outcome import Outcome, bent_at, looked_at
from jensen.prover.question import Question
from jensen.types import Neurons, Unit
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen_encodings import UnboundedNeuronError
from jensen_encodings.lp import LpSolver

if TYPE_CHECKING:
    from jensen.prover.trees.facet_programs import FacetResult


def prove_by_facet_programs(question: Question) -> Outcome:
    """Solve the facet programs of every group; stop at the first facet that bends down."""
    with question.prepared.watch.stage("facet programs"):
        try:
            return _every_group(question)
        except (UnboundedNeuronError, SolverError) as error:
            return Outcome(note=str(error))


def _every_group(question: Question) -> Outcome:
    from jensen.prover.trees.facet_programs import FacetSearch  # noqa: PLC0415  (loads Pyomo)

    options, deadline = question.options, question.deadline
    net, data = question.prepared.grouped, question.prepared.data
    solver = LpSolver(deadline)
    least = least_jumps(net, question.network, options.tolerance, options.inputs)
    found: dict[Unit, GroupEvidence] = {}
    tolerance = 0.0
    for level, unit in net.groups():
        if deadline.over():
            break
        question.closed(len(found), len(net.groups()))
        search = FacetSearch(
            net,
            data,
            (level, unit),
            question.network,
            solver,
            inputs=options.inputs,
            least_jump=math.nextafter(float(least[level][unit]), 0.0),
            tolerance=Fraction(options.tolerance),
            threads=options.threads,
            deadline=deadline,
        )
        try:
            result = search.run()
        except KeyboardInterrupt:
            return replace(looked_at(question, found, tolerance=tolerance), interrupted=True)
        found[level, unit] = _evidence(net.neurons((level, unit)), result)
        if result.crossing is not None:
            return bent_at(question, result.crossing, (level, unit), found)
        if result.closed:
            tolerance = max(tolerance, result.tolerance)
    return looked_at(question, found, tolerance=tolerance)


def _evidence(neurons: Neurons, result: FacetResult) -> GroupEvidence:
    if not result.closed:
        reason = Reason.OPEN
    else:
        reason = Reason.SIGN if result.rounds == 0 and not result.tolerance else Reason.MILP
    return GroupEvidence(
        neurons,
        reason,
        result.nodes,
        exact=not result.tolerance,
        jump_lower_bound=result.jump_lower_bound,
    )
