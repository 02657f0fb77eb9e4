"""Convolutions that are not written out: filters and windows in place of a matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from jensen.arithmetic.exact import Matrix
from jensen.arithmetic.intervals import SUBNORMAL, rounding_factor
from jensen.types import FloatArray, IndexArray, Interval


@dataclass(frozen=True, eq=False)
class Convolution:
    """The matrix of a convolution, channels first on both sides.

    Attributes
    ----------
    weight : array of shape (filters, channels / groups, kernel)
    windows : array of shape (outputs, kernel)
        Flat positions that each output covers; ``positions`` stands for padding.
    positions : int
        Number of spatial positions of the input.
    groups : int
    """

    weight: FloatArray
    windows: IndexArray
    positions: int
    groups: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        filters, channels, _ = self.weight.shape
        return filters * len(self.windows), self.groups * channels * self.positions

    @property
    def size(self) -> int:
        """Number of weights that are stored."""
        return int(self.weight.size)

    @property
    def work(self) -> int:
        """Number of products in one application."""
        filters, channels, _ = self.weight.shape
        covered = int(np.count_nonzero(self.windows < self.positions))
        return int(filters * channels * covered)

    @property
    def longest_row(self) -> int:
        """The most entries that a row of the matrix has."""
        return int(prod(self.weight.shape[1:]))

    def frozen(self) -> Convolution:
        """Return a copy whose arrays nobody can write to."""
        weight = np.array(self.weight, dtype=np.float64)
        windows = np.array(self.windows, dtype=np.int64)
        weight.flags.writeable = windows.flags.writeable = False
        return replace(self, weight=weight, windows=windows)

    def __abs__(self) -> Convolution:
        return replace(self, weight=np.abs(self.weight))

    def __matmul__(self, vector: Any) -> FloatArray:
        """Apply it to one vector of shape (columns,)."""
        filters, channels, kernel = self.weight.shape
        x = np.asarray(vector).reshape(self.groups * channels, self.positions)
        padded = np.concatenate([x, np.zeros((len(x), 1), x.dtype)], axis=1)
        per_group = filters // self.groups
        parts = []
        for group in range(self.groups):
            seen = padded[group * channels : (group + 1) * channels][:, self.windows.T]
            chosen = self.weight[group * per_group : (group + 1) * per_group]
            parts.append(chosen.reshape(per_group, -1) @ seen.reshape(channels * kernel, -1))
        result: FloatArray = np.concatenate(parts).ravel()
        return result

    def of_rows(self, values: FloatArray) -> FloatArray:
        """Apply it to every row: (n, columns) -> (n, rows)."""
        return np.stack([self @ row for row in values])

    def row(self, index: int) -> tuple[IndexArray, FloatArray]:
        """Return the columns and the entries of a row."""
        filters, channels, _ = self.weight.shape
        place, output = divmod(index, len(self.windows))
        first = (place // (filters // self.groups)) * channels
        inside = self.windows[output] < self.positions
        offsets = (first + np.arange(channels))[:, None] * self.positions
        columns = offsets + self.windows[output][inside][None, :]
        return columns.ravel(), self.weight[place][:, inside].ravel()

    def to_csr(self) -> sp.csr_array:
        """Return the matrix of all entries."""
        rows = [self.row(index) for index in range(self.shape[0])]
        starts = np.concatenate([[0], np.cumsum([len(columns) for columns, _ in rows])])
        columns, data = (np.concatenate(part) for part in zip(*rows, strict=True))
        return sp.csr_array((data, columns, starts), shape=self.shape)

    def enclose(self, lower: FloatArray, upper: FloatArray) -> Interval:
        """Return bounds of the products with all vectors between two finite ends.

        A computed sum of n products errs by at most ``gamma_n`` times the sum of magnitudes,
        whatever the order (:mod:`jensen.arithmetic.intervals`).
        """
        positive = replace(self, weight=np.maximum(self.weight, 0.0))
        negative = replace(self, weight=np.minimum(self.weight, 0.0))
        terms = self.longest_row + 4
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            ends = []
            for near, far, sign in ((lower, upper, -1.0), (upper, lower, 1.0)):
                value = positive @ near + negative @ far
                size = positive @ np.abs(near) - negative @ np.abs(far)
                touched = (abs(positive).ones() @ (near != 0)) + (negative.ones() @ (far != 0))
                error = rounding_factor(2 * terms) * size + 4 * touched * SUBNORMAL
                moved = np.where(touched > 0, np.nextafter(value + sign * error, sign * np.inf), 0)
                ends.append(np.where(np.isfinite(moved), moved, sign * np.inf))
        return ends[0], ends[1]

    def ones(self) -> Convolution:
        """Return where the weights are not zero, as 0 and 1."""
        return replace(self, weight=(self.weight != 0).astype(np.float64))


def row_of(weight: Matrix | Convolution, row: int) -> tuple[IndexArray, FloatArray]:
    """Return the columns and the entries of a row of any weight; entries may be 0."""
    if isinstance(weight, Convolution):
        return weight.row(row)
    if sp.issparse(weight):
        start, end = weight.indptr[row], weight.indptr[row + 1]
        return weight.indices[start:end], weight.data[start:end]
    columns = np.flatnonzero(weight[row])
    return columns, weight[row, columns]
