"""Powers of two near sizes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jensen.arithmetic.powers import exponents_near


@given(st.floats(5e-324, allow_infinity=False, allow_nan=False))
def test_a_size_is_between_half_the_power_and_the_power(size):
    exponent = int(exponents_near(size))
    assert 0.5 <= np.ldexp(size, -exponent) < 1.0


def test_what_has_no_power_is_left_as_it_is():
    assert exponents_near([0.0, np.inf, np.nan]).tolist() == [0, 0, 0]
    assert exponents_near(np.zeros((2, 0))).shape == (2, 0)
