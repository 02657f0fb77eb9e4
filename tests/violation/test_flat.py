"""The worst midpoint violation on flat polyhedra, exactly within their hull."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from midpoint_oracle import tiny_network, worst_in_one_dimension

import jensen
from jensen.domains.domain import Box, Polyhedron
from jensen.errors import DomainError, OutOfTimeError
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import admits, exact_violation
from jensen.violation.flat import within_hull
from jensen_encodings.deadline import NEVER


def flat(rows, limits, equation, value):
    """Return a polyhedron with one equation."""
    equation = np.asarray(equation, float)
    return Polyhedron(
        np.vstack([rows, equation, -equation]), np.concatenate([limits, [value, -value]])
    )


def simplex(inputs):
    return flat(-np.eye(inputs), np.zeros(inputs), np.ones(inputs), 1.0)


@pytest.mark.parametrize("seed", range(16))
def test_on_a_segment_the_violation_is_that_of_the_function_along_it(seed):
    network = tiny_network(seed, 2)
    found = jensen.worst_violation(network, simplex(2), gap=1e-3)
    first = network.blocks[0]
    along = ReluNetwork(
        1,
        [
            type(first)("way", {"input": [[1.0], [-1.0]]}, [0.0, 1.0], "identity"),
            *(
                type(b)(
                    b.name,
                    {("way" if s == "input" else s): w for s, w in b.weights.items()},
                    b.bias,
                    b.activation,
                )
                for b in network.blocks
            ),
        ],
    )
    truth = worst_in_one_dimension(along, 0, 1)
    assert found.exact_lower <= truth <= Fraction(found.upper)
    assert admits(simplex(2), found.x, found.y)
    assert exact_violation(network, found.x, found.y) == found.exact_lower


def test_pairs_of_a_simplex_are_below_the_bound():
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=(5, 4)), rng.normal(size=(4, 5)), rng.normal(size=(1, 4))]
    network = ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) / 4 for w in weights])
    found = jensen.worst_violation(network, simplex(4))
    x, y = (rng.dirichlet(np.full(4, 0.4), 20_000) for _ in "xy")
    f = [network(points)[:, 0] for points in ((x + y) / 2, x, y)]
    assert (f[0] - (f[1] + f[2]) / 2).max() <= found.upper + 1e-9
    assert found.status in {"optimal", "proved convex"}
    assert sum(found.x) == sum(found.y) == 1


def test_an_input_that_the_rows_fix_is_the_function_of_the_others():
    network = tiny_network(8, 3, [4, 3])
    rows = [[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]]
    found = jensen.worst_violation(network, flat(rows, np.ones(4), [0, 1, 0], 0.25))
    rest = jensen.worst_violation(network.fix_inputs({1: 0.25}), Box(-1, 1))
    assert found.lower <= rest.upper
    assert rest.lower <= found.upper
    assert {found.x[1], found.y[1]} == {Fraction(1, 4)}


def test_a_convex_network_is_proved_on_a_simplex():
    network = ReluNetwork.from_layers([np.eye(3), [[1.0, 1.0, 1.0]]], [np.zeros(3), [0.0]])
    found = jensen.worst_violation(network, simplex(3))
    assert (found.lower, found.upper, found.status) == (0.0, 0.0, "proved convex")
    assert admits(simplex(3), found.x, found.y)


def test_rows_with_thirds_are_multiplied_out():
    # 3 x = y: one of both is the coordinate, the rows are those of the other
    domain = flat([[1, 0], [-1, 0], [0, 1], [0, -1]], np.ones(4), [3, -1], 0.0)
    network = tiny_network(0, 2)
    inside = within_hull(network, domain, NEVER)
    assert inside is not None
    assert inside.network.input_size == 1
    found = jensen.worst_violation(network, domain)
    assert 3 * found.x[0] == found.x[1]
    assert exact_violation(network, found.x, found.y) == found.exact_lower


def test_weights_that_would_be_rounded_read_the_inputs_instead():
    network = ReluNetwork.from_layers([[[1e16, 1.0], [1.0, 1.0]], [[1.0, -1.0]]], [[0, 0], [0]])
    inside = within_hull(network, simplex(2), NEVER)
    assert inside is not None
    assert [set(block.weights) for block in inside.network.blocks[:2]] == [{"input"}, {"hull_0"}]
    half = [Fraction(1, 3)]
    assert inside.network.exact(half) == network.exact(inside.back(half))
    found = jensen.worst_violation(network, simplex(2))
    assert found.exact_lower <= Fraction(found.upper)


def test_hulls_that_no_doubles_describe_and_points_are_refused():
    network = tiny_network(0, 2)
    square = [[0, 1], [0, -1]]
    with pytest.raises(DomainError, match="interior"):
        jensen.worst_violation(network, flat(square, np.ones(2), [3, 0], 1.0))
    with pytest.raises(DomainError, match="interior"):
        jensen.worst_violation(network, flat([[0, 1], [0, -1]], [0.5, -0.5], [1, 0], 0.25))


def test_a_time_limit_that_the_hull_uses_up_is_no_error():
    network = tiny_network(0, 2)
    for seconds in (1e-9, 1e-4):
        try:
            found = jensen.worst_violation(network, simplex(2), time_limit=seconds)
        except OutOfTimeError:
            continue  # the hull is not known in time
        assert 0 <= found.lower <= found.upper
