"""Convolutions that are not written out as matrices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from onnx import helper
from onnx_models import assert_same_function, make_model, network_of, save

import jensen
from jensen import FunctionGraph, ReluNetwork, Status
from jensen.graphs.convolution import Convolution
from jensen.graphs.enclosures import affine_interval, reaches, signs
from jensen.loaders import symbolic
from jensen.loaders.onnx import convolutions


def random_convolution(rng, groups=1):
    windows = rng.integers(0, 7, (5, 3))  # 6 is padding
    weight = rng.normal(size=(2 * groups, 2, 3)) * (rng.random((2 * groups, 2, 3)) < 0.7)
    return Convolution(weight, windows, 6, groups).frozen()


@pytest.mark.parametrize("groups", [1, 2])
def test_it_equals_its_matrix(groups):
    rng = np.random.default_rng(0)
    conv = random_convolution(rng, groups)
    matrix = conv.to_csr()
    x = rng.normal(size=(4, conv.shape[1]))
    assert conv.shape == matrix.shape
    assert conv.work == matrix.nnz
    assert np.allclose(conv.of_rows(x), x @ matrix.T)
    lower, upper = np.minimum(x[0], x[1]), np.maximum(x[0], x[1])
    for found, expected in zip(
        affine_interval([(conv, (lower, upper))], np.zeros(conv.shape[0])),
        affine_interval([(matrix, (lower, upper))], np.zeros(conv.shape[0])),
        strict=True,
    ):
        assert np.allclose(found, expected, rtol=1e-12, atol=1e-300)
    flags = rng.random(conv.shape[1]) < 0.3
    for mine, other in zip(signs(conv), signs(matrix), strict=True):
        assert (reaches(mine, flags) == reaches(other, flags)).all()


def test_enclosures_hold_and_an_end_at_zero_stays_there():
    rng = np.random.default_rng(1)
    conv = random_convolution(rng)
    exact = conv.to_csr().toarray()
    lower = rng.normal(size=conv.shape[1])
    low, high = conv.enclose(lower, lower)
    for row, a, b in zip(exact, low, high, strict=True):
        true = sum(Fraction(float(w)) * Fraction(float(v)) for w, v in zip(row, lower, strict=True))
        assert Fraction(float(a)) <= true <= Fraction(float(b))
    low, _ = abs(conv).enclose(np.zeros(conv.shape[1]), np.ones(conv.shape[1]))
    assert (low == 0).all()


def icnn(size, channels, kernel=3, wrong=0.0, dtype=np.float32):
    """Return a convolutional ICNN of two layers with a quadratic skip, as ONNX."""
    rng = np.random.default_rng(0)
    shapes = {"a": (channels, 1), "b": (channels, channels), "s": (channels, 1), "c": (1, channels)}
    weights = {n: rng.normal(size=(*s, kernel, kernel)).astype(dtype) for n, s in shapes.items()}
    weights["b"], weights["c"] = np.abs(weights["b"]), np.abs(weights["c"])
    weights["c"][0, 0, 0, 0] -= wrong
    weights["bias"] = rng.normal(size=channels).astype(dtype)
    pad = {"pads": [kernel // 2] * 4}
    nodes = [
        helper.make_node("Conv", ["x", "a", "bias"], ["z0"], **pad),
        helper.make_node("Relu", ["z0"], ["h0"]),
        helper.make_node("Conv", ["h0", "b"], ["z1"], **pad),
        helper.make_node("Conv", ["x", "s"], ["z2"], **pad),
        helper.make_node("Add", ["z1", "z2"], ["z3"]),
        helper.make_node("LeakyRelu", ["z3"], ["h1"], alpha=0.25),
        helper.make_node("Conv", ["h1", "c"], ["z4"], **pad),
        helper.make_node("GlobalAveragePool", ["z4"], ["y"]),
    ]
    return make_model(nodes, {"x": ["n", 1, size, size]}, ["y"], weights, dtype=dtype)


def limit(monkeypatch, entries):
    """Make small networks too large to be written out."""
    monkeypatch.setattr(symbolic, "MAX_ENTRIES", entries)
    monkeypatch.setattr(convolutions, "WRITTEN_OUT", 200)


def test_what_fits_is_written_out(tmp_path):
    assert isinstance(network_of(icnn(8, 3), tmp_path), ReluNetwork)


def test_what_does_not_fit_keeps_its_convolutions(tmp_path, monkeypatch):
    limit(monkeypatch, 20_000)
    model = icnn(8, 6)
    network = network_of(model, tmp_path)
    assert isinstance(network, FunctionGraph)
    assert any(isinstance(w, Convolution) for n in network.nodes for w in n.weights.values())
    assert_same_function(model, network)
    for domain in (jensen.Everywhere(), jensen.Box(-1, 1)):
        assert jensen.verify(network, domain).status is Status.CONVEX
    fixed = network.fix_inputs({0: 0.5})
    assert fixed.input_size == 63
    assert np.allclose(fixed(np.ones((1, 63))), network(np.array([[0.5, *[1.0] * 63]])))


def test_a_wrong_sign_in_a_filter_is_refuted(tmp_path, monkeypatch):
    limit(monkeypatch, 6000)
    network = network_of(icnn(6, 2, wrong=60.0), tmp_path)
    verdict = jensen.verify(network, jensen.Box(-1, 1))
    assert isinstance(network, FunctionGraph)
    assert verdict.status is Status.NONCONVEX
    assert verdict.counterexample.violation > 0


def test_a_regulariser_of_the_size_of_an_image_is_proved(tmp_path):
    network = jensen.load(save(icnn(64, 32, 5), tmp_path))
    assert isinstance(network, FunctionGraph)
    assert jensen.verify(network).status is Status.CONVEX
