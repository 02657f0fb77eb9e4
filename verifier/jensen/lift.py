"""The set the prover works on: a box, or the perspective lift (docs/theory.md, section 5).

On a box the working variables are the inputs that are not fixed by a side of zero
width. Everywhere and on a polyhedron they parametrise the linear hull of the cone
``{(x, t) : A x <= b t, t >= 0}``; a bias becomes the weight on ``t``, and the working
set is the part of the cone inside ``|x_i| <= 1, t <= 1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.domain import Box, Domain, Everywhere
from jensen.errors import DomainError
from jensen.network import INPUT, Block, FloatArray, ReluNetwork
from jensen.polyhedron import linear_hull
from jensen.rational import ONE, ZERO, floats, fraction, null_space, rationals

ObjectArray = NDArray[Any]


@dataclass(frozen=True, eq=False)
class WorkingSet:
    """``{y : rows @ y <= limits}`` with ``(x, tau) = matrix @ y + offset``.

    Attributes
    ----------
    matrix : object array (inputs + 1, dim) of ``fmpq``
        The last row gives ``tau``: the constant 1 on a box, the lift's t otherwise.
    offset : object array (inputs + 1,)
    rows, limits : object arrays (constraints, dim) and (constraints,)
    lifted : bool
        Whether points have to be divided by ``tau``.
    identity : bool
        Whether ``matrix`` only selects coordinates one to one, so that the network's
        doubles are its working weights.
    """

    matrix: ObjectArray
    offset: ObjectArray
    rows: ObjectArray
    limits: ObjectArray
    lifted: bool
    identity: bool

    @property
    def dim(self) -> int:
        """Number of working variables."""
        return int(self.matrix.shape[1])

    @cached_property
    def float_rows(self) -> FloatArray:
        """The rows, rounded."""
        return floats(self.rows)

    @cached_property
    def float_limits(self) -> FloatArray:
        """The limits, rounded."""
        return floats(self.limits)

    @cached_property
    def _float_bases(self) -> dict[tuple[int, ...] | None, FloatArray]:
        return {}

    def float_directions(self, inputs: Sequence[int] | None = None) -> FloatArray:
        """Return :meth:`directions`, rounded."""
        key = None if inputs is None else tuple(inputs)
        if key not in self._float_bases:
            self._float_bases[key] = floats(self.directions(inputs))
        return self._float_bases[key]

    def to_input(self, y: Sequence[Any]) -> tuple[Fraction, ...] | None:
        """Map a working point to the inputs; None at infinity (``t = 0``)."""
        point = self.matrix @ np.array(y, dtype=object) + self.offset
        if point[-1] <= 0:
            return None
        return tuple(fraction(v / point[-1]) for v in point[:-1])

    def directions(self, inputs: Sequence[int] | None = None) -> ObjectArray:
        """Return a basis of the working directions that keep tau and all other inputs fixed.

        Parameters
        ----------
        inputs : sequence of int or None
            Inputs that may move (partial convexity); None for all.
        """
        count = self.matrix.shape[0] - 1
        fixed = [] if inputs is None else [i for i in range(count) if i not in set(inputs)]
        keep = [self.matrix[i] for i in (*fixed, count) if any(v != 0 for v in self.matrix[i])]
        columns = [[row[k] for row in keep] for k in range(self.dim)]
        basis = null_space(columns)
        out = _zeros(self.dim, len(basis))
        for k, vector in enumerate(basis):
            out[:, k] = vector
        return out


def working_set(domain: Domain, inputs: int) -> WorkingSet:
    """Return the full-dimensional working set of a domain.

    Raises
    ------
    DomainError
        If the domain does not fit or is empty.
    """
    domain.check(inputs)
    if isinstance(domain, Box):
        return _box_set(domain, inputs)
    if isinstance(domain, Everywhere):
        return _cone_set(_zeros(0, inputs + 1), inputs)
    cone = np.concatenate([rationals(domain.A), -rationals(domain.b)[:, None]], axis=1)
    return _cone_set(cone, inputs)


def _box_set(box: Box, inputs: int) -> WorkingSet:
    lower, upper = box.bounds(inputs)
    free = np.flatnonzero(lower < upper)
    matrix = _zeros(inputs + 1, len(free))
    matrix[free, np.arange(len(free))] = ONE
    offset = rationals(np.append(lower, 1.0))
    offset[free] = ZERO
    eye = _identity(len(free))
    return WorkingSet(
        matrix,
        offset,
        np.concatenate([eye, -eye]),
        np.concatenate([rationals(upper[free]), -rationals(lower[free])]),
        lifted=False,
        identity=len(free) == inputs,
    )


def _cone_set(cone: ObjectArray, inputs: int) -> WorkingSet:
    """Build the set of ``{v : cone @ v <= 0, v[-1] >= 0}`` cut to the unit cube."""
    positive_t = _zeros(1, inputs + 1)
    positive_t[0, -1] = -ONE
    cone = np.concatenate([cone, positive_t])
    hull = linear_hull(cone) if len(cone) > 1 else _identity(inputs + 1)
    if hull is None:
        raise DomainError("the polyhedron is empty")
    dim = hull.shape[1]
    identity = dim == inputs + 1
    rows = cone @ hull
    rows = rows[[any(v != 0 for v in row) for row in rows]]
    cube = np.concatenate([hull, -hull[:-1]])
    limits = np.concatenate([_zeros(len(rows), 1)[:, 0], np.full(len(cube), ONE, dtype=object)])
    return WorkingSet(
        hull,
        _zeros(inputs + 1, 1)[:, 0],
        np.concatenate([rows, cube]),
        limits,
        lifted=True,
        identity=identity,
    )


def _identity(size: int) -> ObjectArray:
    matrix = _zeros(size, size)
    np.fill_diagonal(matrix, ONE)
    return matrix


def _zeros(rows: int, columns: int) -> ObjectArray:
    return np.full((rows, columns), ZERO, dtype=object)


def lifted_network(network: ReluNetwork) -> ReluNetwork:
    """Return ``F(x, t) = t f(x / t)``: every bias becomes the weight on an extra input t."""
    inputs = network.input_size
    blocks = []
    for block in network.blocks:
        weights = dict(block.weights)
        first = np.zeros((block.size, inputs + 1))
        if INPUT in weights:
            weight = weights[INPUT]
            first[:, :inputs] = weight.toarray() if hasattr(weight, "toarray") else weight
        first[:, inputs] = block.bias
        weights[INPUT] = first
        blocks.append(Block(block.name, weights, np.zeros(block.size), block.activation))
    return ReluNetwork(inputs + 1, blocks)
