"""Rows, the best output weights under them, the prover: by turns, until convex."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from typing import TypeVar

import numpy as np

from jensen.arithmetic.exact import root_to_double
from jensen.arithmetic.rational import floats, rationals
from jensen.composition.piecewise_quadratic import PiecewiseQuadratic
from jensen.decide import verify
from jensen.domains.base import Domain
from jensen.domains.working_set import WorkingSet
from jensen.errors import OutOfTimeError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.repairs.descents import descended
from jensen.repairs.features import Features
from jensen.repairs.kink_searches import KinkSearches
from jensen.repairs.program import Objective, nearest_with_margin, proved_distance
from jensen.repairs.sampled_rows import Pairs, RowSampler
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen.verdicts.verdict import Verdict
from jensen_encodings.deadline import NEVER, Deadline

Result = TypeVar("Result")

MARGIN = 2.0**-22  # of the rows, relative to the output weights: more than rounding them costs
WIDER = 8.0  # factor of the margin where it turned out too small
NOISE = 1e-8  # violations of sampled rows below it are not seen, relative to the weights
SAMPLES = 4096  # kinks per look at the whole domain
MANY_INPUTS, LEAST_SAMPLES = 256, 64  # above so many inputs fewer kinks are looked at
# with a time limit, as many as take a part of what is left
LOOK_SHARE, FEWEST_SAMPLES, EVALUATIONS = 0.1, 4, 7
SPARSE_SECONDS, DENSE_SECONDS, UNIT_SECONDS = 1e-9, 5e-11, 1e-8
NEAR = 2048  # kinks looked at around a refuting pair
STARTS, TURNS = 8, 2  # descents of each kink, and how often they are tried
LOOKS = 2  # looks without a violated row before the prover is asked
WORST = 48  # rows that enter the program at a time
LEAST_SECONDS = 0.01  # of the prover, where time is up: screens alone may decide
ROOM = 0.006  # of the least change, spent on margins of the rows: facets near 0 are hard to prove
BUDGET, MOST_BUDGET = 64, 1 << 14  # programs of a kink in one look at all of them
SOLVES = 20  # programs over one set of samples at most


@dataclass(frozen=True)
class RepairProgress:
    """What a repair has done so far.

    Attributes
    ----------
    rounds : int
        Questions to the prover.
    rows : int
        Pairs of points in the program.
    seconds : float
    """

    rounds: int
    rows: int
    seconds: float


class RowSearch:
    """Constraint generation for the best output weights of a convex network.

    Parameters
    ----------
    features : Features
        Of ``-f`` where concavity is asked for.
    domain : Domain
    objective : Objective
        Over the output weights, or over them and the output's bias.
    parts : PiecewiseQuadratic or None
        Where the features are those of the ReLU network of a sum, which the prover is asked about.
    deadline : Deadline
        When to stop with what is known.
    concave, certificate, progress, seed
        See :func:`jensen.repairs.nearest.repair`.
    """

    def __init__(
        self,
        features: Features,
        domain: Domain,
        objective: Objective,
        *,
        parts: PiecewiseQuadratic | None,
        concave: bool,
        certificate: bool,
        deadline: Deadline,
        progress: Callable[[RepairProgress], None] | None,
        seed: int,
    ) -> None:
        self._features, self._domain, self._objective = features, domain, objective
        self._parts, self._concave, self._certificate = parts, concave, certificate
        self._progress = progress
        self._began = time.monotonic()
        self._deadline = deadline
        self._sampler = RowSampler(features, domain, seed, deadline)
        self._units = len(features.weights)
        self._size = math.hypot(*features.weights.tolist())
        self._margin, self._room = MARGIN, 0.0
        self._rows = np.empty((0, self._units))
        self._pairs: list[tuple[Sequence[float | Fraction], Sequence[float | Fraction]]] = []
        self._single = np.array_equal(features.weights, features.weights.astype(np.float32))
        self.rounds = 0
        self.times: dict[str, float] = {}

    @property
    def row_count(self) -> int:
        """How many pairs of points are in the program."""
        return len(self._pairs)

    def run(self) -> tuple[FloatArray, Verdict]:
        """Return output weights that were proved convex, or the last ones and what is known."""
        weights = self._objective.centre
        while True:
            weights = self._searched(self._descended(self._sampled(weights)))
            verdict = self.asked(weights)
            found = verdict.counterexample
            if found is None or self._deadline.over():
                return weights, verdict
            if not self._add_exact(found.x, found.y, weights):
                self._margin *= WIDER
            x, y = (np.array([[float(v) for v in p]]) for p in (found.x, found.y))
            near = self._sampler.along(x, y).joined(self._near((x + y) / 2))
            weights = self._solved_over(near, self._best(weights))

    def network(self, weights: FloatArray) -> ReluNetwork | FunctionGraph:
        """Return the network under some output weights."""
        network = self._features.with_weights(weights)
        network = network.negated() if self._concave else network
        return network if self._parts is None else self._parts.with_piecewise(network)

    def unrounded(self) -> FloatArray:
        """Return the best weights under the rows so far, without margin or rounding."""
        return self._without_margin(NEVER)[0]

    def proved_change(self, deadline: Deadline) -> float:
        """Return a bound below every change that makes the network convex."""
        if deadline.over():
            return 0.0
        multipliers = self._without_margin(deadline)[1]
        rows, scaled = [], []
        for i in np.argsort(-multipliers)[: int((multipliers > 0).sum())]:
            if deadline.over():  # fewer rows are a weaker bound
                break
            x, y = (self._inside(point) for point in self._pairs[i])
            if x is not None and y is not None:
                rows.append(self._features.exact_row(x, y))
                length = _length(rows[-1])
                scaled.append(float(multipliers[i]) / length if length else 0.0)
        weights = [Fraction(float(w)) for w in self._features.weights]
        return proved_distance(rows, scaled, weights, self._objective.norm)

    def _inside(self, near_point: Sequence[float | Fraction]) -> Point | None:
        """Return a point of the domain itself: doubles near a flat one are not on it."""
        point = tuple(Fraction(v) for v in near_point)
        if self._domain.contains(point):
            return point
        working = self._working
        near = np.append([float(v) for v in point], 1.0) - floats(working.offset)
        y, *_ = np.linalg.lstsq(floats(working.matrix), near, rcond=None)
        moved = working.to_input(rationals(np.asarray(y, dtype=np.float64)).tolist())
        return moved if moved is not None and self._domain.contains(moved) else None

    @cached_property
    def _working(self) -> WorkingSet:
        return self._domain.working_set(self._features.network.input_size)

    # ----------------------------------------------------------------------- the program

    def _without_margin(self, deadline: Deadline) -> tuple[FloatArray, FloatArray]:
        try:
            found = self._objective.nearest(self._padded(), 0.0, deadline)
        except OutOfTimeError:
            found = None
        if found is None:  # weights 0 satisfy every row: only rounding can say otherwise
            return self._objective.centre, np.zeros(len(self._rows))
        return found

    def _padded(self) -> FloatArray:
        """Return the rows over all unknowns: the output's bias bends nothing."""
        more = len(self._objective.centre) - self._units
        return np.hstack([self._rows, np.zeros((len(self._rows), more))])

    def _best(self, weights: FloatArray) -> FloatArray:
        """Return the best weights under the rows so far; the given ones if time is up."""
        try:
            return self._lap("program", self._solve)
        except OutOfTimeError:
            return weights

    def _solve(self) -> FloatArray:
        margin = self._margin * self._size
        weights = nearest_with_margin(
            self._objective, self._padded(), margin, self._room, self._deadline
        )
        if self._single:
            rounded = weights.astype(np.float32).astype(np.float64)
            weights = np.where(np.isfinite(rounded), rounded, weights)
        return weights

    def _sampled(self, weights: FloatArray) -> FloatArray:
        """Add rows of kinks all over the domain until looks at it find none violated."""
        clean = 0
        while clean < LOOKS and not self._deadline.over():
            pairs = self._lap("samples", lambda: self._sampler.everywhere(self._thinned(SAMPLES)))
            moved = self._solved_over(pairs, weights)
            clean = clean + 1 if moved is weights else 0
            weights = moved
        return weights

    def _near(self, points: FloatArray) -> Pairs:
        """Return pairs around kinks near some points."""
        return self._sampler.around(points, self._thinned(NEAR))

    def _thinned(self, count: int) -> int:
        """Return how many kinks to look at: what one costs grows with the inputs squared."""
        network = self._features.network
        share = (MANY_INPUTS / network.input_size) ** 2
        count = max(LEAST_SAMPLES, int(count * min(1.0, share)))
        if self._deadline.seconds() is None:
            return count
        most = LOOK_SHARE * self._deadline.left() / self._kink_seconds
        return max(FEWEST_SAMPLES, int(min(count, most)))

    @cached_property
    def _kink_seconds(self) -> float:
        """Estimate how long one kink takes to look at."""
        network = self._features.network
        work = UNIT_SECONDS * network.relu_count
        for block in network.blocks:
            for weight in block.weights.values():
                sparse = hasattr(weight, "nnz")
                work += weight.nnz * SPARSE_SECONDS if sparse else weight.size * DENSE_SECONDS
        return max(EVALUATIONS * float(work), UNIT_SECONDS)  # without a weight there is no work

    def _descended(self, weights: FloatArray) -> FloatArray:
        """Add rows of kinks that descents find to bend down, until they find none."""
        for turn in range(TURNS):
            network = self._features.with_weights(weights)
            find = partial(descended, network, self._domain, STARTS, turn, self._deadline)
            points = self._lap("descents", find)
            if not len(points) or self._deadline.over():
                break
            near = self._sampler.across(points).joined(self._near(points))
            moved = self._solved_over(near, weights)
            if moved is weights:
                break
            weights = moved
        return weights

    def _searched(self, weights: FloatArray) -> FloatArray:
        """Add rows of facets that branch and bound finds along the kinks, until it closes all."""
        budget = BUDGET
        searches = self._lap("searches", lambda: self._searches)
        while weights[: self._units].any() and not self._deadline.over():
            sweep = partial(searches.sweep, weights, budget, self._deadline)
            found = self._lap("searches", sweep)
            if found.crossings:
                for crossing in found.crossings:
                    self._add_exact(crossing.before, crossing.after, weights)
                middles = [[float(v) for v in crossing.middle] for crossing in found.crossings]
                weights = self._solved_over(self._near(np.array(middles)), self._best(weights))
            elif not found.open or budget > MOST_BUDGET:
                break
            elif not self._room:  # the best weights are hard to prove: facets of J = 0
                self._room = ROOM
                weights = self._best(weights)
            else:
                budget *= 2
        return weights

    @cached_property
    def _searches(self) -> KinkSearches:
        return KinkSearches(self._features, self._domain, self._deadline)

    def _solved_over(self, pairs: Pairs, weights: FloatArray) -> FloatArray:
        """Add the violated rows of some pairs, the worst first, and solve, by turns."""
        for _ in range(SOLVES):
            values = pairs.rows @ weights[: self._units]
            worst = np.argsort(values)[:WORST]
            worst = worst[values[worst] < -NOISE * self._size]
            if not len(worst) or self._deadline.over():
                break
            self._add(pairs.take(worst))
            weights = self._best(weights)
        return weights

    def _add(self, pairs: Pairs) -> None:
        self._rows = np.concatenate([self._rows, pairs.rows])
        self._pairs += zip(pairs.x.tolist(), pairs.y.tolist(), strict=True)

    def _add_exact(self, x: Point, y: Point, weights: FloatArray) -> bool:
        """Add the row of a refuting pair; return whether it is news in floating point."""
        row = self._features.exact_row(x, y)
        length = _length(row)
        scaled = np.array([[float(r / Fraction(length)) for r in row]])
        self._rows = np.concatenate([self._rows, scaled])
        self._pairs.append((x, y))
        return bool(scaled[0] @ weights[: self._units] < -NOISE * self._size)

    # ------------------------------------------------------------------------ the prover

    def asked(self, weights: FloatArray) -> Verdict:
        """Return what the prover finds out about some output weights, in the time that is left."""
        self.rounds += 1
        verdict = self._lap(
            "prover",
            lambda: verify(
                self.network(weights),
                self._domain,
                concave=self._concave,
                certificate=self._certificate,
                time_limit=self._deadline.seconds(LEAST_SECONDS),
            ),
        )
        if self._progress is not None:
            spent = time.monotonic() - self._began
            self._progress(RepairProgress(self.rounds, self.row_count, spent))
        return verdict

    def _lap(self, stage: str, work: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = work()
        self.times[stage] = self.times.get(stage, 0.0) + time.perf_counter() - began
        return result


def _length(row: list[Fraction]) -> float:
    """Return the Euclidean length of a row, rounded."""
    return root_to_double(sum((r * r for r in row), Fraction(0)))
