"""A function on a line through two points, in floating point: for pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from jensen.graphs.drawing import relu_names
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

POINTS = 2001  # on a line: between two of them at most one kink per neuron is seen


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
    network: ReluNetwork | FunctionGraph,
    x: ArrayLike,
    y: ArrayLike,
    *,
    output: int = 0,
    before: float = 0.5,
    beyond: float = 0.5,
) -> Segment:
    """Evaluate an output on the line through x and y, with its kinks.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
    x, y : array of shape (inputs,)
    output : int
    before, beyond : float
        How far the line goes on beyond x and y, in units of their distance.
    """
    start, end = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    t = np.linspace(-before, 1 + beyond, POINTS)

    def at(positions: FloatArray) -> dict[str, FloatArray]:
        return network.pre_activations(start + positions[:, None] * (end - start))

    z = at(t)
    found = [t]
    for name in relu_names(network):
        left, right = z[name][:-1], z[name][1:]
        rows, neurons = np.nonzero((left < 0) != (right < 0))
        a, b = left[rows, neurons], right[rows, neurons]
        found.append(t[rows] + (t[rows + 1] - t[rows]) * a / (a - b))
    positions = _apart(np.concatenate(found), 1e-9 * (1 + before + beyond))
    values = at(positions)["output"][:, output]
    if isinstance(network, FunctionGraph):
        crossings = np.concatenate([np.empty(0), *found[1:]])
        return Segment(t, at(t)["output"][:, output], *_bends(at, output, crossings))
    slopes = np.diff(values) / np.diff(positions)
    changes = np.diff(slopes)
    scale = max(float(np.abs(slopes).max(initial=0.0)), 1e-300)
    bends = np.abs(changes) > 1e-6 * scale
    return Segment(positions, values, positions[1:-1][bends], changes[bends])


def _bends(
    at: Callable[[FloatArray], dict[str, FloatArray]],
    output: int,
    crossings: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return where the slope of a curved function jumps, and by how much.

    Across a kink a second difference grows with the step, elsewhere with its square: what grows
    with the square is eliminated from two of them.
    """
    positions = _apart(crossings, 1e-9)
    step = 0.1 / POINTS
    here = at(positions)["output"][:, output]
    near, far = (
        at(positions + h)["output"][:, output] + at(positions - h)["output"][:, output] - 2 * here
        for h in (step / 2, step)
    )
    changes = (4 * near - far) / step
    scale = max(float(np.abs(changes).max(initial=0.0)), float(np.abs(here).max(initial=0.0)))
    bends = np.abs(changes) > 1e-6 * max(scale, 1e-300)
    return positions[bends], changes[bends]


def _apart(positions: FloatArray, distance: float) -> FloatArray:
    """Return sorted positions of which no two are closer than a distance."""
    ordered = np.sort(positions)
    keep = np.ones(len(ordered), dtype=bool)
    keep[1:] = np.diff(ordered) > distance
    apart: FloatArray = ordered[keep]
    return apart
