"""The brute-force oracle itself: known truths, and a second way for one input."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle
import pytest
from fuzz import tiny_network
from hypothesis import given
from strategies import networks

from jensen.domains.domain import Box, Everywhere, Polyhedron
from jensen.network.relu_network import ReluNetwork


def relu_sum(rows, slopes, biases):
    return ReluNetwork.from_layers([rows, [slopes]], [biases, [0.0]])


def test_a_sum_of_relus_is_convex_and_its_negative_is_not():
    network = relu_sum([[1.0, 0.0], [0.5, -2.0]], [1.0, 3.0], [0.0, 1.0])
    assert oracle.is_convex(network)
    assert not oracle.is_convex(network.negated())


def test_a_kink_outside_the_box_does_not_count():
    network = relu_sum([[1.0], [1.0]], [1.0, -1.0], [0.0, -5.0])
    assert oracle.is_convex(network, Box(-1, 1))
    assert not oracle.is_convex(network, Everywhere())


def test_a_kink_on_a_side_of_the_box_does_not_count():
    network = relu_sum([[1.0]], [-1.0], [-1.0])
    assert oracle.is_convex(network, Box(-1, 1))
    assert not oracle.is_convex(network, Box(-1, 1.001))


def test_opposite_twins_cancel_to_an_affine_function():
    network = relu_sum([[1.0, 2.0], [-1.0, -2.0]], [1.0, -1.0], [0.5, -0.5])
    assert oracle.is_convex(network)
    assert oracle.is_convex(network.negated())


def test_a_jump_of_1e_minus_30_is_seen():
    assert not oracle.is_convex(relu_sum([[1.0], [1e-30]], [1.0, -1e-30], [-1.0, 0.0]))
    assert oracle.is_convex(relu_sum([[1.0], [1e-30]], [1.0, 1e-30], [-1.0, 0.0]))


def test_a_side_of_zero_width_fixes_that_input():
    saddle = relu_sum([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], [0.0, 0.0])
    assert oracle.is_convex(saddle, Box([-1.0, 0.5], [1.0, 0.5]))
    assert not oracle.is_convex(saddle, Box([0.5, -1.0], [0.5, 1.0]))


def test_a_polyhedron_cuts_the_domain():
    network = relu_sum([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], [0.0, 0.0])
    assert oracle.is_convex(network, Polyhedron([[0.0, 1.0]], [0.0]))
    assert not oracle.is_convex(network, Polyhedron([[0.0, 1.0]], [0.125]))
    assert not oracle.is_convex(network, Polyhedron([[1.0, 0.0]], [0.0]))


def test_a_box_and_the_same_polyhedron_agree():
    for seed in range(60):
        network = tiny_network(seed)[1]
        eye = np.eye(network.input_size)
        limits = np.ones(network.input_size)
        polyhedron = Polyhedron(np.vstack([eye, -eye]), np.hstack([limits, limits]))
        assert oracle.is_convex(network, Box(-1, 1)) == oracle.is_convex(network, polyhedron)


@given(networks(max_inputs=1))
def test_in_one_dimension_it_agrees_with_slopes_between_all_kinks(network):
    points = {Fraction(-50), Fraction(50)}
    for cone, _ in oracle.regions(network, Box(-50, 50)):
        points.update(Fraction(x, t) for x, t in cone.rays)
    grid = sorted(points)
    values = [network.exact([x])[0] for x in grid]
    slopes = [
        (b - a) / (y - x) for x, y, a, b in zip(grid, grid[1:], values, values[1:], strict=False)
    ]
    assert oracle.is_convex(network, Box(-50, 50)) == (slopes == sorted(slopes))


@given(networks(max_depth=2))
def test_the_forms_of_a_region_are_the_values_of_the_network(network):
    for cone, (form,) in oracle.regions(network, Box(-1, 2)):
        inside = [sum(column) for column in zip(*cone.rays, strict=True)]
        scale = oracle.dot(form, (0,) * network.input_size + (1,))
        x = [Fraction(v, inside[-1]) for v in inside[:-1]]
        corner = [Fraction(v, cone.rays[0][-1]) for v in cone.rays[0][:-1]]
        rise = network.exact(x)[0] - network.exact(corner)[0]
        expected = Fraction(oracle.dot(form, tuple(inside)), inside[-1]) - Fraction(
            oracle.dot(form, cone.rays[0]), cone.rays[0][-1]
        )
        # forms share one positive scale, unknown here
        assert (rise == 0) == (expected == 0)
        assert rise * expected >= 0
        assert isinstance(scale, int)


@pytest.mark.parametrize("name", ["handmade.json", "degenerate.json"])
def test_it_agrees_with_the_networks_of_known_truth(shared_cases: Path, name):
    wrong = []
    for case in json.loads((shared_cases / name).read_text()):
        network = ReluNetwork.from_layers(case["weights"], case["biases"])
        if network.input_size > 3:
            continue
        for key, domain in (
            ("convex_on_box", Box(*case["box"])),
            ("convex_everywhere", Everywhere()),
        ):
            if case[key] is not None and oracle.is_convex(network, domain) != case[key]:
                wrong.append((case["name"], key))
    assert not wrong


@pytest.mark.parametrize("cell", ["cell_d2_w2", "cell_d2_w4", "cell_d3_w2", "cell_d3_w3"])
def test_it_agrees_with_the_default_initialised_networks(shared_cases: Path, cell):
    with np.load(shared_cases / f"{cell}.npz") as data:
        arrays = {key: data[key] for key in data.files}
    wrong = []
    for index in range(len(arrays["W0"])):
        layers = [[arrays[f"{letter}{k}"][index] for k in range(3)] for letter in "Wb"]
        network = ReluNetwork.from_layers(*layers)
        for key, domain in (
            ("convex_on_box", Box(-100, 100)),
            ("convex_everywhere", Everywhere()),
        ):
            if oracle.is_convex(network, domain) != bool(arrays[key][index]):
                wrong.append((index, key))
    assert not wrong
