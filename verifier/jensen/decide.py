"""The one place that decides a verdict."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.bounds import pre_activation_bounds
from jensen.counterexample import counterexample
from jensen.domain import Box, Domain, Everywhere
from jensen.errors import OptionError, UndecidedError
from jensen.groups import Bounds, GroupedNetwork, group_network
from jensen.lift import WorkingSet, lifted_network, working_set
from jensen.network import FloatArray, ReluNetwork
from jensen.options import Engine, Options
from jensen.paths import sign_bounds
from jensen.refute import search_lines
from jensen.tree import Allowance, Crossing, GroupResult, Tree, TreeLimits, UndecidedLeafError
from jensen.verdict import (
    Counterexample,
    GroupEvidence,
    Reason,
    Status,
    Verdict,
    worst,
)
from jensen_encodings.lp import LpSolver


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
    options = _options(options, keywords)
    domain.check(network.input_size)
    if options.inputs is not None and not all(0 <= i < network.input_size for i in options.inputs):
        raise OptionError(
            f"inputs {list(options.inputs)}: the network has {network.input_size}, from 0 on"
        )
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


def _options(options: Options | None, keywords: dict[str, Any]) -> Options:
    base = Options() if options is None else options
    unknown = set(keywords) - set(Options.__dataclass_fields__)
    if unknown:
        known = ", ".join(Options.__dataclass_fields__)
        raise OptionError(f"unknown option {', '.join(sorted(unknown))}; there are {known}")
    return replace(base, **keywords)


class _Verification:
    """One output on one domain, stage by stage, the cheapest first."""

    def __init__(self, network: ReluNetwork, domain: Domain, output: int, options: Options) -> None:
        self._domain = domain
        self._output = output
        self._options = options
        scalar = network.select_output(output)
        self._network = scalar.negated() if options.concave else scalar
        self._deadline = (
            None if options.time_limit is None else time.monotonic() + options.time_limit
        )
        self._times: dict[str, float] = {}
        self._clock = time.perf_counter()

    def run(self) -> Verdict:
        working = working_set(self._domain, self._network.input_size)
        self._lap("domain")
        verdict = self._sign_of_all_paths() if self._options.engine is not Engine.MIDPOINT else None
        if verdict is None and self._options.tolerance == 0:
            verdict = self._random_lines()
        if verdict is None:
            verdict = self._prove(working)
        return verdict

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
        return self._verdict(Status.CONVEX, evidence=tuple(evidence))

    def _random_lines(self) -> Verdict | None:
        found = search_lines(
            self._network,
            self._domain,
            seed=self._options.seed,
            inputs=self._options.inputs,
            deadline=self._deadline,
        )
        self._lap("lines")
        return None if found is None else self._verdict(Status.NONCONVEX, counterexample=found)

    def _prove(self, working: WorkingSet) -> Verdict:
        if working.dim == 0:
            return self._verdict(Status.CONVEX, note="the domain is a single point")
        bounds = self._bounds()
        self._lap("bounds")
        net = group_network(self._network, bounds, working)
        self._lap("groups")
        return self._tree(net, bounds)

    def _bounds(self) -> Bounds:
        if isinstance(self._domain, Box):
            lower, upper = self._domain.bounds(self._network.input_size)
            return pre_activation_bounds(self._network, lower, upper)
        inputs = self._network.input_size
        return pre_activation_bounds(
            lifted_network(self._network),
            np.append(-np.ones(inputs), 0.0),
            np.ones(inputs + 1),
        )

    def _tree(self, net: GroupedNetwork, bounds: Bounds) -> Verdict:
        solver = LpSolver()
        allowance = Allowance()
        evidence = self._never_crossing(net)
        limits = TreeLimits(
            self._out_of_time,
            self._options.node_limit,
            Fraction(self._options.tolerance),
            self._options.inputs,
        )
        gradient = self._largest_gradients(net) if self._options.tolerance else None
        for level, unit in net.groups():
            least = Fraction(0)
            if gradient is not None:
                size = float(gradient[level][unit])
                least = Fraction(self._options.tolerance) / Fraction(size) if size else Fraction(0)
            tree = Tree(net, (level, unit), self._network, solver, limits, least, allowance)
            neurons = tuple((m.block, m.index) for m in net.levels[level].units[unit])
            try:
                result = tree.run()
            except UndecidedLeafError:
                evidence.append(GroupEvidence(neurons, Reason.OPEN, tree.nodes))
                continue
            if result.crossing is not None:
                found = self._crossing_counterexample(result.crossing, neurons[0])
                if found is not None:
                    self._lap("tree")
                    return self._verdict(
                        Status.NONCONVEX,
                        counterexample=found,
                        evidence=(*evidence, _group_evidence(neurons, result)),
                    )
            evidence.append(_group_evidence(neurons, result))
        self._lap("tree")
        left = [item for item in evidence if item.reason is Reason.OPEN]
        if left:
            return self._verdict(
                Status.UNKNOWN,
                evidence=tuple(evidence),
                note=f"{len(left)} of {len(evidence)} hyperplane groups left open",
            )
        tolerance = self._options.tolerance or None
        return self._verdict(Status.CONVEX, evidence=tuple(evidence), tolerance=tolerance)

    # ---------------------------------------------------------------------- helpers

    def _crossing_counterexample(
        self, crossing: Crossing, neuron: tuple[str, int]
    ) -> Counterexample | None:
        found = counterexample(self._network, self._domain, crossing.before, crossing.after, neuron)
        return None if found is None else replace(found, slope_change=crossing.slope_change)

    def _never_crossing(self, net: GroupedNetwork) -> list[GroupEvidence]:
        """Return the evidence of the neurons that never change their activation."""
        kinking = {
            (m.block, m.index)
            for level in net.levels
            for unit, kink in zip(level.units, level.kink, strict=True)
            if kink
            for m in unit
        }
        return [
            GroupEvidence(((block.name, i),), Reason.NEVER_CROSSES)
            for block in self._network.hidden
            if block.is_relu
            for i in range(block.size)
            if (block.name, i) not in kinking
        ]

    def _largest_gradients(self, net: GroupedNetwork) -> list[FloatArray]:
        """Bound |grad z| of every unit over the inputs, for a tolerance on slopes."""
        working = net.working_set
        norms: list[FloatArray] = []
        count = self._network.input_size
        for level in net.levels:
            total = np.zeros(level.size)
            for source, slopes in level.slopes.items():
                if source == -1:
                    # in working variables of a lift the last column belongs to t, not to x
                    own = slopes.on[:, :count] if working.lifted else slopes.on
                    total += np.linalg.norm(own, axis=1)
                else:
                    size = np.abs(slopes.on)
                    if slopes.off is not None:
                        size = np.maximum(size, np.abs(slopes.off))
                    total += size @ norms[source]
            norms.append(total * (1 + 1e-9))
        return norms

    def _out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._times[stage] = self._times.get(stage, 0.0) + now - self._clock
        self._clock = now

    def _verdict(self, status: Status, **fields: Any) -> Verdict:
        claim = "concave" if self._options.concave else "convex"
        if self._options.inputs is not None:
            claim += f" in inputs {','.join(map(str, self._options.inputs))}"
        return Verdict(
            status,
            self._domain,
            self._output,
            str(self._options.engine),
            times=dict(self._times),
            claim=claim,
            **fields,
        )


def _group_evidence(neurons: tuple[tuple[str, int], ...], result: GroupResult) -> GroupEvidence:
    if not result.closed:
        reason = Reason.OPEN
    elif result.nodes == 1 and not result.lps:
        reason = Reason.SIGN
    else:
        reason = Reason.TREE
    return GroupEvidence(neurons, reason, result.nodes, result.lps)
