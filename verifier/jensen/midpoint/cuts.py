"""Cuts that tie neurons together through the inputs that they share.

The columns of a neuron know nothing of other neurons: a point in the middle of the box may
be as good as a corner for each of them, and for each as another corner. But sums of
post-activations with weights ``>= 0`` are convex in x where the neurons read nothing but
inputs, and therefore at most linear between the corners:

    sum_j p_j h_j <= s x + r,    r = max over corners v of sum_j p_j relu(W_j v + b_j) - s v.

This holds at x, y and m alike. The weights and slopes come from a linear program, and are
hints; r is computed from them so that the cut holds in real arithmetic.

References
----------
docs/theory.md, section 6. Hulls of several neurons in verification: Singh et al., "Beyond the
single neuron convex barrier for neural network certification", NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.midpoint.linked import EPS, Columns, Cuts, LinkedNetwork, Objective, SafeDual
from jensen.midpoint.relaxation import LinearRelaxation, Task
from jensen.network.relu_network import INPUT
from jensen.types import FloatArray
from jensen_encodings.columns import ColumnProgram, ColumnStatus
from jensen_encodings.deadline import NEVER, Deadline

CORNERS = 1 << 12  # of a box, beyond which there are no cuts
ROUNDS = 40
LEAST_VIOLATION = 1e-6  # of the reach of the neurons
STALL_ROUNDS, STALL_GAIN = 6, 1e-2  # stop if so many rounds lower the bound by less
IDLE_ROUNDS = 10  # after which a cut is dropped
LEAST_WEIGHT = 1e-9  # of 1, their sum

Cut = tuple[FloatArray, FloatArray, float]  # p, s and r


def root_cuts(
    linked: LinkedNetwork,
    columns: Columns,
    objective: Objective,
    enough: float = -np.inf,
    deadline: Deadline = NEVER,
) -> Cuts:
    """Return cuts that bring down the bound of the first node.

    Parameters
    ----------
    linked : LinkedNetwork
    columns : Columns
    objective : Objective
    enough : float
        A bound below which nothing more is needed.
    deadline : Deadline
    """
    cuts, idle = Cuts.none(linked), np.zeros(0, dtype=int)
    first = FirstNeurons(linked)
    if not first.count:
        return cuts
    relaxation = LinearRelaxation(SafeDual(linked, columns, objective))
    everything = np.ones(len(columns.own), dtype=bool)
    values: list[float] = []
    for _ in range(ROUNDS):
        task = Task(everything, np.zeros(relaxation.size))
        (found,) = relaxation.relax([task], -np.inf, deadline)
        if found.base is None or found.hidden is None:
            break
        paid = found.candidates[-1][relaxation.size - len(cuts) :]
        idle = np.where(paid > 0, 0, idle + 1)
        values.append(found.value)
        stalled = len(values) > STALL_ROUNDS and (
            values[-1 - STALL_ROUNDS] - values[-1] < STALL_GAIN * abs(values[-1])
        )
        if found.value <= enough or stalled:
            break
        more = first.violated(linked.links @ found.base, found.hidden)
        if not len(more):
            break
        relaxation.add_cuts(more)
        cuts, idle = cuts.with_more(more), np.concatenate([idle, np.zeros(len(more), dtype=int)])
    return cuts.only(idle < IDLE_ROUNDS)


class FirstNeurons:
    """The free neurons of a linked network that read inputs only; none if the box is too large.

    Attributes
    ----------
    place : int array (count,)
        Indices into ``LinkedNetwork.free``.
    """

    def __init__(self, linked: LinkedNetwork) -> None:
        self._linked = linked
        rows, bias, index = [], [], []
        for layer in linked.layers:
            if set(layer.weights) == {INPUT}:
                rows.append(layer.weights[INPUT])
                bias.append(layer.bias)
                index.append(np.arange(layer.span.start, layer.span.stop))
        mine = np.concatenate(index) if index else np.zeros(0, dtype=np.intp)
        free = np.isin(mine, linked.free)
        self.place = np.searchsorted(linked.free, mine[free])
        self.count = len(self.place)
        if not self.count:
            return
        self._W, self._b = np.concatenate(rows)[free], np.concatenate(bias)[free]
        size = np.abs(self._W) @ linked.input_reach + np.abs(self._b)
        terms = self._W.shape[1] + self.count + 8
        self._slack = 4 * terms * EPS * size  # of relu(W x + b), and of sums of such
        self._input_slack = 4 * terms * EPS * linked.input_reach
        self._least = LEAST_VIOLATION * float(size.max())
        self._moving = np.flatnonzero(linked.input_lower < linked.input_upper)
        self._bases: list[Any] = [None] * linked.points
        if 1 << len(self._moving) > CORNERS:
            self.count = 0
        else:
            self._prepare_hull()

    def violated(self, points: FloatArray, hidden: FloatArray) -> Cuts:
        """Return cuts that an estimate violates.

        Parameters
        ----------
        points : array (points, inputs)
        hidden : array (free neurons, points)
            Post-activations.
        """
        linked = self._linked
        points = np.clip(points, linked.input_lower, linked.input_upper)
        found = [self._separate(k, x, hidden[self.place, k]) for k, x in enumerate(points)]
        cuts = Cuts.none(linked, linked.points)
        for k, cut in enumerate(found):
            if cut is not None:
                cuts.hidden[k, self.place, k], cuts.inputs[k, :, k], cuts.right[k] = cut
        return cuts.only(np.array([cut is not None for cut in found]))

    def _prepare_hull(self) -> None:
        lower, upper = self._linked.input_lower, self._linked.input_upper
        count = 1 << len(self._moving)
        high = (np.arange(count)[:, None] >> np.arange(len(self._moving))) & 1
        self._corners = np.tile(lower, (count, 1))
        self._corners[:, self._moving] = np.where(high, upper[self._moving], lower[self._moving])
        self._at_corners = np.maximum(self._corners @ self._W.T + self._b, 0.0)
        # max t: a mean of corners is x, and its h are at least t above the given ones
        n, J = len(self._moving), self.count
        matrix = np.zeros((J + n + 1, 1 + count + J))
        matrix[:J, 0] = -1.0
        matrix[:J, 1 : 1 + count] = self._at_corners.T
        matrix[:J, 1 + count :] = -np.eye(J)
        matrix[J : J + n, 1 : 1 + count] = self._corners[:, self._moving].T
        matrix[-1, 1 : 1 + count] = 1.0
        cost = np.zeros(1 + count + J)
        cost[0] = 1.0
        wide = np.array([np.inf])
        self._hull = ColumnProgram(cost, sp.csr_array(matrix.T), np.zeros(J + n + 1), -wide, wide)

    def _separate(self, k: int, x: FloatArray, h: FloatArray) -> Cut | None:
        """Return the cut that point x with post-activations h violates most."""
        self._hull.set_right(np.concatenate([h, x[self._moving], [1.0]]))
        found = self._hull.solve_all(self._bases[k])
        self._bases[k] = found.basis
        if found.status is not ColumnStatus.OPTIMAL or found.value > -self._least:
            return None
        weights = -found.duals[: self.count]
        weights = np.where(weights > LEAST_WEIGHT, weights, 0.0)
        slopes = np.zeros(len(x))
        slopes[self._moving] = found.duals[self.count : -1]
        r = float((self._at_corners @ weights - self._corners @ slopes).max())
        r += float(weights @ self._slack + np.abs(slopes) @ self._input_slack)
        return (weights, slopes, r) if weights @ h - slopes @ x > r + self._least else None
