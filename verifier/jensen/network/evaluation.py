"""What a ReLU network does with points: values, pre-activations, patterns, affine pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from jensen.arithmetic.exact import ExactMatrix, ExactVector, Matrix
from jensen.errors import NetworkError
from jensen.network.block import INPUT, OUTPUT, Block
from jensen.network.integer_chain import IntegerChain, is_small_chain
from jensen.network.points import OfPoints, exact_point
from jensen.types import BoolArray, FloatArray

Pattern = Mapping[str, BoolArray]

# numbers of a layer at a time: they stay in the cache, and below what the C library takes from the
# system and gives back each time
AT_ONCE = 3 << 12
LEAST = 64  # points at a time, whatever the width
TOGETHER = 64  # units of a layer up to which exact values of several points cost less at once


class Evaluation(OfPoints):
    """The part of :class:`~jensen.ReluNetwork` that evaluates, in floating point and exactly."""

    blocks: tuple[Block, ...]

    def pre_activations(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return z of every block at every point: name -> (n, size).

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
        points = self._as_points(X)
        # points as columns: layers are narrower than points are many, and long rows cost less
        values = {INPUT: points.T}
        result: dict[str, FloatArray] = {}
        for block in self.blocks:
            parts = [weight @ values[source] for source, weight in block.weights.items()]
            z = parts[0] if parts else np.zeros((block.size, len(points)))
            for part in parts[1:]:
                z += part
            z += block.bias[:, None]
            result[block.name] = z.T
            values[block.name] = np.maximum(z, 0.0) if block.is_relu else z
        return result

    def _values(self, points: FloatArray) -> FloatArray:
        """Return the outputs at points, some of them at a time."""
        points = self._as_points(points)
        widest = max(self.input_size, *(block.size for block in self.blocks))
        step = max(LEAST, AT_ONCE // max(1, widest))
        if len(points) <= step:
            return super()._values(points)
        parts = range(0, len(points), step)
        return np.concatenate(
            [super(Evaluation, self)._values(points[i : i + step]) for i in parts]
        )

    def exact_pre_activations(self, x: Iterable[Fraction | int | float]) -> dict[str, ExactVector]:
        """Return z of every block at one point, in rational arithmetic.

        Parameters
        ----------
        x : iterable of (inputs) rational numbers

        Returns
        -------
        dict from name to tuple of Fraction

        Raises
        ------
        NetworkError
            If the point has another size.
        """
        return self._exact_z(ExactVector.from_fractions(self._exact_point(x)))

    def _exact_point(self, x: Iterable[Fraction | int | float]) -> list[Fraction]:
        return exact_point(x, self.input_size)

    def _exact_z(self, points: ExactVector) -> dict[str, ExactVector]:
        """Return z of every block at a point, or at points that are columns."""
        values = {INPUT: points}
        result: dict[str, ExactVector] = {}
        for block in self.blocks:
            z = self._exact_bias[block.name].like(points)
            for source in block.weights:
                z = z + self._exact_weight(source, block.name) @ values[source]
            z = z.reduced()
            result[block.name] = z
            values[block.name] = z.masked(z.positive()) if block.is_relu else z
        return result

    def exact(self, x: Iterable[Fraction | int | float]) -> tuple[Fraction, ...]:
        """Evaluate at one point in rational arithmetic.

        Parameters
        ----------
        x : iterable of (inputs) rational numbers

        Returns
        -------
        tuple of (outputs) Fraction
        """
        return self.exact_at([x])[0]

    def exact_at(
        self, points: Sequence[Iterable[Fraction | int | float]]
    ) -> list[tuple[Fraction, ...]]:
        """Evaluate at some points in rational arithmetic, all at once where the network is small.

        Parameters
        ----------
        points : sequence of iterables of (inputs) rational numbers

        Returns
        -------
        list of tuples of (outputs) Fraction, one per point

        Raises
        ------
        NetworkError
            If a point has another size.

        Examples
        --------
        >>> from fractions import Fraction
        >>> from jensen import ReluNetwork
        >>> net = ReluNetwork.from_layers([[[3.0]], [[1.0]]], [[1.0], [0.0]])
        >>> net.exact_at([(Fraction(1, 3),), (Fraction(-1),)])
        [(Fraction(2, 1),), (Fraction(0, 1),)]
        """
        exact = [self._exact_point(point) for point in points]
        if self._chain is not None:
            return self._chain.values(exact)
        if max(self.input_size, *(block.size for block in self.blocks)) > TOGETHER:
            return [tuple(self.exact_pre_activations(x)[OUTPUT].to_fractions()) for x in exact]
        z = self._exact_z(ExactVector.from_columns(exact))[OUTPUT]
        return [tuple(ExactVector(column, z.denominator).to_fractions()) for column in z.integers.T]

    def activation_pattern(self, x: Iterable[Fraction | int | float]) -> dict[str, BoolArray]:
        """Return which ReLUs are on (z > 0) at a point, decided exactly.

        Parameters
        ----------
        x : iterable of (inputs) rational numbers

        Returns
        -------
        dict from name to bool array of shape (size,)
        """
        values = self.exact_pre_activations(x)
        return {block.name: values[block.name].positive() for block in self.blocks if block.is_relu}

    def affine_form(self, pattern: Pattern) -> tuple[FloatArray, FloatArray]:
        """Return (A, c) with ``f(x) = A x + c`` under an activation pattern, in float64.

        Parameters
        ----------
        pattern : mapping from ReLU block name to bool array of shape (size,)

        Returns
        -------
        A : array of shape (outputs, inputs)
        c : array of shape (outputs,)
        """
        slopes: dict[str, FloatArray] = {INPUT: np.eye(self.input_size)}
        offsets: dict[str, FloatArray] = {INPUT: np.zeros(self.input_size)}
        for block in self.blocks:
            mask = self.mask(block, pattern)
            slope = np.zeros((block.size, self.input_size))
            offset = block.bias.copy()
            for source, weight in block.weights.items():
                slope += weight @ slopes[source]
                offset += weight @ offsets[source]
            slopes[block.name] = slope * mask[:, None]
            offsets[block.name] = offset * mask
        return slopes[OUTPUT], offsets[OUTPUT]

    def mask(self, block: Block, pattern: Pattern) -> FloatArray:
        """Return the 0/1 slopes of a block's neurons under a pattern.

        Parameters
        ----------
        block : Block
        pattern : mapping from ReLU block name to bool array of shape (size,)

        Returns
        -------
        array of shape (size,)

        Raises
        ------
        NetworkError
            If the pattern has no entry for the block, or one of another size.
        """
        if not block.is_relu:
            return np.ones(block.size)
        if not isinstance(pattern, Mapping) or block.name not in pattern:
            raise NetworkError(f"the activation pattern has no entry for block {block.name!r}")
        try:
            mask = np.asarray(pattern[block.name], dtype=np.float64)
        except (TypeError, ValueError):
            mask = np.empty(0)
        if mask.shape != (block.size,):
            raise NetworkError(
                f"the activation pattern of block {block.name!r}: {block.size} truth values "
                "are needed"
            )
        return mask

    @cached_property
    def _chain(self) -> IntegerChain | None:
        return IntegerChain(self.blocks) if is_small_chain(self.blocks) else None

    @cached_property
    def _exact_bias(self) -> dict[str, ExactVector]:
        return {block.name: ExactVector.from_floats(block.bias) for block in self.blocks}

    @cached_property
    def _exact_cache(self) -> dict[tuple[str, str], ExactMatrix]:
        return {}

    def _exact_weight(self, source: str, target: str) -> ExactMatrix:
        key = (source, target)
        if key not in self._exact_cache:
            self._exact_cache[key] = ExactMatrix(self._weights[target][source])
        return self._exact_cache[key]

    @cached_property
    def _weights(self) -> dict[str, Mapping[str, Matrix]]:
        return {block.name: block.weights for block in self.blocks}
