"""Where the multipliers come from: linear programs, or a subgradient method in wide networks.

The program has a weight per column (Dantzig-Wolfe): each free neuron is a convex
combination of its columns, stable ones are substituted. A node of the search only switches
columns off, so that its parent's basis stays dual feasible. Its optimum is the best bound
the dual can reach; the bound itself is computed by :class:`~jensen.midpoint.linked.SafeDual`,
rounding errors included.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from jensen.midpoint.forms import LinearForms
from jensen.midpoint.linked import Cuts, Objective, SafeDual
from jensen.types import BoolArray, FloatArray
from jensen_encodings.columns import ColumnProgram, ColumnSolution, ColumnStatus
from jensen_encodings.deadline import NEVER, Deadline

RAY_LENGTHS = (1.0, 1e1, 1e2, 1e3, 1e5)


@dataclass(frozen=True, eq=False)
class Task:
    """A node to bound.

    Attributes
    ----------
    allowed : bool array (columns,)
    parent : array (multipliers,)
        To start from.
    basis : object
        Of the parent's relaxation.
    """

    allowed: BoolArray
    parent: FloatArray
    basis: Any = None


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What a relaxation knows of a node.

    Attributes
    ----------
    value : float
        Its bound, up to rounding: a hint.
    candidates : array (candidates, multipliers)
        One of them should give the bound.
    score : array (free neurons, points), or None
        What the relaxation gains at each pre-activation; None if it is cut off.
    base : array (free points, inputs), or None
        Its primal estimate.
    hidden : array (free neurons, points), or None
        Post-activations of the estimate.
    basis : object
        To start the children from.
    """

    value: float
    candidates: FloatArray
    score: FloatArray | None = None
    base: FloatArray | None = None
    hidden: FloatArray | None = None
    basis: Any = None


class Relaxation(Protocol):
    """A way to bound nodes."""

    def relax(
        self, tasks: Sequence[Task], target: float, deadline: Deadline = NEVER
    ) -> list[Relaxed]:
        """Bound nodes, each as far as needed to be below a target."""


class LinearRelaxation:
    """Linear programs over columns, whose duals are multipliers.

    Parameters
    ----------
    dual : SafeDual
        What is to be bounded.
    threads : int
        Programs that are solved at a time. Who solves what depends on nothing but their order,
        and so do the results.

    Attributes
    ----------
    size : int
        Number of multipliers, as :class:`~jensen.midpoint.linked.SafeDual` takes them.
    """

    def __init__(self, dual: SafeDual, threads: int = 1) -> None:
        linked, columns = dual.linked, dual.columns
        self._linked, self._columns = linked, columns
        self._inputs = len(linked.input_lower)
        self._both = np.concatenate([columns.z, columns.h], axis=1)
        self._starts = np.searchsorted(columns.own, np.arange(len(linked.free)))
        self._forms = LinearForms(linked)
        form = self._forms
        # rows: the equations of z by point, then one convexity row per neuron
        needed = [form.needed(k) for k in range(linked.points)]
        # of the multipliers of all neurons and points
        self._equation = np.concatenate(
            [rows * linked.points + k for k, rows in enumerate(needed)]
        ).astype(np.intp)
        self._cuts = Cuts.none(linked)
        count = len(columns.own)
        blocks, right = [], []
        for k, rows in enumerate(needed):
            hidden = -form.hidden[rows][:, columns.own] * columns.h[:, k]
            hidden += np.where(rows[:, None] == columns.own, columns.z[:, k], 0.0)
            inputs = [-linked.links[k, p] * form.inputs[rows] for p in range(linked.links.shape[1])]
            blocks.append(np.hstack([*inputs, hidden]))
            right.append(form.constant[rows])
        free = linked.links.shape[1] * self._inputs
        convexity = np.zeros((len(linked.free), free + count))
        convexity[columns.own, free + np.arange(count)] = 1.0
        matrix = sp.csr_array(np.vstack([*blocks, convexity]).T)
        right.append(np.ones(len(linked.free)))
        self._free = free
        cost = self._set_objective(dual.objective)
        sides = (linked.input_lower, linked.input_upper)
        lower, upper = (np.tile(side, linked.links.shape[1]) for side in sides)
        self._programs = [
            ColumnProgram(cost, matrix, np.concatenate(right), lower, upper) for _ in range(threads)
        ]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._interrupted = False
        if len(dual.cuts):
            self.add_cuts(dual.cuts)

    @property
    def size(self) -> int:
        """Number of multipliers."""
        return len(self._linked.free) * self._linked.points + len(self._cuts)

    def add_cuts(self, cuts: Cuts) -> None:
        """Add cuts; multipliers and bases from before do not fit any more."""
        links, own = self._linked.links, self._columns.own
        inputs = np.einsum("rik,kp->rpi", -cuts.inputs, links).reshape(len(cuts), -1)
        hidden = np.einsum("rck,ck->rc", cuts.hidden[:, own], self._columns.h)
        for program in self._programs:
            program.add_rows(np.hstack([inputs, hidden]), cuts.right)
        self._cuts = self._cuts.with_more(cuts)

    def change_objective(self, objective: Objective) -> None:
        """Use another objective from now on."""
        cost = self._set_objective(objective)
        for program in self._programs:
            program.set_cost(cost)

    def _set_objective(self, objective: Objective) -> FloatArray:
        inputs, self._prices, self._constant = self._forms.objective(objective)
        base = (self._linked.links.T @ inputs.T).reshape(-1)
        hidden = (self._prices[self._columns.own] * self._columns.h).sum(axis=1)
        return np.concatenate([base, hidden])

    def relax(
        self, tasks: Sequence[Task], target: float, deadline: Deadline = NEVER
    ) -> list[Relaxed]:
        """Solve the programs of nodes; see :class:`Relaxation`."""
        solved = self._solve(tasks, target - self._constant, deadline)
        v = self._multipliers([s.duals for s in solved])
        optimal = [i for i, s in enumerate(solved) if s.status is ColumnStatus.OPTIMAL]
        scores: dict[int, tuple[FloatArray, FloatArray]] = {}
        if optimal:
            every = self._scores(np.array([solved[i].x for i in optimal]), v[optimal])
            scores = dict(zip(optimal, zip(*every, strict=True), strict=True))
        return [
            self._relaxed(task.parent, solution, v[i], *scores.get(i, (None, None)))
            for i, (task, solution) in enumerate(zip(tasks, solved, strict=True))
        ]

    def _solve(
        self, tasks: Sequence[Task], target: float, deadline: Deadline
    ) -> list[ColumnSolution]:
        """Solve every n-th program in a thread of its own; HiGHS leaves the interpreter free."""
        count = len(self._programs)

        def share(k: int) -> list[ColumnSolution]:
            return [
                self._programs[k].solve(task.allowed, target, task.basis, deadline)
                for task in tasks[k::count]
                if not self._interrupted
            ]

        others = range(1, min(count, len(tasks)))
        futures = [self._pool.submit(share, k) for k in others] if self._pool else []
        solved: list[Any] = [None] * len(tasks)
        try:
            solved[::count] = share(0)
            for k, future in zip(others, futures, strict=True):
                solved[k::count] = future.result()
        except KeyboardInterrupt:
            self._interrupted = True  # nothing goes on behind its back
            raise
        return solved

    def _relaxed(
        self,
        parent: FloatArray,
        solution: ColumnSolution,
        v: FloatArray,
        score: FloatArray | None,
        hidden: FloatArray | None,
    ) -> Relaxed:
        value = solution.value + self._constant
        if score is not None:
            base = solution.x[: self._free].reshape(-1, self._inputs)
            return Relaxed(value, np.array([parent, v]), score, base, hidden, solution.basis)
        candidates = [parent, v] if solution.duals.size else [parent]
        if solution.ray.size:
            (ray,) = self._multipliers([solution.ray])
            ray = ray / max(float(np.abs(ray).max(initial=0.0)), 1e-300)
            candidates += [candidates[-1] + s * t * ray for t in RAY_LENGTHS for s in (1, -1)]
        if solution.status is ColumnStatus.FAILED:
            value = np.inf
        return Relaxed(value, np.array(candidates))

    def _multipliers(self, duals: Sequence[FloatArray]) -> FloatArray:
        """Return those of the equations of z and of cuts; 0 where there are none."""
        out = np.zeros((len(duals), self.size))
        equations, cuts = len(self._equation), len(self._cuts)
        for to, dual in zip(out, duals, strict=True):
            if dual.size:
                to[self._equation] = dual[:equations]
                to[self.size - cuts :] = dual[len(dual) - cuts :]
        return out

    def _scores(self, x: FloatArray, multipliers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what the relaxations gain at each pre-activation, and post-activations.

        A gain is the excess over relu(z) times what all readers pay. What cuts pay does not
        count: with it, searches had twice as many nodes.
        """
        linked = self._linked
        weights = x[:, self._free :, None]
        sums = np.add.reduceat(weights * self._both, self._starts, axis=1)
        z, h = sums[..., : linked.points], sums[..., linked.points :]
        split = self.size - len(self._cuts)
        v = multipliers[:, :split].reshape(len(x), -1, linked.points)
        prices = self._prices + self._forms.hidden.T @ v
        return np.abs((h - np.maximum(z, 0)) * prices), h
