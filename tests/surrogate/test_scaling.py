"""Scaling of neurons by powers of two, in which nothing may be rounded."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import jensen
from jensen import surrogate
from jensen.domains.domain import Polyhedron
from jensen.network.relu_network import ReluNetwork
from jensen.surrogate.scaling import tamed

BOX = np.array([-1.0]), np.array([1.0])


def test_neurons_come_near_one_and_back_without_rounding():
    network = ReluNetwork.from_layers([[[3e9], [-1e9]], [[2e-3, 1e-3]]], [[1e9, 0.25], [5.0]])
    scaled, (exponent,) = tamed(network, *BOX)
    assert scaled is not network
    for x in (-1.0, -0.3, 0.0, 0.7):
        (value,), (near,) = network.exact([x]), scaled.exact([x])
        assert value == near * 2**exponent if exponent >= 0 else value * 2**-exponent == near


def test_numbers_that_scaling_would_lose_leave_the_network_as_it_is():
    tiny = 5e-324
    biased = ReluNetwork.from_layers([[[1e200]], [[1.0]]], [[tiny], [0.0]])
    weighted = ReluNetwork.from_layers([[[1e200], [1.0]], [[1.0, tiny]]], [[0.0, 0.0], [0.0]])
    for network in (biased, weighted):
        same, exponents = tamed(network, *BOX)
        assert same is network
        assert exponents == [0]


def test_a_neuron_that_is_off_up_to_rounding_is_no_tiny_one():
    # relu(1 - relu(x) - relu(2 - x)) has an upper bound of 1e-14 or so, and is 0
    off = [[1.0], [-1.0]], [[-1.0, -1.0]]
    network = ReluNetwork.from_layers([*off, [[3.0]]], [[1 / 3, 2 / 3], [1.0], [0.0]])
    scaled, _ = tamed(network, np.array([-0.3]), np.array([0.6]))
    weights = [weight for block in scaled.blocks for weight in block.weights.values()]
    assert max(np.abs(weight).max() for weight in weights) < 100


def test_a_piece_that_is_nearly_flat_does_not_hide_how_much_the_others_vary():
    hidden = [[1.0, 0.75, -1.25], [-0.75, -1.25, -1.5], [0.25, -0.75, 0.0]]
    output = [[0.25, 1.75, -1.7462298274040222e-10]]
    network = ReluNetwork.from_layers([hidden, output], [[-1.0, 1.25, 2.0], [-1.0]])
    rows = [[-1.0, 1.0, 0.0], [-2.0, -2.0, 2.0], *np.eye(3), *-np.eye(3)]
    domain = Polyhedron(rows, [0.0, 2.0, 3.0, 2.0, 3.0, 2.0, 1.0, 1.0])
    for formulation in ("cuts", "big_m"):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(range(3), bounds=lambda _, i: ((-2, -1, -1)[i], (3, 2, 3)[i]))
        f = surrogate.add_network(model, network, model.x, domain=domain, formulation=formulation)
        cost = -0.875 * model.x[0] - 0.4375 * model.x[1] + 0.875 * model.x[2]
        model.goal = pyo.Objective(expr=2 * f.output + cost)
        assert surrogate.solve(model).value == pytest.approx(-4.0, abs=1e-6)


TINY = 2.0**-34
CONVEX = ReluNetwork.from_layers(
    [[[1.5, 0.5], [-1.0, 1.0], [-1.0, -2.0]], [[5 * TINY, 3 * TINY, 2 * TINY]]],
    [[0.25, -0.25, 1.0], [TINY]],
)


@pytest.mark.parametrize("formulation", ["cuts", "epigraph", "big_m"])
@pytest.mark.parametrize("domain", [pyo.Integers, pyo.Reals])
def test_tiny_functions_of_whole_numbers_have_their_optimum(formulation: str, domain: object):
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-2, 1), domain=domain)
    f = surrogate.add_network(model, CONVEX, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=2 * f.output)
    points = np.mgrid[-2:2, -2:2].reshape(2, -1).T if domain is pyo.Integers else None
    best = (
        2 * CONVEX(points).min()
        if points is not None
        else 2 * jensen.ConvexFunction(CONVEX, jensen.Box(-2, 1)).minimise().value
    )
    assert surrogate.solve(model).value == pytest.approx(best, rel=1e-6, abs=1e-18)


@pytest.mark.parametrize("formulation", ["cuts", "epigraph", "big_m"])
def test_tiny_functions_that_vary_beside_the_first_points_only_have_their_optimum(formulation: str):
    corner = ReluNetwork.from_layers([[[1.0, 1.0]], [[TINY]]], [[-1.75], [0.0]])
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-1, 1))
    f = surrogate.add_network(model, corner, model.x, formulation=formulation)
    cost = -TINY / 2 * (model.x[0] + model.x[1])
    model.goal = pyo.Objective(expr=f.output + cost)
    assert surrogate.solve(model).value == pytest.approx(-0.875 * TINY, rel=1e-6)
