"""The one place that decides a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jensen.blas import few_threads
from jensen.certificate.certificate import Certificate
from jensen.certificate.found import begun, certificate_of, certified_graph
from jensen.composition.engine import check_graph_options, decide_graph
from jensen.domains.domain import Domain, Everywhere
from jensen.errors import CertificateError, OptionError, OutOfTimeError, UndecidedError
from jensen.graphs.function_graph import FunctionGraph
from jensen.groups.prepared import prepare
from jensen.linear_regions.conditions import path_conditions
from jensen.loaders import opened
from jensen.midpoint.engine import prove_by_midpoint_program
from jensen.network.relu_network import ReluNetwork
from jensen.prover.common_kinks import single_kinks, single_kinks_of_large
from jensen.prover.facet_engine import prove_by_facet_programs
from jensen.prover.flat_boxes import decide_fixed
from jensen.prover.joint_engine import prove_jointly
from jensen.prover.levelling import decide_levelled
from jensen.prover.links import (
    signs_of_costly_links,
    signs_of_links,
    signs_of_links_behind_edges,
    signs_of_twins,
)
from jensen.prover.outcome import Outcome
from jensen.prover.plane_screens import walk_planes, walk_planes_of_more
from jensen.prover.question import (
    Question,
    check_domain,
    check_question,
    check_subject,
    claimed,
    merged_options,
)
from jensen.prover.refute import (
    first_lines,
    lines_before_bounds,
    lines_before_walks,
    lines_for_sinking,
    random_lines,
)
from jensen.prover.signs import signs_of_all_paths, signs_where_stable
from jensen.prover.tree_engine import prove_by_trees
from jensen.prover.walk import (
    walk_cells_of_few_inputs,
    walk_edges,
    walk_few_inputs,
    walk_few_inputs_upwards,
    walk_less_narrow_levels,
    walk_narrow_levels,
    walk_open_cells,
    walk_straight_lines,
)
from jensen.verdicts.interrupted import Interrupted
from jensen.verdicts.options import Engine, Options
from jensen.verdicts.verdict import Status, Verdict, worst
from jensen_encodings.deadline import Deadline

Screen = Callable[[Question], Outcome | None]
Prover = Callable[[Question], Outcome]


def single_point(question: Question) -> Outcome | None:
    """Close everything on a domain of one point."""
    if question.prepared.working.dim:
        return None
    return Outcome(Status.CONVEX, note="the domain is a single point")


def network_of_free_inputs(question: Question) -> Outcome | None:
    """Ask anew about the inputs that may move and are read, where walks look at so few."""
    return decide_fixed(question, _decide)


def network_of_scale_one(question: Question) -> Outcome | None:
    """Ask anew about a multiple of f where weights are so extreme that products overflow."""
    return decide_levelled(question, _decide)


# the cheapest first; the first that decides ends the search
SCREENS: tuple[Screen, ...] = (
    signs_of_all_paths,
    network_of_free_inputs,
    signs_of_twins,
    walk_straight_lines,
    first_lines,
    lines_for_sinking,
    walk_narrow_levels,
    walk_planes,
    signs_of_links,
    walk_less_narrow_levels,
    walk_edges,
    signs_of_links_behind_edges,
    network_of_scale_one,
    lines_before_bounds,
    walk_planes_of_more,
    signs_where_stable,
    walk_open_cells,
    walk_few_inputs_upwards,
    lines_before_walks,
    walk_cells_of_few_inputs,
    walk_few_inputs,
    single_kinks,
    random_lines,
    single_kinks_of_large,
    signs_of_costly_links,
    single_point,
)

PROVERS: Mapping[Engine, Prover] = {
    Engine.AUTO: prove_jointly,
    Engine.JOINT: prove_jointly,
    Engine.TREE: prove_by_trees,
    Engine.MILP: prove_by_facet_programs,
    Engine.MIDPOINT: prove_by_midpoint_program,
}


LATE = "time was up before the groups were looked at"

# the others speak of the network's own blocks, or come with encodings that do
FOLDING = (Engine.AUTO, Engine.JOINT, Engine.TREE)


@dataclass(frozen=True)
class Progress:
    """How far a verification is: so many of the hyperplane groups of an output are closed."""

    output: int
    closed: int
    groups: int


def verify(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    options: Options | None = None,
    progress: Callable[[Progress], None] | None = None,
    **keywords: Any,
) -> Verdict:
    """Decide whether a network is convex on a domain, with evidence either way.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        A path is loaded by :func:`jensen.load`. A graph with smooth functions is decided by
        composition (docs/smooth.md).
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``.
    output : int, optional
        The output to verify. Without it each is verified, ``verdict.outputs`` lists them
        and ``verdict.status`` is the worst.
    options : Options, optional
    progress : callable, optional
        Gets a :class:`Progress` for every group that is looked at.
    **keywords
        Fields of :class:`Options`, for instance ``time_limit=10``.

    Returns
    -------
    Verdict
        "convex" only if every hyperplane group was closed, "nonconvex" only with a pair
        that violates convexity in rational arithmetic, else "unknown".

    Raises
    ------
    DomainError
        If the domain is empty or of the wrong dimension.
    OptionError
        For an option out of range or unknown.
    NetworkError
        If there is no such output.
    Interrupted
        On Ctrl-C: a ``KeyboardInterrupt`` that holds what was proved, as ``verdict``.

    References
    ----------
    docs/theory.md, sections 2 to 8; Gagneux et al., arXiv 2501.03017.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    >>> verify(net).status
    <Status.CONVEX: 'convex'>
    """
    domain = Everywhere() if domain is None else domain
    options = merged_options(options, keywords)
    network = opened(network)
    check_question_about(network, domain, options)
    if output is not None or network.output_size == 1:
        return _answer(network, domain, 0 if output is None else output, options, progress)
    deadline = Deadline.after(options.time_limit)
    verdicts = []
    for k in range(network.output_size):
        if deadline.over() and isinstance(network, ReluNetwork):
            # others took the time: where there are many, to select one costs too much then
            verdicts.append(_late(network, domain, k, options))
            continue
        left = options
        if options.time_limit is not None:
            left = replace(options, time_limit=max(deadline.left(), 1e-9))
        try:
            verdicts.append(_answer(network, domain, k, left, progress))
        except Interrupted as stop:
            raise Interrupted(_summed_up([*verdicts, stop.verdict])) from None
    return _summed_up(verdicts)


def check_question_about(network: Any, domain: Any, options: Options) -> None:
    """Raise unless network, domain and options fit one another.

    Raises
    ------
    NetworkError, DomainError, OptionError
    """
    if isinstance(network, FunctionGraph):
        check_domain(domain)
        check_graph_options(options)
    else:
        check_subject(network, domain)
    check_question(network.input_size, domain, options)


def _summed_up(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict about several outputs, which is that of the worst one."""
    status = worst([verdict.status for verdict in verdicts])
    decisive = next(verdict for verdict in verdicts if verdict.status == status)
    return replace(
        decisive,
        output=None,
        outputs=tuple(verdicts),
        evidence=tuple(e for verdict in verdicts for e in verdict.evidence),
    )


def is_convex(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    **keywords: Any,
) -> bool:
    """Return whether a network is convex on a domain.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
    domain : Domain, optional
        Default: ``Everywhere()``.
    **keywords
        Those of :func:`verify`.

    Returns
    -------
    bool

    Raises
    ------
    UndecidedError
        If it was neither proved nor refuted within the limits.

    Examples
    --------
    >>> from jensen import Box, ReluNetwork
    >>> net = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -2.0]]], [[0, -1], [0]])
    >>> is_convex(net), is_convex(net, Box(-1, 1))
    (False, True)
    """
    verdict = verify(network, domain, **keywords)
    if verdict.status is Status.UNKNOWN:
        raise UndecidedError(verdict.summary)
    return verdict.status is Status.CONVEX


def _late(network: ReluNetwork, domain: Domain, output: int, options: Options) -> Verdict:
    """Return what is known about an output that there was no time for."""

    def conditions(reasons: Mapping[tuple[str, int], str]) -> tuple[Any, ...]:
        prepared = prepare(network, domain, output=output, concave=options.concave)
        return path_conditions(prepared.network, domain, reasons)

    return Verdict(
        Status.UNKNOWN,
        domain,
        output,
        str(options.engine),
        note=LATE,
        claim=claimed(options),
        subject=network,
        condition_source=conditions,
    )


def _answer(
    network: ReluNetwork | FunctionGraph,
    domain: Domain,
    output: int,
    options: Options,
    progress: Callable[[Progress], None] | None = None,
) -> Verdict:
    """Ask about one output: the screens, then the prover, then the certificate."""
    if isinstance(network, FunctionGraph):
        verdict = decide_graph(network, domain, output, options, _answer)
        return certified_graph(network, verdict, options) if options.certificate else verdict
    deadline = Deadline.after(options.time_limit)
    folds = options.engine in FOLDING
    prepared = prepare(
        network, domain, output=output, concave=options.concave, deadline=deadline, folds=folds
    )
    question = Question(prepared, options, deadline)
    if options.certificate and options.node_limit is None:
        question = replace(question, writer=partial(begun, network, output, question))
    if progress is not None:
        question = replace(question, closed=lambda *groups: progress(Progress(output, *groups)))
    # floating point proposes and rationals decide: where it overflows it proposes nothing
    with np.errstate(all="ignore"), few_threads(network.relu_count):
        outcome, certificate = _outcome(network, output, question)
    verdict = Verdict(
        outcome.status,
        domain,
        output,
        str(options.engine),
        counterexample=outcome.counterexample,
        evidence=outcome.evidence,
        tolerance=outcome.tolerance or None,
        violation_bounds=outcome.violation_bounds,
        times=dict(prepared.watch.times),
        note=outcome.note,
        claim=claimed(options),
        certificate=certificate,
        subject=network,
        condition_source=partial(
            path_conditions, question.network, domain, pair=outcome.counterexample
        ),
    )
    if outcome.interrupted:
        raise Interrupted(verdict)
    return verdict


def _outcome(
    network: ReluNetwork, output: int, question: Question
) -> tuple[Outcome, Certificate | None]:
    """Return what was found until time was up or Ctrl-C was pressed, and its certificate."""
    try:
        outcome = _decide(question)
    except OutOfTimeError as error:
        return Outcome(note=str(error)), None
    except KeyboardInterrupt:
        outcome = Outcome(interrupted=True)
    if outcome.interrupted:
        left = f"; {outcome.note}" if outcome.note else " before anything was proved"
        return replace(outcome, note=f"interrupted{left}"), None
    if not question.options.certificate or outcome.status is Status.UNKNOWN:
        return outcome, None
    try:
        with question.prepared.watch.stage("certificate"):
            return outcome, certificate_of(network, output, question, outcome)
    except CertificateError as error:
        return replace(outcome, note=str(error)), None
    except KeyboardInterrupt:
        note = "interrupted before the certificate was complete"
        return replace(outcome, note=note, interrupted=True), None


def _decide(question: Question) -> Outcome:
    """Let the screens look, the cheapest first; then the prover that the engine names."""
    if question.domain.may_be_empty:
        # an empty domain is an error, whatever the cheap screens would say
        _check_certifiable(question)
    for screen in SCREENS:
        outcome = screen(question)
        if outcome is not None:
            return outcome
        if question.deadline.over():
            return Outcome(note=LATE)
    return PROVERS[question.options.engine](question)


def _check_certifiable(question: Question) -> None:
    """Refuse before the work what no certificate can say after it."""
    working, options = question.prepared.working, question.options
    flat = working.dim < question.network.input_size + working.lifted
    if options.certificate and options.inputs is not None and flat:
        raise OptionError("a certificate of partial convexity needs a polyhedron with interior")
