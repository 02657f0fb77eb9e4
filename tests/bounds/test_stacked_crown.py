"""Backward bounds of stacks: as those of single networks, and true in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import random_stack

from jensen.bounds.pre_activation import pre_activation_bounds
from jensen.bounds.stacked import stacked_bounds
from jensen.network.stack import NetworkStack


def grid_stack(seed: int, *widths: int) -> NetworkStack:
    """Small integers, zeros and twins among them, some layers at extreme scales."""
    rng = np.random.default_rng(seed)
    scales = [float(rng.choice([1.0, 1e-30, 1e30, 3.0])) for _ in widths[1:]]
    shapes = [(5, out, into) for into, out in pairwise(widths)]
    return NetworkStack(
        [s * rng.integers(-2, 3, shape) for s, shape in zip(scales, shapes, strict=True)],
        [s * rng.integers(-1, 2, shape[:2]) for s, shape in zip(scales, shapes, strict=True)],
    )


@pytest.mark.parametrize("widths", [(2, 6, 6, 1), (3, 5, 5, 5, 1), (1, 4, 4, 4, 4, 1)])
def test_bounds_are_not_worse_than_those_of_single_networks(widths):
    stack = random_stack(6, *widths, seed=4)
    side = np.full(widths[0], 2.0)
    found, sound = stacked_bounds(stack, -side, side, backward=True)
    plain, _ = stacked_bounds(stack, -side, side)
    assert sound.all()
    for number, network in enumerate(stack):
        right = pre_activation_bounds(network, -side, side)
        for block, (low, high), (least, most) in zip(network.hidden, found, plain, strict=True):
            assert (low[number] >= right[block.name][0] - 1e-9).all()
            assert (high[number] <= right[block.name][1] + 1e-9).all()
            assert (low[number] >= least[number]).all()
            assert (high[number] <= most[number]).all()


@given(st.integers(0, 10**6), st.sampled_from([(2, 3, 3, 1), (1, 3, 2, 3, 1), (3, 2, 2, 2, 1)]))
@settings(max_examples=60, deadline=None)
def test_bounds_hold_exactly_at_every_point(seed, widths):
    stack = grid_stack(seed, *widths)
    rng = np.random.default_rng([seed, 1])
    low = rng.integers(-2, 1, (5, widths[0])).astype(float)
    box = low, low + rng.integers(0, 3, low.shape)
    with np.errstate(all="ignore"):
        found, sound = stacked_bounds(stack, *box, backward=True)
    for number in np.flatnonzero(sound):
        for _ in range(12):
            share = rng.integers(0, 5, widths[0])
            h = [
                Fraction(a) + (Fraction(b) - Fraction(a)) * int(s) / 4
                for a, b, s in zip(box[0][number], box[1][number], share, strict=True)
            ]
            for (least, most), w, b in zip(found, stack.weights, stack.biases, strict=False):
                rows = zip(w[number].tolist(), b[number].tolist(), strict=True)
                z = [
                    sum((Fraction(v) * x for v, x in zip(row, h, strict=True)), Fraction(bias))
                    for row, bias in rows
                ]
                assert all(
                    a <= v <= c
                    for a, v, c in zip(least[number], z, most[number], strict=True)
                    if np.isfinite([a, c]).all()
                )
                h = [max(v, Fraction(0)) for v in z]


def test_without_a_finite_box_intervals_stay():
    stack = random_stack(3, 2, 4, 4, 1)
    sides = np.array([-1.0, -np.inf]), np.array([1.0, 2.0])
    plain, _ = stacked_bounds(stack, *sides)
    found, _ = stacked_bounds(stack, *sides, backward=True)
    for (low, high), (least, most) in zip(found, plain, strict=True):
        assert (low == least).all()
        assert (high == most).all()
