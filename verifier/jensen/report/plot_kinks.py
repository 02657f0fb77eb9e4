"""Where a function of two inputs bends, and which way, in floating point: for pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from jensen.graphs.drawing import relu_names
from jensen.graphs.function_graph import FunctionGraph
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray

GRID = 201  # points on each side of contours, but of networks of which they would take long
_LEAST_GRID = 61
_WIDTHS = (0.8, 2.2)
_SIDE, _MOST_INK = 270.0, 0.4  # of the picture in points, and the share of it that lines cover
_WORK = 2e10  # multiply-adds for the grid, and again for the kinks: a few seconds


def grid_side(network: ReluNetwork | FunctionGraph) -> int:
    """Return the number of points on each side of a grid."""
    return int(np.clip((_WORK / network.parameter_count) ** 0.5, _LEAST_GRID, GRID))


def kink_lines(
    network: ReluNetwork | FunctionGraph,
    first: FloatArray,
    second: FloatArray,
    z: dict[str, FloatArray],
    output: int,
) -> list[tuple[FloatArray, int]]:
    """Return stretches of the kinks, each with the sign of the slope's change across it.

    Parameters
    ----------
    network : ReluNetwork or FunctionGraph
        With two inputs.
    first, second : arrays
        Of a grid.
    z : mapping from block to array (points of the grid, size)
        Pre-activations.
    output : int

    Returns
    -------
    list of (array (points, 2), +1, or -1 where f bends down)
    """
    from contourpy import contour_generator  # noqa: PLC0415  (comes with matplotlib)

    shape = (len(second), len(first))
    lines: list[FloatArray] = []
    for name in relu_names(network):
        for values in z[name].T:
            if values.min() < 0 < values.max():
                contours = contour_generator(first, second, values.reshape(shape))
                lines += [np.asarray(line) for line in contours.lines(0.0)]
    lines = [line for line in (_distinct(line) for line in lines) if len(line) > 1]
    if not lines:
        return []
    starts, ends = np.vstack([n[:-1] for n in lines]), np.vstack([n[1:] for n in lines])
    along = ends - starts
    along /= np.abs(along).max(axis=1, keepdims=True)  # squares of tiny lengths would vanish
    normal = np.column_stack([-along[:, 1], along[:, 0]])
    normal /= np.linalg.norm(along, axis=1)[:, None]
    cell = float(min(first[1] - first[0], second[1] - second[0]))
    middle, step = (starts + ends) / 2, 0.25 * cell

    def f(points: FloatArray) -> FloatArray:
        return network(points)[:, output]

    every = max(1.0, 3 * len(middle) * network.parameter_count / _WORK)
    shown, place = _shared([len(line) - 1 for line in lines], int(every))
    middle, normal = middle[shown], normal[shown]
    change = _second_difference(f, middle, normal, step)
    if isinstance(network, FunctionGraph):
        # what is smooth grows with the square of the step, and not with the step
        change = 4 * _second_difference(f, middle, normal, step / 2) - change
    scale = max(float(np.abs(change).max()), 1e-300)
    signs = np.where(np.abs(change) > 1e-4 * scale, np.sign(change), 0).astype(int)[place]
    stretches = []
    done = 0
    for line in lines:
        stretches += _runs(line, signs[done : done + len(line) - 1], 1e-3 * cell)
        done += len(line) - 1
    return stretches


def kink_widths(
    lines: Iterable[tuple[FloatArray, int]], low: FloatArray, high: FloatArray
) -> tuple[float, float]:
    """Return the widths in points of kinks that bend up, and of those that bend down.

    Where they would cover more than a part of the picture of the box, all of them are thinner.
    """
    ink = 0.0
    for line, bend in lines:
        length = np.linalg.norm(np.diff(line / (high - low), axis=0), axis=1).sum()
        ink += float(length) * _WIDTHS[bend < 0] / _SIDE
    share = min(1.0, _MOST_INK / max(ink, 1e-300))
    return _WIDTHS[0] * share, _WIDTHS[1] * share


def _shared(counts: list[int], every: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return which stretches of lines are looked at, and for each stretch which of these it takes.

    So many neighbours as ``every`` share one, none with those of another line.
    """
    first = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    within = np.arange(sum(counts)) - first
    shown, place = np.unique(first + within // every * every, return_inverse=True)
    return shown, place


def _distinct(line: FloatArray) -> FloatArray:
    """Drop points that equal the one before."""
    moved = np.any(np.diff(line, axis=0) != 0, axis=1)
    distinct: FloatArray = line[np.concatenate([[True], moved])]
    return distinct


def _runs(line: FloatArray, signs: NDArray[np.int_], width: float) -> list[tuple[FloatArray, int]]:
    """Split a line where the sign changes; leave out points that lie on straight stretches."""
    cuts = [0, *(np.flatnonzero(np.diff(signs)) + 1), len(signs)]
    return [
        (_straightened(line[start : stop + 1], width), int(signs[start]))
        for start, stop in itertools.pairwise(cuts)
        if signs[start]
    ]


def _straightened(line: FloatArray, width: float) -> FloatArray:
    """Keep the ends and those points that the line through their neighbours misses."""
    before, here, after = line[:-2], line[1:-1], line[2:]
    along, aside = after - before, here - before
    area = np.abs(along[:, 0] * aside[:, 1] - along[:, 1] * aside[:, 0])
    bent = area > width * np.maximum(np.linalg.norm(along, axis=1), 1e-300)
    kept: FloatArray = line[np.concatenate([[True], bent, [True]])]
    return kept


def _second_difference(
    f: Callable[[FloatArray], FloatArray], at: FloatArray, direction: FloatArray, step: float
) -> FloatArray:
    return f(at + step * direction) + f(at - step * direction) - 2 * f(at)
