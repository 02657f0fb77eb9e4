"""Sets of a few hundred small numbers each, as bits of words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jensen.types import BoolArray, IndexArray

BitSets = NDArray[np.uint64]  # (sets, words)
WORD = 64


def words_for(count: int) -> int:
    """Return how many words a set of the numbers below ``count`` takes."""
    return max(1, -(-count // WORD))


def bit_sets(members: BoolArray) -> BitSets:
    """Return the sets whose members are told: bool array (sets, numbers)."""
    words = words_for(members.shape[1])
    padded = np.zeros((len(members), words * WORD), dtype=bool)
    padded[:, : members.shape[1]] = members
    packed = np.packbits(padded, axis=1, bitorder="little")
    found: BitSets = packed.view("<u8").astype(np.uint64)
    return found


def one_each(numbers: IndexArray, words: int) -> BitSets:
    """Return sets of one number each."""
    found = np.zeros((len(numbers), words), dtype=np.uint64)
    numbers = np.asarray(numbers, dtype=np.uint64)
    bit = np.uint64(1) << (numbers % np.uint64(WORD))
    found[np.arange(len(numbers)), (numbers // np.uint64(WORD)).astype(np.intp)] = bit
    return found


def members(sets: BitSets, count: int) -> BoolArray:
    """Return which numbers below ``count`` are members: (sets, numbers)."""
    packed = np.ascontiguousarray(sets, dtype="<u8").view(np.uint8)
    found: BoolArray = np.unpackbits(packed, axis=1, count=count, bitorder="little").view(bool)
    return found


def sizes(sets: BitSets) -> IndexArray:
    """Return how many members each set has."""
    count = np.bitwise_count(sets)
    if sets.shape[1] == 1:
        return count[:, 0]
    found: IndexArray = count.sum(axis=1, dtype=np.intp)
    return found
