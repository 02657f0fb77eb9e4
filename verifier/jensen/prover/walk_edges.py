"""Three inputs: J on all faces of kinks, told by their edges, of one network or of many.

Vertices and edges of the cells of all levels but the last are found by floating point with
certain signs (:mod:`jensen.cells.skeleton`). The edges of a face tell which units are on there,
and a unit of the last level that has both signs on it counts with the state that lowers J.
What that does not prove is left to other walks.
"""

from __future__ import annotations

import numpy as np

from jensen.arithmetic.intervals import UNIT
from jensen.cells.skeleton import BITS, Bits, Levels, Skeleton, UncertainSignsError
from jensen.cells.skeleton_cut import cut
from jensen.cells.skeleton_start import SPACE, meeting, skeleton_of_box, skeleton_of_space
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen_encodings.deadline import NEVER, Deadline

TOGETHER = 16  # networks whose tables stay in the cache
MOST = 1 << 17  # vertices
RANGE = 900  # of exponents of products of weights: none under- or overflows


def can_walk_edges(stack: NetworkStack, domain: Domain) -> bool:
    """Whether networks and a domain are of the kind that :func:`edges_bend_upwards` takes.

    Parameters
    ----------
    stack : NetworkStack
    domain : Domain
    """
    sizes = [bias.shape[1] for bias in stack.biases]
    if stack.input_size != SPACE or len(sizes) < 3 or domain.has_rows or is_flat(domain, SPACE):
        return False
    return _bits(sizes[:-1]) <= BITS and (_is_box(domain) or sizes[0] >= SPACE)


def _bits(sizes: list[int]) -> int:
    """Return how many bits faces of one network take with a unit of a level."""
    one = Levels.form_bits(sum(sizes)) + 2 * max(sizes).bit_length()
    return sum(sizes) + one + (TOGETHER - 1).bit_length()


def _is_box(domain: Domain) -> bool:
    return domain.box_sides(SPACE) is not None


def edges_bend_upwards(
    stack: NetworkStack, domain: Domain, asked: BoolArray, deadline: Deadline = NEVER
) -> BoolArray:
    """Return the networks that are proved convex by J on all faces of their kinks.

    Parameters
    ----------
    stack : NetworkStack
        With one output; :func:`can_walk_edges`.
    domain : Box or Everywhere
    asked : bool array (networks, units)
        Neurons of all hidden layers, but those whose J is known to be >= 0 under every pattern, or
        that keep their sign.
    deadline : Deadline

    Returns
    -------
    bool array (networks,)
        False says nothing.

    References
    ----------
    docs/theory.md, section 4: few inputs.
    """
    widths = [bias.shape[1] for bias in stack.biases[:-1]]
    level_of_unit = np.repeat(np.arange(len(widths)), widths)
    deepest = np.where(asked, level_of_unit, -1).max(axis=1)
    found: BoolArray = deepest < 0
    usable = _usable(stack, domain)
    for level in np.unique(deepest[usable & ~found]):
        left = np.flatnonzero(usable & (deepest == level))
        for at in range(0, left.size, TOGETHER):
            some = left[at : at + TOGETHER]
            part = stack if some.size == len(stack) else stack.take(some)
            with np.errstate(all="ignore"):  # what is not a number is no sign
                found[some] = _proved(part, domain, asked[some], (int(level), deadline))
    return found


def _usable(stack: NetworkStack, domain: Domain) -> BoolArray:
    """Return the networks that have no numbers so small or large that products lose them."""
    limit = 2.0 ** (RANGE / (len(stack.weights) + 2))
    count = len(stack)
    arrays = [array.reshape(count, -1) for array in (*stack.weights, *stack.biases)]
    size = np.abs(np.concatenate(arrays, axis=1))
    fine: BoolArray = ((size == 0) | ((size > 1 / limit) & (size < limit))).all(axis=1)
    sides = np.abs(domain.box_sides(SPACE) or np.zeros(1))
    return fine & bool(((sides == 0) | ((sides > 1 / limit) & (sides < limit))).all())


def _proved(
    stack: NetworkStack, domain: Domain, asked: BoolArray, limits: tuple[int, Deadline]
) -> BoolArray:
    """Return which of a few networks are proved; their deepest open kinks are in one level."""
    found = np.zeros(len(stack), dtype=bool)
    box = domain.box_sides(SPACE)
    if box is not None:
        start = skeleton_of_box(Levels(stack.weights, stack.biases, asked), box)
        found[_Walk(start, 0, *limits).run()] = True
        return found
    orders = [meeting(weight) for weight in stack.weights[0]]
    some = np.flatnonzero([order is not None for order in orders])
    while some.size:
        try:
            start = skeleton_of_space(_reordered(stack, asked, [orders[k] for k in some], some))
        except UncertainSignsError as error:
            some = np.delete(some, error.networks)
        else:
            found[some[_Walk(start, SPACE, *limits).run()]] = True
            break
    return found


def _reordered(
    stack: NetworkStack, asked: BoolArray, orders: list[IndexArray | None], some: IndexArray
) -> Levels:
    """Return levels of some networks with the units of the first one in other orders."""
    order = np.array(orders)
    first = order.shape[1]
    weights, biases = [w[some] for w in stack.weights], [b[some] for b in stack.biases]
    number = np.arange(some.size)[:, None]
    weights[0], biases[0] = weights[0][number, order], biases[0][number, order]
    weights[1] = np.take_along_axis(weights[1], order[:, None], axis=2)
    part = asked[some]
    part[:, :first] = part[:, :first][number, order]
    return Levels(weights, biases, part)


class _Walk:
    """A few networks on one domain."""

    def __init__(self, start: Skeleton, known: int, deepest: int, deadline: Deadline) -> None:
        self._skeleton, self._levels = start, start.levels
        self._known = known  # units of the first level that have cut before
        self._deepest = deepest  # level of the kinks that are asked for
        self._deadline = deadline
        self._left = np.ones(start.levels.networks, dtype=bool)

    def run(self) -> IndexArray:
        """Return the networks that are proved."""
        levels = self._levels
        last = len(levels.sizes) - 1
        nothing = np.zeros(0, dtype=np.intp)
        for level in range(last):
            if self._deadline.over() or len(self._skeleton.z) > MOST:
                return nothing
            if level:
                self._skeleton = self._skeleton.evaluated(level)
            cells = level <= self._deepest
            if not cells:
                self._skeleton = self._skeleton.on_asked()
            self._cut(level, cells=cells)
            if not self._left.any():
                return nothing
        self._skeleton = self._skeleton.evaluated(last)
        self._go_on(last, known=False)
        proved = self._left & ~self._falls(last)
        proved[self._open(last)] = False
        return np.flatnonzero(proved)

    def _cut(self, level: int, *, cells: bool) -> None:
        """Cut by a level; what is uncertain is left out."""
        units = self._levels.sizes[level] - (0 if level else self._known)
        while self._left.any():
            try:
                behind = cut(self._skeleton, level, units, cells=cells)
            except UncertainSignsError as error:
                self._leave_out(error.networks)
            else:
                self._skeleton = behind
                self._go_on(level, known=True)
                return

    def _go_on(self, level: int, *, known: bool) -> None:
        if self._skeleton.endless and self._left.any():
            try:
                self._skeleton.goes_on(level, known=known)
            except UncertainSignsError as error:
                self._leave_out(error.networks)

    def _leave_out(self, networks: IndexArray) -> None:
        self._left[networks] = False
        if self._left.any():
            self._skeleton = self._skeleton.without(networks)

    # ------------------------------------------------------------------------------ J

    def _falls(self, last: int) -> BoolArray:
        """Return the networks of which a unit of the last level may bend down somewhere."""
        levels, skeleton = self._levels, self._skeleton
        up, down = self._signs()
        some = np.zeros((2, levels.networks), dtype=np.int64)
        np.bitwise_or.at(some[0], skeleton.network, up)
        np.bitwise_or.at(some[1], skeleton.network, down)
        falls = levels.asked[:, levels.first[last] :] & (levels.weights[-1][:, 0] < 0)
        crosses = _unpacked(some[0] & some[1], levels.sizes[last])
        found: BoolArray = np.logical_or.reduce(falls & crosses, axis=1)
        return found

    def _signs(self) -> tuple[Bits, Bits]:
        """Return the units that may be on at vertices, and those that may be off: if 0, both."""
        z, error = self._skeleton.z, self._skeleton.error
        bit = np.int64(1) << np.arange(z.shape[1])
        # so written, what is not a number may be both
        return ~(z < -error) @ bit, ~(z > error) @ bit

    def _open(self, last: int) -> IndexArray:
        """Return the networks with a face where J may be negative."""
        levels, skeleton = self._levels, self._skeleton
        network, unit, on, edge = skeleton.faces()
        if not unit.size:
            return unit
        up, down = (side[skeleton.edges.start] | side[skeleton.edges.end] for side in self._signs())
        key = (((network << levels.units) | on) << levels.bits_of_form) | unit
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        up, down = (np.bitwise_or.reduceat(side[edge[order]], first) for side in (up, down))
        face = order[first]
        low, error = self._jumps(network[face], unit[face], on[face], (up & ~down, up & down))
        return np.unique(network[face][~(low >= error)])

    def _jumps(
        self, network: IndexArray, unit: IndexArray, on: Bits, last: tuple[Bits, Bits]
    ) -> tuple[FloatArray, FloatArray]:
        """Bound J on faces from below, up to an error of rounding.

        Parameters
        ----------
        network, unit : int arrays (faces,)
        on : int array (faces,)
            Units that are on, as far as the last level.
        last : two int arrays (faces,)
            Units of the last level that are on, and those that have both signs.
        """
        levels, sizes = self._levels, self._levels.sizes
        level = np.searchsorted(levels.first, unit, side="right") - 1
        on = on | levels.bit[unit]
        slope = size = np.zeros((len(unit), sizes[0]))
        for number, units in enumerate(sizes):
            if number:
                weight = levels.weights[number]
                slope = self._applied(weight, network, slope)
                size = self._applied(np.abs(weight), network, size)
            if number < len(sizes) - 1:
                here = np.flatnonzero(level == number)
                for sums in (slope, size):
                    sums[here, unit[here] - levels.first[number]] = 1.0
                mask = _unpacked(on >> levels.first[number], units)
                slope, size = slope * mask, size * mask
        out = levels.weights[-1][network, 0]
        slope, size = slope * out, size * np.abs(out)
        sure, both = (_unpacked(side, sizes[-1]) for side in last)
        low = (slope * sure + np.minimum(slope, 0.0) * both).sum(axis=1)
        error = (size * (sure | both)).sum(axis=1)
        return low, error * (2 * UNIT * (sum(sizes) + 8 * len(sizes)))

    def _applied(self, weight: FloatArray, network: IndexArray, slope: FloatArray) -> FloatArray:
        found: FloatArray
        if self._levels.networks == 1:
            found = slope @ weight[0].T
        else:
            found = (weight[network] @ slope[:, :, None])[:, :, 0]
        return found


def _unpacked(bits: Bits, count: int) -> BoolArray:
    """Return bit sets as (sets, units)."""
    found: BoolArray = (bits[:, None] >> np.arange(count)) & 1 != 0
    return found
