"""The plane as exact polygons: edges at which the function bends down."""

from __future__ import annotations

import numpy as np
import pytest

from jensen.arithmetic.rational import rational
from jensen.cells.exact_plane import ExactPlane

RISE = [[0, 1, 0]]  # the unit is y, or what takes its place


def plane_of(corners: list[tuple[int, int, int]], cells: list[list[int]]) -> ExactPlane:
    return ExactPlane([tuple(map(rational, corner)) for corner in corners], cells)


def cut(plane: ExactPlane, *levels: list[list[int]]) -> list[tuple[int, int]]:
    assert plane.cut([np.array(rows, dtype=float) for rows in levels], limit=100)
    falling = sorted(edge for edge, _ in plane.falling_edges())
    assert plane.bends_upwards() <= (not falling)
    return falling


@pytest.mark.parametrize(("weight", "falling"), [(-1, [(0, 1), (1, 2)]), (0, []), (1, [])])
@pytest.mark.parametrize("scale", [1, 2**600])
def test_cells_with_several_corners_on_one_side_bend_as_others_do(weight, falling, scale):
    # in the one cell the first three corners are in a row, in the other the last three
    corners = [(0, 0, 1), (scale, 0, 1), (2 * scale, 0, 1), (0, 2 * scale, 1), (0, -scale, 1)]
    plane = plane_of(corners, [[0, 1, 2, 3], [4, 2, 1, 0]])
    assert cut(plane, RISE, [[weight, 5]]) == falling


@pytest.mark.parametrize(("weight", "edges"), [(-1, 1), (0, 0), (1, 0)])
def test_a_kink_that_cuts_a_cell_bends_down_if_its_weight_is_negative(weight, edges):
    plane = plane_of([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], [[0, 1, 2, 3]])
    assert len(cut(plane, RISE, [[weight, 0]])) == edges
    assert plane.bends_upwards() == (not edges)


@pytest.mark.parametrize(("weight", "edges"), [(-1, 2), (1, 0)])
def test_corners_at_infinity_say_how_the_function_goes_on(weight, edges):
    # all of the plane: three cells around a corner, and only one corner is not at infinity
    corners = [(0, 0, 1), (1, 0, 0), (-1, 1, 0), (-1, -1, 0)]
    plane = plane_of(corners, [[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    assert len(cut(plane, RISE, [[weight, 0]])) == edges
    assert plane.bends_upwards() == (not edges)


def test_a_function_that_is_linear_across_edges_falls_at_none():
    # y as the difference of two units: both kinks are there, and neither bends
    plane = plane_of([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], [[0, 1, 2, 3]])
    assert cut(plane, [[0, 1, 0], [0, -1, 0]], [[1, -1, 0]]) == []
    assert len(plane.polygons) == 2
    assert not plane.bends_upwards()  # one of the two does, by itself


def test_a_unit_that_vanishes_all_over_a_cell_leaves_it_to_exact_values():
    """The second unit is ``max(y, 0)``, 0 below; the first level passes it on twice."""
    plane = plane_of([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], [[0, 1, 2, 3]])
    assert cut(plane, RISE, [[1, 0], [-1, 0]], [[1, 1, 0]]) == []
    assert not plane.bends_upwards()


@pytest.mark.parametrize("weight", [1e-170, 1e170])
def test_weights_whose_products_leave_the_range_of_doubles_are_left_to_exact_values(weight):
    plane = plane_of([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], [[0, 1, 2, 3]])
    levels = [[[0, weight, 0]], [[weight, 0]], [[-weight, 0]]]
    assert len(cut(plane, *levels)) == 1
    assert not plane.bends_upwards()
