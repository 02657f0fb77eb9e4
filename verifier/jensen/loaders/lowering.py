"""A network under construction: the few operations that every loader lowers to.

Affine operations multiply and add the matrices of symbolic tensors, a ReLU closes a
tensor into a new :class:`~jensen.network.relu_network.Block`. Nothing is rounded: where merging
two affine maps would round, an identity block keeps them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_product, exact_row_scaling, exact_sum, nonzero_lines
from jensen.graphs.convolution import Convolution
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import GROUPED, Function
from jensen.graphs.node import GraphNode
from jensen.loaders.exact_rows import ExactRow, exact_rows, multiples
from jensen.loaders.steps import Steps, same_map
from jensen.loaders.symbolic import (
    MAX_BLOCKS,
    MAX_EDGES,
    MAX_NEURONS,
    LoweringError,
    SymbolicTensor,
    broadcast_together,
    check_entries,
    check_size,
    constant,
    nonzero_terms,
    stack,
    stored_count,
)
from jensen.network.checks import fixed
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork
from jensen.types import FloatArray

MAX_SUMMANDS = 32
_SMALL = 4096


class Lowering:
    """A network under construction.

    Parameters
    ----------
    input_size : int
        Number of scalar inputs of the network.
    keep_convolutions : bool
        Whether large convolutions stay what they are; the network then is a graph.

    Attributes
    ----------
    roundings : list of str
        What no double holds and had to be rounded; told to the user.
    steps : Steps
        Signs and magnitudes that were met.
    """

    def __init__(self, input_size: int, *, keep_convolutions: bool = False) -> None:
        check_size(input_size)
        self.keeps_convolutions = keep_convolutions
        self.roundings: list[str] = []
        self._blocks: list[Block | GraphNode] = []
        self.steps = Steps()
        self._arguments: dict[str, SymbolicTensor] = {}
        self._sizes = {INPUT: input_size}
        self._neurons = input_size
        self._edges = 0
        self._entries = 0
        self._counts: dict[str, int] = {}

    def input(self) -> SymbolicTensor:
        """Return the network's input vector."""
        return self._output_of(INPUT)

    # ------------------------------------------------------------------ affine

    def linear(self, matrix: Matrix, x: SymbolicTensor, shape: Sequence[int]) -> SymbolicTensor:
        """Return ``matrix @ x`` (of x flattened) as a tensor of the given shape."""
        check_entries(stored_count(matrix))
        merged = self._linear_terms(matrix, x)
        if merged is None:
            merged = self._linear_terms(matrix, self.materialise(x))
        if merged is None:
            raise LoweringError("weights whose product overflows")
        return SymbolicTensor(tuple(shape), *merged)

    def _linear_terms(
        self, matrix: Matrix, x: SymbolicTensor
    ) -> tuple[Mapping[str, Matrix], FloatArray] | None:
        terms: dict[str, Matrix] = {}
        for source, inner in x.terms.items():
            product = exact_product(matrix, inner)
            if product is None:
                return None
            terms[source] = product
        if not x.bias.any():
            return nonzero_terms(terms), np.zeros(matrix.shape[0])
        bias = exact_product(matrix, x.bias[:, None])
        if bias is None:
            if not x.is_constant:
                return None
            bias = matrix @ x.bias[:, None]  # constants alone are folded in floating point
        return nonzero_terms(terms), np.asarray(bias)[:, 0]

    def scale(self, x: SymbolicTensor, factors: FloatArray) -> SymbolicTensor:
        """Return ``factors * x``; ``factors`` is flat, of x's size."""
        if x.is_constant:  # constants alone are folded in floating point
            return constant((factors * x.bias).reshape(x.shape))
        for candidate in (x, self.materialise(x)):
            terms = {s: exact_row_scaling(m, factors) for s, m in candidate.terms.items()}
            bias = exact_row_scaling(candidate.bias, factors)
            if bias is not None and all(m is not None for m in terms.values()):
                return SymbolicTensor(x.shape, nonzero_terms(terms), bias)
        raise LoweringError("weights whose product overflows")

    def negate(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return ``-x``."""
        return SymbolicTensor(x.shape, {s: -m for s, m in x.terms.items()}, -x.bias)

    def add(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
        """Return ``x + y`` with broadcasting."""
        x, y = broadcast_together(x, y)
        total = self._sum(x, y)
        if total is None:
            kept, moved = (x, y) if _is_plain(x) else (y, x)
            total = self._sum(kept, self.materialise(moved))
            if total is None:
                total = self._sum(self.materialise(kept), self.materialise(moved))
        if total is None:
            raise LoweringError("constants whose sum overflows")
        if len(total.terms) <= MAX_SUMMANDS:
            return total
        # otherwise the edges of a long residual chain would grow quadratically
        return self._close(total, Activation.IDENTITY)

    def subtract(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
        """Return ``x - y`` with broadcasting."""
        return self.add(x, self.negate(y))

    def _sum(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor | None:
        bias = exact_sum(x.bias, y.bias)
        if bias is None:
            if not (x.is_constant and y.is_constant):
                return None
            bias = x.bias + y.bias
        terms = dict(x.terms)
        for source, matrix in y.terms.items():
            total = exact_sum(terms[source], matrix) if source in terms else matrix
            if total is None:
                return None
            terms[source] = total
        return SymbolicTensor(x.shape, nonzero_terms(terms), bias)

    def materialise(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return x as the output of an identity block, unless it is already plain."""
        if x.is_constant or _is_plain(x):
            return x
        return self._close(x, Activation.IDENTITY)

    # --------------------------------------------------------------- piecewise

    def relu(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return ``max(x, 0)``; numbers that do not depend on the input stay constants."""
        live = np.zeros(x.size, dtype=bool)
        for matrix in x.terms.values():
            live |= nonzero_lines(matrix, axis=1)
        if live.all():
            return self._close(x, Activation.RELU)
        fixed = constant(np.maximum(x.bias, 0.0))
        if not live.any():
            return fixed.reshape(x.shape)
        closed = self._close(x.take(np.flatnonzero(live)), Activation.RELU)
        position = x.indices()
        position.ravel()[live] = x.size + np.arange(closed.size)
        return stack([fixed, closed]).take(position)

    # ------------------------------------------------------------------- smooth

    def apply(
        self, x: SymbolicTensor, function: Function, parameter: float = 1.0, group: int = 1
    ) -> SymbolicTensor:
        """Return a function of every number, or of every ``group`` numbers in a row.

        Of groups the last axis, of that length, is reduced.
        """
        shape = x.shape if function not in GROUPED else x.shape[:-1]
        if x.is_constant:  # constants alone are folded in floating point
            blank = GraphNode("constant", {}, x.bias, function, parameter, group)
            with np.errstate(all="ignore"):
                return constant(blank.values(x.bias[None, :])[0].reshape(shape))
        name = self._named(str(function).replace("-", "_"))
        terms = self._recorded(x, name, x.size // group)
        self._arguments[name] = x
        self._blocks.append(GraphNode(name, terms, x.bias, function, parameter, group))
        return self._output_of(name).reshape(shape)

    def product(self, x: SymbolicTensor, y: SymbolicTensor) -> SymbolicTensor:
        """Return ``x * y`` with broadcasting; of multiples of each other the square."""
        x, y = broadcast_together(x, y)
        if x is y or same_map(x, y):
            return self.square(x)
        factors = multiples(x, y)
        if factors is not None:  # as in 0.5 * z * z
            return self.scale(self.square(y), factors)
        for value, gate in ((x, y), (y, x)):
            found = self.argument_of(gate, Function.SIGMOID)
            if found is not None and same_map(found[0], value):
                return self.scale(self.apply(value, Function.SILU), found[1])
        places = np.stack([x.indices(), x.size + y.indices()], axis=-1)
        return self.apply(stack([x, y]).take(places), Function.PRODUCT, group=2)

    def square(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return the squares of x; of Euclidean lengths the sums of squares that they are."""
        found = self.argument_of(x, Function.NORM)
        if found is None:
            return self.apply(x, Function.POWER, 2.0)
        vectors, factors = found
        sums = self.sum_last(self.apply(vectors, Function.POWER, 2.0))
        return self.scale(self.scale(sums, factors), factors)

    def sum_last(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return the sums along the last axis."""
        count, rows = x.shape[-1], prod(x.shape[:-1])
        parts = (np.ones(x.size), np.arange(x.size), np.arange(rows + 1) * count)
        return self.linear(sp.csr_array(parts, shape=(rows, x.size)), x, x.shape[:-1])

    def sign(self, x: SymbolicTensor) -> SymbolicTensor:
        """Return signs of x, which no block may read (:mod:`jensen.loaders.steps`)."""
        name = self._named("sign")
        self._sizes[name] = x.size
        self.steps.signs[name] = x
        return self._output_of(name).reshape(x.shape)

    def argument_of(
        self, x: SymbolicTensor, function: Function
    ) -> tuple[SymbolicTensor, FloatArray] | None:
        """Return z and c if x is ``c * function(z)`` elementwise; None otherwise.

        Of functions of groups, z has their members on an axis behind those of x.
        """
        if len(x.terms) != 1 or x.bias.any():
            return None
        ((name, matrix),) = x.terms.items()
        rows = sp.csr_array(matrix)
        rows.eliminate_zeros()
        single = (np.diff(rows.indptr) == 1).all()
        if name not in self._arguments or not name.startswith(f"{function}_") or not single:
            return None
        places = rows.indices.reshape(x.shape)
        if function in GROUPED:
            group = self._arguments[name].shape[-1]
            places = places[..., None] * group + np.arange(group)
        return self._arguments[name].take(places), rows.data

    def squared(self, name: str) -> SymbolicTensor | None:
        """Return what a block squares, number by number; None if it does something else."""
        for block in self._blocks:
            if block.name == name and isinstance(block, GraphNode):
                square = block.function is Function.POWER and block.parameter == 2
                return self._arguments.get(name) if square else None
        return None

    def convolve(
        self, convolution: Convolution, x: SymbolicTensor, shape: Sequence[int]
    ) -> SymbolicTensor:
        """Return a convolution of x as a tensor of the given shape, a node of its own."""
        source = self._whole_block(x)
        name = self._named("convolution")
        rows = convolution.shape[0]
        self._sizes[name] = rows
        self._counted(rows, edges=1)
        self._blocks.append(GraphNode(name, {source: convolution}, np.zeros(rows)))
        return self._output_of(name).reshape(shape)

    def _whole_block(self, x: SymbolicTensor) -> str:
        """Return the block whose outputs are x in their order; a new one where there is none."""
        for name, matrix in x.terms.items():
            every = np.arange(x.size)
            whole = (
                name != INPUT
                and sp.issparse(matrix)
                and matrix.shape == (x.size, x.size)
                and np.array_equal(matrix.indptr, np.arange(x.size + 1))
                and np.array_equal(matrix.indices, every)
                and (matrix.data == 1).all()
            )
            if whole and len(x.terms) == 1 and not x.bias.any():
                return name
        return next(iter(self._close(x, Activation.IDENTITY).terms))

    # -------------------------------------------------------------- the network

    def _close(self, x: SymbolicTensor, activation: Activation) -> SymbolicTensor:
        name = self._named("relu" if activation is Activation.RELU else "affine")
        terms = self._recorded(x, name, x.size)
        self._blocks.append(Block(name, terms, x.bias, activation))
        return self._output_of(name).reshape(x.shape)

    def _named(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}_{self._counts[prefix]}"

    def _recorded(self, x: SymbolicTensor, name: str, size: int) -> Mapping[str, Matrix]:
        """Count a new block against the limits, and return its weights."""
        self.steps.check(x.terms)
        self._sizes[name] = size
        self._counted(x.size, edges=len(x.terms))
        terms = {source: fixed(_tidy(matrix)) for source, matrix in x.terms.items()}
        self._entries += sum(stored_count(matrix) for matrix in terms.values())
        check_entries(self._entries)
        return terms

    def _counted(self, rows: int, *, edges: int) -> None:
        self._neurons += rows
        if self._neurons > MAX_NEURONS:
            raise LoweringError(f"more than {MAX_NEURONS} neurons are not supported")
        self._edges += edges
        if len(self._blocks) >= MAX_BLOCKS or self._edges > MAX_EDGES:
            raise LoweringError(
                f"more than {MAX_BLOCKS} layers, or {MAX_EDGES} edges between them, "
                "are not supported"
            )

    def exact_rows(self, x: SymbolicTensor, *, expand: bool = True) -> list[ExactRow] | None:
        """Return x over the rationals, past identity blocks or not; None where that is too much."""
        return exact_rows(x, {b.name: b for b in self._blocks} if expand else {})

    def _output_of(self, name: str) -> SymbolicTensor:
        size = self._sizes[name]
        every = np.arange(size + 1, dtype=np.int32)
        eye = sp.csr_array((np.ones(size), every[:-1], every), shape=(size, size))
        return SymbolicTensor((size,), {name: eye}, np.zeros(size))

    def finish(
        self, output: SymbolicTensor, input_shape: Sequence[int], output_shape: Sequence[int]
    ) -> ReluNetwork | FunctionGraph:
        """Return the network that computes a tensor, without blocks it does not read.

        It is a graph if a block applies another function than a ReLU.
        """
        self.steps.check(output.terms)
        terms = {source: _tidy(matrix) for source, matrix in output.terms.items()}
        if not terms:
            terms = {INPUT: _tidy(sp.csr_array((output.size, self._sizes[INPUT])))}
        kept: list[Block | GraphNode] = [Block(OUTPUT, terms, output.bias, Activation.IDENTITY)]
        needed = set(terms)
        for block in reversed(self._blocks):
            if block.name in needed:
                kept.append(block)
                needed.update(block.weights)
        shapes: dict[str, Any] = {"input_shape": input_shape, "output_shape": output_shape}
        blocks = [block for block in reversed(kept) if isinstance(block, Block)]
        if len(blocks) == len(kept):
            return ReluNetwork(self._sizes[INPUT], blocks, roundings=self.roundings, **shapes)
        nodes = [_as_node(block) for block in reversed(kept)]
        return FunctionGraph(self._sizes[INPUT], nodes, roundings=self.roundings, **shapes)


def _as_node(block: Block | GraphNode) -> GraphNode:
    if isinstance(block, GraphNode):
        return block
    return GraphNode(block.name, block.weights, block.bias, Function(str(block.activation)))


def _is_plain(x: SymbolicTensor) -> bool:
    """Whether x only picks outputs of blocks, unscaled and none twice, and adds them.

    Every affine map of such a tensor has the map's own entries as weights.
    """
    if x.bias.any():
        return False
    for matrix in x.terms.values():
        if not sp.issparse(matrix) or (np.abs(matrix.data) != 1).any():
            return False
        if (np.diff(matrix.indptr) > 1).any():
            return False
        if np.bincount(matrix.indices, minlength=1).max() > 1:
            return False
    return True


def _tidy(matrix: Matrix) -> Matrix:
    """Choose the storage: small or full matrices dense, the others sparse."""
    size = int(matrix.shape[0]) * int(matrix.shape[1])
    if sp.issparse(matrix):
        return matrix.toarray() if size <= _SMALL or 2 * matrix.nnz > size else matrix
    if size > 16 * _SMALL:
        sample = matrix.ravel(order="K")[:: size // _SMALL | 1]  # counting all of them takes long
        if 5 * np.count_nonzero(sample) < sample.size and 10 * np.count_nonzero(matrix) < size:
            return sp.csr_array(matrix)
    return matrix
