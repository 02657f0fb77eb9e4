"""The nearest convex network with the same hidden layers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jensen.arguments import checked_callback, checked_count, checked_flag
from jensen.arithmetic.rational import rational
from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.composition.piecewise_quadratic import (
    MOST_INPUTS,
    PiecewiseQuadratic,
    falling_direction,
    not_split,
    split,
)
from jensen.domains.domain import Box, Domain, Everywhere
from jensen.errors import NetworkError, OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.loaders import opened
from jensen.network.relu_network import ReluNetwork
from jensen.network.simplify.simplify import simplify
from jensen.prover.question import check_domain
from jensen.repairs.features import Features
from jensen.repairs.program import Norm, Objective
from jensen.repairs.refit import Refit
from jensen.repairs.row_search import RepairProgress, RowSearch
from jensen.text import point, shown
from jensen.types import FloatArray
from jensen.verdicts.options import checked_seconds
from jensen.verdicts.verdict import Status, Verdict
from jensen.violation.magnitude import proved_range
from jensen_encodings.deadline import Deadline

EPSILON = 2.0**-50
LITTLE_LEFT = 0.5  # relative change beyond which the result is another function
SEARCH_SHARE = 0.8  # of a time limit; the rest is for the bounds of the change


@dataclass(frozen=True, eq=False, repr=False)
class Repair:
    """A network near a given one, and what is known about it.

    Attributes
    ----------
    network : ReluNetwork or FunctionGraph
        The hidden layers of the given network under new output weights; a graph, with the same
        quadratic part, if that is what was given.
    verdict : Verdict
        Of ``network``: convex unless time ran out.
    norm : str
        ``"l1"`` or ``"l2"``, of the change of the output weights; ``"rms"`` for a refit.
    change : float
        By how much the output weights changed; for a refit the root of the mean squared
        error on the data.
    lower, upper : float
        The smallest change that makes it convex lies between them. ``upper`` is ``change``
        where the network is proved convex, else infinite. ``lower`` holds in real
        arithmetic; for a refit up to rounding.
    relative_change : float
        ``change`` over the norm of the weights that were there (of the data's spread).
    sup_change : float
        Proved bound of ``|new f - old f|`` on the domain; infinite on unbounded ones,
        unless nothing changed.
    rounds, rows : int
        Questions to the prover; pairs of points that bind the weights.
    times : mapping from stage to seconds

    Examples
    --------
    >>> import jensen
    >>> net = jensen.ReluNetwork.from_layers([[[1.0], [-1.0]], [[2.0, -1.0]]], [[0, 1], [0]])
    >>> fixed = jensen.repair(net, jensen.Box(-2, 2))
    >>> round(fixed.change, 3), fixed.to_json()["norm"]
    (1.0, 'l2')
    """

    network: ReluNetwork | FunctionGraph
    verdict: Verdict
    norm: str
    change: float
    lower: float
    upper: float
    relative_change: float
    sup_change: float
    rounds: int
    rows: int
    times: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record.

        Returns
        -------
        dict
        """
        return {
            "status": str(self.verdict.status),
            "summary": self.summary,
            "norm": self.norm,
            "change": self.change,
            "lower": self.lower,
            "upper": self.upper,
            "relative_change": self.relative_change,
            "sup_change": self.sup_change,
            "rounds": self.rounds,
            "rows": self.rows,
            "times": dict(self.times),
            "verdict": self.verdict.to_json(),
        }

    def __repr__(self) -> str:
        """Return one line."""
        return f"Repair({self.summary!r})"

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary

    @property
    def summary(self) -> str:
        """What was reached, in one sentence."""
        how = f"{self.norm} change {self.change:.4g} ({100 * self.relative_change:.3g} %)"
        if self.verdict.status is not Status.CONVEX:
            least = f"; no change below {self.lower:.4g} does it" if self.lower else ""
            return f"not repaired: {self.verdict.summary}{least}"
        best = "nothing to do" if not self.upper else "no lower bound of the change was found"
        if self.upper and self.lower:
            gap = 100 * (self.upper / self.lower - 1)
            best = f"at most {_percent(gap)} above the least"
        moved = f"f moves by at most {self.sup_change:.4g}"
        if math.isinf(self.sup_change):
            moved = "f moves by an amount that is not bounded"
        said = f"{self.verdict.summary}; {how}, {best}; {moved}"
        if self.relative_change > LITTLE_LEFT:
            said += (
                "; no convex function near f was found over these hidden layers: "
                "train them, too (jensen.learning.make_convex)"
            )
        return said


def repair(
    network: ReluNetwork | FunctionGraph | str | Path,
    domain: Domain | None = None,
    *,
    norm: str = "l2",
    data: tuple[ArrayLike, ArrayLike] | None = None,
    output: int | None = None,
    concave: bool = False,
    time_limit: float | None = None,
    certificate: bool = False,
    progress: Callable[[RepairProgress], None] | None = None,
    seed: int = 0,
) -> Repair:
    """Return the nearest network with the same hidden layers that is convex, proved so.

    With the hidden layers kept, every gradient jump is linear in the output weights, so
    that the nearest convex network is the solution of a convex program with one row per
    kink and pattern. Rows are added where sampled kinks, and then the prover, find the
    network to bend down, until it is proved convex.

    Parameters
    ----------
    network : ReluNetwork, FunctionGraph or path
        A graph that is a ReLU network plus a quadratic form: its ReLU network is repaired.
    domain : Box, Polyhedron or Everywhere
        Default: ``Everywhere()``.
    norm : {"l2", "l1"}
        Of the change of the output weights.
    data : (X, y), optional
        Points (n, inputs) and values (n,): fit them best, by least squares over output
        weights and bias, instead of staying near the old weights.
    output : int, optional
        Which output, where there are several; the result has that one only.
    concave : bool
        Concave instead of convex.
    time_limit : float, optional
        Seconds. What was not proved convex by then is returned with its verdict.
    certificate : bool
        Write the certificate of the repaired network.
    progress : callable, optional
        Gets a :class:`RepairProgress` after each round.
    seed : int

    Returns
    -------
    Repair

    Raises
    ------
    NetworkError
        If there is no such output, functions other than ReLUs inside a network or beside one that
        are no quadratic form, or a form that is not convex on the domain.
    OptionError
        If there are several outputs and none was chosen, for options out of range, or data that
        does not fit.
    DomainError
        If the domain is empty or of the wrong dimension.
    OutOfTimeError
        If time was up before it was known what set a polyhedron is.

    References
    ----------
    docs/repair.md.

    Examples
    --------
    >>> net = ReluNetwork.from_layers([[[1.0], [-1.0]], [[2.0, -1.0]]], [[0, 1], [0]])
    >>> fixed = repair(net, Box(-2, 2))
    >>> fixed.verdict.status, round(fixed.change, 3)
    (<Status.CONVEX: 'convex'>, 1.0)
    """
    if not isinstance(norm, str) or norm not in list(Norm):
        raise OptionError(f"norm {shown(norm)}: supported are {', '.join(Norm)}")
    if data is not None and (not isinstance(data, Sequence) or len(data) != 2):
        raise OptionError("data: a pair (X, y) of points and values is needed")
    checked_count(seed, "seed", 0)
    checked_flag(concave, "concave")
    checked_flag(certificate, "certificate")
    checked_callback(progress, "progress")
    deadline = Deadline.after(checked_seconds(time_limit))
    domain = Everywhere() if domain is None else domain
    network = opened(network)
    check_domain(domain)
    domain.check(network.input_size)
    if domain.has_rows:
        domain.working_set(network.input_size, deadline)  # found once, and not without end
    given, parts = network.select_output(output), None
    if isinstance(given, FunctionGraph):
        parts = _checked_parts(given, domain, concave, deadline)
        scalar = simplify(parts.piecewise)
    else:
        scalar = given
    with np.errstate(all="ignore"):  # sides and weights near the largest double
        features = Features(scalar.negated() if concave else scalar)
        fit = None
        if data is not None:
            signed = given.negated() if concave else given
            fit = Refit(features, signed, *data, sign=-1.0 if concave else 1.0)
        objective = Objective(features.weights, None, Norm(norm)) if fit is None else fit.objective
        search = RowSearch(
            features,
            domain,
            objective,
            parts=parts,
            concave=concave,
            certificate=certificate,
            deadline=deadline.share(SEARCH_SHARE),
            progress=progress,
            seed=seed,
        )
        weights, verdict = search.run()
        began = time.perf_counter()
        size = _size(objective, fit)
        change = float(size(weights))
        lower = (
            search.proved_change(deadline.share(0.5)) if fit is None else size(search.unrounded())
        )
        if fit is None and change > 0 and not lower and not deadline.over():
            # no pair asks for it: rows of a flat domain in a kink are rounding errors
            given_as_it_is = search.asked(objective.centre)
            if given_as_it_is.status is Status.CONVEX:
                weights, verdict, change = objective.centre, given_as_it_is, 0.0
        convex = verdict.status is Status.CONVEX
        moved = _sup_change(features, weights, domain, deadline)
        whole = size(np.zeros_like(weights)) if fit is None else fit.spread
        search.times["bounds"] = time.perf_counter() - began
        return Repair(
            network=search.network(weights),
            verdict=verdict,
            norm=norm if fit is None else "rms",
            change=change,
            lower=min(lower, change),
            upper=change if convex else math.inf,
            relative_change=float(change / whole) if whole else 0.0,
            sup_change=moved,
            rounds=search.rounds,
            rows=search.row_count,
            times=search.times,
        )


def _checked_parts(
    graph: FunctionGraph, domain: Domain, concave: bool, deadline: Deadline
) -> PiecewiseQuadratic:
    """Return a graph as a sum of which a change of its ReLU network makes a convex function.

    p + q is convex if and only if both are (docs/theory.md, section 12).
    """
    parts = split(graph)
    if parts is None:
        raise not_split(graph, "jensen repair", f"of at most {MOST_INPUTS} inputs")
    hessian = rational(-1 if concave else 1) * parts.hessian(0)
    found = falling_direction(hessian, domain, None, deadline)
    if found is not None:
        asked, bends = ("concave", "up") if concave else ("convex", "down")
        step = [float(v / max(abs(u) for u in found)) for v in found]
        raise NetworkError(
            f"jensen repair needs a quadratic part that is {asked} on the domain, as it changes "
            f"the ReLU network alone; this one bends {bends} along {point(step)}"
        )
    return parts


def _percent(value: float) -> str:
    """Return two digits, and whole percents from 100 on."""
    return f"{value:.0f} %" if value >= 100 else f"{value:.2g} %"


def _size(objective: Objective, fit: Refit | None) -> Callable[[FloatArray], float]:
    """Return how far output weights are from what was asked for, rounded up."""
    if fit is not None:
        return fit.error
    order = 1 if objective.norm is Norm.L1 else 2

    def size(weights: FloatArray) -> float:
        moved = weights - objective.centre
        rounding = 1 + 4 * len(moved) * np.finfo(float).eps
        power = np.frexp(np.abs(moved).max(initial=0.0))[1]  # squares would overflow, or vanish
        return float(np.ldexp(np.linalg.norm(np.ldexp(moved, -power), order) * rounding, power))

    return size


def _sup_change(
    features: Features, weights: FloatArray, domain: Domain, deadline: Deadline
) -> float:
    """Bound ``|new f - old f|`` on the domain, in real arithmetic."""
    units = len(features.weights)
    moved = weights[:units] - features.weights
    bias = float(weights[units] - features.network.output.bias[0]) if len(weights) > units else 0.0
    if not moved.any():
        return abs(bias)
    inputs = features.network.input_size
    sides = domain.box_sides(inputs)
    if sides is None and domain.has_rows:
        working = domain.working_set(inputs)
        sides = None if working.lifted else working.box
    if sides is None:
        return math.inf
    box = Box(*sides)
    network = features.combination(moved)
    below, above = proved_range(network, box, deadline)
    # the change of a weight is rounded to a double: relatively by 2**-53 at most
    reached = pre_activation_bounds(network, *box.bounds(network.input_size), deadline=deadline)
    sizes = np.concatenate([np.abs(reached[b.name]).max(axis=0) for b in features.sources])
    rounding = EPSILON * float(np.abs(moved) @ sizes)
    moves = (max(abs(below), abs(above)) + abs(bias) + rounding) * (1 + EPSILON)
    return math.inf if math.isnan(moves) else moves
