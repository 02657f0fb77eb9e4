"""Piecewise-linear functions written with ReLU, shared by the loaders.

The identities hold exactly; where a constant such as ``1 - slope`` would be rounded,
another identity is used that needs none.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from jensen.arithmetic.lossless import exact_sum
from jensen.loaders.lowering import Lowering
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_size, constant, stack
from jensen.types import FloatArray, IndexArray


def leaky_relu(lowering: Lowering, x: SymbolicTensor, slopes: FloatArray) -> SymbolicTensor:
    """Return x where it is positive, ``slopes * x`` elsewhere.

    Parameters
    ----------
    slopes : array of shape (x.size,)

    Notes
    -----
    ``s x + (1 - s) relu(x)``, or ``relu(x) - s relu(-x)`` where 1 - s is no double.
    """
    rest = exact_sum(np.ones_like(slopes), -slopes)
    if rest is not None:
        x = lowering.materialise(x)
        straight = lowering.scale(x, slopes)
        return lowering.add(straight, lowering.scale(lowering.relu(x), np.asarray(rest)))
    both = lowering.relu(stack([x, lowering.negate(x)]))
    positive, negative = (both.take(np.arange(i, i + x.size).reshape(x.shape)) for i in (0, x.size))
    return lowering.subtract(positive, lowering.scale(negative, slopes))


def absolute(lowering: Lowering, x: SymbolicTensor) -> SymbolicTensor:
    """Return ``|x| = 2 relu(x) - x``."""
    plain = lowering.materialise(x)
    positive = lowering.relu(plain)
    lowering.steps.remember(positive, x, plain)
    return lowering.subtract(lowering.scale(positive, np.full(x.size, 2.0)), plain)


def clip(lowering: Lowering, x: SymbolicTensor, low: float, high: float) -> SymbolicTensor:
    """Return ``min(max(x, low), high) = low + relu(x - low) - relu(x - high)``.

    Parameters
    ----------
    low, high : float
        Either may be infinite, which leaves the side open.
    """
    if low > high:
        raise LoweringError(f"the lower bound {low:g} exceeds the upper bound {high:g}")
    if low == high:
        if np.isinf(low):
            raise LoweringError(f"both bounds are {low:g}")
        return constant(np.full(x.shape, low))
    if np.isinf(low) and np.isinf(high):
        return x
    bounds = [bound for bound in (low, high) if np.isfinite(bound)]
    if any(exact_sum(x.bias, np.full(x.size, -bound)) is None for bound in bounds):
        x = lowering.materialise(x)
    if np.isinf(high):
        below = constant(low)
        return lowering.add(below, lowering.relu(lowering.subtract(x, below)))
    above = constant(high)
    if np.isinf(low):
        return lowering.subtract(above, lowering.relu(lowering.subtract(above, x)))
    below = constant(low)
    both = lowering.relu(stack([lowering.subtract(x, below), lowering.subtract(x, above)]))
    from_low, from_high = (
        both.take(np.arange(i, i + x.size).reshape(x.shape)) for i in (0, x.size)
    )
    return lowering.add(below, lowering.subtract(from_low, from_high))


def tournament(
    lowering: Lowering, x: SymbolicTensor, candidates: IndexArray, *, largest: bool = True
) -> SymbolicTensor:
    """Return the largest (or smallest) of several numbers of x, in rounds of pairs.

    Parameters
    ----------
    candidates : array of shape (k, ...)
        Flat positions in x; the maximum is taken along the first axis. A position
        may occur twice: comparing a number with itself needs no ReLU.
    """
    field = lowering.materialise(x).take(candidates)
    while field.shape[0] > 1:
        positions = field.indices()
        half = len(positions) // 2
        left, right = field.take(positions[:half]), field.take(positions[half : 2 * half])
        gain = lowering.relu(lowering.subtract(left, right))
        winners = lowering.add(right, gain) if largest else lowering.subtract(left, gain)
        rest = field.take(positions[2 * half :])
        left_over = half + len(positions) % 2
        field = stack([winners, rest]).reshape((left_over, *field.shape[1:]))
    return field.reshape(field.shape[1:])


def ranking(
    lowering: Lowering, x: SymbolicTensor, candidates: IndexArray, *, largest: bool = True
) -> SymbolicTensor:
    """Return several numbers of x in order, the largest (or smallest) first.

    Parameters
    ----------
    candidates : array of shape (k, ...)
        Flat positions in x; they are sorted along the first axis.

    Notes
    -----
    Every comparison of a sorting network takes one ReLU: ``g = relu(a - b)`` gives the
    larger one, ``b + g``, and the smaller one, ``a - g``.
    """
    ranked = lowering.materialise(x).take(candidates)
    for pairs in _sorting_network(len(candidates)):
        positions = ranked.indices()
        first, second = (ranked.take(positions[list(side)]) for side in zip(*pairs, strict=True))
        gain = lowering.relu(lowering.subtract(first, second))
        larger, smaller = lowering.add(second, gain), lowering.subtract(first, gain)
        winners, losers = (larger, smaller) if largest else (smaller, larger)
        rows = np.arange(ranked.size).reshape(positions.shape)
        for side, offset in ((0, ranked.size), (1, ranked.size + winners.size)):
            rows[[pair[side] for pair in pairs]] = winners.indices() + offset
        ranked = stack([ranked, winners, losers]).take(rows)
    return ranked


def _sorting_network(count: int) -> Iterator[list[tuple[int, int]]]:
    """Yield rounds of comparisons that can be made at the same time.

    References
    ----------
    K. E. Batcher, "Sorting networks and their applications", AFIPS 1968: the odd-even
    merge sort. Comparisons with places beyond the last one change nothing.
    """
    block = 1
    while block < count:
        step = block
        while step:
            pairs = [
                (i + j, i + j + step)
                for i in range(step % block, count - step, 2 * step)
                for j in range(min(step, count - i - step))
                if (i + j) // (2 * block) == (i + j + step) // (2 * block)
            ]
            if pairs:
                yield pairs
            step //= 2
        block *= 2


def extremum(lowering: Lowering, tensors: list[SymbolicTensor], *, largest: bool) -> SymbolicTensor:
    """Return the elementwise maximum or minimum of several tensors, with broadcasting."""
    try:
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError:
        shapes = ", ".join(str(tensor.shape) for tensor in tensors)
        raise LoweringError(f"shapes {shapes} do not broadcast") from None
    check_size(len(tensors) * prod(shape))
    joined = stack([tensor.broadcast(shape) for tensor in tensors])
    candidates = joined.indices().reshape((len(tensors), *shape))
    return tournament(lowering, joined, candidates, largest=largest)
