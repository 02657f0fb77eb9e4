"""Input-convex networks as expressions of CVXPY."""

from __future__ import annotations

import numpy as np
import pytest
from surrogate_networks import freely_convex, icnn

import jensen
from jensen.errors import NotConvexError, OptionError
from jensen.surrogate import dcp_expression

cp = pytest.importorskip("cvxpy")


@pytest.mark.parametrize("seed", range(3))
def test_cvxpy_finds_the_optimum_of_the_convex_function(seed):
    network = icnn(3, 5, seed)
    x = cp.Variable(3)
    f = dcp_expression(network, x)
    assert f.is_convex()
    problem = cp.Problem(cp.Minimize(f + 0.5 * x[0]), [x >= -2, x <= 2, cp.sum(x) <= 1])
    problem.solve()
    exact = jensen.ConvexFunction(network, jensen.Box(-2, 2)).minimise(
        [0.5, 0, 0], [[1, 1, 1]], [1]
    )
    assert problem.value == pytest.approx(exact.value, rel=1e-5)
    assert f.value == pytest.approx(network(x.value[None])[0, 0], rel=1e-9)


def test_minus_an_input_convex_network_is_concave():
    assert dcp_expression(icnn(2, 4, 0).negated(), cp.Variable(2)).is_concave()


def test_other_networks_and_shapes_are_refused():
    with pytest.raises(NotConvexError, match="not input-convex"):
        dcp_expression(freely_convex(), cp.Variable(2))
    with pytest.raises(OptionError, match=r"x has shape \(3,\)"):
        dcp_expression(icnn(2, 4, 0), cp.Variable(3))
    with pytest.raises(OptionError, match=r"x is a list: a cvxpy Variable .* of shape \(2,\)"):
        dcp_expression(icnn(2, 4, 0), [cp.Variable(), cp.Variable()])
    with pytest.raises(OptionError, match="2 outputs"):
        dcp_expression(icnn(2, 4, 0, outputs=2), cp.Variable(2))
    assert np.isfinite(dcp_expression(icnn(2, 4, 0, outputs=2), np.zeros(2), output=1).value)
