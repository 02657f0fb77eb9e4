"""Options of a verification: one frozen record, passed explicitly."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jensen.arguments import checked_count, checked_flag, checked_threads, real
from jensen.errors import OptionError
from jensen.text import shown


class Engine(StrEnum):
    """Which prover runs after the screens.

    ``JOINT`` bounds the jump on each relaxed kink, ``TREE`` branches on activations, and both
    are exact; ``MILP`` solves one facet program per group and ``MIDPOINT`` one program over
    pairs of points, both up to HiGHS's tolerance.
    ``AUTO`` is the fastest exact one.

    Examples
    --------
    >>> Engine("tree")
    <Engine.TREE: 'tree'>
    """

    AUTO = "auto"
    TREE = "tree"
    JOINT = "joint"
    MILP = "milp"
    MIDPOINT = "midpoint"


def checked_seconds(limit: Any) -> float | None:
    """Return a time limit.

    Parameters
    ----------
    limit : float or None

    Raises
    ------
    OptionError
        Unless it is a number of seconds > 0, or None.
    """
    if limit is None:
        return None
    seconds = real(limit)
    if seconds is None:
        raise OptionError(f"time limit {shown(limit)}: seconds are needed")
    if not seconds > 0:
        raise OptionError(f"time limit {shown(limit)}: seconds > 0 are needed")
    return seconds


def checked_number(value: Any, name: str, *, positive: bool = False) -> float:
    """Return a finite number that may not be negative, such as a tolerance.

    Parameters
    ----------
    value : float
    name : str
        What it is, for the message.
    positive : bool
        Whether 0 is refused.

    Raises
    ------
    OptionError
    """
    number = real(value)
    if number is None or not math.isfinite(number) or number < 0 or (positive and number == 0):
        least = "> 0" if positive else ">= 0"
        raise OptionError(f"{name} {shown(value)}: a finite number {least} is needed")
    return number


@dataclass(frozen=True)
class Options:
    """How to verify.

    Parameters
    ----------
    engine : Engine
    time_limit : float or None
        Seconds of wall clock for one verification; None for no limit.
    node_limit : int or None
        Tree nodes per hyperplane group.
    tolerance : float
        Gradient jumps ``>= -tolerance`` are accepted; 0 asks for exact convexity.
    concave : bool
        Decide concavity, that is convexity of ``-f``.
    inputs : tuple of int or None
        Decide convexity in these inputs only, for every value of the others.
    certificate : bool
        Produce a certificate that the independent checker accepts.
    threads : int
        Threads of the MILP solver, and of the joint search: groups are searched side by
        side there, with the same result.
    seed : int
        Seed of the search for counterexamples; verdicts do not depend on it.

    Raises
    ------
    OptionError
        For values out of range, or for a certificate of what holds up to a tolerance.

    Examples
    --------
    >>> Options(time_limit=60, inputs=(0, 2)).engine
    <Engine.AUTO: 'auto'>
    """

    engine: Engine = Engine.AUTO
    time_limit: float | None = None
    node_limit: int | None = None
    tolerance: float = 0.0
    concave: bool = False
    inputs: tuple[int, ...] | None = None
    certificate: bool = False
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "engine", Engine(self.engine))
        except ValueError:
            names = ", ".join(Engine)
            raise OptionError(f"engine {shown(self.engine)}: supported are {names}") from None
        checked_seconds(self.time_limit)
        checked_number(self.tolerance, "tolerance")
        checked_flag(self.concave, "concave")
        checked_flag(self.certificate, "certificate")
        if self.node_limit is not None:
            checked_count(self.node_limit, "node limit", 1)
        checked_threads(self.threads)
        checked_count(self.seed, "seed", 0)
        if self.certificate and self.engine in {Engine.MILP, Engine.MIDPOINT}:
            raise OptionError(
                f"engine {self.engine} proves up to a tolerance: certificates need the tree"
            )
        if self.certificate and self.tolerance:
            raise OptionError("a certificate claims exact convexity: leave out the tolerance")
        if self.inputs is not None:
            try:
                inputs = tuple(sorted(set(map(operator.index, self.inputs))))
            except TypeError:
                raise OptionError(
                    f"inputs {shown(self.inputs)}: numbers of inputs such as (0, 2) are needed"
                ) from None
            object.__setattr__(self, "inputs", inputs)
            if not self.inputs:
                raise OptionError("partial convexity needs at least one input")
