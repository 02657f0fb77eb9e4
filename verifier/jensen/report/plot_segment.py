"""A function on a line through two points, in floating point: for pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray


@dataclass(frozen=True)
class Segment:
    """A function on a line through two points.

    Attributes
    ----------
    t : array of shape (n,)
        Position: 0 is x, 1 is y.
    values : array of shape (n,)
    kinks : array of shape (k,)
        Positions where the slope changes.
    changes : array of shape (k,)
        By how much; negative ones break convexity.
    """

    t: FloatArray
    values: FloatArray
    kinks: FloatArray
    changes: FloatArray


def sample_segment(
    network: ReluNetwork,
    x: ArrayLike,
    y: ArrayLike,
    *,
    output: int = 0,
    before: float = 0.5,
    beyond: float = 0.5,
    points: int = 2001,
) -> Segment:
    """Evaluate an output on the line through x and y, with its kinks.

    Parameters
    ----------
    network : ReluNetwork
    x, y : array of shape (inputs,)
    output : int
    before, beyond : float
        How far the line goes on beyond x and y, in units of their distance.
    points : int
        Evenly spaced positions; between two of them at most one kink per neuron is seen.
    """
    start, end = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    t = np.linspace(-before, 1 + beyond, points)

    def at(positions: FloatArray) -> dict[str, FloatArray]:
        return network.pre_activations(start + positions[:, None] * (end - start))

    z = at(t)
    found = [t]
    for block in network.blocks:
        if block.is_relu:
            left, right = z[block.name][:-1], z[block.name][1:]
            rows, neurons = np.nonzero((left < 0) != (right < 0))
            a, b = left[rows, neurons], right[rows, neurons]
            found.append(t[rows] + (t[rows + 1] - t[rows]) * a / (a - b))
    positions = _apart(np.concatenate(found), 1e-9 * (1 + before + beyond))
    values = at(positions)["output"][:, output]
    slopes = np.diff(values) / np.diff(positions)
    changes = np.diff(slopes)
    scale = max(float(np.abs(slopes).max(initial=0.0)), 1e-300)
    bends = np.abs(changes) > 1e-6 * scale
    return Segment(positions, values, positions[1:-1][bends], changes[bends])


def _apart(positions: FloatArray, distance: float) -> FloatArray:
    """Return sorted positions of which no two are closer than a distance."""
    ordered = np.sort(positions)
    keep = np.concatenate([[True], np.diff(ordered) > distance])
    apart: FloatArray = ordered[keep]
    return apart
