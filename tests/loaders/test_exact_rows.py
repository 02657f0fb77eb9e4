"""Affine maps over the rationals, past the identity blocks that keep roundings apart."""

from fractions import Fraction

import numpy as np

from jensen.loaders import exact_rows
from jensen.loaders.exact_rows import common_factors
from jensen.loaders.lowering import Lowering
from jensen.loaders.symbolic import constant


def layer(low: Lowering):
    return low.add(low.linear(np.array([[0.1, 0.7], [0.0, 0.0]]), low.input(), (2,)), constant(0.2))


def test_rows_are_written_past_identity_blocks_and_end_at_relus():
    low = Lowering(2)
    x = layer(low)
    behind = low.add(
        low.scale(low.materialise(x), np.array([0.1, 1.0])), low.relu(x).take(x.indices())
    )
    first, second = low.exact_rows(behind)
    tenth = Fraction(0.1)
    assert first[None] == tenth * Fraction(0.2)
    assert first["input", 0] == tenth * tenth
    assert first["relu_1", 0] == 1
    assert second == {None: 2 * Fraction(0.2)}


def test_more_entries_than_are_written_out_are_none(monkeypatch):
    low = Lowering(2)
    x = layer(low)
    monkeypatch.setattr(exact_rows, "MOST", 3)
    assert low.exact_rows(x) is None


def test_factors_are_those_of_the_slopes_alone():
    y = [{("input", 0): Fraction(2), ("input", 1): Fraction(0), None: Fraction(1)}]
    assert common_factors([{("input", 0): Fraction(-3), None: Fraction(7)}], y) == [Fraction(-3, 2)]
    assert common_factors([{None: Fraction(7)}], y) == [0]
    assert common_factors([{("input", 1): Fraction(1)}], y) is None
    assert common_factors([{("input", 0): Fraction(1), ("input", 1): Fraction(1)}], y) is None
    flat = [{None: Fraction(1)}]
    assert common_factors(flat, flat) == [0]
    assert common_factors(y, flat) is None
