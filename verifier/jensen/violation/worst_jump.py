"""The worst gradient jump of a network on a domain, from both sides (docs/theory.md, section 9)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from jensen.arguments import checked_flag
from jensen.arithmetic.exact import root_to_double, to_double
from jensen.blas import few_threads
from jensen.composition.piecewise_quadratic import pair_at_kink, split
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import OutOfTimeError, SolverError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.prepared import Prepared, prepare
from jensen.loaders import opened
from jensen.network.checks import first_output
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import check_domain, check_subject
from jensen.prover.signs import SPACE
from jensen.verdicts.counterexample import Point, admits
from jensen.verdicts.options import Options, checked_number
from jensen.violation.jump_facets import root_above, root_below
from jensen.violation.jump_of_cells import CellJumpSearch
from jensen.violation.jump_of_regions import WorstFacet, worst_facet
from jensen.violation.jump_violation import JumpViolation
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Progress


def worst_jump(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    concave: bool = False,
    time_limit: float | None = None,
    gap: float = 1e-4,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> JumpViolation:
    """Bound how much the gradient falls across a facet of f inside a domain.

    The jump is that of f itself: where neurons of several groups kink on one hyperplane,
    their contributions are added up. Facets on the domain's boundary do not count. On a
    domain without interior the gradient is that along its affine hull.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        Of graphs, ReLU networks plus quadratic forms: these have no kinks of their own.
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``.
    output : int, optional
        Which output is f; the first, with a warning where there are several.
    concave : bool
        Measure ``-f`` instead: how much the gradient of f rises.
    time_limit : float or None
        Seconds; the best bounds so far are returned. So they are on Ctrl-C.
    gap : float
        Stop when ``upper <= lower * (1 + gap)``; a network without a bad facet needs both to be 0.
    progress : callable, optional
        Gets a :class:`~jensen_encodings.highs.Progress` now and then.
    seed : int
        Of the first look for bad facets; the bounds do not depend on it but for the gap.

    Returns
    -------
    JumpViolation

    Raises
    ------
    DomainError, NetworkError, OptionError
        For a domain, a graph or an output that does not fit, or options out of range.
    SolverError
        If no pair shows the worst kink of a sum.

    References
    ----------
    docs/theory.md, sections 4, 5, 9 and 12.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -3.0]]], [[0, -1], [0]])
    >>> found = worst_jump(net)
    >>> found.lower, round(found.upper, 9), found.point
    (3.0, 3.0, (Fraction(1, 1),))
    """
    gap = checked_number(gap, "gap", positive=True)
    domain = Everywhere() if domain is None else domain
    network = opened(network)
    if checked_flag(concave, "concave"):
        rises: dict[str, Any] = {"time_limit": time_limit, "gap": gap, "progress": progress}
        other = network.select_output(first_output(network.output_size, output)).negated()
        found = worst_jump(other, domain, seed=seed, **rises)
        slopes = None if found.slopes is None else (-found.slopes[0], -found.slopes[1])
        return replace(found, slopes=slopes, concave=True)
    if isinstance(network, FunctionGraph):
        check_domain(domain)
        limits: dict[str, Any] = {"time_limit": time_limit, "gap": gap, "seed": seed}
        output = first_output(network.output_size, output)
        return _of_a_sum(network, domain, output, limits | {"progress": progress})
    check_subject(network, domain)
    output = first_output(network.output_size, output)
    Options(time_limit=time_limit, seed=seed)
    deadline = Deadline.after(time_limit)
    prepared = prepare(network, domain, output=output, deadline=deadline)
    with np.errstate(all="ignore"), few_threads(network.relu_count):
        return _Measurement(prepared, gap, seed).run(progress)


def _of_a_sum(
    graph: FunctionGraph, domain: Domain, output: int, limits: dict[str, Any]
) -> JumpViolation:
    """Measure a ReLU network plus a quadratic form: the gradient of the form has no jumps.

    It is added to both slopes, and the pair is shortened until it refutes the sum.
    """
    parts = split(graph.select_output(output))
    if parts is None:
        graph.refuse("the worst gradient jump")
    found = worst_jump(parts.piecewise, domain, **limits)
    if found.point is None or found.slopes is None:
        return found
    slope = parts.slope(0, found.point, [Fraction(v) for v in found.normal])
    pair = pair_at_kink(parts.graph, domain, found.x, found.y, None)
    if pair is None:
        raise SolverError("no pair across the worst kink was found that refutes the sum")
    before, behind = (to_double(Fraction(v) + slope) for v in found.slopes)
    sum_of_both = replace(found, slopes=(before, behind), x=pair.x, y=pair.y)
    return replace(sum_of_both, exact_violation=pair.violation)


class _Measurement:
    """One output on one domain."""

    def __init__(
        self,
        prepared: Prepared,
        gap: float,
        seed: int,
    ) -> None:
        self._began = time.monotonic()
        self._deadline = prepared.deadline
        self._prepared = prepared
        self._gap = gap
        self._seed = seed

    def run(self, progress: Callable[[Progress], None] | None) -> JumpViolation:
        try:
            if self._prepared.working.dim == 0:
                return self._nothing("optimal", 0.0)
        except OutOfTimeError:
            return self._nothing("time limit", math.inf)
        facet = self._facet_of_regions() if self._prepared.network.input_size < SPACE else None
        if facet is not None:
            return self._measured(facet)
        try:
            search = CellJumpSearch(
                self._prepared, gap=self._gap, deadline=self._deadline, seed=self._seed
            )
        except OutOfTimeError:
            return self._nothing("time limit", math.inf)
        return self._searched(
            search, None if progress is None else _Reporter(search, progress, self._began)
        )

    def _facet_of_regions(self) -> WorstFacet | None:
        return worst_facet(self._prepared.network, self._prepared.domain, self._deadline)

    def _searched(self, search: CellJumpSearch, report: Callable[[], None] | None) -> JumpViolation:
        """Walk from cell to cell, or look at all regions of space, or search."""
        network, domain = self._prepared.network, self._prepared.domain
        built = time.monotonic()
        interrupted = False
        try:
            if not search.walk(report):
                facet = self._facet_of_regions() if network.input_size == SPACE else None
                if facet is not None:
                    return self._measured(facet)
                search.run(report)
        except KeyboardInterrupt:
            interrupted = True
        times = {"build": built - self._began, "search": time.monotonic() - built}
        status = "interrupted" if interrupted else _status(search)
        worst = search.worst
        if worst is not None and not admits(domain, worst.crossing.before, worst.crossing.after):
            worst, status = None, "undecided facet" if status == "optimal" else status
        if worst is None:
            return self._nothing(status, search.upper, search.nodes, search.lps, times)
        crossing = worst.crossing
        return JumpViolation(
            lower=search.lower,
            upper=search.upper,
            point=crossing.middle,
            normal=_unit(crossing.before, crossing.after),
            exact_squared=worst.squared,
            x=crossing.before,
            y=crossing.after,
            exact_violation=crossing.violation,
            slopes=_slopes(network, crossing.before, crossing.middle, crossing.after),
            neurons=self._prepared.grouped.neurons(worst.group),
            status=status,
            nodes=search.nodes,
            lps=search.lps,
            times=times,
        )

    def _measured(self, facet: WorstFacet) -> JumpViolation:
        """Return what the walk over all facets has found."""
        times = {"regions": time.monotonic() - self._began}
        if not facet.squared:
            return self._nothing("optimal", 0.0, times=times)
        return JumpViolation(
            lower=root_below(facet.squared),
            upper=root_above(facet.squared),
            point=facet.middle,
            normal=_unit(facet.before, facet.after),
            exact_squared=facet.squared,
            x=facet.before,
            y=facet.after,
            exact_violation=facet.violation,
            slopes=_slopes(self._prepared.network, facet.before, facet.middle, facet.after),
            neurons=facet.neurons,
            status="optimal",
            times=times,
        )

    def _nothing(
        self,
        status: str,
        upper: float,
        nodes: int = 0,
        lps: int = 0,
        times: Mapping[str, float] | None = None,
    ) -> JumpViolation:
        zero = Fraction(0)
        return JumpViolation(
            0.0, upper, None, (), zero, (), (), zero, None, (), status, nodes, lps, times or {}
        )


class _Reporter:
    """Passes on the state of a search, a few times a second."""

    def __init__(
        self, search: CellJumpSearch, progress: Callable[[Progress], None], began: float
    ) -> None:
        self._search = search
        self._progress = progress
        self._began = began
        self._next = 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.2
            search = self._search
            seconds = now - self._began
            self._progress(Progress(search.lower, search.upper, search.nodes, seconds))


def _status(search: CellJumpSearch) -> str:
    if search.is_done():
        return "optimal"
    return "undecided facet" if search.is_stuck() else "time limit"


def _unit(start: Point, end: Point) -> tuple[float, ...]:
    """Return the unit vector of ``end - start``, each component rounded."""
    steps = [b - a for a, b in zip(start, end, strict=True)]
    squared = sum((v * v for v in steps), Fraction(0))
    return tuple(_with_sign(root_to_double(v * v / squared), v) for v in steps)


def _slopes(network: ReluNetwork, x: Point, middle: Point, y: Point) -> tuple[float, float]:
    """Return the slopes of f per unit of length from x to the middle, and from there to y."""
    (at_x,), (at_middle,), (at_y,) = network.exact(x), network.exact(middle), network.exact(y)
    squared = sum(((b - a) ** 2 for a, b in zip(x, y, strict=True)), Fraction(0)) / 4
    rises = at_middle - at_x, at_y - at_middle
    before, after = (_with_sign(root_to_double(r * r / squared), r) for r in rises)
    return before, after


def _with_sign(size: float, value: Fraction) -> float:
    return -size if value < 0 else size
