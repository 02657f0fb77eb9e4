"""The worst midpoint violation on a box, a bounded polyhedron or all of R^n."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jensen.arguments import checked_callback, checked_flag
from jensen.arithmetic.powers import exponents_near
from jensen.decide import verify
from jensen.domains.box import Box
from jensen.domains.domain import Domain, Everywhere
from jensen.domains.hull import inner_ball
from jensen.errors import DomainError, OptionError, OutOfTimeError, SolverError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import opened
from jensen.midpoint import worst_pair as midpoint
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.pair_violation import UNBOUNDED, Violation
from jensen.midpoint.worst_pair import PRECISION_LIMIT, with_pair
from jensen.network.checks import first_output
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_domain, check_subject
from jensen.text import shown
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen.verdicts.options import checked_seconds
from jensen.verdicts.verdict import Status, Verdict
from jensen.violation.curved import curved_violation
from jensen.violation.flat import within_hull
from jensen.violation.interval import box_violation
from jensen.violation.recession import everywhere_violation
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Progress

PROVED = "proved convex"
PROVER_SECONDS = 10.0  # before the search begins
PROVER_SHARE = 0.25  # of the time that is left, at most
LEAST_SECONDS = 1e-3


def worst_violation(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    concave: bool = False,
    time_limit: float | None = None,
    gap: float = 1e-4,
    engine: str = "tree",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Violation:
    """Bound ``max f((x + y) / 2) - (f(x) + f(y)) / 2`` over pairs of a domain.

    The prover looks first: a proof of convexity is the bound 0, a refuted facet a start.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        Of a graph with other functions the bounds are proved, but need not meet
        (docs/smooth.md).
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``. A polyhedron has to be bounded; a flat one is measured within
        its affine hull, if doubles can describe that. On R^n violations may be unbounded: then
        ``status`` is ``"unbounded"`` and ``upper`` infinite.
    output : int, optional
        Which output is f; the first, with a warning where there are several.
    concave : bool
        Measure ``-f`` instead: how far f is from concave.
    time_limit : float or None
        Seconds; the best bounds so far are returned. So they are on Ctrl-C.
    gap : float
        Stop when ``upper - lower <= gap * lower``, or both are 0 within rounding.
    engine : str
        ``"tree"``: a branch and bound whose ``upper`` holds in real arithmetic; of one input
        the exact worst pair.
        ``"milp"``: the midpoint program by HiGHS, up to its tolerance; on a box.
    threads : int, optional
        Of engine tree; all processors by default, up to 4. Or of HiGHS, for engine milp; 1.
    progress : callable, optional
        Gets a :class:`~jensen_encodings.highs.Progress` now and then.
    seed : int

    Returns
    -------
    Violation

    Raises
    ------
    DomainError, NetworkError, OptionError
        For a polyhedron that is empty, unbounded, a point, or flat within a hull that no doubles
        describe, a domain or an output that does not fit, or options out of range.
    OutOfTimeError
        If time was up before the bounds of a polyhedron were known.
    SolverError
        If HiGHS fails, or values leave the doubles, and the prover found no pair either.

    References
    ----------
    docs/theory.md, sections 6 and 10.

    Examples
    --------
    >>> from jensen.domains.domain import Everywhere
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1.0]]], [[0, -1], [0]])
    >>> round(worst_violation(net, Everywhere()).upper, 4)
    0.5
    """
    domain = Everywhere() if domain is None else domain
    time_limit = checked_seconds(time_limit)
    if not isinstance(engine, str):
        raise OptionError(f"engine {shown(engine)}: supported are tree, milp")
    checked_callback(progress, "progress")
    network = opened(network)
    if checked_flag(concave, "concave"):
        limits: dict[str, Any] = {"time_limit": time_limit, "gap": gap, "engine": engine}
        limits |= {"threads": threads, "progress": progress, "seed": seed}
        other = network.select_output(first_output(network.output_size, output)).negated()
        return replace(worst_violation(other, domain, **limits), concave=True)
    if isinstance(network, FunctionGraph):
        check_domain(domain)
        output = first_output(network.output_size, output)
        return _of_a_graph(network, domain, output, time_limit, gap, engine, seed)
    check_subject(network, domain)
    output = first_output(network.output_size, output)
    gap = midpoint.checked_gap(gap)
    midpoint.check_threads(threads)
    common: dict[str, Any] = {"output": output, "gap": gap, "threads": threads}
    common |= {"progress": progress, "seed": seed}
    return _of_a_network(network, domain, time_limit, engine, common)


def _of_a_network(
    network: ReluNetwork,
    domain: Domain,
    time_limit: float | None,
    engine: str,
    common: dict[str, Any],
) -> Violation:
    sides = domain.box_sides(network.input_size)
    if engine != "tree" and sides is None:
        raise OptionError(f"engine {engine} needs a box: the program's big-M are its bounds")
    began = time.monotonic()
    deadline = Deadline.after(time_limit)
    output = common["output"]
    hull = within_hull(network, domain, deadline) if domain.has_rows else None
    if hull is not None:
        left = None if time_limit is None else max(deadline.left(), LEAST_SECONDS)
        found = worst_violation(hull.network, hull.domain, time_limit=left, **common)
        return replace(found, x=hull.back(found.x), y=hull.back(found.y))
    feasible = _feasible(domain, network.input_size, deadline) if domain.has_rows else None
    box = None if sides is None else domain
    box = box if feasible is None else Box(feasible.lower, feasible.upper)
    start = known = None
    interrupted = False
    if engine == "tree":
        verdict = _verdict(network, domain, output, deadline, common["seed"])
        if verdict is None:
            interrupted, deadline = True, Deadline.after(0.0)  # what is known at once
        elif verdict.status is Status.CONVEX:
            point = _some_point(domain, network.input_size, feasible)
            return _no_violation(point, time.monotonic() - began)
        elif verdict.counterexample is not None:
            start = verdict.counterexample.x, verdict.counterexample.y
            known = verdict.counterexample.violation
    spent = time.monotonic() - began
    if box is None:
        common["time_limit"] = deadline.seconds()
        measure = partial(everywhere_violation, network, **common)
    else:
        common |= {"engine": engine, "start": start, "feasible": feasible}
        measure = partial(box_violation, network, box, deadline, **common)
    found = _measured(measure, start)
    if start is None:
        stopped = interrupted and found.status == "time limit"
        return replace(found, status="interrupted") if stopped else found
    if found.status != UNBOUNDED:
        kept = with_pair(found, network.select_output(output), domain, start, known)
        found = midpoint.concluded(kept, common["gap"])
    return replace(found, times={"prover": spent, **found.times})


def _verdict(
    network: ReluNetwork, domain: Domain, output: int, deadline: Deadline, seed: int
) -> Verdict | None:
    """Return what the prover finds within its share of the time; None on Ctrl-C."""
    limit = max(min(PROVER_SECONDS, deadline.left() * PROVER_SHARE), LEAST_SECONDS)
    try:
        return verify(network, domain, output=output, time_limit=limit, seed=seed)
    except KeyboardInterrupt:
        return None


def _measured(measure: Callable[[], Violation], start: tuple[Point, Point] | None) -> Violation:
    """Return what a search finds; if it fails, that nothing is known but the prover's pair."""
    try:
        return measure()
    except SolverError:
        if start is None:
            raise
        return Violation(0.0, math.inf, start[0], start[0], Fraction(0), PRECISION_LIMIT)


def _of_a_graph(
    graph: FunctionGraph,
    domain: Domain,
    output: int,
    time_limit: float | None,
    gap: float,
    engine: str,
    seed: int,
) -> Violation:
    gap = midpoint.checked_gap(gap)
    if engine != "tree":
        raise OptionError(f"engine {engine} is for piecewise-linear networks: leave it out")

    def piecewise(network: ReluNetwork, limit: float | None) -> Violation:
        return worst_violation(network, domain, time_limit=limit, gap=gap, seed=seed)

    limits: dict[str, Any] = {"output": output, "time_limit": time_limit, "gap": gap, "seed": seed}
    return curved_violation(graph, domain, piecewise, **limits)


def _no_violation(point: FloatArray, seconds: float) -> Violation:
    exact = tuple(Fraction(float(v)) for v in point)
    return Violation(0.0, 0.0, exact, exact, Fraction(0), PROVED, times={"prover": seconds})


def _some_point(domain: Domain, inputs: int, feasible: Feasible | None) -> FloatArray:
    if feasible is not None:
        return feasible.centre
    sides = domain.box_sides(inputs)
    return np.zeros(inputs) if sides is None else sides[0]


def _feasible(domain: Domain, inputs: int, deadline: Deadline) -> Feasible:
    """Return a bounded polyhedron with a box around it and a point inside.

    Raises
    ------
    DomainError
        If it is empty, flat or not bounded.
    OutOfTimeError
        If that was not known in time.
    """
    working = domain.working_set(inputs, deadline)
    flat = working.dim < inputs + working.lifted
    A, b = _near_one(*domain.inequalities(inputs))
    if deadline.over():
        raise OutOfTimeError("time was up before the bounds of the polyhedron were known")
    if working.lifted:
        raise DomainError(
            "no bounds of the polyhedron were found: the midpoint violation is measured on a "
            "bounded one, a box or everywhere; on any polyhedron there is the measure jump"
        )
    box = working.box
    centre, _ = inner_ball(A, b, max(1.0, float(np.abs(box).max())), deadline)
    if deadline.over():
        raise OutOfTimeError("time was up before a point of the polyhedron was known")
    found = Feasible(*box, A, b, np.clip(centre, *box))
    if flat or not found.contains(found.centre) or (A @ found.centre >= b)[A.any(axis=1)].any():
        raise DomainError(
            "the polyhedron is a point, or has no interior that doubles could name: the midpoint "
            "violation is measured on others; fix the inputs that its equations determine, or "
            "measure the jump"
        )
    return found


@np.errstate(over="ignore", under="ignore")
def _near_one(A: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Multiply rows by powers of two where that rounds nothing: HiGHS's tolerances are absolute."""
    rows = np.column_stack([A, b])
    exponents = exponents_near(np.abs(A).max(axis=1, initial=0.0))[:, None]
    scaled = np.ldexp(rows, -exponents)
    exact = (np.ldexp(scaled, exponents) == rows).all(axis=1)
    rows[exact] = scaled[exact]
    return rows[:, :-1], rows[:, -1]
