"""Bounds of units by the rows of a polyhedron: true, and as tight as its corners."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from certificate_tools import check, claim_of

from jensen.certificate import checker
from jensen.certificate.certificate import certify_convex
from jensen.certificate.checker import Claim
from jensen.certificate.model_export import export_bytes
from jensen.certificate.row_bounds import RowBounds
from jensen.decide import verify
from jensen.domains.domain import Polyhedron
from jensen.network.relu_network import ReluNetwork


def simplex(inputs: int) -> Polyhedron:
    rows = np.vstack([-np.eye(inputs), np.ones(inputs), -np.ones(inputs)])
    return Polyhedron(rows, [*[0.0] * inputs, 1.0, -1.0])


def read(network: ReluNetwork, domain: Polyhedron, *, bounds: bool = False) -> checker.Network:
    """Return the checker's network on the domain, after what is written for it."""
    model = checker.read_model(export_bytes(network))
    claim = Claim(claim_of(network, domain), model)
    (_, point, *others), (_, written) = certify_convex(network, domain).lines[1:3]
    checker.rule_interior(claim, checker.rationals(point, model.inputs), *others)
    known = {(block, index): sides for block, index, *sides in written} if bounds else {}
    return checker.Network(model, claim, known)


@pytest.mark.parametrize("inputs", [2, 3, 8])
def test_a_form_on_a_simplex_is_bounded_by_its_corners(inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    weights = rng.normal(size=(12, inputs))
    weights[-1] = abs(weights[-1])  # never off; a negative weight behind it makes signs no proof
    behind = [[*np.ones(11), -1.0]]
    network = ReluNetwork.from_layers([weights, behind], [np.zeros(12), np.zeros(1)])
    net = read(network, simplex(inputs))
    bounds = RowBounds(net)
    for (_, index), (unit, factor) in list(net.neurons.items()):
        zeta = net.units[unit].form
        sides = bounds.sides(zeta)
        node = checker.Node(net, checker.ONE, {})
        low, high = (
            sign * factor * checker.rule_bound(node, zeta, sign, side)
            for sign, side in zip((-1, 1), sides, strict=True)
        )
        least, most = Fraction(min(weights[index])), Fraction(max(weights[index]))
        assert low <= least
        assert most <= high
        own = net.units[unit]
        if own.low < 0 < own.high:  # what the ranges settle needs no more
            room = ceil(own.high - own.low) * factor / 10
            assert low >= least - room
            assert high <= most + room


def test_where_rows_say_nothing_new_there_are_no_multipliers() -> None:
    square = Polyhedron(np.vstack([np.eye(2), -np.eye(2)]), np.ones(4))
    network = ReluNetwork.from_layers(
        [np.array([[1.0, 2.0]]), np.ones((1, 1))], [np.zeros(1), np.zeros(1)]
    )
    net = read(network, square)
    assert RowBounds(net).sides(net.units[net.neurons["relu_1", 0][0]].form) == [None, None]


@pytest.mark.parametrize("rows", [[], [[1.0, 1.0]]])
def test_on_a_point_nothing_is_left_to_bound(rows: list[list[float]], tmp_path: Path) -> None:
    point = np.vstack([np.eye(2), -np.eye(2), *rows])
    network = ReluNetwork.from_layers(
        [np.array([[1.0, 2.0], [3.0, -1.0]]), -np.ones((1, 2))], [np.zeros(2), np.zeros(1)]
    )
    domain = Polyhedron(point, [1.0, 0.5, -1.0, -0.5, *[2.0] * len(rows)])
    assert check(network, certify_convex(network, domain), tmp_path) == 0
    certificate = verify(network, domain, certificate=True).certificate
    assert certificate is not None
    assert check(network, certificate, tmp_path) == 0


def test_neurons_that_only_the_equation_settles_are_settled(tmp_path: Path) -> None:
    """Of x >= 0 with sum 1 the last input, which is gone, is not negative either."""
    inputs = 6
    network = ReluNetwork.from_layers(
        [-np.eye(inputs) + 0.0, -np.ones((1, inputs))], [np.zeros(inputs), np.zeros(1)]
    )
    certificate = certify_convex(network, simplex(inputs))
    assert check(network, certificate, tmp_path) == 0
    assert len(certificate.lines) <= 4


def test_lines_and_rows_settle_units_further_back() -> None:
    """On the simplex max(x_0, 0) is x_0, so that it and max(x_1, 0) add up to 1 at most."""
    behind = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, -1.0]]
    weights = [np.vstack([np.eye(3), [[1.0, -1.0, 0.25]]]), np.array(behind)]
    network = ReluNetwork.from_layers(
        [*weights, [[1.0, 1.0, -1.0]]], [np.zeros(4), [-1.25, 0.0, 0.0], np.zeros(1)]
    )
    net = read(network, simplex(3), bounds=True)
    unit, _ = net.neurons["relu_2", 0]
    form = dict(net.units[unit].form)
    node = checker.Node(net, checker.ONE, {})
    assert node.largest(form) > 0
    entries = RowBounds(net).settling(lambda k: _lead(net, k), form)
    assert entries is not None
    assert checker.rule_bound(node, form, 1, entries) <= 0
    opposite = {key: -value for key, value in form.items()}
    assert RowBounds(net).settling(lambda k: _lead(net, k), opposite) is None


def _lead(net: checker.Network, unit: int) -> list[object]:
    return list(next(name for name, (k, _) in net.neurons.items() if k == unit))
