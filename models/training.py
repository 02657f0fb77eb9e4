"""Targets and training of the learned models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from networks import Icnn, Projected
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from torch import Tensor

FloatArray = NDArray[np.float64]
Target = Callable[[FloatArray], FloatArray]


def sample(rng: np.random.Generator, lower: FloatArray, upper: FloatArray, n: int) -> FloatArray:
    """Draw points of a box; a fifth of them on its corners and sides."""
    points = rng.uniform(lower, upper, size=(n, lower.size))
    stretched = lower + (upper - lower) * np.clip(
        1.6 * (points - lower) / (upper - lower) - 0.3, 0.0, 1.0
    )
    points[: n // 5] = stretched[: n // 5]
    return points


def fit(network: Projected, X: FloatArray, y: FloatArray, *, steps: int = 3000) -> float:
    """Train by Adam with full batches, projecting after every step.

    Parameters
    ----------
    network : Projected
    X : array of shape (n, inputs)
    y : array of shape (n,) or (n, outputs)
    steps : int

    Returns
    -------
    float
        Root mean square error relative to the spread of ``y``.
    """
    points = torch.tensor(X, dtype=torch.float32)
    values = torch.tensor(y.reshape(len(X), -1), dtype=torch.float32)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.mean((network(points) - values) ** 2)
        loss.backward()
        optimizer.step()
        schedule.step()
        network.project()
    with torch.no_grad():
        error = torch.sqrt(torch.mean((network(points) - values) ** 2))
        return float(error / values.std())


# ------------------------------------------------------------------------- targets


def log_sum_exp(X: FloatArray) -> FloatArray:
    """Smooth maximum of seven affine forms in 3 variables."""
    slopes = np.array(
        [[2, 0, 0], [-1, 1, 1], [0, -2, 1], [1, 1, -2], [-2, -1, 0], [0, 2, 1], [1, -1, 2]]
    )
    logits = X @ slopes.T + np.array([0.0, 0.3, -0.2, 0.1, 0.4, -0.3, 0.0])
    return np.asarray(np.logaddexp.reduce(logits, axis=1))


def tilted_bowl(X: FloatArray) -> FloatArray:
    """Quadratic plus a kink in 2 variables."""
    quadratic = 0.7 * X[:, 0] ** 2 + 0.4 * X[:, 1] ** 2 + 0.5 * X[:, 0] * X[:, 1]
    return np.asarray(quadratic + 0.5 * np.abs(X[:, 0] - 0.5 * X[:, 1]))


def portfolio_risk(X: FloatArray) -> FloatArray:
    """Return the deviation ``sqrt(w' S w + 0.01)`` of a portfolio of 5 positions."""
    factors = np.array(
        [[1.0, 0.8, 0.3, -0.2, 0.1], [0.2, -0.5, 0.9, 0.4, 0.0], [0.0, 0.1, -0.3, 0.6, 1.1]]
    )
    return np.asarray(np.sqrt(((X @ factors.T) ** 2).sum(axis=1) + 0.01))


def dispatch(X: FloatArray) -> FloatArray:
    """Fuel cost (convex) and emission rate (rippled) of three generators."""
    cost = (X**2 * [0.5, 0.8, 0.3]).sum(axis=1) + np.maximum(X.sum(axis=1) - 0.5, 0.0)
    emission = 0.6 * X.sum(axis=1) + 0.5 * np.sin(3.0 * X[:, 0]) - 0.4 * X[:, 1] ** 2
    return np.stack([cost, emission], axis=1)


@dataclass(frozen=True)
class RecedingHorizon:
    """Control of a double integrator over a horizon, as a bounded least-squares problem.

    ``V(x) = min_u ||A u + B x||^2 / scale`` over ``|u_k| <= 1``; V is convex and, where
    the active bounds do not change, quadratic.
    """

    horizon: int = 6
    step: float = 0.5
    scale: float = 20.0

    def matrices(self) -> tuple[FloatArray, FloatArray]:
        """Return (A, B) of the stacked stage costs."""
        F = np.array([[1.0, self.step], [0.0, 1.0]])
        G = np.array([[0.5 * self.step**2], [self.step]])
        state, response = np.eye(2), np.zeros((2, self.horizon))
        rows_x, rows_u = [], []
        for k in range(self.horizon):
            rows_x.append(state)
            rows_u.append(response.copy())
            state = F @ state
            response = F @ response
            response[:, [k]] += G
        rows_x += [2.0 * state, np.zeros((self.horizon, 2))]
        rows_u += [2.0 * response, 0.3 * np.eye(self.horizon)]
        return np.vstack(rows_u), np.vstack(rows_x)

    def value_and_slope(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Solve for one state; the slope is the multiplier form ``2 B'(A u + B x)``."""
        A, B = self.matrices()
        u = lsq_linear(A, -B @ x, bounds=(-1.0, 1.0), tol=1e-12).x
        residual = A @ u + B @ x
        return float(residual @ residual) / self.scale, 2.0 * (B.T @ residual) / self.scale

    def values(self, X: FloatArray) -> FloatArray:
        """Return V at every row."""
        return np.array([self.value_and_slope(x)[0] for x in X])


# --------------------------------------------------------------------------- needle


def corner_needle(network: Icnn, cut: float) -> None:
    """Turn a trained convex ICNN into one that is non-convex in one corner of [-1, 1]^d.

    Neuron 0 of the first layer is moved to the plane ``sum(x) = d - cut``, so that it
    acts in the corner (1, ..., 1) only. Its weight into the second-layer neuron that
    counts most there is made negative, its other weights zero: f bends down where it
    crosses that plane, and nowhere else, since no other path product changes its sign.
    """
    with torch.no_grad():
        inputs = network.skips[0].in_features
        first, second = network.skips[0], network.layers[0]
        first.weight[0] = 1.0
        first.bias[0] = cut - inputs
        second.weight[:, 0] = 0.0
        corner = torch.full((1, inputs), 1.0 - cut / inputs)
        h = torch.relu(first(corner))
        z = second(h) + network.skips[1](corner)
        weight: Tensor = network.layers[1].weight[0] * (z[0] > 0)
        second.weight[int(torch.argmax(weight)), 0] = -0.5
