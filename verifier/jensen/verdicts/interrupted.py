"""Ctrl-C in a verification."""

from __future__ import annotations

from jensen.verdicts.verdict import Verdict


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a verification, with what was proved until then.

    Attributes
    ----------
    verdict : Verdict
        Undecided, unless one of several outputs was refuted.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.summary)
        self.verdict = verdict
