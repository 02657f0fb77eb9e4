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

from jensen.groups.coincidence import coinciding_pairs, may_coincide
from jensen.groups.gradients import GradientBounds
from jensen.groups.jump import Activations
from jensen.groups.prepared import Prepared
from jensen.prover.signs import closed_by_sweep
from jensen.prover.trees.nodes import Node, Patience
from jensen.prover.trees.tree import Tree, TreeLimits, UndecidedLeafError
from jensen.types import FloatArray, Unit
from jensen.verdicts.crossing import Crossing
from jensen.violation.joint_jump import JointTurns, TurnResult
from jensen.violation.jump_chords import kinks_on_chords, unit_of_others
from jensen.violation.jump_facets import (
    Entry,
    Facet,
    Waiting,
    largest_share,
    product_above,
    root_above,
    share_above,
    sum_above,
)
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.lp import LpSolver

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
        self, prepared: Prepared, *, gap: float, deadline: Deadline = NEVER, seed: int = 0
    ) -> None:
        net, network = prepared.grouped, prepared.network
        self._net, self._network = net, network
        self._gap, self._deadline = gap, deadline
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
        self._undecided = self._proved = 0.0  # the second for groups that were measured otherwise
        self._joint: dict[Unit, Waiting] = {}
        self._others: dict[Unit, tuple[Unit, ...]] = {}
        self._cut_short = False
        self.worst: Facet | None = None
        self.nodes = self._joint_nodes = self._joint_lps = 0
        self._handed: dict[Unit, float] = {}  # the largest share of nodes that were
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
        bound = max(bound, self._undecided, self._proved)
        if self._heap:
            bound = max(bound, -self._heap[0][0])
        bound = max([bound, *(group.bound for group in self._joint.values())])
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
        return not (self._heap or self._joint or self._current or self._cut_short)

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
        while self._heap and not self.upper <= self._floor() and not self._deadline.over():
            if joint_from is not None and self.nodes >= joint_from:
                joint_from = None
                self._measure_jointly(report)
                continue
            self._take(report)

    def _take(self, report: Callable[[], None] | None) -> None:
        """Process the node with the largest bound, if it still has it."""
        # first noted, then taken: an interruption in between must not lose it
        self._current = self._heap[0][2]
        heapq.heappop(self._heap)
        entry = self._bounded(self._current)  # shares of others may have fallen
        if entry.bound < self._current.bound:
            self._push(entry)
        else:
            self.nodes += 1
            for child in self._process(self._current):
                self._push(child)
        self._current = None
        if report is not None:
            report()

    def _push(self, entry: Entry) -> None:
        if entry.bound > 0:
            heapq.heappush(self._heap, (-entry.bound, next(self._counter), entry))

    def _measure_jointly(self, report: Callable[[], None] | None) -> None:
        """Bound the shares of all groups by joint programs.

        The nodes that these cannot decide come to the heap, and their turn when no group waits with
        a larger bound. What is left, since time is over or no boxes can be named, goes back there.
        """
        entries: dict[Unit, list[Entry]] = {}
        for _, _, entry in sorted(self._heap):
            entries.setdefault(entry.group, []).append(entry)
        # every node is in one of the two at any time, if an interruption comes
        self._joint = {group: Waiting(tuple(some)) for group, some in entries.items()}
        self._heap = []
        turns = JointTurns(
            self._net,
            self._network,
            list(entries),
            self._solver,
            self._deadline,
            self._gradients,
            self._try_inside,
            self._aim,
            lambda group: self._joint[group].bound if group in self._joint else 0.0,
        )
        for count, result in enumerate(turns.run(int(self._rng.integers(2**31))), 1):
            self.nodes += turns.nodes - self._joint_nodes
            self._joint_nodes, self._joint_lps = turns.nodes, turns.lps
            self._note(result)
            if count >= len(entries):
                self._release()
            if report is not None:
                report()
            while self._heap and not self._deadline.over() and self._foremost():
                self._take(report)
            if self.upper <= self._floor():
                break
        for entry in [e for waiting in self._joint.values() for e in waiting.entries]:
            self._push(entry)
        self._joint = {}

    def _release(self) -> None:
        """Give the heap the groups that add little enough alone: who coincides is known there."""
        floor = self._floor()
        for group, waiting in list(self._joint.items()):
            if waiting.entries and max(e.share for e in waiting.entries) <= floor < waiting.bound:
                for entry in waiting.entries:
                    self._push(entry)
                self._joint = self._joint | {group: Waiting(())}

    def _foremost(self) -> bool:
        """Whether the bound of all facets waits for a node of the heap."""
        first = -self._heap[0][0]
        return first > self._floor() and all(w.bound <= first for w in self._joint.values())

    def _note(self, result: TurnResult) -> None:
        """Take down what a turn has proved, and what that says of the other groups."""
        group, tree = result.group, self._trees[result.group]
        others = self._others[group]
        most = result.share
        for above, activations in result.handed:
            node = Node(tuple(activations), tree.jump.bound(activations), Patience(0))
            gradient = self._gradients.norm(group, node.activations)
            share = min(share_above(tree, node, gradient), self._shares[group])
            share = min(share, product_above(-above, gradient))
            if share > 0:
                self._handed[group] = max(share, self._handed.get(group, 0.0))
                entry = Entry(group, node, share, gradient, others, share)
                self._push(self._bounded(entry))
        most = max(most, self._handed.get(group, 0.0))
        fallen = most < self._shares[group]
        self._shares[group] = min(self._shares[group], most)
        waiting = self._joint | {group: self._joint[group].capped(result.share)}
        if fallen and any(group in some for some in self._others.values()):
            waiting = {g: w.each(self._bounded) for g, w in waiting.items()}
        else:
            waiting[group] = waiting[group].each(self._bounded)
        self._joint = waiting

    def _aim(self, group: Unit) -> float:
        """Return the share up to which a group, with all that may coincide, is no worse facet."""
        return largest_share(self._floor(), [self._shares[u] for u in self._others[group]])

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
        return self._aim(group)

    def _open_roots(self, closed: Collection[Unit]) -> None:
        limits = TreeLimits(self._deadline.over)
        entries = []
        for group in self._net.groups():
            if group in closed:
                continue
            if self._deadline.over():
                # nothing is known of the groups that are left
                self._undecided, self._cut_short = math.inf, True
                break
            tree = Tree(self._net, group, self._network, self._solver, limits)
            gradient = self._gradients.norm(group, tree.root.activations)
            share = share_above(tree, tree.root, gradient)
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
            self._others[entry.group] = tuple(others[entry.group])
            full = self._bounded(replace(entry, others=self._others[entry.group]))
            heapq.heappush(self._heap, (-full.bound, next(self._counter), full))

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
            unit = unit_of_others(self._net, entry, margin.point)
        if unit is None:
            unit = tree.unit_behind(node) or tree.next_free(node)
        if unit is not None:
            return self._children(entry, unit)
        try:
            crossing = tree.cross_leaf(node, margin)
        except UndecidedLeafError:
            if self._deadline.over():
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
            share = min(entry.share, share_above(tree, child, gradient))
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
        for group, point in kinks_on_chords(self._net, start, self._trees, self._rng):
            if self._deadline.over():
                return
            tree = self._trees[group]
            self._try(tree, tree.pattern_at(point), point)

    def _start(self) -> FloatArray | None:
        """Return a point in the interior of the working set."""
        working = self._net.working_set
        if working.sides:
            return np.asarray(working.box[0] / 2 + working.box[1] / 2)
        for _, _, entry in self._heap[:8]:
            if self._deadline.over():
                return None
            point = self._trees[entry.group].solve(entry.node).point
            if point is not None:
                return point
        return None
