"""Minimisers where the inputs' ranges are tiny, or nothing but rounding."""

from __future__ import annotations

from fractions import Fraction

import pytest
from oracle_convex import icnn

from jensen import Box, ConvexFunction, Polyhedron
from jensen.network.relu_network import ReluNetwork

SEGMENTS = [  # rows that leave one input free, and two determined as doubles, or not
    (
        [[-9, -3, 0], [-3, 3, 0], [1, -1, 0], [0, -2, 1], [-2, 1, -1], [3, 1, 0]],
        [0, -1.5, 0.5, 2, 1, 0],
        (Fraction(1, 8), Fraction(-3, 8), Fraction(5, 4)),
    ),
    (
        [[-2, -1, 0], [1, 3, 0], [1, -2, 0], [3, 1, -1], [-2, 3, 1], [1, 0, -1], [0, 0, -1]],
        [1, 0, -1, 3, 1, 2, 2],
        (Fraction(-3, 5), Fraction(1, 5), Fraction(-4, 5)),
    ),
]


def test_a_side_of_a_billionth_far_from_zero_is_not_lost():
    # its column, scaled by its width alone, would fall below what HiGHS drops
    network = icnn(3, (4,), 1)
    thin = Box([-100.0, -0.75, -1.0], [100.0, 1.25, -0.999999999])
    found = ConvexFunction(network, thin).minimise([-0.5, 0.75, -1.0], [[0.5, 1.25, 1.25]], [1.0])
    assert found.gap <= 1e-8 * max(1, abs(found.value))


@pytest.mark.parametrize(("rows", "sides", "best"), SEGMENTS)
def test_inputs_that_rows_determine_have_no_scale_of_their_own(rows, sides, best):
    # f = x + 2 y - z falls along z; the bounds of x and y differ by rounding alone
    f = ConvexFunction(
        ReluNetwork.from_layers([[[1.0, 2.0, -1.0]]], [[0.0]]), Polyhedron(rows, sides)
    )
    x, y, z = best
    least, found = x + 2 * y - z, f.minimise()
    assert found.lower <= least <= found.value
    assert found.gap <= 1e-9 * max(1, abs(least))
    assert f.conjugate([1.0, 0.0, 2.0]).value == pytest.approx(float(3 * z - 2 * y))
    assert f._term.ground.still.tolist() == [True, True, False]
