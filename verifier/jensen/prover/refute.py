"""Search for a counterexample along random lines, before any solver is started.

f is evaluated at equally spaced points of many lines at once; where a slope falls from
one step to the next, the three points are looked at in rational arithmetic.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from jensen.arithmetic.intervals import row_norms
from jensen.domains.domain import Domain
from jensen.network.relu_network import INPUT, ReluNetwork
from jensen.prover.counterexample import counterexample
from jensen.prover.evidence import Counterexample
from jensen.prover.options import Engine
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import SPACE, bounds_come_first, is_small
from jensen.prover.walk import walks
from jensen.types import FloatArray
from jensen_encodings.deadline import NEVER, Deadline

STEPS = 33  # points on a line
NUMBERS = np.arange(STEPS)[None, :, None]  # of these points
FIRST_LINES = 8  # in a first, cheap round: enough for most random networks
LINES = 96  # lines in a round
EARLY_LINES = 24  # in front of a walk that costs a few times as much
COSTLY_WALK = 32  # ReLUs from which on a walk in space costs tens of milliseconds
ROUNDS = 3  # small networks get one: what it misses, descents find as soon
WORK = 2e8  # multiply-adds per round: large networks get fewer lines
CANDIDATES = 4  # triples that are looked at exactly, per round
NOISE = 1e-13  # relative size of a drop that floating point could have made up


def first_lines(question: Question) -> Outcome | None:
    """Look along a few random lines: a fraction of a millisecond, enough for most networks."""
    return _lines(question, rounds=0)


def lines_for_sinking(question: Question) -> Outcome | None:
    """As the next two screens, before bounds, walks and links, where a kink seems to bend down."""
    if not _may_sink(question):
        return None
    return _lines_before_walks(question) or _lines_before_bounds(question)


def _may_sink(question: Question) -> bool:
    """Whether f is not convex unless bounds that come later show that some kinks lie elsewhere."""
    options, prepared = question.options, question.prepared
    plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
    return plain and prepared.may_sink


def lines_before_walks(question: Question) -> Outcome | None:
    """Look along so many more lines as cost a small part of the walk that is next."""
    return None if _may_sink(question) else _lines_before_walks(question)


def _lines_before_walks(question: Question) -> Outcome | None:
    lines = _early_lines(question)
    return _lines(question, rounds=1, skip=1, lines=lines) if lines else None


def _early_lines(question: Question) -> int:
    """Return how many lines are drawn in front of a walk; none where it costs as little."""
    network = question.network
    if not walks(question) or network.input_size == 1:
        return 0
    costly = network.input_size == SPACE and network.relu_count >= COSTLY_WALK
    return LINES if costly else EARLY_LINES


def lines_before_bounds(question: Question) -> Outcome | None:
    """As :func:`random_lines`, for small networks of more than three inputs.

    Bounds, cells and single kinks, which are next, cost a few times as much.
    """
    return None if _may_sink(question) else _lines_before_bounds(question)


def _lines_before_bounds(question: Question) -> Outcome | None:
    return _random_lines(question) if _come_before_bounds(question) else None


def random_lines(question: Question) -> Outcome | None:
    """Look for a counterexample along more random lines, after :func:`first_lines`."""
    return None if _come_before_bounds(question) else _random_lines(question)


def _come_before_bounds(question: Question) -> bool:
    return question.network.input_size > SPACE and bounds_come_first(question)


def _random_lines(question: Question) -> Outcome | None:
    rounds = 1 if is_small(question.network) else ROUNDS
    return _lines(question, rounds=rounds, skip=2 if _early_lines(question) == LINES else 1)


def _lines(question: Question, *, rounds: int, skip: int = 0, lines: int = LINES) -> Outcome | None:
    """Search along lines; any violation refutes exact convexity."""
    if question.options.tolerance:
        return None
    with question.prepared.watch.stage("lines"):
        found = search_lines(
            question.network,
            question.domain,
            rounds=rounds,
            skip=skip,
            lines=lines,
            seed=question.options.seed,
            inputs=question.options.inputs,
            deadline=question.deadline,
        )
    return None if found is None else refuted_by(found)


def search_lines(
    network: ReluNetwork,
    domain: Domain,
    *,
    rounds: int = ROUNDS,
    skip: int = 0,
    lines: int = LINES,
    seed: int = 0,
    inputs: tuple[int, ...] | None = None,
    deadline: Deadline = NEVER,
) -> Counterexample | None:
    """Return an exact counterexample to convexity if random lines meet one.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    rounds : int
        Each takes so many lines, after a first one of a few.
    skip : int
        How many rounds are drawn and not looked at: another call did.
    lines : int
        In a round; large networks get fewer.
    seed : int
    inputs : tuple of int or None
        Lines vary these inputs only (partial convexity).
    deadline : Deadline
    """
    rng = np.random.default_rng(seed)
    sampler = LineSampler(domain, network.input_size, line_scale(network, domain), rng, inputs)
    cost = max(1, network.parameter_count)
    lines = min(max(int(WORK / (cost * STEPS)), 4), lines)
    for number, count in enumerate((min(lines, FIRST_LINES), *[lines] * rounds)):
        if deadline.over():
            return None
        starts, steps = sampler.lines(count)
        if number < skip:
            continue
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
    points = starts[:, None, :] + NUMBERS * steps[:, None, :]
    values = network(points.reshape(-1, dim)).reshape(count, STEPS)
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(np.add.reduce(values, axis=None) + np.add.reduce(points, axis=None)):
            usable = (np.abs(values).sum(axis=1) < np.inf) & np.isfinite(points).all(axis=(1, 2))
            points, values = points[usable], values[usable]
    drop = values[:, 1:-1] - (values[:, :-2] + values[:, 2:]) / 2
    relative = drop - NOISE * np.maximum.reduce(np.abs(values), axis=1, keepdims=True)
    for _ in range(min(CANDIDATES, relative.size)):
        line, step = divmod(int(relative.argmax()), STEPS - 2)
        if not relative[line, step] > 0:
            break
        relative[line, step] = -np.inf
        x, y = (tuple(map(Fraction, points[line, at].tolist())) for at in (step, step + 2))
        found = counterexample(network, domain, x, y, inputs=inputs)
        if found is not None:
            return found
    return None


class LineSampler:
    """Random segments inside a domain, of widely different lengths, ready to be evaluated.

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
        self._moves = np.ones(dim)
        if inputs is not None:
            self._moves = np.zeros(dim)
            self._moves[list(inputs)] = 1.0
        self._lines = domain.lines(dim, scale)

    def lines(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Return start points and steps, each of shape (count, dim)."""
        return self._lines.draw(count, STEPS - 1, self._moves, self._rng)


def line_scale(network: ReluNetwork, domain: Domain) -> float:
    """Return :func:`kink_distance` where lines of the domain depend on it; 1 for boxes."""
    box = domain.box_sides(network.input_size)
    return kink_distance(network) if box is None else 1.0


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
    ratio = np.sort(ratio[np.isfinite(ratio) & (ratio > 0)])
    if not ratio.size:
        return 1.0
    return float((ratio[(ratio.size - 1) // 2] + ratio[ratio.size // 2]) / 2)
