"""Stacked networks: the same as one by one, in floating point and exactly."""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stacks import random_stack
from strategies import NUMBERS

from jensen.arithmetic.exact import exact_fractions
from jensen.errors import ModelFileError, NetworkError
from jensen.network.block import INPUT, OUTPUT, Activation, Block
from jensen.network.relu_network import ReluNetwork
from jensen.network.stack import NetworkStack, architecture
from jensen.network.stack_exact import exact_violations
from jensen.verdicts.counterexample import exact_violation


@st.composite
def stacks(draw: st.DrawFn) -> NetworkStack:
    """Draw a few tiny networks of one architecture; zeros, twins and odd scales are likely."""
    numbers = draw(NUMBERS)
    widths = [*draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)), 1]
    count = draw(st.integers(1, 3))
    layers = list(pairwise(widths))
    return NetworkStack(
        [draw(hnp.arrays(float, (count, out, into), elements=numbers)) for into, out in layers],
        [draw(hnp.arrays(float, (count, out), elements=numbers)) for _, out in layers],
    )


def test_a_stack_of_one_network_has_its_numbers():
    network = random_stack(1, 3, 4, 2, 1)[0]
    stack = NetworkStack.from_networks([network])
    assert len(stack) == 1
    for block, weights, biases in zip(network.blocks, stack.weights, stack.biases, strict=True):
        np.testing.assert_array_equal(weights[0], next(iter(block.weights.values())))
        np.testing.assert_array_equal(biases[0], block.bias)
        assert not weights.flags.writeable
        assert not biases.flags.writeable


def test_a_stack_is_the_sequence_of_its_networks(tmp_path):
    stack = random_stack(5, 3, 4, 2, 1)
    points = np.random.default_rng(1).normal(size=(6, 3))
    again = NetworkStack.from_networks(list(stack))
    stack.save(tmp_path / "stack.npz")
    loaded = NetworkStack.load(tmp_path / "stack.npz")
    for k, network in enumerate(stack):
        for other in (stack[k], again[k], loaded[k], stack[k:][0], stack[k - 5]):
            assert other.digest == network.digest
        assert stack.scalar(0, negated=True)[k](points) == pytest.approx(-network(points))
    assert len(stack[1:4]) == 3
    with pytest.raises(IndexError, match="network 5 of 5"):
        stack[5]


def test_only_one_feed_forward_architecture_can_be_stacked():
    chain = random_stack(1, 2, 3, 1)[0]
    skip = ReluNetwork(
        1,
        [
            Block("a", {INPUT: np.eye(1)}, np.zeros(1), Activation.RELU),
            Block(OUTPUT, {"a": np.eye(1), INPUT: np.eye(1)}, np.zeros(1), Activation.IDENTITY),
        ],
    )
    affine = ReluNetwork(
        1,
        [
            Block("a", {INPUT: np.eye(1)}, np.zeros(1), Activation.IDENTITY),
            Block(OUTPUT, {"a": np.eye(1)}, np.zeros(1), Activation.IDENTITY),
        ],
    )
    assert architecture(chain) == (2, 3, 1)
    assert architecture(skip) is None
    assert architecture(affine) is None
    for wrong in ([], [skip], [chain, random_stack(1, 2, 4, 1)[0]]):
        with pytest.raises(NetworkError, match="cannot be stacked"):
            NetworkStack.from_networks(wrong)


@pytest.mark.parametrize(
    ("weights", "biases", "says"),
    [
        ([], [], "need n and n"),
        ([np.ones((2, 1))], [np.ones((2, 1))], r"weights\[0\] has shape \(2, 1\)"),
        ([np.ones((2, 1, 3))], [np.ones((1, 1))], r"biases\[0\] \(1, 1\)"),
        ([np.ones((2, 4, 3)), np.ones((2, 1, 5))], [np.ones((2, 4)), np.ones((2, 1))], "outputs"),
        ([np.full((2, 1, 1), np.nan)], [np.ones((2, 1))], "of network 0 holds NaN"),
        ([[["a"]]], [[0]], "not arrays of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(weights, biases, says):
    with pytest.raises(NetworkError, match=says):
        NetworkStack(weights, biases)


def test_files_that_hold_no_stack_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nothing")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "half.npz", W0=np.zeros((1, 1, 1)))
    np.savez(tmp_path / "flat.npz", W0=np.zeros((1, 1)), b0=np.zeros(1))
    for name in ("text", "other", "half", "nothing"):
        with pytest.raises(ModelFileError, match=rf"{name}\.npz: not a stack"):
            NetworkStack.load(tmp_path / f"{name}.npz")
    with pytest.raises(NetworkError, match=r"flat\.npz: weights"):
        NetworkStack.load(tmp_path / "flat.npz")


def test_files_that_declare_too_much_are_refused_before_they_are_read(tmp_path, monkeypatch):
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (2**50, 1, 1)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(tmp_path / "declared.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("W0", "b0"):
            archive.writestr(f"{name}.npy", header.getvalue())
    with pytest.raises(ModelFileError, match=r"declared.*out of memory"):
        NetworkStack.load(tmp_path / "declared.npz")
    random_stack(100, 3, 4, 1).save(tmp_path / "large.npz")
    monkeypatch.setattr("jensen.network.stack._LARGEST", 10_000)
    with pytest.raises(ModelFileError, match=r"large.*at most 10,000 are supported"):
        NetworkStack.load(tmp_path / "large.npz")


def one_by_one(stack: NetworkStack, x: np.ndarray, y: np.ndarray) -> list:
    return [
        exact_violation(network, tuple(exact_fractions(a)), tuple(exact_fractions(b)))
        for network, a, b in zip(stack, x, y, strict=True)
    ]


@settings(max_examples=150, deadline=None)
@given(stacks(), st.data())
def test_violations_of_a_stack_are_those_of_its_networks(stack, data):
    points = hnp.arrays(float, (len(stack), stack.input_size), elements=data.draw(NUMBERS))
    x, y = data.draw(points), data.draw(points)
    for found, right in zip(exact_violations(stack, x, y), one_by_one(stack, x, y), strict=True):
        assert found is None or found == right


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e12, 2.0**-300])
def test_no_random_network_is_left_open_whatever_its_scale(scale):
    stack = random_stack(20, 4, 5, 3, 1, scale=scale)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20, 4)) * [[[1.0]], [[1e-3]]]
    assert exact_violations(stack, x, y) == one_by_one(stack, x, y)


def test_wide_layers_are_summed_without_overflow():
    stack = random_stack(2, 600, 700, 1)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 2, 600))
    assert exact_violations(stack, x, y) == one_by_one(stack, x, y)


def test_what_floating_point_cannot_tell_is_left_open():
    kink = NetworkStack([[[[1.0]]], [[[-1.0]]]], [[[0.0]], [[0.0]]])  # -relu(x)
    assert exact_violations(kink, np.array([[-1.0]]), np.array([[1.0]])) == [None]
    far = NetworkStack([[[[1e300]]], [[[-1e300]]]], [[[1.0]], [[0.0]]])
    assert exact_violations(far, np.array([[-1.0]]), np.array([[3.0]])) == [None]


def test_damaged_files_are_refused_in_one_line(tmp_path):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(5, 4, 2)), rng.normal(size=(5, 1, 4))]
    path = tmp_path / "s.npz"
    NetworkStack(weights, [rng.normal(size=(5, 4)), np.zeros((5, 1))]).save(path)
    whole = path.read_bytes()
    for _ in range(600):
        content = bytearray(whole)
        if rng.random() < 0.3:
            del content[int(rng.integers(len(content))) :]
        else:
            for place in rng.integers(len(content), size=int(rng.integers(1, 6))):
                content[place] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            NetworkStack.load(path)
        except (ModelFileError, NetworkError) as error:
            assert "\n" not in str(error)  # noqa: PT017
