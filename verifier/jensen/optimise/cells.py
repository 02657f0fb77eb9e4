"""All affine pieces that meet at a point: the gradients that span the subdifferential there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from jensen.arithmetic.exact import ExactVector
from jensen.arithmetic.rational import rational
from jensen.domains.hull import strict_point
from jensen.errors import OptionError
from jensen.optimise.ground import Ground, Vector, dot
from jensen.optimise.pieces import Pattern, Pieces
from jensen.types import BoolArray

MOST = 4096  # regions around one point


def gradients_around(
    pieces: Pieces, ground: Ground, point: Sequence[Fraction]
) -> list[tuple[Fraction, ...]]:
    """Return the gradients of all regions of the domain that touch a point of it.

    Where f is convex their convex hull is the subdifferential of f at inner points.

    Raises
    ------
    OptionError
        If more than ``MOST`` regions meet there.
    """
    found: dict[tuple[Fraction, ...], None] = {}
    for count, pattern in enumerate(_Regions(pieces, ground, point)):
        if count >= MOST:
            raise OptionError(f"more than {MOST} regions meet at the point: take one subgradient")
        found.setdefault(pieces.affine(pattern)[0])
    return list(found)


class _Regions:
    """The regions around a point, one sign after the other.

    Along a direction d, neurons that are away from 0 keep their signs and those at 0 get that of
    their slope, a linear form of d on each region: a hyperplane arrangement, layer by layer.
    """

    def __init__(self, pieces: Pieces, ground: Ground, point: Sequence[Fraction]) -> None:
        self._pieces, self._point = pieces, point
        self._hull = ground.directions
        self._open: tuple[tuple[str, int], list[Any]] | None = None
        self._tangent = [list(row) for row in _active_rows(ground, point, self._hull)]

    def __iter__(self) -> Iterator[Pattern]:
        if not self._hull:  # a single point
            yield self._pieces.around(self._point, [])
            return
        yield from self._below({}, self._tangent)

    def _below(
        self, known: dict[tuple[str, int], bool], rows: list[list[Any]]
    ) -> Iterator[Pattern]:
        """Decide the first open sign both ways, where directions are left on either side."""
        open_sign, pattern = self._walk(known)
        if open_sign is None:
            yield pattern
            return
        neuron, form = open_sign
        for on in (True, False):
            row = [-v for v in form] if on else form
            more = [*rows, row]
            if strict_point(np.array(more, dtype=object)).point is not None:
                yield from self._below(known | {neuron: on}, more)

    def _walk(
        self, known: dict[tuple[str, int], bool]
    ) -> tuple[tuple[tuple[str, int], list[Any]] | None, Pattern]:
        """Return the first neuron at 0 whose sign is open, with its slope; or the pattern."""
        pattern: Pattern = {}

        def decide(name: str, terms: Sequence[ExactVector]) -> BoolArray | None:
            on = terms[0].positive()
            for i in np.flatnonzero([v == 0 for v in terms[0].integers]):
                form = [flint.fmpq(int(t.integers[i]), t.denominator) for t in terms[1:]]
                if (name, int(i)) in known:
                    on[i] = known[name, int(i)]
                elif any(v != 0 for v in form):
                    self._open = ((name, int(i)), form)
                    return None
            return on

        complete = self._pieces.walk(self._point, self._hull, decide, pattern)
        return (None if complete else self._open), pattern


def _active_rows(
    ground: Ground, point: Sequence[Fraction], hull: Sequence[Vector]
) -> Iterator[list[Any]]:
    """Yield the rows that hold with equality at a point, as forms of the hull's directions."""
    for row, limit in zip(ground.A.tolist(), ground.b.tolist(), strict=True):
        if dot(row, point) == Fraction(limit):
            form = [rational(dot(row, direction)) for direction in hull]
            if any(v != 0 for v in form):
                yield form
    if len(ground.b):
        return
    sides = zip(point, ground.lower.tolist(), ground.upper.tolist(), strict=True)
    for i, (value, low, high) in enumerate(sides):
        for side, sign in ((low, -1), (high, 1)):
            form = [rational(sign * direction[i]) for direction in hull]
            if np.isfinite(side) and value == Fraction(side) and any(v != 0 for v in form):
                yield form
