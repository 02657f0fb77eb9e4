"""Which groups are in general position under all completions of a pattern (section 9).

While few units are free, all their states are tried at once, in floating point with bounds
of the rounding errors: two groups share no hyperplane under any completion if for
every one of them some 2 x 2 minor of their two forms is certainly not 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.groups.jump import ON, UNIT_ROUNDOFF, Activations
from jensen.types import BoolArray, FloatArray, Unit

CHUNK = 1 << 18  # numbers in a level's forms at a time
UNDERFLOW = 1e-290  # more than what the products of two forms lost by it
LOST = 1e-270  # a size whose rounding is more than that of forms, which later weights multiply


def enumeration_work(net: GroupedNetwork, free: int, top: int) -> float:
    """Return about how many multiply-adds it takes to try all states of so many units."""
    stored = sum(
        slopes.on.size
        for level in net.levels[: top + 1]
        for source, slopes in level.slopes.items()
        if source != SOURCE
    )
    return 2.0**free * (1 + net.working_set.dim) * max(1, stored)


def never_parallel(
    net: GroupedNetwork,
    activations: Activations,
    free: Sequence[Unit],
    pairs: Sequence[tuple[Unit, Unit]],
    out_of_time: Callable[[], bool] = lambda: False,
) -> BoolArray:
    """Return which pairs of groups are proved not to coincide under any completion.

    Parameters
    ----------
    activations : sequence of int8 arrays
        A partial pattern.
    free : sequence of (level, unit)
        The free units that any of the groups depends on; other free units do not matter.
    pairs : sequence of ((level, unit), (level, unit))
    out_of_time : callable
        Asked now and then; nothing is proved once it says so.

    Returns
    -------
    proved : bool array (pairs,)
    """
    proved = np.ones(len(pairs), dtype=bool)
    if not pairs:
        return proved
    ends = np.array(pairs).reshape(len(pairs), 4)
    top = int(ends[:, [0, 2]].max())
    for states in _states(len(free), net, top):
        if out_of_time():
            return np.zeros(len(pairs), dtype=bool)
        forms = _forms(net, activations, free, states, top)
        for i in np.flatnonzero(proved):
            if out_of_time():
                return np.zeros(len(pairs), dtype=bool)
            level, unit, other_level, other = ends[i].tolist()
            (one, one_error), (two, two_error) = forms[level], forms[other_level]
            proved[i] = _independent(
                one[:, unit], one_error[:, unit], two[:, other], two_error[:, other]
            )
        if not proved.any():
            break
    return proved


def _states(count: int, net: GroupedNetwork, top: int) -> Iterator[BoolArray]:
    """Yield all states of so many units, in chunks of shape (patterns, count)."""
    widest = max(level.size for level in net.levels[: top + 1])
    chunk = max(1, CHUNK // (widest * (1 + net.working_set.dim)))
    for start in range(0, 1 << count, chunk):
        numbers = np.arange(start, min(start + chunk, 1 << count))
        yield (numbers[:, None] >> np.arange(count)) & 1 == 1


def _forms(
    net: GroupedNetwork, activations: Activations, free: Sequence[Unit], states: BoolArray, top: int
) -> list[tuple[FloatArray, FloatArray]]:
    """Return, per level, the forms (patterns, units, 1 + dim) and bounds of their errors."""
    width = 1 + net.working_set.dim
    values: list[FloatArray] = []
    sizes: list[FloatArray] = []
    terms = 10
    for k in range(top + 1):
        level = net.levels[k]
        value = np.zeros((len(states), level.size, width))
        value[:, :, 0] = level.bias
        if SOURCE in level.slopes:
            value[:, :, 1:] = level.slopes[SOURCE].on
        size = np.abs(value) + LOST
        for source, slopes in level.slopes.items():
            if source == SOURCE:
                continue
            on = np.repeat((activations[source] == ON)[None], len(states), axis=0)
            for column, (at, unit) in enumerate(free):
                if at == source:
                    on[:, unit] = states[:, column]
            parts = (
                [(slopes.on, on)] if slopes.off is None else [(slopes.on, on), (slopes.off, ~on)]
            )
            for weights, passed in parts:
                value += weights @ (values[source] * passed[:, :, None])
                size += np.abs(weights) @ (sizes[source] * passed[:, :, None])
            terms += 2 * len(activations[source])
        values.append(value)
        sizes.append(size)
    # a sum of so many rounded terms in every level, of values that are themselves rounded
    factor = 4 * UNIT_ROUNDOFF * terms * (top + 2)
    return [(value, factor * size) for value, size in zip(values, sizes, strict=True)]


def _independent(
    one: FloatArray, one_error: FloatArray, two: FloatArray, two_error: FloatArray
) -> bool:
    """Whether two forms (patterns, 1 + dim) are certainly no multiples of one another."""
    # one minor is nearly always enough; the others are for the patterns where it is not
    first, last = slice(0, 1), slice(-1, None)
    quick = _clear(
        one[:, first], one_error[:, first], two[:, first], two_error[:, first],
        one[:, last], one_error[:, last], two[:, last], two_error[:, last],
    )[:, 0]  # fmt: skip
    rest = np.flatnonzero(~quick)
    if not len(rest):
        return True
    one, one_error, two, two_error = (part[rest] for part in (one, one_error, two, two_error))
    at = np.arange(len(rest)), np.argmax(np.abs(one), axis=1)
    pivot, pivot_error, ratio, ratio_error = (
        part[at][:, None] for part in (one, one_error, two, two_error)
    )
    clear = _clear(pivot, pivot_error, ratio, ratio_error, one, one_error, two, two_error)
    return bool(clear.any(axis=1).all())


def _clear(
    a: FloatArray,
    a_error: FloatArray,
    b: FloatArray,
    b_error: FloatArray,
    c: FloatArray,
    c_error: FloatArray,
    d: FloatArray,
    d_error: FloatArray,
) -> BoolArray:
    """Return where ``a d - b c`` is certainly not 0."""
    first, second = a * d, b * c
    error = (
        np.abs(a) * d_error
        + (np.abs(d) + d_error) * a_error
        + np.abs(b) * c_error
        + (np.abs(c) + c_error) * b_error
        + 4 * UNIT_ROUNDOFF * (np.abs(first) + np.abs(second))
    )
    clear: BoolArray = np.abs(first - second) > 1.01 * error + UNDERFLOW
    return clear
