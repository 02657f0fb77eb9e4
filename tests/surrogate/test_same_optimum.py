"""Minimising a proved function and minimising with one binary per ReLU are the same."""

from __future__ import annotations

import json

import numpy as np
import pyomo.environ as pyo
import pytest
from surrogate_networks import freely_convex, icnn

from jensen import Box, ConvexFunction, ReluNetwork, surrogate
from jensen_encodings import SolveOptions, solve_model


def both_optima(network: ReluNetwork, box: Box, seed: int):
    """Minimise ``f + c x`` under two rows, by cuts and by the big-M program."""
    rng = np.random.default_rng(seed)
    inputs = network.input_size
    linear, A, b = rng.normal(size=inputs), rng.normal(size=(2, inputs)), np.full(2, 0.5)
    found = ConvexFunction(network, box).minimise(linear, A, b)
    model = pyo.ConcreteModel()
    lower, upper = box.bounds(inputs)
    model.x = pyo.Var(range(inputs), bounds=lambda _, i: (lower[i], upper[i]))
    handle = surrogate.add_network(model, network, model.x, formulation="big_m")
    model.rows = pyo.ConstraintList()
    for row in A:
        model.rows.add(sum(row[i] * model.x[i] for i in range(inputs)) <= 0.5)
    cost = sum(linear[i] * model.x[i] for i in range(inputs))
    model.goal = pyo.Objective(expr=handle.output + cost)
    return found, solve_model(model, SolveOptions(relative_gap=1e-9)).objective


def agree(found, other: float) -> None:
    size = max(1.0, abs(found.value))
    assert other == pytest.approx(found.value, abs=1e-6 * size)
    assert found.lower <= other + 1e-6 * size
    assert found.gap <= 1e-9 * size


@pytest.mark.parametrize("seed", range(25))
def test_random_problems_have_the_optimum_of_big_m(seed):
    network = freely_convex() if seed % 5 == 4 else icnn(1 + seed % 5, 5, seed)
    agree(*both_optima(network, Box(-1, 1), seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25, 200))
def test_two_hundred_random_problems_have_the_optimum_of_big_m(seed):
    agree(*both_optima(icnn(1 + seed % 6, 7, seed), Box(-1, 1), seed))


def test_networks_trained_freely_have_the_optimum_of_big_m(shared_cases):
    folder = shared_cases / "trained"
    for entry in json.loads((folder / "index.json").read_text()):
        if not entry.get("convex_on_box") or entry["inputs"] > 2:
            continue
        stored = np.load(folder / entry["file"])
        depth = len(stored.files) // 2
        network = ReluNetwork.from_layers(
            [stored[f"W{k}"].astype(float) for k in range(depth)],
            [stored[f"b{k}"].astype(float) for k in range(depth)],
        )
        box = Box(*entry["box"])
        agree(*both_optima(network, box, 0))
