"""Forms of all units on one kink, over the joint program's variables (docs/theory.md, section 11).

A form is ``(constant, coefficients of y, coefficients of h)``; a unit that changes sign on
the kink contributes ``off z + (on - off) h`` with a variable ``h = relu(z)``. Forms are
doubles; each comes with a bound of what rounding changed it by over the variables' box.
"""

from __future__ import annotations

import numpy as np

from jensen.arithmetic.intervals import SAFETY, SUBNORMAL, rounding_factor
from jensen.groups.groups import SOURCE, GroupedNetwork
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint.kink_bounds import Ranges
from jensen.types import BoolArray, FloatArray, Unit


class JointForms:
    """Forms of the units that some units depend on, on the kink of a group.

    Parameters
    ----------
    net : GroupedNetwork
    group : (level, unit)
    ranges : Ranges
        Bounds on the kink.
    piece : Piece
    wanted : dict from level to bool array
        The units whose forms are asked for.

    Attributes
    ----------
    dim, width : int
        Number of working variables, and of working variables and h.
    h : dict from (level, unit) to the column of its h
    forms : dict from level to array (units, 1 + width)
    errors : dict from level to array (units,)
        Bounds of ``|form - true form|`` over the box of y and h.
    reach : array (1 + width,)
        The largest absolute value of 1, y and h.
    """

    def __init__(
        self,
        net: GroupedNetwork,
        group: Unit,
        ranges: Ranges,
        piece: Piece,
        wanted: dict[int, BoolArray],
    ) -> None:
        self._net, self._group, self._ranges, self._piece = net, group, ranges, piece
        self.needed, read = _closure(net, group, wanted)
        self.dim = self.width = len(piece.lower)
        self.h: dict[Unit, int] = {}
        for k in sorted(read):
            free = read[k] & net.levels[k].kink & (ranges.lower[k] < 0) & (ranges.upper[k] > 0)
            for u in np.flatnonzero(free).tolist():
                if (k, u) != group:
                    self.h[k, u] = self.width
                    self.width += 1
        tops = [[ranges.upper[k][u]] for k, u in self.h]
        self.reach = np.concatenate([[1.0], piece.reach, *tops])
        self.forms: dict[int, FloatArray] = {}
        self.errors: dict[int, FloatArray] = {}
        for k in sorted(self.needed):
            self._add_level(k)

    def _add_level(self, k: int) -> None:
        level = self._net.levels[k]
        total = np.zeros((level.size, 1 + self.width))
        total[:, 0] = level.bias
        size = np.abs(level.bias)
        error = np.zeros(level.size)
        terms = 16
        for source, slopes in level.slopes.items():
            terms += 3 * slopes.on.shape[1]
            if source == SOURCE:
                total[:, 1 : 1 + self.dim] += slopes.on
                size = size + np.abs(slopes.on) @ self._piece.reach
                continue
            if source not in self.forms:
                continue
            passed = self._passed(source, slopes.on, slopes.off)
            total += passed @ self.forms[source]
            size = size + np.abs(passed) @ (np.abs(self.forms[source]) @ self.reach)
            error += np.abs(passed) @ self.errors[source]
            here = [(u, column) for (at, u), column in self.h.items() if at == source]
            if here:
                units, columns = (list(part) for part in zip(*here, strict=True))
                bend = slopes.on[:, units]
                if slopes.off is not None:
                    bend = bend - slopes.off[:, units]
                total[:, 1 + np.array(columns)] += bend
                size = size + 2 * slopes.size[:, units] @ self._ranges.upper[source][units]
        tiny = SUBNORMAL * 8 * terms * (1.0 + float(self.reach.sum()))
        self.forms[k] = total
        self.errors[k] = SAFETY * (error + rounding_factor(terms) * size) + tiny

    def _passed(self, source: int, on: FloatArray, off: FloatArray | None) -> FloatArray:
        """Return the weights on z of a level's units; the bend of the free ones is h's."""
        active = ~self._net.levels[source].kink | (self._ranges.lower[source] >= 0)
        passed: FloatArray = np.where(active, on, 0.0 if off is None else off)
        if source == self._group[0]:
            passed[:, self._group[1]] = 0.0
        return passed


def _closure(
    net: GroupedNetwork, group: Unit, wanted: dict[int, BoolArray]
) -> tuple[dict[int, BoolArray], dict[int, BoolArray]]:
    """Return the units that the wanted ones depend on, themselves included, and those read."""
    needed = {k: units.copy() for k, units in wanted.items()}
    read: dict[int, BoolArray] = {}
    for k in range(net.output_level - 1, -1, -1):
        if k not in needed or not needed[k].any():
            needed.pop(k, None)
            continue
        for source, slopes in net.levels[k].slopes.items():
            if source == SOURCE:
                continue
            used = (slopes.size[needed[k]] != 0).any(axis=0)
            if source == group[0]:
                used[group[1]] = False
            read[source] = read[source] | used if source in read else used
            needed[source] = needed[source] | used if source in needed else used
    return needed, read
