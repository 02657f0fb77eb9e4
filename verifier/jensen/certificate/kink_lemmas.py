"""Bounds on one kink that a tree of a certificate begins with (docs/FORMAT.md, `lines`).

Doubles propose: backward lines of all units at once, level by level, and per unit the
multiple of the group that makes its bound best. The checker's own rule computes the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import ONE, Network, text_of
from jensen.certificate.proof_node import ProofNode
from jensen.types import BoolArray, FloatArray, IndexArray

MOST_UNITS = 3000  # matrices of all units are dense
SHIFT_BITS = 24  # of a multiple of the group, relative to the sizes of the units
GAIN = 0.03  # of a unit's range: bounds that are not better by that cost more than they help
MARGIN = 1e-9  # relative: bounds closer to 0 are not taken for strict


@dataclass(frozen=True, eq=False)
class Lemma:
    """Bounds of one unit on a kink, proposed.

    Attributes
    ----------
    unit : int
    lower, upper : float or None
        Multiples of the group for the two bounds, in terms of units divided by their sizes.
    state : bool or None
        Whether the unit is on all over the kink, or off; None if neither is known.
    """

    unit: int
    lower: float | None
    upper: float | None
    state: bool | None = None


class FloatUnits:
    """The checker's units divided by their sizes, as matrices of doubles.

    Attributes
    ----------
    size : list of int
        By which a unit is divided, a power of two.
    on_z, on_h : arrays (units, units)
        Coefficients on zeta and max(zeta, 0); column 0 holds the constants.
    lower, upper : arrays (units,)
    levels : list of index arrays
        Units that do not read one another, inputs left out.
    """

    def __init__(self, net: Network) -> None:
        count = len(net.units)
        self.inputs, self.output = net.inputs, net.output
        self.size = [1 << max(-unit.low, unit.high).bit_length() for unit in net.units]
        self.size[ONE] = 1
        # of the output no bounds are known
        last = net.units[net.output].form.items()
        most = sum(abs(factor) * self.size[abs(key)] for key, factor in last)
        self.size[net.output] = 1 << most.bit_length()
        self.lower = np.array([_ratio(u.low, s) for u, s in zip(net.units, self.size, strict=True)])
        self.upper = np.array(
            [_ratio(u.high, s) for u, s in zip(net.units, self.size, strict=True)]
        )
        self.on_z, self.on_h = np.zeros((count, count)), np.zeros((count, count))
        level = np.zeros(count, dtype=int)
        for k in range(net.inputs, count):
            for key, factor in net.units[k].form.items():
                matrix = self.on_z if key >= 0 else self.on_h
                h = abs(key)
                matrix[k, h] = _ratio(factor * self.size[h], self.size[k])
                level[k] = max(level[k], level[h] + 1)
            level[k] = max(level[k], 1)
        self.levels = [np.flatnonzero(level == i) for i in range(1, level.max(initial=0) + 1)]
        self.rows = [(level, self.on_z[level], self.on_h[level]) for level in self.levels]
        self.reads_z, self.reads_h = self.on_z != 0, self.on_h != 0
        self.reads = self.reads_z | self.reads_h

    def ratio(self, unit: int, value: int) -> float:
        """Return a value of a unit, divided by its size."""
        return _ratio(value, self.size[unit])

    def behind(self, group: int) -> BoolArray:
        """Return the units whose slope over a group may differ from 0."""
        found = self.on_h[:, group] != 0
        for level in self.levels:
            found[level] |= self.reads[np.ix_(level, np.flatnonzero(found))].any(axis=1)
        return np.asarray(found)

    def in_front(self, units: BoolArray) -> BoolArray:
        """Return the units that some depend on, themselves included."""
        found = units.copy()
        for level in reversed(self.levels):
            found |= self.reads[level[found[level]]].any(axis=0)
        found[: self.inputs] = False
        return found


class KinkLemmas:
    """Bounds on the kink of one group, on one face or on the whole domain.

    Parameters
    ----------
    units : FloatUnits
    node : ProofNode
        The root of the tree; what it knows is not changed.
    """

    def __init__(self, units: FloatUnits, node: ProofNode) -> None:
        self._units, self._group = units, node.group
        self.lower, self.upper = units.lower.copy(), units.upper.copy()
        for unit, (low, high) in node.local.items():
            self.lower[unit] = _ratio(low, units.size[unit])
            self.upper[unit] = _ratio(high, units.size[unit])

    def meets(self) -> bool:
        """Whether the group may be 0 on the box of the inputs."""
        A, c = self._lines(np.array([self._group]), group=None)
        return bool((self._box(A) + c >= 0).all())

    def find(self, wanted: BoolArray) -> list[Lemma]:
        """Return bounds of units that change their sign, in topological order; and use them."""
        lemmas = []
        for level in self._units.levels:
            targets = level[wanted[level] & (self.lower[level] < 0) & (self.upper[level] > 0)]
            targets = targets[targets != self._group]
            if not targets.size:
                continue
            bounds, shifts = self._bounded(targets)
            half = len(targets)
            for i, unit in enumerate(targets.tolist()):
                low, high = -bounds[half + i], bounds[i]
                least = GAIN * (self.upper[unit] - self.lower[unit])
                better = low > self.lower[unit] + least, high < self.upper[unit] - least
                if any(better):
                    decided = (low > MARGIN, high < -MARGIN)
                    keep = decided if any(decided) else better
                    lemmas.append(Lemma(
                        unit,
                        float(shifts[half + i]) if keep[0] else None,
                        float(shifts[i]) if keep[1] else None,
                        bool(decided[0]) if any(decided) else None,
                    ))  # fmt: skip
                    self.lower[unit] = max(self.lower[unit], low)
                    self.upper[unit] = min(self.upper[unit], high)
        return lemmas

    def state(self, unit: int) -> bool | None:
        """Return whether a unit is on all over the kink, or off; None if neither is known."""
        if self.lower[unit] > MARGIN:
            return True
        return False if self.upper[unit] < -MARGIN else None

    # ------------------------------------------------------------------------ lines

    def _bounded(self, targets: IndexArray) -> tuple[FloatArray, FloatArray]:
        """Return upper bounds of ``z`` and then of ``-z`` of some units, and the shifts."""
        A, c = self._lines(targets, self._group)
        best, shifts = self._box(A) + c, np.zeros(len(A))
        normals, offsets = self._lines(np.array([self._group]), None)
        for sign, n, n0 in ((1.0, normals[0], offsets[0]), (-1.0, normals[1], offsets[1])):
            shift = self._shifts(A, n, n0)
            value = self._box(A + shift[:, None] * n) + c + shift * n0
            better = value < best
            best, shifts = np.where(better, value, best), np.where(better, sign * shift, shifts)
        return best, shifts

    def _shifts(self, A: FloatArray, n: FloatArray, n0: float) -> FloatArray:
        """Return, per row, the shift >= 0 that makes the maximum of ``a x + shift n x`` least."""
        low, high = self.lower[1 : self._units.inputs], self.upper[1 : self._units.inputs]
        middle, radius = (low + high) / 2, (high - low) / 2
        weights = radius * np.abs(n)
        used = np.flatnonzero(weights > 0)
        if not used.size:
            return np.zeros(len(A))
        breaks = -A[:, used] / n[used]
        order = np.argsort(breaks, axis=1)
        slope = n0 + middle @ n - weights.sum() + 2 * np.cumsum(weights[used][order], axis=1)
        index = np.minimum((slope < 0).sum(axis=1), len(used) - 1)
        found = breaks[np.arange(len(A)), order[np.arange(len(A)), index]]
        return np.maximum(np.where(np.isfinite(found), found, 0.0), 0.0)

    def _box(self, A: FloatArray) -> FloatArray:
        low, high = self.lower[1 : self._units.inputs], self.upper[1 : self._units.inputs]
        result: FloatArray = np.maximum(A, 0.0) @ high + np.minimum(A, 0.0) @ low
        return result

    def _lines(self, targets: IndexArray, group: int | None) -> tuple[FloatArray, FloatArray]:
        """Return lines above ``z`` and then above ``-z``, as the checker draws them."""
        units = self._units
        on_z = np.concatenate([units.on_z[targets], -units.on_z[targets]])
        on_h = np.concatenate([units.on_h[targets], -units.on_h[targets]])
        for level, level_z, level_h in reversed(units.rows):
            c = on_h[:, level]
            if c.any():
                low, high = self.lower[level], self.upper[level]
                free = (low < 0) & (high > 0)
                share = np.where(free, high / np.where(free, high - low, 1.0), low >= 0)
                if group is not None:
                    share = np.where(level == group, 0.0, share)
                    free = free & (level != group)
                slope = np.where((c > 0) | ~free, c * share, c * (high > -low))
                on_z[:, 0] += np.maximum(np.where(free, c * (-share * low), 0.0), 0.0).sum(axis=1)
                on_z[:, level] += slope
                on_h[:, level] = 0.0
            passed = on_z[:, level]
            if passed.any():
                on_z[:, level] = 0.0
                on_z += passed @ level_z
                on_h += passed @ level_h
        return on_z[:, 1 : units.inputs], on_z[:, 0]


def side_text(units: FloatUnits, unit: int, group: int, shift: float | None) -> str | None:
    """Write a multiple of the group for the checker's own units."""
    if shift is None:
        return None
    exact = Fraction(shift) * units.size[unit] / units.size[group]
    if not exact:
        return "0"
    bits = exact.numerator.bit_length() - exact.denominator.bit_length()
    unit_step = Fraction(2) ** (bits - SHIFT_BITS)
    return text_of(round(exact / unit_step) * unit_step)


def lemma_line(
    lead: Callable[[int], list[Any]], units: FloatUnits, lemma: Lemma, group: int
) -> list[Any]:
    """Return the entry of a certificate."""
    sides = [side_text(units, lemma.unit, group, shift) for shift in (lemma.lower, lemma.upper)]
    return [*lead(lemma.unit), *sides]


def _ratio(a: int, b: int) -> float:
    return a / b if b else 0.0
