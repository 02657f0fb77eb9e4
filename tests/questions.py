"""Random tiny questions with their exact answers, over domains of many kinds.

A domain is drawn as ``{p + B y : y in Y}`` with an integer basis B, so that sets without
interior have a parametrisation. The truth is decided by enumeration in coordinates whose
first ones are the directions that may move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import flint
import numpy as np
import oracle
from fuzz import tiny_network, varied_network
from jump_oracle import worst_squared_jump

from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.network.relu_network import INPUT, Activation, Block, ReluNetwork

Array = np.ndarray


@dataclass(frozen=True)
class Drawn:
    """A domain, and what the truth is decided on: ``x = start + basis y``, ``rows y <= limits``."""

    domain: Domain
    basis: Array
    start: Array
    rows: Array
    limits: Array


@dataclass(frozen=True)
class Question:
    """A network, a domain, and options of the verification."""

    network: ReluNetwork
    drawn: Drawn
    inputs: tuple[int, ...] | None
    concave: bool

    @property
    def options(self) -> dict[str, object]:
        return {"inputs": self.inputs, "concave": self.concave}

    def truth(self) -> bool:
        """Decide by enumeration."""
        network = self.network.negated() if self.concave else self.network
        basis, start = self.drawn.basis, self.drawn.start
        moving = free_directions(basis, self.inputs)
        if not moving.shape[1]:
            return True
        turned = np.column_stack([moving, complement(moving)])
        inner = composed(network, basis @ turned, start)
        rows = self.drawn.rows @ turned
        domain = Polyhedron(rows, self.drawn.limits) if len(rows) else Everywhere()
        if moving.shape[1] == basis.shape[1]:
            return oracle.is_convex(inner, domain)
        return worst_squared_jump(inner, domain, range(moving.shape[1])) == 0

    def is_refuted_by(self, x: tuple[Fraction, ...], y: tuple[Fraction, ...]) -> bool:
        """Check a pair with nothing but fractions."""
        if self.inputs is not None:
            moves = [i for i, (a, b) in enumerate(zip(x, y, strict=True)) if a != b]
            if not set(moves) <= set(self.inputs):
                return False
        if not (inside(self.drawn.domain, x) and inside(self.drawn.domain, y)):
            return False
        middle = tuple((a + b) / 2 for a, b in zip(x, y, strict=True))
        at_x, at_middle, at_y = (value(self.network, point) for point in (x, middle, y))
        violation = at_middle - (at_x + at_y) / 2
        return violation < 0 if self.concave else violation > 0


# ---------------------------------------------------------------------------- fractions


def value(network: ReluNetwork, point: tuple[Fraction, ...]) -> Fraction:
    """Evaluate, one product after the other."""
    values = {INPUT: list(point)}
    for block in network.blocks:
        z = [Fraction(float(b)) for b in block.bias]
        for source, weight in block.weights.items():
            for i, row in enumerate(oracle.dense(weight)):
                z[i] += sum(
                    Fraction(float(w)) * h for w, h in zip(row, values[source], strict=True)
                )
        values[block.name] = [max(v, Fraction(0)) for v in z] if block.is_relu else z
    return values["output"][0]


def inside(domain: Domain, point: tuple[Fraction, ...]) -> bool:
    if isinstance(domain, Box):
        lower, upper = domain.bounds(len(point))
        sides = zip(lower.tolist(), point, upper.tolist(), strict=True)
        return all(Fraction(a) <= v <= Fraction(b) for a, v, b in sides)
    if isinstance(domain, Polyhedron):
        for row, limit in zip(domain.A.tolist(), domain.b.tolist(), strict=True):
            if sum(Fraction(a) * v for a, v in zip(row, point, strict=True)) > Fraction(limit):
                return False
    return True


def free_directions(basis: Array, inputs: tuple[int, ...] | None) -> Array:
    """Return integer columns that span the y along which only these inputs move."""
    size = basis.shape[1]
    still = [] if inputs is None else [i for i in range(len(basis)) if i not in inputs]
    return null_columns(basis[still], size)


def complement(columns: Array) -> Array:
    """Return unit vectors that complete independent columns to a basis."""
    chosen, rank = columns, columns.shape[1]
    for k in range(len(columns)):
        unit = np.zeros((len(columns), 1))
        unit[k] = 1.0
        wider = np.column_stack([chosen, unit])
        if flint.fmpq_mat(exact(wider)).rank() > rank:
            chosen, rank = wider, rank + 1
    return chosen[:, columns.shape[1] :]


def null_columns(rows: Array, size: int) -> Array:
    """Return an integer basis of the vectors on which all rows vanish."""
    if not len(rows):
        return np.eye(size)
    matrix = flint.fmpz_mat([[int(v) for v in row] for row in rows])
    kernel, nullity = matrix.nullspace()
    columns = [[int(kernel[i, k]) for i in range(size)] for k in range(nullity)]
    reduced = [np.array(c, dtype=float) / (np.gcd.reduce(c) or 1) for c in columns]
    return np.array(reduced).reshape(nullity, size).T


def exact(matrix: Array) -> list[list[flint.fmpq]]:
    return [[flint.fmpq(*float(v).as_integer_ratio()) for v in row] for row in matrix]


def composed(network: ReluNetwork, matrix: Array, start: Array) -> ReluNetwork:
    """Return ``f(start + matrix y)``."""
    front = Block("front", {INPUT: matrix}, start, Activation.IDENTITY)
    blocks = [
        Block(
            block.name,
            {("front" if s == INPUT else s): w for s, w in block.weights.items()},
            block.bias,
            block.activation,
        )
        for block in network.blocks
    ]
    return ReluNetwork(matrix.shape[1], [front, *blocks])


# ------------------------------------------------------------------------------ domains


def sides(lower: Array, upper: Array) -> Drawn:
    """A box; sides of width zero are left out of the basis."""
    free = np.flatnonzero(lower < upper)
    basis = np.eye(len(lower))[:, free]
    unit = np.eye(len(free))
    start = np.where(lower < upper, 0.0, lower)
    limits = np.concatenate([upper[free], -lower[free]])
    return Drawn(Box(lower, upper), basis, start, np.vstack([unit, -unit]), limits)


def box(rng: np.random.Generator, n: int) -> Drawn:
    lower = rng.integers(-4, 4, n) / 2.0
    return sides(lower, lower + rng.integers(1, 6, n) / 2.0)


def symmetric_box(rng: np.random.Generator, n: int) -> Drawn:
    return sides(np.full(n, -1.0), np.ones(n))


def flat_box(rng: np.random.Generator, n: int) -> Drawn:
    lower = rng.integers(-2, 3, n) / 2.0
    return sides(lower, lower + rng.integers(0, 2, n))


def thin_box(rng: np.random.Generator, n: int) -> Drawn:
    lower = rng.integers(-2, 3, n) / 2.0
    return sides(lower, lower + rng.choice([1.0, 2.0**-20, 2.0**-45], n))


def wide_box(rng: np.random.Generator, n: int) -> Drawn:
    return sides(-rng.choice([1.0, 2.0**20, 2.0**40], n), rng.choice([1.0, 2.0**30, 2.0**60], n))


def everywhere(rng: np.random.Generator, n: int) -> Drawn:
    return Drawn(Everywhere(), np.eye(n), np.zeros(n), np.zeros((0, n)), np.zeros(0))


def _polyhedron(basis: Array, start: Array, rows: Array, limits: Array) -> Drawn:
    """Write ``x = start + basis y, rows y <= limits`` in x; the basis has a left inverse."""
    n, dim = basis.shape
    # rows in y become rows in x: an integer matrix L with L basis = scale I
    square = flint.fmpq_mat(exact(basis.T @ basis)) if dim else None
    if dim:
        left = square.inv() * flint.fmpq_mat(exact(basis.T))
        scale = float(np.lcm.reduce([int(left[i, j].q) for i in range(dim) for j in range(n)]))
        inverse = np.array(
            [[float((left[i, j] * int(scale)).p) for j in range(n)] for i in range(dim)]
        )
        A = rows @ inverse
        b = limits * scale + A @ start
    else:
        A, b = np.zeros((0, n)), np.zeros(0)
    normals = null_columns(basis.T, n).T
    level = normals @ start
    A = np.vstack([A, normals, -normals])
    b = np.concatenate([b, level, -level])
    return Drawn(Polyhedron(A, b), basis, start, rows, limits)


def _cube(size: int, width: float = 1.0) -> tuple[Array, Array]:
    unit = np.eye(size)
    return np.vstack([unit, -unit]), np.full(2 * size, width)


def _basis(rng: np.random.Generator, n: int, dim: int) -> Array:
    while True:
        basis = rng.integers(-3, 4, (n, dim)).astype(float)
        if not dim or flint.fmpq_mat(exact(basis)).rank() == dim:
            return basis


def _start(rng: np.random.Generator, n: int) -> Array:
    return rng.integers(-2, 3, n) / 2.0


def cut_cube(rng: np.random.Generator, n: int) -> Drawn:
    rows, limits = _cube(n)
    cut = rng.integers(-2, 3, (2, n)).astype(float)
    rows = np.vstack([rows, cut[cut.any(axis=1)]])
    limits = np.concatenate([limits, np.full(len(rows) - len(limits), 0.5)])
    return _polyhedron(np.eye(n), np.zeros(n), rows, limits)


def flat_piece(rng: np.random.Generator, n: int) -> Drawn:
    dim = int(rng.integers(0, n)) if n > 1 else 1
    return _polyhedron(_basis(rng, n, dim), _start(rng, n), *_cube(dim))


def plane_through_zero(rng: np.random.Generator, n: int) -> Drawn:
    dim = max(1, n - 1)
    return _polyhedron(_basis(rng, n, dim), np.zeros(n), *_cube(dim))


def thin_slab(rng: np.random.Generator, n: int) -> Drawn:
    rows, limits = _cube(n)
    normal = rng.integers(-2, 3, n).astype(float)
    if not normal.any():
        normal[0] = 1.0
    rows = np.vstack([rows, normal, -normal])
    return _polyhedron(np.eye(n), np.zeros(n), rows, np.concatenate([limits, [2.0**-30, 2.0**-31]]))


def cone(rng: np.random.Generator, n: int) -> Drawn:
    rows = np.where(rng.random((n, n)) < 0.5, -np.eye(n), np.eye(n))
    keep = rng.random(n) < 0.7
    rows = rows[keep & rows.any(axis=1)]
    limits = rng.integers(0, 3, len(rows)) / 2.0
    return _polyhedron(np.eye(n), np.zeros(n), rows, limits)


def unbounded_strip(rng: np.random.Generator, n: int) -> Drawn:
    normal = rng.integers(-2, 3, n).astype(float)
    if not normal.any():
        normal[-1] = 1.0
    return _polyhedron(np.eye(n), np.zeros(n), np.vstack([normal, -normal]), np.array([1.0, 0.5]))


def flat_and_unbounded(rng: np.random.Generator, n: int) -> Drawn:
    dim = max(1, n - 1)
    rows = -np.eye(dim)[: int(rng.integers(0, dim + 1))]
    return _polyhedron(_basis(rng, n, dim), _start(rng, n), rows, np.ones(len(rows)))


KINDS: dict[str, Callable[[np.random.Generator, int], Drawn]] = {
    "box": box,
    "symmetric box": symmetric_box,
    "flat box": flat_box,
    "thin box": thin_box,
    "wide box": wide_box,
    "everywhere": everywhere,
    "cut cube": cut_cube,
    "flat piece": flat_piece,
    "plane through zero": plane_through_zero,
    "thin slab": thin_slab,
    "cone": cone,
    "unbounded strip": unbounded_strip,
    "flat and unbounded": flat_and_unbounded,
}


def question(kind: str, seed: int) -> Question:
    """Return a question of a kind: half of them plain, half partial, a third concave."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    make = varied_network if rng.random() < 0.3 else tiny_network
    number = int(rng.integers(2**31))
    network = make(number)[1] if make is varied_network else tiny_network(number, budget=6)[1]
    n = network.input_size
    inputs = None
    if rng.random() < 0.5:
        chosen = np.flatnonzero(rng.random(n) < 0.6)
        inputs = tuple(int(i) for i in chosen) or (int(rng.integers(n)),)
    return Question(network, KINDS[kind](rng, n), inputs, bool(rng.random() < 1 / 3))
