"""Pairs of units of which one is on wherever the other is, in the checker's terms.

Where zeta_k - c zeta_j, c > 0, is a sum of positive multiples of max(zeta_h, 0) and of a constant
that is positive, j is on nowhere where k is off. Multiples of the rows `sign` of j, k, and of
the h that are fixed on, say so (docs/FORMAT.md, `empty`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from jensen.certificate.bounded_network import BoundedNetwork
from jensen.certificate.checker import States, text_of, total_of
from jensen.certificate.float_units import quotient
from jensen.types import FloatArray

NEAR = 1 + 1e-12  # factors that doubles cannot tell apart
SIMPLE = 1024  # denominators of factors, where there is room


class UnitPairs:
    """The pairs of one network: of units that bend, and are made of positive parts and constants.

    Parameters
    ----------
    net : BoundedNetwork
    levels : sequence of int
        Of all units; pairs are of one level.
    """

    def __init__(self, net: BoundedNetwork, levels: Sequence[int]) -> None:
        self._net, self._levels = net, levels
        last = 1 if net.faces else 0  # of the keys of constants
        self._alike: dict[int, list[int]] = {}
        for k in sorted(net.kinks):
            if max(net.units[k].form, default=1) <= last:
                self._alike.setdefault(levels[k], []).append(k)
        self.on_with = cache(self._on_with)
        self._matrix = cache(self._rows)

    def _rows(self, level: int) -> FloatArray:
        """Return the rows of the units of a level, rounded, up to positive factors."""
        units = self._alike[level]
        forms = [self._net.units[k].form for k in units]
        keys = sorted({key for form in forms for key in form})
        place = {key: i for i, key in enumerate(keys)}
        found = np.zeros((len(units), len(keys)))
        for row, form in zip(found, forms, strict=True):
            scale = 1 << max(map(int.bit_length, form.values()), default=0)
            for key, value in form.items():
                row[place[key]] = quotient(value, scale)
        return found

    def _on_with(self, unit: int) -> dict[int, Fraction]:
        """Return the units that are on wherever this one is, with the factors of this one."""
        units = self._alike.get(self._levels[unit], ())
        if unit not in units:
            return {}
        rows = self._matrix(self._levels[unit])
        own = rows[units.index(unit)]
        up, down = own > 0, own < 0
        with np.errstate(all="ignore"):
            most = np.min(rows[:, up] / own[up], axis=1, initial=np.inf)
            least = np.max(rows[:, down] / own[down], axis=1, initial=0.0)
        near = (rows[:, own == 0] >= 0).all(axis=1) & (most > 0) & (least <= most * NEAR)
        found = {}
        for i in np.flatnonzero(near).tolist():
            factor = self._factor(unit, units[i]) if units[i] != unit else None
            if factor is not None:
                found[units[i]] = factor
        return found

    def _factor(self, unit: int, other: int) -> Fraction | None:
        """Return c > 0 so that ``other - c unit`` has no negative coefficient, if there is one."""
        own, theirs = self._net.units[unit].form, self._net.units[other].form
        ratios = [(Fraction(theirs.get(key, 0), value), value > 0) for key, value in own.items()]
        least = max((r for r, up in ratios if not up), default=Fraction(0))
        most = min((r for r, up in ratios if up), default=2 * max(least, Fraction(1)))
        least = max(least, Fraction(0))
        middle = (least + most) / 2
        short = middle.limit_denominator(SIMPLE)
        factor = short if least < short < most else middle
        return factor if least <= factor <= most and factor > 0 else None

    def contradiction(self, unit: int, other: int, fixed: States) -> list[Any]:
        """Return multipliers for a leaf `empty` where a unit is on and one that is on with it off.

        Whether they do is for the rule to say.
        """
        c, lead = self.on_with(unit)[other], self._net.lead
        forms = [self._net.units[k].form for k in (other, unit)]
        more = total_of([c.denominator, -c.numerator], forms)
        entries = [["sign", *lead(unit), text_of(c.numerator)]]
        entries.append(["sign", *lead(other), text_of(c.denominator)])
        for key, value in more.items():
            if key < 0 < value and fixed.get(-key, False):
                entries.append(["sign", *lead(-key), text_of(value)])
        return entries
