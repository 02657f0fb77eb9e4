"""Intervals and gradients on many boxes at once, with all rounding errors taken up.

Intervals are (lower, upper), arrays (boxes, rows). Gradients, (boxes, rows, inputs), are centres
and radii: a product with a matrix costs two products of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.intervals import rounding_factor
from jensen.graphs.convolution import Convolution
from jensen.types import FloatArray, Interval

TINY = 1e-290  # more than what underflows in any sum here
_WIDER = 1 + 2.0**-40
_ROUNDED = 4e-16  # more than the relative error of one operation


@dataclass(frozen=True, eq=False)
class Ball:
    """Numbers around a centre, elementwise at most a radius away.

    Attributes
    ----------
    centre, radius : arrays (boxes, rows, inputs)
    """

    centre: FloatArray
    radius: FloatArray

    def times(self, factor: Interval) -> Ball:
        """Return the products with numbers between two ends, (boxes, rows) each."""
        centre, radius = (part[..., None] for part in as_ball(*factor))
        size = np.abs(self.centre) + self.radius
        spread = np.abs(centre) * self.radius + radius * size
        product = centre * self.centre
        return Ball(product, _WIDER * spread + _ROUNDED * np.abs(product) + TINY)

    def plus(self, other: Ball, sign: float = 1.0) -> Ball:
        """Return the sum with other numbers, or the difference."""
        centre = self.centre + sign * other.centre
        return Ball(
            centre, _WIDER * (self.radius + other.radius) + _ROUNDED * np.abs(centre) + TINY
        )


@dataclass(frozen=True, eq=False)
class Weight:
    """A matrix, with its parts.

    Attributes
    ----------
    matrix : array (rows, columns)
    """

    matrix: FloatArray

    @cached_property
    def positive(self) -> FloatArray:
        """Its positive entries."""
        return np.maximum(self.matrix, 0.0)

    @cached_property
    def negative(self) -> FloatArray:
        """Its negative entries."""
        return np.minimum(self.matrix, 0.0)

    @cached_property
    def size(self) -> FloatArray:
        """The sizes of its entries."""
        return np.abs(self.matrix)

    @cached_property
    def transposed(self) -> Weight:
        """Its transpose."""
        return Weight(np.ascontiguousarray(self.matrix.T))

    @property
    def rounding(self) -> float:
        """A bound of the relative rounding error of a product with it."""
        return 2 * rounding_factor(self.matrix.shape[1] + 2)

    @cached_property
    def _sizes(self) -> tuple[FloatArray, FloatArray]:
        return _floored(self.positive), _floored(-self.negative)

    def of_interval(self, given: Interval) -> Interval:
        """Enclose products with vectors (boxes, columns); sums of numbers >= 0 stay so."""
        ends = []
        for side, (straight, crossed) in ((-1.0, given), (1.0, given[::-1])):
            value = straight @ self.positive.T + crossed @ self.negative.T
            up, down = self._sizes
            size = _floored(np.abs(straight)) @ up.T + _floored(np.abs(crossed)) @ down.T
            slack = self.rounding * size + np.where(size > 0, TINY, 0.0)
            ends.append(value + side * slack)
        return ends[0], ends[1]

    def of_gradient(self, given: Ball) -> Ball:
        """Enclose products with gradients (boxes, columns, inputs)."""
        centre = self.matrix @ given.centre
        radius = self.size @ (given.radius + self.rounding * np.abs(given.centre))
        return Ball(centre, (1 + self.rounding) * radius + TINY)


def _floored(sizes: FloatArray) -> FloatArray:
    """Return sizes that are 0 or so large that no product of two of them is 0."""
    return np.where(sizes > 0, np.maximum(sizes, 1e-140), sizes)


def dense(weight: Matrix | Convolution) -> FloatArray:
    """Return a matrix written out."""
    assert not isinstance(weight, Convolution)
    return np.asarray(weight.toarray() if sp.issparse(weight) else weight)


def as_ball(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a centre, and how far the ends are from it."""
    centre = lower / 2 + upper / 2
    return centre, _WIDER * np.maximum(upper - centre, centre - lower)


def outward(lower: FloatArray, upper: FloatArray) -> Interval:
    """Move ends that were rounded once outward; zeros are exact."""
    return (
        lower - np.where(lower == 0, 0.0, _ROUNDED * np.abs(lower) + TINY),
        upper + np.where(upper == 0, 0.0, _ROUNDED * np.abs(upper) + TINY),
    )


def interval_sum(a: Interval, b: Interval) -> Interval:
    """Enclose sums."""
    return outward(a[0] + b[0], a[1] + b[1])


def interval_product(a: Interval, b: Interval) -> Interval:
    """Enclose products; 0 times what has no bound is 0, the limit of smooth functions."""
    ends = []
    for left in a:
        for right in b:
            value = left * right
            lost = np.isnan(value) & ~np.isnan(left) & ~np.isnan(right)
            ends.append(np.where(lost, 0.0, value))
            hidden = (value == 0) & (left != 0) & (right != 0)
            if hidden.any():  # it was too small for a double
                ends.append(np.where(hidden, np.sign(left) * np.sign(right) * TINY, ends[-1]))
    return outward(np.minimum.reduce(ends), np.maximum.reduce(ends))


def summed(ball: Ball, group: int) -> Ball:
    """Return the sums over groups of rows."""
    if group == 1:
        return ball
    boxes, rows, inputs = ball.centre.shape
    shape = (boxes, rows // group, group, inputs)
    centre, radius = ball.centre.reshape(shape), ball.radius.reshape(shape)
    rounded = rounding_factor(group) * np.abs(centre).sum(axis=2)
    return Ball(
        centre.sum(axis=2), (1 + 4 * rounding_factor(group)) * radius.sum(axis=2) + rounded + TINY
    )
