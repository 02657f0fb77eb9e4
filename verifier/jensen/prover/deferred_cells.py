"""Three to six inputs: cells that are cut in turns with programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jensen.prover.deferred import Deferred
from jensen.prover.deferred_walk import DeferredWalk
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import SPACE
from jensen.prover.walk import never_cross
from jensen.prover.walk_outcome import all_bend_upwards
from jensen.prover.walks.cells import CellWalk
from jensen.prover.walks.cones import ConeWalk
from jensen.verdicts.evidence import GroupEvidence, Reason

# signs in cells, of which some 2e4 cost as much as a program
GLANCE = 1.5e6  # before most descents, which cost as much
FIRST = {3: 5e7, 4: 5e7, 5: 8e6, 6: 1.6e7}  # behind them, before any program
SHARE = {3: 1e5, 4: 1e5, 5: 1e5, 6: 1e4}  # for each program
GROWTH = 1.5  # of a turn
SEARCHED = (Reason.JOINT, Reason.TREE)


def deferred_walk(question: Question) -> Deferred:
    """Return the walk that comes behind the first descents, if there is one."""
    cells = question.cells
    if cells is not None and cells.inputs in FIRST:
        return DeferredCells(question, cells)
    return _walk_of_all(question)


def _walk_of_all(question: Question) -> Deferred:
    return DeferredWalk(question) if question.network.input_size <= SPACE else Deferred()


class DeferredCells(Deferred):
    """The cells of one question.

    Parameters
    ----------
    question : Question
    cells : CellWalk or ConeWalk
        :attr:`Question.cells`
    """

    def __init__(self, question: Question, cells: CellWalk | ConeWalk) -> None:
        self._question, self._cells = question, cells
        self._turn, self._share = FIRST[cells.inputs], SHARE[cells.inputs]
        self.left = 0.0

    @property
    def next(self) -> Deferred:
        """The walk through all of space, where it is that or nothing: rounding hides a sign."""
        return self if self._cells.left else _walk_of_all(self._question)

    def glance(self, found: Iterable[GroupEvidence]) -> Outcome | None:
        """Walk for as long as the early descents would take."""
        return self._walked(GLANCE, list(found))

    def outcome(self, found: Iterable[GroupEvidence]) -> Outcome | None:
        """Walk for a turn, if that is due, and let the next one wait for as much work."""
        if not self.is_due:
            return None
        self.left = self._turn / self._share
        outcome = self._walked(self._turn, list(found))
        self._turn *= GROWTH
        return outcome

    def _walked(self, signs: float, found: list[GroupEvidence]) -> Outcome | None:
        question = self._question
        prepared, cells = question.prepared, self._cells
        with prepared.watch.stage("walk"):
            closed = [group for group in found if group.reason is not Reason.OPEN]
            cells.leave_out(neuron for group in closed for neuron in group.neurons)
            walked = cells.run(signs)
        if walked is None:
            return None
        if walked.pair is not None:
            return refuted_by(walked.pair)
        outcome = all_bend_upwards(question, prepared.stable_signs, never_cross(prepared))
        searched = [group for group in found if group.reason in SEARCHED]
        by_search = {neuron for group in searched for neuron in group.neurons}
        walks = [group for group in outcome.evidence if group.neurons[0] not in by_search]
        return replace(
            outcome,
            evidence=(*walks, *searched),
            walked=sum(group.reason is Reason.WALK for group in walks),
        )
