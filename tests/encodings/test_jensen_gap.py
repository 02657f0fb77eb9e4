"""Rows that strengthen the midpoint program cut off no pair, and pay in convex networks."""

from itertools import product

import numpy as np
import pytest
from encodings_networks import random_data

from jensen_encodings.highs import SolveOptions, solve
from jensen_encodings.jensen_gap import Strengthening, gap_bounds, strengthen
from jensen_encodings.midpoint import midpoint_program
from jensen_encodings.pyomo_model import compile_model, solve_model

FAMILIES = ("gap_lower", "gap_upper", "differences", "symmetry")


@pytest.mark.parametrize("seed", range(12))
def test_no_pair_is_cut_off(seed):
    data = random_data(seed)
    rng = np.random.default_rng(seed)
    program = midpoint_program(data)
    strengthen(program)
    k = int(np.argmax(data.input_upper - data.input_lower))
    for _ in range(4):
        x, y = rng.uniform(data.input_lower, data.input_upper, (2, data.input_size))
        if x[k] > y[k]:
            x, y = y, x
        for copy, point in ((program.at_x, x), (program.at_y, y)):
            for variable, value in zip(copy.inputs, point, strict=True):
                variable.fix(float(value))
        result = solve_model(program.model)
        f = data.evaluate(np.stack([x, y, (x + y) / 2]))
        assert result.objective == pytest.approx(f[2] - (f[0] + f[1]) / 2, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_of_rows_keeps_the_optimum(family):
    only = Strengthening(**{name: name == family for name in FAMILIES})
    for seed in range(6):
        data = random_data(seed)
        plain, strong = midpoint_program(data), midpoint_program(data)
        strengthen(strong, only)
        options = SolveOptions(relative_gap=1e-6)
        values = [solve(compile_model(p.model), options).objective for p in (plain, strong)]
        assert values[1] == pytest.approx(values[0], abs=2e-5)


@pytest.mark.parametrize("seed", range(12))
def test_gap_bounds_hold_at_random_pairs(seed):
    data = random_data(seed)
    bounds = gap_bounds(data)
    rng = np.random.default_rng(seed)
    for _ in range(50):
        x, y = rng.uniform(data.input_lower, data.input_upper, (2, data.input_size))
        z = data.evaluate_layers(np.stack([x, y, (x + y) / 2]))
        for layer in data.layers:
            zx, zy, zm = z[layer.name]
            h = np.maximum(z[layer.name], 0) if layer.is_relu else z[layer.name]
            for value, (low, high) in (
                ((zx + zy) / 2 - zm, bounds.loss[layer.name]),
                ((h[0] + h[1]) / 2 - h[2], bounds.gap[layer.name]),
            ):
                room = 1e-9 * (1 + np.abs(value))
                assert (value >= low - room).all()
                assert (value <= high + room).all()
            assert (np.abs(zx - zy) / 2 <= bounds.half_difference[layer.name] + 1e-9).all()


def test_all_combinations_of_families_build():
    data = random_data(0)
    for flags in product([False, True], repeat=len(FAMILIES)):
        program = midpoint_program(data)
        strengthen(program, Strengthening(*flags))
        assert compile_model(program.model).shape[1] > 0
