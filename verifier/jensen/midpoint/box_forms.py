"""Affine bounds of all neurons on many small boxes at once, in scaled inputs.

The inputs are ``x = middle + reach t``, so that the box of the data is in ``-1 <= t <= 1``, and
halves of halves of it are exact in doubles. On each box every pre-activation lies between two
affine forms in t, carried forward through the layers: of a ReLU that the box does not decide the
upper form becomes the chord's, the lower one stays or becomes 0. All numbers in the forms
of a neuron are at most ``size``, and what was rounded on the way to them at most ``error``: both
are the same for all boxes.

References
----------
W. Xiang, H. Tran, T. Johnson, "Output reachable set estimation and verification for
multilayer neural networks", 2018, for the division of the input box;
G. Singh et al., "An abstract domain for certifying neural networks" (DeepPoly), POPL 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import UNIT, rounding_factor
from jensen.midpoint.linked import TINY
from jensen.network.relu_network import INPUT
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings import NetworkData

Form = tuple[FloatArray, FloatArray]  # lower, upper: (boxes, 1 + inputs, neurons)


@dataclass(frozen=True, eq=False)
class ScaledLayer:
    """A layer over the scaled inputs.

    Attributes
    ----------
    weights : dict from source to array (neurons, of the source)
    split : dict from source to the positive and the negative part of its weights, transposed
    slopes : array (inputs, neurons), or None
        Of a layer that reads inputs only.
    span : slice
        Of its neurons among those of all ReLU layers.
    size, error : arrays (neurons,)
        Of the forms of z.
    """

    name: str
    is_relu: bool
    weights: dict[str, FloatArray]
    split: dict[str, tuple[FloatArray, FloatArray]]
    bias: FloatArray
    slopes: FloatArray | None
    span: slice
    size: FloatArray
    error: FloatArray


@dataclass(frozen=True, eq=False)
class Enclosed:
    """What is known on boxes.

    Attributes
    ----------
    lower, upper : arrays (boxes, 1 + inputs)
        Forms of the output: the value at the centre, the slopes in t.
    low, high : arrays (boxes, neurons of all ReLU layers)
        True bounds of z.
    """

    lower: FloatArray
    upper: FloatArray
    low: FloatArray
    high: FloatArray

    def only(self, rows: IndexArray | BoolArray) -> Enclosed:
        """Return what is known of some of the boxes."""
        return Enclosed(self.lower[rows], self.upper[rows], self.low[rows], self.high[rows])


class BoxForms:
    """A network over scaled inputs.

    Parameters
    ----------
    data : NetworkData
        With numbers far from the ends of the range of doubles.
    """

    def __init__(self, data: NetworkData) -> None:
        lower, upper = data.input_lower, data.input_upper
        self.middle = lower / 2 + upper / 2
        reach = np.nextafter(np.maximum(upper - self.middle, self.middle - lower), np.inf)
        self.reach: FloatArray = np.where(lower == upper, 0.0, reach)
        sizes = {INPUT: np.abs(self.middle) + self.reach}
        errors = {INPUT: 4 * UNIT * sizes[INPUT] + TINY}
        self.layers: list[ScaledLayer] = []
        units, inputs = 0, len(lower)
        for layer in data.layers:
            weights = {source: w.toarray() for source, w in layer.csr.items()}
            size, error = np.abs(layer.bias) + TINY, np.zeros(layer.size)
            for source, weight in weights.items():
                size = size + np.abs(weight) @ sizes[source]
                error = error + np.abs(weight) @ errors[source]
            terms = sum(w.shape[1] for w in weights.values()) + inputs + 8
            # of value and slopes, and of the range that is taken from them, twice each
            error = error + 4 * rounding_factor(terms) * size + terms * TINY
            # lines of a ReLU: a few roundings more
            sizes[layer.name] = size
            errors[layer.name] = error + 16 * UNIT * size if layer.is_relu else error
            slopes = None
            if set(weights) <= {INPUT}:
                first = weights.get(INPUT, np.zeros((layer.size, inputs)))
                slopes = np.ascontiguousarray((first * self.reach).T)
            here = layer.size if layer.is_relu else 0
            self.layers.append(
                ScaledLayer(
                    layer.name,
                    layer.is_relu,
                    weights,
                    {s: (np.maximum(w, 0).T, np.minimum(w, 0).T) for s, w in weights.items()},
                    layer.bias,
                    slopes,
                    slice(units, units + here),
                    size,
                    error,
                )
            )
            units += here
        self.units = units

    @property
    def output(self) -> ScaledLayer:
        """The output."""
        return self.layers[-1]

    def points(self, t: FloatArray) -> FloatArray:
        """Return the inputs of scaled ones, rounded."""
        return np.asarray(self.middle + self.reach * t)

    def enclose(self, centre: FloatArray, half: FloatArray) -> Enclosed:
        """Bound all neurons on boxes.

        Parameters
        ----------
        centre, half : arrays (boxes, inputs)
            In t, so that ``|centre| + half <= 1``, without rounding.
        """
        low, high = np.zeros((2, len(centre), self.units))
        passed = {INPUT: self._inputs(centre)}
        form = passed[INPUT]
        for layer in self.layers:
            form = self._affine(layer, passed, centre)
            if layer.is_relu:
                low[:, layer.span] = _end(form[0], half, -1.0) - layer.error
                high[:, layer.span] = _end(form[1], half, 1.0) + layer.error
                form = _through_relu(form, low[:, layer.span], high[:, layer.span])
            passed[layer.name] = form
        return Enclosed(form[0][:, :, 0], form[1][:, :, 0], low, high)

    def _inputs(self, centre: FloatArray) -> Form:
        form = np.zeros((len(centre), 1 + len(self.reach), len(self.reach)))
        form[:, 0] = self.points(centre)
        form[:, 1:] = np.diag(self.reach)
        return form, form

    def _affine(self, layer: ScaledLayer, passed: dict[str, Form], centre: FloatArray) -> Form:
        boxes, inputs = centre.shape
        shape = boxes, 1 + inputs, len(layer.bias)
        lower = np.zeros(shape)
        if layer.slopes is not None:
            lower[:, 1:] = layer.slopes
            lower[:, 0] = layer.bias
            for source, weight in layer.weights.items():
                lower[:, 0] += passed[source][0][:, 0] @ weight.T
            return lower, lower
        upper = np.zeros(shape)
        lower[:, 0] = upper[:, 0] = layer.bias
        for source, (positive, negative) in layer.split.items():
            flat = [part.reshape(boxes * (1 + inputs), -1) for part in passed[source]]
            lower += (flat[0] @ positive + flat[1] @ negative).reshape(shape)
            upper += (flat[1] @ positive + flat[0] @ negative).reshape(shape)
        return lower, upper


def _end(form: FloatArray, half: FloatArray, side: float) -> FloatArray:
    """Return the least or the largest value of forms on their boxes, rounded."""
    return np.asarray(form[:, 0] + side * np.einsum("bdn,bd->bn", np.abs(form[:, 1:]), half))


def _through_relu(form: Form, low: FloatArray, high: FloatArray) -> Form:
    lower, upper = form
    steep, offset = chord(low, high)
    above = upper * steep[:, None]
    above[:, 0] += offset
    return lower * tangent(low, high)[:, None], above


def chord(low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return slope and offset of a line above relu on [low, high]."""
    free = (low < 0) & (high > 0)
    steep = np.where(free, high / np.where(free, high - low, 1.0), low >= 0)
    return steep, np.where(free, -steep * low, 0.0)


def tangent(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the slope, 0 or 1, of a line through 0 below relu on [low, high]."""
    free = (low < 0) & (high > 0)
    return np.where(free, low + high > 0, low >= 0).astype(np.float64)
