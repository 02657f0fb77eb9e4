"""The facet program against enumeration of all patterns at sampled points."""

import itertools

import numpy as np
import pytest
from encodings_networks import network_data, random_data

from jensen_encodings import EncodingError, SolveStatus, solve_model
from jensen_encodings.facet import facet_program


def jump(data, name, index, pattern):
    """Slope of f per unit of h of one neuron, by a forward sweep."""
    passed = {"input": np.zeros(data.input_size)}
    for layer in data.layers:
        u = sum(weight @ passed[source] for source, weight in layer.weights.items())
        passed[layer.name] = u * (pattern[layer.name] if layer.is_relu else 1)
        if layer.name == name:
            passed[name] = np.eye(layer.size)[index]
    return float(passed[data.output.name][0])


@pytest.mark.parametrize("seed", range(6))
def test_the_minimum_is_never_above_the_jump_at_a_point_of_the_hyperplane(seed):
    data = random_data(seed, 2, (3, 3), skips=seed % 2 == 1)
    first = data.layers[0]
    for index in first.unstable():
        result = solve_model(facet_program(data, [("relu_1", index, 1)]).model)
        assert result.status is SolveStatus.OPTIMAL
        w, b = first.weights["input"][index], first.bias[index]
        along = np.array([-w[1], w[0]]) / np.linalg.norm(w)
        points = -b * w / (w @ w) + np.linspace(-2, 2, 200)[:, None] * along
        for point in points[(np.abs(points) <= 1).all(axis=1)]:
            z = data.evaluate_layers([point])
            pattern = {layer.name: (z[layer.name][0] > 0).astype(float) for layer in data.layers}
            assert jump(data, "relu_1", index, pattern) >= result.objective - 1e-5


def test_cuts_enumerate_all_patterns():
    data = random_data(1, 2, (3, 2))
    index = data.layers[0].unstable()[0]
    program = facet_program(data, [("relu_1", index, 1)])
    free = [("relu_2", i) for i in data.layers[1].unstable()]
    seen = set()
    while (result := solve_model(program.model)).status is SolveStatus.OPTIMAL:
        del result
        pattern = {n: program.copy.switches[n].variable.value > 0.5 for n in free}
        assert tuple(pattern.items()) not in seen
        seen.add(tuple(pattern.items()))
        program.exclude(pattern)
        if len(seen) == 2 ** len(free):
            break
    assert len(seen) <= len(list(itertools.product([0, 1], repeat=len(free))))


def test_twins_add_up_and_the_last_layer_is_constant():
    data = network_data(
        [-1.0],
        [1.0],
        [
            ("relu", {"input": [[1.0], [-2.0]]}, [0.0, 0.0], True),
            ("output", {"relu": [[-3.0, 1.0]]}, [0.0], False),
        ],
    )
    group = [("relu", 0, 1), ("relu", 1, -2)]
    program = facet_program(data, group, groups=[group])
    assert program.jump_range == pytest.approx((-1, -1))
    assert solve_model(program.model).objective == pytest.approx(-1)
    program.demand_below(-1.5)
    assert solve_model(program.model).status is SolveStatus.INFEASIBLE


def test_the_lift_excludes_the_origin():
    data = network_data(
        [-1.0, 0.0],
        [1.0, 1.0],
        [
            ("relu", {"input": [[1.0, 0.5], [1.0, -0.25]]}, [0.0, 0.0], True),
            ("output", {"relu": [[1.0, 1.0]]}, [0.0], False),
        ],
    )
    program = facet_program(data, [("relu", 0, 1)], projective=True)
    solve_model(program.model)
    point = [program.model.point[i].value for i in range(2)]
    assert max(abs(point[0]), point[1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("group", [[], [("relu_1", 0, 0)], [("output", 0, 1)], [("none", 0, 1)]])
def test_groups_that_cannot_kink_are_refused(group):
    with pytest.raises(EncodingError):
        facet_program(random_data(0), group)


def test_an_empty_cut_is_refused():
    data = random_data(1, 2, (3, 2))
    index = data.layers[0].unstable()[0]
    with pytest.raises(EncodingError, match="everything"):
        facet_program(data, [("relu_1", index, 1)]).exclude({})
