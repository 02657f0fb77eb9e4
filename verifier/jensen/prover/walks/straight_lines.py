"""Two levels in the plane along the lines of the first level's kinks, many networks at once.

References
----------
docs/theory.md, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jensen.arithmetic.intervals import UNIT, product_below, rounding_factor
from jensen.domains.domain import Domain
from jensen.prover.walks.straight_levels import Forms, TwoLevels, in_range
from jensen.prover.walks.straight_pieces import Pieces, not_upwards
from jensen.types import BoolArray, FloatArray, IndexArray, Interval

# relative error of a value on a line: points and directions have 8 units, a product and two sums
ALONG = 24 * UNIT
MORE = 1 + 1e-10  # times a sum of some hundred numbers: not below their sum
FAR = 1e6  # where signs on all of the plane are looked at first: a hint
BITS = 40  # of the numbers that jumps are summed in: thousands of them are summed exactly
TURN = np.array([[-1.0, 1.0]])


class Lines:
    """The lines of the first level's kinks, and the second level along them.

    Parameters
    ----------
    levels : TwoLevels
        All of them usable.
    domain : Domain
    asked : bool array (networks, first)
        Whose J is asked for.
    bending : bool array (networks, second)
        Neurons that must keep their signs.
    """

    def __init__(
        self, levels: TwoLevels, domain: Domain, asked: BoolArray, bending: BoolArray
    ) -> None:
        self._levels, self._domain, self._asked, self._bending = levels, domain, asked, bending
        # columns that some network asks about
        self._open = np.flatnonzero(bending.any(axis=0))
        self._above, self._below = np.ones((2, *bending.shape), dtype=bool)
        count, size = levels.offsets.shape
        self._every = np.arange(count)[:, None]
        self._rounding = rounding_factor(size + 16)
        rows, limits = domain.inequalities(2)
        # the first level, the domain's rows, what the second level reads of the inputs
        self._rows = slice(size, size + len(limits))
        skips = 0 if levels.skips is None else levels.bias.shape[1]
        forms = np.zeros((count, self._rows.stop + skips, 3))
        forms[:, :size, :2], forms[:, :size, 2] = levels.normals, levels.offsets
        forms[:, self._rows, :2], forms[:, self._rows, 2] = rows, -limits
        if levels.skips is not None:
            forms[:, self._rows.stop :, :2] = levels.skips
        self._forms = forms.transpose(0, 2, 1)
        self._form_sizes = np.abs(self._forms)
        self._matrix = levels.weights.transpose(0, 2, 1)
        self._sizes = np.abs(self._matrix)
        # networks of which something is not shown
        self._lost = np.zeros(count, dtype=bool)

    def upwards(self, step: int) -> BoolArray:
        """Return the networks all of whose lines are shown to bend upwards.

        Parameters
        ----------
        step : int
            Lines of each network at a time.
        """
        wanted = self._asked.copy()
        if self._open.size:
            self._keep_signs()
            wanted |= np.any(self._bending, axis=1)[:, None]
            wanted[self._lost] = False
        most = int(np.count_nonzero(wanted, axis=1).max(initial=0))
        order = (~wanted).argsort(axis=1, kind="stable")
        for at in range(0, most, step):
            part = order[:, at : min(at + step, most)]
            self._look(part, wanted[self._every, part])
            if at + step < most and self._lost.all():
                break
        return ~self._lost

    def _look(self, neurons: IndexArray, wanted: BoolArray) -> None:
        """Mark the networks where J >= 0 is not proved along some lines.

        Parameters
        ----------
        neurons : int array (networks, lines)
            Of the first level.
        wanted : bool array (networks, lines)
            The others fill up, and show nothing.
        """
        own = self._every, neurons
        normals, asked = self._levels.normals[own], self._asked[own]
        squared = (normals * normals).sum(axis=2)
        if not squared.all():  # neurons that are constant
            flat = squared == 0
            self._lost |= (asked & wanted & flat).any(axis=1)
            wanted &= ~flat
        points = normals * (-self._levels.offsets[own] / squared)[:, :, None]
        directions = normals[:, :, ::-1] * (TURN / np.sqrt(squared)[:, :, None])
        matrix, sizes = self._forms, self._form_sizes
        forms = Forms(
            points @ matrix[:, :2] + matrix[:, 2:],
            directions @ matrix[:, :2],
            ALONG * (np.abs(points) @ sizes[:, :2] + sizes[:, 2:]),
            ALONG * (np.abs(directions) @ sizes[:, :2]),
        )
        low, high = forms.part(self._rows).negative()
        wanted &= ~(low > high)  # the others do not meet the domain
        if not wanted.all():
            met = np.any(wanted, axis=0)
            neurons, forms, low, high = neurons[:, met], forms.of(met), low[:, met], high[:, met]
            wanted, asked = wanted[:, met], asked[:, met]
            if not wanted.size:
                return
        parts = *self._jumps(neurons), wanted.reshape(-1, 1), (asked & wanted).ravel()
        for pieces, real in self._pieces(neurons, forms, low, high):
            self._judge(pieces, real, *parts)

    def _judge(
        self,
        pieces: Pieces,
        real: BoolArray | None,
        direct: FloatArray,
        gains: FloatArray,
        wanted: BoolArray,
        asked: BoolArray,
    ) -> None:
        """Mark where a neuron of the second level may change its sign, or J may be negative.

        Parameters
        ----------
        pieces : Pieces
        real : bool array (lines, pieces) or None
            The other pieces show nothing.
        direct, gains : arrays (lines,), (lines, second)
            What J is made of.
        wanted, asked : bool arrays (lines, 1), (lines,)
            Lines that show anything, and those whose J is asked for.
        """
        count = self._lost.size
        if self._open.size:
            idle = ~wanted[:, :, None] if real is None else ~(real & wanted)[:, :, None]
            for held, sign in zip(
                (self._above, self._below), pieces.of(self._open).signs(), strict=True
            ):
                kept = (sign | idle).reshape(count, -1, self._open.size).all(axis=1)
                held[:, self._open] &= kept
            self._lost |= self._bend()
        live = asked
        if self._lost.any():
            live = asked & ~self._lost.repeat(asked.size // count)
        lines = None
        if not live.all():
            lines = np.flatnonzero(live)
            pieces, direct, gains = pieces.along(lines), direct[lines], gains[lines]
            real = None if real is None else real[lines]
        bad = not_upwards(pieces, direct, gains, real)
        if bad.size:
            bad = bad if lines is None else lines[bad]
            self._lost[bad // (asked.size // count)] = True

    def _bend(self) -> BoolArray:
        """Return the networks of which a neuron that must keep its sign may change it."""
        found: BoolArray = (self._bending & ~(self._above | self._below)).any(axis=1)
        return found

    # ------------------------------------------------------------- neurons that would bend down

    def _keep_signs(self) -> None:
        """Mark where open neurons of the second level change their signs off the lines.

        z is linear on every cell, so that its signs at the corners say it, and at infinity those
        along the lines that bound the cell. The corners of all cells lie on lines, but for
        those of a box; without a box, two lines have to meet, or cells have no corners.
        """
        if not self._open.size:
            return
        some = self._bending.any(axis=1)
        box = self._domain.box_sides(2)
        if box is not None:
            self._above, self._below = self._signs_at(box)
            self._lost |= self._bend()
            return
        a, b = np.moveaxis(self._levels.normals, 2, 0)
        one, other = a[:, :, None] * b[:, None], b[:, :, None] * a[:, None]
        meet = np.abs(one - other) > ALONG * np.abs(one)
        self._lost |= some & ~meet.any(axis=(1, 2))
        # most that do not keep their signs show it at four points far away
        far = np.full(2, FAR)
        above, below = self._signs_at((-far, far))
        self._lost |= (self._bending & ~(above | below)).any(axis=1)

    def _signs_at(self, box: Interval) -> tuple[BoolArray, BoolArray]:
        """Return which neurons are surely positive, and negative, at a box's corners."""
        levels = self._levels
        x, y = np.array(box).T
        corners = np.array([[x[0], y[0]], [x[0], y[1]], [x[1], y[0]], [x[1], y[1]]])
        if not in_range(corners).all():
            return tuple(np.zeros((2, *levels.bias.shape), dtype=bool))
        first, size = (
            self._forms[:, :, : self._rows.start],
            self._form_sizes[:, :, : self._rows.start],
        )
        bias = levels.bias[:, None]
        sizes = np.abs(corners) @ size[:, :2] + size[:, 2:]
        z = corners @ first[:, :2] + first[:, 2:]
        h = np.maximum(z, 0.0)
        value = self._read(h) + bias
        error = self._off(2 * ALONG * sizes + self._rounding * h) + self._rounding * np.abs(bias)
        if levels.skips is not None:
            weights = levels.skips.transpose(0, 2, 1)
            value += corners @ weights
            error += ALONG * (np.abs(corners) @ np.abs(weights)) + self._rounding * np.abs(value)
        error = MORE * error
        return np.all(value > error, axis=1), np.all(value < -error, axis=1)

    # ------------------------------------------------------------------------- along the lines

    def _jumps(self, neurons: IndexArray) -> tuple[FloatArray, FloatArray]:
        """Return what J of each neuron is made of, rounded down to whole numbers of a small unit.

        Sums of these are exact in whatever order, so that 0 stays 0.

        Returns
        -------
        direct : array (lines of all networks,)
            What the neuron adds to the output by itself.
        gains : array (lines of all networks, neurons of the second level)
            What it adds by way of another where that one is on.
        """
        own, levels = (self._every, neurons), self._levels
        gains = product_below(levels.last[:, None], self._matrix[own])
        gains = gains.reshape(-1, gains.shape[2])
        direct = np.zeros(len(gains)) if levels.direct is None else levels.direct[own].ravel()
        largest = np.maximum(np.abs(gains).max(axis=1), np.abs(direct))
        shift = BITS - np.frexp(largest)[1]
        return np.floor(np.ldexp(direct, shift)), np.floor(np.ldexp(gains, shift[:, None]))

    def _pieces(
        self, neurons: IndexArray, forms: Forms, low: FloatArray, high: FloatArray
    ) -> Iterator[tuple[Pieces, BoolArray | None]]:
        """Cut lines at the kinks of the first level, from ``low`` to ``high``.

        Yields
        ------
        Pieces
        bool array (lines, pieces) or None
            Those that there are, if not all.
        """
        first = forms.part(slice(0, self._rows.start))
        own = self._every, np.arange(neurons.shape[1]), neurons
        for values in (first.at, first.along, first.error, first.drift):
            values[own] = 0.0  # on its own line a neuron is 0
        breaks = np.where(np.abs(first.along) > first.drift, -first.at / first.along, 0.0)
        breaks = np.clip(breaks, low[:, :, None], high[:, :, None])
        ends = np.stack([low, high], axis=2)
        endless = np.isinf(ends)
        nodes = np.concatenate([breaks, np.where(endless, breaks[:, :, :1], ends)], axis=2)
        nodes.sort(axis=2)
        z, noise = first.values(nodes)
        h = np.maximum(z, 0.0)
        noise *= 2
        noise += self._rounding * h
        bias = self._levels.bias[:, None, None]
        value = self._read(h)
        value += bias
        error = self._rounding * np.abs(bias)
        skips = None if self._levels.skips is None else forms.part(slice(self._rows.stop, None))
        if skips is not None:
            added, uncertain = skips.values(nodes)
            value += added
            error = error + (uncertain + self._rounding * np.abs(added))
        yield self._between(z, noise, value, error), None
        if endless.any():
            yield self._beyond(first, skips, z, noise, value, error), endless.reshape(-1, 2)

    def _between(
        self, z: FloatArray, noise: FloatArray, value: FloatArray, error: FloatArray
    ) -> Pieces:
        """Return the pieces between nodes.

        Parameters
        ----------
        z, noise : arrays (networks, lines, nodes, first)
            At the nodes, and how far max(z, 0) is off.
        value, error : arrays (networks, lines, nodes, second), error perhaps of one node
            z of the second level, and how far it is off beside that.
        """
        before, behind = slice(None, -1), slice(1, None)
        # a neuron that changes its sign within leaves its chord by the smaller of its ends
        up, down = np.maximum(z, 0.0), np.maximum(-z, 0.0)
        bent = np.minimum(
            np.maximum(up[:, :, before], up[:, :, behind]),
            np.maximum(down[:, :, before], down[:, :, behind]),
        )
        bent += noise[:, :, before]
        bent += noise[:, :, behind]
        off = self._off(bent)
        off += 2 * error if error.shape[2] == 1 else error[:, :, before] + error[:, :, behind]
        start, end = _by_line(value[:, :, before]), _by_line(value[:, :, behind])
        return Pieces(start, end - start, _by_line(off), end=end)

    def _beyond(
        self,
        first: Forms,
        skips: Forms | None,
        z: FloatArray,
        noise: FloatArray,
        value: FloatArray,
        error: FloatArray,
    ) -> Pieces:
        """Return the pieces beyond the outermost nodes, on either side of every line."""
        outer, sign = [0, -1], np.array([-1.0, 1.0])[:, None]
        at, along, drift = z[:, :, outer], sign * first.along[:, :, None], first.drift[:, :, None]
        # a neuron that changes its sign beyond is off by its value at the node
        bent = np.maximum(np.where(along > 0, -at, at), 0.0)
        off = self._off(bent + noise[:, :, outer])
        off += error if error.shape[2] == 1 else error[:, :, outer]
        climb = np.maximum(along, 0.0)
        rise = self._read(climb)
        change = self._off(np.where(along > -drift, drift, 0.0) + self._rounding * climb)
        if skips is not None:
            slope = skips.along[:, :, None]
            rise += sign * slope
            change += skips.drift[:, :, None] + self._rounding * np.abs(slope)
        start, rise, off, change = map(_by_line, (value[:, :, outer], rise, off, change))
        return Pieces(start, rise, off, drift=change)

    def _read(self, h: FloatArray) -> FloatArray:
        """Return what the second level makes of values (networks, ..., first)."""
        return _times(h, self._matrix)

    def _off(self, noise: FloatArray) -> FloatArray:
        """Return how far that may be off where the values are off by so much."""
        error = _times(noise, self._sizes)
        error *= MORE
        return error


def _by_line(values: FloatArray) -> FloatArray:
    """Return (lines, pieces, neurons) of (networks, lines, pieces, neurons)."""
    return values.reshape(-1, *values.shape[2:])


def _times(values: FloatArray, matrices: FloatArray) -> FloatArray:
    """Return products of values (networks, ..., in) with matrices (networks, in, out)."""
    product = values.reshape(len(values), -1, values.shape[-1]) @ matrices
    return product.reshape(*values.shape[:-1], -1)
