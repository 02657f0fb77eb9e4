"""Few inputs: J on all pieces of the first level's kinks, told by their vertices.

The kinks of the first level are hyperplanes, and where as many of them meet as there are inputs,
or a line of them ends at infinity, they have a vertex (:mod:`jensen.cells.arrangement`). Between
them z of the second level is linear, so that its signs at the vertices of a piece say which of
its units are on there; one that has both signs counts with the state that lowers J, and where
that is too little it cuts the piece (:mod:`jensen.prover.walks.piece_parts`). What is not proved
is left to other walks and searches.

References
----------
docs/theory.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jensen.arithmetic.intervals import UNIT, interval_affine
from jensen.cells.arrangement import Arrangement, arrangement, incidences
from jensen.cells.cones import MORE
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.prover.walks.piece_bounds import jumps_behind, states_behind
from jensen.prover.walks.piece_parts import Parts, sinking_part
from jensen.prover.walks.plane_pairs import Bend, bend_of_unit
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

FEWEST, MOST = 2, 6  # inputs
WIDEST = 46  # units of a level: their bits, and a number of one of them, are exact in a double
WORK = 1 << 17  # incidences of pieces and vertices
SHORT = 16  # bits of keys that are sorted digit by digit
SOUGHT = 256  # pieces that are cut before others, as J is the likeliest to be negative there
RANGE = 900  # of exponents of products of scaled numbers: none under- or overflows


def can_walk_planes(stack: NetworkStack, domain: Domain) -> bool:
    """Whether networks and a domain are of the kind that :func:`planes_bend_upwards` takes.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    """
    inputs = stack.input_size
    if len(stack.weights) < 3 or not FEWEST <= inputs <= MOST or domain.has_rows:
        return False
    first, *behind, _ = (bias.shape[1] for bias in stack.biases)
    if not max(first, *behind) <= WIDEST or is_flat(domain, inputs):
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
    # of more levels, pieces of the first one's kinks are all that is looked at
    straight = stack.biases[0].shape[1] if len(stack.weights) > 3 else asked.shape[1]
    some = np.flatnonzero(~np.logical_or.reduce(asked[:, straight:], axis=1))
    with np.errstate(all="ignore"):  # what is not a number is no sign
        for k in some.tolist():
            levels = _scaled([w[k] for w in stack.weights], [b[k] for b in stack.biases[:-1]], box)
            if levels is not None:
                found[k] = _bends_upwards(levels, asked[k]) is True
    return found


def looked_at_planes(stack: NetworkStack, domain: Domain, asked: BoolArray) -> bool | Bend:
    """As :func:`planes_bend_upwards` for one network; a point where it seems to bend down.

    Returns
    -------
    bool or Bend
        In coordinates of the inputs.
    """
    box = domain.box_sides(stack.input_size)
    with np.errstate(all="ignore"):
        levels = _scaled([w[0] for w in stack.weights], [b[0] for b in stack.biases[:-1]], box)
        if levels is None or (levels.behind and asked[0, len(levels.rows) :].any()):
            return False
        found = _bends_upwards(levels, asked[0], seek=True)
        if not isinstance(found, Bend):
            return found
        exponent = levels.exponent
        point = np.ldexp(found.point[:-1] / found.point[-1], exponent[:-1] - exponent[-1])
        return Bend(np.append(point, 1.0), np.ldexp(found.across, -exponent[:-1]))


@dataclass(frozen=True, eq=False)
class _Levels:
    """Two levels over homogeneous coordinates of about size 1.

    Attributes
    ----------
    rows : array (first units, inputs + 1)
    weights : array (second units, first units)
    bias : array (second units,)
        To be multiplied by the last coordinate.
    behind : list of (array (units, units before), array (units,))
        The same of the levels behind the second one.
    last : array (last units,)
        Output weights.
    box : two arrays (inputs,) or None
    exponent : int array (inputs + 1,)
        Of the powers of two that rows were multiplied by.
    """

    rows: FloatArray
    weights: FloatArray
    bias: FloatArray
    behind: list[tuple[FloatArray, FloatArray]]
    last: FloatArray
    box: Interval | None
    exponent: IndexArray


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
    rows = np.ldexp(rows, exponent)
    offsets = [np.ldexp(bias, exponent[-1]) for bias in biases[1:]]
    parts = [rows, *weights[1:], *offsets, *(box or ())]
    size = np.abs(np.concatenate([part.ravel() for part in parts]))
    limit = 2.0 ** (RANGE // (rows.shape[1] + len(weights)))
    if not ((size == 0) | ((size > 1 / limit) & (size < limit))).all():
        return None
    behind = list(zip(weights[2:-1], offsets[1:], strict=True))
    return _Levels(rows, weights[1], offsets[0], behind, weights[-1][0], box, exponent)


def _bends_upwards(levels: _Levels, asked: BoolArray, *, seek: bool = False) -> bool | Bend:
    """Whether no unit bends down, or where one seems to; those that are not asked for do not."""
    reached = _within_reach(levels)
    if reached is None:
        return False
    levels, cutting = reached
    first = len(levels.rows)
    asked_first, asked_second = asked[:first][cutting], asked[first:]
    if not levels.behind:
        asked_second = asked_second & (levels.last < 0)
    every = bool(asked_second.any())
    if not every and not asked_first.any():
        return True
    found = arrangement(levels.rows, cutting, levels.box, None if every else asked_first)
    if found is None:
        return False
    second = _second_level(levels, found)
    unit = _sinking(second, asked_second) if every else None
    if unit is not None:
        weight, bias = levels.weights[unit], float(levels.bias[unit])
        return seek and (bend_of_unit(found, levels.rows, weight, bias, second.z[unit]) or False)
    pieces = _pieces(found, asked_first, second)
    if pieces is None or levels.behind:
        return pieces is None or _bend_upwards_behind(levels, found, second, pieces)
    return _bend_upwards(levels, found, second, pieces, seek=seek)


def _sinking(second: _Second, asked: BoolArray) -> int | None:
    """Return a unit of the second level that is asked for and may have both signs."""
    both = second.up.any(axis=1)
    both &= second.down.any(axis=1)
    found = (both & asked).nonzero()[0]
    return int(found[0]) if found.size else None


def _within_reach(levels: _Levels) -> tuple[_Levels, IndexArray] | None:
    """Return the levels and the units that cut; None if these have too many vertices.

    The sides of a box of many inputs have more of them than all of space, and are left out then:
    what bends down nowhere does not in a box.
    """
    first, inputs = len(levels.rows), levels.rows.shape[1] - 1
    if levels.box is not None:
        cutting = _cutting(levels.rows, levels.box)
        if incidences(len(cutting), inputs, box=True) <= WORK:
            return levels, cutting
    if first < inputs or incidences(first, inputs, box=False) > WORK:
        return None
    return replace(levels, box=None), np.arange(first)


def _cutting(rows: FloatArray, box: Interval) -> IndexArray:
    """Return the units of the first level that may vanish in the box."""
    low, high = interval_affine([(rows[:, :-1], box)], rows[:, -1])
    cutting: IndexArray = (~((low > 0) | (high < 0))).nonzero()[0]
    return cutting


@dataclass(frozen=True, eq=False)
class _Second:
    """The second level at vertices: arrays (units, vertices).

    Attributes
    ----------
    z, off : arrays
        Values, and how far they may be off.
    up, down : bool arrays
        Which units may be on, and off; neither at infinity where they are exactly 0, as signs
        elsewhere hold there, too.
    """

    z: FloatArray
    off: FloatArray
    up: BoolArray
    down: BoolArray


def _second_level(levels: _Levels, found: Arrangement) -> _Second:
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
    far = (found.last == 0).nonzero()[0]
    if far.size:
        something = (z[:, far] != 0) | (off[:, far] != 0)
        up[:, far] &= something
        down[:, far] &= something
    return _Second(z, off, up, down)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces of kinks that are asked for.

    Attributes
    ----------
    kink : int array (pieces,)
        Of the hyperplanes that cut.
    on, off : bool arrays (units, pieces)
        Which units of the second level may be on there, and off.
    vertex : int array (incidences,)
        Vertices, piece by piece.
    first : int array (pieces + 1,)
        Where those of each piece begin.
    """

    kink: IndexArray
    on: BoolArray
    off: BoolArray
    vertex: IndexArray
    first: IndexArray


def _pieces(found: Arrangement, asked: BoolArray, second: _Second) -> _Pieces | None:
    """Return the pieces of kinks that are asked for; None if there are none."""
    plan = found.plan
    owner, key, plane = plan.owner, plan.key, plan.plane
    if found.place is not None or not asked.all():
        at = asked[plane].nonzero()[0]
        if found.place is not None:
            owner = found.place
            at = at[owner[plan.owner[at]] >= 0]
            owner = owner[plan.owner[at]]
        else:
            owner = owner[at]
        key, plane = key[at], plane[at]
    if not owner.size:
        return None
    on = np.ldexp(1.0, np.arange(len(asked))) @ (found.z[found.cutting] > 0)
    key = key + on[owner]
    few = np.ldexp(1.0, len(asked)) * len(asked) <= 1 << SHORT
    order = key.astype(np.uint16).argsort(kind="stable") if few else key.argsort()
    key, owner = key[order], owner[order]
    new = np.ones(len(key), dtype=bool)
    np.not_equal(key[1:], key[:-1], out=new[1:])
    first = new.nonzero()[0]
    number = np.arange(len(second.z))
    sides = ((np.ldexp(1.0, number) @ side).astype(np.int64) for side in (second.up, second.down))
    up, down = (np.bitwise_or.reduceat(side[owner], first) for side in sides)
    bit = number[:, None]
    may_be = (up >> bit) & 1 != 0, (down >> bit) & 1 != 0
    return _Pieces(plane[order[first]], *may_be, owner, np.append(first, len(owner)))


def _bend_upwards(
    levels: _Levels, found: Arrangement, second: _Second, pieces: _Pieces, *, seek: bool
) -> bool | Bend:
    """Whether J >= 0 on pieces of kinks, whichever state units have that may be on and off."""
    passed = levels.last[:, None] * levels.weights[:, found.cutting]
    jumps = passed[:, pieces.kink] * pieces.on
    error = (2 * (len(jumps) + 4) * UNIT * MORE) * np.abs(jumps).sum(axis=0)
    low = np.minimum(jumps, 0.0, out=jumps.copy(), where=pieces.off).sum(axis=0)
    left = (~(low >= error)).nonzero()[0]
    if not np.isfinite(low).all():
        return False
    # those of the least J under any states are the likeliest to bend down
    left = left[low[left].argsort()]
    for some in (left[:SOUGHT], left[SOUGHT:]):
        if some.size:
            bend = sinking_part(_parts(found, second, pieces, some, passed[:, pieces.kink[some]]))
            if bend is True:
                return False
            if bend is not False:
                point, kink = bend
                return seek and Bend(point, levels.rows[found.cutting[kink], :-1])
    return True


def _parts(
    found: Arrangement, second: _Second, pieces: _Pieces, some: IndexArray, jumps: FloatArray
) -> Parts:
    """Return some pieces with the values of the second level at their vertices."""
    vertex, begin = _vertices(pieces, some)
    planes = np.bitwise_or.reduce(np.int64(1) << found.through(vertex).astype(np.int64), axis=0)
    return Parts(
        found.points.take(vertex, axis=1),
        second.z.take(vertex, axis=1),
        second.off.take(vertex, axis=1),
        planes,
        np.zeros_like(planes),
        begin,
        jumps,
        pieces.kink[some],
    )


def _vertices(pieces: _Pieces, some: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Return the vertices of some pieces, and where those of each begin."""
    start, end = pieces.first[some], pieces.first[some + 1]
    count = end - start
    behind = count.cumsum()
    begin = behind - count
    return pieces.vertex[np.arange(behind[-1]) + np.repeat(start - begin, count)], begin


def _bend_upwards_behind(
    levels: _Levels, found: Arrangement, second: _Second, pieces: _Pieces
) -> bool:
    """Whether J >= 0 on pieces of kinks under the states that bounds leave to more levels."""
    at = pieces.vertex
    z, off = second.z.take(at, axis=1), second.off.take(at, axis=1)
    last = found.last[at], found.off[at]
    seen = pieces.on, pieces.off
    states = states_behind((z - off, z + off), seen, levels.behind, last, pieces.first)
    weights = [levels.weights, *(weight for weight, _ in levels.behind), levels.last[None]]
    kink = found.cutting[pieces.kink]
    return bool((jumps_behind(states, weights, kink) >= 0).all())
