"""Two levels in the plane: walk the kinks of the first along their lines, without any cells.

On the line where a neuron k of the first level kinks, ``z_j`` of the second level is piecewise
linear, with breaks where the other lines are crossed. ``J_k`` is the sum of ``v_j W_jk`` over the
neurons j that are on, so that all there is to know is where each ``z_j`` changes its sign. All
lines are cut into pieces at once, and nothing but products of small matrices is computed.

Every number comes with a bound on its error, and a neuron whose sign is not certain counts with
whichever state lowers ``J_k``: that is a lower bound where several kinks coincide, too, as long
as no neuron of the second level bends down. What is not found to be ``>= 0`` is left to the walk
along the whole complex.

References
----------
docs/theory.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.intervals import UNIT, product_below, rounding_factor
from jensen.domains.domain import Domain
from jensen.network.relu_network import INPUT, Block, ReluNetwork
from jensen.types import BoolArray, FloatArray, IndexArray

SMALLEST, LARGEST = 1e-90, 1e90  # sizes whose products neither under- nor overflow here
# relative error of a value on a line: points and directions have 8 units, a product and two sums
ALONG = 24 * UNIT
OUTWARD = 16 * UNIT  # of quotients, so that they err to one side
MORE = 1 + 1e-10  # times a sum of some hundred numbers: not below their sum
WIDEST = 64  # neurons of the first level: beyond, cells cost less than patterns on all lines
CHUNK = 1 << 13  # numbers in a table at a time, so that they stay in the cache
BITS = 40  # of the numbers that jumps are summed in: thousands of them are summed exactly
TURN = np.array([[-1.0, 1.0]])


def bend_upwards(network: ReluNetwork, domain: Domain, closed: Mapping[str, BoolArray]) -> bool:
    """Whether the open kinks of the first of two levels are proved to bend upwards on a domain.

    Parameters
    ----------
    network : ReluNetwork
        With one output. Nothing is found unless it has two inputs and two dense levels.
    domain : Domain
        With an interior.
    closed : mapping from block name to bool array (size,)
        Neurons that bend nothing down, by their signs or since they never cross. Nothing is
        found where one of the second level is open.
    """
    levels = _two_levels(network)
    if levels is None or levels[0].size > WIDEST or not closed[levels[1].name].all():
        return False
    first, second = levels
    lines = _Lines(network, domain, first, second)
    step = max(1, CHUNK // ((first.size + 2) * max(first.size, second.size)))
    neurons = np.flatnonzero(~closed[first.name])
    return lines.usable() and all(
        lines.upwards(neurons[at : at + step]) for at in range(0, len(neurons), step)
    )


def _two_levels(network: ReluNetwork) -> tuple[Block, Block] | None:
    """Return the two levels of a network of two inputs that has just these; None elsewhere."""
    if network.input_size != 2 or len(network.blocks) != 3:
        return None
    first, second, output = network.blocks
    if not (first.is_relu and second.is_relu and first.name in second.weights):
        return None
    if second.name not in output.weights:
        return None
    sparse = any(sp.issparse(w) for block in network.blocks for w in block.weights.values())
    return None if sparse else (first, second)


@dataclass(frozen=True, eq=False)
class _Forms:
    """Values of linear forms at ``s`` along each line: ``at + s along``, up to ``error``.

    Attributes
    ----------
    at, along : arrays (lines, forms)
    error, drift : arrays (lines, forms)
        The value is exact up to ``error + abs(s) drift``, the slope up to ``drift``.
    """

    at: FloatArray
    along: FloatArray
    error: FloatArray
    drift: FloatArray

    def part(self, chosen: BoolArray | slice, forms: slice = slice(None)) -> _Forms:
        """Return some of the forms along some of the lines."""
        return _Forms(
            self.at[chosen, forms],
            self.along[chosen, forms],
            self.error[chosen, forms],
            self.drift[chosen, forms],
        )

    def values(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return values at places (lines, places), and their errors: (lines, places, forms)."""
        s = places[:, :, None]
        value = self.at[:, None] + s * self.along[:, None]
        return value, self.error[:, None] + np.abs(s) * self.drift[:, None]

    def negative(self) -> tuple[FloatArray, FloatArray]:
        """Return between which places no form is certainly positive, erring outward."""
        room = self.error - self.at
        slope = np.abs(self.along) - np.copysign(self.drift, room)
        place = room / slope
        place += OUTWARD * np.abs(place)
        sure = np.abs(self.along) > self.drift
        high = np.where(sure & (self.along > 0), place, np.inf).min(axis=1, initial=np.inf)
        low = np.where(sure & (self.along < 0), -place, -np.inf).max(axis=1, initial=-np.inf)
        return low, high


@dataclass(frozen=True, eq=False)
class _Pieces:
    """``z`` of the second level on pieces of lines: ``start + t rise`` for ``0 <= t <= reach``.

    Attributes
    ----------
    line : array (pieces,)
    start, rise, error, drift : arrays (pieces, neurons)
        z is exact up to ``error + t drift``.
    reach : float
        1 between two nodes, infinite beyond the last one.
    """

    line: IndexArray
    start: FloatArray
    rise: FloatArray
    error: FloatArray
    drift: FloatArray
    reach: float


class _Lines:
    """The lines of the first level's kinks, and the second level along them."""

    def __init__(self, network: ReluNetwork, domain: Domain, first: Block, second: Block) -> None:
        self._first = first.size
        self._normals, self._offsets = first.weights[INPUT], first.bias
        self._weights, self._bias = second.weights[first.name], second.bias
        output = network.output
        self._last = output.weights[second.name][0]
        direct = output.weights.get(first.name)
        self._direct = np.zeros(first.size) if direct is None else direct[0]
        rows, limits = domain.inequalities(2)
        # the first level, the domain's rows, what the second level reads of the inputs
        forms, offsets = [self._normals, rows], [self._offsets, -limits]
        self._rows = slice(first.size, first.size + len(limits))
        if INPUT in second.weights:
            forms.append(second.weights[INPUT])
            offsets.append(np.zeros(second.size))
        self._forms, self._constants = np.concatenate(forms).T, np.concatenate(offsets)
        self._skips = INPUT in second.weights
        self._sizes = np.abs(self._weights).T
        self._rounding = rounding_factor(first.size + 16)

    def usable(self) -> bool:
        """Whether no product of weights comes near to under- or overflow."""
        parts = (self._forms, self._constants, self._weights, self._bias, self._last, self._direct)
        sizes = np.abs(np.concatenate([part.ravel() for part in parts]))
        return bool((((sizes >= SMALLEST) & (sizes <= LARGEST)) | (sizes == 0)).all())

    def upwards(self, neurons: IndexArray) -> bool:
        """Whether J >= 0 is proved along some lines; what is not a number proves nothing."""
        normals = self._normals[neurons]
        squared = (normals * normals).sum(axis=1)
        if not squared.all():
            return False
        points = normals * (-self._offsets[neurons] / squared)[:, None]
        directions = normals[:, ::-1] * TURN / np.sqrt(squared)[:, None]
        sizes = np.abs(self._forms)
        forms = _Forms(
            points @ self._forms + self._constants,
            directions @ self._forms,
            ALONG * (np.abs(points) @ sizes + np.abs(self._constants)),
            ALONG * (np.abs(directions) @ sizes),
        )
        low, high = forms.part(slice(None), self._rows).negative()
        met = low <= high
        if not met.all():
            neurons, forms, low, high = neurons[met], forms.part(met), low[met], high[met]
        pieces = self._pieces(neurons, forms, low, high)
        direct, gains = self._jumps(neurons)
        return all(_all_upwards(p, direct[p.line], gains[p.line]) for p in pieces)

    def _jumps(self, neurons: IndexArray) -> tuple[FloatArray, FloatArray]:
        """Return what J of each neuron is made of, rounded down to whole numbers of a small unit.

        Sums of these are exact in whatever order, so that 0 stays 0.

        Returns
        -------
        direct : array (lines,)
            What the neuron adds to the output by itself.
        gains : array (lines, neurons of the second level)
            What it adds by way of another where that one is on.
        """
        gains = product_below(self._last, self._weights[:, neurons].T)
        direct = self._direct[neurons]
        largest = np.maximum(np.abs(gains).max(axis=1), np.abs(direct))
        shift = BITS - np.frexp(largest)[1]
        return np.floor(np.ldexp(direct, shift)), np.floor(np.ldexp(gains, shift[:, None]))

    def _pieces(
        self, neurons: IndexArray, forms: _Forms, low: FloatArray, high: FloatArray
    ) -> Iterator[_Pieces]:
        """Cut lines at the kinks of the first level, from ``low`` to ``high``."""
        first = forms.part(slice(None), slice(self._first))
        for values in (first.at, first.along, first.error, first.drift):
            values[np.arange(len(values)), neurons] = 0.0  # on its own line a neuron is 0
        breaks = np.where(np.abs(first.along) > first.drift, -first.at / first.along, 0.0)
        breaks = np.clip(breaks, low[:, None], high[:, None])
        ends = np.stack([low, high], axis=1)
        endless = np.isinf(ends)
        nodes = np.concatenate([breaks, np.where(endless, breaks[:, :1], ends)], axis=1)
        nodes.sort(axis=1)
        z, noise = first.values(nodes)
        value, error = self._second(np.maximum(z, 0.0), 2 * noise)
        value += self._bias
        error += self._rounding * np.abs(self._bias)
        direct = forms.part(slice(None), slice(self._rows.stop, None)) if self._skips else None
        if direct is not None:
            added, uncertain = direct.values(nodes)
            value += added
            error += uncertain + self._rounding * np.abs(added)
        yield self._between(z, value, error)
        if endless.any():
            yield self._beyond(first, direct, endless, z, value, error)

    def _second(self, h: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what the second level makes of values of the first, and how far it may be off."""
        return h @ self._weights.T, (noise + self._rounding * h) @ self._sizes

    def _between(self, z: FloatArray, value: FloatArray, error: FloatArray) -> _Pieces:
        """Return the pieces between nodes, from z of both levels at the nodes."""
        before, behind = z[:, :-1], z[:, 1:]
        # a neuron that changes its sign within leaves its chord by the smaller of its ends
        bent = np.minimum(np.maximum(before, behind), -np.minimum(before, behind))
        bent = MORE * (np.maximum(bent, 0.0) @ self._sizes)
        lines, pieces, neurons = bent.shape
        start = value[:, :-1]
        return _Pieces(
            np.repeat(np.arange(lines), pieces),
            start.reshape(-1, neurons),
            (value[:, 1:] - start).reshape(-1, neurons),
            (bent + error[:, :-1] + error[:, 1:]).reshape(-1, neurons),
            np.zeros((1, 1)),
            1.0,
        )

    def _beyond(
        self,
        first: _Forms,
        direct: _Forms | None,
        endless: BoolArray,
        z: FloatArray,
        value: FloatArray,
        error: FloatArray,
    ) -> _Pieces:
        """Return the pieces that do not end, beyond the outermost nodes."""
        line, side = np.nonzero(endless)
        node, sign = -side, (2 * side - 1)[:, None]
        at, along = z[line, node], sign * first.along[line]
        # a neuron that changes its sign beyond is off by its value at the node
        bent = MORE * (np.maximum(np.where(along > 0, -at, at), 0.0) @ self._sizes)
        moving = np.where(along > -first.drift[line], first.drift[line], 0.0)
        rise, drift = self._second(np.maximum(along, 0.0), moving)
        if direct is not None:
            rise += sign * direct.along[line]
            drift += direct.drift[line] + self._rounding * np.abs(direct.along[line])
        return _Pieces(line, value[line, node], rise, bent + error[line, node], drift, np.inf)


def _all_upwards(pieces: _Pieces, direct: FloatArray, gains: FloatArray) -> bool:
    """Whether J >= 0 on all pieces, of what :meth:`_Lines._jumps` says for each."""
    # z > 0 where the first is positive, z < 0 where the second is
    low, fall = pieces.start - pieces.error, pieces.rise - pieces.drift
    high, climb = -pieces.start - pieces.error, -pieces.rise - pieces.drift
    if pieces.reach == 1:
        on, off = np.minimum(low, low + fall) > 0, np.minimum(high, high + climb) > 0
    else:
        on, off = (low > 0) & (fall >= 0), (high > 0) & (climb >= 0)
    sure, loss = on | off, np.minimum(gains, 0.0)
    jump = direct + np.where(on, gains, np.where(off, 0.0, loss)).sum(axis=1)
    left = np.flatnonzero(~(jump >= 0))
    if not len(left):
        return True
    unsure = np.count_nonzero(~sure[left], axis=1)
    if not unsure.all():
        return False
    most = int(unsure.max())
    step = max(1, CHUNK // (8 * most))
    for at in range(0, len(left), step):
        rows = left[at : at + step, None]
        # the neurons that change or may, and to fill up some that do not
        some = np.argsort(sure[rows[:, 0]], axis=1, kind="stable")[:, :most]
        may = ~sure[rows, some]
        values = np.concatenate([low[rows, some], high[rows, some]], axis=1)
        slopes = np.concatenate([fall[rows, some], climb[rows, some]], axis=1)
        gain = np.maximum(gains[rows, some], 0.0)
        weights = np.concatenate([gain * may, -loss[rows, some] * may], axis=1)
        lowest = jump[rows[:, 0]] + _lowest(values, slopes, weights, pieces.reach)
        if not (lowest >= 0).all():
            return False
    return True


def _lowest(
    values: FloatArray, slopes: FloatArray, weights: FloatArray, reach: float
) -> FloatArray:
    """Return the least sum of the weights of the linear functions that are positive.

    Parameters
    ----------
    values, slopes : arrays (pieces, functions)
        Function i of a piece is ``values + t slopes`` for ``0 <= t <= reach``.
    weights : array (pieces, functions)
        All ``>= 0``.
    """
    positive = values > 0
    root = np.abs(values / slopes)
    # each changes its sign once, if at all; it counts as positive a little too late, too briefly
    falls = positive & ~(slopes >= 0) & ~(root * (1 - OUTWARD) >= reach)
    rises = (values <= 0) & (slopes > 0) & (root * (1 + OUTWARD) < reach)
    place = np.where(falls, root * (1 - OUTWARD), root * (1 + OUTWARD))
    change = np.where(falls, -weights, np.where(rises, weights, 0.0))
    # where several change at one place, those that cease to be positive come first
    order = np.lexsort((change, np.where(rises | falls & (place > 0), place, 0.0)), axis=-1)
    sums = np.cumsum(np.take_along_axis(change, order, axis=1), axis=1)
    start = (positive * weights).sum(axis=1)
    lowest: FloatArray = start + np.minimum(sums.min(axis=1), 0.0)
    return lowest
