"""What regions are made of: cells, facets and edges, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar, overload

from jensen.types import BoolArray, FloatArray, Neurons

Point = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Cell:
    """A full-dimensional region on which f is affine.

    Attributes
    ----------
    index : int
    pattern : mapping from block name to bool array (size,)
        Which neurons are on; a neuron that is 0 throughout counts as off.
    slope : array (inputs,)
    offset : float
        ``f(x) = slope @ x + offset``, rounded; ``exact_piece`` of the regions is exact.
    vertices : tuple of int
        In the plane in the order around the cell; those at infinity are directions.
    """

    index: int
    pattern: Mapping[str, BoolArray]
    slope: FloatArray
    offset: float
    vertices: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Facet:
    """A common facet of two cells: a point between intervals, an edge in the plane, a polygon.

    Attributes
    ----------
    index : int
    vertices : tuple of int
        In the order around a polygon.
    cells : (int, int)
    neurons : tuple of (block name, index)
        Those that change sign across it.
    jump : float
        How much the slope of f rises across it, per unit of length: f bends down where it is
        negative. Rounded, but for its sign, which is exact.
    """

    index: int
    vertices: tuple[int, ...]
    cells: tuple[int, int]
    neurons: Neurons
    jump: float


@dataclass(frozen=True, eq=False)
class Edge:
    """An edge of cells: in the plane a facet, or a part of the domain's boundary (one cell)."""

    vertices: tuple[int, ...]
    cells: tuple[int, ...]


Item = TypeVar("Item")


class Listed(Sequence[Item]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(self._count)[index]]
        return self._make(range(self._count)[index])

    def __iter__(self) -> Iterator[Item]:
        return map(self._make, range(self._count))
