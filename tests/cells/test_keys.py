"""Parts told apart by hashes of signs: the quick way and the table of signs agree."""

from __future__ import annotations

import fuzz
import numpy as np
import pytest
from test_subdivide import subdivided

from jensen.cells.complex import TooDegenerateError
from jensen.cells.edges import EdgeCutter
from jensen.cells.keys import SignHash, check_counts, labels, with_owner
from jensen.domains.domain import Box, Everywhere


def test_a_hash_is_the_sum_of_its_terms():
    signs = np.random.default_rng(0).integers(-1, 2, (50, 300)).astype(np.int8)
    hashes = SignHash(300)
    terms = hashes.term(np.arange(300)) * signs.astype(np.uint64)
    assert (hashes.of(signs) == terms.sum(axis=1, dtype=np.uint64)).all()


def test_parts_of_different_owners_have_different_keys():
    owner = np.repeat(np.arange(1000), 2)
    keys = np.tile(np.array([7, 2**60 + 7], dtype=np.uint64), 1000)
    chosen, label = labels(with_owner(owner, keys))
    assert len(chosen) == 2000
    assert (chosen[label] == np.arange(2000)).all()


def test_a_part_too_few_is_found():
    # one face cut by two lines that cross has four parts, another one cut by none is whole
    lines, points = np.array([0, 0]), np.array([0])
    check_counts(np.array([0, 0, 0, 0, 1]), lines, points)
    with pytest.raises(TooDegenerateError):
        check_counts(np.array([0, 0, 0, 1]), lines, points)


@pytest.mark.parametrize("domain", [Box(-2, 2), Everywhere()])
def test_hashes_along_edges_and_tables_of_signs_find_the_same_cells(domain, monkeypatch):
    networks = [network for k in range(40) if (network := fuzz.tiny_network(k)[1]).input_size == 2]

    def found() -> list[set[bytes]]:
        divisions = [subdivided(network, domain) for network in networks]
        return [{bytes(row) for row in d.cells.face_signs} for d in divisions]

    quick = found()
    monkeypatch.setattr(EdgeCutter, "_begin", without_keys)
    assert quick == found()


def without_keys(self: EdgeCutter, level: int, *, first: bool, known: bool) -> None:
    if first:
        self._shares = []
    self._keys = None
