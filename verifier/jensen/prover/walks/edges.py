"""Three inputs: J on all faces of kinks, told by their edges, of one network or of many.

Vertices and edges of the cells of all levels but the last are found by floating point with
certain signs (:mod:`jensen.cells.skeleton`). The edges of a face tell which units are on there,
and a unit of the last level that has both signs on it counts with the state that lowers J; where
that is too little, the last level cuts the faces. What is not proved is left to other walks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jensen.cells.skeleton import (
    WIDEST,
    Bits,
    Levels,
    Skeleton,
    UncertainSignsError,
    places,
)
from jensen.cells.skeleton_cut import cut
from jensen.cells.skeleton_start import (
    REACH,
    SPACE,
    meeting,
    skeleton_of_box,
    skeleton_of_space,
)
from jensen.cells.start import is_flat
from jensen.domains.domain import Domain
from jensen.network.stack import NetworkStack
from jensen.prover.walks.face_jumps import bending, faces_of, unpacked
from jensen.types import BoolArray, IndexArray
from jensen_encodings.deadline import NEVER, Deadline

TOGETHER = 16  # networks whose tables stay in the cache
MOST = 1 << 17  # vertices
WORDS = 2  # of a set of units
FEW, NARROW = 48, 16  # units up to which levels may be of any width; width of levels beyond
# of space, in bits: where rounding hides signs, it hides less in a smaller part
REACHES = REACH, 17
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
    return _can_be_told_apart(sizes[:-1]) and (_is_box(domain) or sizes[0] >= SPACE)


def _can_be_told_apart(sizes: list[int]) -> bool:
    """Whether sets of units fit into a few words, and there are not too many cells."""
    if max(sizes) > (WIDEST if sum(sizes) <= FEW else NARROW):
        return False
    return places(sizes)[-1][0] < WORDS


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
    reaches = list(REACHES)
    while some.size and reaches:
        levels = _reordered(stack, asked, [orders[k] for k in some], some)
        try:
            start = skeleton_of_space(levels, reaches[0])
        except UncertainSignsError as error:
            some = np.delete(some, error.networks)
            continue
        walk = _Walk(start, SPACE, *limits)
        found[some[walk.run()]] = True
        some = some[walk.hidden]
        del reaches[0]
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
    """A few networks on one domain.

    Attributes
    ----------
    hidden : bool array (networks,)
        Those given up because rounding hid signs.
    """

    def __init__(self, start: Skeleton, known: int, deepest: int, deadline: Deadline) -> None:
        self._skeleton, self._levels = start, start.levels
        self._known = known  # units of the first level that have cut before
        self._deepest = deepest  # level of the kinks that are asked for
        self._deadline = deadline
        self._left = np.ones(start.levels.networks, dtype=bool)
        self.hidden = np.zeros(start.levels.networks, dtype=bool)

    def run(self) -> IndexArray:
        """Return the networks that are proved."""
        levels = self._levels
        last = len(levels.sizes) - 1
        nothing = np.zeros(0, dtype=np.intp)
        for level in range(last):
            if self._deadline.over() or len(self._skeleton.place) > MOST:
                return nothing
            if level:
                self._skeleton = self._skeleton.evaluated(level)
            self._cut_level(level)
            if not self._left.any():
                return nothing
        self._skeleton = self._skeleton.evaluated(last)
        self._go_on(last, np.arange(levels.sizes[last]), known=False)
        up, down = self._signs()
        ever = np.zeros((2, levels.networks), dtype=np.int64)
        np.bitwise_or.at(ever[0], self._skeleton.network, up)
        np.bitwise_or.at(ever[1], self._skeleton.network, down)
        proved = self._left & ~self._last_bends(ever[0] & ever[1])
        # where no unit of the last level is ever on, the function is constant
        self._keep(proved & (ever[0] != 0))
        if self._left.any():
            proved &= ~self._left
            try:
                proved |= self._faces_bend_upwards(last)
            except UncertainSignsError as error:  # faces that cannot be told apart
                self._leave_out(error.networks)
        return proved.nonzero()[0]

    def _keep(self, networks: BoolArray) -> None:
        """Go on with some networks alone."""
        others = (self._left & ~networks).nonzero()[0]
        if others.size:
            self._leave_out(others)

    def _faces_bend_upwards(self, last: int) -> BoolArray:
        """Return the networks left with J >= 0 on all faces, cut by the last level if need be."""
        levels, found = self._levels, self._left.copy()
        open_ones = bending(levels, faces_of(self._skeleton, self._signs()))
        found[open_ones.network] = False
        if found[self._left].all():
            return found
        self._keep(~found)
        # only kinks with an open face are cut
        asked = np.zeros_like(levels.asked)
        asked[open_ones.network, open_ones.unit] = True
        self._levels = Levels(levels.weights, levels.biases, asked)
        self._skeleton = replace(self._skeleton, levels=self._levels).on_asked()
        self._cut(last, np.arange(levels.sizes[last]), cells=False)
        if self._left.any():
            found |= self._left
            found[bending(self._levels, faces_of(self._skeleton, None)).network] = False
        return found

    def _cut_level(self, level: int) -> None:
        """Cut cells as far as kinks that are asked for lie in them, and behind only these kinks."""
        units = np.arange(self._levels.sizes[level] - (0 if level else self._known))
        first = self._levels.first[level]
        if level < self._deepest:
            self._cut(level, units, cells=True)
            return
        if level == self._deepest:
            asked = self._levels.asked[:, first + units].any(axis=0)
            self._cut(level, units[asked], cells=True)
            if asked.all():
                return
            units = units[~asked]
            self._skeleton = self._skeleton.on_asked()
        self._cut(level, units, cells=False)

    def _cut(self, level: int, units: IndexArray, *, cells: bool) -> None:
        """Cut by units of a level; what is uncertain is left out."""
        while self._left.any():
            try:
                behind = cut(self._skeleton, level, units, cells=cells)
            except UncertainSignsError as error:
                self._hide(error.networks)
            else:
                self._skeleton = behind
                self._go_on(level, units, known=True)
                return

    def _go_on(self, level: int, units: IndexArray, *, known: bool) -> None:
        if self._skeleton.endless and self._left.any():
            try:
                self._skeleton.goes_on(level, units, known=known)
            except UncertainSignsError as error:
                self._hide(error.networks)

    def _hide(self, networks: IndexArray) -> None:
        self.hidden[networks] = True
        self._leave_out(networks)

    def _leave_out(self, networks: IndexArray) -> None:
        self._left[networks] = False
        if self._left.any():
            self._skeleton = self._skeleton.without(networks)

    def _last_bends(self, crossing: Bits) -> BoolArray:
        """Return the networks of which a unit of the last level, in sets, may bend down."""
        levels = self._levels
        asked = levels.asked[:, levels.first[-2] :] & (levels.weights[-1][:, 0] < 0)
        found: BoolArray = np.logical_or.reduce(
            asked & unpacked(crossing, levels.sizes[-1]).T, axis=1
        )
        return found

    def _signs(self) -> tuple[Bits, Bits]:
        """Return the units that may be on at vertices, and those that may be off: if 0, both."""
        z, error = self._skeleton.z, self._skeleton.error
        bit = np.ldexp(1.0, np.arange(z.shape[1]))  # exact, and so are sums of these
        # so written, what is not a number may be both
        sides = np.array([~(z < -error), ~(z > error)], dtype=np.float64) @ bit
        up, down = sides.astype(np.int64)
        return up, down
