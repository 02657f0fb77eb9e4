"""Two levels in a few inputs: J on all pieces of the first level's kinks, told by their vertices.

The kinks of the first level are hyperplanes, and where as many of them meet as there are inputs,
or a line of them ends at infinity, they have a vertex (:mod:`jensen.cells.arrangement`). Between
them z of the second level is linear, so that its signs at the vertices of a piece say which of
its units are on there; one that has both signs counts with the state that lowers J. What is not
proved is left to other walks and searches.

References
----------
docs/theory.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.arithmetic.intervals import UNIT, interval_affine
from jensen.cells.arrangement import Arrangement, arrangement, incidences
from jensen.cells.cones import MORE
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

FEWEST, MOST = 3, 6  # inputs: in the plane, lines are walked
WIDEST = 46  # units of a level: their bits, and a number of one of them, are exact in a double
WORK = 1 << 17  # incidences of pieces and vertices
RANGE = 100  # of exponents of scaled numbers: no product of eight of them under- or overflows


def can_walk_planes(stack: NetworkStack, domain: Domain) -> bool:
    """Whether networks and a domain are of the kind that :func:`planes_bend_upwards` takes.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    """
    inputs = stack.input_size
    if len(stack.weights) != 3 or not FEWEST <= inputs <= MOST or domain.has_rows:
        return False
    first, second, _ = (bias.shape[1] for bias in stack.biases)
    if not max(first, second) <= WIDEST or is_flat(domain, inputs):
        return False
    box = domain.box_sides(inputs) is not None
    return box or (first >= inputs and incidences(first, inputs, box=False) <= WORK)


def planes_bend_upwards(stack: NetworkStack, domain: Domain, asked: BoolArray) -> BoolArray:
    """Return the networks that are proved convex by J on all pieces of the first level's kinks.

    Parameters
    ----------
    stack : NetworkStack
        With one output; :func:`can_walk_planes`.
    domain : Box or Everywhere
    asked : bool array (networks, units)
        Neurons of both levels, but those whose J is known to be >= 0 under every pattern, or that
        keep their sign.

    Returns
    -------
    bool array (networks,)
        False says nothing.

    References
    ----------
    docs/theory.md, section 4: few inputs.
    """
    box = domain.box_sides(stack.input_size)
    found = np.zeros(len(stack), dtype=bool)
    with np.errstate(all="ignore"):  # what is not a number is no sign
        for k in range(len(stack)):
            levels = _scaled([w[k] for w in stack.weights], [b[k] for b in stack.biases[:2]], box)
            if levels is not None:
                found[k] = _bends_upwards(levels, asked[k])
    return found


@dataclass(frozen=True, eq=False)
class _Levels:
    """Two levels over homogeneous coordinates of about size 1.

    Attributes
    ----------
    rows : array (first units, inputs + 1)
    weights : array (second units, first units)
    bias : array (second units,)
        To be multiplied by the last coordinate.
    last : array (second units,)
        Output weights.
    box : two arrays (inputs,) or None
    """

    rows: FloatArray
    weights: FloatArray
    bias: FloatArray
    last: FloatArray
    box: Interval | None


def _scaled(
    weights: list[FloatArray], biases: list[FloatArray], box: Interval | None
) -> _Levels | None:
    """Return the levels with inputs scaled by powers of two; None if numbers are out of range."""
    rows = np.concatenate([weights[0], biases[0][:, None]], axis=1)
    if box is None:
        exponent = -np.frexp(np.abs(rows).max(axis=0))[1]
    else:
        exponent = np.zeros(rows.shape[1], dtype=np.intc)
        exponent[:-1] = np.frexp(np.maximum(np.abs(box[0]), np.abs(box[1])))[1]
        box = np.ldexp(box[0], -exponent[:-1]), np.ldexp(box[1], -exponent[:-1])
    rows, bias = np.ldexp(rows, exponent), np.ldexp(biases[1], exponent[-1])
    parts = [rows.ravel(), weights[1].ravel(), bias, weights[2][0], *(box or ())]
    size = np.abs(np.concatenate(parts))
    if not ((size == 0) | ((size > 2.0**-RANGE) & (size < 2.0**RANGE))).all():
        return None
    return _Levels(rows, weights[1], bias, weights[2][0], box)


def _bends_upwards(levels: _Levels, asked: BoolArray) -> bool:
    """Whether no unit bends down; those that are not asked for do not."""
    first = len(levels.rows)
    cutting = _cutting(levels)
    asked_first = asked[:first][cutting]
    asked_second = asked[first:] & (levels.last < 0)
    every = bool(asked_second.any())
    if not every and not asked_first.any():
        return True
    inputs, box = levels.rows.shape[1] - 1, levels.box is not None
    if incidences(len(cutting), inputs, box=box) > WORK:
        return False
    found = arrangement(levels.rows, cutting, levels.box, None if every else asked_first)
    if found is None:
        return False
    up, down = _second_level(levels, found)
    if every:
        both = up.any(axis=1)
        both &= down.any(axis=1)
        if (both & asked_second).any():
            return False
    pieces = _pieces(found, asked_first, (up, down))
    return pieces is None or _bend_upwards(levels, cutting, *pieces)


def _cutting(levels: _Levels) -> IndexArray:
    """Return the units of the first level that may vanish in the domain."""
    rows, box = levels.rows, levels.box
    if box is None:
        return np.arange(len(rows))
    low, high = interval_affine([(rows[:, :-1], box)], rows[:, -1])
    cutting: IndexArray = (~((low > 0) | (high < 0))).nonzero()[0]
    return cutting


def _second_level(levels: _Levels, found: Arrangement) -> tuple[BoolArray, BoolArray]:
    """Return which units of the second level may be on, and off: (units, vertices).

    Neither at infinity where they are exactly 0: signs elsewhere hold there, too.
    """
    on = found.z > 0
    passed, error = np.where(on, found.z, 0.0), np.where(on, found.error, 0.0)
    rounding = (len(on) + 4) * UNIT
    error += rounding * passed
    z = levels.weights @ passed
    z += levels.bias[:, None] * found.last
    off = np.abs(levels.weights) @ error
    off += np.abs(levels.bias)[:, None] * (found.off + rounding * found.last)
    off *= MORE
    # so written, what is not a number may be both
    up, down = ~(z < -off), ~(z > off)
    nothing = (z == 0) & (off == 0) & (found.last == 0)
    up &= ~nothing
    down &= ~nothing
    return up, down


def _pieces(
    found: Arrangement, asked: BoolArray, sides: tuple[BoolArray, BoolArray]
) -> tuple[IndexArray, BoolArray, BoolArray] | None:
    """Return the pieces of kinks that are asked for, and which units may be on and off there.

    Returns
    -------
    (kinks, on, off) or None
        Of (pieces,), (units, pieces) and (units, pieces); None if there are none.
    """
    plan = found.plan
    at = asked[plan.plane].nonzero()[0]
    owner = plan.owner[at]
    if found.place is not None:
        owner = found.place[owner]
        kept = (owner >= 0).nonzero()[0]
        at, owner = at[kept], owner[kept]
    if not at.size:
        return None
    plane = plan.plane[at]
    on = np.ldexp(1.0, np.arange(len(asked))) @ (found.z[found.cutting] > 0)
    key = on[owner] + plan.others[at] + np.ldexp(1.0, len(asked)) * plane
    order = key.argsort()
    key, owner = key[order], owner[order]
    new = np.ones(len(key), dtype=bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    first = new.nonzero()[0]
    number = np.arange(len(sides[0]))
    sets = ((np.ldexp(1.0, number) @ side).astype(np.int64)[owner] for side in sides)
    up, down = (np.bitwise_or.reduceat(some, first) for some in sets)
    bit = number[:, None]
    return plane[order[first]], (up >> bit) & 1 != 0, (down >> bit) & 1 != 0


def _bend_upwards(
    levels: _Levels, cutting: IndexArray, kink: IndexArray, on: BoolArray, off: BoolArray
) -> bool:
    """Whether J >= 0 on pieces of kinks, whichever state units have that may be on and off."""
    passed = levels.last[:, None] * levels.weights[:, cutting]
    jumps = passed[:, kink] * on
    size = np.abs(jumps).sum(axis=0)
    np.minimum(jumps, 0.0, out=jumps, where=off)
    low = jumps.sum(axis=0)
    return bool((low >= ((len(on) + 4) * UNIT * MORE) * size).all())
