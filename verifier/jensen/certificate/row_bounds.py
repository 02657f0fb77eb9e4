"""Bounds of units that read the inputs alone, by the rows of a polyhedron in a box.

Over the box that a polyhedron lies in such a unit may reach many times as far as on the
polyhedron itself; most of all where an equation makes up for an input that is gone. One
program per side, each from the last basis, says which rows to add.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from jensen.certificate.checker import ONE, Form, Network, Node, text_of
from jensen.certificate.float_units import quotient
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
        self._ends = np.array(
            [
                [quotient(end, size) for end in ends]
                for ends, size in zip(ranges, self._size, strict=True)
            ]
        )
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

    def _side(self, form: Form, enough: float) -> list[Any] | None:
        """Return multipliers with which a form is at most so large."""
        top = self._largest(form)
        self._program.set_cost(-np.array(self._scaled(form, top)[1:]))
        found: FloatArray = self._program.solve().multipliers
        if not found.size or not np.isfinite(found).all():
            return None
        unit = Fraction(2) ** (int(np.frexp(found.max(initial=0.0))[1]) - BITS)
        entries = []
        for i, scale, y in zip(self._index, self._scale, found.tolist(), strict=True):
            whole = round(Fraction(y) / unit)
            if whole > 0:
                value = whole * unit * top / (scale * self._net.rows[i][1])
                entries.append(["domain", i, text_of(value)])
        total, factor = self._node.combine(entries, form)
        return entries if factor * self._node.largest(total) < enough else None
