"""The comparison of a network with what it was read from."""

from __future__ import annotations

import numpy as np
import pytest

from jensen.errors import ModelFileError
from jensen.loaders.agreement import check_agreement
from jensen.network.relu_network import ReluNetwork

SINGLE = 2.0**-23


def network():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(8, 5)), rng.normal(size=(8, 8)), rng.normal(size=(2, 8))]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


def compare(run, *, precision=SINGLE, shapes=((2,), (3, 1))):
    check_agreement(network(), run, shapes, precision=precision, name="Model")


def values(inputs):
    return network()(np.concatenate([x.ravel() for x in inputs])[None, :])


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_rounding_is_no_difference(kind):
    layers = [
        (b.bias.astype(kind), *(w.astype(kind) for w in b.weights.values()))
        for b in network().blocks
    ]

    def run(inputs):
        h = np.concatenate([x.ravel() for x in inputs]).astype(kind)
        for i, (bias, weight) in enumerate(layers):
            h = weight @ h + bias
            h = np.maximum(h, 0) if i < 2 else h
        return h

    compare(run, precision=float(np.finfo(kind).eps))


@pytest.mark.parametrize(
    "nested", [lambda y: [y[:, :1], (y[:, 1:],)], lambda y: {"a": y[:, :1], "b": y[:, 1:]}]
)
def test_nested_outputs_are_joined_in_order(nested):
    compare(lambda inputs: nested(values(inputs)))


@pytest.mark.parametrize("change", [lambda y: 1.01 * y, lambda y: y[:, ::-1], lambda y: y + 0.1])
def test_another_function_is_refused(change):
    with pytest.raises(ModelFileError, match="Model: the exporter changed the function"):
        compare(lambda inputs: change(values(inputs)))


def test_another_number_of_outputs_is_refused():
    with pytest.raises(ModelFileError, match="it has 3 outputs, the network read of it 2"):
        compare(lambda _: np.zeros(3))


def test_a_point_where_the_original_overflows_tells_nothing():
    compare(lambda _: np.array([np.inf, 0.0]))


def test_an_original_that_does_not_run_is_refused():
    def run(_):
        raise RuntimeError("not implemented\nfor Half")

    with pytest.raises(ModelFileError, match=r"does not run .* \(not implemented for Half\)"):
        compare(run)
