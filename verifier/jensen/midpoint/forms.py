"""Affine layers and stable neurons substituted: what remains are the free neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.midpoint.linked import LinkedNetwork, Objective
from jensen.network.relu_network import INPUT
from jensen.types import FloatArray


class LinearForms:
    """z of the free neurons by the inputs and the h of free neurons in front.

    ``z = inputs x + hidden h + constant`` at every point; in floating point, for hints.
    """

    def __init__(self, linked: LinkedNetwork) -> None:
        size, free = len(linked.input_lower), len(linked.free)
        place = np.full(linked.neurons, -1)
        place[linked.free] = np.arange(free)
        self._passed: dict[str, tuple[Any, Any, FloatArray]] = {
            INPUT: (sp.eye_array(size), sp.csr_array((size, free)), np.zeros(size))
        }
        self.inputs, self.hidden = np.zeros((free, size)), np.zeros((free, free))
        self.constant = np.zeros(free)
        self._links = linked.links
        for layer in linked.layers:
            form = self._sum(layer.weights, layer.bias)
            at = place[layer.span]
            mine = at >= 0
            self.inputs[at[mine]], self.hidden[at[mine]] = form[0][mine], form[1][mine]
            self.constant[at[mine]] = form[2][mine]
            on = linked.is_on[layer.span]
            inputs, hidden = form[0] * on[:, None], form[1] * on[:, None]
            hidden[mine, at[mine]] = 1.0
            self._passed[layer.name] = inputs, hidden, form[2] * on

    def _sum(self, rows: Any, constant: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        inputs: Any = np.zeros((len(constant), self.inputs.shape[1]))
        hidden: Any = np.zeros((len(constant), self.inputs.shape[0]))
        for source, weight in rows.items():
            a, b, c = self._passed[source]
            inputs, hidden = inputs + weight @ a, hidden + weight @ b
            constant = constant + weight @ c
        return inputs, hidden, constant

    def needed(self, k: int) -> Any:
        """Return the neurons whose equation at point k does not follow from other points'.

        At a convex combination of earlier points the columns of neurons that are affine
        in x are that combination already.
        """
        if k < self._links.shape[1]:
            return np.arange(len(self.hidden))
        return np.flatnonzero(self.hidden.any(axis=1))

    def objective(self, objective: Objective) -> tuple[FloatArray, FloatArray, float]:
        """Return prices of the inputs and of the free h, (…, points), and the constant."""
        points = len(self._links)
        inputs = np.zeros((self.inputs.shape[1], points))
        hidden = np.zeros((self.inputs.shape[0], points))
        constant = objective.constant
        for source, prices in objective.prices.items():
            a, b, c = self._passed[source]
            inputs, hidden = inputs + a.T @ prices, hidden + b.T @ prices
            constant += float((c @ prices).sum())
        return inputs, hidden, constant
