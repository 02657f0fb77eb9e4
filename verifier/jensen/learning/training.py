"""Train a module until it is proved convex."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from jensen.domains.domain import Domain
from jensen.errors import OptionError, TrainingError
from jensen.learning.guard import ConvexityGuard
from jensen.learning.history import ConvexTraining, Round
from jensen.learning.last_layer import LEAST_SECONDS, repair_last_layer
from jensen.learning.plan import Plan
from jensen.network.relu_network import ReluNetwork
from jensen.repairs.nearest import Repair
from jensen.text import shown
from jensen.verdicts.evidence import Reason
from jensen.verdicts.verdict import Status, Verdict
from jensen.violation.jump_violation import JumpViolation
from jensen.violation.worst_jump import worst_jump

Loss = Callable[[nn.Module], torch.Tensor]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

LEARNING_RATE = 3e-3
LAST_RATE = 0.1  # of the learning rate: at the end of the first stretch, and in all rounds
LAST_SHARE = 0.2  # of a time limit that is kept for the last verification
LEAST_SHARE, LARGEST_SHARE = 1e-4, 3e-3  # of f that neuron by neuron may be settled away then
WIDER = 3.0  # factor of the margin after a verification that did not come to an end
STUBBORN = 3  # rounds refuted one after the other, after which the margin grows as well
PATIENCE = 0.25  # of the time for one verification: what the first ones get
SEARCH = 8192  # kinks that are sampled before the prover is asked
JUMP_SECONDS = 10.0  # for the worst jump of a module that was not proved convex


def make_convex(
    module: nn.Module,
    loss: Loss,
    domain: Domain,
    *,
    output: int | None = None,
    concave: bool = False,
    inputs: Sequence[int] | None = None,
    input_shape: Any = None,
    margin: float = 1e-2,
    optimizer: Optimizer | None = None,
    in_place: bool = False,
    progress: Callable[[Round], None] | None = None,
    seed: int = 0,
    **plan: Any,
) -> ConvexTraining:
    """Train a module under a penalty on kinks that bend down, and verify it, until proved.

    Parameters
    ----------
    module : torch.nn.Module
        Whatever :func:`jensen.from_torch` takes.
    loss : callable
        Takes the module and returns a scalar tensor; called once per step, it may draw a
        new batch each time.
    domain : Box, Polyhedron or Everywhere
    output, concave, inputs, input_shape, margin, seed
        See :class:`~jensen.learning.guard.ConvexityGuard`. The margin grows when a
        verification does not come to an end, as larger jumps are proved sooner, and after
        every third round in a row that was refuted.
    optimizer : callable, optional
        Makes an optimizer of the parameters. Default: Adam, its rate decaying to a tenth.
    in_place : bool
        Train the module itself, not a copy.
    progress : callable, optional
        Called with each :class:`Round`.
    **plan
        ``weight`` of the penalty (3.0; reached half-way through the first stretch),
        ``samples`` kinks per step (64), ``steps`` before the first verification (2500),
        ``round_steps`` between two (400), ``rounds`` at most (50), ``further_rounds`` after the
        first proof for a better fit, of which the best certified one is kept (0),
        ``time_limit`` in seconds for everything (none), ``verify_seconds`` for one
        verification (60; the first ones get less), ``repair_seconds`` for the best convex
        weights of the last layer, where training did not end with a proof (60),
        ``settle`` to make ReLUs that never switch stable before a verification
        (:meth:`~jensen.learning.guard.ConvexityGuard.settle`; True),
        ``certificate`` to write one (False).

    Returns
    -------
    ConvexTraining
        ``.certified`` says whether it was proved; nothing is claimed where it was not.

    Raises
    ------
    TrainingError
        If the loss is not finite or has no gradient in the module's parameters.
    OptionError
        For an option unknown or out of range.
    JensenError
        What :class:`~jensen.learning.guard.ConvexityGuard` raises for a module or a domain.

    Examples
    --------
    >>> import jensen
    >>> _ = torch.manual_seed(0)
    >>> module = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> x = torch.linspace(-1, 1, 50)[:, None]
    >>> result = make_convex(module, lambda m: (m(x) - x.abs()).square().mean(),
    ...     jensen.Box(-1, 1), steps=50)
    >>> result.certified, result.verdict.status == "convex", len(result.history) > 0
    (True, True, True)
    """
    names = list(Plan.__dataclass_fields__)
    if unknown := sorted(set(plan) - set(names)):
        raise OptionError(f"unknown option {', '.join(unknown)}: there are {', '.join(names)}")
    chosen = Plan(**plan)
    for name, given in (("loss", loss), ("optimizer", optimizer), ("progress", progress)):
        if not callable(given) and (given is not None or name == "loss"):
            raise OptionError(f"{name} {shown(given)}: a function is needed")
    guard = ConvexityGuard(
        module if in_place else copy.deepcopy(module),
        domain,
        output=output,
        margin=margin,
        concave=concave,
        inputs=inputs,
        input_shape=input_shape,
        seed=seed,
    )
    return _Run(guard, loss, chosen, optimizer, progress).all_rounds()


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """A module as it was when it was verified."""

    loss: float
    verdict: Verdict
    network: ReluNetwork
    state: dict[str, Any]

    @property
    def open_groups(self) -> int:
        """Kinks that the prover left open."""
        return sum(item.reason is Reason.OPEN for item in self.verdict.evidence)


class _Run:
    """A training and its state."""

    def __init__(
        self,
        guard: ConvexityGuard,
        loss: Loss,
        plan: Plan,
        optimizer: Optimizer | None,
        progress: Callable[[Round], None] | None,
    ) -> None:
        self._guard, self._loss, self._plan = guard, loss, plan
        self._module, self._progress = guard.module, progress
        self._parameters = [p for p in self._module.parameters() if p.requires_grad]
        if not self._parameters:
            raise TrainingError(f"{type(self._module).__name__} has no parameter to train")
        self._decays = optimizer is None
        make = optimizer or (lambda tensors: torch.optim.Adam(tensors, lr=LEARNING_RATE))
        self._optimizer = make(self._parameters)
        self._began = time.monotonic()
        self._patience = PATIENCE * plan.verify_seconds
        self._steps = 0
        self._tolerance, self._refuted = 0.0, 0
        self._history: list[Round] = []
        self._best: _Snapshot | None = None

    def all_rounds(self) -> ConvexTraining:
        """Train and verify by turns; return the best that was certified, or the last."""
        snapshot = None
        proofs = 0
        for number in range(self._plan.rounds):
            snapshot = self._round(first=not number, last=number == self._plan.rounds - 1)
            proofs += self._best is not None
            # time may have run short since the round decided not to verify: then another one does
            if proofs > self._plan.further_rounds or (snapshot is not None and self._is_last()):
                break
        if self._best is not None:
            snapshot = self._best
            self._module.load_state_dict(self._best.state)
        assert snapshot is not None  # the last round always verifies
        history = tuple(self._history)
        if snapshot.verdict.status is Status.CONVEX:
            return ConvexTraining(snapshot.network, self._module, snapshot.verdict, history)
        found = self._repaired(snapshot.network)
        if found is not None:
            assert isinstance(found.network, ReluNetwork)  # as was given
            return ConvexTraining(found.network, self._module, found.verdict, history, None, found)
        distance = self._distance(snapshot.network)
        return ConvexTraining(snapshot.network, self._module, snapshot.verdict, history, distance)

    def _repaired(self, network: ReluNetwork) -> Repair | None:
        """Repair the module as it ended, in what is left of the time."""
        seconds, proof = min(self._plan.repair_seconds, self._left()), self._plan.certificate
        return repair_last_layer(self._guard, network, time_limit=seconds, certificate=proof)

    def _round(self, *, first: bool, last: bool) -> _Snapshot | None:
        """Train a stretch, look for kinks that bend down, and verify if none is found."""
        loss, penalty = self._stretch(first=first)
        jump = self._guard.search(SEARCH)
        settled = 0
        if jump >= 0 or last or self._is_last() or self._refuted >= STUBBORN:
            if self._plan.settle:
                settled = self._guard.settle(self._tolerance)
            jump = min(jump, self._guard.descend(seed=self._steps))
        snapshot = None
        if jump >= 0 or last or self._is_last():
            snapshot = self._verified(loss)
        self._count(snapshot)
        self._history.append(
            Round(
                self._steps,
                loss,
                penalty,
                jump,
                None if snapshot is None else snapshot.verdict.status,
                time.monotonic() - self._began,
                self._guard.remembered,
                settled,
                None if snapshot is None else snapshot.open_groups,
            )
        )
        if self._progress is not None:
            self._progress(self._history[-1])
        return snapshot

    def _count(self, snapshot: _Snapshot | None) -> None:
        """Ask for more after rounds that were refuted, one after the other."""
        if snapshot is not None and snapshot.verdict.status is not Status.NONCONVEX:
            self._refuted = 0
            return
        self._refuted += 1
        if self._refuted % STUBBORN == 0:
            self._guard.margin *= WIDER

    def _verified(self, loss: float) -> _Snapshot:
        network = self._guard.network()
        verdict = self._guard.verify(
            network=network,
            certificate=self._plan.certificate,
            time_limit=min(max(self._left(), LEAST_SECONDS), self._patience),
        )
        if verdict.status is Status.UNKNOWN:
            # jumps further from 0 are proved sooner
            self._guard.margin *= WIDER
            self._tolerance = min(max(WIDER * self._tolerance, LEAST_SHARE), LARGEST_SHARE)
            self._patience = min(2 * self._patience, self._plan.verify_seconds)
        state = copy.deepcopy(self._module.state_dict())
        snapshot = _Snapshot(loss, verdict, network, state)
        convex = verdict.status is Status.CONVEX
        if convex and (self._best is None or loss < self._best.loss):
            self._best = snapshot
        return snapshot

    # ------------------------------------------------------------------------- training

    def _stretch(self, *, first: bool) -> tuple[float, float]:
        """Train; return the means of loss and penalty over the last tenth."""
        steps = self._plan.steps if first else self._plan.round_steps
        tail: list[tuple[float, float]] = []
        for step in range(steps):
            done = step / steps
            if self._decays:
                decay = LAST_RATE**done if first else LAST_RATE
                for group in self._optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * decay
            ramp = min(1.0, 2 * done) if first else 1.0
            found = self._step(self._plan.weight * ramp)
            if done < 0.9:
                tail.clear()
            tail.append(found)
            if self._is_last():
                break
        losses, penalties = zip(*tail, strict=True)
        return sum(losses) / len(tail), sum(penalties) / len(tail)

    def _step(self, weight: float) -> tuple[float, float]:
        loss = self._checked(self._loss(self._module))
        penalty = self._guard.penalty(samples=self._plan.samples)
        self._optimizer.zero_grad()
        (loss + weight * penalty).backward()
        self._optimizer.step()
        self._steps += 1
        return loss.item(), penalty.item()

    def _checked(self, loss: Any) -> torch.Tensor:
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise TrainingError("the loss is no scalar tensor: return one from loss(module)")
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self._steps + 1}: lower the learning rate, "
                "or look at the data"
            )
        if not self._steps and not self._reaches_parameters(loss):
            raise TrainingError(
                "the loss has no gradient in the parameters: compute it from the module that "
                "loss(module) is given"
            )
        return loss

    def _reaches_parameters(self, loss: torch.Tensor) -> bool:
        if not loss.requires_grad:
            return False
        slopes = torch.autograd.grad(loss, self._parameters, retain_graph=True, allow_unused=True)
        return any(slope is not None for slope in slopes)

    # ----------------------------------------------------------------------------- time

    def _left(self) -> float:
        """Return the seconds left, infinite without a limit."""
        if self._plan.time_limit is None:
            return math.inf
        return self._began + self._plan.time_limit - time.monotonic()

    def _is_last(self) -> bool:
        """Whether what is left of the time is needed for the last verification."""
        return self._left() < LAST_SHARE * (self._plan.time_limit or 0.0)

    def _distance(self, network: ReluNetwork) -> JumpViolation | None:
        """Bound the worst jump; None for questions that it does not answer, or without time."""
        guard = self._guard
        if guard.inputs is not None or (guard.output is None and network.output_size > 1):
            return None
        if self._left() <= 0:
            return None
        output = guard.output or 0
        asked = network.select_output(output)
        seconds = min(JUMP_SECONDS, max(self._left(), LEAST_SECONDS))
        return worst_jump(
            asked.negated() if guard.concave else asked, guard.domain, time_limit=seconds
        )
