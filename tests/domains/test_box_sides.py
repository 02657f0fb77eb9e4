"""A working set that is a box in its own coordinates says the same as by its rows."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.arithmetic.rational import floats, rationals
from jensen.domains.working_set import box_set

NUMBERS = st.integers(-8, 8).map(lambda v: v / 4)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_sides_say_what_the_rows_say(rows):
    middle, point, step = (np.array(column) for column in zip(*rows, strict=True))
    working = box_set(middle - 1.0, middle + 1.0)
    general = replace(working, sides=False)
    assert working.sides
    y, move = rationals(point), rationals(step)
    assert (working.room(y) == general.room(y)).all()
    assert (working.speed(move) == general.speed(move)).all()
    assert (working.float_speed(step) == general.float_speed(step)).all()
    assert (floats(general.rows) == working.float_rows).all()
    assert working.contains(y) == general.contains(y) == bool((np.abs(point - middle) <= 1).all())
    assert working.to_input(y) == general.to_input(y) == tuple(Fraction(v) for v in point)


@pytest.mark.parametrize("inputs", [None, (), (1,), (0, 2)])
def test_directions_of_sides_are_those_of_the_rows(inputs):
    working = box_set(np.array([-1.0, 0.0, 2.0]), np.array([1.0, 5.0, 3.0]))
    general = replace(working, sides=False)
    normal = np.array([2.0, -3.0, 0.5])
    for form in (normal, rationals(normal)):
        assert (working.steepest(form, inputs) == general.steepest(form, inputs)).all()
    assert (working.exact_step(normal, inputs) == general.exact_step(normal, inputs)).all()
