"""Einsum with one constant operand, as a product of stacked matrices."""

from __future__ import annotations

from math import prod

import numpy as np

from jensen.loaders.onnx.affine import times_matrix
from jensen.loaders.onnx.node import OnnxNode, operator
from jensen.loaders.symbolic import (
    LoweringError,
    SymbolicTensor,
    check_entries,
    check_size,
)


@operator("Einsum")
def einsum(node: OnnxNode) -> SymbolicTensor:
    """Return the sum over the subscripts that the output does not name."""
    (x_term, *others), output = _terms(node)
    x, weight, w_term = node.tensor(0), np.ones(()), ""
    if others:
        moving = 1 if node.is_constant(0) else 0
        if not node.is_constant(1 - moving):
            return _of_two_tensors(node, x_term, others[0], output)
        both = [x_term, *others]
        x, x_term = node.tensor(moving), both[moving]
        weight, w_term = node.numbers(1 - moving), both[1 - moving]
    sizes = _sizes(((x_term, x.shape), (w_term, weight.shape)))
    batch = [s for s in x_term if s in w_term and s in output]
    kept = [s for s in x_term if s not in w_term and s in output]
    summed = [s for s in x_term if s not in output]
    added = [s for s in w_term if s not in x_term]
    if set(added) - set(output):
        raise LoweringError("it sums over subscripts of its constant operand only")
    # what only x names is summed by a matrix of ones
    full = [*batch, *summed, *added]
    check_entries(prod(sizes[s] for s in full))
    order = [s for s in full if s in w_term]
    spread = weight.transpose([w_term.index(s) for s in order]).reshape(
        [sizes[s] if s in w_term else 1 for s in full]
    )
    spread = np.broadcast_to(spread, [sizes[s] for s in full])
    b, k, c, m = (int(np.prod([sizes[s] for s in group])) for group in (batch, kept, summed, added))
    moved = x.take(x.indices().transpose([x_term.index(s) for s in [*batch, *kept, *summed]]))
    product = times_matrix(node.lowering, moved.reshape((b, k, c)), spread.reshape(b, c, m))
    found = [*batch, *kept, *added]
    result = product.reshape([sizes[s] for s in found])
    return result.take(result.indices().transpose([found.index(s) for s in output]))


def _of_two_tensors(node: OnnxNode, x_term: str, y_term: str, output: str) -> SymbolicTensor:
    """Return the sum of products of two values that are both computed from the input."""
    x, y = node.tensor(0), node.tensor(1)
    sizes = _sizes(((x_term, x.shape), (y_term, y.shape)))
    summed = sorted({*x_term, *y_term} - set(output))
    full = [*output, *summed]
    shape = [sizes[s] for s in full]
    check_size(prod(shape))
    spread = []
    for tensor, term in ((x, x_term), (y, y_term)):
        order = tensor.indices().transpose([term.index(s) for s in full if s in term])
        places = order.reshape([sizes[s] if s in term else 1 for s in full])
        spread.append(tensor.take(np.broadcast_to(places, shape)))
    terms = node.lowering.product(*spread)
    count = prod(shape[len(output) :])
    return node.lowering.sum_last(terms.reshape((*shape[: len(output)], count)))


def _terms(node: OnnxNode) -> tuple[list[str], str]:
    """Return the subscripts of the operands and of the output."""
    equation = node.text("equation", "").replace(" ", "")
    operands, arrow, output = equation.partition("->")
    terms = operands.split(",")
    if not arrow:  # then every subscript that occurs once, in alphabetical order
        output = "".join(sorted(s for s in set(operands) - {","} if operands.count(s) == 1))
    plain = all(term.isalpha() and len(set(term)) == len(term) for term in terms)
    named = set(output) <= set("".join(terms)) and len(set(output)) == len(output)
    if not plain or not named or not len(terms) == len(node.inputs) <= 2:
        raise LoweringError(
            f"equation {equation!r}: one or two operands without dots or repeated subscripts "
            "are supported"
        )
    return terms, output


def _sizes(operands: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, int]:
    """Return the size that every subscript stands for."""
    sizes: dict[str, int] = {}
    for term, shape in operands:
        if len(term) != len(shape):
            raise LoweringError(f"subscripts {term!r} for shape {shape}")
        for subscript, size in zip(term, shape, strict=True):
            if sizes.setdefault(subscript, size) != size:
                raise LoweringError(f"subscript {subscript!r} is {sizes[subscript]} and {size}")
    return sizes
