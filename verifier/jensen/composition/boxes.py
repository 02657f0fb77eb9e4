"""Convexity by a bounded Hessian: a domain is cut into boxes until each of them is proved.

The boxes cover the domain, and a function that is convex around every point of a convex set is
convex there. Where the bound stays negative, pairs along its falling direction are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jensen.composition.batches import Weight
from jensen.composition.hessian import HessianBound
from jensen.composition.search import excess
from jensen.domains.domain import Domain
from jensen.graphs.function_graph import FunctionGraph
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen.verdicts.evidence import Counterexample
from jensen_encodings.deadline import Deadline

MOST_WORK = 4e9  # products of all boxes together, where there is no time limit
OF_ANY_BOX = 20_000  # what a box of the smallest graph costs, in products
STUCK_SHARE = 1e-3  # of what is open: less, in as many boxes as before, is no progress
MOST_NUMBERS = 1 << 21  # of the gradients of a batch
MOST_BATCH = 512
MOST_WAITING = 1 << 24  # sides of boxes that wait
LEAST_WIDTH = 2.0**-24  # of the domain's: smaller boxes will not be proved either
PAIRS = 4  # tried per batch

Attempt = Callable[[FloatArray, FloatArray], Counterexample | None]


@dataclass(frozen=True)
class Subdivision:
    """How the search ended.

    Attributes
    ----------
    proved : bool
        The Hessian is positive semidefinite on the domain.
    boxes : int
        How many were looked at.
    share : float
        Of the volume, that is proved or outside the domain.
    pair : Counterexample or None
    """

    proved: bool
    boxes: int
    share: float
    pair: Counterexample | None = None


def subdivide(
    graph: FunctionGraph,
    bound: HessianBound,
    domain: Domain,
    sides: tuple[FloatArray, FloatArray],
    attempt: Attempt,
    deadline: Deadline,
) -> Subdivision:
    """Cut a box around a domain until the Hessian is proved on every part that meets the domain.

    Parameters
    ----------
    graph : FunctionGraph
        With one output.
    bound : HessianBound
    domain : Domain
    sides : (lower, upper), finite arrays (inputs,)
        Of a box around the domain.
    attempt : callable (x, y) -> Counterexample or None
        Proves that two points refute the graph.
    deadline : Deadline
    """
    outside = _outside(domain, len(sides[0]))
    width = sides[1] - sides[0]
    waiting = Waiting(sides)
    cost = graph.work * (len(width) + 4) + OF_ANY_BOX
    most = np.inf if deadline.left() < np.inf else max(64.0, MOST_WORK / cost)
    size = len(width) * sum(node.rows for node in graph.nodes)
    batch = int(np.clip(MOST_NUMBERS // max(1, size), 1, MOST_BATCH))
    looked, volume = 0, 0.0
    next_look, volume_then = most / 8, 0.0
    while waiting.count:
        if deadline.over() or looked > most or waiting.count * len(width) > MOST_WAITING:
            return Subdivision(False, looked, volume)
        if looked > next_look:
            stuck = volume - volume_then < STUCK_SHARE * (1 - volume_then)
            if stuck and most < np.inf:
                return Subdivision(False, looked, volume)
            next_look, volume_then = 2.0 * next_look, volume
        low, high = waiting.taken(batch)
        looked += len(low)
        judged = bound.judge(low, high)
        done = judged.proved | outside(low, high)
        sizes = np.where(width > 0, (high - low) / np.where(width > 0, width, 1.0), 1.0)
        volume += float(np.prod(sizes[done], axis=1).sum())
        if done.all():
            continue
        left = np.flatnonzero(~done)
        least, falling = _falling(judged.matrix[left])
        order = np.argsort(-least)  # the worst ones last: they are looked at next
        left, falling = left[order], falling[order]
        low, high = low[left], high[left]
        pair = _refuted(graph, low, high, falling, bound.moving, attempt)
        if pair is not None:
            return Subdivision(False, looked, volume, pair)
        halves = _halved(low, high, judged.influence[left], width)
        if halves is None:
            return Subdivision(False, looked, volume)
        waiting.add(*halves)
    return Subdivision(True, looked, 1.0)


class Waiting:
    """Boxes that wait in parts, the last of which come first."""

    def __init__(self, sides: tuple[FloatArray, FloatArray]) -> None:
        self._parts: list[tuple[FloatArray, FloatArray]] = []
        self.count = 0
        self.add(sides[0][None], sides[1][None])

    def add(self, low: FloatArray, high: FloatArray) -> None:
        """Let boxes wait; the last of them come first."""
        for start in range(0, len(low), MOST_BATCH):
            part = slice(start, start + MOST_BATCH)
            self._parts.append((low[part], high[part]))
        self.count += len(low)

    def taken(self, most: int) -> tuple[FloatArray, FloatArray]:
        """Take at least one box away, and at most so many."""
        found: list[tuple[FloatArray, FloatArray]] = []
        left = most
        while self._parts and left:
            low, high = self._parts.pop()
            if len(low) > left:
                self._parts.append((low[:-left], high[:-left]))
                low, high = low[-left:], high[-left:]
            found.append((low, high))
            left -= len(low)
        self.count -= most - left
        lower, upper = zip(*found, strict=True)
        return np.concatenate(lower), np.concatenate(upper)


def _halved(
    low: FloatArray, high: FloatArray, influence: FloatArray, width: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Cut every box across its most influential input; None where one is too small."""
    share = np.where(width > 0, (high - low) / np.where(width > 0, width, 1.0), 0.0)
    # the widest side counts, too, so that none is forgotten
    weight = influence / np.maximum(influence.max(axis=1, keepdims=True), 1e-300)
    axis = np.argmax((weight + 1e-3) * (share > LEAST_WIDTH) * (share > 0), axis=1)
    rows = np.arange(len(low))
    cut = low[rows, axis] / 2 + high[rows, axis] / 2
    if (share[rows, axis] <= LEAST_WIDTH).any():
        return None
    left, right = high.copy(), low.copy()
    left[rows, axis] = right[rows, axis] = cut
    shape = (-1, low.shape[1])
    return (
        np.stack([low, right], axis=1).reshape(shape),
        np.stack([left, high], axis=1).reshape(shape),
    )


def _falling(matrices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return least eigenvalues and their vectors; minus infinity, and zeros, of no numbers."""
    finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    values, vectors = np.linalg.eigh(np.where(finite[:, None, None], matrices, 0.0))
    least = np.where(finite, values[:, 0], -np.inf)
    return least, np.where(finite[:, None], vectors[:, :, 0], 0.0)


def _refuted(
    graph: FunctionGraph,
    low: FloatArray,
    high: FloatArray,
    falling: FloatArray,
    moving: IndexArray,
    attempt: Attempt,
) -> Counterexample | None:
    """Try pairs in the worst boxes, along the directions in which the bounds fall the most."""
    low, high, falling = low[-PAIRS:], high[-PAIRS:], falling[-PAIRS:]
    half = (high - low) / 2
    step = np.zeros_like(low)
    step[:, moving] = falling
    with np.errstate(all="ignore"):
        reach = np.where(step != 0, half / np.abs(step), np.inf).min(axis=1)
    step = step * np.where(np.isfinite(reach), 0.99 * reach, 0.0)[:, None]
    middle = low + half
    rise = excess(*(graph(middle + side * step)[:, 0] for side in (-1.0, 0.0, 1.0)))
    for k in np.flatnonzero(rise > 0):
        pair = attempt(middle[k] - step[k], middle[k] + step[k])
        if pair is not None:
            return pair
    return None


def _outside(domain: Domain, inputs: int) -> Callable[[FloatArray, FloatArray], BoolArray]:
    """Return which boxes no point of the domain lies in."""
    if domain.box_sides(inputs) is not None or not domain.has_rows:
        return lambda low, high: np.zeros(len(low), dtype=bool)
    matrix, limits = domain.inequalities(inputs)
    rows = Weight(np.asarray(matrix, dtype=np.float64))

    def check(low: FloatArray, high: FloatArray) -> BoolArray:
        least, _ = rows.of_interval((low, high))
        return np.asarray((least > limits).any(axis=1))

    return check
