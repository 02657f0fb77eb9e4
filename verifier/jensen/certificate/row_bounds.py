"""Bounds of units by the rows of a polyhedron in a box: of those that read the inputs alone.

Over the box that a polyhedron lies in such a unit may reach many times as far as on the
polyhedron itself; most of all where an equation makes up for an input that is gone. One
program per side, each from the last basis, says which rows to add.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import ONE, Form, Network, Node, text_of
from jensen.certificate.float_units import quotient
from jensen.certificate.line_bound import line_multipliers
from jensen.types import FloatArray
from jensen_encodings.bounded import BoundedProgram

BITS = 24  # of multipliers
GAIN = 0.05  # of a unit's range: bounds that are not better by that cost more than they help


class RowBounds:
    """Multipliers of rows that bound affine units of one network.

    Parameters
    ----------
    net : Network
        With its inputs and rows.
    """

    def __init__(self, net: Network) -> None:
        self._net, self._node = net, Node(net, ONE, {})
        ranges = net.ranges[1 : net.inputs]
        self._size = [1 << max(-low, high).bit_length() for low, high in ranges]
        ends = [
            quotient(end, size)
            for both, size in zip(ranges, self._size, strict=True)
            for end in both
        ]
        self._ends = np.array(ends).reshape(-1, 2)
        self._index = [i for i, (form, _) in enumerate(net.rows) if form.keys() - {ONE}]
        #: by how much the rows are divided
        self._scale = [self._largest(net.rows[i][0]) for i in self._index]
        rows = [
            self._scaled(net.rows[i][0], s) for i, s in zip(self._index, self._scale, strict=True)
        ]
        matrix = np.array([row[1:] for row in rows]).reshape(len(rows), len(ranges))
        limits = np.array([-row[0] for row in rows])
        self._program = BoundedProgram(
            np.zeros(len(ranges)), matrix, limits, np.full(len(rows), np.inf), *self._ends.T
        )

    def _largest(self, form: Form) -> int:
        sizes = (abs(v) * (self._size[k - 1] if k else 1) for k, v in form.items())
        return 1 << max(sizes, default=1).bit_length()

    def _scaled(self, form: Form, scale: int) -> list[float]:
        """Return the constant and the coefficients of a form, of inputs divided by their sizes."""
        return [
            quotient(form.get(k, 0) * (self._size[k - 1] if k else 1), scale)
            for k in range(self._net.inputs)
        ]

    def sides(self, zeta: Form) -> list[list[Any] | None]:
        """Return multipliers for the lower and for the upper bound, None where they gain little."""
        forms = [{key: sign * value for key, value in zeta.items()} for sign in (-1, 1)]
        most = [self._node.largest(form) for form in forms]
        if not self._index or not min(most) > 0:
            return [None, None]
        return [
            self._side(form, end - GAIN * sum(most)) for form, end in zip(forms, most, strict=True)
        ]

    def settling(self, lead: Callable[[int], list[Any]], form: Form) -> list[Any] | None:
        """Return multipliers with which a form is at most 0, by lines and then rows; or None.

        Parameters
        ----------
        lead : callable
            The words that name a unit.
        form : dict
            Of units that are there.
        """
        entries = line_multipliers(self._net, lead, form)
        total, factor = self._node.combine(entries, form)
        if self._node.largest(total) > 0:
            entries += [[*words, text_of(factor * y)] for *words, y in self._rows_for(total)]
            total, _ = self._node.combine(entries, form)
        return entries if self._node.largest(total) <= 0 else None

    def _side(self, form: Form, enough: float) -> list[Any] | None:
        """Return multipliers with which a form is less than so large."""
        entries = [[*words, text_of(y)] for *words, y in self._rows_for(form)]
        total, factor = self._node.combine(entries, form)
        return entries if factor * self._node.largest(total) < enough else None

    def _rows_for(self, form: Form) -> list[list[Any]]:
        """Return rows and multipliers that bring a form of inputs down most where it is largest."""
        top = self._largest({k: v for k, v in form.items() if 0 <= k < self._net.inputs})
        self._program.set_cost(-np.array(self._scaled(form, top)[1:]))
        found: FloatArray = self._program.solve().multipliers
        if not found.size or not np.isfinite(found).all():
            return []
        unit = Fraction(2) ** (int(np.frexp(found.max(initial=0.0))[1]) - BITS)
        entries: list[list[Any]] = []
        for i, scale, y in zip(self._index, self._scale, found.tolist(), strict=True):
            whole = round(Fraction(y) / unit)
            if whole > 0:
                value = whole * unit * top / (scale * self._net.rows[i][1])
                entries.append(["domain", i, value])
        return entries
