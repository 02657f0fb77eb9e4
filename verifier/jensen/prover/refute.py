"""Search for a counterexample along random lines, before any solver is started.

f is evaluated at equally spaced points of many lines at once; where a slope falls from
one step to the next, the three points are looked at in rational arithmetic.
"""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import row_norms
from jensen.domains.domain import Box, Domain, Polyhedron
from jensen.domains.polyhedron import inner_ball
from jensen.network.relu_network import INPUT, FloatArray, ReluNetwork
from jensen.prover.counterexample import counterexample
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.verdict import Counterexample

STEPS = 33  # points on a line
FIRST_LINES = 8  # in a first, cheap round: enough for most random networks
LINES = 96  # lines in a round
WORK = 2e8  # multiply-adds per round: large networks get fewer lines
CANDIDATES = 4  # triples that are looked at exactly, per round
NOISE = 1e-13  # relative size of a drop that floating point could have made up


def random_lines(question: Question) -> Outcome | None:
    """Look for a counterexample along random lines; any violation refutes exact convexity."""
    if question.options.tolerance:
        return None
    with question.prepared.watch.stage("lines"):
        found = search_lines(
            question.network,
            question.domain,
            seed=question.options.seed,
            inputs=question.options.inputs,
            deadline=question.deadline.at,
        )
    return None if found is None else refuted_by(found)


def search_lines(
    network: ReluNetwork,
    domain: Domain,
    *,
    rounds: int = 3,
    seed: int = 0,
    inputs: tuple[int, ...] | None = None,
    deadline: float | None = None,
) -> Counterexample | None:
    """Return an exact counterexample to convexity if random lines meet one.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    rounds : int
        Each takes about a hundred lines.
    seed : int
    inputs : tuple of int or None
        Lines vary these inputs only (partial convexity).
    deadline : float or None
        On the clock of ``time.monotonic``.
    """
    rng = np.random.default_rng(seed)
    sampler = LineSampler(domain, network.input_size, kink_distance(network), rng, inputs)
    cost = max(1, network.parameter_count)
    lines = int(np.clip(WORK / (cost * STEPS), 4, LINES))
    for count in (min(lines, FIRST_LINES), *[lines] * rounds):
        if deadline is not None and time.monotonic() > deadline:
            return None
        starts, steps = sampler.lines(count)
        found = _look(network, domain, starts, steps, inputs)
        if found is not None:
            return found
    return None


def _look(
    network: ReluNetwork,
    domain: Domain,
    starts: FloatArray,
    steps: FloatArray,
    inputs: tuple[int, ...] | None,
) -> Counterexample | None:
    count, dim = starts.shape
    points = starts[:, None, :] + np.arange(STEPS)[None, :, None] * steps[:, None, :]
    values = network(points.reshape(-1, dim)).reshape(count, STEPS)
    with np.errstate(over="ignore"):
        usable = (np.abs(values).sum(axis=1) < np.inf) & np.isfinite(points).all(axis=(1, 2))
    points, values = points[usable], values[usable]
    drop = values[:, 1:-1] - (values[:, :-2] + values[:, 2:]) / 2
    scale = np.abs(values).max(axis=1, keepdims=True)
    relative = drop - NOISE * scale
    flat = np.argsort(relative, axis=None)[::-1][:CANDIDATES]
    for index in flat:
        line, step = np.unravel_index(index, drop.shape)
        if relative[line, step] <= 0:
            break
        x = [Fraction(float(v)) for v in points[line, step]]
        y = [Fraction(float(v)) for v in points[line, step + 2]]
        found = counterexample(network, domain, x, y, inputs=inputs)
        if found is not None:
            return found
    return None


class LineSampler:
    """Random segments inside a domain, of widely different lengths.

    Parameters
    ----------
    domain : Domain
    dim : int
        Inputs.
    scale : float
        Distance of the kinks from the origin, in the middle (:func:`kink_distance`).
    rng : numpy.random.Generator
    inputs : tuple of int or None
        Segments vary these inputs only.
    """

    def __init__(
        self,
        domain: Domain,
        dim: int,
        scale: float,
        rng: np.random.Generator,
        inputs: tuple[int, ...] | None = None,
    ) -> None:
        self._rng = rng
        self._dim = dim
        self._domain = domain
        self._moves = np.ones(dim)
        if inputs is not None:
            self._moves = np.zeros(dim)
            self._moves[list(inputs)] = 1.0
        self._scale = scale
        if isinstance(domain, Polyhedron):
            self._ball = _ball_near_kinks(domain, scale)

    def lines(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Return start points and steps, each of shape (count, dim)."""
        if isinstance(self._domain, Box):
            return self._box_lines(self._domain, count)
        length = self._scale * 10.0 ** self._rng.uniform(-2, 3, (count, 1))
        directions = self._rng.normal(size=(count, self._dim)) * self._moves
        directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
        if isinstance(self._domain, Polyhedron):
            return self._polyhedron_lines(self._domain, directions, length)
        middles = self._rng.normal(size=(count, self._dim)) * self._scale
        middles *= 10.0 ** self._rng.uniform(-2, 2, (count, 1)) / np.sqrt(self._dim)
        return middles - length * directions, directions * (2 * length / (STEPS - 1))

    def _box_lines(self, box: Box, count: int) -> tuple[FloatArray, FloatArray]:
        lower, upper = box.bounds(self._dim)
        start, end = self._rng.random((2, count, self._dim))
        # half of the segments shorter, so that fine structure is seen too
        short = 10.0 ** self._rng.uniform(-3, 0, (count, 1))
        share = np.where(self._rng.random((count, 1)) < 0.5, 1.0, short)
        end = start + share * (end - start) * self._moves
        # no differences of sides: they may overflow
        start, end = (np.clip(lower * (1 - u) + upper * u, lower, upper) for u in (start, end))
        return start, end / (STEPS - 1) - start / (STEPS - 1)

    def _polyhedron_lines(
        self, domain: Polyhedron, directions: FloatArray, length: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Walk from the middle of an inner ball to the walls, then take chords there."""
        centre, radius = self._ball
        shift = self._rng.normal(size=directions.shape)
        shift *= (
            self._rng.uniform(0, 1, (len(shift), 1))
            * radius
            / np.maximum(np.linalg.norm(shift, axis=1, keepdims=True), 1e-300)
        )
        points = centre + shift
        back, forth = _reach(domain, points, directions, length)
        start = points - back * directions
        return start, directions * (back + forth) / (STEPS - 1)


def _ball_near_kinks(domain: Polyhedron, scale: float) -> tuple[FloatArray, float]:
    """Return a ball in the polyhedron, as close to the origin as the kinks if possible."""
    ball = np.zeros(domain.A.shape[1]), 0.0
    for reach in (4 * scale, 1e3 * scale, 1e6 * max(scale, 1.0)):
        ball = inner_ball(domain.A, domain.b, reach)
        if ball[1] > 0:
            break
    return ball


def _reach(
    domain: Polyhedron, points: FloatArray, directions: FloatArray, length: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how far each line may go both ways, at most ``length``."""
    room = np.maximum(domain.b - points @ domain.A.T, 0.0)
    speed = directions @ domain.A.T
    with np.errstate(divide="ignore", invalid="ignore"):
        forth = np.where(speed > 0, room / speed, np.inf).min(axis=1, initial=np.inf)
        back = np.where(speed < 0, room / -speed, np.inf).min(axis=1, initial=np.inf)
    shrink = 1 - 1e-9  # the ends stay inside after rounding
    return (np.minimum(back[:, None], length) * shrink, np.minimum(forth[:, None], length) * shrink)


def kink_distance(network: ReluNetwork) -> float:
    """Return a typical distance of the first layer's hyperplanes from the origin."""
    first = [block for block in network.hidden if INPUT in block.weights]
    norms = [row_norms(block.weights[INPUT]) for block in first]
    return middle_distance(
        np.concatenate([np.abs(block.bias) for block in first] or [np.empty(0)]),
        np.concatenate(norms or [np.empty(0)]),
    )


def middle_distance(offsets: FloatArray, norms: FloatArray) -> float:
    """Return the median of ``offsets / norms`` where it is a number > 0; 1 if it never is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = offsets / norms
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return float(np.median(ratio)) if ratio.size else 1.0
