"""Best-first search for the worst gradient jump (docs/theory.md, section 9).

A node is a hyperplane group that *leads* a facet, the one whose share of the jump is the
most negative there, with a partial activation pattern. Its bound is what the leader can
take at most, plus no more than that for every other group that may share the hyperplane.
Full patterns are crossed in exact arithmetic, and every point that a linear program
returns is a chance to find a worse facet.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from jensen.arithmetic.rational import ZERO, float_below
from jensen.groups.coincidence import Dependence, coinciding_pairs, may_coincide
from jensen.groups.gradients import GradientBounds
from jensen.groups.jump import Activations
from jensen.groups.prepared import Prepared
from jensen.prover.crossing import Crossing
from jensen.prover.nodes import Node, Patience
from jensen.prover.signs import closed_by_sweep
from jensen.prover.tree import Tree, TreeLimits, UndecidedLeafError
from jensen.types import FloatArray, Unit
from jensen.violation.joint_jump import JointTurns
from jensen.violation.jump_facets import Entry, Facet, root_above, sum_above
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver

CHORDS, STEPS = 24, 33  # of the first look along lines
CROSSINGS = 400  # kinks on these lines that are looked at more closely
FIRST_NODES = 64  # on a cone, before joint programs
FIRST_SHARE = 0.4  # of the time, for excluding coincidences before the search


class JumpSearch:
    """The search over all groups of one network.

    Parameters
    ----------
    prepared : Prepared
    gap : float
        Facets that are worse by a factor of at most ``1 + gap`` are not looked for.
    deadline : Deadline
    seed : int
        Of the first look along random lines.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        gap: float,
        deadline: Deadline = NEVER,
        seed: int = 0,
    ) -> None:
        net, network = prepared.grouped, prepared.network
        self._net = net
        self._network = network
        self._gap = gap
        self._deadline = deadline
        self._rng = np.random.default_rng(seed)
        self._solver = LpSolver(deadline)
        lower, upper = net.working_set.box
        count = network.input_size
        moving = np.ones(count, dtype=bool) if net.working_set.lifted else lower < upper
        self._gradients = GradientBounds(net, network, moving[:count])
        self._trees: dict[Unit, Tree] = {}
        self._heap: list[tuple[float, int, Entry]] = []
        self._counter = itertools.count()
        self._current: Entry | None = None
        self._undecided = self._settled = 0.0
        self._cut_short = False
        self.worst: Facet | None = None
        self.nodes = self._joint_lps = 0
        self._open_roots(closed_by_sweep(prepared))

    # ------------------------------------------------------------------- bounds so far

    @property
    def lower(self) -> float:
        """The jump of the worst facet found so far, rounded down; 0 if none bends down."""
        return 0.0 if self.worst is None else self.worst.lower

    @property
    def upper(self) -> float:
        """Proved: no facet bends down by more."""
        bound = 0.0 if self.worst is None else root_above(self.worst.squared)
        bound = max(bound, self._undecided, self._settled)
        if self._heap:
            bound = max(bound, -self._heap[0][0])
        return bound if self._current is None else max(bound, self._current.bound)

    @property
    def lps(self) -> int:
        """Linear programs solved."""
        return self._joint_lps + sum(tree.lps for tree in self._trees.values())

    def _floor(self) -> float:
        return self.lower * (1 + self._gap)

    def is_done(self) -> bool:
        """Whether the bounds have met, up to the gap."""
        return self.upper <= self._floor() or (self.is_stuck() and not self._undecided)

    def is_stuck(self) -> bool:
        """Whether nothing is left to search but facets that could not be decided."""
        return not self._heap and self._current is None and not self._cut_short

    def _out_of_time(self) -> bool:
        return self._deadline.over()

    # ------------------------------------------------------------------------- running

    def run(self, report: Callable[[], None] | None = None) -> None:
        """Search until the bounds meet or time is over; the state stays usable if interrupted.

        Parameters
        ----------
        report : callable, optional
            Called after every node.
        """
        self._look_along_chords()
        # on a cone the joint programs of every face have to close
        joint_from: int | None = self.nodes + (FIRST_NODES if self._net.working_set.lifted else 0)
        while self._heap and not self.upper <= self._floor() and not self._out_of_time():
            if joint_from is not None and self.nodes >= joint_from:
                joint_from = None
                self._measure_jointly(report)
                continue
            # first noted, then taken: an interruption in between must not lose it
            self._current = self._heap[0][2]
            heapq.heappop(self._heap)
            self.nodes += 1
            children = self._process(self._current)
            for child in children:
                if child.bound > 0:
                    heapq.heappush(self._heap, (-child.bound, next(self._counter), child))
            self._current = None
            if report is not None:
                report()

    def _measure_jointly(self, report: Callable[[], None] | None) -> None:
        """Settle groups whose hyperplanes are their own by joint programs.

        What is left, since kinks coincide or time is over, stays among the open nodes.
        """
        shares: dict[Unit, float] = {}
        for _, _, entry in sorted(self._heap):
            shares[entry.group] = math.inf if entry.others else shares.get(entry.group, entry.share)
        alone = [group for group, share in shares.items() if share < math.inf]
        turns = JointTurns(
            self._net,
            self._network,
            alone,
            self._solver,
            self._deadline,
            self._gradients,
            self._try_inside,
            self._floor,
        )
        before = self.nodes
        for group, proved in turns.run(int(self._rng.integers(2**31))):
            self._heap = self._capped(group, proved)
            self.nodes, self._joint_lps = before + turns.nodes, turns.lps
            if report is not None:
                report()

    def _capped(self, group: Unit, share: float) -> list[tuple[float, int, Entry]]:
        """Return the heap with what is proved of a group's share; without it if that is enough."""
        kept = [item for item in self._heap if item[2].group != group]
        if share <= self._floor():
            self._settled = max(self._settled, share)  # which may be more than the worst found
        else:
            for _, number, entry in self._heap:
                if entry.group == group:
                    low = min(share, entry.share)
                    kept.append((-low, number, replace(entry, share=low, bound=low)))
        heapq.heapify(kept)
        return kept

    def _try_inside(self, group: Unit, pattern: Activations, point: FloatArray) -> float:
        """Cross a facet near a point, or else where its own program finds one of it.

        Returns
        -------
        float
            The jump that others have to exceed.
        """
        tree = self._trees[group]
        if not self._try(tree, pattern, point):
            node = Node(tuple(pattern), tree.jump.bound(pattern), Patience(0))
            middle = tree.solve(node).point
            if middle is not None:
                self._try(tree, pattern, middle)
        return self._floor()

    def _open_roots(self, closed: Collection[Unit]) -> None:
        limits = TreeLimits(self._out_of_time)
        entries = []
        for group in self._net.groups():
            if group in closed:
                continue
            if self._out_of_time():
                # nothing is known of the groups that are left
                self._undecided, self._cut_short = math.inf, True
                break
            tree = Tree(self._net, group, self._network, self._solver, limits)
            gradient = self._gradients.norm(group, tree.root.activations)
            share = self._share(tree, tree.root, gradient)
            if share > 0:
                self._trees[group] = tree
                entries.append(Entry(group, tree.root, share, gradient, (), share))
        self._shares = {entry.group: entry.share for entry in entries}
        if not entries:
            return
        others = coinciding_pairs(
            self._net,
            entries[0].node.activations,
            list(self._shares),
            self._deadline.share(FIRST_SHARE).over,
        )
        for entry in entries:
            full = self._bounded(replace(entry, others=tuple(others[entry.group])))
            heapq.heappush(self._heap, (-full.bound, next(self._counter), full))

    def _share(self, tree: Tree, node: Node, gradient: float) -> float:
        """Bound ``-J_g |grad z_g|`` from above; exactly 0 where J_g >= 0 is proved."""
        if tree.jump.is_nonnegative(node.state, node.activations, ZERO):
            return 0.0
        low = node.state.output[0]
        if tree.jump.only_rationals:
            low = float_below(tree.jump.exact_bound(node.activations)[0])
        share = -low * gradient * (1 + 1e-15)
        return math.inf if math.isnan(share) else math.nextafter(share, math.inf)

    def _bounded(self, entry: Entry) -> Entry:
        if not entry.others:
            return replace(entry, bound=entry.share)
        shares = [entry.share, *(min(entry.share, self._shares[u]) for u in entry.others)]
        return replace(entry, bound=sum_above(shares))

    # ----------------------------------------------------------------------- one node

    def _process(self, entry: Entry) -> list[Entry]:
        """Close a node, or return its children."""
        tree, node = self._trees[entry.group], entry.node
        unit = tree.unit_behind(node) if entry.share > self._floor() else None
        if unit is not None and not tree.wants_program(node):
            node.patience.spend()
            return self._children(entry, unit)
        margin = tree.solve(node)
        if margin.empty:
            return []
        if margin.point is not None:
            self._try(tree, tree.pattern_at(margin.point), margin.point)
        entry = self._without_strangers(entry)
        if entry.bound <= self._floor():
            return [entry]
        if unit is None and entry.share > self._floor():
            unit = tree.unit_in_front(margin)
        if unit is None and entry.others:
            unit = self._unit_of_others(entry, margin.point)
        if unit is None:
            unit = tree.unit_behind(node) or tree.next_free(node)
        if unit is not None:
            return self._children(entry, unit)
        try:
            crossing = tree.cross_leaf(node, margin)
        except UndecidedLeafError:
            if self._out_of_time():
                return [entry]
            self._undecided = max(self._undecided, entry.bound)
        else:
            if crossing is not None:
                self._keep(entry.group, crossing)
        return []

    def _children(self, entry: Entry, unit: Unit) -> list[Entry]:
        tree = self._trees[entry.group]
        tree.branch(entry.node, unit)
        in_front = unit[0] < entry.group[0]
        found = []
        for child in entry.node.children:
            gradient = entry.gradient
            if in_front:
                gradient = min(gradient, self._gradients.norm(entry.group, child.activations))
            share = min(entry.share, self._share(tree, child, gradient))
            if share > 0:
                found.append(
                    self._bounded(replace(entry, node=child, share=share, gradient=gradient))
                )
        entry.node.children = ()  # a child needs no parent: keep memory to the open nodes
        return found

    def _without_strangers(self, entry: Entry) -> Entry:
        """Leave out groups that cannot share the hyperplane under the pattern."""
        if not entry.others or entry.bound <= self._floor():
            return entry
        kept = may_coincide(self._net, entry.group, entry.node.activations, entry.others)
        return self._bounded(replace(entry, others=tuple(kept)))

    def _unit_of_others(self, entry: Entry, point: FloatArray | None) -> Unit | None:
        """Return a free unit that decides whether others share the hyperplane.

        In the earliest level that has one, the unit that is furthest from 0 at the point:
        its other side is most likely empty, here and in all that follows.
        """
        depends = Dependence(self._net, entry.group, entry.node.activations)
        units = {unit for other in (entry.group, *entry.others) for unit in depends.of(other)}
        if not units:
            return None
        level = min(units)[0]
        candidates = sorted(unit for unit in units if unit[0] == level)
        if point is None:
            return candidates[0]
        z = self._net.pre_activations(point)[level]
        bounds = self._net.levels[level]
        reach = np.maximum(np.abs(bounds.lower), np.abs(bounds.upper))
        return max(candidates, key=lambda unit: abs(z[unit[1]]) / reach[unit[1]])

    # ------------------------------------------------------------------- bad facets

    def _try(self, tree: Tree, pattern: Activations, point: FloatArray) -> bool:
        """Cross the group's facet near a point if its jump seems to be a new worst one.

        Returns
        -------
        bool
            False if that failed.
        """
        jump = tree.jump.bound(pattern).output[0]
        if jump >= 0:
            return True
        size = self._gradients.norm(tree.group, pattern)
        if not -jump * size > self.lower * (1 + 1e-12):
            return True
        crossing = tree.cross(pattern, point)
        if crossing is not None:
            self._keep(tree.group, crossing)
        return crossing is not None

    def _keep(self, group: Unit, crossing: Crossing) -> None:
        squared = crossing.squared_jump
        if squared and (self.worst is None or squared > self.worst.squared):
            self.worst = Facet(crossing, group, squared)

    def _look_along_chords(self) -> None:
        """Look at kinks on random lines through the working set."""
        start = self._start()
        if start is None:
            return
        suspects = []
        rows, limits = self._net.working_set.float_rows, self._net.working_set.float_limits
        with np.errstate(all="ignore"):
            for _ in range(CHORDS):
                direction = self._rng.normal(size=len(start))
                direction /= np.linalg.norm(direction)
                room, speed = limits - rows @ start, rows @ direction
                forth = np.min(room[speed > 0] / speed[speed > 0], initial=1e6)
                back = np.max(room[speed < 0] / speed[speed < 0], initial=-1e6)
                if not (np.isfinite([back, forth]).all() and back < forth):
                    continue
                line = start + np.linspace(back, forth, STEPS)[:, None] * direction
                suspects += self._kinks(line)
                start = start + self._rng.uniform(back, forth) * direction
            for group, point in suspects[:CROSSINGS]:
                if self._out_of_time():
                    return
                tree = self._trees[group]
                self._try(tree, tree.pattern_at(point), point)

    def _start(self) -> FloatArray | None:
        """Return a point in the interior of the working set."""
        for _, _, entry in self._heap[:8]:
            if self._out_of_time():
                return None
            point = self._trees[entry.group].solve(entry.node).point
            if point is not None:
                return point
        return None

    def _kinks(self, line: FloatArray) -> list[tuple[Unit, FloatArray]]:
        """Return where groups that may bend down cross 0 along a line of points."""
        found = []
        levels = self._net.pre_activations(line)
        for k, z in enumerate(levels[:-1]):
            step, units = np.nonzero((z[:-1] < 0) != (z[1:] < 0))
            for s, u in zip(step.tolist(), units.tolist(), strict=True):
                if (k, u) in self._trees:
                    share = z[s, u] / (z[s, u] - z[s + 1, u])
                    found.append(((k, u), line[s] + share * (line[s + 1] - line[s])))
        return found
