"""How non-convex is a network on a box: the worst midpoint violation, from both sides."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from jensen.arguments import checked_threads, real
from jensen.arithmetic.intervals import round_down, round_up
from jensen.domains.domain import Domain
from jensen.errors import OptionError, SolverError
from jensen.groups.prepared import Prepared, prepare
from jensen.groups.twin_groups import twin_groups
from jensen.midpoint.feasible import Feasible
from jensen.midpoint.pair_violation import Violation
from jensen.midpoint.raised import raises
from jensen.midpoint.search import RAISE_SHARE, search_pairs
from jensen.midpoint.units import Rescaled, rescaled
from jensen.network.relu_network import ReluNetwork
from jensen.processors import available_processors
from jensen.text import shown
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point, admits, exact_violation
from jensen_encodings import UnboundedNeuronError
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Progress

ENGINES = ("tree", "milp")
OPTIMAL, PRECISION_LIMIT = "optimal", "precision limit"
Pair = tuple[Point, Point]
Report = Callable[[Progress], None] | None
MOST_THREADS = 4  # beyond which the interpreter is the bottleneck


def worst_pair(
    network: ReluNetwork,
    domain: Domain,
    *,
    output: int = 0,
    time_limit: float | None = None,
    gap: float = 1e-4,
    engine: str = "tree",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
    start: tuple[Point, Point] | None = None,
    feasible: Feasible | None = None,
) -> Violation:
    """Bound ``max f((x + y) / 2) - (f(x) + f(y)) / 2`` over pairs of a box.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
        A box.
    output : int
        Which output is f.
    time_limit : float or None
        Seconds; the best bounds so far are returned. So they are on Ctrl-C.
    gap : float
        Stop when ``upper - lower <= gap * lower``, or nothing is left but rounding.
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
    feasible : Feasible, optional
        Where both points lie, inside of the box; for engine tree.

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
    gap = checked_gap(gap)
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}: supported are {', '.join(ENGINES)}")
    check_threads(threads)
    deadline = Deadline.after(time_limit)
    prepared = prepare(network, domain, output=output, deadline=deadline)

    def measured(
        subject: Prepared, inside: Feasible | None, pair: tuple[Point, Point] | None, report: Report
    ) -> Violation:
        return measure_pairs(
            subject,
            deadline=deadline,
            gap=gap,
            engine=engine,
            threads=threads,
            progress=report,
            seed=seed,
            start=pair,
            feasible=inside,
        )

    # HiGHS's own tolerance is said in the user's units
    other = rescaled(prepared.network, prepared.box, feasible) if engine == "tree" else None
    if other is None:
        return measured(prepared, feasible, start, progress)
    pair = None if start is None else other.points(start)
    inner = prepare(other.network, other.box, deadline=deadline)
    scaled = measured(inner, other.feasible, pair, _translated(progress, other))
    found = concluded(_in_units(scaled, other), gap)
    if found.status != PRECISION_LIMIT or deadline.over():
        return found
    try:  # sums that round otherwise may show more
        again = measured(prepared, feasible, (found.x, found.y), progress)
    except SolverError:
        return found
    return concluded(_better(found, again), gap)


def _better(found: Violation, again: Violation) -> Violation:
    """Return the better bounds of two results that hold both."""
    best = max(found, again, key=lambda result: result.exact_lower)
    return replace(
        best,
        upper=min(found.upper, again.upper),
        status=PRECISION_LIMIT,
        nodes=found.nodes + again.nodes,
    )


def _translated(progress: Report, units: Rescaled) -> Report:
    """Return what takes reports in other units and passes them on in the user's."""
    return None if progress is None else lambda found: progress(units.progress(found))


def _in_units(found: Violation, units: Rescaled) -> Violation:
    """Return a result in the user's units."""
    exact = units.exact(found.exact_lower)
    x, y = units.back(found.x), units.back(found.y)
    upper = units.above(found.upper)
    return replace(found, lower=round_down(exact), upper=upper, x=x, y=y, exact_lower=exact)


def measure_pairs(
    prepared: Prepared,
    *,
    deadline: Deadline,
    gap: float = 1e-4,
    engine: str = "tree",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
    start: tuple[Point, Point] | None = None,
    feasible: Feasible | None = None,
) -> Violation:
    """Bound the worst violation of what is prepared already, on a box.

    Parameters
    ----------
    prepared : Prepared
    deadline : Deadline
    gap, engine, threads, progress, seed, start, feasible
        As for :func:`worst_pair`.
    """
    began = time.perf_counter()
    try:
        data = prepared.data
    except UnboundedNeuronError as error:
        raise SolverError(f"values beyond the range of doubles: {error}") from None

    def judge(x: FloatArray, y: FloatArray) -> Fraction:
        return exact_violation(prepared.network, _fractions(x), _fractions(y))

    done = time.perf_counter()
    tolerance = None
    if engine == "milp":
        from jensen.midpoint import milp  # noqa: PLC0415  (loads Pyomo)

        tolerance = milp.MILP_TOLERANCE
        raised = raises(prepared, deadline.share(RAISE_SHARE))
        found = milp.solve_midpoint_program(
            data,
            judge,
            twins=twin_groups(prepared),
            gap=gap,
            deadline=deadline,
            threads=threads or 1,
            seed=seed,
            progress=progress,
            amounts=None if raised is None else raised.amounts,
        )
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # sides may reach the largest double
            found = search_pairs(
                prepared,
                judge,
                gap=gap,
                deadline=deadline,
                seed=seed,
                start=start,
                progress=progress,
                threads=threads or min(MOST_THREADS, available_processors()),
                feasible=feasible,
            )
    x, y, exact = _fractions(found.x), _fractions(found.y), found.exact
    if not admits(prepared.domain, x, y):  # it would show nothing about the box
        y = x = _fractions(data.input_lower)
        exact = Fraction(0)
    result = Violation(
        lower=round_down(exact),
        upper=found.upper,
        x=x,
        y=y,
        exact_lower=exact,
        status=found.status,
        tolerance=tolerance,
        nodes=found.nodes,
        times={"prepare": done - began, **found.times},
    )
    if start is not None:
        result = with_pair(result, prepared.network, prepared.domain, start)
    return concluded(result, gap)


def checked_gap(gap: float) -> float:
    """Return a relative gap, and raise :class:`OptionError` for one that no search reaches."""
    number = real(gap)
    if number is None or not number > 0:
        raise OptionError(f"gap {shown(gap)}: a number > 0 is needed")
    return number


def check_threads(threads: int | None) -> None:
    """Raise :class:`OptionError` for a number of threads that does nothing."""
    if threads is not None:
        checked_threads(threads)


def concluded(found: Violation, gap: float) -> Violation:
    """Return a result that is called optimal where the gap holds, and only there.

    Parameters
    ----------
    found : Violation
    gap : float
        Relative, as it was asked for; below the tolerance of a solver nothing is distinguished.
    """
    if found.status not in {OPTIMAL, PRECISION_LIMIT}:
        return found
    exact = found.exact_lower
    # the search compares doubles
    allowed = exact * (Fraction(min(gap, sys.float_info.max)) + Fraction(1, 2**50))
    allowed = max(allowed, Fraction(found.tolerance or 0))
    closed = math.isfinite(found.upper) and Fraction(found.upper) - exact <= allowed
    return replace(found, status=OPTIMAL if closed else PRECISION_LIMIT)


def with_pair(
    best: Violation, network: ReluNetwork, domain: Domain, pair: Pair, known: Fraction | None = None
) -> Violation:
    """Return a result with the worse one of its own pair and another one, judged exactly.

    Parameters
    ----------
    best : Violation
    network : ReluNetwork
        With one output.
    domain : Domain
    pair : (x, y)
    known : Fraction, optional
        Its violation: to compute it takes long in large networks.
    """
    x, y = pair
    if not admits(domain, x, y):
        return best
    exact = exact_violation(network, x, y) if known is None else known
    if exact <= best.exact_lower:
        return best
    upper = max(best.upper, round_up(exact))
    return replace(best, lower=round_down(exact), upper=upper, x=x, y=y, exact_lower=exact)


def _fractions(values: FloatArray) -> Point:
    """Return doubles as fractions."""
    return tuple(Fraction(float(v)) for v in values)
