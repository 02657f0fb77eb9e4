"""Intervals of first and second derivatives of the functions that nodes apply.

What is claimed for an interval of arguments holds at every point of it where the derivative exists.
A kink counts in the second derivative: it is without bound upwards where the function bends
up, and downwards where it bends down (docs/smooth.md, "Curvature on boxes").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jensen.graphs.functions import RULES, Function
from jensen.graphs.shapes import MARGIN, outward
from jensen.graphs.valleys import sigmoid
from jensen.types import FloatArray, Interval

Curve = Callable[[FloatArray], FloatArray]
Rule = Callable[[FloatArray, FloatArray, float], "Derivatives"]
Derivatives = tuple[Interval, Interval]  # of the first and of the second one

_SLACK = 8 * MARGIN  # of curves of size one: more than their rounding errors
_NEAR = 1e-6  # how far from where a curve turns its turning point counts as met


@dataclass(frozen=True)
class Turning:
    """A smooth bounded curve that is monotone between finitely many turning points.

    Attributes
    ----------
    values : callable
    turns : tuple of float
        Where it turns, up to 1e-8: there the curve is flat, and such an error does not count.
    limits : (float, float)
        At minus and plus infinity.
    least, most : float
        Bounds that hold exactly.
    """

    values: Curve
    turns: tuple[float, ...]
    limits: tuple[float, float]
    least: float = -np.inf
    most: float = np.inf

    def enclosure(self, lower: FloatArray, upper: FloatArray) -> Interval:
        """Return bounds between two ends, which may be infinite."""
        with np.errstate(all="ignore"):
            ends = [
                np.where(side == -np.inf, self.limits[0], self.values(side))
                for side in (lower, upper)
            ]
        ends[1] = np.where(upper == np.inf, self.limits[1], ends[1])
        ends[0] = np.where(lower == np.inf, self.limits[1], ends[0])
        low, high = np.minimum(*ends), np.maximum(*ends)
        for turn in self.turns:
            value = float(self.values(np.array(turn)))
            met = (lower <= turn + _NEAR) & (upper >= turn - _NEAR)
            low = np.where(met, np.minimum(low, value), low)
            high = np.where(met, np.maximum(high, value), high)
        return np.maximum(low - _SLACK, self.least), np.minimum(high + _SLACK, self.most)


def _normal(z: FloatArray) -> FloatArray:
    density: FloatArray = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return density


def _normal_below(z: FloatArray) -> FloatArray:
    from scipy.special import ndtr  # noqa: PLC0415  (takes as long to import as half of NumPy)

    return np.asarray(ndtr(z))


def _logistic(z: FloatArray) -> FloatArray:
    return sigmoid(z) * sigmoid(-z)


_SIGMOID_TURN = float(np.log(2 + np.sqrt(3)))
_TANH_TURN = _SIGMOID_TURN / 2
_ERF_TURN = float(np.sqrt(0.5))
_SQRT2 = float(np.sqrt(2))
_SILU_FLAT = 2.399357280520547  # where its second derivative vanishes
_SILU_LEAST = 3.435840993535111  # where its second derivative is least

_FIRST = {
    Function.SOFTPLUS: Turning(sigmoid, (), (0, 1), 0, 1),
    Function.SIGMOID: Turning(_logistic, (0.0,), (0, 0), 0, 0.25),
    Function.TANH: Turning(lambda z: 4 * _logistic(2 * z), (0.0,), (0, 0), 0, 1),
    Function.ERF: Turning(lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z), (0.0,), (0, 0), 0),
    Function.GELU: Turning(lambda z: _normal_below(z) + z * _normal(z), (-_SQRT2, _SQRT2), (0, 1)),
    Function.SILU: Turning(
        lambda z: sigmoid(z) * (1 + z * sigmoid(-z)), (-_SILU_FLAT, _SILU_FLAT), (0, 1)
    ),
}
_SECOND = {
    Function.SOFTPLUS: Turning(_logistic, (0.0,), (0, 0), 0, 0.25),
    Function.SIGMOID: Turning(
        lambda z: _logistic(z) * (1 - 2 * sigmoid(z)), (-_SIGMOID_TURN, _SIGMOID_TURN), (0, 0)
    ),
    Function.TANH: Turning(
        lambda z: -8 * np.tanh(z) * _logistic(2 * z), (-_TANH_TURN, _TANH_TURN), (0, 0)
    ),
    Function.ERF: Turning(
        lambda z: -4 / np.sqrt(np.pi) * z * np.exp(-z * z), (-_ERF_TURN, _ERF_TURN), (0, 0)
    ),
    Function.GELU: Turning(lambda z: _normal(z) * (2 - z * z), (-2.0, 0.0, 2.0), (0, 0)),
    Function.SILU: Turning(
        lambda z: _logistic(z) * (2 - z * np.tanh(z / 2)), (-_SILU_LEAST, 0.0, _SILU_LEAST), (0, 0)
    ),
}


def derivatives(
    function: Function, parameter: float, lower: FloatArray, upper: FloatArray
) -> Derivatives | None:
    """Return bounds of the first and of the second derivative, elementwise.

    Parameters
    ----------
    function : Function
        Of one number.
    parameter : float
    lower, upper : arrays of one shape
        Ends of the intervals of arguments.

    Returns
    -------
    (lower, upper), (lower, upper), or None
        Infinite where nothing is known. None for functions of several arguments.

    Examples
    --------
    >>> first, second = derivatives(Function.RELU, 1.0, np.array([-1.0, 1.0]), np.array([2.0, 2.0]))
    >>> [side.tolist() for side in (*first, *second)]
    [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [inf, 0.0]]
    """
    if function in _FIRST:
        return _FIRST[function].enclosure(lower, upper), _SECOND[function].enclosure(lower, upper)
    rule = _RULES.get(function)
    return None if rule is None else rule(lower, upper, parameter)


def _of_identity(lower: FloatArray, upper: FloatArray, _: float) -> Derivatives:
    ones, zeros = np.ones_like(lower), np.zeros_like(lower)
    return (ones, ones), (zeros, zeros)


def _of_relu(lower: FloatArray, upper: FloatArray, _: float) -> Derivatives:
    zeros = np.zeros_like(lower)
    return _with_a_kink(lower, upper, (zeros, zeros), (zeros, zeros), 0.0)


def _of_exp(lower: FloatArray, upper: FloatArray, parameter: float) -> Derivatives:
    values = RULES[Function.EXP].enclosure(lower, upper, parameter)
    return values, values


def _exponential_below(
    lower: FloatArray, upper: FloatArray, slope: float, scale: float
) -> Derivatives:
    """Return what ELU and CELU have: ``slope exp(z / scale)`` below 0, and 1 above."""
    with np.errstate(all="ignore"):
        low, high = (slope * np.exp(np.minimum(side, 0) / scale) for side in (lower, upper))
    first = outward(low, high)
    first = np.maximum(first[0], 0.0), first[1]
    with np.errstate(all="ignore"):
        second = outward(first[0] / scale, first[1] / scale)
    return _with_a_kink(lower, upper, first, (np.maximum(second[0], 0.0), second[1]), slope)


def _with_a_kink(
    lower: FloatArray, upper: FloatArray, first: Interval, second: Interval, before: float
) -> Derivatives:
    """Return the bounds of a function of slope 1 above 0, from those of its part below 0.

    Parameters
    ----------
    lower, upper : arrays
    first, second : (lower, upper)
        Of the derivatives below 0.
    before : float
        The slope just below 0.
    """
    above, below = lower > 0, upper < 0
    slope = tuple(
        np.where(above, 1.0, np.where(below, side, join(side, 1.0)))
        for side, join in zip(first, (np.minimum, np.maximum), strict=True)
    )
    least = np.where(below, second[0], np.minimum(second[0], 0.0))
    most = np.where(below, second[1], np.maximum(second[1], 0.0))
    meets = (lower <= 0) & (upper >= 0)  # also at an end: boxes share their sides
    if before < 1:
        most = np.where(meets, np.inf, most)
    elif before > 1:
        least = np.where(meets, -np.inf, least)
    return (slope[0], slope[1]), (np.where(above, 0.0, least), np.where(above, 0.0, most))


def _of_power(lower: FloatArray, upper: FloatArray, parameter: float) -> Derivatives:
    exponent = int(parameter)

    def times_power(factor: int, k: int) -> Interval:
        if k == 0:
            return np.full_like(lower, factor), np.full_like(lower, factor)
        low, high = RULES[Function.POWER].enclosure(lower, upper, float(k))
        with np.errstate(all="ignore"):
            moved = outward(factor * low, factor * high)
        return (np.maximum(moved[0], 0.0), moved[1]) if k % 2 == 0 else moved

    return (
        times_power(exponent, exponent - 1),
        times_power(exponent * (exponent - 1), exponent - 2),
    )


def _monotone(first: Curve, second: Curve, *, two_sided: bool = False) -> Rule:
    """Return the rule of derivatives that are monotone above 0, or on either side of it."""

    def rule(lower: FloatArray, upper: FloatArray, _: float) -> Derivatives:
        fits = (lower > 0) | ((upper < 0) & two_sided)
        results = []
        for curve in (first, second):
            with np.errstate(all="ignore"):
                ends = curve(lower), curve(upper)
            low, high = outward(np.minimum(*ends), np.maximum(*ends))
            results.append((np.where(fits, low, -np.inf), np.where(fits, high, np.inf)))
        return results[0], results[1]

    return rule


_RULES: dict[Function, Rule] = {
    Function.IDENTITY: _of_identity,
    Function.RELU: _of_relu,
    Function.ELU: lambda low, high, alpha: _exponential_below(low, high, alpha, 1.0),
    Function.CELU: lambda low, high, alpha: _exponential_below(low, high, 1.0, alpha),
    Function.EXP: _of_exp,
    Function.POWER: _of_power,
    Function.LOG: _monotone(lambda z: 1 / z, lambda z: -1 / z**2),
    Function.SQRT: _monotone(lambda z: 0.5 / np.sqrt(z), lambda z: -0.25 / (z * np.sqrt(z))),
    Function.RECIPROCAL: _monotone(lambda z: -1 / z**2, lambda z: 2 / z**3, two_sided=True),
}
