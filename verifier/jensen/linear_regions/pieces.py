"""The affine pieces of f on many cells at once, rounded, and how far they may be off."""

from __future__ import annotations

from typing import Any

import numpy as np

from jensen.cells.complex import SignArray
from jensen.cells.layers import Layers
from jensen.types import FloatArray

CHUNK = 1 << 22  # signs at a time


def affine_pieces(layers: Layers, signs: SignArray) -> FloatArray:
    """Return f on every cell as a row over the homogeneous coordinates.

    Parameters
    ----------
    signs : int8 array (cells, units)
    """
    pieces = np.zeros((len(signs), layers.coordinates))
    step = max(1, CHUNK // max(1, layers.width))
    for start in range(0, len(signs), step):
        part = slice(start, start + step)
        pieces[part] = _pieces(layers, signs[part])
    return pieces


def _pieces(layers: Layers, signs: SignArray) -> FloatArray:
    slopes: dict[int, Any] = {len(layers.layers) - 1: np.ones((len(signs), 1))}
    total = np.zeros((len(signs), layers.coordinates))
    for k in range(len(layers.layers) - 1, -1, -1):
        slope = slopes.pop(k, None)
        if slope is None:
            continue
        layer = layers.layers[k]
        if layer.source is not None:
            total += slope @ layer.source
        for read in layer.reads:
            passed = signs[:, layers.span(read.level)]
            arrived = np.where(passed > 0, slope @ read.weights, 0.0)
            slopes[read.level] = slopes.get(read.level, 0.0) + arrived
    return total


def largest_slopes(layers: Layers) -> FloatArray:
    """Return, per coordinate, the sum of the absolute weight products of all paths to f.

    The slopes of :func:`affine_pieces` are off by at most ``layers.rounding`` times these.
    """
    size: dict[int, FloatArray] = {len(layers.layers) - 1: np.ones(1)}
    total = np.zeros(layers.coordinates)
    for k in range(len(layers.layers) - 1, -1, -1):
        reached = size.pop(k, None)
        if reached is None:
            continue
        layer = layers.layers[k]
        if layer.source is not None:
            total += reached @ np.abs(layer.source)
        for read in layer.reads:
            arrived = reached @ np.abs(read.weights)
            size[read.level] = size.get(read.level, 0.0) + arrived
    return total * (1 + 4 * layers.rounding)
