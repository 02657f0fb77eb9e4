"""Networks of extreme scales: the same question about one of the same kinks, near 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from jensen.groups.prepared import Prepared
from jensen.network.levelled import levelled
from jensen.prover.outcome import Outcome
from jensen.prover.question import Question
from jensen.verdicts.options import Engine

# the others speak of tolerances and violations, whose unit is that of f
FREE_OF_SCALE = (Engine.AUTO, Engine.JOINT, Engine.TREE)


def decide_levelled(question: Question, decide: Callable[[Question], Outcome]) -> Outcome | None:
    """Ask about a positive multiple of f where doubles do not hold products of weights.

    Pairs are checked again with the network itself, certificates are written about it.

    Parameters
    ----------
    question : Question
    decide : callable
        Answers the other question.
    """
    if question.options.engine not in FREE_OF_SCALE or question.options.tolerance:
        return None
    network = levelled(question.network)
    if network is None:
        return None
    old = question.prepared
    prepared = Prepared(network, old.domain, old.watch, old.deadline, old.folds)
    outcome = decide(replace(question, prepared=prepared, writer=None))
    # bounds of jumps are those of the other network
    evidence = tuple(replace(item, jump_lower_bound=None) for item in outcome.evidence)
    return replace(outcome, evidence=evidence).about(question)
