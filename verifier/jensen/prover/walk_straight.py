"""Two levels in the plane: walk the kinks of the first along their lines, without any cells.

On the line where a neuron k of the first level kinks, ``z_j`` of the second level is piecewise
linear, with breaks where the other lines are crossed. ``J_k`` is the sum of ``v_j W_jk`` over the
neurons j that are on, so that all there is to know is where each ``z_j`` changes its sign. All
lines are cut into pieces at once, and nothing but products of small matrices is computed.

Every number comes with a bound on its error, and a neuron whose sign is not certain counts with
whichever state lowers ``J_k``: that is a lower bound where several kinks coincide, too, as long
as no neuron of the second level bends down. One whose output weight is negative must not change its
sign: z is linear on the cells between the lines, so that its signs along the lines, and at the
corners of a box, say all. What is not found to be ``>= 0`` is left to the walk
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
from jensen.prover.straight_pieces import CHUNK, OUTWARD, Pieces, all_upwards
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

SMALLEST, LARGEST = 1e-90, 1e90  # sizes whose products neither under- nor overflow here
# relative error of a value on a line: points and directions have 8 units, a product and two sums
ALONG = 24 * UNIT
MORE = 1 + 1e-10  # times a sum of some hundred numbers: not below their sum
WIDEST = 64  # neurons of the first level: beyond, cells cost less than patterns on all lines
FAR = 1e6  # where signs on all of the plane are looked at first: a hint
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
        Neurons that bend nothing down, by their signs or since they never cross. Where one of
        the second level is open, it has to keep its sign on the domain, a box or everything.
    """
    levels = _two_levels(network)
    if levels is None or levels[0].size > WIDEST:
        return False
    first, second = levels
    open_second = np.flatnonzero(~closed[second.name])
    if len(open_second) and domain.has_rows:
        return False
    lines = _Lines(network, domain, first, second, open_second)
    if not lines.usable():
        return False
    step = max(1, CHUNK // ((first.size + 2) * max(first.size, second.size)))
    asked = ~closed[first.name]
    neurons = np.flatnonzero(asked | bool(len(open_second)))
    return lines.keep_signs(domain) and all(
        lines.upwards(neurons[at : at + step], asked) for at in range(0, len(neurons), step)
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


class _Lines:
    """The lines of the first level's kinks, and the second level along them."""

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        first: Block,
        second: Block,
        open_second: IndexArray,
    ) -> None:
        # neurons of the second level that must keep their signs, and which they may have
        self._open = open_second
        self._above = self._below = np.ones(len(open_second), dtype=bool)
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
        return in_range(np.concatenate([part.ravel() for part in parts]))

    def upwards(self, neurons: IndexArray, asked: BoolArray) -> bool:
        """Whether J >= 0 is proved along some lines; what is not a number proves nothing.

        Parameters
        ----------
        neurons : int array
            On whose lines the signs of open neurons of the second level are looked at, too.
        asked : bool array (neurons of the first level,)
            Whose J is asked for.
        """
        normals = self._normals[neurons]
        squared = (normals * normals).sum(axis=1)
        if not squared.all():
            if asked[neurons[squared == 0]].any():
                return False
            neurons, normals = neurons[squared > 0], normals[squared > 0]
            squared = squared[squared > 0]
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
        wanted = asked[neurons]
        return all(self._good(p, wanted, direct, gains) for p in pieces)

    def _good(
        self, pieces: Pieces, asked: BoolArray, direct: FloatArray, gains: FloatArray
    ) -> bool:
        """Whether open neurons of the second level keep their signs, and no J is negative."""
        if len(self._open):
            on, off = pieces.of(self._open).signs()
            self._above = self._above & on.all(axis=0)
            self._below = self._below & off.all(axis=0)
            if not (self._above | self._below).all():
                return False
            pieces = pieces.along(asked[pieces.line])
        return all_upwards(pieces, direct[pieces.line], gains[pieces.line])

    def keep_signs(self, domain: Domain) -> bool:
        """Whether open neurons of the second level may keep their signs: off the lines they do.

        z is linear on every cell, so that its signs at the corners say it, and at infinity those
        along the lines that bound the cell. The corners of all cells lie on lines, but for
        those of a box; without a box, two lines have to meet, or cells have no corners.
        """
        if not len(self._open):
            return True
        box = domain.box_sides(2)
        if box is not None:
            self._above, self._below = self._signs_at(box)
            return bool((self._above | self._below).all())
        a, b = self._normals.T
        turns = np.abs(np.outer(a, b) - np.outer(b, a))
        if not (turns > ALONG * np.abs(np.outer(a, b))).any():
            return False
        # most that do not keep their signs show it at four points far away
        far = np.full(2, FAR)
        above, below = self._signs_at((-far, far))
        return bool((above | below).all())

    def _signs_at(self, box: Interval) -> tuple[BoolArray, BoolArray]:
        """Return which open neurons are surely positive, and negative, at a box's corners."""
        x, y = np.array(box).T
        corners = np.array([[x[0], y[0]], [x[0], y[1]], [x[1], y[0]], [x[1], y[1]]])
        if not in_range(corners):
            return (np.zeros(len(self._open), dtype=bool),) * 2
        sizes = np.abs(corners) @ np.abs(self._normals).T + np.abs(self._offsets)
        z = corners @ self._normals.T + self._offsets
        value, error = self._second(np.maximum(z, 0.0), 2 * ALONG * sizes)
        value, error = value + self._bias, error + self._rounding * np.abs(self._bias)
        if self._skips:
            weights = self._forms[:, self._rows.stop :]
            value += corners @ weights
            error += ALONG * (np.abs(corners) @ np.abs(weights)) + self._rounding * np.abs(value)
        value, error = value[:, self._open], MORE * error[:, self._open]
        return np.all(value > error, axis=0), np.all(value < -error, axis=0)

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
    ) -> Iterator[Pieces]:
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

    def _between(self, z: FloatArray, value: FloatArray, error: FloatArray) -> Pieces:
        """Return the pieces between nodes, from z of both levels at the nodes."""
        before, behind = z[:, :-1], z[:, 1:]
        # a neuron that changes its sign within leaves its chord by the smaller of its ends
        bent = np.minimum(np.maximum(before, behind), -np.minimum(before, behind))
        bent = MORE * (np.maximum(bent, 0.0) @ self._sizes)
        lines, pieces, neurons = bent.shape
        start = value[:, :-1]
        return Pieces(
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
    ) -> Pieces:
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
        return Pieces(line, value[line, node], rise, bent + error[line, node], drift, np.inf)


def in_range(values: FloatArray) -> bool:
    """Whether products of such numbers neither under- nor overflow here."""
    sizes = np.abs(values)
    return bool((((sizes >= SMALLEST) & (sizes <= LARGEST)) | (sizes == 0)).all())
