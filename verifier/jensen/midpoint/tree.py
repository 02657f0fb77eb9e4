"""Branch and bound over the signs of pre-activations, with bounds that hold exactly.

A node fixes the signs of free neurons at some of the linked points, that is, it switches
columns off. A relaxation proposes multipliers, and :class:`SafeDual` turns them into a
bound that is true in real arithmetic: the solver decides nothing.

References
----------
docs/theory.md, section 6.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from jensen.midpoint.linked import SafeDual
from jensen.midpoint.pseudo_costs import PseudoCosts
from jensen.midpoint.relaxation import Relaxation, Relaxed, Task
from jensen.midpoint.roots import Roots
from jensen.types import BoolArray, FloatArray
from jensen_encodings.deadline import NEVER, Deadline
from jensen_encodings.highs import Progress

Signs = NDArray[np.int8]

BATCH = 32  # nodes whose bounds are computed at once
REPORT_SECONDS = 0.2
CUT_SHARE = 0.5  # of the gap that is allowed: programs are cut off there


@dataclass(frozen=True)
class TreeOptions:
    """When to stop: a deadline, gaps, nodes.

    ``together`` nodes are branched on at a time.
    """

    deadline: Deadline = NEVER
    relative_gap: float = 1e-4
    absolute_gap: float = 1e-9
    node_limit: int | None = None
    together: int = 1


class Incumbent(Protocol):
    """The best point so far."""

    @property
    def value(self) -> float:
        """Its objective; a true lower bound of the maximum."""

    def offer(self, bases: FloatArray) -> None:
        """Look at primal estimates (estimates, free points, inputs) of relaxations."""


class Place(Enum):
    """Where an open node is."""

    ASIDE = auto()  # cut off by its relaxation: comes back if its bound does not close it
    QUEUED = auto()  # on the heap
    EXPANDED = auto()  # branched on: its children stand for it


@dataclass(eq=False)
class _SignNode:
    """An open node.

    Attributes
    ----------
    key : float
        What the relaxation says, to choose the next node.
    bound : float
        What is proved.
    candidates : array or None
        Multipliers that are still to be evaluated.
    place : Place
    """

    key: float
    bound: float
    signs: Signs
    allowed: BoolArray
    multipliers: Any  # float32 (multipliers,)
    candidates: FloatArray | None
    score: Any = None
    basis: Any = None
    place: Place = Place.ASIDE


class _Child(NamedTuple):
    """A node to be, below a known bound."""

    signs: Signs
    task: Task
    bound: float


class SignTree:
    """Maximise an objective over a linked network.

    Parameters
    ----------
    dual : SafeDual
    relaxation : Relaxation
    incumbent : Incumbent
    options : TreeOptions
    symmetric : bool
        The first two points may be exchanged.
    twins : sequence of groups of (free neuron, +1 or -1)
        Neurons whose signs are the same, or opposite, at every point.
    first_bound : float
        A true upper bound that is already known.
    roots : Roots, optional
        Where it begins: everywhere by default.
    progress : callable, optional
    """

    def __init__(
        self,
        dual: SafeDual,
        relaxation: Relaxation,
        incumbent: Incumbent,
        options: TreeOptions,
        *,
        symmetric: bool = False,
        twins: Sequence[Sequence[tuple[int, int]]] = (),
        first_bound: float = np.inf,
        roots: Roots | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._dual, self._relaxation, self._incumbent = dual, relaxation, incumbent
        self._options, self._symmetric, self._progress = options, symmetric, progress
        z = dual.columns.z
        # columns that a sign of their neuron at a point leaves, and those that need it
        self._left = {1: z >= 0, -1: z <= 0}
        self._strict = np.concatenate([z > 0, z < 0], axis=1)
        self._starts = np.searchsorted(dual.columns.own, np.arange(len(dual.linked.free) + 1))
        alone = {neuron: ((neuron, 1),) for neuron in range(len(dual.linked.free))}
        self._twins: dict[int, Sequence[tuple[int, int]]] = alone | {
            neuron: [(other, own * sign) for other, sign in group]
            for group in twins
            for neuron, own in group
        }
        self._roots = roots or Roots.everywhere(dual.linked, dual.columns)
        self._gains = PseudoCosts((len(dual.linked.free), dual.linked.points))
        self._began = self._reported = time.perf_counter()
        self._heap: list[tuple[float, int, _SignNode]] = []
        self._pending: list[_SignNode] = []
        self._count = itertools.count()
        self._closed = -np.inf
        self._proved = first_bound
        self.nodes = 0

    @property
    def upper(self) -> float:
        """The proved bound so far; that of the last safe moment if the search was interrupted."""
        return max(self._proved, self._incumbent.value)

    @property
    def threshold(self) -> float:
        """Nodes with a bound up to this are closed."""
        value = self._incumbent.value
        if value == -np.inf:
            return value
        return value + max(self._options.relative_gap * abs(value), self._options.absolute_gap)

    def run(self) -> str:
        """Search until the gap is closed or a limit is met.

        Returns
        -------
        str
            ``"optimal"``, ``"time limit"``, ``"node limit"``, or ``"precision limit"`` if the
            relaxation leaves a gap where all signs are fixed.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C, which may come between any two steps; ``upper`` stays true.
        """
        ended = self._search()
        self._certify()
        self._note_bound()
        return ended

    def _search(self) -> str:
        nothing = np.zeros(self._dual.size)
        roots = zip(self._roots.signs, self._roots.allowed, strict=True)
        self._relax([_Child(s, Task(allowed, nothing), self._proved) for s, allowed in roots])
        self._certify()
        while True:
            if not self._heap or -self._heap[0][0] <= self.threshold:
                self._certify()
                self._close()
                if not self._heap:
                    # nodes without a sign left are closed with the bound that they have
                    self._note_bound()
                    return "optimal" if self.upper <= self.threshold else "precision limit"
            limit = self._limit()
            if limit is not None:
                return limit
            self._expand(self._best())
            if len(self._pending) >= BATCH:
                self._certify()
            self._report()

    def _limit(self) -> str | None:
        """Return the limit that was met, if any."""
        options = self._options
        if options.deadline.over():
            return "time limit"
        if options.node_limit is not None and self.nodes >= options.node_limit:
            return "node limit"
        return None

    # ------------------------------------------------------------------------- nodes

    def _best(self) -> list[_SignNode]:
        """Take the next nodes from the heap; some may be closed already."""
        nodes: list[_SignNode] = []
        while self._heap and len(nodes) < self._options.together:
            if -self._heap[0][0] <= self.threshold:
                break
            node = heapq.heappop(self._heap)[2]
            if node.bound <= self.threshold:
                node.place = Place.ASIDE
                self._closed = max(self._closed, node.bound)
            else:
                node.place = Place.EXPANDED
                nodes.append(node)
        return nodes

    def _expand(self, nodes: list[_SignNode]) -> None:
        self._relax_fully([node for node in nodes if node.score is None])
        parents: list[tuple[_SignNode, tuple[int, int], int]] = []
        children: list[_Child] = []
        for node, branch in zip(nodes, self._branching(nodes), strict=True):
            if branch is None:
                self._closed = max(self._closed, node.bound)
                continue
            multipliers = node.multipliers.astype(np.float64)
            mine = [
                _Child(signs, Task(allowed, multipliers, node.basis), node.bound)
                for signs, allowed in self._children(node, *branch)
            ]
            parents.append((node, branch, len(mine)))
            children += mine
        keys = iter(self._relax(children) if children else [])
        for node, branch, count in parents:
            reached = [max(key, self.threshold) for key in itertools.islice(keys, count)]
            if node.score is not None and math.isfinite(node.key):
                gains = [node.key - key for key in reached]
                self._gains.learn(branch, float(node.score[branch]), gains)

    def _relax(self, children: Sequence[_Child]) -> list[float]:
        """Relax nodes and put them on the heap; return their keys. Bounds are computed later."""
        self.nodes += len(children)
        value = self._incumbent.value
        target = value if value == -np.inf else value + CUT_SHARE * (self.threshold - value)
        tasks = [child.task for child in children]
        every = self._relaxation.relax(tasks, target, self._options.deadline)
        bases = [found.base for found in every if found.base is not None]
        if bases:
            self._incumbent.offer(np.array(bases))
        nodes = [_node(child, found) for child, found in zip(children, every, strict=True)]
        for node in nodes:
            self._push(node)
        return [node.key for node in nodes]

    def _relax_fully(self, nodes: Sequence[_SignNode]) -> None:
        """Find out where to branch below nodes that were cut off but are not closed."""
        tasks = [Task(node.allowed, node.multipliers.astype(np.float64)) for node in nodes]
        every = self._relaxation.relax(tasks, -np.inf, self._options.deadline) if tasks else []
        for node, found in zip(nodes, every, strict=True):
            if found.score is not None:
                node.score, node.basis = found.score.astype(np.float32), found.basis
                node.multipliers = found.candidates[-1].astype(np.float32)

    def _push(self, node: _SignNode) -> None:
        if node.candidates is not None:
            self._pending.append(node)
            if node.key <= self.threshold:
                return  # comes back if its bound does not close it
        node.place = Place.QUEUED
        heapq.heappush(self._heap, (-node.key, next(self._count), node))

    def _certify(self) -> None:
        """Compute the bounds of all nodes that were solved since the last time."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        counts = [0 if node.candidates is None else len(node.candidates) for node in pending]
        owner = np.repeat(np.arange(len(pending)), counts)
        many = np.concatenate([n.candidates for n in pending if n.candidates is not None])
        allowed = np.array([node.allowed for node in pending])
        bounds = self._dual.evaluate(many, allowed[owner]).bound
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        for node, start, stop in zip(pending, starts[:-1], starts[1:], strict=True):
            best = start + int(np.argmin(bounds[start:stop]))
            node.bound = min(node.bound, float(bounds[best]))
            node.multipliers = many[best].astype(np.float32)
            node.candidates = None
            if node.place is Place.ASIDE:
                node.key = node.bound
                if node.bound <= self.threshold:
                    self._closed = max(self._closed, node.bound)
                else:
                    self._push(node)

    def _close(self) -> None:
        """Drop the nodes that are proved to be below the threshold; the others go on."""
        nodes = [node for _, _, node in self._heap]
        self._heap = []
        for node in nodes:
            node.place = Place.ASIDE
            if node.bound <= self.threshold:
                self._closed = max(self._closed, node.bound)
            else:
                node.key = max(node.key, node.bound) if node.key <= self.threshold else node.key
                self._push(node)

    def _branching(self, nodes: Sequence[_SignNode]) -> list[tuple[int, int] | None]:
        """Return the neuron and point that promise most at each node; None if all are fixed."""
        if not (nodes and nodes[0].signs.size):
            return [None] * len(nodes)
        strict = np.array([node.allowed for node in nodes])[:, :, None] & self._strict
        sides = np.logical_or.reduceat(strict, self._starts[:-1], axis=1)
        points = self._dual.linked.points
        undecided = sides[..., :points] & sides[..., points:]
        scores = [np.zeros(n.signs.shape) if n.score is None else n.score for n in nodes]
        expected = self._gains.expected(np.array(scores)) * self._roots.favour
        promise = np.where(undecided, expected, -1.0)
        flat = promise.reshape(len(nodes), -1)
        best = flat.argmax(axis=1).tolist()
        most = flat.max(axis=1).tolist()
        return [
            divmod(place, points) if value >= 0 else None
            for place, value in zip(best, most, strict=True)
        ]

    def _children(
        self, node: _SignNode, neuron: int, point: int
    ) -> Iterable[tuple[Signs, BoolArray]]:
        """Yield the children; while x and y are fixed alike, of two mixed signs one will do."""
        choices: list[dict[int, int]] = [{point: 1}, {point: -1}]
        same = self._symmetric and point < 2
        if same and np.array_equal(node.signs[:, 0], node.signs[:, 1]):
            choices = [{0: 1, 1: 1}, {0: -1, 1: -1}, {0: -1, 1: 1}]
        for choice in choices:
            signs, allowed = node.signs.copy(), node.allowed.copy()
            for which, sign in choice.items():
                for twin, relative in self._twins[neuron]:
                    signs[twin, which] = sign * relative
                    mine = slice(self._starts[twin], self._starts[twin + 1])
                    allowed[mine] &= self._left[sign * relative][mine, which]
            yield signs, allowed

    def _note_bound(self) -> None:
        """Take down what is proved; every open node is on the heap or pending now."""
        waiting = [node.bound for _, _, node in self._heap]
        waiting += [node.bound for node in self._pending]
        self._proved = min(self._proved, max(self._closed, self._incumbent.value, *waiting))

    def _report(self) -> None:
        now = time.perf_counter()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._note_bound()
            if self._progress is not None:
                value = self._incumbent.value
                self._progress(Progress(value, self.upper, self.nodes, now - self._began))


def _node(child: _Child, found: Relaxed) -> _SignNode:
    multipliers = found.candidates[-1].astype(np.float32)
    score = None if found.score is None else found.score.astype(np.float32)
    # a bound that was known before says nothing of where to go on
    key = found.value if found.value < np.inf else child.bound
    return _SignNode(
        key,
        child.bound,
        child.signs,
        child.task.allowed,
        multipliers,
        found.candidates,
        score,
        found.basis,
    )
