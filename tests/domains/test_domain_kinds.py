"""A further kind of domain is one class: rows and words; the rest follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
from certificate_tools import check
from midpoint_oracle import tiny_network

import jensen
from jensen.domains.domain import KINDS, Box, Domain, Everywhere, Polyhedron, domain_from_json
from jensen.verdicts.verdict import Status


@dataclass(frozen=True)
class Diamond(Domain):
    """The points with ``|x_1| + ... + |x_n| <= radius``."""

    radius: float

    kind: ClassVar[str] = "diamond"
    fields: ClassVar[tuple[str, ...]] = ("radius",)

    def check(self, inputs: int) -> None:
        """Fits every network."""

    def inequalities(self, inputs):
        A = np.array(list(product((-1.0, 1.0), repeat=inputs)))
        return A, np.full(len(A), self.radius)

    def __str__(self) -> str:
        return f"diamond of radius {self.radius:g}"


@pytest.mark.parametrize("seed", range(12))
def test_a_new_kind_gives_the_verdicts_of_its_polyhedron(seed):
    network = tiny_network(seed, 2)
    diamond = Diamond(1.5)
    there = jensen.verify(network, diamond, seed=seed)
    same = jensen.verify(network, Polyhedron(*diamond.inequalities(2)), seed=seed)
    assert there.status is same.status is not Status.UNKNOWN
    assert str(diamond) in there.summary


@pytest.mark.parametrize("seed", range(4))
def test_a_new_kind_has_the_regions_of_its_polyhedron(seed):
    network = tiny_network(seed, 2)
    diamond = Diamond(1.5)
    there = jensen.regions(network, diamond)
    same = jensen.regions(network, Polyhedron(*diamond.inequalities(2)))
    assert np.array_equal(there.vertices, same.vertices)
    assert [facet.jump for facet in there.facets] == [facet.jump for facet in same.facets]


def test_kinds_know_how_many_inputs_they_fit():
    assert Everywhere().dimension is Box(-1, 1).dimension is Diamond(1.0).dimension is None
    assert Box(-1, [1, 2]).dimension == Box([-1, 0], 1).dimension == 2
    assert Polyhedron([[1.0, 2.0, 0.0]], [3.0]).dimension == 3


def test_a_new_kind_is_certified_as_its_polyhedron(tmp_path):
    network = jensen.ReluNetwork.from_layers([[[1.0, 2.0]], [[1.0]]], [[0.5], [0.0]])
    verdict = jensen.verify(network, Diamond(1.0), certificate=True)
    assert check(network, verdict.certificate, tmp_path) == 0
    assert verdict.certificate.lines[0]["domain"]["type"] == "polyhedron"


def test_a_new_kind_knows_its_points_and_is_written_and_read():
    diamond = Diamond(1.0)
    assert diamond.contains([Fraction(1, 3), Fraction(-2, 3)])
    assert not diamond.contains([Fraction(1, 3), Fraction(-2, 3) - Fraction(1, 10**30)])
    assert Diamond.from_json(diamond.to_json()) == diamond
    assert diamond.box_sides(2) is None


@pytest.mark.parametrize(
    "domain", [Box(-1, [1, 2]), Polyhedron([[1.0, 2.0]], [3.0]), Everywhere()], ids=str
)
def test_every_kind_survives_json_and_agrees_with_its_rows(domain):
    assert KINDS[domain.kind] is type(domain)
    again = domain_from_json(domain.to_json())
    assert again.to_json() == domain.to_json()
    A, b = domain.inequalities(2)
    for x in product((-2, 0, 1, 2), repeat=2):
        assert domain.contains(tuple(map(Fraction, x))) == bool((A @ x <= b).all())
