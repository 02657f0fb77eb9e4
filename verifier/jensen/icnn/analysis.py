"""A network written as sums of ReLUs of convex functions, exactly (docs/icnn.md).

Every neuron ``relu(z)`` is brought to the form ``relu(u)`` with a *unit* u: an affine
function of the input plus non-negative multiples of earlier units' ReLUs. Where z has
non-positive multiples instead, ``relu(z) = z + relu(-z)`` turns it around, and z itself,
which is no unit's business, is passed on. Neurons whose z is a multiple of an earlier unit
are that unit's twins: ``relu(c u) = c relu(u)`` for c > 0, ``|c| (relu(u) - u)`` else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from jensen.errors import IcnnFormError
from jensen.network.relu_network import INPUT, OUTPUT, Block, ReluNetwork

ZERO, ONE = Fraction(0), Fraction(1)
Key = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...], int]


@dataclass
class Expression:
    """``linear x + constant + sum of weights * relu(unit)``, the zeros left out."""

    linear: dict[int, Fraction] = field(default_factory=dict)
    units: dict[int, Fraction] = field(default_factory=dict)
    constant: Fraction = ZERO

    def add(self, other: Expression, factor: Fraction) -> None:
        """Add a multiple of another expression."""
        for mine, theirs in ((self.linear, other.linear), (self.units, other.units)):
            for key, value in theirs.items():
                total = mine.get(key, ZERO) + factor * value
                if total:
                    mine[key] = total
                else:
                    mine.pop(key, None)
        self.constant += factor * other.constant

    def times(self, factor: Fraction) -> Expression:
        """Return a multiple."""
        result = Expression()
        result.add(self, factor)
        return result

    @property
    def values(self) -> list[Fraction]:
        """All coefficients."""
        return [*self.linear.values(), *self.units.values(), self.constant]

    def content(self) -> Fraction:
        """Return the c > 0 for which ``1 / c`` times all coefficients are coprime integers."""
        nonzero = [v for v in self.values if v]
        if not nonzero:
            return ONE
        return Fraction(
            gcd(*(v.numerator for v in nonzero)), lcm(*(v.denominator for v in nonzero))
        )

    def key(self) -> Key:
        """Return what all multiples of it share."""
        scale = self.content()
        parts = [
            tuple((k, int(v / scale)) for k, v in sorted(part.items()))
            for part in (self.units, self.linear)
        ]
        constant = int(self.constant / scale)
        first = next((v for part in parts for _, v in part), constant)
        sign = -1 if first < 0 else 1
        signed = [tuple((k, sign * v) for k, v in part) for part in parts]
        return signed[0], signed[1], sign * constant


@dataclass(frozen=True)
class Unit:
    """A convex function u whose ReLU is used, and the block and neuron that it stands for."""

    expression: Expression
    block: str
    neuron: int


@dataclass(frozen=True)
class Analysis:
    """A scalar network as units and an output that adds up their ReLUs."""

    inputs: int
    units: tuple[Unit, ...]
    output: Expression

    def canonical(self) -> object:
        """Return what is equal for the same units and output, in whatever order and scale."""
        names: list[object] = []
        sizes: list[Fraction] = []
        for unit in self.units:
            size, name = _named(unit.expression, names, sizes, scaled=True)
            sizes.append(size)
            names.append(name)
        return _named(self.output, names, sizes, scaled=False)[1]


def _named(
    expression: Expression, names: list[object], sizes: list[Fraction], *, scaled: bool
) -> tuple[Fraction, object]:
    """Return an expression's size, and its coefficients by the names of what they belong to."""
    weights = {names[k]: v * sizes[k] for k, v in expression.units.items()}
    weights |= {("input", k): v for k, v in expression.linear.items()}
    weights["constant"] = expression.constant
    size = sum(map(abs, weights.values()), ZERO) if scaled else ONE
    return size, frozenset((name, v / size) for name, v in weights.items())


def analyse(network: ReluNetwork) -> Analysis:
    """Write a network as sums of ReLUs of convex functions, exactly.

    Parameters
    ----------
    network : ReluNetwork
        With one output.

    Raises
    ------
    IcnnFormError
        Where that is not possible; the message says which weights are in the way.
    """
    primitive: set[Key] = set()
    while True:
        walk = _Walk(network, primitive)
        output = walk.run()
        if not walk.awkward - primitive:
            return Analysis(network.input_size, tuple(walk.units), output)
        primitive |= walk.awkward


class _Walk:
    """One pass through the blocks.

    ``awkward`` collects units with twins whose ratio no double holds, such as a third;
    given as ``primitive`` they are scaled so that all their twins are dyadic multiples.
    """

    def __init__(self, network: ReluNetwork, primitive: set[Key]) -> None:
        self._network, self._primitive = network, primitive
        self.units: list[Unit] = []
        self.awkward: set[Key] = set()
        self._known: dict[Key, int] = {}
        self._values: dict[str, list[Expression]] = {}

    def run(self) -> Expression:
        """Return the output's expression."""
        for block in self._network.blocks:
            z = self._pre_activations(block)
            if not block.is_relu:
                self._values[block.name] = z
            else:
                self._values[block.name] = [
                    self._relu(expression, block.name, i) for i, expression in enumerate(z)
                ]
        return self._values[OUTPUT][0]

    def _pre_activations(self, block: Block) -> list[Expression]:
        found = [Expression(constant=Fraction(float(b))) for b in block.bias]
        for source, weight in block.weights.items():
            dense = weight.toarray() if hasattr(weight, "toarray") else weight
            for i, j in zip(*np.nonzero(dense), strict=True):
                factor = Fraction(float(dense[i, j]))
                if source == INPUT:
                    found[i].add(Expression(linear={int(j): ONE}), factor)
                else:
                    found[i].add(self._values[source][j], factor)
        return found

    def _relu(self, z: Expression, block: str, neuron: int) -> Expression:
        stable = _stable(z)
        if stable is not None:
            return z if stable else Expression()
        if any(v < 0 for v in z.units.values()) and any(v > 0 for v in z.units.values()):
            self._refuse(z, block, neuron)
        key = z.key()
        if key in self._known:
            return self._twin(z, self._known[key], key)
        turned = any(v < 0 for v in z.units.values())
        unit = z.times(Fraction(-1)) if turned else z
        scale = ONE
        if key in self._primitive:
            scale = unit.content()
            unit = unit.times(1 / scale)
        self._known[key] = len(self.units)
        self.units.append(Unit(unit, block, neuron))
        result = Expression(units={len(self.units) - 1: scale})
        if turned:
            result.add(z, ONE)
        return result

    def _twin(self, z: Expression, index: int, key: Key) -> Expression:
        unit = self.units[index].expression
        ratio = _ratio(z, unit)
        if ratio.denominator & (ratio.denominator - 1):
            self.awkward.add(key)
        result = Expression(units={index: abs(ratio)})
        if ratio < 0:
            result.add(z, ONE)
        return result

    def _refuse(self, z: Expression, block: str, neuron: int) -> None:
        plus = next(k for k, v in z.units.items() if v > 0)
        minus = next(k for k, v in z.units.items() if v < 0)
        raise IcnnFormError(
            f"neuron {block}[{neuron}] reads {self.name(plus)} with a positive weight and "
            f"{self.name(minus)} with a negative one: it is neither convex nor concave in them"
        )

    def name(self, unit: int) -> str:
        """Return the neuron that a unit stands for."""
        return f"{self.units[unit].block}[{self.units[unit].neuron}]"


def _stable(z: Expression) -> bool | None:
    """Return whether z is always ``>= 0`` (True) or ``<= 0`` (False) by its signs; else None."""
    if z.linear:
        return None
    values = [*z.units.values(), z.constant]
    if all(v >= 0 for v in values):
        return True
    return False if all(v <= 0 for v in values) else None


def _ratio(z: Expression, unit: Expression) -> Fraction:
    """Return c with ``z = c unit``, for multiples of each other."""
    for part, other in ((z.linear, unit.linear), (z.units, unit.units)):
        for key in part:
            return part[key] / other[key]
    return z.constant / unit.constant
