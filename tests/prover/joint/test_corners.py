"""Bounds at corners: kinks said to be missed have no point, and none is left without a reason."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from fuzz import with_few_falling

from jensen.domains.domain import Box, Everywhere
from jensen.groups.prepared import prepare
from jensen.network.relu_network import ReluNetwork
from jensen.prover.descents.pieces import Piece
from jensen.prover.joint import corners as joint_corners
from jensen.prover.joint import nodes as joint_nodes
from jensen.prover.joint.corners import Corners, CornerState, corners_of
from jensen.prover.joint.kink_bounds import ranges_of
from jensen.prover.joint.search import JointSearch, piece_bounds
from jensen.prover.joint_engine import joint_boxes
from jensen.prover.trees.tree import SearchState, TreeLimits
from jensen_encodings.deadline import NEVER
from jensen_encodings.lp import LpSolver

LOW, HIGH = (-1.0, -0.5), (1.0, 2.0)


def forms_of(z: np.ndarray, rows: np.ndarray) -> SimpleNamespace:
    """z over 1, y and the h of units in front; doubles that are taken as exact."""
    units, dim = len(rows), rows.shape[1] - 1
    front = np.hstack([rows, np.zeros((units, units))])
    return SimpleNamespace(
        dim=dim,
        h={(0, u): dim + u for u in range(units)},
        forms={0: front, 1: z[None]},
        errors={0: np.zeros(units), 1: np.zeros(1)},
    )


def piece(low=LOW, high=HIGH) -> Piece:
    return Piece(np.array(low), np.array(high), np.empty((0, len(low))), np.empty(0))


def range_of(z: np.ndarray, rows: np.ndarray) -> tuple[Fraction, Fraction]:
    """The exact range of z on a box in the plane: its ends are where two lines meet."""
    form, units = [Fraction(v) for v in z], [[Fraction(v) for v in row] for row in rows]
    lines = units.copy()
    for i, (low, high) in enumerate(zip(LOW, HIGH, strict=True)):
        lines += [[-Fraction(side), Fraction(i == 0), Fraction(i == 1)] for side in (low, high)]
    found = []
    for (c, a, b), (f, d, e) in combinations(lines, 2):
        if a * e == b * d:
            continue
        y = ((b * f - c * e) / (a * e - b * d), (c * d - a * f) / (a * e - b * d))
        if all(low <= v <= high for v, low, high in zip(y, LOW, HIGH, strict=True)):
            h = [max(u[0] + u[1] * y[0] + u[2] * y[1], Fraction(0)) for u in units]
            value = form[0] + form[1] * y[0] + form[2] * y[1]
            found.append(
                value + sum((w * v for w, v in zip(form[3:], h, strict=True)), Fraction(0))
            )
    return min(found), max(found)


def searched(z: np.ndarray, rows: np.ndarray) -> Corners:
    search = corners_of(forms_of(z, rows), (1, 0), piece())
    assert search is not None
    for _ in range(5_000):
        if search.state is not CornerState.OPEN:
            return search
        search.step(NEVER)
    raise AssertionError("no end")


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("gap", [-0.05, -1e-13, 0.0, 1e-13, 0.05])
def test_a_kink_is_missed_only_if_z_has_one_sign_on_the_box(seed, gap):
    rng = np.random.default_rng(seed)
    units = int(rng.integers(1, 7))
    rows = rng.integers(-8, 9, (units, 3)) / 8
    z = np.concatenate([[0.0], rng.integers(-8, 9, 2 + units) / 8]) * rng.choice([1.0, 1e-8, 1e8])
    low, high = range_of(z, rows)
    scale = max(float(high - low), 1e-300)
    z[0] = gap * scale - float(high) if rng.random() < 0.5 else gap * scale - float(low)
    low, high = range_of(z, rows)
    search = searched(z, rows)
    if search.state is CornerState.MISSED:
        assert high < 0 or low > 0
    elif low != high:
        assert high >= -1e-6 * scale
        assert low <= 1e-6 * scale


@pytest.mark.parametrize("seed", range(20))
def test_points_above_have_the_other_sign_than_the_middle(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-8, 9, (5, 3)) / 8
    z = np.concatenate([[0.0], rng.integers(-8, 9, 7) / 8])
    search = searched(z, rows)
    if search.above:
        at = [joint_corners._value(z, rows, y) for y in (piece().middle, search.point)]
        assert at[0] * at[1] <= 0


def test_what_depends_on_several_levels_or_has_too_many_corners_is_left_alone():
    forms = forms_of(np.array([0.0, 1.0, 1.0, -1.0, 1.0]), np.ones((2, 3)))
    assert corners_of(forms, (1, 0), piece()) is not None
    forms.forms[0][1, 3] = 1.0
    assert corners_of(forms, (1, 0), piece()) is None
    many = 24
    forms = forms_of(np.ones(1 + many + 2), np.ones((2, 1 + many)))
    assert corners_of(forms, (1, 0), piece([-1.0] * many, [1.0] * many)) is None
    # coordinates that are fixed have no corners
    low = [-1.0] * 3 + [0.5] * (many - 3)
    assert corners_of(forms, (1, 0), piece(low, [1.0] * 3 + low[3:])) is not None


@pytest.mark.parametrize("domain", [Box(-1, 1), Everywhere()])
def test_searches_with_corners_say_what_they_say_without(domain, monkeypatch):
    begun = []
    for seed in range(30):
        net = ReluNetwork.from_layers(*with_few_falling(np.random.default_rng(seed), (3, 10, 8)))
        grouped = prepare(net, domain).grouped
        pieces = [piece_bounds(grouped, box, ranges_of(grouped)) for box in joint_boxes(grouped)]
        for group in grouped.groups():
            states = []
            for way in (corners_of, lambda *_: None):

                def counted(*args, way=way):
                    found = way(*args)
                    begun.append(found is not None)
                    return found

                monkeypatch.setattr(joint_nodes, "corners_of", counted)
                limits = TreeLimits(lambda: False)
                search = JointSearch(grouped, group, net, pieces, LpSolver(), limits, 0)
                states.append(search.run(2_000).state)
            assert states[0] == states[1] or SearchState.PAUSED in states
    assert any(begun)
