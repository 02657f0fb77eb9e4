"""Sums of functions of one affine number each: ``sum psi_i(a_i x)``, psi piecewise quadratic.

Huber's function ``z^2 / 2 - relu(|z| - d)^2 / 2``, the square of a leaky ReLU, a learned spline:
their terms bend both ways, but terms along one direction add up to a function of one number, and
whether that is convex is read off its pieces, in rational arithmetic (docs/smooth.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

import numpy as np

from jensen.arithmetic.rational import ONE, ZERO, rational
from jensen.composition.curvature import Curvature
from jensen.composition.quadratic import BIAS, entries_of, is_quadratic
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT

MOST_ROWS = 256  # of a node
MOST_TERMS = 1 << 17  # of these rows
MOST_PIECES = 64
MOST_DEPTH = 32  # nodes behind each other

Direction = tuple[tuple[int, Any], ...]  # (input, factor), the first factor 1; () of a constant
Piece = tuple[Any, Any, Any]  # of a t^2 + b t + c
_NOTHING: Piece = (ZERO, ZERO, ZERO)


@dataclass(frozen=True, eq=False)
class Curve:
    """A continuous function of ``t = direction x``.

    Attributes
    ----------
    direction : tuple of (input, fmpq)
    breaks : tuple of fmpq
        Increasing.
    pieces : tuple of (fmpq, fmpq, fmpq)
        Quadratic functions, one more than breaks.
    """

    direction: Direction
    breaks: tuple[Any, ...]
    pieces: tuple[Piece, ...]

    @property
    def is_linear(self) -> bool:
        """Whether no piece is quadratic."""
        return all(a == 0 for a, _, _ in self.pieces)

    def piece_at(self, k: int, breaks: tuple[Any, ...]) -> Piece:
        """Return the piece that holds between two neighbours of a finer list of breaks."""
        if k == 0:
            return self.pieces[0]
        return self.pieces[bisect_right(self.breaks, breaks[k - 1])]

    def bends(self) -> tuple[bool, bool]:
        """Return whether it is convex, and whether it is concave."""
        changes = [a for a, _, _ in self.pieces]
        for at, left, right in zip(self.breaks, self.pieces, self.pieces[1:], strict=False):
            changes.append(2 * (right[0] - left[0]) * at + right[1] - left[1])
        return all(v >= 0 for v in changes), all(v <= 0 for v in changes)


Term = tuple[Any, Curve]  # factor and function


class RidgeFunctions:
    """Sums, in the rows of a graph, of functions of one affine number each.

    Parameters
    ----------
    graph : FunctionGraph

    Attributes
    ----------
    used : set of str
        Nodes of which a row was shown to be convex or concave in this way.
    """

    def __init__(self, graph: FunctionGraph) -> None:
        self._graph = graph
        self._value = cache(self._value_of)
        self._may = _read_kinks_or_squares(graph)
        self._directions: dict[tuple[tuple[int, int, int], ...], Direction] = {}
        self.used: set[str] = set()

    def improve(self, node: GraphNode, z: Curvature, values: Mapping[str, Curvature]) -> Curvature:
        """Return the curvature of a node's rows, with what their directions show."""
        unsure = np.flatnonzero(~z.convex & ~z.concave).tolist()
        if not self._may.intersection(node.weights) or not 0 < len(unsure) <= MOST_ROWS:
            return z
        rows = [self._entries(node, row) for row in unsure]
        if sum(len(entries) for entries in rows) > MOST_TERMS:
            return z
        convex, concave = z.convex.copy(), z.concave.copy()
        for row, entries in zip(unsure, rows, strict=True):
            convex[row], concave[row] = self._bends(entries, values)
            if convex[row] or concave[row]:
                self.used.add(node.name)
        return Curvature(z.constant, convex, concave)

    @staticmethod
    def _entries(node: GraphNode, row: int) -> list[tuple[str, int, float]]:
        return [
            (source, column, entry)
            for source, weight in node.weights.items()
            for column, entry in entries_of(weight, row)
        ]

    def _bends(
        self, entries: list[tuple[str, int, float]], values: Mapping[str, Curvature]
    ) -> tuple[bool, bool]:
        """Return whether a sum of terms is convex, and concave."""
        convex = concave = True
        along: dict[int, list[Term]] = {}
        for source, column, entry in entries:
            curve = self._value(source, column)
            if curve is not None:
                along.setdefault(id(curve.direction), []).append((rational(entry), curve))
                continue
            given = values[source]
            convex &= bool((given.convex if entry > 0 else given.concave)[column])
            concave &= bool((given.concave if entry > 0 else given.convex)[column])
            if not (convex or concave):
                return False, False
        for terms in along.values():
            total = _sum(terms)
            up, down = (False, False) if total is None else total.bends()
            convex, concave = convex and up, concave and down
        return convex, concave

    # ------------------------------------------------------------------- curves

    def _value_of(self, name: str, index: int) -> Curve | None:
        """Return a value as a function of one affine number; None if it is none, or not known."""
        if name == INPUT:
            return Curve(self._the_one(((index, ONE),)), (), ((ZERO, ONE, ZERO),))
        if name not in self._may:
            return None
        node = self._graph[name]
        if not is_quadratic(node):
            inner = self._row(node, index)
            if inner is None or node.function is Function.IDENTITY:
                return inner
            return _positive_part(inner)
        both = (2 * index, 2 * index + 1) if node.function is Function.PRODUCT else (index, index)
        left, right = (self._row(node, row) for row in both)
        return None if left is None or right is None else _multiplied(left, right)

    def _row(self, node: GraphNode, row: int) -> Curve | None:
        """Return a pre-activation as a function of one affine number."""
        affine: dict[int, Any] = {BIAS: rational(float(node.bias[row]))}
        terms: list[Term] = []
        for source, column, entry in self._entries(node, row):
            weight = rational(entry)
            if source == INPUT:
                affine[column] = affine.get(column, ZERO) + weight
                continue
            curve = self._value(source, column)
            if curve is None:
                return None
            if not curve.breaks and curve.is_linear:
                _, slope, offset = curve.pieces[0]
                affine[BIAS] += weight * offset
                for k, factor in curve.direction:
                    affine[k] = affine.get(k, ZERO) + weight * slope * factor
                continue
            if terms and curve.direction is not terms[0][1].direction:
                return None
            terms.append((weight, curve))
        offset = affine.pop(BIAS)
        factors = sorted((k, v) for k, v in affine.items() if v != 0)
        if factors:
            slope = factors[0][1]
            direction = self._the_one(tuple((k, v / slope) for k, v in factors))
        else:
            slope, direction = ZERO, terms[0][1].direction if terms else self._the_one(())
        rest = Curve(direction, (), ((ZERO, slope, offset),))
        if not terms:
            return rest
        return _sum([(ONE, rest), *terms]) if direction is terms[0][1].direction else None

    def _the_one(self, direction: Direction) -> Direction:
        """Return the object that stands for a direction: rationals are costly to hash."""
        key = tuple((k, int(v.p), int(v.q)) for k, v in direction)
        return self._directions.setdefault(key, direction)


def _read_kinks_or_squares(graph: FunctionGraph) -> frozenset[str]:
    """Return nodes whose values may be piecewise linear or quadratic functions of the inputs."""
    if graph.has_convolutions:
        return frozenset()
    depth = {INPUT: 0}
    for node in graph.nodes[:-1]:
        plain = node.function in {Function.IDENTITY, Function.RELU} or is_quadratic(node)
        if plain and all(depth.get(source, MOST_DEPTH) < MOST_DEPTH for source in node.weights):
            depth[node.name] = 1 + max((depth[source] for source in node.weights), default=0)
    return frozenset(depth) - {INPUT}


def _sum(terms: list[Term]) -> Curve | None:
    """Return a sum of multiples along one direction; None if it has too many pieces.

    Each break changes the piece on its right by something: the changes of all terms are added up
    from left to right.
    """
    piece = _NOTHING
    changes = []
    for factor, curve in terms:
        piece = _moved(piece, factor, curve.pieces[0])
        sides = zip(curve.breaks, curve.pieces, curve.pieces[1:], strict=False)
        changes += [(at, factor, left, right) for at, left, right in sides]
    breaks: list[Any] = []
    pieces = [piece]
    for at, factor, left, right in sorted(changes, key=itemgetter(0)):
        piece = _moved(_moved(piece, factor, right), -factor, left)
        if breaks and at == breaks[-1]:
            pieces[-1] = piece
        else:
            breaks.append(at)
            pieces.append(piece)
    direction = terms[0][1].direction
    return Curve(direction, tuple(breaks), tuple(pieces)) if len(breaks) < MOST_PIECES else None


def _moved(piece: Piece, factor: Any, by: Piece) -> Piece:
    return piece[0] + factor * by[0], piece[1] + factor * by[1], piece[2] + factor * by[2]


def _multiplied(left: Curve, right: Curve) -> Curve | None:
    """Return a product of two functions whose pieces are affine."""
    if left.direction is not right.direction or not (left.is_linear and right.is_linear):
        return None
    breaks = tuple(sorted({*left.breaks, *right.breaks}))
    if len(breaks) >= MOST_PIECES:
        return None
    pairs = [(left.piece_at(k, breaks), right.piece_at(k, breaks)) for k in range(len(breaks) + 1)]
    pieces = tuple((p[1] * q[1], p[1] * q[2] + p[2] * q[1], p[2] * q[2]) for p, q in pairs)
    return Curve(left.direction, breaks, pieces)


def _positive_part(curve: Curve) -> Curve | None:
    """Return relu of a function whose pieces are affine."""
    if not curve.is_linear:
        return None
    roots = []
    for k, (_, slope, offset) in enumerate(curve.pieces):
        if slope != 0:
            root = -offset / slope
            after = k == 0 or curve.breaks[k - 1] < root
            if after and (k == len(curve.breaks) or root < curve.breaks[k]):
                roots.append(root)
    breaks = tuple(sorted([*curve.breaks, *roots]))
    if len(breaks) >= MOST_PIECES:
        return None
    pieces = []
    for k in range(len(breaks) + 1):
        _, slope, offset = piece = curve.piece_at(k, breaks)
        at = _between(k, breaks)
        pieces.append(piece if slope * at + offset > 0 else _NOTHING)
    return Curve(curve.direction, breaks, tuple(pieces))


def _between(k: int, breaks: tuple[Any, ...]) -> Any:
    """Return a point strictly between two neighbours, the first and last of which are infinite."""
    if not breaks:
        return ZERO
    if k == 0:
        return breaks[0] - 1
    if k == len(breaks):
        return breaks[-1] + 1
    return (breaks[k - 1] + breaks[k]) / 2
