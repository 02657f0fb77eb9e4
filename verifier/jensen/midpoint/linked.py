"""One network at several linked points, and safe bounds of what is linear in its neurons.

The points are linear in a few free ones: x, y and m = (x + y) / 2 for a pair, x itself for
the range of a neuron. Neurons that no point of the box switches are *stable*; of each other
one, its pre-activations z at the points and h = relu(z) lie in the convex hull of a few
*columns* (:mod:`jensen.midpoint.columns`). Relaxing the equations ``z = sum_j W_j h_j + b``
with multipliers v decomposes the maximum of an objective ``sum_j q_j h_j`` over the network:

    D(v) = sum v b + sum over neurons of max over columns (c h - v z) + max over the inputs,

with ``c_j = q_j + sum_k W_jk^T v_k``. Every v gives a true bound; rounding errors of its
evaluation are bounded and added. For stable neurons the best v is c, or 0.

References
----------
Bunel et al., "Lagrangian decomposition for neural network verification", UAI 2020, for
the decomposition with one point; docs/theory.md, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jensen.network.relu_network import INPUT
from jensen.types import BoolArray, FloatArray
from jensen_encodings import LayerData

EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)

PAIR = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])  # x, y, m by x and y
PAIR_WEIGHTS = np.array([-0.5, -0.5, 1.0])  # of f at x, y, m in the violation
SINGLE = np.ones((1, 1))


@dataclass(frozen=True, eq=False)
class Objective:
    """``constant + sum over sources and points of prices[source] * h[source]``.

    Attributes
    ----------
    prices : mapping from layer or ``"input"`` to array (size, points)
    constant : float
    """

    prices: Mapping[str, FloatArray]
    constant: float

    @classmethod
    def of_row(cls, layer: LayerData, index: int, weights: FloatArray) -> Objective:
        """Return ``sum_k weights[k] z_k`` of one neuron."""
        rows = {source: _dense(w)[index] for source, w in layer.weights.items()}
        prices = {source: row[:, None] * weights for source, row in rows.items()}
        return cls(prices, float(layer.bias[index] * weights.sum()))


@dataclass(frozen=True, eq=False)
class Columns:
    """What is left of the free neurons: hulls of points (z, h).

    Attributes
    ----------
    z : array (columns, points)
    own : int array (columns,)
        The neuron of each column, as an index into ``LinkedNetwork.free``; ascending.
    """

    z: FloatArray
    own: NDArray[np.intp]

    @property
    def h(self) -> FloatArray:
        """Post-activations, (columns, points)."""
        return np.maximum(self.z, 0.0)


@dataclass(frozen=True, eq=False)
class Cuts:
    """Rows ``sum hidden h - sum inputs x <= right`` that hold at all linked points.

    Attributes
    ----------
    hidden : array (cuts, free neurons, points)
    inputs : array (cuts, inputs, points)
    right : array (cuts,)
    """

    hidden: FloatArray
    inputs: FloatArray
    right: FloatArray

    @classmethod
    def none(cls, linked: LinkedNetwork, count: int = 0) -> Cuts:
        """Return no cuts, or so many that say nothing."""
        hidden, inputs = (count, len(linked.free)), (count, len(linked.input_lower))
        points = (linked.points,)
        return cls(np.zeros(hidden + points), np.zeros(inputs + points), np.zeros(count))

    def with_more(self, more: Cuts) -> Cuts:
        """Return these and more cuts."""
        return Cuts(
            np.concatenate([self.hidden, more.hidden]),
            np.concatenate([self.inputs, more.inputs]),
            np.concatenate([self.right, more.right]),
        )

    def only(self, some: BoolArray) -> Cuts:
        """Return some of the cuts."""
        return Cuts(self.hidden[some], self.inputs[some], self.right[some])

    def __len__(self) -> int:
        """Return the number of cuts."""
        return len(self.right)


@dataclass(frozen=True, eq=False)
class DenseLayer:
    """One layer: its neurons among all, its dense weights by source.

    Attributes
    ----------
    slack : array (size,)
        Bound of the rounding errors of ``W h + b``.
    """

    name: str
    span: slice
    weights: dict[str, FloatArray]
    bias: FloatArray
    slack: FloatArray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """D(v) for a batch of nodes, and where the maxima are attained.

    Attributes
    ----------
    bound : array (nodes,)
        True upper bounds; -inf where a neuron has no column left.
    z, h : arrays (nodes, free neurons, points)
    base : array (nodes, free points, inputs)
    """

    bound: FloatArray
    z: FloatArray
    h: FloatArray
    base: FloatArray


class LinkedNetwork:
    """The hidden layers of a network at linked points of a box.

    Parameters
    ----------
    lower, upper : arrays (inputs,)
    layers : sequence of LayerData
        Hidden layers in topological order, with rigorous bounds.
    links : array (points, free points)
    """

    def __init__(
        self, lower: FloatArray, upper: FloatArray, layers: Sequence[LayerData], links: FloatArray
    ) -> None:
        self.input_lower, self.input_upper, self.links = lower, upper, links
        self.points = len(links)
        self.spans: dict[str, slice] = {}
        start = 0
        for layer in layers:
            self.spans[layer.name] = slice(start, start + layer.size)
            start += layer.size
        self.neurons = start
        self.lower = np.concatenate([layer.lower for layer in layers] or [np.zeros(0)])
        self.upper = np.concatenate([layer.upper for layer in layers] or [np.zeros(0)])
        kinds = [np.full(layer.size, layer.is_relu) for layer in layers]
        relu = np.concatenate(kinds or [np.zeros(0, dtype=bool)])
        self.is_on = ~relu | (self.lower >= 0)
        self.is_off = relu & (self.upper <= 0) & ~self.is_on
        self.free: NDArray[np.intp] = np.flatnonzero(~self.is_on & ~self.is_off)
        reach = np.maximum(np.abs(self.lower), np.abs(self.upper))
        self.input_reach = np.maximum(np.abs(lower), np.abs(upper))
        self.magnitude = reach.copy()
        self.fan_in = 1
        self.layers = [self._dense(layer, reach) for layer in layers]
        self.bias = np.concatenate([layer.bias for layer in layers] or [np.zeros(0)])

    def _dense(self, layer: LayerData, reach: FloatArray) -> DenseLayer:
        weights = {source: _dense(w) for source, w in layer.weights.items()}
        size = np.abs(layer.bias)
        terms = 8
        for source, w in weights.items():
            size = size + np.abs(w) @ (
                self.input_reach if source == INPUT else reach[self.spans[source]]
            )
            terms += 2 * w.shape[1]
        span = self.spans[layer.name]
        # columns are computed from bounds, and may be off by a few roundings of this size
        self.magnitude[span] = np.maximum(self.magnitude[span], 4 * size)
        self.fan_in = max(self.fan_in, terms)
        return DenseLayer(layer.name, span, weights, layer.bias, terms * EPS * size)

    def collect(self, v: FloatArray, name: str, objective: Objective) -> FloatArray:
        """Return c, what all readers of a layer pay for its h: (nodes, size, points)."""
        span = self.spans.get(name, slice(0, len(self.input_lower)))
        total = np.zeros((v.shape[0], span.stop - span.start, self.points))
        if name in objective.prices:
            total += objective.prices[name]
        for layer in self.layers:
            if name in layer.weights:
                total += layer.weights[name].T @ v[:, layer.span]
        return total

    def complete(
        self, multipliers: FloatArray, objective: Objective
    ) -> tuple[FloatArray, FloatArray]:
        """Return v of all neurons from those of the free ones, and c: (nodes, neurons, points)."""
        v = np.zeros((len(multipliers), self.neurons, self.points))
        v[:, self.free] = multipliers
        c = np.zeros_like(v)
        for layer in reversed(self.layers):
            c[:, layer.span] = self.collect(v, layer.name, objective)
            on = np.flatnonzero(self.is_on[layer.span]) + layer.span.start
            v[:, on] = c[:, on]
        return v, c


class SafeDual:
    """D(v) of an objective over a linked network whose free neurons have the given columns.

    Parameters
    ----------
    linked : LinkedNetwork
    columns : Columns
    objective : Objective
    cuts : Cuts, optional

    Attributes
    ----------
    size : int
        Number of multipliers: one per free neuron and point, in C order, and per cut.
    """

    def __init__(
        self,
        linked: LinkedNetwork,
        columns: Columns,
        objective: Objective,
        cuts: Cuts | None = None,
    ) -> None:
        self.linked, self.columns, self.objective = linked, columns, objective
        self.cuts = Cuts.none(linked) if cuts is None else cuts
        self._of_free = len(linked.free) * linked.points
        self.size = self._of_free + len(self.cuts)
        counts = np.bincount(columns.own, minlength=len(linked.free))
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        place = np.arange(max(int(counts.max(initial=1)), 1))
        self._inside = place < counts[:, None]
        self._index = np.where(self._inside, starts[:, None] + place, 0).astype(np.intp)
        both = np.concatenate([columns.z, columns.h], axis=1).reshape(-1, 2 * linked.points)
        if not len(both):
            both = np.zeros((1, 2 * linked.points))
        self._table = np.moveaxis(both[self._index], 1, 2)  # (free, 2 points, places)
        reach = np.abs(self._table).max(axis=(1, 2), initial=0.0)
        self._magnitude = linked.magnitude.copy()
        self._magnitude[linked.free] = np.maximum(self._magnitude[linked.free], reach)

    def evaluate(self, multipliers: FloatArray, allowed: BoolArray) -> Evaluation:
        """Return D(v) for a batch of nodes.

        Parameters
        ----------
        multipliers : array (nodes, size)
            Those of cuts count where they are positive.
        allowed : bool array (nodes, columns)
        """
        net, cuts, count = self.linked, self.cuts, len(multipliers)
        mu = np.maximum(multipliers[:, self._of_free :], 0.0)
        own = multipliers[:, : self._of_free].reshape(count, len(net.free), net.points)
        v, c = net.complete(own, self.objective)
        value = np.einsum("bnc,n->b", v, net.bias) + self.objective.constant + mu @ cuts.right
        z = np.zeros((count, len(net.free), net.points))
        h = np.zeros_like(z)
        if len(net.free):
            paid = c[:, net.free] - np.tensordot(mu, cuts.hidden, axes=1)
            prices = np.concatenate([-own, paid], axis=-1)[:, :, None, :]
            totals = (prices @ self._table)[:, :, 0]
            totals = np.where(allowed[:, self._index] & self._inside, totals, -np.inf)
            pick = totals.argmax(axis=-1)
            node, neuron = np.indices(pick.shape, sparse=True)
            value = value + totals[node, neuron, pick].sum(axis=1)
            best = self._table[neuron, :, pick]
            z, h = best[..., : net.points], best[..., net.points :]
        q = net.collect(v, INPUT, self.objective) + np.tensordot(mu, cuts.inputs, axes=1)
        slope = np.einsum("bik,kp->bpi", q, net.links)
        base = np.where(slope > 0, net.input_upper, net.input_lower)
        value = value + (slope * base).sum(axis=(1, 2))
        return Evaluation(value + self._rounding(v, mu), z, h, base)

    def _rounding(self, v: FloatArray, mu: FloatArray) -> FloatArray:
        """Bound all rounding errors of one evaluation."""
        net, cuts = self.linked, self.cuts
        size = np.abs(v).sum(axis=2)
        paid = np.zeros_like(size)  # sum |W|^T |v|, at least |c|
        inputs = np.zeros((len(v), len(net.input_lower)))
        for layer in net.layers:
            for source, weight in layer.weights.items():
                to = inputs if source == INPUT else paid[:, net.spans[source]]
                to += size[:, layer.span] @ np.abs(weight)
        for source, prices in self.objective.prices.items():
            to = inputs if source == INPUT else paid[:, net.spans[source]]
            to += np.abs(prices).sum(axis=1)
        paid[:, net.free] += mu @ np.abs(cuts.hidden).sum(axis=2)
        inputs += mu @ np.abs(cuts.inputs).sum(axis=2)
        total = (paid + size) @ self._magnitude + size @ np.abs(net.bias)
        total = total + inputs @ net.input_reach + abs(self.objective.constant)
        total = total + mu @ np.abs(cuts.right)
        terms = net.fan_in + len(net.layers) + net.points * net.neurons + 16 + 2 * len(cuts)
        # products below the normal range have an absolute error, which others multiply
        tiny = TINY * (1 + self._magnitude.sum() + net.input_reach.sum())
        return np.asarray(terms * (8 * EPS * total + tiny))


def _dense(weight: object) -> FloatArray:
    dense = weight.toarray() if hasattr(weight, "toarray") else weight
    return np.ascontiguousarray(dense, dtype=np.float64)
