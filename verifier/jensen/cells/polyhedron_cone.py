"""A polyhedron as the cone that a search from cell to cell starts from, by its extreme rays."""

from __future__ import annotations

import flint
import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.arithmetic.rational import ZERO, rationals
from jensen.cells.cones import MORE, Cones
from jensen.cells.first_cones import single_cone
from jensen.types import BoolArray, FloatArray

MOST = 600  # rays at any time: some 0.2 s
ROWS = 64

Ray = tuple[list[flint.fmpq], frozenset[int]]  # and the rows that vanish there


def polyhedron_cone(
    A: FloatArray, b: FloatArray, scale: FloatArray, asked: BoolArray
) -> tuple[Cones, FloatArray] | None:
    """Return ``A x <= b`` as one cone, and the forms that bound it.

    Parameters
    ----------
    A : array (rows, inputs)
    b : array (rows,)
    scale : array (inputs,)
        Powers of two; coordinates are ``x / scale``.
    asked : bool array (units,)

    Returns
    -------
    (Cones, forms) or None
        As for :func:`~jensen.cells.first_cones.box_cone`. None without interior, where it holds
        a line, or with too many rows or rays.
    """
    inputs, units = len(scale), len(asked)
    forms = np.zeros((len(b) + 1, inputs + 1))
    forms[:-1, :-1], forms[:-1, -1] = -A * scale, b
    forms[-1, -1] = 1.0  # nothing lies behind infinity
    forms = forms[forms.any(axis=1)]
    if len(forms) > ROWS or not np.isfinite(forms).all():
        return None
    rays = _extreme_rays(rationals(forms).tolist())
    if not rays or not _has_interior(len(forms), rays):
        return None
    try:
        points = np.array([_rounded(ray) for ray, _ in rays])
    except OverflowError:
        return None
    if not (points[:, -1] > 0).any():
        return None
    members = np.zeros((len(rays), units + len(forms)), dtype=bool)
    for i, (_, vanishing) in enumerate(rays):
        members[i, [units + row for row in vanishing]] = True
    radius = 2 * UNIT * np.abs(points).max(axis=1) * MORE
    return single_cone(points, radius, members, asked), forms


def _rounded(ray: list[flint.fmpq]) -> list[float]:
    """Return a ray of largest coordinate 1, or a point at t = 1, in doubles."""
    size = ray[-1] if ray[-1] > 0 else max(map(abs, ray))
    return [int(v.p) / int(v.q) for v in (w / size for w in ray)]


def _extreme_rays(rows: list[list[flint.fmpq]]) -> list[Ray] | None:
    """Return the extreme rays of ``{v : rows v >= 0}`` by double description, exactly."""
    size = len(rows[0])
    chosen = _independent(rows)
    if len(chosen) < size:
        return None
    inverse = flint.fmpq_mat(size, size, [v for k in chosen for v in rows[k]]).inv()
    rays: list[Ray] = [
        ([inverse[i, k] for i in range(size)], frozenset(chosen) - {chosen[k]}) for k in range(size)
    ]
    for k, row in enumerate(rows):
        if k in chosen:
            continue
        values = [sum((a * v for a, v in zip(row, ray, strict=True)), ZERO) for ray, _ in rays]
        above = [(ray, value) for ray, value in zip(rays, values, strict=True) if value > 0]
        below = [(ray, value) for ray, value in zip(rays, values, strict=True) if value < 0]
        on = [(v, sets | {k}) for (v, sets), value in zip(rays, values, strict=True) if value == 0]
        between = []
        for (one, first), up in above:
            for (other, second), down in below:
                common = first & second
                if len(common) < size - 2 or _is_inside(common, first, second, rays):
                    continue
                point = [up * w - down * v for v, w in zip(one, other, strict=True)]
                most = max(map(abs, point))
                between.append(([v / most for v in point], common | {k}))
        rays = [ray for ray, _ in above] + on + between
        if len(rays) > MOST:
            return None
    return rays


def _is_inside(
    common: frozenset[int], first: frozenset[int], second: frozenset[int], rays: list[Ray]
) -> bool:
    """Whether two rays are no neighbours: a third one lies on all rows that both lie on."""
    return sum(common <= sets for _, sets in rays) > 2 or first == second


def _independent(rows: list[list[flint.fmpq]]) -> list[int]:
    """Return the first rows that are independent."""
    chosen: list[int] = []
    for k in range(len(rows)):
        some = [rows[i] for i in (*chosen, k)]
        matrix = flint.fmpq_mat(len(some), len(rows[0]), [v for row in some for v in row])
        if matrix.rank() == len(some):
            chosen.append(k)
        if len(chosen) == len(rows[0]):
            break
    return chosen


def _has_interior(rows: int, rays: list[Ray]) -> bool:
    """Whether no row vanishes on all rays."""
    return not any(all(row in sets for _, sets in rays) for row in range(rows))
