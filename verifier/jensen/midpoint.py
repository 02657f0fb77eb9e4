"""How non-convex is a network on a box: the worst midpoint violation, from both sides."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.domain import Box
from jensen.errors import OptionError, SolverError
from jensen.midpoint_data import network_data
from jensen.network import FloatArray, ReluNetwork
from jensen_encodings import SolverFailure, midpoint_program
from jensen_encodings.highs import Progress, SolveOptions, compile_model, solve

Point = tuple[Fraction, ...]


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
    threads: int = 1,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
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
    threads : int
        Threads of HiGHS.
    progress : callable, optional
        Gets a :class:`~jensen_encodings.highs.Progress` now and then.
    seed : int

    Raises
    ------
    DomainError, NetworkError, OptionError
        For a box or an output that does not fit, or options out of range.
    SolverError
        If HiGHS fails.

    References
    ----------
    docs/theory.md, section 6.
    """
    if not gap > 0:
        raise OptionError(f"gap {gap}: a number > 0 is needed")
    began = time.perf_counter()
    network = network.select_output(output)
    lower, upper = box.bounds(network.input_size)
    data = network_data(network, lower, upper)
    program = midpoint_program(data)
    compiled = compile_model(program.model)
    built = time.perf_counter()
    options = SolveOptions(
        time_limit=None if time_limit is None else max(0.0, time_limit - (built - began)),
        threads=threads,
        relative_gap=gap,
        absolute_gap=1e-6,
        seed=seed,
    )
    try:
        result = solve(compiled, options, progress=progress)
    except SolverFailure as error:
        raise SolverError(str(error)) from error
    x = y = _dyadic(lower, lower, upper)
    exact = Fraction(0)
    if result.values is not None:
        column = {id(v): i for i, v in enumerate(compiled.columns)}
        pair = [
            _dyadic(result.values[[column[id(v)] for v in copy.inputs]], lower, upper)
            for copy in (program.at_x, program.at_y)
        ]
        found = exact_violation(network, *pair)
        if found > 0:
            (x, y), exact = pair, found
    trivial = float(np.nextafter(data.output.upper[0] - data.output.lower[0], math.inf))
    return Violation(
        lower=round_down(exact),
        upper=min(trivial, max(result.bound, 0.0, math.nextafter(float(exact), math.inf))),
        x=x,
        y=y,
        exact_lower=exact,
        status=str(result.status),
        tolerance=1e-6,
        nodes=result.nodes,
        times={"build": built - began, "solve": result.seconds},
    )


def round_down(value: Fraction) -> float:
    """Return the largest double that is not above a rational."""
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def _dyadic(values: FloatArray, lower: FloatArray, upper: FloatArray) -> Point:
    """Return doubles inside the box, as fractions."""
    return tuple(Fraction(float(v)) for v in np.clip(values, lower, upper))
