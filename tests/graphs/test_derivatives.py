"""Derivatives of functions on intervals, against difference quotients in ball arithmetic."""

import numpy as np
import pytest
from smooth_graphs import difference_quotient

from jensen.graphs.derivatives import derivatives
from jensen.graphs.functions import GROUPED, Function

POSITIVE = {Function.LOG, Function.SQRT, Function.RECIPROCAL}
CASES = [
    (function, parameter)
    for function in Function
    if function not in GROUPED
    for parameter in {
        Function.POWER: (2.0, 3.0, 4.0, 7.0),
        Function.ELU: (0.0, 0.5, 1.0, 2.0),
        Function.CELU: (0.5, 1.0, 3.0),
    }.get(function, (1.0,))
]


def intervals(rng, function):
    lower = rng.normal(size=200) * 10.0 ** rng.uniform(-3, 1.3, 200)
    upper = lower + 10.0 ** rng.uniform(-12, 1.5, 200) * rng.choice([0, 1, 1], 200)
    if function in POSITIVE:
        lower, upper = np.abs(lower) + 1e-3, np.abs(lower) + 1e-3 + (upper - lower)
    return lower, upper


@pytest.mark.parametrize(("function", "parameter"), CASES)
def test_no_derivative_lies_outside_its_bounds(function, parameter):
    rng = np.random.default_rng(3)
    lower, upper = intervals(rng, function)
    bounds = derivatives(function, parameter, lower, upper)
    for share in (0.0, 0.37, 1.0):
        points = np.clip(lower + share * (upper - lower), lower, upper)
        for x, *ends in zip(points, *bounds[0], *bounds[1], strict=True):
            for order, (low, high) in ((1, ends[:2]), (2, ends[2:])):
                value = float(difference_quotient(function, parameter, float(x), order).mid())
                if abs(value) < 1e-30:  # what is left of the error of the quotient
                    value = 0.0
                assert np.nextafter(low, -np.inf) <= value <= np.nextafter(high, np.inf), (x, order)


@pytest.mark.parametrize(
    "function",
    [
        Function.SOFTPLUS,
        Function.SIGMOID,
        Function.TANH,
        Function.ERF,
        Function.GELU,
        Function.SILU,
    ],
)
def test_wide_intervals_reach_every_turning_point(function):
    grid = np.linspace(-30, 30, 6001)
    bounds = derivatives(function, 1.0, np.array([-30.0]), np.array([30.0]))
    for (low, high), (lows, highs) in zip(
        bounds, derivatives(function, 1.0, grid, grid), strict=True
    ):
        assert low[0] <= highs.min()
        assert high[0] >= lows.max()
        assert highs.max() - high[0] > -1e-4  # and not by much
        assert lows.min() - low[0] < 1e-4


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_a_kink_counts_wherever_the_interval_meets_it(alpha, ends):
    lower, upper = (np.array([end]) for end in ends)
    _, (low, high) = derivatives(Function.ELU, alpha, lower, upper)
    assert (high[0] == np.inf) == (alpha < 1)
    assert (low[0] == -np.inf) == (alpha > 1)


def test_infinite_ends_and_poles_say_nothing_wrong():
    lower, upper = np.array([-np.inf, -1.0, 0.0]), np.array([np.inf, 1.0, 1.0])
    first, second = derivatives(Function.LOG, 1.0, lower, upper)
    assert np.isinf([*first, *second]).all()
    first, second = derivatives(Function.GELU, 1.0, lower[:1], upper[:1])
    assert first[0][0] < -0.12
    assert first[1][0] > 1.12
    assert second[1][0] > 0.79
    assert derivatives(Function.PRODUCT, 1.0, lower, upper) is None
