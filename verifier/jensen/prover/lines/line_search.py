"""A search for a counterexample along random lines, in rounds.

f is evaluated at equally spaced points of many lines at once; where a slope falls from
one step to the next, the three points are looked at in rational arithmetic.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

import numpy as np

from jensen.arithmetic.intervals import row_norms
from jensen.domains.domain import Domain
from jensen.domains.lines import Segments
from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork
from jensen.prover.lines.glimpse import Glimpse
from jensen.types import FloatArray
from jensen.verdicts.counterexample import counterexample
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import NEVER, Deadline

STEPS = 33  # points on a line
NUMBERS = np.arange(STEPS)[None, :, None]  # of these points
FIRST = 8  # lines of a first, cheap round: enough for most random networks
ROUND = 96  # of the others
WORK = 2e8  # multiply-adds per round: large networks get fewer lines
LEAST = 4  # lines in a round, whatever the network
CANDIDATES = 4  # triples that are looked at exactly, per round
NOISE = 1e-13  # relative size of a drop that floating point could have made up
NARROW = 1024  # ReLUs up to which a few of the first points are kept
SEEN = 4  # one in so many


class LineSearch:
    """Random lines of a question, each looked at once.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    domain : Domain
    seed : int
    inputs : tuple of int or None
        Lines vary these inputs only (partial convexity).
    deadline : Deadline

    Attributes
    ----------
    drawn : int
        Lines asked for so far; large networks look along fewer.
    glimpse : Glimpse or None
        What some points of the first of them show; None before, and of wide networks.
    """

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        *,
        seed: int = 0,
        inputs: tuple[int, ...] | None = None,
        deadline: Deadline = NEVER,
    ) -> None:
        self._network, self._domain, self._deadline = network, domain, deadline
        self._seed, self._inputs = seed, inputs
        self.drawn = 0
        self._waiting: Segments = (np.empty((0, 0)),) * 2
        self.glimpse: Glimpse | None = None

    @cached_property
    def _sampler(self) -> LineSampler:
        network, domain = self._network, self._domain
        rng, scale = np.random.default_rng(self._seed), line_scale(network, domain)
        return LineSampler(domain, network.input_size, scale, rng, self._inputs)

    def look(self, count: int) -> Counterexample | None:
        """Look along so many lines more, at most to the end of a round.

        Rounds are drawn at once: it is the same lines that are met, in however many parts.
        """
        first, self.drawn = not self.drawn, self.drawn + max(count, 0)
        if count <= 0 or self._deadline.over():
            return None
        if not len(self._waiting[0]):
            cost = STEPS * max(1, self._network.parameter_count)
            lines = FIRST if first else ROUND
            self._waiting = self._sampler.lines(min(lines, max(int(WORK / cost), LEAST)))
        starts, steps = (side[:count] for side in self._waiting)
        self._waiting = self._waiting[0][count:], self._waiting[1][count:]
        points = starts[:, None, :] + NUMBERS * steps[:, None, :]
        values = self._values(points.reshape(-1, self._network.input_size), keep=first)
        return self._fallen(points, values.reshape(len(starts), STEPS))

    def _values(self, points: FloatArray, *, keep: bool) -> FloatArray:
        """Return f at points; of the first ones what the neurons compute is kept."""
        if not keep or self._network.relu_count > NARROW:
            return self._network(points)
        z = self._network.pre_activations(points)
        self.glimpse = Glimpse(self._network, {name: at[::SEEN] for name, at in z.items()})
        return z[OUTPUT]

    def _fallen(self, points: FloatArray, values: FloatArray) -> Counterexample | None:
        """Return a counterexample of three points in a row, where slopes fall most.

        Parameters
        ----------
        points : array (lines, STEPS, inputs)
        values : array (lines, STEPS)
        """
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(values, axis=None) + np.add.reduce(points, axis=None)
            if not np.isfinite(total):
                usable = (np.abs(values).sum(axis=1) < np.inf) & np.isfinite(points).all(
                    axis=(1, 2)
                )
                points, values = points[usable], values[usable]
        drop = values[:, 1:-1] - (values[:, :-2] + values[:, 2:]) / 2
        relative = drop - NOISE * np.maximum.reduce(np.abs(values), axis=1, keepdims=True)
        for _ in range(min(CANDIDATES, relative.size)):
            line, step = divmod(int(relative.argmax()), STEPS - 2)
            if not relative[line, step] > 0:
                break
            relative[line, step] = -np.inf
            x, y = (tuple(map(Fraction, points[line, at].tolist())) for at in (step, step + 2))
            found = counterexample(self._network, self._domain, x, y, inputs=self._inputs)
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
