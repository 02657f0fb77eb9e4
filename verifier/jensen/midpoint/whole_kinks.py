"""Joint searches over all of a kink: they stop at no facet, and end with a bound of J.

References
----------
docs/theory.md, sections 6 and 11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jensen.groups.jump import Activations
from jensen.prover.joint.nodes import JointNode, Patterns
from jensen.prover.joint.search import JointSearch
from jensen.types import FloatArray


class WholeKink(JointSearch):
    """The search for the least J of one group, the node with the least bound first.

    Parameters
    ----------
    net, group, network, pieces, solver, limits, least_jump, deadline
        As of :class:`jensen.prover.joint.search.JointSearch`.

    Attributes
    ----------
    leaves : tuple of activations
        States of nodes that programs cannot decide.
    met : float
        The least J of a pattern that was looked at; infinite if there was none.
    """

    stale = 0  # every node needs a bound of its own
    tightens = False  # nor may what is proved of open nodes be lost
    leaves: tuple[Activations, ...] = ()
    met = math.inf
    _undecided = math.inf  # the least bound of these

    @property
    def lower(self) -> float:
        """Proved: J is at least this on the kink, under every pattern that is met there."""
        if self.jump.only_rationals:
            return -math.inf  # products that underflow look like 0
        return max(self.lowest, min(self.floor, self._undecided, *self.open_bounds))

    def look(self, point: FloatArray) -> None:
        """Note J of the network's own pattern at a point, and cross nothing."""
        patterns = self.patterns_at(point)
        if patterns is not None:
            self.met = min(self.met, self.jump.bound(patterns).output[0])

    def next_of(self, stack: Sequence[JointNode]) -> int:
        """Return the place of the node with the least bound."""
        bounds = [node.above for node in stack]
        return bounds.index(min(bounds))

    def hand_over(
        self, index: int, node: JointNode, activations: Activations, patterns: Patterns
    ) -> None:
        """Leave a node that programs cannot decide with the bound that it has."""
        self.leaves = (*self.leaves, activations)
        self._undecided = min(self._undecided, max(node.above, self.lowest))
