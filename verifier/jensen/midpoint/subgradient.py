"""Multipliers for networks that are too wide for a linear program per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jensen.midpoint.linked import SafeDual
from jensen.midpoint.relaxation import Relaxed, Task
from jensen.network.relu_network import INPUT
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import NEVER, Deadline

FIRST, LATER = 200, 40  # iterations for the first node, and for all others
MOMENTUM = 0.4
AVERAGING = 0.15


class SubgradientRelaxation:
    """Multipliers by a subgradient method: a weaker bound, at a cost linear in the weights.

    Parameters
    ----------
    dual : SafeDual
        Without cuts.
    """

    def __init__(self, dual: SafeDual) -> None:
        self._dual = dual
        self._iterations = FIRST
        linked = dual.linked
        width = np.maximum(linked.upper - linked.lower, 1e-12)[linked.free]
        self._scale = np.repeat(1.0 / width, linked.points)

    def relax(
        self, tasks: Sequence[Task], target: float, deadline: Deadline = NEVER
    ) -> list[Relaxed]:
        """Improve the parents' multipliers; see :class:`Relaxation`."""
        return [self._improve(task.allowed, task.parent, target, deadline) for task in tasks]

    def _improve(
        self, allowed: BoolArray, parent: FloatArray, target: float, deadline: Deadline
    ) -> Relaxed:
        v, best, best_v = parent[None].copy(), np.inf, parent
        z_mean = h_mean = base_mean = None
        direction: Any = 0.0
        relax, stall = 1.0, 0
        for step in range(self._iterations):
            found = self._dual.evaluate(v, allowed[None])
            value = float(found.bound[0])
            if value < best - 1e-12:
                best, best_v, stall = value, v[0], 0
            else:
                stall += 1
            weight = max(AVERAGING, 1.0 / (step + 1))
            if z_mean is None or h_mean is None or base_mean is None:
                z_mean, h_mean, base_mean = found.z[0], found.h[0], found.base[0]
            z_mean = z_mean + weight * (found.z[0] - z_mean)
            h_mean = h_mean + weight * (found.h[0] - h_mean)
            base_mean = base_mean + weight * (found.base[0] - base_mean)
            if best <= target or not np.isfinite(value):
                break
            if deadline.over():
                break
            if stall >= 4:
                relax, stall = relax * 0.6, 0
            direction = self._residual(found).reshape(1, -1) + MOMENTUM * direction
            scaled = direction * self._scale
            size = relax * max(value - target, 0.0) / max(float((scaled**2).sum()), 1e-300)
            v = v - size * scaled * self._scale
        self._iterations = LATER
        if best <= target or z_mean is None or h_mean is None:
            return Relaxed(best, best_v[None])
        linked = self._dual.linked
        own = best_v.reshape(1, len(linked.free), linked.points)
        prices = linked.complete(own, self._dual.objective)[1][0, linked.free]
        score = np.abs((h_mean - np.maximum(z_mean, 0)) * prices)
        return Relaxed(best, best_v[None], score, base_mean, h_mean)

    def _residual(self, found: Any) -> FloatArray:
        """Return ``W h + b - z``, a subgradient: (nodes, free neurons, points)."""
        linked = self._dual.linked
        h = np.zeros((len(found.h), linked.neurons, linked.points))
        z = np.zeros_like(h)
        h[:, linked.free] = found.h
        inputs = np.einsum("bpi,kp->bik", found.base, linked.links)
        for layer in linked.layers:
            total = np.zeros((len(h), len(layer.bias), linked.points)) + layer.bias[:, None]
            for source, weight in layer.weights.items():
                total += weight @ (inputs if source == INPUT else h[:, linked.spans[source]])
            z[:, layer.span] = total
            on = np.flatnonzero(linked.is_on[layer.span]) + layer.span.start
            h[:, on] = z[:, on]
        return np.asarray(z[:, linked.free] - found.z)
