"""Brute force in exact integers: is a tiny ReLU network convex?

The tests' ground truth. It shares nothing with the verifier but the network's data: every
full-dimensional linear region is enumerated, and f is convex iff f is the maximum of
its affine pieces.

All of it happens on the cone over the domain, ``F(x, t) = t f(x / t)``, so that boxes,
unbounded polyhedra and R^n are one case. A region is a pointed cone held by its extreme rays
(integer vectors) with, per ray, the bit set of the constraints that are tight there; a
neuron cuts it in two by one step of the double description method. A piece is below F
on a region iff it is so at the region's rays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import scipy.sparse as sp

from jensen.domains import domain as domains
from jensen.network.relu_network import INPUT, OUTPUT, ReluNetwork

Ray = tuple[int, ...]
Form = tuple[int, ...]


@dataclass(frozen=True)
class Cone:
    """Extreme rays, and per ray the bit set of its tight constraints."""

    rays: tuple[Ray, ...]
    tight: tuple[int, ...]
    constraints: int

    def cut(self, form: Form) -> tuple[Cone | None, Cone | None]:
        """Return the full-dimensional parts with ``form >= 0`` and ``form <= 0``."""
        values = [dot(form, ray) for ray in self.rays]
        above = [i for i, value in enumerate(values) if value > 0]
        below = [i for i, value in enumerate(values) if value < 0]
        if not below:
            return (self, None) if above else (None, self)
        if not above:
            return None, self
        bit = 1 << self.constraints
        on = [i for i, value in enumerate(values) if value == 0]
        shared = [(self.rays[i], self.tight[i] | bit) for i in on]
        for i, j in product(above, below):
            common = self.tight[i] & self.tight[j]
            if self._adjacent(i, j, common):
                a, b = values[i], -values[j]
                ray = (b * x + a * y for x, y in zip(self.rays[i], self.rays[j], strict=True))
                shared.append((primitive(tuple(ray)), common | bit))
        halves = []
        for side in (above, below):
            rays = [(self.rays[i], self.tight[i]) for i in side] + shared
            halves.append(Cone(*zip(*rays, strict=True), self.constraints + 1))
        return halves[0], halves[1]

    def _adjacent(self, i: int, j: int, common: int) -> bool:
        return not any(
            mask & common == common for k, mask in enumerate(self.tight) if k not in (i, j)
        )


def dot(form: Form, ray: Ray) -> int:
    return sum(a * b for a, b in zip(form, ray, strict=True))


def primitive(vector: Sequence[int]) -> Ray:
    divisor = math.gcd(*vector)
    return tuple(v // divisor for v in vector)


def integers(values: Sequence[Fraction]) -> Form:
    """Scale rationals by a positive number to coprime integers."""
    scale = math.lcm(*(v.denominator for v in values))
    scaled = [int(v * scale) for v in values]
    return primitive(scaled) if any(scaled) else tuple(scaled)


# ------------------------------------------------------------------------------ domains


def orthants(size: int) -> list[Cone]:
    """R^n times ``t >= 0`` as pointed cones."""
    units = [tuple(int(i == j) for j in range(size)) for i in range(size)]
    everything = (1 << size) - 1
    cones = []
    for signs in product((1, -1), repeat=size - 1):
        rays = tuple(tuple(s * u for u in unit) for s, unit in zip((*signs, 1), units, strict=True))
        cones.append(Cone(rays, tuple(everything ^ (1 << i) for i in range(size)), size))
    return cones


def box_cone(lower: Sequence[Fraction], upper: Sequence[Fraction]) -> Cone:
    """Cone over a box with an interior; constraints 2i (lower) and 2i+1 (upper)."""
    rays, tight = [], []
    for sides in product((0, 1), repeat=len(lower)):
        corner = [(lower, upper)[s][i] for i, s in enumerate(sides)]
        rays.append(integers([*corner, Fraction(1)]))
        tight.append(sum(1 << (2 * i + s) for i, s in enumerate(sides)))
    return Cone(tuple(rays), tuple(tight), 2 * len(lower))


def start(network: ReluNetwork, domain: domains.Domain) -> tuple[list[Cone], list[list[Fraction]]]:
    """Return the domain's cones and the inputs as forms of the cone's coordinates."""
    d = network.input_size
    if isinstance(domain, domains.Box):
        lower, upper = ([Fraction(float(v)) for v in side] for side in domain.bounds(d))
        free = [i for i in range(d) if lower[i] < upper[i]]
        forms = [
            [Fraction(int(j in free and i == j)) for j in free]
            + [Fraction(0) if i in free else lower[i]]
            for i in range(d)
        ]
        return [box_cone([lower[i] for i in free], [upper[i] for i in free])], forms
    cones = orthants(d + 1)
    if isinstance(domain, domains.Polyhedron):
        for row, limit in zip(domain.A, domain.b, strict=True):
            form = integers([-Fraction(float(v)) for v in row] + [Fraction(float(limit))])
            if any(form):
                cones = [part for cone in cones if (part := cone.cut(form)[0]) is not None]
        if not cones:
            raise ValueError("the oracle needs a polyhedron with an interior")
    return cones, [[Fraction(int(i == j)) for j in range(d + 1)] for i in range(d)]


# -------------------------------------------------------------------------------- regions


class _IntegerNetwork:
    """Weights as integers; the values of a block share one scale, which is positive."""

    def __init__(self, network: ReluNetwork, inputs: list[list[Fraction]]) -> None:
        self.width = len(inputs[0])
        scale = math.lcm(*(v.denominator for row in inputs for v in row))
        self.inputs = [tuple(int(v * scale) for v in row) for row in inputs]
        scales: dict[str, int] = {INPUT: scale}
        self.blocks = []
        for block in network.blocks:
            exact = {
                source: [[Fraction(float(v)) for v in row] for row in dense(weight)]
                for source, weight in block.weights.items()
            }
            bias = [Fraction(float(v)) for v in block.bias]
            needed = [v.denominator for v in bias]
            for source, rows in exact.items():
                needed += [v.denominator * scales[source] for row in rows for v in row]
            scale = scales[block.name] = math.lcm(*needed)
            weights = {
                source: [
                    [(j, int(v * scale / scales[source])) for j, v in enumerate(row) if v]
                    for row in rows
                ]
                for source, rows in exact.items()
            }
            self.blocks.append((block, weights, [int(v * scale) for v in bias]))
        self.output_scale = scale

    def forms(
        self,
        weights: dict[str, list[list[tuple[int, int]]]],
        bias: list[int],
        values: dict[str, list[Form]],
    ) -> list[Form]:
        result = []
        for i, constant in enumerate(bias):
            total = [0] * self.width
            total[-1] = constant
            for source, rows in weights.items():
                for j, weight in rows[i]:
                    for k, v in enumerate(values[source][j]):
                        total[k] += weight * v
            result.append(tuple(total))
        return result


def regions(network: ReluNetwork, domain: domains.Domain) -> Iterator[tuple[Cone, list[Form]]]:
    """Yield every full-dimensional region (a cone) with the outputs' forms there.

    The forms are integers in one scale that is the same for all regions.
    """
    cones, inputs = start(network, domain)
    exact = _IntegerNetwork(network, inputs)
    stack = [(cone, {INPUT: exact.inputs}, 0) for cone in cones]
    zero = (0,) * exact.width
    while stack:
        cone, values, index = stack.pop()
        block, weights, bias = exact.blocks[index]
        forms = exact.forms(weights, bias, values)
        if block.name == OUTPUT:
            yield cone, forms
            continue
        cells: list[tuple[Cone, list[Form]]] = [(cone, [])]
        for form in forms:
            if not block.is_relu:
                cells = [(cell, [*done, form]) for cell, done in cells]
                continue
            split = []
            for cell, done in cells:
                above, below = cell.cut(form)
                if above is not None:
                    split.append((above, [*done, form]))
                if below is not None:
                    split.append((below, [*done, zero]))
            cells = split
        stack += [(cell, values | {block.name: done}, index + 1) for cell, done in cells]


def is_convex(
    network: ReluNetwork, domain: domains.Domain | None = None, *, output: int = 0
) -> bool:
    """Decide by enumeration whether an output is convex on a domain (default R^n)."""
    pieces: set[Form] = set()
    value: dict[Ray, int] = {}
    for cone, forms in regions(network, domain or domains.Everywhere()):
        form = forms[output]
        pieces.add(form)
        for ray in cone.rays:
            if ray not in value:
                value[ray] = dot(form, ray)
    rays, truth = list(value), np.array(list(value.values()), dtype=object)
    matrix = np.array(rays, dtype=object).T
    return all((np.array(piece, dtype=object) @ matrix <= truth).all() for piece in pieces)


def region_count(network: ReluNetwork, domain: domains.Domain) -> int:
    """Number of cells; orthants count separately on unbounded domains."""
    return sum(1 for _ in regions(network, domain))


def dense(weight: object) -> np.ndarray:
    return weight.toarray() if sp.issparse(weight) else np.asarray(weight)
