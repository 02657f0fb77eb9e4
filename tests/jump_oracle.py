"""Brute force: every gradient jump of a tiny network, on top of the cells of :mod:`oracle`.

On a common facet of two cells the difference of their forms vanishes: it is the facet's
normal, and the part of it that belongs to the inputs is the jump of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations

import flint
import oracle

from jensen.arithmetic.simplex import maximise
from jensen.domains.domain import Domain
from jensen.network.relu_network import ReluNetwork


def worst_squared_jump(
    network: ReluNetwork, domain: Domain, inputs: Sequence[int] | None = None
) -> Fraction:
    """Return the square of the largest gradient jump that bends f down, 0 if there is none.

    Parameters
    ----------
    domain : Domain
        With an interior, so that the cells' forms are over (x, t).
    inputs : sequence of int or None
        Inputs with respect to which the gradient is taken; None for all.
    """
    moving = range(network.input_size) if inputs is None else inputs
    scale = oracle._IntegerNetwork(network, oracle.start(network, domain)[1]).output_scale
    worst = 0
    cells = [(cone, forms[0]) for cone, forms in oracle.regions(network, domain)]
    for (one, first), (two, second) in combinations(cells, 2):
        difference = tuple(b - a for a, b in zip(first, second, strict=True))
        squared = sum(difference[i] ** 2 for i in moving)
        if squared > worst and _bends_down(difference, one, two):
            worst = squared
    return Fraction(worst, scale**2)


def _bends_down(difference: oracle.Form, one: oracle.Cone, two: oracle.Cone) -> bool:
    """Whether f falls below the first cell's form where the second cell begins."""
    if any(oracle.dot(difference, ray) > 0 for ray in two.rays):
        return False
    if any(oracle.dot(difference, ray) < 0 for ray in one.rays):
        return False
    facets = [[r for r in cone.rays if oracle.dot(difference, r) == 0] for cone in (one, two)]
    size = len(difference)
    return all(_rank(f) == size - 1 for f in facets) and _overlap(*facets)


def _rank(rays: list[oracle.Ray]) -> int:
    # exact: facets may be thinner than any tolerance
    return int(flint.fmpz_mat([list(ray) for ray in rays]).rank()) if rays else 0


def _overlap(one: list[oracle.Ray], two: list[oracle.Ray]) -> bool:
    """Whether the relative interiors of two cones, given by their rays, meet; exactly.

    They do if some combinations of all rays with factors >= s = 1 are equal. In cells of
    width 1e-10 a solver in floating point sees facets that are not there.
    """
    rays = [_unit(ray) for ray in one] + [[-v for v in _unit(ray)] for ray in two]
    count = len(rays)
    zero, unit = flint.fmpq(0), flint.fmpq(1)
    equal = [[*column, zero] for column in zip(*rays, strict=True)]
    above = [[*(-unit if j == i else zero for j in range(count)), unit] for i in range(count)]
    cap = [*([zero] * count), unit]
    limits = [zero] * (len(equal) + count) + [unit]
    equality = [True] * len(equal) + [False] * (count + 1)
    solution = maximise(cap, [*equal, *above, cap], limits, equality)
    assert solution is not None
    assert solution.v is not None
    return bool(solution.v[-1] > 0)


def _unit(ray: oracle.Ray) -> list[flint.fmpq]:
    largest = max(abs(v) for v in ray)
    return [flint.fmpq(v, largest) for v in ray]
