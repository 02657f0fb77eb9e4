"""The midpoint program against the forward pass and sampling."""

import numpy as np
import pytest
from encodings_networks import network_data, random_data

from jensen_encodings import SolveStatus, midpoint_program, solve_model


def violation(data, x, y):
    f = data.evaluate([x, y, (x + y) / 2])
    return f[2] - (f[0] + f[1]) / 2


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_the_violation_of_its_own_pair_and_no_sample_beats_it(seed):
    data = random_data(seed, 2, (3, 2), skips=seed % 2 == 1, integer=seed % 4 == 0)
    program = midpoint_program(data)
    result = solve_model(program.model)
    assert result.status is SolveStatus.OPTIMAL
    assert violation(data, *program.pair()) == pytest.approx(result.objective, abs=1e-5)
    points = np.random.default_rng(seed).uniform(-1, 1, (2000, 2, 2))
    assert max(violation(data, x, y) for x, y in points) <= result.bound + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_with_both_points_fixed_the_program_evaluates_the_violation(seed):
    data = random_data(seed, 2, (4, 3))
    x, y = np.random.default_rng(seed).uniform(-1, 1, (2, 2))
    program = midpoint_program(data)
    for i in range(2):
        program.at_x.inputs[i].fix(float(x[i]))
        program.at_y.inputs[i].fix(float(y[i]))
    result = solve_model(program.model)
    assert result.objective == pytest.approx(violation(data, x, y), abs=1e-5)


def test_a_convex_network_has_no_violation():
    layers = [
        ("relu", {"input": [[1.0, -2.0], [0.5, 1.0]]}, [0.1, -0.2], True),
        ("output", {"relu": [[1.0, 3.0]], "input": [[-5.0, 1.0]]}, [0.3], False),
    ]
    result = solve_model(midpoint_program(network_data([-1, -1], [1, 1], layers)).model)
    assert result.bound == pytest.approx(0, abs=1e-6)
