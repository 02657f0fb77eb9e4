"""Resize and Upsample: nearest and linear interpolation, one axis after the other."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, prod

import numpy as np
import scipy.sparse as sp

from jensen.loaders.onnx_node import Node, normal_axis, operator
from jensen.loaders.symbolic import LoweringError, SymbolicTensor, check_entries, check_size

_HALF = Fraction(1, 2)

_ROUND: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda v: ceil(v - _HALF),
    "round_prefer_ceil": lambda v: floor(v + _HALF),
    "floor": floor,
    "ceil": ceil,
}


@operator("Upsample", "Resize")
def resize(node: Node) -> SymbolicTensor:
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
        places = [_place(node, i, x.shape[axis], size, scale) for i in range(size)]
        interpolate = _pick if mode == "nearest" else _blend
        x = interpolate(node, x, axis, places)
    return x


def _targets(node: Node, shape: tuple[int, ...]) -> list[tuple[int, Fraction]]:
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
    if count != len(axes) or min((size for size, _ in pairs), default=1) < 1:
        raise LoweringError(f"sizes {[size for size, _ in pairs]} of shape {shape}")
    for axis, pair in zip(axes, pairs, strict=True):
        result[axis] = pair
    check_size(prod(size for size, _ in result))
    return result


def _place(node: Node, i: int, old: int, new: int, scale: Fraction) -> Fraction:
    """Return where in the input the i-th output lies."""
    usual = "asymmetric" if node.opset < 11 else "half_pixel"
    how = node.text("coordinate_transformation_mode", usual)
    if how == "asymmetric":
        return i / scale
    if how == "half_pixel" or (how == "pytorch_half_pixel" and new > 1):
        return (i + _HALF) / scale - _HALF
    if how == "pytorch_half_pixel":
        return Fraction(0)
    if how == "align_corners":
        return Fraction(i * (old - 1), new - 1) if new > 1 else Fraction(0)
    raise LoweringError(f"coordinate_transformation_mode {how!r} is not supported")


def _pick(node: Node, x: SymbolicTensor, axis: int, places: list[Fraction]) -> SymbolicTensor:
    how = node.text("nearest_mode", "floor" if node.opset < 11 else "round_prefer_floor")
    if how not in _ROUND:
        raise LoweringError(f"nearest_mode {how!r} is unknown")
    nearest = np.clip([_ROUND[how](place) for place in places], 0, x.shape[axis] - 1)
    return x.take(np.take(x.indices(), nearest, axis=axis))


def _blend(node: Node, x: SymbolicTensor, axis: int, places: list[Fraction]) -> SymbolicTensor:
    last = Fraction(x.shape[axis] - 1)
    inside = [min(max(place, Fraction(0)), last) for place in places]
    left = np.array([floor(place) for place in inside])
    right = np.minimum(left + 1, x.shape[axis] - 1)
    exact = [place - floor(place) for place in inside]
    share = np.array([float(part) for part in exact])
    if any(Fraction(found) != part for found, part in zip(share.tolist(), exact, strict=True)):
        node.lowering.roundings.append(f"{node.label}: its weights were rounded to doubles")
    shape = list(x.shape)
    shape[axis] = len(places)
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
