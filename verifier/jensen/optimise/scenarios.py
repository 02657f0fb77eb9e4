"""Sums of one network over scenarios: ``F(x) = sum_s w_s f(x, context_s)``.

The recourse cost of a two-stage stochastic program is such a sum: x is decided before, context_s
is what happens then. One proof of partial convexity, of f in x for every context between the
smallest and the largest ones, serves all scenarios; where there is none each scenario is proved
alone. Each scenario has its own cuts (the multi-cut method of Birge and Louveaux), and all
scenarios go through the network in one batch.

References
----------
J. R. Birge, F. V. Louveaux. A multicut algorithm for two-stage stochastic linear programs.
European Journal of Operational Research 34, 1988.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.decide import verify
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import opened
from jensen.network.relu_network import ReluNetwork
from jensen.optimise.curved import CurvedTerm
from jensen.optimise.cuts import Cuts, Term, lowered
from jensen.optimise.function import Function
from jensen.optimise.ground import Ground, ground_of
from jensen.optimise.linearise import Linearisation, Lineariser
from jensen.optimise.parts import check_form, parts_of
from jensen.optimise.problem import vector
from jensen.optimise.proof import proved_convex
from jensen.prover.question import merged_options
from jensen.text import counted, shown
from jensen.types import FloatArray
from jensen.verdicts.options import Options
from jensen.verdicts.verdict import Status, Verdict
from jensen_encodings.deadline import Deadline

_NEEDED = "a list of mappings from inputs to values, such as [{1: 2.0}, {1: 5.0}], is needed"


class Scenarios:
    """The sum as the algorithms see it (:class:`jensen.optimise.cuts.Convex`).

    Parameters
    ----------
    network : ReluNetwork
        With one output, in all inputs.
    ground : Ground
        Of the inputs that are decided.
    contexts : sequence of mappings from input to value, all of the same inputs
    weights : array (scenarios,)
        Positive.
    """

    def __init__(
        self,
        network: ReluNetwork,
        ground: Ground,
        contexts: Sequence[Mapping[int, float]],
        weights: FloatArray,
    ) -> None:
        self.network, self.ground, self.weights = network, ground, weights
        self._contexts = contexts
        self._fixed = sorted(contexts[0])
        self.free = np.setdiff1d(np.arange(network.input_size), self._fixed)
        self._values = np.array([[float(c[i]) for i in self._fixed] for c in contexts])
        self._lineariser = Lineariser(network)

    @cached_property
    def terms(self) -> list[Term]:
        """Each scenario alone, its inputs fixed."""
        return [Term(self.network.fix_inputs(c), self.ground) for c in self._contexts]

    def at(self, x: FloatArray) -> tuple[float, Cuts]:
        """Return about the sum at a point near the domain, and a cut of each scenario there."""
        settled = self.ground.settle(x)
        count = len(self.weights)
        # the batched cut takes the contexts for a part of a box
        if settled is None or not self.ground.bounded:
            found = [term.at(x) for term in self.terms]
            return self._joined(found)
        lines = self._lineariser.at(self.full(settled[None])[0])
        cuts = self._cuts(lines)
        unsure = np.flatnonzero(~lines.certain)
        if len(unsure):
            gradient, offset = cuts.gradient.copy(), cuts.offset.copy()
            for s in unsure.tolist():
                _, alone = self.terms[s].at(settled)
                gradient[s], offset[s] = alone.gradient[0], alone.offset[0]
            cuts = Cuts(gradient, offset, np.arange(count))
        return float(self.weights @ lines.value), cuts

    def _joined(self, found: Sequence[tuple[float, Cuts]]) -> tuple[float, Cuts]:
        cuts = [part for _, part in found]
        joined = Cuts(
            np.concatenate([part.gradient for part in cuts]),
            np.concatenate([part.offset for part in cuts]),
            np.arange(len(cuts)),
            tuple(pattern for part in cuts for pattern in part.patterns),
        )
        return float(self.weights @ [value for value, _ in found]), joined

    def _cuts(self, lines: Linearisation) -> Cuts:
        """Put the contexts into the constants: ``g_x x + (g_c context + c)``, rounded down."""
        slopes, errors = lines.gradient[:, self._fixed], lines.gradient_error[:, self._fixed]
        size = (np.abs(slopes) * np.abs(self._values)).sum(axis=1) + np.abs(lines.offset)
        offset = lines.offset + (slopes * self._values).sum(axis=1)
        rounding = (len(self._fixed) + 4) * 2.0**-52 * size + 2.0**-1000
        error = lines.offset_error + (errors * np.abs(self._values)).sum(axis=1) * 1.01 + rounding
        gradient = lines.gradient[:, self.free]
        low = lowered(gradient, offset, lines.gradient_error[:, self.free], error, self.ground)
        return Cuts(gradient, low, np.arange(len(self.weights)))

    def full(self, X: FloatArray) -> FloatArray:
        """Return (points, scenarios, inputs)."""
        full = np.empty((len(X), len(self.weights), self.network.input_size))
        full[:, :, self.free] = X[:, None, :]
        full[:, :, self._fixed] = self._values[None]
        return full

    def values(self, X: FloatArray) -> FloatArray:
        """Return the sum in floating point."""
        full = self.full(X)
        values, _ = self._lineariser.values(full.reshape(-1, full.shape[2]))
        return np.asarray(values.reshape(full.shape[:2]) @ self.weights)

    def gradients(self, X: FloatArray) -> FloatArray:
        """Return subgradients, rounded, at points of the domain."""
        each = np.array([term.gradients(X) for term in self.terms])
        return np.asarray(np.tensordot(self.weights, each, axes=1))

    def exact(self, point: Sequence[Fraction]) -> Fraction:
        """Return the sum at a point of the domain."""
        total = Fraction(0)
        for weight, context in zip(self.weights.tolist(), self._values.tolist(), strict=True):
            full: list[Fraction | float] = [Fraction(0)] * self.network.input_size
            for i, value in zip(self.free.tolist(), point, strict=True):
                full[i] = value
            for i, known in zip(self._fixed, context, strict=True):
                full[i] = known
            total += Fraction(weight) * self.network.exact(full)[0]
        return total

    def exact_cut(self, cuts: Cuts, index: int) -> tuple[Sequence[Fraction], Fraction]:
        """Return gradient and constant of a cut that keeps its pattern."""
        return self.terms[int(cuts.term[index])].exact_cut(cuts, index)

    def recession(self) -> Scenarios:
        """Return the sum of the recession functions: contexts are forgotten at infinity."""
        first = self.terms[0].recession()
        nothing = [dict.fromkeys(self._fixed, 0.0)] * len(self._contexts)
        whole = Scenarios(self.network, first.ground, nothing, self.weights)
        whole.terms = [term.recession() for term in self.terms]
        return whole


class ScenarioSum(Function):
    """``F(x) = sum_s w_s f(x, context_s)`` of a network f that is convex in x.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        A ReLU network, or one plus quadratic functions of the inputs.
    scenarios : sequence of mappings from input to value
        The contexts, all of the same inputs; the other inputs are decided.
    domain : Domain, optional
        Of the inputs that are decided, in their order. All of R^n by default.
    weights : array (scenarios,), optional
        Positive; such as probabilities. Each 1/scenarios by default.
    output : int
    verdict : Verdict, optional
        Of partial convexity, ``jensen.verify(net, domain, inputs=decided)``, on a domain that
        contains every (x, context_s); spares the proof.
    options : Options, optional
        Of the proof; or its fields as keywords, such as ``time_limit=60``.

    Attributes
    ----------
    verdicts : tuple of Verdict
        One for all scenarios, or one for each.

    Raises
    ------
    NotConvexError, UndecidedError
        If a scenario is not convex, or not decided.

    Examples
    --------
    A newsvendor's costs, |x - demand| for three demands:

    >>> net = ReluNetwork.from_layers([[[1.0, -1.0], [-1.0, 1.0]], [[1.0, 1.0]]], [[0, 0], [0]])
    >>> F = ScenarioSum(net, [{1: 2.0}, {1: 5.0}, {1: 6.0}], Box(0, 10))
    >>> F.minimise().x
    array([5.])
    """

    def __init__(
        self,
        network: ReluNetwork | FunctionGraph | str | Path,
        scenarios: Sequence[Mapping[int, float]],
        domain: Domain | None = None,
        *,
        weights: ArrayLike | None = None,
        output: int | None = None,
        verdict: Verdict | None = None,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        net = opened(network).select_output(output)
        domain = Everywhere() if domain is None else domain
        contexts = _checked(scenarios)
        count = len(contexts)
        sizes = np.full(count, 1.0 / count)
        if weights is not None:
            sizes = vector(weights, count, "weights", exact=True)
        if not (sizes > 0).all():
            raise OptionError("weights of scenarios have to be positive: leave the others out")
        free = net.fix_inputs(contexts[0]).input_size  # refuses inputs that do not exist
        chosen = merged_options(options, keywords)
        ground = ground_of(domain, free, Deadline.after(chosen.time_limit))
        p, q = parts_of(net)
        self.domain, self.network = domain, net
        self.verdicts = _proved(net, domain, contexts, verdict, chosen)
        self._sum = Scenarios(p, ground, contexts, sizes)
        if q is None:
            super().__init__(self._sum)
            return
        (points,) = self._sum.full(np.zeros((1, free)))
        form = q.mixed(self._sum.free.tolist(), points.tolist(), sizes.tolist())
        check_form(form, ground, Deadline.after(chosen.time_limit))
        super().__init__(CurvedTerm(self._sum, form, self._in_doubles))

    def _in_doubles(self, X: FloatArray) -> FloatArray:
        full = self._sum.full(X)
        values = self.network(full.reshape(-1, full.shape[2]))
        return np.asarray(values.reshape(full.shape[:2]) @ self._sum.weights)

    def __repr__(self) -> str:
        """Return one line."""
        scenarios = counted(len(self._sum.weights), "scenario")
        return f"ScenarioSum({self.network!r}, {scenarios}, {self.domain})"


def _checked(scenarios: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
    """Return the contexts as doubles; what no double holds is refused, as in all of a problem."""
    try:
        contexts = list(scenarios)
    except TypeError:
        raise OptionError(f"scenarios {shown(scenarios)}: {_NEEDED}") from None
    if wrong := [context for context in contexts if not isinstance(context, Mapping)]:
        raise OptionError(f"scenario {shown(wrong[0])}: {_NEEDED}")
    if keys := [key for context in contexts for key in context if not isinstance(key, Integral)]:
        raise OptionError(f"scenarios fix {shown(keys[0])}: numbers of inputs are needed")
    if not contexts or not contexts[0]:
        raise OptionError("scenarios: at least one, which fixes at least one input")
    for number, context in enumerate(contexts):
        if set(context) != set(contexts[0]):
            raise OptionError(
                f"scenario {number} fixes the inputs {sorted(context)}, "
                f"scenario 0 {sorted(contexts[0])}: the same are needed"
            )
    return [
        {
            i: float(vector(v, 1, f"input {i} of scenario {number}", exact=True)[0])
            for i, v in c.items()
        }
        for number, c in enumerate(contexts)
    ]


def _proved(
    net: ReluNetwork | FunctionGraph,
    domain: Domain,
    contexts: Sequence[Mapping[int, float]],
    verdict: Verdict | None,
    options: Options,
) -> tuple[Verdict, ...]:
    """Prove all scenarios at once, by partial convexity, or else one by one."""
    fixed = sorted(contexts[0])
    free = tuple(i for i in range(net.input_size) if i not in fixed)
    around = _around(domain, net.input_size, contexts)
    if verdict is None:
        verdict = verify(net, around, options=merged_options(options, {"inputs": free}))
        if verdict.status is not Status.CONVEX:
            fixed_nets = (net.fix_inputs(context) for context in contexts)
            return tuple(proved_convex(one, domain, 0, options=options) for one in fixed_nets)
    claims = ("convex", f"convex in inputs {','.join(map(str, free))}")
    return (proved_convex(net, around, 0, verdict=verdict, claims=claims),)


def _around(domain: Domain, inputs: int, contexts: Sequence[Mapping[int, float]]) -> Domain:
    """Return the decided inputs' domain times the box of the contexts."""
    fixed = sorted(contexts[0])
    free = [i for i in range(inputs) if i not in fixed]
    values = np.array([[context[i] for i in fixed] for context in contexts], dtype=float)
    lower, upper = np.zeros(inputs), np.zeros(inputs)
    lower[fixed], upper[fixed] = values.min(axis=0), values.max(axis=0)
    sides = domain.box_sides(len(free))
    if sides is not None:
        lower[free], upper[free] = sides
        return Box(lower, upper)
    A, b = domain.inequalities(len(free))
    whole = np.zeros((len(b), inputs))
    whole[:, free] = A
    eye = np.eye(inputs)[fixed]
    return Polyhedron(
        np.concatenate([whole, eye, -eye]), np.concatenate([b, upper[fixed], -lower[fixed]])
    )
