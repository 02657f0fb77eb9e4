"""How non-convex is a network on a box: the worst midpoint violation, from both sides."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jensen.bounds.network_data import network_data
from jensen.domains.domain import Box
from jensen.errors import OptionError, SolverError
from jensen.groups.twin_groups import twin_groups
from jensen.midpoint.milp import MILP_TOLERANCE, solve_midpoint_program
from jensen.midpoint.search import search_pairs
from jensen.network.relu_network import FloatArray, ReluNetwork
from jensen.processors import available_processors
from jensen_encodings import UnboundedNeuronError
from jensen_encodings.highs import Progress

Point = tuple[Fraction, ...]

ENGINES = ("tree", "milp")
MOST_THREADS = 4  # beyond which the interpreter is the bottleneck


@dataclass(frozen=True)
class Violation:
    """Proved bounds of the worst midpoint violation, and the pair that shows the lower one.

    Attributes
    ----------
    lower, upper : float
        No pair of the box violates midpoint convexity by more than ``upper``; the pair
        below does by ``exact_lower``, of which ``lower`` is the double below.
    x, y : tuple of Fraction, length inputs
        Dyadic points of the box.
    exact_lower : Fraction
        ``f((x + y) / 2) - (f(x) + f(y)) / 2`` in rational arithmetic.
    status : str
        ``"optimal"`` within the gap asked for, else what ended the search.
    tolerance : float or None
        None: ``upper`` holds in real arithmetic. Otherwise it is HiGHS's dual bound, and
        holds as far as rows and integrality may be violated by this number.
    nodes : int
    times : mapping from stage to seconds
    """

    lower: float
    upper: float
    x: Point
    y: Point
    exact_lower: Fraction
    status: str
    tolerance: float | None = None
    nodes: int = 0
    times: Mapping[str, float] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """What is left between the bounds."""
        return self.upper - self.lower

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record; exact numbers are strings."""
        return {
            "lower": self.lower,
            "upper": self.upper,
            "x": [str(v) for v in self.x],
            "y": [str(v) for v in self.y],
            "x_float": [float(v) for v in self.x],
            "y_float": [float(v) for v in self.y],
            "exact_lower": str(self.exact_lower),
            "status": self.status,
            "tolerance": self.tolerance,
            "nodes": self.nodes,
            "times": dict(self.times),
        }


def exact_violation(network: ReluNetwork, x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    """Return ``f((x + y) / 2) - (f(x) + f(y)) / 2`` of the first output, in rationals."""
    middle = [(a + b) / 2 for a, b in zip(x, y, strict=True)]
    return network.exact(middle)[0] - (network.exact(x)[0] + network.exact(y)[0]) / 2


def worst_violation(
    network: ReluNetwork,
    box: Box,
    *,
    output: int = 0,
    time_limit: float | None = None,
    gap: float = 1e-4,
    engine: str = "tree",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
    start: tuple[Point, Point] | None = None,
) -> Violation:
    """Bound ``max f((x + y) / 2) - (f(x) + f(y)) / 2`` over pairs of a box.

    Parameters
    ----------
    network : ReluNetwork
    box : Box
    output : int
        Which output is f.
    time_limit : float or None
        Seconds; the best bounds so far are returned. So they are on Ctrl-C.
    gap : float
        Stop when ``upper - lower <= gap * lower``, or both are 0 within rounding.
    engine : str
        ``"tree"`` branches on signs of pre-activations, and its ``upper`` holds in real
        arithmetic; ``"milp"`` solves the midpoint program by HiGHS, up to its tolerance.
    threads : int, optional
        Of engine tree; all processors by default, up to 4. Or of HiGHS, for engine milp; 1.
    progress : callable, optional
        Gets a :class:`~jensen_encodings.highs.Progress` now and then.
    seed : int
    start : pair of points, optional
        Where to look first, for instance the counterexample of a verdict.

    Raises
    ------
    DomainError, NetworkError, OptionError
        For a box or an output that does not fit, or options out of range.
    SolverError
        If HiGHS fails, or a value on the box has no finite bound in double precision.

    References
    ----------
    docs/theory.md, section 6.
    """
    check_gap(gap)
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}: supported are {', '.join(ENGINES)}")
    if threads is not None and threads < 1:
        raise OptionError(f"threads {threads}: at least 1 is needed")
    began = time.perf_counter()
    deadline = None if time_limit is None else time.monotonic() + time_limit
    network = network.select_output(output)
    lower, upper = box.bounds(network.input_size)
    try:
        data = network_data(network, lower, upper)
    except UnboundedNeuronError as error:
        raise SolverError(f"values beyond the range of doubles: {error}") from None

    def judge(x: FloatArray, y: FloatArray) -> Fraction:
        return exact_violation(network, _fractions(x), _fractions(y))

    prepared = time.perf_counter()
    if engine == "milp":
        found = solve_midpoint_program(
            data,
            judge,
            twins=twin_groups(network, data),
            gap=gap,
            deadline=deadline,
            threads=threads or 1,
            seed=seed,
            progress=progress,
        )
    else:
        found = search_pairs(
            network,
            data,
            judge,
            gap=gap,
            deadline=deadline,
            seed=seed,
            start=start,
            progress=progress,
            threads=threads or min(MOST_THREADS, available_processors()),
        )
    return Violation(
        lower=round_down(found.exact),
        upper=found.upper,
        x=_fractions(found.x),
        y=_fractions(found.y),
        exact_lower=found.exact,
        status=found.status,
        tolerance=MILP_TOLERANCE if engine == "milp" else None,
        nodes=found.nodes,
        times={"prepare": prepared - began, **found.times},
    )


def check_gap(gap: float) -> None:
    """Raise :class:`OptionError` for a relative gap that no search reaches."""
    if not gap > 0:
        raise OptionError(f"gap {gap}: a number > 0 is needed")


def round_down(value: Fraction) -> float:
    """Return the largest double that is not above a rational."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def _fractions(values: FloatArray) -> Point:
    """Return doubles as fractions."""
    return tuple(Fraction(float(v)) for v in values)
