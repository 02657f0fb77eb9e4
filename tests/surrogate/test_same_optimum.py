"""Minimising a proved function and minimising with one binary per ReLU are the same."""

from __future__ import annotations

import json

import numpy as np
import pyomo.environ as pyo
import pytest
from surrogate_networks import freely_convex, icnn

from jensen import Block, Box, ConvexFunction, ReluNetwork, surrogate
from jensen.surrogate.scaling import sides_of_output, tamed
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


def flat_network() -> ReluNetwork:
    """A convex function of size 1e-6 with slopes of 1e-14 beside those of 1e-7."""
    return ReluNetwork.from_layers(
        [
            [[-0.5, -0.5], [0.0, -0.75], [1.0, -0.25], [-0.25, 0.25]],
            [
                [1.0, 0.0, 0.0, 1.0],
                [-0.25, -1.0, 0.75, -0.25],
                [-0.5, -0.5, 0.0, 1.0],
                [0.0, -0.25, 0.0, 0.75],
                [1.0, 0.0, 0.25, -0.5],
            ],
            [
                [
                    2.500002739030887e-07,
                    -6.847778011532611e-14,
                    -2.4999972609691126e-07,
                    2.795705652135923e-13,
                    2.7957056531926545e-13,
                ]
            ],
        ],
        [[0.5, -0.5, -0.5, 0.25], [0.75, -0.5, 0.75, -1.0, -1.0], [-2.5e-07]],
    )


def test_cuts_with_slopes_that_the_solver_ignores_end_and_print_nothing(capfd):
    # HiGHS drops coefficients up to 1e-9: the same cut was added again and again
    network, box = flat_network(), Box([11.2995, 16.391], [33.8451, 25.0967])
    linear = [4.2570643760831874e-07, 5.222052032700056e-07]
    lower, upper = box.bounds(2)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=lambda _, i: (lower[i], upper[i]))
    handle = surrogate.add_network(model, network, model.x, formulation="cuts")
    cost = sum(linear[i] * model.x[i] for i in range(2))
    model.goal = pyo.Objective(expr=handle.output + cost)
    found = surrogate.solve(model, max_rounds=50)
    assert found.rounds < 50
    exact = ConvexFunction(network, box).minimise(linear)
    assert found.value == pytest.approx(exact.value, rel=1e-4)
    assert capfd.readouterr() == ("", "")


def test_outputs_that_hardly_vary_do_not_make_big_m_infeasible():
    # bounds on a variable that are 1e-7 apart are empty up to HiGHS's tolerance
    layers = [
        [[-0.3689282, 0.00413792], [-0.51359214, 0.27013769], [0.3689282, -0.00413792]],
        [
            [-0.29906173, 0.10974193, -0.37303099],
            [0.46097706, -0.20558828, -1.23576642],
            [-0.14953087, 0.05487096, -0.1865155],
        ],
        [
            [0.56349256, -0.8031603, 1.23246193],
            [0.9856292, -1.18802072, 1.36213753],
            [0.56349256, -0.8031603, 1.23246193],
        ],
        [[0.06657955, 0.37906195, -0.06657938]],
    ]
    biases = [
        [0.17768734, -0.07625339, -0.17768734],
        [-0.0341608, 0.53525727, -0.0170804],
        [1.17269251, -0.16613985, 1.17269251],
        [-0.0739335],
    ]
    network = ReluNetwork.from_layers(layers, biases)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-1, 1))
    handle = surrogate.add_network(model, network, model.x, formulation="big_m")
    cost = 0.14293273 * model.x[0] - 0.28191932 * model.x[1]
    model.goal = pyo.Objective(expr=handle.output + cost)
    assert surrogate.solve(model).value == pytest.approx(-0.4987854, abs=1e-6)


SCALES = [1e-12, 1e-9, 1e-6, 1e-3, 1e6, 1e9]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("hidden", [1e-8, 1.0, 1e7])
def test_big_m_has_the_optimum_at_any_scale(scale, hidden):
    # HiGHS's tolerances are absolute: the optimum of f of size 1e-6 was off by its own size, and
    # with f of size 1e9 it called the model infeasible
    rng = np.random.default_rng(3)
    factors = np.array([[scale / hidden], [1.0 / hidden]])
    weights = [rng.normal(size=(5, 2)), rng.normal(size=(4, 5)), rng.normal(size=(2, 4))]
    biases = [rng.normal(size=5), rng.normal(size=4), np.zeros(2)]
    plain = ReluNetwork.from_layers(weights, biases)
    network = ReluNetwork.from_layers(
        [hidden * weights[0], weights[1], factors * weights[2]],
        [hidden * biases[0], hidden * biases[1], biases[2]],
    )
    goals = []
    for one, output in ((plain, None), (network, None), (network, 0)):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(range(2), bounds=(-1, 1))
        handle = surrogate.add_network(model, one, model.x, formulation="big_m", output=output)
        model.goal = pyo.Objective(expr=handle.outputs[0])
        found = surrogate.solve(model)
        assert found.optimal
        goals.append((found.value, found.bound))
    for value, bound in goals[1:]:
        assert value == pytest.approx(scale * goals[0][0], rel=1e-6)
        assert bound == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("hidden", [1e-8, 1.0, 1e7])
@pytest.mark.parametrize("formulation", ["epigraph", "cuts"])
def test_the_other_formulations_have_it_too(formulation, scale, hidden):
    # hidden units of size 1e-8 cost 16 % of the optimum, called optimal
    rng = np.random.default_rng(3)
    weights = [hidden * rng.normal(size=(5, 2)), np.abs(rng.normal(size=(4, 5)))]
    weights.append(scale / hidden * np.abs(rng.normal(size=(1, 4))))
    biases = [hidden * rng.normal(size=5), -hidden * np.abs(rng.normal(size=4)), np.zeros(1)]
    network = ReluNetwork.from_layers(weights, biases)
    linear = [0.3 * scale, -0.5 * scale]
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-1, 1))
    handle = surrogate.add_network(model, network, model.x, formulation=formulation)
    cost = sum(c * model.x[i] for i, c in enumerate(linear))
    model.goal = pyo.Objective(expr=handle.output + cost)
    found = surrogate.solve(model)
    exact = ConvexFunction(network, Box(-1, 1)).minimise(linear)
    assert found.optimal
    assert found.value == pytest.approx(exact.value, rel=1e-5)


@pytest.mark.parametrize("side", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("formulation", ["epigraph", "big_m", "cuts"])
def test_weights_of_inputs_in_wide_boxes_are_not_lost(formulation, side):
    rng = np.random.default_rng(3)
    weights = [
        rng.normal(size=(5, 2)),
        *map(np.abs, (rng.normal(size=s) for s in ((4, 5), (1, 4)))),
    ]
    biases = [side * rng.normal(size=5), -side * np.abs(rng.normal(size=4)), np.zeros(1)]
    network = ReluNetwork.from_layers(weights, biases)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(2), bounds=(-side, side))
    handle = surrogate.add_network(model, network, model.x, formulation=formulation)
    model.goal = pyo.Objective(expr=handle.output + 0.3 * model.x[0] - 0.5 * model.x[1])
    exact = ConvexFunction(network, Box(-side, side)).minimise([0.3, -0.5])
    assert surrogate.solve(model).value == pytest.approx(exact.value, rel=1e-5)


def test_numbers_that_cannot_be_scaled_exactly_stay_as_they_are():
    network = ReluNetwork.from_layers([[[2.0**-1070]], [[2.0**-1000 * 1.5]]], [[0.0], [1.0]])
    assert tamed(network, np.array([-1.0]), np.array([1.0]))[0] is network
    fine = icnn(2, 4, 0)
    same, exponents = tamed(fine, np.full(2, -1.0), np.full(2, 1.0))
    assert same is fine
    assert exponents == [0]


@pytest.mark.parametrize("exponent", [-60, -45, -20, -1, 0, 1, 20, 45, 60])
def test_sides_of_an_output_are_coefficients_that_the_solver_keeps(exponent):
    one, two = sides_of_output(exponent)
    assert all(1e-9 < side < 1e15 for side in (one, two))
    assert two / one == 2.0 ** max(exponent, -45)


def test_a_unit_that_is_constantly_0_moves_no_optimum():
    network = ReluNetwork(
        1,
        [
            Block("first", {"input": [[2.0], [-0.5], [-2.0]]}, [-1.5, 0.5, -0.5]),
            Block("second", {"first": [[0.0, 0.0, 0.0]]}, [0.0]),
            Block(
                "third",
                {"second": [[-0.15], [-0.57], [-1.95]], "input": [[-1.0], [2.0], [1.0]]},
                [0.5, 0.5, 2.0],
                "identity",
            ),
            Block("output", {"third": [[0.25, 1.5, 0.75]]}, [-0.5], "identity"),
        ],
    )
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-2, 0))
    f = surrogate.add_network(model, network, [model.x], formulation="big_m")
    model.goal = pyo.Objective(expr=f.output - model.x, sense=pyo.maximize)
    found = surrogate.solve(model)
    assert found.value == pytest.approx(1.875, abs=1e-8)  # at 0; HiGHS ended with 1.25 at -1/4
    assert found.error < 1e-8


@pytest.mark.parametrize("formulation", ["big_m", "epigraph", "cuts"])
@pytest.mark.parametrize("sides", [1e-4, 1e-5, 1e-6])
def test_narrow_boxes_have_their_optimum(sides, formulation):
    rng = np.random.default_rng(round(1 / sides))
    for _ in range(6):
        weights = [rng.normal(size=(4, 2)), np.abs(rng.normal(size=(1, 4)))]
        middle = rng.normal(size=2)
        network = ReluNetwork.from_layers(weights, [-weights[0] @ middle, [1.0]])
        model = pyo.ConcreteModel()
        lower, upper = middle - sides * rng.random(2), middle + sides * rng.random(2)
        model.x = pyo.Var([0, 1], bounds=lambda _, i: (lower[i], upper[i]))  # noqa: B023
        f = surrogate.add_network(model, network, model.x, formulation=formulation)
        slope = 0.3 * rng.normal(size=2)
        model.goal = pyo.Objective(expr=f.output + slope[0] * model.x[0] + slope[1] * model.x[1])
        least = ConvexFunction(network, Box(lower, upper)).minimise(linear=slope)
        found = surrogate.solve(model, tolerance=1e-4 * sides)  # of f, which is about 1
        assert found.value == pytest.approx(least.value, abs=2e-3 * sides)
