"""Partial evaluation: the blocks of a network some of whose inputs have a fixed value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.doubles import NotADoubleError, exact_doubles
from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.lossless import exact_product, exact_sum
from jensen.errors import NetworkError
from jensen.network.block import INPUT, Activation, Block
from jensen.text import shown
from jensen.types import FloatArray


def fixed_blocks(input_size: int, blocks: Sequence[Any], values: Mapping[int, float]) -> list[Any]:
    """Return the blocks of the function of the other inputs, which keep their order.

    ``bias + W v`` replaces the bias where no double of it is rounded. A block where it would
    be reads the values from a block of constants instead, so that the function is the same
    over the reals, whatever the values.

    Parameters
    ----------
    input_size : int
    blocks : sequence of Block, or of other dataclasses with a name, weights and a bias
    values : mapping from input to its value

    Raises
    ------
    NetworkError
        For an input that does not exist, a value that is not finite, and if no input is left.
    """
    fixed, numbers = _checked(input_size, values)
    free = np.setdiff1d(np.arange(input_size), fixed)
    constants = Block(
        _unused_name({block.name for block in blocks}),
        {INPUT: sp.csr_array((len(fixed), len(free)))},
        numbers,
        Activation.IDENTITY,
    )
    result = [
        _fixed_block(block, fixed, free, constants) if INPUT in block.weights else block
        for block in blocks
    ]
    used = any(constants.name in block.weights for block in result)
    return [constants, *result] if used else result


def blocks_on_plane(blocks: Sequence[Block], index: int, sign: float) -> list[Block]:
    """Return the blocks of a bias-free network where an input is 1 or -1, up to a constant.

    Columns take the place of biases, which are 0 but for the output's, so nothing is rounded.

    Parameters
    ----------
    blocks : sequence of Block
    index : int
        The input.
    sign : float
        Its value, 1 or -1.
    """
    result = []
    for block in blocks:
        bias, weights = np.zeros(block.size), dict(block.weights)
        if INPUT in weights:
            read = weights[INPUT]
            dense = read.toarray() if sp.issparse(read) else np.asarray(read)
            weights[INPUT], bias = np.delete(dense, index, axis=1), sign * dense[:, index]
        result.append(replace(block, weights=weights, bias=bias))
    return result


def _checked(input_size: int, values: Mapping[int, float]) -> tuple[list[int], FloatArray]:
    if not isinstance(values, Mapping):
        raise NetworkError(f"inputs to fix {shown(values)}: a mapping such as {{3: 0.5}} is needed")
    for index in values:
        whole = isinstance(index, Integral) and not isinstance(index, bool)
        if not whole or not 0 <= index < input_size:
            raise NetworkError(
                f"input {shown(index)} to fix: the network has {input_size}, from 0 on"
            )
    fixed = sorted(values)
    for index in fixed:
        try:
            if exact_doubles(values[index]).ndim:
                raise NetworkError(f"input {index} to fix: one number is needed")
        except NotADoubleError as error:
            raise NetworkError(f"input {index} to fix: {error}") from None
        if not math.isfinite(values[index]):
            raise NetworkError(f"input {index} fixed to {values[index]}: it has to be finite")
    if len(fixed) == input_size:
        raise NetworkError(f"all {input_size} inputs are fixed: at least one has to be left")
    return [int(index) for index in fixed], np.array([float(values[i]) for i in fixed])


def _fixed_block(block: Any, fixed: list[int], free: FloatArray, constants: Block) -> Any:
    weight = block.weights[INPUT]
    columns = weight.tocsc() if sp.issparse(weight) else weight
    rest, lost = _columns(columns, free), _columns(columns, fixed)
    weights = {INPUT: rest} | {s: w for s, w in block.weights.items() if s != INPUT}
    product = exact_product(lost, constants.bias[:, None])
    bias = None if product is None else exact_sum(block.bias, _vector(product))
    if bias is not None:
        return replace(block, weights=weights, bias=np.asarray(bias))
    return replace(block, weights=weights | {constants.name: lost})


def _columns(matrix: Matrix, chosen: Sequence[int] | FloatArray) -> Matrix:
    part = matrix[:, chosen]
    return sp.csr_array(part) if sp.issparse(part) else np.ascontiguousarray(part)


def _vector(product: Matrix) -> FloatArray:
    dense = product.toarray() if sp.issparse(product) else product
    return np.asarray(dense)[:, 0]


def _unused_name(names: set[str]) -> str:
    name = "fixed"
    while name in names:
        name += "_"
    return name
