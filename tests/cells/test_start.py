"""What is not cut: domains on which error bounds would not hold."""

from __future__ import annotations

import numpy as np
import pytest

import jensen
from jensen.cells.complex import TooDegenerateError
from jensen.cells.start import starting_complex, starting_solid

FAR = [jensen.Box(-1.7e308, 1.7e308), jensen.Box(0, 5e-324), jensen.Box(1e300, 2e300)]


@pytest.mark.parametrize("box", FAR, ids=str)
def test_coordinates_that_may_over_or_underflow_are_refused(box):
    for inputs, start in ((1, starting_complex), (2, starting_complex), (3, starting_solid)):
        with pytest.raises(TooDegenerateError):
            start(box, np.ones(inputs), 4)


def test_regions_say_so_and_a_verdict_is_found_without_a_walk():
    network = jensen.ReluNetwork.from_layers(
        [[[1.0, 0.3], [1.0, -2.0]], [[1.0, -3.0], [2.0, 1.0]], [[1.0, 1.0]]],
        [[0.0, 1.0], [0.0, 1.0], [0.0]],
    )
    with pytest.raises(jensen.DomainError, match=r"regions are not found reliably on box .*1e60"):
        jensen.regions(network, jensen.Box(-1.7e308, 1.7e307))
    assert jensen.verify(network, jensen.Box(-1.7e308, 1.7e308)).status == "nonconvex"
