"""Domains: what is accepted, what is refused and why, and exact membership."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from jensen.domains.domain import Box, Everywhere, Polyhedron, domain_from_json
from jensen.errors import DomainError, JensenError


def test_scalar_sides_hold_for_every_input():
    lower, upper = Box(-1, [1, 2, 3]).bounds(3)
    assert lower.tolist() == [-1, -1, -1]
    assert upper.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("lower", "upper", "reason"),
    [
        (1, 0, "lower > upper"),
        ([0, 2], [1, 1], "lower > upper at input 1"),
        (np.nan, 1, "NaN"),
        (0, [1, np.nan], "NaN"),
        (-np.inf, 1, "Everywhere"),
        (0, np.inf, "Everywhere"),
        ([0, 0], [1, 1, 1], "2 and 3 numbers"),
        ([[0, 0]], 1, "a vector is needed"),
        ("low", 1, "not numbers"),
    ],
)
def test_ill_formed_boxes_are_refused_with_the_reason(lower, upper, reason):
    with pytest.raises(DomainError, match=reason) as caught:
        Box(lower, upper)
    assert isinstance(caught.value, JensenError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_a_box_of_the_wrong_dimension_is_refused():
    with pytest.raises(DomainError, match="2 dimensions, the network 3 inputs"):
        Box([0, 0], [1, 1]).check(3)


@pytest.mark.parametrize("box", [Box(-1, 2), Box([0.0, 0.0], 0), Box([-1.0, -2.0], [3.0, 4.0])])
def test_who_changes_the_sides_of_a_box_changes_a_copy(box):
    before = [side.tolist() for side in box.box_sides(2)]
    for side in box.bounds(2):
        side[:] = 7.0
    assert [side.tolist() for side in box.box_sides(2)] == before
    assert not any(side.flags.writeable for side in box.box_sides(2))


def test_membership_is_exact():
    tenth = Box(0.1, 1)
    assert tenth.contains([Fraction(0.1)])
    assert not tenth.contains([Fraction(1, 10)])  # the double 0.1 is a little more
    half_plane = Polyhedron([[1.0, 1.0]], [0.0])
    assert half_plane.contains([Fraction(1), Fraction(-1)])
    assert not half_plane.contains([Fraction(1), Fraction(-1) + Fraction(1, 10**400)])
    assert Everywhere().contains([Fraction(10**400)])


def test_sides_of_zero_width_are_a_box():
    assert Box([0, 1], [1, 1]).contains([Fraction(0), Fraction(1)])


@pytest.mark.parametrize(
    ("A", "b", "reason"),
    [
        ([[1.0]], [1.0, 2.0], r"shape \(1, 1\), b \(2,\)"),
        ([1.0], [1.0], "needed are"),
        ([[np.nan]], [1.0], "NaN"),
        ([[1.0]], [np.inf], "infinite"),
    ],
)
def test_ill_formed_polyhedra_are_refused_with_the_reason(A, b, reason):
    with pytest.raises(DomainError, match=reason):
        Polyhedron(A, b)


def test_a_polyhedron_of_the_wrong_dimension_is_refused():
    with pytest.raises(DomainError, match="1 dimensions, the network 2 inputs"):
        Polyhedron([[1.0]], [1.0]).check(2)


def test_a_domain_does_not_share_its_arrays():
    lower = np.zeros(2)
    box = Box(lower, 1)
    lower[0] = 5
    assert box.bounds(2)[0].tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        box.lower[0] = 1


@pytest.mark.parametrize(
    "domain",
    [Box(-1, 1), Box([0, -2], [1, 0.1]), Polyhedron([[1.0, 2.0]], [3.0]), Everywhere()],
)
def test_a_domain_survives_json(domain):
    again = domain_from_json(json.loads(json.dumps(domain.to_json())))
    assert again.to_json() == domain.to_json()
    assert str(again) == str(domain)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "a table"),
        ({}, "supported are"),
        ({"A": [[1]], "b": [0]}, r"without a 'type', with keys \['A', 'b'\]: supported are box"),
        ({"type": "ball"}, "'ball'"),
        ({"type": "box", "lower": 0}, "needed are"),
        ({"type": "everywhere", "radius": 1}, "radius"),
    ],
)
def test_json_that_is_no_domain_is_refused(data, reason):
    with pytest.raises(DomainError, match=reason):
        domain_from_json(data)


def test_domains_of_the_same_numbers_are_equal():
    ones = Polyhedron([[1.0, 0.0]], [0.0])
    assert Box(-1, 1) == Box(-1.0, 1.0) != Box(-1, [1, 1])
    assert ones == Polyhedron([[1, -0.0]], [0]) != Polyhedron([[1, 0]], [1])
    assert Everywhere() == Everywhere() != Box(-1, 1)
    assert len({Box(0, 1), Box(-0.0, 1), ones, Polyhedron([[1, -0.0]], [-0.0])}) == 2
