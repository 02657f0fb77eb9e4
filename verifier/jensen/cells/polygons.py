"""What the units of a level cut out of cells: polygons, and the lines where two of them meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.types import BoolArray, IndexArray


@dataclass(eq=False)
class Polygons:
    """What units cut out of cells, before the other units cut it.

    Attributes
    ----------
    cell : int array (polygons,)
    unit : int array (polygons,)
        A unit that vanishes on it.
    vanish : bool array (polygons, units)
        The units that vanish on it: several where kinks coincide.
    start, end : int arrays (sides,)
        Vertices of the sides: segments across faces, then old edges.
    at_side, at_polygon : int arrays (incidences,)
    """

    cell: IndexArray
    unit: IndexArray
    vanish: BoolArray
    start: IndexArray
    end: IndexArray
    at_side: IndexArray
    at_polygon: IndexArray

    def corners(self) -> tuple[IndexArray, IndexArray]:
        """Return (polygon, vertex) of the ends of all sides."""
        polygon = np.concatenate([self.at_polygon, self.at_polygon])
        return polygon, np.concatenate([self.start[self.at_side], self.end[self.at_side]])


@dataclass(eq=False)
class Lines:
    """Where two units or more vanish in a cell: lines across polygons.

    ``own`` holds the two units; None if more vanish on some line.
    """

    start: IndexArray
    end: IndexArray
    cell: IndexArray
    at_line: IndexArray
    at_polygon: IndexArray
    own: IndexArray | None
