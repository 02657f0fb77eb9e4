"""``z Phi(z)`` and ``z sigmoid(z)``: they fall, then rise, and bend upwards in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.graphs.shapes import MARGIN, TINY, Enclosure, Shape, ShapeOf, Values
from jensen.types import FloatArray, Interval


def sigmoid(z: FloatArray, _: float = 1.0) -> FloatArray:
    """Return ``1 / (1 + exp(-z))`` without overflow."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


@dataclass(frozen=True)
class Valley:
    """What is known of ``z Phi(z)`` or ``z sigmoid(z)``, proved in docs/smooth.md.

    Attributes
    ----------
    falls, rises : float
        It is nonincreasing up to the first and nondecreasing from the second on.
    least : float
        No value is less.
    bowl, flat : float
        It is convex where ``|z| <= bowl``, and concave on either side where ``|z| >= flat``.
    """

    falls: float
    rises: float
    least: float
    bowl: float
    flat: float


GELU = Valley(-0.7518, -0.7517, -0.169971211, 1.414213562, 1.414213563)
SILU = Valley(-1.2785, -1.2784, -0.278464545, 2.3993, 2.3994)


def gelu(z: FloatArray, _: float) -> FloatArray:
    """Return ``z Phi(z)``, Phi the normal distribution."""
    from scipy.special import ndtr  # noqa: PLC0415  (takes as long to import as half of NumPy)

    with np.errstate(invalid="ignore"):
        return np.where(z == -np.inf, 0.0, z * ndtr(z))


def silu(z: FloatArray, _: float) -> FloatArray:
    """Return ``z sigmoid(z)``."""
    with np.errstate(invalid="ignore"):
        return np.where(z == -np.inf, 0.0, z * sigmoid(z))


def valley_enclosure(values: Values, known: Valley) -> Enclosure:
    """Enclose by the sides of the valley; tails err by some units times the square of z."""

    def enclosure(lower: FloatArray, upper: FloatArray, parameter: float) -> Interval:
        with np.errstate(all="ignore"):
            ends = [values(side, parameter) for side in (lower, upper)]
            slack = [
                np.abs(v) * 8 * MARGIN * (1 + np.minimum(side, 0) ** 2) + TINY
                for v, side in zip(ends, (lower, upper), strict=True)
            ]
            slack = [np.where(np.isfinite(s), s, 0.0) for s in slack]
            least = np.minimum(ends[0] - slack[0], ends[1] - slack[1])
            most = np.maximum(ends[0] + slack[0], ends[1] + slack[1])
        across = (lower < known.rises) & (upper > known.falls)
        least = np.where(across, known.least, np.maximum(least, known.least))
        return np.minimum(least, np.finfo(np.float64).max), most

    return enclosure


def valley_shape(known: Valley) -> ShapeOf:
    """Return on which intervals the function is monotone, convex and concave."""

    def shape(lower: FloatArray, upper: FloatArray, _: float) -> Shape:
        bowl = (lower >= -known.bowl) & (upper <= known.bowl)
        outside = (upper <= -known.flat) | (lower >= known.flat)
        yes = np.full(lower.shape, True)
        return Shape(lower >= known.rises, upper <= known.falls, bowl, outside, yes)

    return shape
