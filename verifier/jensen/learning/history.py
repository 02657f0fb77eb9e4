"""What a training to a proof returns, and what each of its rounds did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from jensen.network.relu_network import ReluNetwork
from jensen.repairs.nearest import Repair
from jensen.verdicts.verdict import Status, Verdict
from jensen.violation.jump_violation import JumpViolation


@dataclass(frozen=True)
class Round:
    """What one stretch of training ended with.

    Attributes
    ----------
    steps : int
        Steps so far.
    loss, penalty : float
        Means over the last tenth of the stretch, the penalty without its weight.
    smallest_jump : float
        The smallest J of the kinks that were sampled then, in floating point.
    status : Status or None
        Of the verification; None where the sampled kinks already bent down.
    seconds : float
        Since the beginning.
    remembered : int
        Refuting points that the penalty draws from.
    settled : int
        ReLUs that were made stable before the proof (:meth:`ConvexityGuard.settle`).
    open_groups : int or None
        Kinks that the verification left open.

    See :func:`make_convex` for an example.
    """

    steps: int
    loss: float
    penalty: float
    smallest_jump: float
    status: Status | None
    seconds: float
    remembered: int
    settled: int = 0
    open_groups: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class ConvexTraining:
    """The outcome of :func:`make_convex`.

    Attributes
    ----------
    network : ReluNetwork
        The certified snapshot; the module as it ended where there is none.
    module : torch.nn.Module
        The module with the weights of ``network``.
    verdict : Verdict
        Of ``network``.
    history : tuple of Round
    worst_jump : JumpViolation or None
        How far a network without proof is from convex: bounds of its worst gradient jump. None
        where no time was left for them.
    repair : Repair or None
        How the last layer was changed at the end, where training alone did not get there.

    See :func:`make_convex` for an example.
    """

    network: ReluNetwork
    module: nn.Module
    verdict: Verdict
    history: tuple[Round, ...]
    worst_jump: JumpViolation | None = None
    repair: Repair | None = None

    @property
    def certified(self) -> bool:
        """Whether the network was proved convex."""
        return self.verdict.status is Status.CONVEX

    @property
    def certificate(self) -> Any:
        """The certificate, where one was asked for and the network was proved convex."""
        return self.verdict.certificate

    def __repr__(self) -> str:
        """Return one line."""
        return f"ConvexTraining({self.summary!r})"

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary

    @property
    def summary(self) -> str:
        """What was reached, in one sentence."""
        last = self.history[-1]
        spent = f"after {last.steps} steps and {last.seconds:.0f} s"
        if self.repair is not None:
            what = "f" if self.repair.norm == "rms" else "the last layer"
            change = f"{what} changed by {100 * self.repair.relative_change:.3g} %"
            return f"{self.verdict.summary}, proved {spent} by repair: {change}"
        if self.certified:
            return f"{self.verdict.summary}, proved {spent}"
        gap = ""
        if self.worst_jump is not None:
            worst = self.worst_jump
            gap = f"; its gradient falls by {worst.lower:.3g} to {worst.upper:.3g} at worst"
        return f"not certified {spent}: {self.verdict.summary}{gap}"
