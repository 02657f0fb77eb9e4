"""Three inputs: a walk that costs so much that descents and some programs come before it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jensen.prover.deferred import Deferred
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import SPACE
from jensen.prover.walk import closed_kinks, open_twins, walks
from jensen.prover.walk_outcome import all_bend_upwards
from jensen.prover.walks.cones import is_cone_question
from jensen.prover.walks.parts import expected_signs, is_large, walk_in_parts
from jensen.verdicts.evidence import GroupEvidence

SIGNS = 4e4  # of a walk that cost about twice as much as a linear program
AT_ONCE = 2000  # programs: walks that cost no more than 2 s wait for descents alone


class DeferredWalk(Deferred):
    """The walk of one question in space, in parts, where the screen found it too large.

    Descents come before it, as they find most facets that bend down sooner, and before the
    largest ones so many programs as cost half as much. Proofs by programs take far longer than
    walks where many kinks are left.

    Parameters
    ----------
    question : Question

    Attributes
    ----------
    left : float
        Programs that come before it; infinite if there is no walk.
    """

    def __init__(self, question: Question) -> None:
        self._question = question
        self.left = math.inf
        network, domain = question.network, question.domain
        if network.input_size != SPACE or not walks(question) or is_cone_question(network, domain):
            return
        if is_large(network):
            self.left = expected_signs(network, domain) / SIGNS - AT_ONCE

    def outcome(self, found: Iterable[GroupEvidence]) -> Outcome | None:
        """Walk, once, if that is due; None if it did not decide."""
        if self.left > 0:
            return None
        self.left = math.inf
        question = self._question
        prepared, network = question.prepared, question.network
        closed, signs, never = closed_kinks(question)
        if open_twins(prepared, closed):
            return None
        with prepared.watch.stage("walk"):
            walked = walk_in_parts(network, question.domain, closed, question.deadline)
        if walked is None:
            return None
        if walked.pair is not None:
            return refuted_by(walked.pair)
        return all_bend_upwards(question, signs, never)
