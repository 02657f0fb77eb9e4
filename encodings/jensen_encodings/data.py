"""What an encoding needs to know of a network: arrays, and true bounds on every neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen_encodings.errors import EncodingError, UnboundedNeuronError
from jensen_encodings.types import FloatArray

Matrix = Any  # a float64 array or a scipy.sparse.csr_array, which has no type stubs

INPUT = "input"


@dataclass(frozen=True, eq=False)
class LayerData:
    """One block of neurons: ``z = sum_j weights[j] @ h_j + bias``.

    ``h = max(z, 0)`` if ``is_relu``, else ``h = z``.

    Attributes
    ----------
    name : str
    weights : mapping from layer name, or ``"input"``, to a matrix of shape (size, source size)
        Dense or sparse.
    bias : array of shape (size,)
    is_relu : bool
    lower, upper : arrays of shape (size,)
        Bounds on z that hold on the whole input domain. They become big-M constants, so a
        bound that is too tight cuts off points of the network.

    Examples
    --------
    >>> layer = LayerData("relu_1", {"input": np.array([[1.0], [1.0]])}, np.array([0.0, 5.0]), True,
    ...     np.array([-1.0, 4.0]), np.array([1.0, 6.0]))
    >>> layer.unstable()
    [0]
    """

    name: str
    weights: Mapping[str, Matrix]
    bias: FloatArray
    is_relu: bool
    lower: FloatArray
    upper: FloatArray

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.bias.shape[0])

    @cached_property
    def csr(self) -> dict[str, sp.csr_array]:
        """The weights by rows."""
        return {source: sp.csr_array(weight) for source, weight in self.weights.items()}

    def unstable(self) -> list[int]:
        """Return the neurons that can be on and off.

        Returns
        -------
        list of int
        """
        if not self.is_relu:
            return []
        return [int(i) for i in np.flatnonzero((self.lower < 0) & (self.upper > 0))]


@dataclass(frozen=True, eq=False)
class NetworkData:
    """A ReLU network as arrays, its layers in topological order, on a box of inputs.

    The last layer is the output: affine, with one neuron.

    Raises
    ------
    EncodingError
        For mismatching shapes, unknown sources or an output that is not one affine neuron.
    UnboundedNeuronError
        For a layer or an input without finite bounds.

    Examples
    --------
    >>> one = np.ones(1)
    >>> relu = LayerData("relu", {"input": np.eye(1)}, 0 * one, True, -one, one)
    >>> out = LayerData("output", {"relu": np.eye(1)}, 0 * one, False, 0 * one, one)
    >>> NetworkData(-one, one, (relu, out)).evaluate([[0.25], [-0.5]])
    array([0.25, 0.  ])
    >>> NetworkData(-one, one, (relu, out)).evaluate_layers([[0.25]])["relu"].tolist()
    [[0.25]]
    """

    input_lower: FloatArray
    input_upper: FloatArray
    layers: tuple[LayerData, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise EncodingError("a network needs at least its output layer")
        sizes = {INPUT: self.input_size}
        _check_bounds(INPUT, self.input_lower, self.input_upper, self.input_size)
        for layer in self.layers:
            if layer.name in sizes:
                raise EncodingError(f"two layers are called {layer.name!r}")
            _check_bounds(layer.name, layer.lower, layer.upper, layer.size)
            for source, weight in layer.weights.items():
                if source not in sizes:
                    raise EncodingError(
                        f"layer {layer.name!r} reads {source!r}, which no earlier layer is called"
                    )
                if tuple(weight.shape) != (layer.size, sizes[source]):
                    raise EncodingError(
                        f"layer {layer.name!r}: weight from {source!r} has shape "
                        f"{tuple(weight.shape)}, needed is ({layer.size}, {sizes[source]})"
                    )
            sizes[layer.name] = layer.size
        if self.output.is_relu or self.output.size != 1:
            raise EncodingError("the last layer must be affine with one neuron: pick an output")

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return int(self.input_lower.shape[0])

    @property
    def output(self) -> LayerData:
        """The affine output layer."""
        return self.layers[-1]

    def evaluate_layers(self, X: object) -> dict[str, FloatArray]:
        """Return z of every layer in floating point: name -> (points, size).

        Parameters
        ----------
        X : array of shape (points, inputs)

        Returns
        -------
        dict from name to array of shape (points, size)
        """
        values = {INPUT: np.asarray(X, dtype=np.float64).reshape(-1, self.input_size)}
        result = {}
        for layer in self.layers:
            z = np.broadcast_to(layer.bias, (values[INPUT].shape[0], layer.size)).copy()
            for source, weight in layer.weights.items():
                z += values[source] @ weight.T
            result[layer.name] = z
            values[layer.name] = np.maximum(z, 0.0) if layer.is_relu else z
        return result

    def evaluate(self, X: object) -> FloatArray:
        """Evaluate f in floating point: (points, inputs) -> (points,).

        Parameters
        ----------
        X : array of shape (points, inputs)

        Returns
        -------
        array of shape (points,)
        """
        return self.evaluate_layers(X)[self.output.name][:, 0]


def _check_bounds(name: str, lower: FloatArray, upper: FloatArray, size: int) -> None:
    if lower.shape != (size,) or upper.shape != (size,):
        raise EncodingError(f"layer {name!r}: bounds must be two vectors of {size} numbers")
    for index in range(size):
        if not (np.isfinite(lower[index]) and np.isfinite(upper[index])):
            raise UnboundedNeuronError(
                f"{name}[{index}] has the bounds [{lower[index]}, {upper[index]}]: a big-M "
                "formulation needs finite ones; bound the inputs by a box"
            )
        if lower[index] > upper[index]:
            raise EncodingError(
                f"{name}[{index}] has the lower bound {lower[index]} above {upper[index]}"
            )
