"""Where f bends down: the patterns of a group's kink that no bound of J closes.

The joint search proves that J is nowhere negative on a kink. Here it looks for no facet and
stops at none: what it cannot close, it lists. Every facet that bends down has a leader
(theory, section 9), and a point of it satisfies the states of one pattern in the leader's list.

References
----------
docs/theory.md, sections 6, 9 and 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jensen.groups.jump import Activations
from jensen.midpoint.whole_kinks import WholeKink
from jensen.prover.trees.tree import TreeLimits
from jensen.types import Unit
from jensen_encodings.deadline import Deadline

MOST_NODES = 4_000  # of a group
MOST_PATTERNS = 256  # of a group: where facets that bend down are many, they tell little


class BadFacets(WholeKink):
    """The search for all patterns of one group under which J may be negative."""

    def patterns(self, nodes: int, deadline: Deadline) -> list[Activations] | None:
        """Go on; return the patterns that are left, free states as they are; None if too many.

        Parameters
        ----------
        nodes : int
            From the beginning.
        deadline : Deadline
            In place of the one before.
        """
        if self.jump.only_rationals:
            return None  # products that underflow look like 0
        self.deadline, self._limits = deadline, TreeLimits(deadline.over)
        self.run(nodes - self.nodes)
        return list(self.leaves) if self.closed and len(self.leaves) <= MOST_PATTERNS else None


def bad_facets(
    kinks: Mapping[Unit, BadFacets], groups: Iterable[Unit], deadline: Deadline
) -> dict[Unit, list[Activations]] | None:
    """Return patterns of groups with a point on every facet that one of them leads.

    Parameters
    ----------
    kinks : mapping from group to BadFacets
        Searches to go on with.
    groups : iterable of (level, unit)
    deadline : Deadline

    Returns
    -------
    dict from group to list of activations, or None
        Of the groups with at least one. None if they are too many, or not known in time.
    """
    found: dict[Unit, list[Activations]] = {}
    for group in groups:
        patterns = kinks[group].patterns(MOST_NODES, deadline)
        if patterns is None:
            return None
        if patterns:
            found[group] = patterns
    return found
