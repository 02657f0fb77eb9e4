"""The big-M copy: fix the input, and the program's output equals the forward pass."""

import numpy as np
import pyomo.environ as pyo
import pytest
from encodings_networks import network_data, random_data

from jensen_encodings import (
    EncodingError,
    LayerData,
    NetworkData,
    SolveStatus,
    UnboundedNeuronError,
    add_network_copy,
    solve_model,
)


def output_range_at(data, point, groups=()):
    values = []
    for sense in (pyo.minimize, pyo.maximize):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(range(data.input_size))
        copy = add_network_copy(model, data, list(model.x.values()), groups=groups)
        for i, value in enumerate(point):
            model.x[i].fix(float(value))
        model.goal = pyo.Objective(expr=copy.output, sense=sense)
        result = solve_model(model)
        assert result.status is SolveStatus.OPTIMAL
        values.append(result.objective)
    return values


@pytest.mark.parametrize("seed", range(12))
def test_with_the_input_fixed_the_output_is_the_forward_pass(seed):
    data = random_data(seed, 2, (4, 3), skips=seed % 2 == 1, integer=seed % 3 == 0)
    for point in np.random.default_rng(seed).uniform(-1, 1, (3, 2)):
        expected = data.evaluate([point])[0]
        assert output_range_at(data, point) == pytest.approx([expected] * 2, abs=1e-5)


def test_the_maximum_over_the_box_is_found_at_a_vertex_of_a_convex_network():
    data = random_data(3, 2, (4,))
    weights = {"relu_1": np.abs(data.output.weights["relu_1"])}
    first = data.layers[0]
    data = network_data(
        [-1, -1],
        [1, 1],
        [("relu_1", first.weights, first.bias, True), ("output", weights, [0.0], False)],
    )
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1], bounds=(-1, 1))
    copy = add_network_copy(model, data, list(model.x.values()))
    model.goal = pyo.Objective(expr=copy.output, sense=pyo.maximize)
    corners = [[a, b] for a in (-1, 1) for b in (-1, 1)]
    assert solve_model(model).objective == pytest.approx(data.evaluate(corners).max(), abs=1e-6)


def test_stable_neurons_have_no_binary():
    data = network_data(
        [0.0],
        [1.0],
        [
            ("relu", {"input": [[1.0], [-1.0], [1.0]]}, [0.0, 0.0, -0.5], True),
            ("output", {"relu": [[1.0, 1.0, 1.0]]}, [0.0], False),
        ],
    )
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0])
    copy = add_network_copy(model, data, [model.x[0]])
    assert list(model.a) == [("relu", 2)]
    assert copy.switches["relu", 0].expression == 1
    assert copy.switches["relu", 1].expression == 0
    assert copy.post("relu", 1) is None


def test_twins_share_one_binary_and_keep_the_function():
    data = network_data(
        [-1.0],
        [1.0],
        [
            ("relu", {"input": [[1.0], [-2.0], [3.0]]}, [0.25, -0.5, 0.75], True),
            ("output", {"relu": [[1.0, 1.0, -1.0]]}, [0.0], False),
        ],
    )
    twins = [[("relu", 0, 1), ("relu", 1, -2), ("relu", 2, 3)]]
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0])
    add_network_copy(model, data, [model.x[0]], groups=twins)
    assert len(model.a) == 1
    for point in (-1.0, -0.3, -0.25, 0.0, 0.8):
        expected = data.evaluate([[point]])[0]
        assert output_range_at(data, [point], twins) == pytest.approx([expected] * 2, abs=1e-6)


def test_affine_layers_pass_through():
    data = network_data(
        [-1.0],
        [1.0],
        [
            ("affine", {"input": [[2.0]]}, [1.0], False),
            ("relu", {"affine": [[1.0]], "input": [[-1.0]]}, [0.0], True),
            ("output", {"relu": [[1.0]], "affine": [[-1.0]]}, [0.0], False),
        ],
    )
    for point in (-1.0, -0.2, 0.7):
        expected = data.evaluate([[point]])[0]
        assert output_range_at(data, [point]) == pytest.approx([expected] * 2, abs=1e-6)


def test_a_relu_without_finite_bounds_is_a_clear_error():
    one = np.ones(1)
    relu = LayerData("relu_7", {"input": np.eye(1)}, one, True, -one, np.array([np.inf]))
    with pytest.raises(UnboundedNeuronError, match=r"relu_7\[0\].*finite"):
        NetworkData(-one, one, (relu,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"nowhere": np.eye(1)}}, "nowhere"),
        ({"weights": {"input": np.ones((1, 2))}}, "shape"),
        ({"lower": 2 * np.ones(1)}, "above"),
        ({"is_relu": True}, "affine"),
    ],
)
def test_arrays_that_are_no_network_are_refused(change, message):
    one = np.ones(1)
    fields = {
        "name": "output",
        "weights": {"input": np.eye(1)},
        "bias": one,
        "is_relu": False,
        "lower": -one,
        "upper": one,
    }
    with pytest.raises(EncodingError, match=message):
        NetworkData(-one, one, (LayerData(**(fields | change)),))


def test_the_number_of_inputs_is_checked():
    with pytest.raises(EncodingError, match="input variables"):
        add_network_copy(pyo.ConcreteModel(), random_data(0), [])
