"""What makes a collection of blocks a network: shapes, finite numbers, one acyclic graph."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.arithmetic.exact import Matrix
from jensen.errors import NetworkError, OptionError
from jensen.network.block import INPUT, OUTPUT, Activation, Block
from jensen.network.order import in_order
from jensen.text import shown
from jensen.types import FloatArray


def as_matrix(value: ArrayLike | Matrix, where: str) -> Matrix:
    """Return a float64 copy of a matrix; sparse ones as csr with sorted, single entries.

    What nobody can write to is shared, so that networks made of others cost no memory.

    Raises
    ------
    NetworkError
        If it is no matrix of numbers; the message starts with ``where``.
    """
    if sp.issparse(value):
        matrix = _as_csr(value, where)
        if matrix.ndim == 2 and not matrix.has_canonical_format:
            repeated, matrix = matrix, matrix.copy()
            matrix.sum_duplicates()  # sorts, too
            if matrix.nnz < repeated.nnz:
                _check_sums(repeated, matrix, where)
        elif not all(_is_fixed(part) for part in _parts(matrix)):
            matrix = matrix.copy()
    elif isinstance(value, np.ndarray) and value.dtype == np.float64 and _is_fixed(value):
        matrix = np.asarray(value, order="C")
    else:
        try:
            matrix = np.ascontiguousarray(exact_doubles(value))
        except NotADoubleError as error:
            raise NetworkError(
                f"{where}: not a matrix of numbers that doubles hold: {error}"
            ) from None
    if matrix.ndim != 2:
        raise NetworkError(f"{where}: a matrix (out, in) is needed, found shape {matrix.shape}")
    return matrix


def _as_csr(value: Matrix, where: str) -> Matrix:
    """Return a sparse matrix as csr, its entries unrounded."""
    if value.dtype != np.float64:
        try:
            entries = sp.coo_array(value)
            doubles = exact_doubles(entries.data)
        except NotADoubleError as error:
            raise NetworkError(
                f"{where}: not a matrix of numbers that doubles hold: {error}"
            ) from None
        value = sp.coo_array((doubles, entries.coords), shape=value.shape)
    matrix = sp.csr_array(value)
    if matrix.nnz < value.nnz:
        _check_sums(value, matrix, where)
    return matrix


def _check_sums(repeated: Matrix, summed: Matrix, where: str) -> None:
    """Refuse a matrix whose repeated entries were rounded when they were added up."""
    entries = sp.coo_array(repeated)
    exact: dict[tuple[int, int], Fraction] = {}
    for row, column, v in zip(*entries.coords, entries.data, strict=True):
        key = int(row), int(column)
        exact[key] = exact.get(key, Fraction(0)) + Fraction(float(v))
    if any(Fraction(float(summed[key])) != total for key, total in exact.items()):
        raise NetworkError(f"{where}: the sum of repeated entries is no double")


def as_vector(value: ArrayLike, where: str) -> FloatArray:
    """Return a float64 copy of a vector.

    Raises
    ------
    NetworkError
        If it is no vector of numbers; the message starts with ``where``.
    """
    try:
        vector = exact_doubles(value)
    except NotADoubleError as error:
        raise NetworkError(
            f"{where}: the bias is not a vector of numbers that doubles hold: {error}"
        ) from None
    if vector.ndim != 1:
        raise NetworkError(f"{where}: the bias must be a vector, found shape {vector.shape}")
    return vector


def frozen(block: Block) -> Block:
    """Return a copy whose arrays nobody else holds and nobody can write to."""
    if not isinstance(block, Block):
        raise NetworkError(
            f"{type(block).__name__} where a block is needed: "
            "Block(name, weights, bias, activation)"
        )
    if not isinstance(block.name, str) or not isinstance(block.weights, Mapping):
        raise NetworkError(
            f"{_title(block.name)}: its weights are {type(block.weights).__name__}, "
            "needed is Block(name, weights, bias, activation) with weights such as "
            "{'input': matrix}"
        )
    weights: dict[str, Matrix] = {}
    for source, weight in block.weights.items():
        matrix = as_matrix(weight, f"block {block.name!r}, weight from {source!r}")
        weights[source] = fixed(matrix)
    bias = as_vector(block.bias, f"block {block.name!r}")
    fixed(bias)
    try:
        activation = Activation(block.activation)
    except ValueError:
        raise NetworkError(
            f"block {block.name!r}: activation {shown(block.activation)}; "
            f"supported are {', '.join(Activation)}"
        ) from None
    return Block(block.name, weights, bias, activation)


def _title(name: Any) -> str:
    return f"block {name!r}"[:100] if isinstance(name, str) else f"block of name {type(name)}"


def fixed(matrix: Matrix) -> Matrix:
    """Make the arrays of a matrix, and those they are views of, read-only."""
    for part in _parts(matrix):
        holder = part
        while isinstance(holder, np.ndarray):
            holder.flags.writeable = False
            holder = holder.base
    return matrix


def _parts(matrix: Matrix) -> tuple[Any, ...]:
    return (matrix.data, matrix.indices, matrix.indptr) if sp.issparse(matrix) else (matrix,)


def _is_fixed(array: NDArray[Any]) -> bool:
    """Whether an array can be written to neither directly nor through one it is a view of."""
    holder: Any = array
    while isinstance(holder, np.ndarray):
        if holder.flags.writeable:
            return False
        holder = holder.base
    return holder is None


def as_count(value: Any, what: str) -> int:
    """Return a whole number.

    Raises
    ------
    NetworkError
    """
    try:
        return operator.index(value)
    except TypeError:
        raise NetworkError(f"{what} {shown(value)}: a whole number is needed") from None


def chosen_output(outputs: int, chosen: int | None) -> int:
    """Return which output is meant; None will do where there is only one.

    Raises
    ------
    OptionError
        If there are several and none was chosen.
    NetworkError
        If there is no such output.
    """
    if chosen is None and outputs > 1:
        raise OptionError(f"the network has {outputs} outputs: choose one, such as output=0")
    index = 0 if chosen is None else as_count(chosen, "output")
    if not 0 <= index < outputs:
        known = "one output, number 0" if outputs == 1 else f"outputs 0 to {outputs - 1}"
        raise NetworkError(f"there is no output {shown(index)}: the network has {known}")
    return index


def checked_shape(name: str, shape: Sequence[int] | None, size: int) -> tuple[int, ...]:
    """Return a tensor shape that holds ``size`` numbers; a vector's by default."""
    given = (size,) if shape is None else listed(shape, name)
    dims = tuple(as_count(s, name) for s in given)
    if min(dims, default=1) < 1 or prod(dims) != size:
        raise NetworkError(f"{name} {dims} does not hold {size} numbers")
    return dims


def listed(values: Any, name: str) -> tuple[Any, ...]:
    """Return what was given as a tuple.

    Raises
    ------
    NetworkError
        If it is no list of anything.
    """
    if not isinstance(values, str | bytes | Mapping):
        try:
            return tuple(values)
        except TypeError:
            pass
    raise NetworkError(f"{name} {shown(values)}: a list is needed")


def first_output(outputs: int, chosen: int | None) -> int:
    """Return which output is meant: the first where none was chosen, with a warning.

    Warns
    -----
    UserWarning
        If there are several and none was chosen.

    Raises
    ------
    NetworkError
        If there is no such output.
    """
    if chosen is None and outputs > 1:
        note = f"the network has {outputs} outputs, and the first is taken: output=k chooses one"
        warnings.warn(note, UserWarning, stacklevel=3)
        return 0
    return chosen_output(outputs, chosen)


def check_orientation(weights: Sequence[Matrix], biases: Sequence[FloatArray]) -> None:
    """Refuse layers that fit only when all their matrices are transposed.

    Raises
    ------
    NetworkError
    """

    def fit(shapes: list[tuple[int, ...]]) -> bool:
        ends = all(out == len(bias) for (out, _), bias in zip(shapes, biases, strict=True))
        return ends and all(later[1] == earlier[0] for earlier, later in pairwise(shapes))

    shapes = [tuple(weight.shape) for weight in weights]
    if not fit(shapes) and fit([shape[::-1] for shape in shapes]):
        raise NetworkError(
            f"weights[0] has shape {shapes[0]}, biases[0] {len(biases[0])} numbers: these weights "
            "are (in, out), and (out, in) is needed; pass [W.T for W in weights]"
        )


def ordered(input_size: int, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the blocks in topological order, otherwise as given.

    Raises
    ------
    NetworkError
        If they are no network; the message names the block and what is wrong with it.
    """
    if input_size < 1:
        raise NetworkError(f"the network has {input_size} inputs: at least one is needed")
    by_name = {block.name: block for block in blocks}
    if len(by_name) != len(blocks) or INPUT in by_name:
        raise NetworkError(f"block names must be unique and not {INPUT!r}")
    if OUTPUT not in by_name or by_name[OUTPUT].is_relu:
        raise NetworkError(f"one affine block must be called {OUTPUT!r}")
    sizes = {INPUT: input_size} | {block.name: block.size for block in blocks}
    for block in blocks:
        _check_block(block, sizes)
    return in_order(blocks)


def _check_block(block: Block, sizes: Mapping[str, int]) -> None:
    if block.size == 0:
        raise NetworkError(f"block {block.name!r} has zero neurons")
    if not block.weights:
        raise NetworkError(f"block {block.name!r} has no predecessor")
    if not np.isfinite(block.bias).all():
        raise NetworkError(f"block {block.name!r}: the bias holds NaN or infinity")
    for source, weight in block.weights.items():
        if source not in sizes:
            raise NetworkError(f"block {block.name!r} reads {source!r}, which does not exist")
        if tuple(weight.shape) != (block.size, sizes[source]):
            raise NetworkError(
                f"block {block.name!r}: weight from {source!r} has shape {tuple(weight.shape)}, "
                f"needed is ({block.size}, {shown(sizes[source])})"
            )
        if not np.isfinite(weight.data if sp.issparse(weight) else weight).all():
            raise NetworkError(
                f"block {block.name!r}: the weight from {source!r} holds NaN or infinity"
            )
