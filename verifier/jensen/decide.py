"""The one place that decides a verdict."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.bounds.paths import sign_bounds
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.certificate.certificate import certify_convex, certify_nonconvex
from jensen.certificate.producer import GroupProof
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.domains.working_set import WorkingSet, lifted_network, working_set
from jensen.errors import CertificateError, OptionError, SolverError, UndecidedError
from jensen.groups.groups import Bounds, GroupedNetwork, group_network
from jensen.midpoint.worst_pair import worst_violation
from jensen.network.relu_network import ReluNetwork
from jensen.prover.counterexample import counterexample
from jensen.prover.engines import Outcome, never_crossing, prove_by_facet_programs, prove_by_trees
from jensen.prover.options import Engine, Options
from jensen.prover.question import check_question, claimed, merged_options
from jensen.prover.refute import search_lines
from jensen.prover.verdict import Counterexample, GroupEvidence, Reason, Status, Verdict, worst
from jensen_encodings import UnboundedNeuronError

# the midpoint program cannot tell smaller violations from the solver's tolerance
MIDPOINT_TOLERANCE = 1e-5


def verify(
    network: ReluNetwork,
    domain: Domain | None = None,
    *,
    output: int | None = None,
    options: Options | None = None,
    **keywords: Any,
) -> Verdict:
    """Decide whether a network is convex on a domain, with evidence either way.

    Parameters
    ----------
    network : ReluNetwork
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``.
    output : int, optional
        The output to verify. Without it each is verified, ``verdict.outputs`` lists them
        and ``verdict.status`` is the worst.
    options : Options, optional
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
    check_question(network.input_size, domain, options)
    if output is not None or network.output_size == 1:
        return _Verification(network, domain, 0 if output is None else output, options).run()
    start = time.monotonic()
    verdicts = []
    for k in range(network.output_size):
        left = options
        if options.time_limit is not None:
            remaining = options.time_limit - (time.monotonic() - start)
            left = replace(options, time_limit=max(remaining, 1e-3))
        verdicts.append(_Verification(network, domain, k, left).run())
    status = worst([verdict.status for verdict in verdicts])
    decisive = next(verdict for verdict in verdicts if verdict.status == status)
    return replace(
        decisive,
        output=None,
        outputs=tuple(verdicts),
        evidence=tuple(e for verdict in verdicts for e in verdict.evidence),
    )


def is_convex(network: ReluNetwork, domain: Domain | None = None, **keywords: Any) -> bool:
    """Return whether a network is convex on a domain.

    Raises
    ------
    UndecidedError
        If it was neither proved nor refuted within the limits.
    """
    verdict = verify(network, domain, **keywords)
    if verdict.status is Status.UNKNOWN:
        raise UndecidedError(verdict.summary)
    return verdict.status is Status.CONVEX


class _Verification:
    """One output on one domain, stage by stage, the cheapest first."""

    def __init__(self, network: ReluNetwork, domain: Domain, output: int, options: Options) -> None:
        self._domain = domain
        self._output = output
        self._options = options
        self._whole = network
        scalar = network.select_output(output)
        self._network = scalar.negated() if options.concave else scalar
        self._deadline = (
            None if options.time_limit is None else time.monotonic() + options.time_limit
        )
        self._times: dict[str, float] = {}
        self._clock = time.perf_counter()

    def run(self) -> Verdict:
        # floating point proposes and rationals decide: where it overflows it proposes nothing
        with np.errstate(all="ignore"):
            return self._run()

    def _run(self) -> Verdict:
        working = None
        if isinstance(self._domain, Polyhedron):
            # an empty polyhedron is an error, whatever the cheap screens would say
            working = working_set(self._domain, self._network.input_size)
            self._lap("domain")
            self._check_certifiable(working)
        verdict = self._sign_of_all_paths() if self._options.engine is not Engine.MIDPOINT else None
        if verdict is None and self._options.tolerance == 0:
            verdict = self._random_lines()
        if verdict is None and self._options.engine is Engine.MIDPOINT:
            verdict = self._midpoint()
        if verdict is None:
            if working is None:
                working = working_set(self._domain, self._network.input_size)
                self._lap("domain")
            verdict = self._prove(working)
        return verdict

    def _check_certifiable(self, working: WorkingSet) -> None:
        """Refuse before the work what no certificate can say after it."""
        flat = working.dim < self._network.input_size + working.lifted
        if self._options.certificate and self._options.inputs is not None and flat:
            raise OptionError("a certificate of partial convexity needs a polyhedron with interior")

    # ----------------------------------------------------------------------- stages

    def _sign_of_all_paths(self) -> Verdict | None:
        """Close everything at once if no path product is negative (section 3)."""
        signs = sign_bounds(self._network)
        evidence = [
            GroupEvidence(((block.name, i),), Reason.SIGN, jump_lower_bound=float(low))
            for block in self._network.hidden
            if block.is_relu
            for i, low in enumerate(signs[block.name][0])
        ]
        self._lap("signs")
        if any(item.jump_lower_bound is None or item.jump_lower_bound < 0 for item in evidence):
            return None
        return self._convex(tuple(evidence))

    def _random_lines(self) -> Verdict | None:
        found = search_lines(
            self._network,
            self._domain,
            seed=self._options.seed,
            inputs=self._options.inputs,
            deadline=self._deadline,
        )
        self._lap("lines")
        return None if found is None else self._nonconvex(found, ())

    def _prove(self, working: WorkingSet) -> Verdict:
        """Look at every hyperplane group with the engine asked for."""
        if working.dim == 0:
            return self._convex((), note="the domain is a single point")
        bounds = self._bounds(working)
        self._lap("bounds")
        net = group_network(self._network, bounds, working)
        self._lap("groups")
        if self._options.engine is Engine.MILP:
            try:
                outcome = prove_by_facet_programs(
                    net, self._network, self._domain, self._options, self._deadline
                )
            except (UnboundedNeuronError, SolverError) as error:
                return self._verdict(Status.UNKNOWN, note=str(error))
            finally:
                self._lap("facet programs")
        else:
            outcome = prove_by_trees(net, bounds, self._network, self._options, self._deadline)
            self._lap("tree")
        return self._conclude(net, outcome)

    def _conclude(self, net: GroupedNetwork, outcome: Outcome) -> Verdict:
        evidence = (*never_crossing(net, self._network), *outcome.evidence)
        if outcome.crossing is not None:
            crossing = outcome.crossing
            found = counterexample(
                self._network, self._domain, crossing.before, crossing.after, outcome.neurons[0]
            )
            if found is not None:
                found = replace(found, slope_change=crossing.slope_change)
                return self._nonconvex(found, evidence)
        if outcome.crossing is not None or outcome.open:
            left = max(outcome.open, 1)
            return self._verdict(
                Status.UNKNOWN,
                evidence=evidence,
                note=f"{left} of {len(evidence)} hyperplane groups left open",
            )
        tolerance = max(outcome.tolerance, self._options.tolerance)
        return self._convex(evidence, net, outcome, tolerance=tolerance or None)

    def _midpoint(self) -> Verdict:
        """Measure the worst midpoint violation (section 6)."""
        assert isinstance(self._domain, Box)  # others were refused
        left = None
        if self._deadline is not None:
            left = max(self._deadline - time.monotonic(), 1e-3)
        try:
            found = worst_violation(
                self._network,
                self._domain,
                time_limit=left,
                engine="milp",
                threads=self._options.threads,
                seed=self._options.seed,
            )
        except (UnboundedNeuronError, SolverError) as error:
            return self._verdict(Status.UNKNOWN, note=str(error))
        finally:
            self._lap("midpoint program")
        accepted = self._options.tolerance + MIDPOINT_TOLERANCE
        bounds = (found.lower, found.upper)
        if found.exact_lower > Fraction(self._options.tolerance):
            pair = counterexample(self._network, self._domain, found.x, found.y)
            if pair is not None:
                return replace(self._nonconvex(pair, ()), violation_bounds=bounds)
        if found.upper <= accepted:
            evidence = tuple(
                GroupEvidence(((block.name, i),), Reason.MIDPOINT, exact=False)
                for block in self._network.hidden
                if block.is_relu
                for i in range(block.size)
            )
            tolerance = max(found.upper, found.tolerance or 0.0)
            return replace(self._convex(evidence, tolerance=tolerance), violation_bounds=bounds)
        return self._verdict(
            Status.UNKNOWN,
            violation_bounds=bounds,
            note=f"worst midpoint violation between {found.lower:.3g} and {found.upper:.3g}",
        )

    def _bounds(self, working: WorkingSet) -> Bounds:
        network = lifted_network(self._network) if working.lifted else self._network
        return pre_activation_bounds(network, *working.box)

    # --------------------------------------------------------------------- verdicts

    def _nonconvex(self, found: Counterexample, evidence: tuple[GroupEvidence, ...]) -> Verdict:
        certificate = None
        if self._options.certificate:
            certificate = certify_nonconvex(
                self._whole,
                self._domain,
                (found.x, found.y),
                output=self._output,
                concave=self._options.concave,
                inputs=self._options.inputs,
            )
            self._lap("certificate")
        return self._verdict(
            Status.NONCONVEX, counterexample=found, evidence=evidence, certificate=certificate
        )

    def _convex(
        self,
        evidence: tuple[GroupEvidence, ...],
        net: GroupedNetwork | None = None,
        outcome: Outcome | None = None,
        *,
        tolerance: float | None = None,
        note: str = "",
    ) -> Verdict:
        certificate = None
        if self._options.certificate:
            proofs = [] if outcome is None else [GroupProof(*proof) for proof in outcome.proofs]
            try:
                certificate = certify_convex(
                    self._whole,
                    self._domain,
                    output=self._output,
                    concave=self._options.concave,
                    inputs=self._options.inputs,
                    grouped=net,
                    proofs=proofs,
                    out_of_time=self._out_of_time,
                )
            except CertificateError as error:
                note = str(error)
            self._lap("certificate")
        return self._verdict(
            Status.CONVEX,
            evidence=evidence,
            tolerance=tolerance,
            certificate=certificate,
            note=note,
        )

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._times[stage] = self._times.get(stage, 0.0) + now - self._clock
        self._clock = now

    def _verdict(self, status: Status, **fields: Any) -> Verdict:
        return Verdict(
            status,
            self._domain,
            self._output,
            str(self._options.engine),
            times=dict(self._times),
            claim=claimed(self._options),
            **fields,
        )
