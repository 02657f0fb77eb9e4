"""The cells that a search by cones starts from: a box, or all points between a few kinks."""

from __future__ import annotations

from itertools import product

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.bit_sets import bit_sets
from jensen.cells.cones import MORE, SOLID, Cones
from jensen.types import BoolArray, FloatArray, Interval


def box_cone(box: Interval, asked: BoolArray) -> tuple[Cones, FloatArray]:
    """Return a box as one cone, and the forms that bound it.

    Parameters
    ----------
    box : two arrays (inputs,)
    asked : bool array (units,)

    Returns
    -------
    Cones
    array (forms, coordinates)
        Their bits in ``vanish`` follow those of the units.
    """
    low, high = box
    inputs, units = len(low), len(asked)
    at = np.indices((2,) * inputs).reshape(inputs, -1).T
    points = np.column_stack([np.where(at, high, low), np.ones(len(at))])
    forms = np.zeros((2 * inputs, inputs + 1))
    forms[:inputs, :-1], forms[:inputs, -1] = np.eye(inputs), -low
    forms[inputs:, :-1], forms[inputs:, -1] = -np.eye(inputs), high
    members = np.zeros((len(at), units + 2 * inputs), dtype=bool)
    members[:, units : units + inputs], members[:, units + inputs :] = at == 0, at == 1
    return single_cone(points, np.zeros(len(points)), members, asked), forms


def single_cone(
    points: FloatArray, radius: FloatArray, members: BoolArray, asked: BoolArray
) -> Cones:
    """Return one cone with interior over its extreme rays.

    Parameters
    ----------
    points : array (rays, coordinates)
    radius : array (rays,)
    members : bool array (rays, units + forms)
        What vanishes on the rays: units, of which none is known, then forms that bound the cone.
    asked : bool array (units,)
    """
    return Cones(
        points,
        radius,
        bit_sets(members),
        np.zeros(len(points), dtype=np.intp),
        np.zeros((1, len(asked)), dtype=np.int8),
        np.array([SOLID]),
        asked[None].copy(),
    )


def cones_between_kinks(first: FloatArray, asked: BoolArray) -> tuple[Cones, FloatArray] | None:
    """Return what as many kinks of the first level as there are inputs cut all of space into.

    Parameters
    ----------
    first : array (units of the first level, coordinates)
        Its pre-activations as forms of homogeneous coordinates.
    asked : bool array (units,)

    Returns
    -------
    (Cones, forms) or None
        As for :func:`box_cone`; the pieces of the kinks that are asked for are there, too. None
        if no such kinks meet in one point, as far as rounding lets see it.
    """
    inputs = first.shape[1] - 1
    chosen = independent(first[:, :inputs])
    if chosen is None:
        return None
    far = np.zeros((1, inputs + 1))
    far[0, -1] = 1.0
    rows = np.concatenate([first[chosen], far])
    try:
        rays = np.linalg.inv(rows)
    except np.linalg.LinAlgError:
        return None
    rays[-1, :-1] = 0.0
    distance = np.abs(np.eye(inputs + 1) - rays @ rows)
    distance += 4 * (inputs + 1) * UNIT * (np.abs(rays) @ np.abs(rows))
    off = float(distance.sum(axis=1).max())
    if not off < 0.5:
        return None
    radius = off / (1 - off) * float(np.abs(rays).sum(axis=1).max()) * MORE
    return _around(rays, radius, chosen, asked), far


def independent(normals: FloatArray) -> list[int] | None:
    """Return as many rows as columns, far from dependent: the longest remainder comes next."""
    with np.errstate(all="ignore"):
        rest = normals / np.linalg.norm(normals, axis=1)[:, None]
    chosen: list[int] = []
    for _ in range(normals.shape[1]):
        lengths = (rest * rest).sum(axis=1)
        if not len(rest) or not np.isfinite(lengths).all():
            return None
        chosen.append(int(lengths.argmax()))
        if lengths[chosen[-1]] < UNIT:
            return None
        along = rest[chosen[-1]] / np.sqrt(lengths[chosen[-1]])
        rest = rest - np.outer(rest @ along, along)
    return chosen


def _around(rays: FloatArray, radius: float, chosen: list[int], asked: BoolArray) -> Cones:
    """Return the cones around the point where the chosen kinks meet, which is the last ray."""
    inputs, units = len(chosen), len(asked)
    cells = [(signs, SOLID) for signs in product((1, -1), repeat=inputs)]
    for k, unit in enumerate(chosen):
        if asked[unit]:
            others = product((1, -1), repeat=inputs - 1)
            cells += [((*signs[:k], 0, *signs[k:]), unit) for signs in others]
    points: list[FloatArray] = []
    vanish: list[BoolArray] = []
    every = np.zeros(units + 1, dtype=bool)  # the last one is at infinity
    every[chosen] = True
    owner: list[int] = []
    states = np.zeros((len(cells), units), dtype=np.int8)
    for number, (signs, _) in enumerate(cells):
        states[number, chosen] = signs
        points.append(rays[:, -1])
        vanish.append(every)
        for k, sign in enumerate(signs):
            if sign:
                points.append(sign * rays[:, k])
                vanish.append(every.copy())
                vanish[-1][[chosen[k], units]] = False, True
        owner += [number] * (len(points) - len(owner))
    label = np.array([unit for _, unit in cells])
    left = np.where((label == SOLID)[:, None], asked, False)
    left[:, chosen] = False
    return Cones(
        np.array(points),
        np.full(len(points), radius),
        bit_sets(np.array(vanish)),
        np.array(owner, dtype=np.intp),
        states,
        label,
        left,
    )
