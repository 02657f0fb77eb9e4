"""Deciding a graph: composition proves, a pair in ball arithmetic refutes, else unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from jensen.arithmetic.rational import rational
from jensen.blas import few_threads
from jensen.composition.boxes import subdivide
from jensen.composition.compound import compound
from jensen.composition.curvature import Composition, Curvature, compose
from jensen.composition.explain import NodeEvidence, evidence_of, where_it_ends
from jensen.composition.hessian import HessianBound
from jensen.composition.inner import InnerRows
from jensen.composition.large import search_large
from jensen.composition.pairs import BALL_WORK, counterexample
from jensen.composition.piecewise_quadratic import (
    PiecewiseQuadratic,
    falling_direction,
    pair_along,
    pair_at_kink,
    split,
)
from jensen.composition.quadratic import QuadraticForms
from jensen.composition.ridges import RidgeFunctions
from jensen.composition.search import search_pair
from jensen.domains.domain import Domain
from jensen.errors import OptionError, OutOfTimeError
from jensen.graphs.enclosures import Enclosures, enclose
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.node import GraphNode
from jensen.network.block import OUTPUT
from jensen.network.relu_network import ReluNetwork
from jensen.prover.question import claimed
from jensen.stopwatch import Stopwatch
from jensen.types import BoolArray, FloatArray
from jensen.verdicts.evidence import Counterexample, Reason
from jensen.verdicts.interrupted import Interrupted
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status, Verdict
from jensen_encodings.deadline import NEVER, Deadline

NO_CERTIFICATE = (
    "no certificate: the checker knows piecewise-linear networks and quadratic forms outside the "
    "ReLUs, and has no rules of composition"
)
ENGINE = "composition"


def check_graph_options(options: Options) -> None:
    """Raise for options that speak of ReLU networks only.

    Raises
    ------
    OptionError
    """
    if options.engine is not Engine.AUTO:
        raise OptionError(
            f"engine {options.engine} decides piecewise-linear networks; this one has other "
            "functions and is decided by composition: leave out the engine"
        )
    if options.tolerance:
        raise OptionError("a tolerance speaks of kinks of piecewise-linear networks: leave it out")


@dataclass(frozen=True, eq=False)
class GraphQuestion:
    """A graph on a domain, and how its convexity is asked for.

    Attributes
    ----------
    graph : FunctionGraph
        With one output; negated where concavity is asked for.
    domain : Domain
    options : Options
    deadline : Deadline
    watch : Stopwatch
    whole : FunctionGraph
        With all outputs, as it was given.
    output : int
    """

    graph: FunctionGraph
    domain: Domain
    options: Options
    deadline: Deadline
    watch: Stopwatch
    whole: FunctionGraph
    output: int

    @cached_property
    def parts(self) -> tuple[PiecewiseQuadratic, int] | None:
        """The graph as a ReLU network plus quadratic functions, and the output there, if it is.

        All outputs at once if they are, since a certificate speaks of the whole model.
        """
        found = split(self.whole)
        if found is not None:
            return found, self.output
        found = split(self.whole.select_output(self.output))
        return None if found is None else (found, 0)

    @property
    def moving(self) -> BoolArray:
        """Inputs in which convexity is asked."""
        flags = np.ones(self.graph.input_size, dtype=bool)
        if self.options.inputs is not None:
            flags[:] = False
            flags[list(self.options.inputs)] = True
        return flags


class ExactRows:
    """What decides rows in rational arithmetic: quadratic forms, functions of one number.

    Attributes
    ----------
    forms : QuadraticForms
    ridges : RidgeFunctions
    """

    def __init__(self, graph: FunctionGraph, moving: BoolArray, deadline: Deadline) -> None:
        self.forms = QuadraticForms(graph, moving, deadline)
        self.ridges = RidgeFunctions(graph)

    def improve(self, node: GraphNode, z: Curvature, values: Mapping[str, Curvature]) -> Curvature:
        """Return the curvature of a node's rows, with what is decided here."""
        return self.forms.improve(node, self.ridges.improve(node, z, values), values)


Prover = Callable[[ReluNetwork, Domain, int, Options], Verdict]


def decide_graph(
    graph: FunctionGraph, domain: Domain, output: int, options: Options, prover: Prover
) -> Verdict:
    """Decide one output of a graph, with evidence either way.

    Parameters
    ----------
    graph : FunctionGraph
    domain : Domain
    output : int
    options : Options
    prover : callable
        Decides an output of a ReLU network: the piecewise-linear part of a graph that is such
        a network plus a quadratic form.

    Returns
    -------
    Verdict
        With the certificate of the piecewise-linear part, if one was asked for and this
        is what was proved.

    Raises
    ------
    DomainError
        If the domain is empty or does not fit.
    Interrupted
        On Ctrl-C.
    """
    scalar = graph.select_output(output)
    scalar = scalar.negated() if options.concave else scalar
    watch = Stopwatch()
    deadline = Deadline.after(options.time_limit)
    question = GraphQuestion(scalar, domain, options, deadline, watch, graph, output)
    verdict = Verdict(Status.UNKNOWN, domain, output, ENGINE, claim=claimed(options), subject=graph)
    try:
        return _answered(question, verdict, prover)
    except OutOfTimeError as error:
        return replace(verdict, note=str(error), times=dict(watch.times))
    except KeyboardInterrupt:
        raise Interrupted(replace(verdict, note="interrupted", times=dict(watch.times))) from None


def _answered(question: GraphQuestion, verdict: Verdict, prover: Prover) -> Verdict:
    watch = question.watch
    with watch.stage("bounds"):
        sides = sides_of(question.domain, question.graph.input_size, question.deadline)
        bounds = enclose(question.graph, *sides)
    with watch.stage("composition"):
        rows = ExactRows(question.graph, question.moving, question.deadline)
        found = compose(question.graph, bounds, question.moving, rows.improve, compound)
    proved = not found.undefined and bool(found.pre_activations[OUTPUT].convex.all())
    if proved and (not question.options.certificate or question.parts is None):
        evidence = evidence_of(question.graph, found, rows.forms.used, ridges=rows.ridges.used)
        note = NO_CERTIFICATE if question.options.certificate else ""
        times = dict(watch.times)
        return replace(verdict, status=Status.CONVEX, evidence=evidence, note=note, times=times)
    if question.parts is not None:
        return _by_parts(question, verdict, *question.parts, prover)
    with watch.stage("search"):
        pair = _searched(question, bounds, found)
    if pair is not None:
        return _refuted(question, verdict, pair)
    proved_inside = _by_inner_rows(question, verdict, bounds, rows, prover)
    if proved_inside is not None:
        return proved_inside
    verdict = replace(verdict, note=_why(question.graph, bounds, found))
    return _by_curvature(question, verdict, sides, found)


def _searched(
    question: GraphQuestion, bounds: Enclosures, found: Composition
) -> Counterexample | None:
    graph, domain, options = question.graph, question.domain, question.options
    limits: dict[str, Any] = {"seed": options.seed, "deadline": question.deadline}
    if graph.work > BALL_WORK:
        return search_large(graph, domain, found, bounds, question.moving, **limits)
    return search_pair(graph, domain, inputs=options.inputs, **limits)


def _by_inner_rows(
    question: GraphQuestion,
    verdict: Verdict,
    bounds: Enclosures,
    first: ExactRows,
    prover: Prover,
) -> Verdict | None:
    """Apply the rules once more, with the exact provers for rows that are piecewise linear."""
    options, deadline = question.options, question.deadline

    def decide(graph: FunctionGraph, concave: bool) -> bool:
        # what is no such sum would be asked of the same rules again
        if deadline.over() or split(graph) is None:
            return False
        limit = None if options.time_limit is None else max(deadline.left() / 2, 1e-3)
        asked = replace(options, concave=concave, certificate=False, time_limit=limit)
        inner = decide_graph(graph, question.domain, 0, asked, prover)
        return inner.status is Status.CONVEX and all(item.exact for item in inner.evidence)

    rows = InnerRows(question.graph, first.improve, decide)
    if not rows.may_help:
        return None
    with question.watch.stage("piecewise-linear parts"):
        found = compose(question.graph, bounds, question.moving, rows.improve, compound)
    if found.undefined or not found.pre_activations[OUTPUT].convex.all():
        return None
    evidence = evidence_of(
        question.graph, found, first.forms.used, decided=rows.used, ridges=first.ridges.used
    )
    note = NO_CERTIFICATE if options.certificate else ""
    times = dict(question.watch.times)
    return replace(verdict, status=Status.CONVEX, evidence=evidence, note=note, times=times)


def _by_curvature(
    question: GraphQuestion,
    verdict: Verdict,
    sides: tuple[FloatArray, FloatArray],
    found: Composition,
) -> Verdict:
    """Bound the Hessian on boxes that cover a bounded domain."""
    graph, domain, options = question.graph, question.domain, question.options
    bounded = np.isfinite(sides).all()
    if not bounded or found.undefined or not HessianBound.fits(graph):
        return replace(verdict, times=dict(question.watch.times))
    constant = {name: known.constant for name, known in found.pre_activations.items()}
    bound = HessianBound(graph, question.moving, constant)

    def attempt(x: FloatArray, y: FloatArray) -> Counterexample | None:
        ends = ([Fraction(float(v)) for v in point] for point in (x, y))
        return counterexample(
            graph, domain, *ends, inputs=options.inputs, deadline=question.deadline
        )

    with question.watch.stage("curvature"), few_threads(0):  # many small products
        result = subdivide(graph, bound, domain, sides, attempt, question.deadline)
    if result.pair is not None:
        return _refuted(question, verdict, result.pair)
    boxes = "1 box" if result.boxes == 1 else f"{result.boxes} boxes"
    times = dict(question.watch.times)
    if not result.proved:
        part = f"bounds of the Hessian on {boxes} prove {result.share:.1%} of the domain"
        more = "" if options.time_limit else " (with a time limit it goes on until then)"
        return replace(verdict, note=f"{verdict.note}; {part}{more}", times=times)
    rule = f"the Hessian is positive semidefinite, by bounds on {boxes}"
    evidence = (NodeEvidence(((OUTPUT, 0),), Reason.COMPOSITION, rule=rule),)
    note = NO_CERTIFICATE if options.certificate else ""
    return replace(verdict, status=Status.CONVEX, evidence=evidence, note=note, times=times)


def _refuted(question: GraphQuestion, verdict: Verdict, pair: Counterexample) -> Verdict:
    refuted = replace(verdict, status=Status.NONCONVEX, counterexample=pair)
    return replace(refuted, times=dict(question.watch.times))


def _by_parts(
    question: GraphQuestion,
    verdict: Verdict,
    parts: PiecewiseQuadratic,
    output: int,
    prover: Prover,
) -> Verdict:
    """Decide a ReLU network plus a quadratic form: each part for itself (theory, section 12)."""
    graph, domain, options, watch = (
        question.graph,
        question.domain,
        question.options,
        question.watch,
    )
    with watch.stage("quadratic form"):
        sign = rational(-1 if options.concave else 1)
        hessian = sign * parts.hessian(output)
        falling = falling_direction(hessian, domain, options.inputs, question.deadline)
        if falling is not None:
            pair = pair_along(
                graph, domain, falling, options.inputs, options.seed, question.deadline
            )
            if pair is not None:
                return _refuted(question, verdict, pair)
            note = "the quadratic form bends down, but no pair was found that shows it"
            return replace(verdict, note=note, times=dict(watch.times))
    limit = None if options.time_limit is None else max(question.deadline.left(), 1e-3)
    inner = prover(parts.piecewise, domain, output, replace(options, time_limit=limit))
    with watch.stage("pair"):
        pair = None
        if inner.counterexample is not None:
            ends = inner.counterexample.x, inner.counterexample.y
            pair = pair_at_kink(graph, domain, *ends, options.inputs, question.deadline)
    if pair is not None:
        refuted = _refuted(question, verdict, pair)
        return replace(refuted, times=dict(watch.times) | dict(inner.times))
    times = dict(watch.times) | dict(inner.times)
    if inner.status is not Status.CONVEX:
        note = f"of the piecewise-linear part: {inner.note or 'undecided'}"
        return replace(verdict, evidence=inner.evidence, note=note, times=times)
    form = NodeEvidence(
        ((OUTPUT, 0),),
        Reason.QUADRATIC,
        rule="the quadratic form is semidefinite, in rational arithmetic",
    )
    proved = replace(verdict, status=Status.CONVEX, evidence=(*inner.evidence, form))
    return replace(proved, note=inner.note, certificate=inner.certificate, times=times)


def _why(graph: FunctionGraph, bounds: Enclosures, found: Composition) -> str:
    return f"{where_it_ends(graph, bounds, found)}; no pair of points was found that refutes it"


def sides_of(
    domain: Domain, inputs: int, deadline: Deadline = NEVER
) -> tuple[FloatArray, FloatArray]:
    """Return proved bounds of every input on a domain, infinite where none were found.

    Raises
    ------
    DomainError
        If the domain is empty.
    OutOfTimeError
        If that was not known in time.
    """
    sides = domain.box_sides(inputs)
    if sides is not None:
        return sides
    if domain.may_be_empty or domain.has_rows:
        working = domain.working_set(inputs, deadline)  # an empty domain is an error
        if not working.lifted:
            return working.box
    return np.full(inputs, -np.inf), np.full(inputs, np.inf)
