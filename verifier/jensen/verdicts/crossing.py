"""What happens across one facet, in rational arithmetic (docs/theory.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from jensen.arithmetic.exact import ExactVector
from jensen.arithmetic.rational import ZERO, floats, rational
from jensen.groups.forms import FloatForms, form_in_pattern, is_multiple
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import FREE, OFF, ON, Activations
from jensen.groups.twins import Member
from jensen.network.block import OUTPUT
from jensen.network.relu_network import ReluNetwork
from jensen.types import FloatArray, ObjectArray, Unit
from jensen.verdicts.counterexample import Point, exact_violation, slope_change
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
        Asked before every pass through the network.
    """
    if out_of_time() or (point.dtype != object and not np.isfinite(point).all()):
        return None  # a solver's, out of numbers beyond the doubles
    form = form_in_pattern(net, group, group, activations)
    y = _projected(form, point)
    if y is None or ((room := net.working_set.room(y)) <= 0).any():
        return None
    middle = net.working_set.to_input(y.tolist())
    if middle is None or out_of_time():
        return None
    inside = network.exact_pre_activations(middle)
    fixed = _fixed_units(net, group, activations, form, inside)
    if fixed is None:
        return None
    step = net.working_set.steepest(form[1:], inputs)
    if not any(v != 0 for v in step):
        return Crossing(middle, middle, middle, Fraction(0), 0.0)
    speeds = net.working_set.speed(step)
    reach = min((r / abs(v) for r, v in zip(room, speeds, strict=True) if v != 0), default=None)
    guess = _float_reach(net, group, activations, floats(y), floats(step))
    if 0 < guess < np.inf and (reach is None or rational(guess) < reach):
        reach = rational(guess)
    reach = rational(1) if reach is None else reach
    return _within_two_regions(net, y, reach / 2 * step, fixed, inside, network, out_of_time)


def _projected(form: ObjectArray, point: FloatArray | ObjectArray) -> ObjectArray | None:
    """Return the point of a form's hyperplane next to a given one; None if there is none."""
    normal = form[1:]
    squared = sum((v * v for v in normal), ZERO)
    if squared == 0:
        return None
    y = point if point.dtype == object else _rational_vector(point)
    nearest: ObjectArray = y - (form[0] + normal @ y) / squared * normal
    return nearest


def _fixed_units(
    net: GroupedNetwork,
    group: Unit,
    activations: Activations,
    form: ObjectArray,
    inside: Mapping[str, ExactVector],
) -> list[tuple[Member, bool]] | None:
    """Return the units that do not vanish on the facet, and whether they are on.

    None if the network's own pattern at the point is another one: as units behind read what
    those in front pass on, each has the sign of its form if all in front have.
    """
    fixed = []
    for k, level in enumerate(net.levels):
        for u in np.flatnonzero(level.kink):
            unit, state = (k, int(u)), activations[k][u]
            lead = level.units[u][0]
            z = inside[lead.block].integers[lead.index]
            if unit == group or z == 0:
                # what is 0 here lies on the same hyperplane, or the point is none of a facet's
                if z != 0:
                    return None
                if unit != group:
                    own = form_in_pattern(net, unit, group, activations)
                    if not is_multiple(own, form):
                        return None
            elif state != FREE and (z > 0) != (state == ON):
                return None
            else:
                fixed.append((lead, bool(z > 0)))
    return fixed


def _within_two_regions(
    net: GroupedNetwork,
    y: ObjectArray,
    delta: ObjectArray,
    fixed: list[tuple[Member, bool]],
    inside: Mapping[str, ExactVector],
    network: ReluNetwork,
    out_of_time: Callable[[], bool],
) -> Crossing | None:
    """Shorten the segment until only units that vanish on the facet change on it.

    The first length is one in doubles, without what the group and the units coincident with
    it pass on off the hyperplane.
    """
    while not out_of_time():
        ends = [net.working_set.to_input(end.tolist()) for end in (y - delta, y + delta)]
        before, after = ends
        if before is None or after is None:
            return None
        sides = [network.exact_pre_activations(end) for end in (before, after)]
        share = min(_share_kept(inside, side, fixed) for side in sides)
        if share == 1:
            middle = tuple((a + b) / 2 for a, b in zip(before, after, strict=True))
            fx, fy, fm = (values[OUTPUT].to_fractions()[0] for values in (*sides, inside))
            violation = fm - (fx + fy) / 2
            change = slope_change(violation, before, after) or 0.0
            return Crossing(before, middle, after, violation, change)
        delta = delta * rational(share / 2)
    return None


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
