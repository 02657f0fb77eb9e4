"""What happens across one facet, in rational arithmetic (docs/theory.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jensen.counterexample import Point
from jensen.forms import ExactForms
from jensen.groups import GroupedNetwork
from jensen.jump import FREE, ON, Activations
from jensen.network import FloatArray
from jensen.rational import ZERO, rational

Unit = tuple[int, int]
ObjectArray = NDArray[Any]
Function = Callable[[Point], Fraction]


@dataclass(frozen=True)
class Crossing:
    """An exact relative-interior point of a facet, and a segment across it.

    Attributes
    ----------
    before, after : tuple of Fraction
        Inputs on both sides, symmetric about ``middle`` on the facet.
    violation : Fraction
        ``f(middle) - (f(before) + f(after)) / 2``: > 0 if f bends down.
    slope_change : float
        Change of the slope per unit length across the facet.
    """

    before: Point
    middle: Point
    after: Point
    violation: Fraction
    slope_change: float


def cross_facet(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    point: FloatArray,
    function: Function,
    inputs: Sequence[int] | None,
) -> Crossing | None:
    """Cross the facet of a full activation pattern near a point; None if it is not there.

    Parameters
    ----------
    activations : sequence of int8 arrays
        No unit that the group depends on, or that could kink at the point, is free.
    point : array (dim,)
        A working point close to the facet.
    function : callable
        The exact network.
    inputs : sequence of int or None
        Directions to cross in (partial convexity); None for all.
    """
    forms = ExactForms(net, group, activations, {})
    form = forms.form(*group)
    normal = form[1:]
    squared = sum((v * v for v in normal), ZERO)
    if squared == 0:
        return None
    y = np.array([rational(float(v)) for v in point], dtype=object)
    y = y - (form[0] + normal @ y) / squared * normal
    slacks = _slacks(net, group, activations, forms, y)
    if slacks is None:
        return None
    return _segment(net, form, y, slacks, function, inputs)


def _slacks(
    net: GroupedNetwork, group: Unit, activations: Activations, forms: ExactForms, y: ObjectArray
) -> list[ObjectArray] | None:
    """Return the rows (value, gradient) that must stay positive; None if one is not."""
    rows = []
    for k, level in enumerate(net.levels):
        for u in np.flatnonzero(level.kink):
            unit = (k, int(u))
            if unit == group or activations[k][u] == FREE or forms.is_coincident(*unit):
                continue
            form = forms.form(*unit)
            rows.append(form if activations[k][u] == ON else -form)
    for limit, row in zip(net.working_set.limits, net.working_set.rows, strict=True):
        rows.append(np.concatenate([[limit], -row]))
    values = [row[0] + row[1:] @ y for row in rows]
    if any(value <= 0 for value in values):
        return None
    return rows


def _segment(
    net: GroupedNetwork,
    form: ObjectArray,
    y: ObjectArray,
    rows: list[ObjectArray],
    function: Function,
    inputs: Sequence[int] | None,
) -> Crossing | None:
    """Go from the facet point to both sides, as far as all rows stay positive."""
    working = net.working_set
    middle = working.to_input(y.tolist())
    if middle is None:
        return None
    basis = working.directions(inputs)
    step = basis @ (basis.T @ form[1:]) if basis.shape[1] else np.full(len(y), ZERO, dtype=object)
    if not any(v != 0 for v in step):
        return Crossing(middle, middle, middle, Fraction(0), 0.0)
    reach = min(
        ((row[0] + row[1:] @ y) / abs(row[1:] @ step) for row in rows if row[1:] @ step != 0),
        default=rational(1),
    )
    half = reach / 2
    before, after = (
        working.to_input((y - half * step).tolist()),
        working.to_input((y + half * step).tolist()),
    )
    if before is None or after is None:
        return None
    violation = function(middle) - (function(before) + function(after)) / 2
    length = sum(float(b - a) ** 2 for a, b in zip(before, after, strict=True)) ** 0.5
    change = -4 * float(violation) / length if length else 0.0
    return Crossing(before, middle, after, violation, change)
