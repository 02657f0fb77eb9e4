"""Resize and Upsample: nearest and linear interpolation, one axis after the other.

Where an output lies between the inputs is a fraction n/d, kept as two integers: runtimes
that compute it in floating point may take the other neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor, prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.onnx.node import OnnxNode, normal_axis, operator
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_entries, check_size

_ROUND: dict[str, Callable[[int, int], int]] = {
    "round_prefer_floor": lambda n, d: -((d - 2 * n) // (2 * d)),
    "round_prefer_ceil": lambda n, d: (2 * n + d) // (2 * d),
    "floor": lambda n, d: n // d,
    "ceil": lambda n, d: -(-n // d),
}


@operator("Upsample", "Resize")
def resize(node: OnnxNode) -> SymbolicTensor:
    """Interpolate along every axis whose size changes."""
    x = node.tensor(0)
    mode = node.text("mode", "nearest")
    if mode not in ("nearest", "linear", "bilinear"):
        raise LoweringError(f"mode {mode!r}; 'nearest' and 'linear' are supported")
    if node.flag("antialias") or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise LoweringError("antialias and keep_aspect_ratio_policy are not supported")
    for axis, (size, scale) in enumerate(_targets(node, x.shape)):
        if size == x.shape[axis] and scale == 1:
            continue
        step, start, divisor = _places(node, x.shape[axis], size, scale)
        numerators = [step * i + start for i in range(size)]
        interpolate = _pick if mode == "nearest" else _blend
        x = interpolate(node, x, axis, numerators, divisor)
    return x


def _targets(node: OnnxNode, shape: tuple[int, ...]) -> list[tuple[int, Fraction]]:
    """Return the size and the scale of every axis."""
    rank = len(shape)
    axes = list(range(rank))
    if (given := node.sequence("axes")) is not None:
        axes = [normal_axis(axis, rank) for axis in given]
    scales_at = 1 if node.opset < 11 else 2
    result = [(size, Fraction(1)) for size in shape]
    if node.has(3) and node.array(3).size:
        sizes = node.integers(3)
        pairs = [(s, Fraction(s, max(1, shape[a]))) for s, a in zip(sizes, axes, strict=False)]
        count = len(sizes)
    else:
        numbers = node.floats("scales") if node.opset < 9 else node.numbers(scales_at).ravel()
        scales = [Fraction(float(number)) for number in numbers]
        pairs = [(floor(s * shape[a]), s) for s, a in zip(scales, axes, strict=False)]
        count = len(scales)
    if not count == len(axes) == len(set(axes)) or min((size for size, _ in pairs), default=1) < 1:
        raise LoweringError(f"sizes {[size for size, _ in pairs]} of shape {shape}")
    for axis, pair in zip(axes, pairs, strict=True):
        result[axis] = pair
    check_size(prod(size for size, _ in result))
    return result


def _places(node: OnnxNode, old: int, new: int, scale: Fraction) -> tuple[int, int, int]:
    """Return integers with which output i lies at ``(step * i + start) / divisor``."""
    usual = "asymmetric" if node.opset < 11 else "half_pixel"
    how = node.text("coordinate_transformation_mode", usual)
    if how == "asymmetric":  # i / scale
        return scale.denominator, 0, scale.numerator
    if how == "half_pixel" or (how == "pytorch_half_pixel" and new > 1):
        # (i + 1/2) / scale - 1/2
        half = scale.denominator - scale.numerator
        return 2 * scale.denominator, half, 2 * scale.numerator
    if how == "pytorch_half_pixel" or (how == "align_corners" and new == 1):
        return 0, 0, 1
    if how == "align_corners":
        return old - 1, 0, new - 1
    raise LoweringError(f"coordinate_transformation_mode {how!r} is not supported")


def _pick(
    node: OnnxNode, x: SymbolicTensor, axis: int, numerators: list[int], divisor: int
) -> SymbolicTensor:
    how = node.text("nearest_mode", "floor" if node.opset < 11 else "round_prefer_floor")
    if how not in _ROUND:
        raise LoweringError(f"nearest_mode {how!r} is unknown")
    last = x.shape[axis] - 1
    nearest = [min(max(_ROUND[how](n, divisor), 0), last) for n in numerators]
    return x.take(np.take(x.indices(), nearest, axis=axis))


def _blend(
    node: OnnxNode, x: SymbolicTensor, axis: int, numerators: list[int], divisor: int
) -> SymbolicTensor:
    last = x.shape[axis] - 1
    inside = [min(max(n, 0), last * divisor) for n in numerators]
    left = np.array([n // divisor for n in inside])
    right = np.minimum(left + 1, last)
    share = np.array([n % divisor / divisor for n in inside])
    if not _is_exact(share, inside, divisor):
        node.lowering.roundings.append(f"{node.label}: its weights were rounded to doubles")
    shape = list(x.shape)
    shape[axis] = len(numerators)
    check_entries(2 * prod(shape))
    positions = [np.take(x.indices(), side, axis=axis).ravel() for side in (left, right)]
    along = np.indices(shape)[axis].ravel()
    weights = np.stack([1.0 - share[along], share[along]], axis=1).ravel()
    rows = np.arange(prod(shape) + 1) * 2
    parts = (weights, np.stack(positions, axis=1).ravel(), rows)
    matrix = sp.csr_array(parts, shape=(prod(shape), x.size))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return node.lowering.linear(matrix, x, shape)


def _is_exact(share: np.ndarray, numerators: list[int], divisor: int) -> bool:
    """Whether the weights of both neighbours are what they should be."""
    if (1.0 - (1.0 - share) != share).any():
        return False
    ratios = (value.as_integer_ratio() for value in share.tolist())
    return all(p * divisor == n % divisor * q for (p, q), n in zip(ratios, numerators, strict=True))
