"""Least squares in place of the distance to the old weights: fit data under the same rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.doubles import refuse_masked
from jensen.errors import OptionError
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.repairs.features import Features
from jensen.repairs.program import Objective
from jensen.types import FloatArray

RIDGE = 1e-8  # of the mean squared features: keeps weights that the data leave open


class Refit:
    """The mean squared error on data as a function of output weights and bias.

    Parameters
    ----------
    features : Features
    whole : ReluNetwork or FunctionGraph
        What is to fit: the network of the features, or that plus a quadratic form.
    X, y : arrays (n, inputs) and (n,)
    sign : float
        -1 where features and whole belong to ``-f``.

    Raises
    ------
    OptionError
        If the data do not fit the network, or are not finite.
    """

    def __init__(
        self,
        features: Features,
        whole: ReluNetwork | FunctionGraph,
        X: ArrayLike,
        y: ArrayLike,
        *,
        sign: float,
    ) -> None:
        try:
            refuse_masked(X)
            refuse_masked(y)
            points = np.asarray(X, dtype=np.float64)
            values = sign * np.asarray(y, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise OptionError(f"data: not numbers ({error})") from None
        inputs = features.network.input_size
        if points.ndim != 2 or points.shape[1] != inputs or len(points) != len(values):
            raise OptionError(
                f"data of shapes {points.shape} and {values.shape}: "
                f"needed are (n, {inputs}) and (n,)"
            )
        if not len(points) or not (np.isfinite(points).all() and np.isfinite(values).all()):
            raise OptionError("data: at least one point, and finite numbers, are needed")
        with np.errstate(over="ignore", invalid="ignore"):
            self._set_up(features, whole(points)[:, 0], points, values)

    def _set_up(
        self, features: Features, reached: FloatArray, points: FloatArray, values: FloatArray
    ) -> None:
        phi = features(points)
        self._design = np.hstack([phi, np.ones((len(points), 1))])
        old = np.append(features.weights, features.network.output.bias)
        self._target = values - (reached - self._design @ old)
        self.spread = float(np.std(values))
        gram = self._design.T @ self._design / len(points)
        if not (np.isfinite(gram).all() and np.isfinite(self._target).all()):
            raise OptionError("data: the network's values there are too large for least squares")
        ridge = RIDGE * float(np.trace(gram)) * np.eye(len(old))
        factor = np.linalg.cholesky(gram + ridge).T
        right = self._design.T @ self._target / len(points) + ridge @ old
        best = np.asarray(np.linalg.solve(gram + ridge, right), dtype=np.float64)
        self.objective = Objective(best, np.asarray(factor, dtype=np.float64))

    def error(self, weights: FloatArray) -> float:
        """Return the root of the mean squared error under output weights and bias."""
        return float(np.sqrt(np.mean((self._design @ weights - self._target) ** 2)))
