"""Does z of a unit reach 0? Ascents over many cells at a time (docs/theory.md, section 11).

Where J_g is a constant below 0 one point with z_g = 0 refutes. Where z_g is below 0 at all points
seen a larger z_g is sought. It is a difference of convex functions: each step keeps, of every
unit that should grow, the linear part that it has at the point, which is a lower bound everywhere;
a unit that should shrink gets a variable ``h >= relu(z)``. So a step ends where z_g is at least
the optimum of a linear program, which sees all kinks at once that stand against it. Steps
end where none leads higher. What they find are hints.

References
----------
P. D. Tao, L. T. H. An, "Convex analysis approach to D.C. programming: theory, algorithms and
applications", Acta Mathematica Vietnamica 22, 1997.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.descents.pieces import Piece
from jensen.types import BoolArray, FloatArray, Unit
from jensen_encodings.bounded import BoundedProgram
from jensen_encodings.deadline import Deadline

STEPS = 20
PROGRESS = 1e-9  # of |z|: steps that gain less are the last
SHARES = np.linspace(0.0, 1.0, 33)  # of a segment, at which z is looked at
NARROWER = 6  # how often the part where z changes its sign is looked at again


class KinkAscent:
    """Ascents of one unit's z towards 0 on a piece.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    piece : Piece
    deadline : Deadline
    """

    def __init__(self, net: GroupedNetwork, group: Unit, piece: Piece, deadline: Deadline) -> None:
        self._net, self._group, self._piece, self._deadline = net, group, piece, deadline
        self._dim = len(piece.lower)
        starts = 1 + self._dim + np.cumsum([0, *(level.size for level in net.levels)])
        self._columns = [slice(a, b) for a, b in pairwise(starts.tolist())]
        self._width = int(starts[group[0]])
        self._h = np.eye(self._width)[1 + self._dim :]
        self._rows: FloatArray = np.empty((0, 0))
        self._program: BoundedProgram | None = None

    def across(self, point: FloatArray) -> FloatArray | None:
        """Return a point on the kink, if steps from a point next to it lead to one.

        Parameters
        ----------
        point : array (dim,)
        """
        level, unit = self._group
        values = self._net.pre_activations(point)
        sign = -1.0 if values[level][unit] > 0 else 1.0
        best, start = sign * values[level][unit], point
        for _ in range(STEPS):
            found = self._step(values, sign)
            if found is None:
                return None
            values = self._net.pre_activations(found)
            z = sign * values[level][unit]
            if z > 0:
                return self._between(start, found, sign)
            if z <= best + PROGRESS * abs(best):
                return None
            best, start = z, found
        return None

    def _step(self, values: list[FloatArray], sign: float) -> FloatArray | None:
        """Return the point at which the model of ``sign z`` at a point is largest."""
        cost, rows = self._model(values, sign)
        used = self._needed(cost, rows)
        kept = [0, *np.flatnonzero(used).tolist()]
        chosen = rows[used[1 + self._dim :]][:, kept]
        if (
            self._program is None
            or chosen.shape != self._rows.shape
            or not (chosen == self._rows).all()
        ):
            self._rows, self._program = chosen, self._built(chosen, used)
        size = float(np.abs(cost[used]).max(initial=0.0))
        if not size:
            return None  # z is a constant
        self._program.set_cost(-cost[used] / size)
        solution = self._program.solve(deadline=self._deadline)
        return solution.x[: self._dim] if solution.x.size else None

    def _model(self, values: list[FloatArray], sign: float) -> tuple[FloatArray, FloatArray]:
        """Return a lower bound of ``sign z`` that holds with equality at a point, and its rows.

        Returns
        -------
        (form, rows) : arrays (1 + columns,) and (units in front, 1 + columns)
            Forms over 1, y and h; those of the rows are at most 0.
        """
        level, unit = self._group
        below: list[FloatArray] = []
        above: list[FloatArray] = []
        for k in range(level):
            for forms, form in zip(
                (below, above), self._forms(k, values, below, above), strict=True
            ):
                forms.append(form)
        low, high = self._forms(level, values, below, above, unit)
        rows = np.vstack([*above, np.empty((0, self._width))]) - self._h
        return (low[0] if sign > 0 else -high[0]), rows

    def _forms(
        self,
        k: int,
        values: list[FloatArray],
        below: list[FloatArray],
        above: list[FloatArray],
        unit: int | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return bounds of a level's z, or of one unit's, over those of the levels in front."""
        here = self._net.levels[k]
        chosen = slice(None) if unit is None else slice(unit, unit + 1)
        low = np.zeros((len(here.bias[chosen]), self._width))
        low[:, 0] = here.bias[chosen]
        if SOURCE in here.slopes:
            low[:, 1 : 1 + self._dim] = here.slopes[SOURCE].on[chosen]
        high = low.copy()
        for source, slopes in here.slopes.items():
            if source == SOURCE:
                continue
            # on relu(z) + off min(z, 0) is off z + (on - off) relu(z)
            kink, on = self._net.levels[source].kink, slopes.on[chosen]
            off = np.where(kink, 0.0 if slopes.off is None else slopes.off[chosen], on)
            plus, minus = np.maximum(on - off, 0.0), np.minimum(on - off, 0.0)
            least = np.where((values[source] > 0)[:, None], below[source], 0.0)
            low += plus @ least
            low[:, self._columns[source]] += minus
            high += minus @ least
            high[:, self._columns[source]] += plus
            if off.any():
                plus, minus = np.maximum(off, 0.0), np.minimum(off, 0.0)
                low += plus @ below[source] + minus @ above[source]
                high += plus @ above[source] + minus @ below[source]
        return low, high

    def _needed(self, cost: FloatArray, rows: FloatArray) -> BoolArray:
        """Return the columns that take part: y, and every h on which the form depends."""
        used: BoolArray = cost != 0
        used[: 1 + self._dim] = np.arange(1 + self._dim) > 0
        # rows read the h of earlier levels only
        for columns in reversed(self._columns[: self._group[0]]):
            chosen = rows[columns.start - 1 - self._dim : columns.stop - 1 - self._dim]
            used[1 + self._dim :] |= (chosen[used[columns], 1 + self._dim :] != 0).any(axis=0)
        return used

    def _built(self, rows: FloatArray, used: BoolArray) -> BoundedProgram:
        piece = self._piece
        tops = np.concatenate([level.upper for level in self._net.levels])
        tops = np.maximum(tops[: self._width - 1 - self._dim], 0.0)[used[1 + self._dim :]]
        domain = np.zeros((len(piece.rows), rows.shape[1] - 1))
        domain[:, : self._dim] = piece.rows
        program = BoundedProgram(
            np.zeros(rows.shape[1] - 1),
            np.vstack([rows[:, 1:], domain]),
            np.full(len(rows) + len(domain), -np.inf),
            np.concatenate([-rows[:, 0], piece.limits]),
            np.concatenate([piece.lower, np.zeros(len(tops))]),
            np.concatenate([piece.upper, tops]),
        )
        program.keep_primal()
        return program

    def _between(self, start: FloatArray, end: FloatArray, sign: float) -> FloatArray:
        """Return a point between two at which z is 0, up to rounding."""
        level, unit = self._group
        for _ in range(NARROWER):
            points = start + SHARES[:, None] * (end - start)
            beyond = sign * self._net.pre_activations(points)[level][:, unit] > 0
            first = int(np.argmax(beyond))  # the last one is
            start, end = points[max(first - 1, 0)], points[first]
        return end
