"""Numbers that tell the parts of a complex apart: by what they are parts of, and by signs.

A row of signs is hashed to the sum of random weights times its signs. Where one unit changes its
sign, one term changes, so that the hashes of all parts of an edge follow from that of its
start, and no table of signs is read. Different parts with one hash would be a part too few, and
parts are counted (:func:`check_counts`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jensen.cells.complex import SignArray, TooDegenerateError
from jensen.types import IndexArray

Keys = NDArray[np.uint64]

CHUNK = 1 << 13  # rows of signs that are turned into doubles at a time


class SignHash:
    """Hashes of rows of signs of a fixed number of units.

    Parameters
    ----------
    units : int
    """

    def __init__(self, units: int) -> None:
        rng = np.random.default_rng([20250103, units])
        # integers below 2**53 in any sum of them: exact in whatever order doubles are added
        most = 2 ** (52 - max(1, units).bit_length())
        self._halves = rng.integers(1, most, (units, 2))
        self._weights = _mixed(self._halves)

    def of(self, signs: SignArray) -> Keys:
        """Return the hash of each row of signs."""
        halves = self._halves.astype(np.float64)
        found = np.empty((len(signs), 2), dtype=np.int64)
        for first in range(0, len(signs), CHUNK):
            part = slice(first, first + CHUNK)
            found[part] = signs[part].astype(np.float64) @ halves
        return _mixed(found)

    def term(self, unit: IndexArray) -> Keys:
        """Return what a sign 1 of units adds to a hash."""
        term: Keys = self._weights[unit]
        return term


def _mixed(halves: NDArray[np.int64]) -> Keys:
    """Return 64 bits of two sums, and of sums of them the sum."""
    low, high = halves.astype(np.uint64).T
    mixed: Keys = low + high * np.uint64(0xD1B54A32D192ED03)
    return mixed


@lru_cache(maxsize=64)
def sign_hash(units: int) -> SignHash:
    """Return the one hash of so many units."""
    return SignHash(units)


def with_owner(owner: IndexArray, keys: Keys) -> Keys:
    """Return keys of parts: the number of the owner in the first bits, of the hash what is left."""
    bits = np.uint64(int(owner.max(initial=0)).bit_length())
    mixed = keys * np.uint64(0x9E3779B97F4A7C15)
    if not bits:
        return mixed
    return (owner.astype(np.uint64) << (np.uint64(64) - bits)) | (mixed >> bits)


def labels(key: NDArray[np.generic]) -> tuple[IndexArray, IndexArray]:
    """Return one position per different key, in their order, and the number of each key."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    opens = np.ones(len(key), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    label = np.empty(len(key), dtype=np.intp)
    label[order] = np.cumsum(opens) - 1
    return order[opens], label


def different(key: IndexArray) -> IndexArray:
    """Return the different numbers among some, in their order."""
    ordered = np.sort(key)
    opens = np.ones(len(key), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    return ordered[opens]


def different_pairs(first: IndexArray, second: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Return the different pairs of numbers >= 0, in their order; both may be counts of parts."""
    size = 1 + int(second.max(initial=0))
    one, other = np.divmod(different(first * size + second), size)
    return one, other


def check_counts(owner: IndexArray, *cut: IndexArray) -> None:
    """Check that owners have as many parts as hyperplanes in general position cut them into.

    A convex set has one part more than there are flats of the hyperplanes in its interior, of all
    dimensions: in the plane lines and their common points. Equal keys of different parts would
    be parts too few.

    Parameters
    ----------
    owner : int array (parts,)
    *cut : int arrays (flats,)
        The owners of hyperplanes, of their intersections, and so on.
    """
    count = 1 + max((int(part.max(initial=-1)) for part in (owner, *cut)), default=-1)
    flats = sum(np.bincount(part, minlength=count) for part in cut)
    if not np.array_equal(np.bincount(owner, minlength=count), 1 + flats):
        raise TooDegenerateError("equal keys of different parts")


__all__ = ["Keys", "SignHash", "check_counts", "different", "different_pairs"]
__all__ += ["labels", "sign_hash", "with_owner"]
