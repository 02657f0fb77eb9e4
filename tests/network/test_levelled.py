"""Networks of extreme scales written with numbers near 1: f times a power of two."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from jensen.network.levelled import levelled
from jensen.network.relu_network import INPUT, OUTPUT, Activation, Block, ReluNetwork

pytestmark = pytest.mark.filterwarnings("error")


def numbers(block):
    parts = [w.toarray() if sp.issparse(w) else w for w in block.weights.values()]
    return np.abs(np.concatenate([*parts, block.bias[:, None]], axis=1))


def skipping(rng, exponents):
    """Two hidden blocks, one of them affine and sparse, a skip, and rows of their own scales."""

    def rows(size, inputs, exponent):
        scale = np.ldexp(1.0, exponent + rng.integers(-30, 30, (size, 1)))
        return rng.integers(-3, 4, (size, inputs)) * scale

    first = Block("first", {INPUT: rows(3, 2, exponents[0])}, np.zeros(3))
    read = {"first": sp.csr_array(rows(2, 3, exponents[1]))}
    second = Block("second", read, np.array([0.0, 5.0]), Activation.IDENTITY)
    last = {"second": rows(1, 2, exponents[2]), INPUT: rows(1, 2, 0)}
    output = Block(OUTPUT, last, np.ones(1), Activation.IDENTITY)
    return ReluNetwork(2, [first, second, output])


@pytest.mark.parametrize("exponents", [(600, 300, 60), (-600, 500, 700), (-500, -300, -100)])
def test_values_are_multiples_by_one_power_of_two_and_rows_end_near_one(exponents):
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = skipping(rng, exponents)
        near = levelled(network)
        if near is None:
            continue  # a row's own numbers are more than 2^1000 apart
        ratios = set()
        for point in rng.integers(-4, 5, (6, 2)).tolist():
            (was,), (now,) = network.exact(point), near.exact(point)
            assert (was == 0) == (now == 0)
            if was:
                ratios.add(Fraction(now, was))
        assert len(ratios) <= 1
        for ratio in ratios:
            assert ratio > 0
            assert 1 in (ratio.numerator, ratio.denominator)
            assert ratio.numerator.bit_count() == ratio.denominator.bit_count() == 1
        for block in near.blocks:
            sizes = numbers(block)
            assert (sizes[sizes > 0] >= 2.0**-1001).all()
            for row in sizes:
                most, least = row.max(), row[row > 0].min(initial=np.inf)
                assert most == 0 or most >= 0.5
                assert most < 1 or least < 2.0**-900  # of a row of both, 1 lies in between
        assert levelled(near) is None
        found += 1
    assert found > 10


def test_common_networks_are_left_alone():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(1, 4))]
    assert levelled(ReluNetwork.from_layers(weights, [np.zeros(4), [0.0]])) is None
    assert levelled(ReluNetwork.from_layers([np.zeros((1, 3))], [[0.0]])) is None


def test_rows_of_other_scales_than_those_beside_them_are_levelled():
    rng = np.random.default_rng(0)
    rows, last = rng.normal(size=(4, 3)), rng.normal(size=(1, 4))
    for scale, is_uneven in ((2.0**6, False), (2.0**20, True), (0.0, False)):
        factors = np.array([1.0, scale, 1.0, 1.0])
        for read in (rows * factors[:, None], sp.csr_array(rows * factors[:, None])):
            first = Block("first", {INPUT: read}, np.zeros(4))
            output = Block(OUTPUT, {"first": last}, np.zeros(1), Activation.IDENTITY)
            near = levelled(ReluNetwork(3, [first, output]))
            assert (near is not None) == is_uneven


def test_rows_whose_numbers_are_too_far_apart_stay_as_they_are():
    wide = ReluNetwork.from_layers([[[1e300, 1e-300]], [[1e10]]], [[0.0], [0.0]])
    assert levelled(wide) is not None  # 2^1993 apart, which doubles hold around 1
    wider = ReluNetwork.from_layers([[[1e308, 5e-324]], [[1e10]]], [[0.0], [0.0]])
    assert levelled(wider) is None


def test_subnormal_numbers_keep_all_their_digits():
    tiny = ReluNetwork.from_layers([[[5e-324, 1.5e-323]], [[1.0]]], [[0.0], [0.0]])
    near = levelled(tiny)
    assert near["relu_1"].weights[INPUT].tolist() == [[0.25, 0.75]]
