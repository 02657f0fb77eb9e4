"""What a walk along the kinks of few inputs finds, and how far it may go."""

from __future__ import annotations

from dataclasses import dataclass

from jensen.verdicts.evidence import Counterexample

EXACT_LIMIT = 4000  # exact evaluations before the walk gives up
SIZE_LIMIT = 2e8  # signs held at a time (edges times units)
TRIES = 8  # edges or polygons that bend down that are crossed


@dataclass(frozen=True, eq=False)
class Walked:
    """What the walk found out.

    Attributes
    ----------
    proved : bool
        J >= 0 on every facet: the network is convex on the domain.
    pair : Counterexample or None
    """

    proved: bool
    pair: Counterexample | None = None
