"""The worst pair of few inputs by dividing two boxes, one for x and one for y.

Of x, y and their middle m in a box each the violation has two bounds: by affine bounds of f on the
three boxes, and by the gaps of the neurons (:mod:`jensen.midpoint.gap_forms`). Far pairs fall
to the first one, near pairs to the second. The pair of boxes with the largest bound is divided
next, along the side of x or y that costs most; many at a time.

References
----------
docs/theory.md, section 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from jensen.arithmetic.intervals import rounding_factor
from jensen.midpoint.box_forms import BoxForms, Enclosed
from jensen.midpoint.gap_forms import GapForms, Triple
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings import NetworkData
from jensen_encodings.deadline import Deadline
from jensen_encodings.highs import Progress

BOX_INPUTS = 4  # beyond which boxes are too many
SMALL_NEURONS, SMALL_NODES = 24, 16_000  # free neurons up to which trees are small, too
MOST_WEIGHTS = 4_000_000
MOST_PAIRS, MOST_NODES = 100_000, 2_000_000  # open at a time; in all
TOGETHER, NUMBERS = 1024, 1 << 18  # pairs divided at a time; neurons of theirs
WORK = 2e8  # multiply-adds at a time
LEAST_HALF = 2.0**-40  # boxes are not divided further: their coordinates are exact
LARGEST = 1e150
REPORT_SECONDS = 0.2
EVEN = 1e-3  # so that no side stays whole for ever
OFFER_SHARE = 0.1  # of what is allowed between the bounds
CENTRE, HALF = 0, 1
BOTH = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])  # how x and y move in equal boxes


def affordable_nodes(data: NetworkData) -> int:
    """Return how many pairs of boxes a network is worth: few inputs, and not too many weights."""
    if data.input_size > BOX_INPUTS or _entries(data) > MOST_WEIGHTS:
        return 0
    if sum(len(layer.unstable()) for layer in data.layers) > SMALL_NEURONS:
        return MOST_NODES
    return SMALL_NODES if data.input_size < BOX_INPUTS else 0


def _entries(data: NetworkData) -> int:
    """Return the number of weights, zeros included."""
    return sum(layer.size * w.shape[1] for layer in data.layers for w in layer.csr.values())


class Incumbent(Protocol):
    """The best pair so far."""

    @property
    def value(self) -> float:
        """Its violation."""

    def offer(self, bases: FloatArray) -> None:
        """Look at pairs: (pairs, 2, inputs)."""


@dataclass(frozen=True, eq=False)
class BoxPairs:
    """Pairs of boxes in scaled inputs.

    Attributes
    ----------
    boxes : array (pairs, 2, 2, inputs)
        Of x and y, the centre and half of the sides.
    bound : array (pairs,)
    cost : array (pairs, 2, inputs)
        What the sides of x and y cost the bound, roughly.
    """

    boxes: FloatArray
    bound: FloatArray
    cost: FloatArray

    def only(self, some: BoolArray) -> BoxPairs:
        """Return some of them."""
        return BoxPairs(self.boxes[some], self.bound[some], self.cost[some])

    def and_more(self, more: BoxPairs) -> BoxPairs:
        """Return these and more."""
        parts = ((self.boxes, more.boxes), (self.bound, more.bound), (self.cost, more.cost))
        return BoxPairs(*map(np.concatenate, parts))

    def halves(self) -> tuple[FloatArray, FloatArray]:
        """Return what they are divided into, and the bounds of the whole ones."""
        count = len(self.bound)
        point, side = np.divmod(self.cost.reshape(count, -1).argmax(axis=1), self.cost.shape[2])
        same = (self.boxes[:, 0] == self.boxes[:, 1]).all(axis=(1, 2))
        one = np.eye(2)[point[~same]]
        every = [(~same, -one), (~same, one)]
        # x and y may be exchanged
        every += [(same, np.tile(moves, (same.sum(), 1))) for moves in BOTH]
        parts = [_divided(self.boxes[rows], side[rows], moves) for rows, moves in every]
        return np.concatenate(parts), np.concatenate([self.bound[rows] for rows, _ in every])


def _divided(boxes: FloatArray, side: IndexArray, moves: FloatArray) -> FloatArray:
    """Return the halves to which x and y move, -1 or 1 each; 0 for the whole side."""
    boxes, rows = boxes.copy(), np.arange(len(boxes))
    for k in range(2):
        half = np.where(moves[:, k] == 0, 1.0, 0.5) * boxes[rows, k, HALF, side]
        boxes[rows, k, HALF, side] = half
        boxes[rows, k, CENTRE, side] += moves[:, k] * half
    return boxes


class BoxSearch:
    """Bound the worst violation from above, and meet pairs on the way.

    Parameters
    ----------
    data : NetworkData
        With numbers far from the ends of the range of doubles.
    incumbent : Incumbent
    relative_gap : float
        Pairs of boxes are closed up to this beyond the incumbent, or up to rounding errors.
    upper : float
        A true bound that is known already.
    progress : callable, optional
    """

    def __init__(
        self,
        data: NetworkData,
        incumbent: Incumbent,
        relative_gap: float,
        upper: float,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._data, self._incumbent = data, incumbent
        self._gap = relative_gap
        self._progress = progress
        self._began = self._reported = time.perf_counter()
        self._forms = BoxForms(data)
        self._gap_forms = GapForms(self._forms)
        output, inputs = self._forms.output, len(self._forms.reach)
        work = 12 * (1 + inputs) * _entries(data)
        most = min(NUMBERS / max(1, self._forms.units), WORK / max(1, work))
        self._together = int(np.clip(most, 16, TOGETHER))
        # of the sum of three forms and the slopes
        self._rounding = float(3 * output.error[0])
        self._rounding += 8 * rounding_factor(4 * inputs + 8) * float(output.size[0])
        self._upper = upper
        self._pairs: BoxPairs | None = None
        self._closed = 0.0  # the largest bound of pairs that cannot be divided
        self.nodes = 0

    @property
    def upper(self) -> float:
        """No pair violates by more."""
        return max(self._upper, self._incumbent.value)

    @property
    def threshold(self) -> float:
        """Pairs of boxes with a bound up to this are closed."""
        value = self._incumbent.value
        return value + max(self._gap * value, 2 * self._rounding + 2 * self._gap_forms.rounding)

    def run(self, deadline: Deadline, node_limit: int = MOST_NODES) -> bool:
        """Divide boxes, where it was left off; return whether the gap was closed.

        Parameters
        ----------
        deadline : Deadline
        node_limit : int
        """
        inputs = len(self._forms.reach)
        if not self._forms.output.size[0] < LARGEST:
            return False
        pairs = self._pairs
        if pairs is None:
            boxes = np.zeros((1, 2, 2, inputs))
            boxes[:, :, HALF] = self._forms.reach > 0
            pairs = self._bounded(boxes, np.array([self._upper]))
        while True:
            self._pairs = pairs = pairs.only(pairs.bound > self.threshold)
            if len(pairs.bound):
                pairs = self._without_small(pairs)
            self._note(pairs)
            if not len(pairs.bound):
                return self._closed <= self.threshold
            if deadline.over() or len(pairs.bound) > MOST_PAIRS or self.nodes > node_limit:
                return False
            worst = np.zeros(len(pairs.bound), dtype=bool)
            count = min(self._together, len(worst))
            worst[np.argpartition(-pairs.bound, count - 1)[:count]] = True
            pairs = pairs.only(~worst).and_more(self._bounded(*pairs.only(worst).halves()))

    def _note(self, pairs: BoxPairs) -> None:
        """Note what is proved, and report."""
        bound = max(float(pairs.bound.max(initial=0.0)), self.threshold, self._closed)
        self._upper = min(self._upper, bound)
        now = time.perf_counter()
        if self._progress is not None and now - self._reported > REPORT_SECONDS:
            self._reported = now
            self._progress(
                Progress(self._incumbent.value, self.upper, self.nodes, now - self._began)
            )

    def _without_small(self, pairs: BoxPairs) -> BoxPairs:
        """Take out pairs whose boxes would be too small."""
        half = pairs.boxes[:, :, HALF].reshape(len(pairs.bound), -1)
        chosen = pairs.cost.reshape(half.shape).argmax(axis=1)
        small = np.take_along_axis(half, chosen[:, None], axis=1)[:, 0] < LEAST_HALF
        if not small.any():
            return pairs
        self._closed = max(self._closed, float(pairs.bound[small].max()))
        return pairs.only(~small)

    def _bounded(self, boxes: FloatArray, known: FloatArray) -> BoxPairs:
        """Bound pairs of boxes, and offer the best pair of centres."""
        self.nodes += len(boxes)
        self._offer(boxes)
        x, y = self._enclosed(boxes[:, 0]), self._enclosed(boxes[:, 1])
        m = self._enclosed(boxes.mean(axis=1))
        half = boxes[:, :, HALF]
        lean = np.stack([np.abs(m.upper[:, 1:] - end.lower[:, 1:]) for end in (x, y)], axis=1)
        slopes = lean * half / 2
        bound = m.upper[:, 0] - (x.lower[:, 0] + y.lower[:, 0]) / 2 + slopes.sum(axis=(1, 2))
        bound = np.minimum(bound + self._rounding, known)
        # what the forms themselves leave open
        open_m = np.abs(m.upper - m.lower)[:, None, 1:]
        open_ends = np.stack([np.abs(end.upper - end.lower)[:, 1:] for end in (x, y)], axis=1)
        cost = slopes + half * (open_m + open_ends) / 4
        cost += EVEN * half * (m.upper[:, 0] - m.lower[:, 0] + bound)[:, None, None]
        left = bound > self.threshold
        pairs = BoxPairs(boxes, bound, cost).only(left)
        if left.any():
            triple = Triple(x.only(left), y.only(left), m.only(left), half[left])
            closer = np.minimum(pairs.bound, self._gap_forms.bound(triple))
            pairs = replace(pairs, bound=closer)
        return pairs

    def _enclosed(self, boxes: FloatArray) -> Enclosed:
        """Enclose every box once: (boxes, 2, inputs)."""
        flat = np.ascontiguousarray(boxes.reshape(len(boxes), -1))
        rows = flat.view(np.dtype((np.void, flat.itemsize * flat.shape[1]))).ravel()
        _, first, again = np.unique(rows, return_index=True, return_inverse=True)
        found = self._forms.enclose(boxes[first, CENTRE], boxes[first, HALF])
        return found.only(again)

    def _offer(self, boxes: FloatArray) -> None:
        centres = boxes[:, :, CENTRE]
        flat = self._forms.points(centres.reshape(-1, centres.shape[-1]))
        flat = np.clip(flat, self._data.input_lower, self._data.input_upper)
        points = flat.reshape(centres.shape)
        ends = self._data.evaluate(flat).reshape(len(points), 2)
        values = self._data.evaluate(points.mean(axis=1)) - ends.mean(axis=1)
        best = int(values.argmax())
        value = self._incumbent.value
        # to climb takes long: not for rounding errors, nor for a small part of the gap
        if values[best] > value + OFFER_SHARE * (self.threshold - value):
            self._incumbent.offer(points[best : best + 1])
