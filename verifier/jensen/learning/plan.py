"""How long training goes on, and when the prover is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from jensen.errors import OptionError
from jensen.text import shown


@dataclass(frozen=True)
class Plan:
    """How long to train, and when to verify; see :func:`make_convex`."""

    weight: float = 3.0
    samples: int = 64
    steps: int = 2500
    round_steps: int = 400
    rounds: int = 50
    further_rounds: int = 0
    time_limit: float | None = None
    verify_seconds: float = 60.0
    repair_seconds: float = 60.0
    settle: bool = True
    certificate: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, Real) and not (name == "time_limit" and value is None):
                raise OptionError(f"{name} {shown(value)}: a number is needed")
        for name in ("samples", "steps", "round_steps", "rounds", "further_rounds"):
            if not isinstance(getattr(self, name), Integral):
                raise OptionError(f"{name} {getattr(self, name)}: a whole number is needed")
        if self.further_rounds < 0:
            raise OptionError(f"further_rounds {self.further_rounds}: at least 0 is needed")
        for name in ("samples", "steps", "round_steps", "rounds"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} {getattr(self, name)}: at least 1 is needed")
        for name in ("time_limit", "verify_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < math.inf:
                raise OptionError(f"{name} {seconds}: seconds > 0 are needed")
        for name in ("weight", "repair_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} {getattr(self, name)}: a finite number >= 0 is needed")
