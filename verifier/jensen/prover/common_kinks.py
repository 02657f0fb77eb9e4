"""Single kinks of many networks, sought from random points.

Between two points of a line a network may have many kinks, and those that bend up hide one that
bends down. Here every neuron that may bend down is looked at by itself: from random points a
segment leads along its gradient to where it should change its sign; its zero is found, J is
summed up from the states there, and where it is negative, two points so near that no other
neuron changes its sign between them go to the exact check. Floating point chooses the points and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack, architecture
from jensen.prover.closed import closed_neurons
from jensen.prover.lines.common_lines import confirmed_pairs, exact_ends
from jensen.prover.lines.line_search import STEPS, LineSampler, line_scale
from jensen.prover.outcome import Outcome, refuted_by
from jensen.prover.question import Question
from jensen.prover.signs import is_small
from jensen.types import BoolArray, FloatArray, IndexArray, Interval
from jensen.verdicts.evidence import Counterexample
from jensen.verdicts.options import Engine

_STEPS = 5  # towards a zero
_BEYOND = 2.0  # times the way to where a neuron would be 0 if it were linear
_SHARE = 0.4  # of the way to the next kink
_NEAR = 0.1  # of that, at most, is how far the zero is off
_ASIDE = 0.3  # the middle of a pair is not on the kink: no sign is uncertain there
_NUMBERS = 1 << 16  # in a table of states
_LINES = (4, 16)  # random segments, whose ends are started from; for what is left, more of them
_WORK = 2e6  # weights times neurons of one network: some 20 ms
_GRID = 2.0**-12  # of the distance of two points


def single_kinks(question: Question) -> Outcome | None:
    """Refute a small network by single kinks, before many random lines are drawn."""
    return _single_kinks(question) if is_small(question.network) else None


def single_kinks_of_large(question: Question) -> Outcome | None:
    """As :func:`single_kinks`, behind random lines, which cost less and refute many."""
    return None if is_small(question.network) else _single_kinks(question)


def _single_kinks(question: Question) -> Outcome | None:
    options, network = question.options, question.network
    plain = options.engine is Engine.AUTO and options.inputs is None and not options.tolerance
    work = network.parameter_count * network.relu_count
    if not plain or question.domain.has_rows or work > _WORK or architecture(network) is None:
        return None
    with question.prepared.watch.stage("kinks"):
        closed = closed_neurons(question.prepared)
        open_units = ~np.concatenate([closed[block.name] for block in network.hidden])
        rng = np.random.default_rng(options.seed)
        scale = line_scale(network, question.domain)
        sampler = LineSampler(question.domain, network.input_size, scale, rng)
        stack = NetworkStack.from_networks([network])
        found = refuted_by_kinks(
            stack, question.domain, sampler, open_units[None], lines=_LINES[:1]
        )
    return refuted_by(found[0]) if found else None


def refuted_by_kinks(
    stack: NetworkStack,
    domain: Domain,
    sampler: LineSampler,
    open_units: BoolArray,
    *,
    lines: Sequence[int] = _LINES,
) -> dict[int, Counterexample]:
    """Return counterexamples that single kinks show, by number of the network.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    domain : Domain
        Nothing is sought unless it is a box or everything.
    sampler : LineSampler
        Where points are drawn from.
    open_units : bool array (networks, neurons)
        Of all hidden layers one behind the other: those that may bend down.
    lines : sequence of int
        Random segments whose ends are started from, in each round.
    """
    found: dict[int, Counterexample] = {}
    left = np.flatnonzero(open_units.any(axis=1))
    if domain.has_rows:
        return found
    box = domain.box_sides(stack.input_size)
    for count in lines:
        if not left.size:
            break
        starts, steps = sampler.lines(count)
        points = domain.clipped(np.concatenate([starts, starts + (STEPS - 1) * steps]))
        network, *sides = suspects(stack.take(left), box, points, open_units[left])
        x, y = (domain.clipped(side) for side in _with_few_digits(*sides))
        ends = [exact_ends(domain, *pair) for pair in zip(x, y, strict=True)]
        found |= confirmed_pairs(stack, domain, left[network], (x, y), ends)
        left = left[[k not in found for k in left.tolist()]]
    return found


def _with_few_digits(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Round points to a grid much finer than their distances: they make short integers."""
    _, exponent = np.frexp(np.abs(y - x).max(axis=1, initial=0.0, keepdims=True))
    grid = np.ldexp(_GRID, exponent)
    rounded = [np.round(side / grid) * grid for side in (x, y)]
    usable = (grid > 0) & np.isfinite(rounded[0]) & np.isfinite(rounded[1])
    return np.where(usable, rounded[0], x), np.where(usable, rounded[1], y)


def suspects(
    stack: NetworkStack, box: Interval | None, points: FloatArray, open_units: BoolArray
) -> tuple[IndexArray, FloatArray, FloatArray]:
    """Return segments on which one kink alone seems to bend down, one each for some networks.

    Parameters
    ----------
    stack : NetworkStack
        With one output.
    box : (lower, upper) or None
        The domain; None is all of R^n.
    points : array (points, inputs)
        To start from.
    open_units : bool array (networks, neurons)
        As of :func:`refuted_by_kinks`.

    Returns
    -------
    networks : int array (segments,)
    x, y : arrays (segments, inputs)
        Their ends.
    """
    most = max(1, int(np.count_nonzero(open_units, axis=1).max(initial=0)))
    step = max(1, _NUMBERS // (most * len(points) * max(open_units.shape[1], stack.input_size)))
    found = [(np.empty(0, dtype=np.intp), *(np.empty((0, stack.input_size)),) * 2)]
    for at in range(0, len(stack), step):
        some = np.arange(at, min(at + step, len(stack)))
        table = _Table.of(open_units[some], len(points))
        kinks = _Kinks(stack.take(some), box, points, table)
        network, x, y = kinks.worst()
        found.append((some[network], x, y))
    parts = list(zip(*found, strict=True))
    return np.concatenate(parts[0]), np.concatenate(parts[1]), np.concatenate(parts[2])


@dataclass(frozen=True, eq=False)
class _Table:
    """A row per network, and in it a column for every open neuron and every point."""

    rows: IndexArray
    units: IndexArray
    points: IndexArray
    real: BoolArray

    @classmethod
    def of(cls, open_units: BoolArray, points: int) -> _Table:
        """Fill rows up with neurons that are not open."""
        most = max(1, int(np.count_nonzero(open_units, axis=1).max(initial=0)))
        order = (~open_units).argsort(axis=1, kind="stable")[:, :most]
        rows = np.arange(len(open_units))[:, None]
        real = open_units[rows, order]
        return cls(
            rows,
            order.repeat(points, axis=1),
            np.tile(np.arange(points), (1, most)).repeat(len(open_units), axis=0),
            real.repeat(points, axis=1),
        )

    @property
    def own(self) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Where each column's neuron is in arrays (networks, neurons, columns)."""
        return self.rows, self.units, np.arange(self.units.shape[1])

    def part(self, chosen: BoolArray) -> tuple[_Table, IndexArray]:
        """Return a narrower table of some columns, and which these are."""
        most = max(1, int(np.count_nonzero(chosen, axis=1).max(initial=0)))
        order = (~chosen).argsort(axis=1, kind="stable")[:, :most]
        at = self.rows, order
        return _Table(self.rows, self.units[at], self.points[at], chosen[at]), order


class _Kinks:
    """The kinks of some networks where segments meet them."""

    def __init__(
        self, stack: NetworkStack, box: Interval | None, points: FloatArray, table: _Table
    ) -> None:
        self._stack = stack
        start = points.T[None].repeat(len(stack), axis=0)
        z = self._forward(start)
        slopes = self._gradients(z > 0)
        value = z[table.rows, table.units, table.points]
        way = self._ways(
            box, points[table.points], value, slopes[table.rows, table.units, table.points]
        )
        start = points[table.points]
        end = self._forward((start + way).transpose(0, 2, 1))[table.own]
        self._table, order = table.part(table.real & ((value > 0) != (end > 0)))
        at = table.rows, order
        self._start, self._way, self._before, self._behind = start[at], way[at], value[at], end[at]

    @staticmethod
    def _ways(
        box: Interval | None, start: FloatArray, value: FloatArray, slopes: FloatArray
    ) -> FloatArray:
        """Return where to go from points, so that neurons of such slopes change their signs."""
        squared = (slopes * slopes).sum(axis=2)
        way: FloatArray = slopes * (-_BEYOND * value / squared)[:, :, None]
        if box is None:
            return way
        lower, upper = box
        end = start + way
        inside = np.all((end >= lower) & (end <= upper), axis=2)
        # to the corner where the neuron is farthest on the other side, if that is nearer
        down = (slopes > 0) == (value > 0)[:, :, None]
        corner = np.where(down, lower, upper)
        return np.where(inside[:, :, None], way, corner - start)

    def worst(self) -> tuple[IndexArray, FloatArray, FloatArray]:
        """Return numbers of networks, and the ends of a segment for each."""
        table, share = self._table, self._zeros()
        middle = self._start + share[:, :, None] * self._way
        z = self._forward(middle.transpose(0, 2, 1))
        speed = self._forward(self._way.transpose(0, 2, 1), states=z > 0)
        own, away = table.own, np.abs(z / speed)
        jump, fast, off = self._jumps(z > 0)[own], np.abs(speed[own]), away[own]
        away[own] = np.inf
        room = _SHARE * np.where(speed != 0, away, np.inf).min(axis=1)
        room = np.minimum(room, _SHARE * np.minimum(share, 1 - share))
        drop = -jump * fast * room
        fine = table.real & (jump < 0) & (off < _NEAR * room) & np.isfinite(drop)
        drop = np.where(fine, drop, 0.0)
        best = drop.argmax(axis=1)
        row = np.flatnonzero(drop[table.rows[:, 0], best] > 0)
        at = row, best[row]
        reach = room[at][:, None] * self._way[at]
        return row, middle[at] - (1 - _ASIDE) * reach, middle[at] + (1 + _ASIDE) * reach

    def _zeros(self) -> FloatArray:
        """Return where on its segment each neuron is about 0, in shares of the way."""
        below, above, own = self._before, self._behind, self._table.own
        low, high = np.zeros(below.shape), np.ones(below.shape)
        share = np.clip(below / (below - above), 0.0, 1.0)
        for _ in range(_STEPS):
            x = self._start + share[:, :, None] * self._way
            value = self._forward(x.transpose(0, 2, 1))[own]
            same = (value > 0) == (below > 0)
            low, below = np.where(same, share, low), np.where(same, value, below)
            high, above = np.where(same, high, share), np.where(same, above, value)
            share = low + (high - low) * np.clip(below / (below - above), 0.0, 1.0)
        return share

    def _forward(self, points: FloatArray, states: BoolArray | None = None) -> FloatArray:
        """Return z of all hidden neurons, or how they change along directions under states.

        Parameters
        ----------
        points : array (networks, inputs, points)
        states : bool array (networks, neurons, points) or None
        """
        found, values, at = [], points, 0
        for w, b in zip(self._stack.weights[:-1], self._stack.biases[:-1], strict=True):
            z = w @ values
            if states is None:
                z += b[:, :, None]
                values = np.maximum(z, 0.0)
            else:
                values = z * states[:, at : at + b.shape[1]]
                at += b.shape[1]
            found.append(z)
        return np.concatenate(found, axis=1)

    def _gradients(self, states: BoolArray) -> FloatArray:
        """Return gradients (networks, neurons, points, inputs) of z under states."""
        count, _, points = states.shape
        inputs = self._stack.input_size
        moves = np.eye(inputs).repeat(points, axis=1)[None].repeat(count, axis=0)
        slopes = self._forward(moves, states=np.tile(states, (1, 1, inputs)))
        return slopes.reshape(*slopes.shape[:2], inputs, points).transpose(0, 1, 3, 2)

    def _jumps(self, states: BoolArray) -> FloatArray:
        """Return J of all neurons under states (networks, neurons, points)."""
        weights, end = self._stack.weights, states.shape[1]
        slope = weights[-1].transpose(0, 2, 1).repeat(states.shape[2], axis=2)
        found = [slope]
        for w in weights[-2:0:-1]:
            on = states[:, end - w.shape[1] : end]
            end -= w.shape[1]
            slope = w.transpose(0, 2, 1) @ (slope * on)
            found.append(slope)
        return np.concatenate(found[::-1], axis=1)
