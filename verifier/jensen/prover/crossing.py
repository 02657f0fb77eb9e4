"""What happens across one facet, in rational arithmetic (docs/theory.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import ExactVector
from jensen.arithmetic.rational import ZERO, rational
from jensen.groups.forms import ExactForms, FloatForms
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.groups.twins import Member
from jensen.network.relu_network import ReluNetwork
from jensen.prover.counterexample import Point, exact_violation, slope_change
from jensen.types import FloatArray, ObjectArray, Unit
from jensen_encodings.deadline import NEVER

PROBES = (0.5, 2.0**-6, 2.0**-12)  # shares of the estimated reach


@dataclass(frozen=True)
class Crossing:
    """An exact relative-interior point of a facet, and a segment across it.

    Attributes
    ----------
    before, after : tuple of Fraction
        Inputs on both sides, symmetric about ``middle`` on the facet; the segment is
        at a right angle to it (in the inputs that may move).
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

    @property
    def squared_jump(self) -> Fraction:
        """The square of how much the gradient falls across the facet; 0 if it does not.

        Where the facet is the only one on the segment, the slope along it changes by
        ``-4 violation / length``, and that is the jump.
        """
        if self.violation <= 0:
            return Fraction(0)
        length = sum(
            ((b - a) ** 2 for a, b in zip(self.before, self.after, strict=True)), Fraction(0)
        )
        return 16 * self.violation**2 / length

    def bends_down(self, tolerance: Fraction = Fraction(0)) -> bool:
        """Decide exactly whether the gradient's jump across the facet is < -tolerance."""
        return self.squared_jump > tolerance**2


def probe(
    net: GroupedNetwork,
    group: Unit,
    pattern: Activations,
    point: FloatArray,
    network: ReluNetwork,
    *,
    inputs: Sequence[int] | None,
) -> Crossing | None:
    """Cross a hyperplane near a point in the network's own pattern there: a quick try.

    The segment is chosen in floating point, as long as no other unit kinks on it; its
    violation is exact. Only a violation > 0 says something.

    Parameters
    ----------
    pattern : sequence of int8 arrays
        The full pattern at the point, the group itself free.
    point : array (dim,)
        A working point close to the hyperplane.
    """
    forms = FloatForms(net, group, pattern)
    form = forms.group_form()
    normal = form[1 : 1 + forms.dim]
    step = net.working_set.steepest(normal, inputs)
    squared = float(normal @ step)
    if not 0 < squared < np.inf:
        return None
    y = point - (form[0] + normal @ point) / squared * step
    reach = _float_reach(net, group, pattern, y, step)
    if not (np.isfinite([reach, *y, *step]).all() and reach > 0):
        return None
    middle = _rational_vector(y)
    exact_step = net.working_set.exact_step(step, inputs)
    for share in PROBES:
        delta = rational(float(share) * reach) * exact_step
        ends = middle - delta, middle + delta
        if not all(net.working_set.contains(end) for end in ends):
            continue  # by rounding alone: a shorter segment may be inside
        found = _crossing(net, *ends, network)
        if found is not None and found.violation > 0:
            return found
    return None


def _float_reach(
    net: GroupedNetwork, group: Unit, pattern: Activations, y: FloatArray, step: FloatArray
) -> float:
    """Estimate how far y may move along +-step before another unit changes its activation.

    What the group itself passes on off its hyperplane is left out.
    """
    values: dict[int, FloatArray] = {SOURCE: np.stack([y, step], axis=1)}
    reach = np.inf
    for k, level in enumerate(net.levels):
        z = np.zeros((level.size, 2))
        z[:, 0] = level.bias
        for source, slopes in level.slopes.items():
            on = (
                values[source]
                if source == SOURCE
                else (values[source] * (pattern[source] == ON)[:, None])
            )
            z += slopes.on @ on
            if slopes.off is not None:
                z += slopes.off @ (values[source] * (pattern[source] == OFF)[:, None])
        values[k] = z
        others = level.kink.copy()
        if k == group[0]:
            others[group[1]] = False
        # units that vanish here kink on the same hyperplane: they are crossed with it
        others &= np.abs(z[:, 0]) > 1e-9 * np.abs(z[:, 1])
        if others.any():
            with np.errstate(divide="ignore"):
                reach = min(reach, float((np.abs(z[others, 0]) / np.abs(z[others, 1])).min()))
    room = net.working_set.float_limits - net.working_set.float_speed(y)
    speed = np.abs(net.working_set.float_speed(step))
    with np.errstate(divide="ignore", invalid="ignore"):
        return min(reach, float(np.where(speed > 0, room / speed, np.inf).min(initial=np.inf)))


def _rational_vector(values: FloatArray) -> ObjectArray:
    return np.array([rational(float(v)) for v in values], dtype=object)


def cross_facet(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    point: FloatArray | ObjectArray,
    network: ReluNetwork,
    *,
    inputs: Sequence[int] | None,
    out_of_time: Callable[[], bool] = NEVER.over,
) -> Crossing | None:
    """Cross the facet of a full activation pattern near a point; None if not there, or late.

    Parameters
    ----------
    activations : sequence of int8 arrays
        No unit that the group depends on, or that could kink at the point, is free.
    point : array (dim,)
        A working point close to the facet.
    network : ReluNetwork
        The scalar network, for exact evaluation.
    inputs : sequence of int or None
        Directions to cross in (partial convexity); None for all.
    out_of_time : callable
        Asked before every unit: exact forms of deep ones take long.
    """
    forms = ExactForms(net, group, activations, {})
    form = forms.form(*group)
    normal = form[1:]
    squared = sum((v * v for v in normal), ZERO)
    if squared == 0:
        return None
    if point.dtype != object and not np.isfinite(point).all():
        return None  # a solver's, out of numbers beyond the doubles
    y = point if point.dtype == object else _rational_vector(point)
    y = y - (form[0] + normal @ y) / squared * normal
    rows = _strict_rows(net, group, activations, forms, out_of_time)
    if rows is None:
        return None
    values = [row[0] + row[1:] @ y for row in rows] + net.working_set.room(y).tolist()
    if any(value <= 0 for value in values):
        return None
    step = net.working_set.steepest(normal, inputs)
    if not any(v != 0 for v in step):
        middle = net.working_set.to_input(y.tolist())
        return None if middle is None else Crossing(middle, middle, middle, Fraction(0), 0.0)
    speeds = [row[1:] @ step for row in rows] + net.working_set.speed(step).tolist()
    reach = min(
        (value / abs(speed) for value, speed in zip(values, speeds, strict=True) if speed != 0),
        default=rational(1),
    )
    fixed = [
        (level.units[u][0], bool(activations[k][u] == ON))
        for k, level in enumerate(net.levels)
        for u in np.flatnonzero(level.kink)
        if (k, int(u)) != group and not forms.is_coincident(k, int(u))
    ]
    return _within_two_regions(net, y, reach / 2 * step, fixed, network)


def _within_two_regions(
    net: GroupedNetwork,
    y: ObjectArray,
    delta: ObjectArray,
    fixed: list[tuple[Member, bool]],
    network: ReluNetwork,
) -> Crossing | None:
    """Shorten the segment until only units that vanish on the facet change on it.

    The rows give a first length only: off the hyperplane the group and the units
    coincident with it pass something on, which changes the forms of units behind them.
    """
    while True:
        start, end = (
            net.working_set.to_input((y - delta).tolist()),
            net.working_set.to_input((y + delta).tolist()),
        )
        if start is None or end is None:
            return None
        middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
        inside = network.exact_pre_activations(middle)
        share = min(
            _share_kept(inside, network.exact_pre_activations(side), fixed) for side in (start, end)
        )
        if share == 1:
            return _crossing(net, y - delta, y + delta, network)
        delta = delta * rational(share / 2)


def _share_kept(
    inside: Mapping[str, ExactVector],
    outside: Mapping[str, ExactVector],
    fixed: list[tuple[Member, bool]],
) -> Fraction:
    """Return 1 if all fixed units keep their sign, else a share of the way where they do."""
    share = Fraction(1)
    for member, on in fixed:
        vector = outside[member.block]
        z = vector.integers[member.index]
        if z != 0 and (z > 0) != on:
            before = inside[member.block]
            kept = Fraction(int(before.integers[member.index]), before.denominator)
            share = min(share, kept / (kept - Fraction(int(z), vector.denominator)))
    return share


def _strict_rows(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    forms: ExactForms,
    out_of_time: Callable[[], bool],
) -> list[ObjectArray] | None:
    """Return the forms (value, gradient) that are positive inside the facet; None if late."""
    rows = []
    for k, level in enumerate(net.levels):
        for u in np.flatnonzero(level.kink):
            if out_of_time():
                return None
            unit = (k, int(u))
            if unit == group or activations[k][u] == FREE or forms.is_coincident(*unit):
                continue
            form = forms.form(*unit)
            rows.append(form if activations[k][u] == ON else -form)
    return rows


def _crossing(
    net: GroupedNetwork, start: ObjectArray, end: ObjectArray, network: ReluNetwork
) -> Crossing | None:
    before = net.working_set.to_input(start.tolist())
    after = net.working_set.to_input(end.tolist())
    if before is None or after is None:
        return None
    middle = tuple((a + b) / 2 for a, b in zip(before, after, strict=True))
    violation = exact_violation(network, before, after)
    change = slope_change(violation, before, after) or 0.0
    return Crossing(before, middle, after, violation, change)
