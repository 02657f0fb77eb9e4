"""What is asked of a walk that other searches come before."""

from __future__ import annotations

import math
from collections.abc import Iterable

from jensen.prover.outcome import Outcome
from jensen.verdicts.evidence import GroupEvidence


class Deferred:
    """A walk that descents, and some programs, come before; this one is none.

    Attributes
    ----------
    left : float
        Programs that come before it, or before it goes on; infinite if there is nothing to walk.
    """

    left = math.inf

    @property
    def is_due(self) -> bool:
        """Whether it is its turn."""
        return self.left <= 0

    @property
    def next(self) -> Deferred:
        """What to go on with: the same, unless another walk may do what this one could not."""
        return self

    def glance(self, found: Iterable[GroupEvidence]) -> Outcome | None:
        """Walk before most descents, for as long as some of these take."""
        return None

    def outcome(self, found: Iterable[GroupEvidence]) -> Outcome | None:
        """Walk, if that is due, past groups whose proof was found; None if it did not decide."""
        return None
