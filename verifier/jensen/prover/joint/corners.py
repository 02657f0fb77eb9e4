"""Does z of a unit reach 0 on a box? Bounds at its corners (docs/theory.md, section 11).

Where J_g is a constant below 0 the kink must not be met. Let ``z = c + a y + sum_j w_j relu(z_j)``
with affine z_j. Units with w_j < 0 are bounded by ``w_j relu(z_j) <= q_j z_j``, for any q_j between
w_j and 0. With these lines z is at most a convex function, whose maximum over the box is at a
corner, where it is evaluated: all units with w_j > 0 are bounded together, not one by one by lines
that are never all reached at one corner. A linear program over the corners that matter finds the
best q. Where the bound is not below 0, a unit with w_j > 0 is branched on: on either side of
``z_j = 0`` it is linear, and a multiple of z_j may be added.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, rounding_factor
from jensen.arithmetic.powers import exponents_near
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.forms import JointForms
from jensen.types import FloatArray, IndexArray, Unit
from jensen_encodings.bounded import BoundedProgram
from jensen_encodings.deadline import Deadline

MOST_NUMBERS = 1 << 20  # in the table of all units at all corners
STEEPEST = 8.0  # of the largest weight: how much of z_j may be added where its sign is known
ROUNDS = 30  # programs of a node
AT_ONCE = 8  # corners that are added to a program
LEAST_GAP = 1e-9  # of z: less is no reason to branch

Signs = tuple[tuple[int, bool], ...]


class CornerState(Enum):
    """What the last node said."""

    OPEN = 1
    MISSED = 2  # proved: the kink does not meet the piece
    FAILED = 3


@dataclass(frozen=True, eq=False)
class _Optimum:
    """What the programs of a node say: a proved bound, or the point and the weights of corners."""

    bound: float
    weights: FloatArray


class Corners:
    """The search for one unit on one piece.

    Parameters
    ----------
    z : array (1 + dim + units,)
        Over 1, y and the values ``relu(z_j)`` of units in front; sizes near 1.
    rows : array (units, 1 + dim)
        The z_j, sizes near 1.
    error : float
        By how much rounding may have changed z.
    piece : Piece

    Attributes
    ----------
    state : CornerState
    point : array (dim,)
        Where z is largest as far as the last node's bound knows.
    above : bool
        Whether z has the other sign there than in the middle of the piece, up to rounding.
    lps : int
        Programs solved so far.
    """

    def __init__(self, z: FloatArray, rows: FloatArray, error: float, piece: Piece) -> None:
        units, dim = rows.shape[0], rows.shape[1] - 1
        sign = -1.0 if _value(z, rows, piece.middle) > 0 else 1.0
        self._form, self._rows, self._error = sign * z, rows, error
        self._z, self._w = self._form[: 1 + dim], self._form[1 + dim :]
        self._convex = self._w > 0
        self._corners = _corners(piece)
        self._table = rows[:, 0] + self._corners @ rows[:, 1:].T
        self._bent = np.maximum(self._table, 0.0)
        self._steep = STEEPEST * float(np.abs(self._w).max(initial=0.0))
        # what rounding may change at a corner
        reach = np.concatenate([[1.0], piece.reach])
        self._sizes, self._size = np.abs(rows) @ reach, float(np.abs(self._z) @ reach)
        self._factor = rounding_factor(3 * (dim + units) + 16)
        self._tiny = SUBNORMAL * 64 * (dim + units + 1) * (1.0 + units * self._steep)
        self._stack: list[Signs] = [()]
        self._program: BoundedProgram | None = None
        self._added = np.empty(0, dtype=np.intp)
        self.point, self.above = piece.middle, False
        self.lps = 0
        self.state = CornerState.OPEN

    def step(self, deadline: Deadline) -> None:
        """Take one node: close it or branch on it."""
        signs = self._stack.pop()
        found = self._bounded(signs, deadline)
        if found is None:
            self.state = CornerState.FAILED
            return
        if found.bound >= 0 and not self._branch(signs, found.weights):
            self.state = CornerState.FAILED
        elif not self._stack:
            self.state = CornerState.MISSED

    def _branch(self, signs: Signs, weights: FloatArray) -> bool:
        """Branch on the unit whose bound is furthest above its value."""
        used = np.flatnonzero(weights)
        share = weights[used]
        self.point = share @ self._corners[used]
        z = self._table[used]
        mean = share @ z
        self.above = _value(self._form, self._rows, self.point) >= 0
        gap = np.where(self._convex, self._w * (share @ np.maximum(z, 0) - np.maximum(mean, 0)), 0)
        gap[[unit for unit, _ in signs]] = 0.0
        unit = int(gap.argmax())
        if self.above or gap[unit] <= LEAST_GAP * self._size:
            return False
        on = bool(mean[unit] > 0)
        self._stack += [(*signs, (unit, not on)), (*signs, (unit, on))]
        return True

    def _bounded(self, signs: Signs, deadline: Deadline) -> _Optimum | None:
        """Bound z where some units have known signs; None if programs fail."""
        lower, upper = np.minimum(self._w, 0.0), np.zeros(len(self._w))
        free = self._convex.copy()
        for unit, on in signs:
            free[unit] = False
            lower[unit], upper[unit] = (self._w[unit], self._steep) if on else (-self._steep, 0.0)
        base = self._z[0] + self._corners @ self._z[1:]
        base += self._bent @ np.where(free, self._w, 0.0)
        size = self._size + float(self._w[free] @ self._sizes[free])
        program = self._entered(base, lower, upper, size)
        best: FloatArray | None = None
        lowest = np.inf
        for _ in range(ROUNDS):
            self.lps += 1
            solution = program.solve(deadline=deadline)
            if not solution.x.size or not solution.multipliers.size:
                return None
            weights = np.zeros(len(base))
            np.add.at(weights, self._added, np.abs(solution.multipliers))
            weights /= weights.sum() or 1.0
            at_least, q = solution.x[0], np.clip(solution.x[1:], lower, upper)
            if at_least >= 0:
                break
            tried = [q] if best is None else [0.5 * (q + best), q]
            for slopes in tried:
                values = base + self._table @ slopes
                most = float(values.max())
                slack = self._factor * (size + float(np.abs(slopes) @ self._sizes))
                bound = most + SAFETY * (slack + self._error) + self._tiny
                if bound < 0:
                    return _Optimum(bound, weights)
                if most < lowest:
                    lowest, best = most, slopes
                self._add(program, values, base)
            if lowest <= at_least + LEAST_GAP * size:
                break
        return _Optimum(np.inf, weights)

    def _entered(
        self, base: FloatArray, lower: FloatArray, upper: FloatArray, size: float
    ) -> BoundedProgram:
        """Return the program of a node: ``min t, sum_j q_j z_j - t <= -base`` at corners."""
        if self._program is None:
            low, high = np.append(-2.0 * size, lower), np.append(2.0 * size, upper)
            cost = np.zeros(len(low))
            cost[0] = 1.0
            self._added = _largest(base)
            rows, limits = self._told(self._added, base)
            absent = np.full(len(limits), -np.inf)
            self._program = BoundedProgram(cost, rows, absent, limits, low, high)
            return self._program
        self._program.set_columns(np.arange(1, 1 + len(lower)), lower, upper)
        for i, corner in enumerate(self._added.tolist()):
            self._program.set_row(i, -np.inf, -base[corner])
        return self._program

    def _add(self, program: BoundedProgram, values: FloatArray, base: FloatArray) -> None:
        """Add the corners at which a bound is largest."""
        chosen = np.setdiff1d(_largest(values), self._added)
        if chosen.size:
            program.add_rows(*self._told(chosen, base))
            self._added = np.append(self._added, chosen)

    def _told(self, chosen: IndexArray, base: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows of some corners."""
        ones = np.ones((len(chosen), 1))
        return np.hstack([-ones, self._table[chosen]]), -base[chosen]


def corners_of(forms: JointForms, group: Unit, piece: Piece) -> Corners | None:
    """Return the search; None where units in front bend before, or corners are too many.

    z and its units are scaled by powers of two; None as well if that rounds anything.
    """
    (level, unit), dim, units = group, forms.dim, list(forms.h)
    wide = int((piece.lower < piece.upper).sum())
    bent = any(forms.forms[k][u, 1 + dim :].any() for k, u in units)
    if bent or not units or len(units) * 2.0**wide > MOST_NUMBERS:
        return None
    z = forms.forms[level][unit]
    rows = np.array([forms.forms[k][u, : 1 + dim] for k, u in units])
    errors = np.array([forms.errors[k][u] for k, u in units])
    error = float(forms.errors[level][unit] + np.abs(z[1 + dim :]) @ errors)
    reach = np.concatenate([[1.0], piece.reach])
    by = exponents_near(np.abs(rows) @ reach)
    near = np.ldexp(rows, -by[:, None])
    powers = np.concatenate([np.zeros(1 + dim, dtype=np.int32), by])
    form = np.ldexp(z, powers)
    size = np.abs(form) @ np.concatenate([reach, np.ones(len(units))])
    most = int(exponents_near(size))
    form, error = np.ldexp(form, -most), float(np.nextafter(np.ldexp(error, -most), np.inf))
    exact = np.isfinite(size) and (np.ldexp(near, by[:, None]) == rows).all()
    if not exact or not (np.ldexp(form, most - powers) == z).all():
        return None
    return Corners(form, near, SAFETY * error, piece)


def _largest(values: FloatArray) -> IndexArray:
    """Return the places of the largest values."""
    count = min(AT_ONCE, len(values))
    return np.argpartition(values, -count)[-count:]


def _value(form: FloatArray, rows: FloatArray, point: FloatArray) -> float:
    """Return z at a point, of which the units in front have forms."""
    dim = len(point)
    values = np.maximum(rows[:, 0] + rows[:, 1:] @ point, 0.0)
    return float(form[0] + form[1 : 1 + dim] @ point + form[1 + dim :] @ values)


def _corners(piece: Piece) -> FloatArray:
    wide = np.flatnonzero(piece.lower < piece.upper)
    found = np.tile(piece.lower, (1 << len(wide), 1))
    high = (np.arange(len(found))[:, None] >> np.arange(len(wide))) & 1
    found[:, wide] = np.where(high, piece.upper[wide], piece.lower[wide])
    return found
