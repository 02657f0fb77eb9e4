"""Quadratic forms in a graph: sums of products of affine functions of the inputs.

A product of two affine functions is neither convex nor concave by itself; a sum of such
products is a quadratic form, and whether that is semidefinite is decided in rational arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.rational import ZERO, rational
from jensen.arithmetic.semidefinite import negative_direction
from jensen.composition.curvature import Curvature
from jensen.graphs.convolution import Convolution, row_of
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.block import INPUT
from jensen.types import BoolArray, ObjectArray
from jensen_encodings.deadline import NEVER, Deadline

MOST_ROWS = 256  # per node; forms are decided one by one
MOST_INPUTS = 256
MANY = 20_000  # products of coefficients, from which on they are matrices

BIAS = -1
Row = Mapping[int, Any]  # input, or BIAS -> fmpq


class QuadraticForms:
    """The quadratic forms of a graph, in its moving inputs.

    Parameters
    ----------
    graph : FunctionGraph
    moving : bool array (inputs,)
    deadline : Deadline
        Of deciding which forms are semidefinite.

    Attributes
    ----------
    used : set of str
        Nodes of which a row is convex or concave by a form as a whole.
    """

    def __init__(self, graph: FunctionGraph, moving: BoolArray, deadline: Deadline = NEVER) -> None:
        self._graph, self._deadline = graph, deadline
        self._moving = np.flatnonzero(moving).tolist()
        self._place = {column: i for i, column in enumerate(self._moving)}
        self._value_row = cache(self._value_row_of)
        self.used: set[str] = set()

    def improve(self, node: GraphNode, z: Curvature, values: Mapping[str, Curvature]) -> Curvature:
        """Return the curvature of a node's rows, those counted in that are semidefinite forms.

        Raises
        ------
        OutOfTimeError
            If that was not known in time.
        """
        sources = [name for name in node.weights if self._is_quadratic(name)]
        unsure = np.flatnonzero(~z.convex & ~z.concave)
        if not sources or not 0 < len(unsure) <= MOST_ROWS or len(self._moving) > MOST_INPUTS:
            return z
        convex, concave = z.convex.copy(), z.concave.copy()
        for row in unsure.tolist():
            form, rest_convex, rest_concave = self._split(node, row, values, sources)
            if form is None:
                continue
            convex[row] = rest_convex and negative_direction(form, self._deadline) is None
            concave[row] = rest_concave and negative_direction(-form, self._deadline) is None
            if convex[row] or concave[row]:
                self.used.add(node.name)
        return Curvature(z.constant, convex, concave)

    def _is_quadratic(self, name: str) -> bool:
        return name != INPUT and is_quadratic(self._graph[name])

    def _split(
        self, node: GraphNode, row: int, values: Mapping[str, Curvature], sources: list[str]
    ) -> tuple[ObjectArray | None, bool, bool]:
        """Return the form of a row, and whether the other terms are convex, and concave."""
        terms: list[tuple[Any, Row, Row]] = []
        convex = concave = True
        for source, weight in node.weights.items():
            given = values[source]
            for column, entry in entries_of(weight, row):
                factors = self.factors(source, column) if source in sources else None
                if factors is not None:
                    terms.append((rational(entry), *factors))
                    continue
                convex &= bool((given.convex if entry > 0 else given.concave)[column])
                concave &= bool((given.concave if entry > 0 else given.convex)[column])
        if not terms or not (convex or concave):
            return None, False, False
        return self.hessian(terms), convex, concave

    def hessian(self, terms: list[tuple[Any, Row, Row]]) -> ObjectArray:
        """Return the matrix of ``sum w (a x)(b x)``, twice, in the moving inputs."""
        n = len(self._moving)
        if sum(len(left) * len(right) for _, left, right in terms) > MANY:
            half = self._half(terms)
            return np.array((half + half.transpose()).tolist(), dtype=object)
        total: ObjectArray = np.full((n, n), ZERO, dtype=object)
        for weight, left, right in terms:
            for i, a in left.items():
                for j, b in right.items():
                    if i in self._place and j in self._place:
                        k, m = self._place[i], self._place[j]
                        total[k, m] += weight * a * b
                        total[m, k] += weight * a * b
        return total

    def _half(self, terms: list[tuple[Any, Row, Row]]) -> Any:
        """Return the matrix of ``sum w (a x)(b x)`` as a product of two of FLINT's."""
        lefts = [[weight * left.get(i, ZERO) for i in self._moving] for weight, left, _ in terms]
        rights = [[right.get(i, ZERO) for i in self._moving] for _, _, right in terms]
        return flint.fmpq_mat(lefts).transpose() * flint.fmpq_mat(rights)

    def factors(self, name: str, index: int) -> tuple[Row, Row] | None:
        """Return the rows of both factors of a product; None unless both are affine."""
        node = self._graph[name]
        if not is_quadratic(node):
            return None
        both = (2 * index, 2 * index + 1) if node.function is Function.PRODUCT else (index, index)
        left, right = (self._pre_row(node, row) for row in both)
        return None if left is None or right is None else (left, right)

    def _pre_row(self, node: GraphNode, row: int) -> Row | None:
        bias = rational(float(node.bias[row]))
        total: dict[int, Any] = {BIAS: bias} if bias else {}
        for source, weight in node.weights.items():
            for column, entry in entries_of(weight, row):
                inner = self._value_row(source, column)
                if inner is None:
                    return None
                for k, v in inner.items():
                    total[k] = total.get(k, ZERO) + rational(entry) * v
        return total

    def _value_row_of(self, name: str, index: int) -> Row | None:
        if name == INPUT:
            return {index: rational(1)}
        node = self._graph[name]
        return self._pre_row(node, index) if node.function is Function.IDENTITY else None


def is_quadratic(node: GraphNode) -> bool:
    """Whether a node multiplies two of its rows, or a row with itself."""
    return node.function is Function.PRODUCT or (
        node.function is Function.POWER and node.parameter == 2
    )


def entries_of(weight: Matrix | Convolution, row: int) -> list[tuple[int, float]]:
    """Return (column, entry) of the non-zeros of a row."""
    columns, data = row_of(weight, row)
    return [(int(c), float(v)) for c, v in zip(columns, data, strict=True) if v]
