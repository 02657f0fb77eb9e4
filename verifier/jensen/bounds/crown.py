"""Backward linear bounds (CROWN, DeepPoly) that hold in real arithmetic.

``z_k`` is bounded below by an affine function of the earlier blocks, and every ReLU on the
way back to the input is replaced by a line: ``h >= alpha z`` under a positive
coefficient, ``h <= s z + t`` under a negative one. The coefficients are doubles; each
time one is rounded, the change times the largest value it can meet,
``|dA| @ max|h|``, goes into an error that is subtracted at the end.

References
----------
H. Zhang et al., "Efficient neural network robustness certification with general
activation functions", NeurIPS 2018; G. Singh et al., "An abstract domain for certifying
neural networks", POPL 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, UNIT, absolute, rounding_factor
from jensen.network.relu_network import INPUT, Block, ReluNetwork
from jensen.types import FloatArray, Interval
from jensen_encodings.deadline import NEVER, Deadline

_MEMORY = 1 << 23  # doubles in one coefficient matrix: 64 MiB
_STRIDE = 4e8  # multiply-adds between two looks at the clock: some hundredths of a second


@dataclass(frozen=True)
class Line:
    """Per neuron ``low * z <= relu(z) <= up * z + offset`` on its interval."""

    low: FloatArray
    up: FloatArray
    offset: FloatArray


@dataclass(frozen=True)
class _Step:
    """What rounding may cost where a block's z is replaced: per unit of ``|A|``, and at all."""

    weight: FloatArray
    tiny: float


class BackwardBounds:
    """Backward bounds on the blocks of one network over one box.

    Parameters
    ----------
    network : ReluNetwork
    box : (lower, upper) of shape (inputs,)
    bounds : mapping from block name to (lower, upper)
        True bounds of the blocks in front; entries may be added while this is in use.
    """

    def __init__(self, network: ReluNetwork, box: Interval, bounds: Mapping[str, Interval]) -> None:
        self._network = network
        self._box = box
        self._bounds = bounds
        self._lines: dict[str, Line] = {}
        self._steps: dict[str, _Step] = {}
        self._order = {block.name: i for i, block in enumerate(network.blocks)}

    def cost(self, name: str, rows: int) -> float:
        """Estimate the multiply-adds for so many rows of a block, both sides."""
        behind = {name}
        edges = 0.0
        for block in self._network.blocks[self._order[name] :: -1]:
            if block.name in behind:
                behind.update(block.weights)
                if block.name != name:
                    edges += sum(_work(weight) for weight in block.weights.values())
        return 2.0 * rows * edges

    def bound(self, name: str, rows: NDArray[np.intp], deadline: Deadline = NEVER) -> Interval:
        """Bound some pre-activations of a block.

        Returns
        -------
        lower, upper : arrays of shape (len(rows),)
            Not-a-number where float64 overflows on the way, and where time was up.
        """
        widest = max(self._network.size_of(n) for n in (INPUT, *self._order))
        step = max(1, _MEMORY // (2 * widest))
        if deadline.at < np.inf:
            step = max(1, min(step, int(_STRIDE / max(1.0, self.cost(name, 1)))))
        low, high = np.full((2, len(rows)), np.nan)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for start in range(0, len(rows), step):
                if deadline.over():
                    break
                part = rows[start : start + step]
                sides = self._lower(self._network[name], part)
                low[start : start + step] = sides[: len(part)]
                high[start : start + step] = -sides[len(part) :]
        return low, high

    def _lower(self, target: Block, rows: NDArray[np.intp]) -> FloatArray:
        """Return lower bounds of ``z[rows]``, then of ``-z[rows]``."""
        coefficients = {s: _both_signs(w, rows) for s, w in target.weights.items()}
        constant = np.concatenate([target.bias[rows], -target.bias[rows]])
        error = np.zeros(2 * len(rows))
        for block in self._network.blocks[self._order[target.name] - 1 :: -1]:
            if self._order[block.name] >= self._order[target.name]:
                break
            if block.name not in coefficients:
                continue
            A = coefficients.pop(block.name)
            if block.is_relu:
                line = self._line(block.name)
                negative = np.minimum(A, 0.0)
                lift = negative @ line.offset
                constant += lift
                error += UNIT * np.abs(constant) - rounding_factor(block.size) * lift
                error += SUBNORMAL * block.size
                A = np.maximum(A, 0.0) * line.low + negative * line.up
            self._absorb(block, A, coefficients, constant, error)
        lower, upper = self._box
        A = coefficients.pop(INPUT)
        positive, negative = np.maximum(A, 0.0), np.minimum(A, 0.0)
        value = positive @ lower + negative @ upper + constant
        magnitude = positive @ np.abs(lower) - negative @ np.abs(upper)
        error += rounding_factor(2 * A.shape[1] + 2) * (magnitude + np.abs(constant))
        error += 4.0 * SUBNORMAL * (A.shape[1] + 1)
        result: FloatArray = np.nextafter(value - SAFETY * error, -np.inf)
        return result

    def _absorb(
        self,
        block: Block,
        A: FloatArray,
        coefficients: dict[str, FloatArray],
        constant: FloatArray,
        error: FloatArray,
    ) -> None:
        """Replace ``A @ z`` of a block by its predecessors, in place."""
        constant += A @ block.bias
        step = self._step(block)
        for source, matrix in block.weights.items():
            moved = np.asarray(A @ matrix)
            if source in coefficients:
                moved += coefficients[source]
                error += UNIT * (np.abs(moved) @ self._reach(source))
            coefficients[source] = moved
        error += SAFETY * (np.abs(A) @ step.weight) + 2.0 * UNIT * np.abs(constant)
        error += step.tiny

    def _step(self, block: Block) -> _Step:
        """Return what replacing a block's z may cost; its bounds and those in front are final."""
        if block.name not in self._steps:
            # largest change of the sum per unit of |A|, from every rounding of this step
            rounding, reached = rounding_factor(block.size), _largest(self._bounds[block.name])
            weight = rounding * np.abs(block.bias) + 2.0 * UNIT * reached
            total = 1.0 + float(reached.sum())
            for source, matrix in block.weights.items():
                reach = self._reach(source)
                weight += rounding * (absolute(matrix) @ reach)
                total += float(reach.sum())
            self._steps[block.name] = _Step(weight, 8.0 * SUBNORMAL * (block.size + 1) * total)
        return self._steps[block.name]

    def _reach(self, source: str) -> FloatArray:
        """Return the largest ``|h|`` of a block, or of the input."""
        if source == INPUT:
            return _largest(self._box)
        lower, upper = self._bounds[source]
        if self._network[source].is_relu:
            return np.maximum(upper, 0.0)
        return _largest((lower, upper))

    def _line(self, name: str) -> Line:
        if name not in self._lines:
            self._lines[name] = relaxation(*self._bounds[name])
        return self._lines[name]


def relaxation(lower: FloatArray, upper: FloatArray) -> Line:
    """Return the lines of neurons with such bounds, in arrays of their shape."""
    on = lower >= 0
    unstable = ~on & (upper > 0)
    low = np.where(on | (unstable & (upper > -lower)), 1.0, 0.0)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        slope = np.where(unstable, np.clip(upper / (upper - lower), 0.0, 1.0), low)
        # any slope is valid with the offset that lifts the line over both ends
        lift = np.maximum(-slope * lower, upper * (1.0 - slope))
    offset = np.where(unstable, lift * (1.0 + 8.0 * UNIT) + 2.0 * SUBNORMAL, 0.0)
    return Line(low, slope, offset)


def _both_signs(matrix: Matrix, rows: NDArray[np.intp]) -> FloatArray:
    part = matrix[rows, :]
    dense: FloatArray = part.toarray() if sp.issparse(part) else np.asarray(part)
    return np.concatenate([dense, -dense])


def _largest(bounds: Interval) -> FloatArray:
    result: FloatArray = np.maximum(np.abs(bounds[0]), np.abs(bounds[1]))
    return result


def _work(matrix: Matrix) -> float:
    # a sparse multiply-add costs about as much as sixteen dense ones
    return 16.0 * matrix.nnz if sp.issparse(matrix) else float(matrix.size)
