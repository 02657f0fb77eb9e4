"""Sorting networks, by the principle that one that sorts zeros and ones sorts all numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from jensen.loaders.lowering import Lowering
from jensen.loaders.piecewise import _sorting_network, ranking


def compared(values, count):
    for pairs in _sorting_network(count):
        places = [place for pair in pairs for place in pair]
        assert len(set(places)) == len(places)
        for first, second in pairs:
            values[first], values[second] = sorted((values[first], values[second]), reverse=True)
    return values


@pytest.mark.parametrize("count", range(1, 10))
def test_a_sorting_network_of_any_size_sorts_zeros_and_ones(count):
    for values in product((0, 1), repeat=count):
        assert compared(list(values), count) == sorted(values, reverse=True)


@pytest.mark.parametrize("largest", [True, False])
def test_every_comparison_takes_one_relu(largest):
    lowering = Lowering(13)
    x = lowering.input()
    ranked = ranking(lowering, x, x.indices(), largest=largest)
    network = lowering.finish(ranked, (13,), (13,))
    assert network.relu_count == sum(len(pairs) for pairs in _sorting_network(13))
    point = np.random.default_rng(0).integers(-9, 9, 13)
    assert list(network.exact(point.tolist())) == sorted(point.tolist(), reverse=largest)
