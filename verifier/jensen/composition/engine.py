"""Deciding a graph: composition proves, a pair in ball arithmetic refutes, else unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jensen.composition.curvature import Composition, compose
from jensen.composition.explain import evidence_of, where_it_ends
from jensen.composition.quadratic import QuadraticForms
from jensen.composition.search import search_pair
from jensen.domains.domain import Domain
from jensen.domains.hull import bounding_box
from jensen.errors import OptionError
from jensen.graphs.enclosures import Enclosures, enclose
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.block import OUTPUT
from jensen.prover.options import Engine, Options
from jensen.prover.question import claimed
from jensen.prover.verdict import Interrupted, Status, Verdict
from jensen.stopwatch import Stopwatch
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import Deadline

NO_CERTIFICATE = "there are no certificates for networks that are not piecewise linear"
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
    """

    graph: FunctionGraph
    domain: Domain
    options: Options
    deadline: Deadline
    watch: Stopwatch

    @property
    def moving(self) -> BoolArray:
        """Inputs in which convexity is asked."""
        flags = np.ones(self.graph.input_size, dtype=bool)
        if self.options.inputs is not None:
            flags[:] = False
            flags[list(self.options.inputs)] = True
        return flags


def decide_graph(graph: FunctionGraph, domain: Domain, output: int, options: Options) -> Verdict:
    """Decide one output of a graph, with evidence either way.

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
    question = GraphQuestion(scalar, domain, options, Deadline.after(options.time_limit), watch)
    verdict = Verdict(Status.UNKNOWN, domain, output, ENGINE, claim=claimed(options))
    try:
        return _answered(question, verdict)
    except KeyboardInterrupt:
        raise Interrupted(replace(verdict, note="interrupted", times=dict(watch.times))) from None


def _answered(question: GraphQuestion, verdict: Verdict) -> Verdict:
    watch = question.watch
    with watch.stage("bounds"):
        bounds = enclose(question.graph, *sides_of(question.domain, question.graph.input_size))
    with watch.stage("composition"):
        forms = QuadraticForms(question.graph, question.moving)
        found = compose(question.graph, bounds, question.moving, forms.improve)
    if not found.undefined and found.pre_activations[OUTPUT].convex.all():
        evidence = evidence_of(question.graph, found, frozenset(forms.used))
        note = NO_CERTIFICATE if question.options.certificate else ""
        times = dict(watch.times)
        return replace(verdict, status=Status.CONVEX, evidence=evidence, note=note, times=times)
    with watch.stage("search"):
        pair = search_pair(
            question.graph,
            question.domain,
            seed=question.options.seed,
            inputs=question.options.inputs,
            deadline=question.deadline,
        )
    if pair is not None:
        note = NO_CERTIFICATE if question.options.certificate else ""
        times = dict(watch.times)
        refuted = replace(verdict, status=Status.NONCONVEX, counterexample=pair)
        return replace(refuted, note=note, times=times)
    return replace(verdict, note=_why(question.graph, bounds, found), times=dict(watch.times))


def _why(graph: FunctionGraph, bounds: Enclosures, found: Composition) -> str:
    return f"{where_it_ends(graph, bounds, found)}; no pair of points was found that refutes it"


def sides_of(domain: Domain, inputs: int) -> tuple[FloatArray, FloatArray]:
    """Return proved bounds of every input on a domain, infinite where none were found.

    Raises
    ------
    DomainError
        If the domain is empty.
    """
    sides = domain.box_sides(inputs)
    if sides is not None:
        return sides
    if domain.may_be_empty:
        domain.working_set(inputs)  # an empty domain is an error
    if domain.has_rows:
        sides = bounding_box(*domain.inequalities(inputs))
        if sides is not None:
            return sides
    return np.full(inputs, -np.inf), np.full(inputs, np.inf)
