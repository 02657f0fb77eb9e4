"""Sets as bits of words are sets."""

from __future__ import annotations

import numpy as np
import pytest

from jensen.cells.bit_sets import bit_sets, members, one_each, sizes


@pytest.mark.parametrize("count", [1, 63, 64, 65, 128, 200])
def test_they_have_the_members_they_were_given(count: int):
    told = np.random.default_rng(count).random((9, count)) < 0.3
    told[0], told[1] = False, True
    sets = bit_sets(told)
    assert sets.shape == (9, -(-count // 64))
    assert np.array_equal(members(sets, count), told)
    assert np.array_equal(sizes(sets), told.sum(axis=1))
    assert np.array_equal(members(sets, min(count, 7)), told[:, :7])
    assert np.array_equal(members(sets & sets[::-1], count), told & told[::-1])


@pytest.mark.parametrize("words", [1, 2, 4])
def test_sets_of_one_number(words: int):
    numbers = np.arange(64 * words)
    assert np.array_equal(
        members(one_each(numbers, words), 64 * words), np.eye(64 * words, dtype=bool)
    )


def test_no_sets_are_no_sets():
    empty = bit_sets(np.empty((0, 70), dtype=bool))
    assert sizes(empty).shape == (0,)
    assert members(empty, 70).shape == (0, 70)
