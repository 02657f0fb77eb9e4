"""J on the faces of a skeleton, of many networks at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.skeleton import Bits, Levels, Skeleton, UncertainSignsError
from jensen.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces on kinks, ordered by network.

    Attributes
    ----------
    network, unit : int arrays (faces,)
    on : int array (words, faces)
        Sets of units that are on; the last level's do not matter.
    sure, both : int arrays (faces,)
        Sets of units of the last level that are on, and of those that may have both signs.
    """

    network: IndexArray
    unit: IndexArray
    on: Bits
    sure: Bits
    both: Bits

    def take(self, some: IndexArray) -> Faces:
        """Return some faces."""
        return Faces(*(getattr(self, field.name).take(some, axis=-1) for field in fields(self)))


def faces_of(skeleton: Skeleton, sides: tuple[Bits, Bits] | None) -> Faces:
    """Return the faces on kinks that are asked for, but those behind which all is off.

    Parameters
    ----------
    skeleton : Skeleton
    sides : two int arrays (vertices,) or None
        The units of the last level that may be on at the vertices, and those that may be off.
        None if that level has cut the faces.

    Raises
    ------
    UncertainSignsError
        If different faces have equal keys.
    """
    levels = skeleton.levels
    network, unit, on, edge = skeleton.faces()
    key = levels.keys(network, on, unit)
    order = key.argsort()
    key = key.take(order)
    new = np.ones(len(key), dtype=bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    first = new.nonzero()[0]
    face = order.take(first)
    again = (~new).nonzero()[0]
    if not levels.are_same(order.take(again), order.take(again - 1), network, on, unit):
        raise UncertainSignsError(np.arange(levels.networks))
    if sides is None or not first.size:
        word, shift = levels.place[-1]
        sure = on[word].take(face) >> shift
        both = np.zeros_like(sure)
    else:
        start, end = skeleton.edges.ends
        ordered = edge.take(order)
        ends = ((side.take(start) | side.take(end)).take(ordered) for side in sides)
        up, down = (np.bitwise_or.reduceat(side, first) for side in ends)
        sure, both = up & ~down, up & down
    some = (sure | both).nonzero()[0]
    face = face.take(some)
    return Faces(
        network.take(face),
        unit.take(face),
        on.take(face, axis=1),
        sure.take(some),
        both.take(some),
    )


def bending(levels: Levels, faces: Faces) -> Faces:
    """Return the faces where J may be negative."""
    low = _jumps(levels, faces)
    left = (~(low >= _uncertain(levels, faces))).nonzero()[0]
    faces = faces.take(left)
    if left.size:
        there = _rounding(levels) * _jumps(levels, faces, sizes=True)
        faces = faces.take((~(low[left] >= there)).nonzero()[0])
    return faces


def _jumps(levels: Levels, faces: Faces, *, sizes: bool = False) -> FloatArray:
    """Bound J on faces from below, up to an error of rounding; or sum up sizes of weights."""
    matrices = levels.sizes_of if sizes else levels.weights
    network, unit = faces.network, faces.unit
    level = np.searchsorted(levels.first, unit, side="right") - 1
    # of (units, faces), so that rows are long
    on = _states(levels, faces.on | levels.bit.take(unit, axis=1))
    slope = np.zeros((levels.sizes[0], len(unit)))
    for number, count in enumerate(levels.sizes):
        if number:
            slope = _through(matrices[number], slope, network)
        if number < len(levels.sizes) - 1:
            first = levels.first[number]
            here = (level == number).nonzero()[0]
            slope[unit.take(here) - first, here] = 1.0
            slope *= on[first : first + count]
    last = matrices[-1][:, 0]
    slope *= last[0][:, None] if levels.networks == 1 else last.take(network, axis=0).T
    sure, both = (unpacked(side, levels.sizes[-1]) for side in (faces.sure, faces.both))
    total: FloatArray = np.where(sure, slope, 0.0).sum(axis=0)
    total += np.where(both, slope if sizes else np.minimum(slope, 0.0), 0.0).sum(axis=0)
    return total


def _states(levels: Levels, on: Bits) -> BoolArray:
    """Return sets of units of all levels as (units, sets)."""
    used = [0] * levels.words
    for size, (word, _) in zip(levels.sizes, levels.place, strict=True):
        used[word] += size
    parts = [unpacked(bits, count) for bits, count in zip(on, used, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _through(matrices: FloatArray, columns: FloatArray, network: IndexArray) -> FloatArray:
    """Return the products of matrices of networks with columns each, ordered by network."""
    if len(matrices) == 1:
        only: FloatArray = matrices[0] @ columns
        return only
    found = np.empty((matrices.shape[1], columns.shape[1]))
    ends = network.searchsorted(np.arange(len(matrices) + 1)).tolist()
    for matrix, first, last in zip(matrices, ends[:-1], ends[1:], strict=True):
        found[:, first:last] = matrix @ columns[:, first:last]
    return found


def _uncertain(levels: Levels, faces: Faces) -> FloatArray:
    """Return how far J may be off, under whatever states."""
    sums = [levels.sizes_of[-1]]
    for size in levels.sizes_of[-2:0:-1]:
        sums.append(sums[-1] @ size)
    every = np.concatenate([part[:, 0] for part in sums[::-1]], axis=1)
    error: FloatArray = _rounding(levels) * every[faces.network, faces.unit]
    return error


def _rounding(levels: Levels) -> float:
    """Return the error of a sum of products along paths, relative to that of sizes of weights."""
    return float(2 * UNIT * (sum(levels.sizes) + 8 * len(levels.sizes)))


def unpacked(bits: Bits, count: int) -> BoolArray:
    """Return bit sets as (units, sets)."""
    found: BoolArray = (bits >> np.arange(count)[:, None]) & 1 != 0
    return found
