"""What ReLU networks and function graphs have in common: how they are called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.doubles import NotADoubleError, refuse_masked
from jensen.arithmetic.exact import plain_fractions
from jensen.errors import NetworkError
from jensen.network.block import OUTPUT
from jensen.types import FloatArray


class OfPoints(ABC):
    """A function of points, given by the pre-activations of its parts.

    Attributes
    ----------
    input_size : int
    input_shape : tuple of int
        Of one point, without the batch.
    """

    input_size: int
    input_shape: tuple[int, ...]

    @abstractmethod
    def pre_activations(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return what every part computes before its function.

        Parameters
        ----------
        X : array of shape (n, inputs)

        Returns
        -------
        dict from name to array of shape (n, size)

        Raises
        ------
        NetworkError
            If the points have another size.
        """

    def __call__(self, X: ArrayLike) -> FloatArray:
        """Evaluate in floating point: (n, inputs) -> (n, outputs), or one point -> (outputs,).

        One point has the shape ``(inputs,)`` or ``input_shape``, where that cannot be several
        points: numbers in a row are points of a network with one input.

        Examples
        --------
        >>> from jensen import ReluNetwork
        >>> net = ReluNetwork.from_layers([[[1.0, -1.0]], [[2.0]]], [[0], [0]])
        >>> net([3.0, 1.0])
        array([4.])
        >>> net([[3.0, 1.0], [1.0, 3.0]])
        array([[4.],
               [0.]])
        """
        points = _numbers(X)
        several = points.ndim and points.size == points.shape[0] * self.input_size
        shapes = {(self.input_size,), self.input_shape, () if self.input_size == 1 else None}
        if not several and points.shape in shapes:
            value: FloatArray = self.pre_activations(points.reshape(1, -1))[OUTPUT][0]
            return value
        return self._values(points)

    def _values(self, points: FloatArray) -> FloatArray:
        """Return the outputs at points, shape (n, outputs)."""
        return self.pre_activations(points)[OUTPUT]

    def _as_points(self, X: ArrayLike) -> FloatArray:
        """Return points as rows.

        Parameters
        ----------
        X : array of shape (n, ...)
            With ``inputs`` numbers in every point.

        Returns
        -------
        array of shape (n, inputs)

        Raises
        ------
        NetworkError
            If they are no points of this many inputs.
        """
        points = _numbers(X)
        if points.ndim < 1 or points.size != points.shape[0] * self.input_size:
            raise NetworkError(
                f"points of shape {points.shape}: need (n, {self.input_size}), "
                f"or ({self.input_size},) for a single point"
            )
        return points.reshape(points.shape[0], self.input_size)


def _numbers(X: ArrayLike) -> FloatArray:
    """Return points in doubles, rounded to nearest; numbers in text are none."""
    if type(X) is np.ndarray and X.dtype == np.float64:
        return X
    try:
        refuse_masked(X)
        given = np.asarray(X)
        if given.dtype.kind in "SUc":
            raise TypeError
        return np.asarray(given, dtype=np.float64)
    except NotADoubleError as error:
        raise NetworkError(f"points: {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise NetworkError("points: real numbers are needed, (n, inputs)") from None


def exact_point(x: Iterable[Fraction | int | float], inputs: int) -> list[Fraction]:
    """Return a point in rational numbers, doubles at their exact value.

    Raises
    ------
    NetworkError
        Unless these are so many finite numbers.
    """
    try:
        refuse_masked(x)
        point = plain_fractions(x)
    except NotADoubleError as error:
        raise NetworkError(f"a point: {error}") from None
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        raise NetworkError(f"a point: {inputs} finite numbers are needed") from None
    if len(point) != inputs:
        raise NetworkError(f"a point of {len(point)} numbers: need {inputs}")
    return point
