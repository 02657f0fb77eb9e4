"""The worst gradient jump of a few inputs, cell by cell (docs/theory.md, sections 4 and 9).

As in the walk that proves J >= 0, cells are cut where bounds leave a kink open: here one that
may bend down by more than the worst facet so far, together with all that may coincide with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from jensen.arithmetic.rational import ZERO
from jensen.cells.cones import SOLID, UncertainSignError
from jensen.domains.domain import Domain
from jensen.groups.prepared import Prepared
from jensen.network.relu_network import ReluNetwork
from jensen.prover.trees.nodes import Node, Patience
from jensen.prover.trees.tree import Tree
from jensen.prover.walks.cell_bounds import CellValues
from jensen.prover.walks.cells import CellWalk, can_walk_cells
from jensen.types import BoolArray, FloatArray, IndexArray
from jensen.violation.jump_search import JumpSearch
from jensen_encodings.deadline import NEVER, Deadline

FAR = 1e-10  # of the size of what z is computed from: a sign that is sure
ROUNDING = 1 + 1e-12  # of shares and their sums
SIGNS = 3e8  # of a walk: some ten seconds
TURN = 5e6  # of these between reports
SAME = 1 + 1e-9  # of the worst jump: others that may be as bad as far as doubles tell
TRIED = 4  # pieces per step inside which a worse facet is looked for


class CellJumpSearch(JumpSearch):
    """The search of a network, which may go from cell to cell in place of nodes of all groups.

    Parameters
    ----------
    prepared, gap, deadline, seed
        As of :class:`~jensen.violation.jump_search.JumpSearch`.
    """

    def __init__(
        self, prepared: Prepared, *, gap: float, deadline: Deadline = NEVER, seed: int = 0
    ) -> None:
        super().__init__(prepared, gap=gap, deadline=deadline, seed=seed)
        self._prepared = prepared

    def walk(self, report: Callable[[], None] | None = None) -> bool:
        """Cut cells until the bounds meet: the jump is exact then, up to rounding of its double.

        Parameters
        ----------
        report : callable, optional
            Called now and then.

        Returns
        -------
        bool
            False where they do not meet: rounding hides a sign, kinks coincide or time is up.
        """
        network, domain = self._prepared.network, self._prepared.domain
        working = self._net.working_set
        as_inputs = working.identity and working.dim == network.input_size + working.lifted
        if not (self._heap and as_inputs and can_walk_cells(network, domain)):
            return False
        self._look_along_chords()
        groups = {neuron: group for group in self._trees for neuron in self._net.neurons(group)}
        closed = {block.name: np.ones(block.size, dtype=bool) for block in network.hidden}
        for block, index in groups:
            closed[block][index] = False

        def counted(neuron: tuple[str, int], point: FloatArray) -> bool:
            if working.lifted:
                point = np.append(point, 1.0) / max(1.0, float(np.abs(point).max()))
            return self._is_counted(self._trees[groups[neuron]], point)

        cells = JumpWalk(network, domain, closed, counted, lambda: self.lower, self._deadline)
        while cells.left and cells.signs < SIGNS and not self._deadline.over():
            if cells.run(TURN) is not None:
                break
            if report is not None:
                report()
        else:
            return False
        self._proved = cells.most  # before what it stands for is dropped
        self._heap = []
        return True

    def _is_counted(self, tree: Tree, point: FloatArray) -> bool:
        """Whether the group's facet near a point is known to be no worse than the worst one.

        It is crossed there, or else where its own program finds a point of it.
        """
        pattern = tree.pattern_at(point)
        state = tree.jump.bound(pattern)
        if tree.jump.is_nonnegative(state, pattern, ZERO):
            return True
        crossing = tree.cross(pattern, point)
        if crossing is None:
            middle = tree.solve(Node(tuple(pattern), state, Patience(0))).point
            crossing = None if middle is None else tree.cross(pattern, middle)
        if crossing is not None:
            self._keep(tree.group, crossing)
        return crossing is not None


class JumpWalk(CellWalk):
    """The walk that closes pieces of kinks unless they bend down by more than others.

    Parameters
    ----------
    network, domain, closed, deadline
        As of :class:`~jensen.prover.walks.cells.CellWalk`.
    counted : callable
        Gets a neuron and a point (inputs,) on its kink, inside a piece where it may bend down
        by more than all so far. Returns whether the facet there was measured exactly.
    floor : callable
        Returns the worst jump of all measured, or less.

    Attributes
    ----------
    most : float
        Proved, once :meth:`run` says so: facets that were not measured bend down by no more.
    """

    def __init__(
        self,
        network: ReluNetwork,
        domain: Domain,
        closed: Mapping[str, BoolArray],
        counted: Callable[[tuple[str, int], FloatArray], bool],
        floor: Callable[[], float],
        deadline: Deadline = NEVER,
    ) -> None:
        super().__init__(network, domain, closed, deadline)
        self._counted, self._floor = counted, floor
        self._neurons = [(block.name, i) for block in network.hidden for i in range(block.size)]
        self.most = 0.0
        if self.left:
            self._steepest = self._steepest_of_all()
            self._lipschitz = self._bounds.lipschitz_of_units

    def _bent(self, values: CellValues) -> None:
        """Look for worse facets in the pieces that may bend down most."""
        jumps, _ = self._jumps(values)
        piece = np.flatnonzero(self._cones.label != SOLID)
        found = jumps[piece, self._cones.label[piece]]
        for i in np.argsort(-found, kind="stable")[:TRIED].tolist():
            if found[i] > self._floor():
                self._measure(int(piece[i]))

    def _measure(self, cell: int) -> bool:
        """Measure a facet in a piece; whether it has the states that the piece is known to have."""
        point = self._inside(cell)
        counted = self._counted(self._neurons[self._cones.label[cell]], point)
        values = self._network.pre_activations(point[None])
        z = np.concatenate([values[block.name][0] for block in self._network.hidden])
        states = np.where(self._kink, self._cones.states[cell], 0)
        far = FAR * self._lipschitz * max(1.0, float(np.abs(point / self._scale).max()))
        return counted and bool((states * z > far)[states != 0].all())

    def _open(self, values: CellValues) -> BoolArray:
        """Return the units of each cell whose kinks may be worse than all facets so far.

        Raises
        ------
        UncertainSignError
            If what bends down that much on one facet cannot be told.
        """
        cones = self._cones
        jumps, alone = self._jumps(values)
        piece = np.flatnonzero(cones.label != SOLID)
        label = cones.label[piece]
        asked = cones.asked & (cones.states == 0)
        asked[piece, label] = True
        own = np.zeros((len(piece), asked.shape[1]), dtype=bool)
        own[np.arange(len(piece)), label] = True
        is_one = ~self._share_of_states(values, own, piece).any(axis=1)  # of one J, so of one jump
        for cell in piece[is_one & (jumps[piece, label] > self._floor())].tolist():
            unit = int(cones.label[cell])
            if jumps[cell, unit] <= self._floor():
                continue
            if self._measure(cell) and alone[cell]:
                asked[cell, unit] = False
            elif jumps[cell, unit] <= self._floor() * SAME:
                asked[cell, unit] = False
                self.most = max(self.most, float(jumps[cell, unit]))
            else:
                raise UncertainSignError("kinks that may coincide, or a facet that is too small")
        left: BoolArray = asked & ~(jumps <= self._floor())
        self.most = max(self.most, float(jumps[asked & ~left].max(initial=0.0)))
        return left

    def _jumps(self, values: CellValues) -> tuple[FloatArray, BoolArray]:
        """Bound by how much a facet bends down on a cell that a unit's share leads.

        Returns
        -------
        jumps : array (cells, units)
        alone : bool array (cells,)
            Of pieces: whether no other kink coincides with that one.
        """
        cones = self._cones
        piece = np.flatnonzero(cones.label != SOLID)
        label = cones.label[piece]
        steepest = np.broadcast_to(self._steepest, values.low.shape).copy()
        deep = label >= self._spans[0].stop
        steepest[piece[deep], label[deep]] = self._steepness(piece[deep], label[deep])
        shares = np.maximum(-values.low, 0.0) * steepest * ROUNDING
        shares[np.isnan(values.low)] = np.inf
        # a unit that is linear on a piece, with both signs there, is 0 on no facet in it
        others = cones.states == 0
        others[piece] &= ~(self._linear() & values.both)[piece]
        others[piece, label] = False
        alone = ~others.any(axis=1)
        others |= self._at_sides()
        others &= shares > 0
        jumps = shares.copy()
        for unit in np.flatnonzero(others.any(axis=0)).tolist():
            more = np.where(others[:, unit], shares[:, unit], 0.0)[:, None]
            more = np.minimum(shares, more)
            more[:, unit] = 0.0
            jumps += more
        return jumps * ROUNDING, alone

    def _at_sides(self) -> BoolArray:
        """Return the units whose kinks bound each cell with interior, where others may kink, too.

        No facet inside a piece lies on its sides.
        """
        cones = self._cones
        count = cones.states.shape[1]
        found: BoolArray = np.logical_or.reduceat(cones.vanishing(count), cones.first)
        found[cones.label != SOLID] = False
        return found

    def _steepness(self, cells: IndexArray, units: IndexArray) -> FloatArray:
        """Bound ``|grad z|`` of units that are linear on cells."""
        forms = self._forms(self._cones.states[cells])[np.arange(len(cells)), units, :-1]
        sizes = (np.abs(forms) + self._bounds.form_rounding) / self._scale
        return np.minimum(_lengths(sizes), self._steepest[units])

    def _steepest_of_all(self) -> FloatArray:
        """Bound ``|grad z|`` of all units, whatever the states of others: (units,)."""
        bounds, kink = self._bounds, self._kink
        lows, highs, found = list[FloatArray](), list[FloatArray](), list[FloatArray]()
        for links, source, span in zip(bounds.reads, bounds.sources, self._spans, strict=True):
            low, high = source[:, :-1], source[:, :-1]
            for link in links:
                up, down = np.maximum(link.weights, 0.0), np.minimum(link.weights, 0.0)
                least, most = lows[link.level], highs[link.level]
                low, high = low + up @ least + down @ most, high + up @ most + down @ least
            sizes = (np.maximum(np.abs(low), np.abs(high)) + bounds.form_rounding) / self._scale
            found.append(_lengths(sizes))
            passed = kink[span, None]
            lows.append(np.where(passed, np.minimum(low, 0.0), low) - bounds.form_rounding)
            highs.append(np.where(passed, np.maximum(high, 0.0), high) + bounds.form_rounding)
        steepest = np.concatenate(found)
        return np.where(np.isnan(steepest), np.inf, steepest)


def _lengths(rows: FloatArray) -> FloatArray:
    """Bound the lengths of rows of numbers that are not negative: squares may leave the doubles."""
    most = rows.max(axis=1, initial=0.0)
    scale = np.where((most > 0) & np.isfinite(most), most, 1.0)
    lengths: FloatArray = np.linalg.norm(rows / scale[:, None], axis=1) * scale * ROUNDING
    return lengths
