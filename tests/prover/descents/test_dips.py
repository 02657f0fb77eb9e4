"""Descents around dips: what no random start meets is found from nearby."""

from __future__ import annotations

import numpy as np
from grouped import grouped
from test_descent import two_dips

from jensen.domains.domain import Box
from jensen.prover.descents.descent import NEAR, Seed
from jensen.prover.descents.dips import DIPS, Dips
from jensen.prover.descents.pieces import pieces_of

KINK = (0, 0)  # of the network with two dips
NARROW = 1e-3  # half of the width of the dip where J < 0


def dips_of_two() -> Dips:
    net, _ = grouped(two_dips(wide=0.5, narrow=NARROW), Box(-1, 1))
    return Dips(net, pieces_of(net.working_set), seed=0)


def near(dips: Dips, seeds: list[Seed], count: int) -> list[np.ndarray]:
    rounds = dips.near([KINK], seeds, count)
    return [point for candidates in rounds for _, point in candidates]


def test_a_narrow_dip_is_found_from_a_solution_nearby():
    found = near(dips_of_two(), [Seed(KINK, 0, np.array([0.0, 0.62, 0.1, 0.2]))] * 16, 512)
    assert found
    assert abs(found[0][0]) <= 1e-6
    assert abs(found[0][1] - 0.6) <= NARROW


def test_dips_are_where_earlier_descents_ended():
    dips = dips_of_two()
    assert not list(dips.near([KINK], [], 64))  # nothing to begin with
    assert not list(dips.fine([KINK], 4))
    assert sum(1 for _ in dips.near([KINK], [], 64)) > 0


def test_no_more_descents_than_asked_for_are_begun(monkeypatch):
    dips, begun = dips_of_two(), []
    list(dips.wide([KINK], 4 * DIPS))
    monkeypatch.setattr(
        "jensen.prover.descents.descent.Descent.around",
        lambda self, seeds, steps, schedule=NEAR: begun.append(len(seeds)) or iter(()),
    )
    list(dips.near([KINK], [Seed(KINK, 0, np.zeros(4))] * 100, 70))
    assert begun == [70]


def test_every_other_round_aims(monkeypatch):
    dips, aims = dips_of_two(), []
    list(dips.wide([KINK], 4))
    monkeypatch.setattr(
        "jensen.prover.descents.descent.Descent.around",
        lambda self, seeds, steps, schedule=NEAR: aims.append(schedule.aims) or iter(()),
    )
    for _ in range(3):
        list(dips.near([KINK], [], 16))
    assert aims == [True, False, True]


def test_misses_of_the_last_round_are_told_once_the_nearest_first():
    dips = dips_of_two()
    assert not list(dips.misses(3))
    list(dips.wide([KINK], 8))
    near(dips, [], 64)
    misses = list(dips.misses(100))
    assert misses
    assert all(miss.group == KINK for miss in misses)
    assert [miss.missed for miss in misses] == sorted(miss.missed for miss in misses)
    assert not list(dips.misses(100))


def test_a_glance_finds_a_wide_dip_and_changes_nothing_that_follows():
    net, _ = grouped(two_dips(wide=0.05, narrow=0.4), Box(-1, 1))
    dips, others = (Dips(net, pieces_of(net.working_set), seed=0) for _ in range(2))
    assert {group for group, _ in dips.glance([KINK])} == {KINK}
    assert not list(dips.near([KINK], [], 64))
    ends, alike = list(dips.wide([KINK], 4)), list(others.wide([KINK], 4))
    assert ends
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(ends, alike, strict=True))
