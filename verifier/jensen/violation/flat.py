"""Flat polyhedra: the same question within their affine hull, nothing rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_product, exact_sum
from jensen.arithmetic.rational import ONE, floats, fraction, rational, rationals
from jensen.domains.domain import Domain, Polyhedron
from jensen.network.block import INPUT, Activation, Block
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray, ObjectArray
from jensen.verdicts.counterexample import Point
from jensen_encodings.deadline import Deadline

NAME = "hull"  # of the block that leads from the affine hull to the inputs


@dataclass(frozen=True, eq=False)
class WithinHull:
    """A network on a flat polyhedron, as a function of the coordinates of its affine hull.

    Attributes
    ----------
    network : ReluNetwork
        ``f(matrix u + offset)``.
    domain : Polyhedron
        All u that lead to points of the flat one; it has an interior.
    matrix : object array (inputs, dim) of ``fmpq``
    offset : object array (inputs,)
    """

    network: ReluNetwork
    domain: Polyhedron
    matrix: ObjectArray
    offset: ObjectArray

    def back(self, point: Point) -> Point:
        """Return the point of the flat polyhedron that coordinates stand for."""
        u = np.array([rational(v) for v in point], dtype=object)
        return tuple(fraction(v) for v in self.matrix @ u + self.offset)


def within_hull(network: ReluNetwork, domain: Domain, deadline: Deadline) -> WithinHull | None:
    """Take a network on a bounded polyhedron without interior to its affine hull.

    Parameters
    ----------
    network : ReluNetwork
    domain : Domain
    deadline : Deadline
        Of looking at the polyhedron.

    Returns
    -------
    WithinHull or None
        None where the polyhedron has an interior, is a point or not bounded, or where doubles
        do not hold the hull's own numbers.

    Raises
    ------
    DomainError
        If the domain is empty.
    OutOfTimeError
        If that was not known in time.
    """
    working = domain.working_set(network.input_size, deadline)
    if working.lifted or not 0 < working.dim < network.input_size:
        return None
    matrix, offset = working.matrix[:-1], working.offset[:-1]
    rows = _whole(np.column_stack([working.rows, working.limits]))
    numbers = [_doubles(part) for part in (matrix, offset, rows)]
    if any(part is None for part in numbers):
        return None
    M, c, A = (part for part in numbers if part is not None)
    way = Block(_unused(network), {INPUT: M}, c, Activation.IDENTITY)
    blocks = [_reading(block, way) for block in network.blocks]
    if any(way.name in block.weights for block in blocks):
        blocks.insert(0, way)
    inside = ReluNetwork(working.dim, blocks)
    return WithinHull(inside, Polyhedron(A[:, :-1], A[:, -1]), matrix, offset)


def _reading(block: Block, way: Block) -> Block:
    """Let a block read the hull's coordinates where that is exact, else the inputs they give."""
    if INPUT not in block.weights:
        return block
    weights = dict(block.weights)
    weight = weights.pop(INPUT)
    product, shift = (
        exact_product(weight, part) for part in (way.weights[INPUT], way.bias[:, None])
    )
    bias = None if shift is None else exact_sum(block.bias, _column(shift))
    if product is None or bias is None:
        return replace(block, weights={**weights, way.name: weight})
    return replace(block, weights={**weights, INPUT: product}, bias=bias)


def _column(matrix: Matrix) -> FloatArray:
    dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return np.asarray(dense, dtype=np.float64)[:, 0]


def _unused(network: ReluNetwork) -> str:
    names = {block.name for block in network.blocks}
    return next(n for k in range(len(names) + 1) if (n := f"{NAME}_{k}") not in names)


def _whole(rows: ObjectArray) -> ObjectArray:
    """Multiply rows whose entries no doubles hold by their denominators."""
    found = rows.copy()
    for i, row in enumerate(rows):
        if _doubles(row) is None:
            found[i] = row * (ONE * math.lcm(*(int(v.q) for v in row)))
    return found


def _doubles(values: ObjectArray) -> FloatArray | None:
    """Return exact values as doubles; None if that would round one."""
    near = floats(values)
    if not np.isfinite(near).all() or (rationals(near) != values).any():
        return None
    return near
