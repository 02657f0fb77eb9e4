"""Networks of two levels in the plane, and linear forms along lines, many networks at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jensen.prover.walks.straight_pieces import OUTWARD
from jensen.types import BoolArray, FloatArray, IndexArray

SMALLEST, LARGEST = 1e-90, 1e90  # sizes whose products neither under- nor overflow here


@dataclass(frozen=True, eq=False)
class TwoLevels:
    """Networks of two inputs and two dense levels, of one architecture.

    Attributes
    ----------
    normals, offsets : arrays (networks, first, 2), (networks, first)
    weights, bias : arrays (networks, second, first), (networks, second)
    last : array (networks, second)
        What the output reads of the second level.
    direct : array (networks, first) or None
        What it reads of the first.
    skips : array (networks, second, 2) or None
        What the second level reads of the inputs.
    """

    normals: FloatArray
    offsets: FloatArray
    weights: FloatArray
    bias: FloatArray
    last: FloatArray
    direct: FloatArray | None = None
    skips: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.normals)

    @property
    def widest(self) -> int:
        """The larger number of neurons."""
        return max(int(self.offsets.shape[1]), int(self.bias.shape[1]))

    def take(self, numbers: IndexArray | slice) -> TwoLevels:
        """Return some of the networks."""
        return TwoLevels(
            self.normals[numbers],
            self.offsets[numbers],
            self.weights[numbers],
            self.bias[numbers],
            self.last[numbers],
            None if self.direct is None else self.direct[numbers],
            None if self.skips is None else self.skips[numbers],
        )

    def usable(self) -> BoolArray:
        """Return the networks of which no product of weights comes near to under- or overflow."""
        parts = [self.normals, self.offsets, self.weights, self.bias, self.last]
        parts += [part for part in (self.direct, self.skips) if part is not None]
        count = len(self)
        numbers = np.concatenate([part.reshape(count, -1) for part in parts], axis=1)
        found: BoolArray = np.all(in_range(numbers), axis=1)
        return found


@dataclass(frozen=True, eq=False)
class Forms:
    """Values of linear forms at ``s`` along each line: ``at + s along``, up to ``error``.

    Attributes
    ----------
    at, along : arrays (networks, lines, forms)
    error, drift : arrays (networks, lines, forms)
        The value is exact up to ``error + abs(s) drift``, the slope up to ``drift``.
    """

    at: FloatArray
    along: FloatArray
    error: FloatArray
    drift: FloatArray

    def part(self, forms: slice) -> Forms:
        """Return some of the forms."""
        return Forms(*(side[:, :, forms] for side in self._sides))

    def of(self, lines: BoolArray) -> Forms:
        """Return the forms along some of the lines of every network."""
        return Forms(*(side[:, lines] for side in self._sides))

    @property
    def _sides(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        return self.at, self.along, self.error, self.drift

    def values(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return values at places (networks, lines, places), and their errors, forms behind."""
        s = places[..., None]
        value = self.at[:, :, None] + s * self.along[:, :, None]
        return value, self.error[:, :, None] + np.abs(s) * self.drift[:, :, None]

    def negative(self) -> tuple[FloatArray, FloatArray]:
        """Return between which places no form is certainly positive, erring outward."""
        room = self.error - self.at
        slope = np.abs(self.along) - np.copysign(self.drift, room)
        place = room / slope
        place += OUTWARD * np.abs(place)
        sure = np.abs(self.along) > self.drift
        high = np.where(sure & (self.along > 0), place, np.inf).min(axis=2, initial=np.inf)
        low = np.where(sure & (self.along < 0), -place, -np.inf).max(axis=2, initial=-np.inf)
        return low, high


def in_range(values: FloatArray) -> BoolArray:
    """Return the numbers whose products neither under- nor overflow here."""
    sizes = np.abs(values)
    found: BoolArray = ((sizes >= SMALLEST) & (sizes <= LARGEST)) | (sizes == 0)
    return found
