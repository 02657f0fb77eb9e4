"""The engine of the midpoint program: the worst violation of all pairs at once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from jensen.errors import SolverError
from jensen.midpoint.worst_pair import measure_pairs
from jensen.prover.outcome import Outcome, every_neuron, refuted_by
from jensen.prover.question import Question
from jensen.verdicts.counterexample import counterexample
from jensen.verdicts.evidence import GroupEvidence, Reason
from jensen.verdicts.verdict import Status
from jensen_encodings import UnboundedNeuronError

# the midpoint program cannot tell smaller violations from the solver's tolerance
TOLERANCE = 1e-5


def prove_by_midpoint_program(question: Question) -> Outcome:
    """Measure the worst midpoint violation on a box (docs/theory.md, section 6)."""
    options = question.options
    with question.prepared.watch.stage("midpoint program"):
        try:
            found = measure_pairs(
                question.prepared,
                deadline=question.deadline,
                engine="milp",
                threads=options.threads,
                seed=options.seed,
            )
        except (UnboundedNeuronError, SolverError) as error:
            return Outcome(note=str(error))
    bounds = (found.lower, found.upper)
    if found.exact_lower > Fraction(options.tolerance):
        pair = counterexample(
            question.network, question.domain, found.x, found.y, inputs=options.inputs
        )
        if pair is not None:
            return replace(refuted_by(pair), violation_bounds=bounds)
    if found.upper <= options.tolerance + TOLERANCE:
        evidence = tuple(
            GroupEvidence((neuron,), Reason.MIDPOINT, exact=False)
            for neuron in every_neuron(question.network)
        )
        tolerance = max(found.upper, found.tolerance or 0.0)
        return Outcome(Status.CONVEX, evidence, tolerance=tolerance, violation_bounds=bounds)
    return Outcome(
        violation_bounds=bounds,
        note=f"worst midpoint violation between {found.lower:.3g} and {found.upper:.3g}",
    )
