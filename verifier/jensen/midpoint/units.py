"""The same question in other units: powers of two, so that nothing is rounded.

Solvers have absolute tolerances. A network whose outputs are of size 1e-6, or whose inputs or
hidden neurons are, loses what they leave open; measured in its own sizes it is like any other.
``relu(s z) = s relu(z)`` for ``s > 0``, so that the unit of every neuron is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from jensen.arithmetic.intervals import round_up
from jensen.arithmetic.powers import exponents_near
from jensen.domains.box import Box
from jensen.midpoint.feasible import Feasible
from jensen.network.block import INPUT, OUTPUT, Block
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray
from jensen.verdicts.counterexample import Point
from jensen_encodings.highs import Progress

Exponents = NDArray[np.int32]

NEAR = 6  # exponents of two up to which sizes are left as they are


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A network on a box in units of its own sizes.

    Attributes
    ----------
    network : ReluNetwork
    box : Box
    feasible : Feasible or None
    inputs : int array (inputs,)
        An input is ``2**inputs`` times what it is here.
    output : int
        So is f.
    """

    network: ReluNetwork
    box: Box
    feasible: Feasible | None
    inputs: Exponents
    output: int

    def points(self, pair: tuple[Point, Point]) -> tuple[Point, Point]:
        """Return a pair of the user's points in these units."""
        x, y = (self._moved(point, -1) for point in pair)
        return x, y

    def back(self, point: Point) -> Point:
        """Return one of these points in the user's units."""
        return self._moved(point, 1)

    def _moved(self, point: Point, sign: int) -> Point:
        exponents = (sign * self.inputs).tolist()
        return tuple(v * _power(e) for v, e in zip(point, exponents, strict=True))

    def exact(self, value: Fraction) -> Fraction:
        """Return a value of f in the user's units."""
        return value * _power(self.output)

    def above(self, value: float) -> float:
        """Return a bound from above in the user's units."""
        return round_up(self.exact(Fraction(value))) if np.isfinite(value) else value

    def progress(self, found: Progress) -> Progress:
        """Return a report in the user's units."""
        best = found.objective
        value = None if best is None else float(self.exact(Fraction(best)))
        return replace(found, objective=value, bound=self.above(found.bound))


def rescaled(
    network: ReluNetwork, sides: tuple[FloatArray, FloatArray], feasible: Feasible | None
) -> Rescaled | None:
    """Choose units in which rows of weights, and the box, are of size 1.

    Parameters
    ----------
    network : ReluNetwork
        With one output.
    sides : (lower, upper)
        Of the box.
    feasible : Feasible or None

    Returns
    -------
    Rescaled or None
        None where all sizes are near 1 already, or something would be rounded.
    """
    with np.errstate(over="ignore", under="ignore"):  # which is seen at the end
        return _in_other_units(network, sides, feasible)


def _in_other_units(
    network: ReluNetwork, sides: tuple[FloatArray, FloatArray], feasible: Feasible | None
) -> Rescaled | None:
    inputs = exponents_near(np.maximum(*map(np.abs, sides)))
    units = {INPUT: inputs}
    blocks = []
    for block in network.blocks:
        rows = {s: _shifted(w, units[s]) for s, w in block.weights.items()}
        sizes = [np.abs(block.bias), *(_largest(row) for row in rows.values())]
        units[block.name] = own = exponents_near(np.max(sizes, axis=0))
        weights = {s: _shifted(w, units[s], -own) for s, w in block.weights.items()}
        blocks.append(Block(block.name, weights, np.ldexp(block.bias, -own), block.activation))
    if max(int(np.abs(unit).max(initial=0)) for unit in units.values()) <= NEAR:
        return None
    lower, upper = (np.ldexp(side, -inputs) for side in sides)
    inside = None if feasible is None else _feasible(feasible, inputs)
    numbers = [(sides, (lower, upper)), (_numbers(network.blocks), _numbers(blocks))]
    if feasible is not None and inside is not None:
        numbers.append(((feasible.A, feasible.b), (inside.A, inside.b)))
        numbers.append(((feasible.centre,), (inside.centre,)))
    if not all(_is_exact(a, b) for old, new in numbers for a, b in zip(old, new, strict=True)):
        return None
    scaled = ReluNetwork(network.input_size, blocks)
    return Rescaled(scaled, Box(lower, upper), inside, inputs, int(units[OUTPUT][0]))


def _feasible(feasible: Feasible, inputs: Exponents) -> Feasible:
    A = np.ldexp(feasible.A, inputs)
    rows = exponents_near(np.abs(A).max(axis=1, initial=0.0))
    lower, upper, centre = (
        np.ldexp(v, -inputs) for v in (feasible.lower, feasible.upper, feasible.centre)
    )
    b = np.ldexp(feasible.b, -rows)
    return Feasible(lower, upper, np.ldexp(A, -rows[:, None]), b, centre)


def _power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def _shifted(weights: Any, columns: Exponents, rows: Exponents | None = None) -> Any:
    """Multiply columns and rows by powers of two, in one step."""
    if not sp.issparse(weights):
        return np.ldexp(weights, columns if rows is None else columns + rows[:, None])
    shifts = columns[weights.indices]
    if rows is not None:
        shifts = shifts + np.repeat(rows, np.diff(weights.indptr))
    found = weights.copy()
    found.data = np.ldexp(weights.data, shifts)
    return found


def _largest(weights: Any) -> FloatArray:
    """Return the largest size in every row."""
    found = abs(weights).max(axis=1)
    return np.asarray(found.toarray() if sp.issparse(found) else found, dtype=float).ravel()


def _numbers(blocks: Any) -> list[FloatArray]:
    found = []
    for block in blocks:
        matrices: Mapping[str, Any] = block.weights
        found += [w.data if sp.issparse(w) else w for w in matrices.values()] + [block.bias]
    return found


def _is_exact(old: FloatArray, new: FloatArray) -> bool:
    """Whether powers of two did not leave the range of normal doubles."""
    sizes = np.abs(new[old != 0])
    return bool((np.isfinite(sizes) & (sizes >= np.finfo(float).tiny)).all())
