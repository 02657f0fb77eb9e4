"""Keras models, compared with their own predictions."""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="Keras is not installed")

from jensen.errors import ModelFileError, UnsupportedOperatorError  # noqa: E402
from jensen.loaders import from_keras  # noqa: E402

layers = keras.layers


def sequential():
    return keras.Sequential(
        [
            layers.Input((3,)),
            layers.Dense(5, activation="relu"),
            layers.Dense(4),
            layers.LeakyReLU(0.25),
            layers.Dropout(0.5),
            layers.Dense(2),
        ]
    )


def functional():
    x = layers.Input((3,))
    z = layers.Dense(4, activation="relu")(x)
    z = layers.Dense(4, activation="relu")(layers.Concatenate()([z, x]))
    return keras.Model(x, layers.Add()([layers.Dense(1)(z), layers.Dense(1)(x)]))


def image():
    return keras.Sequential(
        [
            layers.Input((6, 5, 2)),
            layers.Conv2D(3, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )


@pytest.mark.parametrize("build", [sequential, functional, image])
def test_a_model_is_read_as_the_function_it_computes(build):
    keras.utils.set_random_seed(0)
    model = build()
    network = from_keras(model)
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape[1:])).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x)).reshape(5, -1)
    np.testing.assert_allclose(network(x.reshape(5, -1)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "activation", ["softplus", "elu", "sigmoid", "exponential", "silu", "softmax"]
)
def test_smooth_activations_are_read(activation):
    model = keras.Sequential([layers.Input((3,)), layers.Dense(2, activation=activation)])
    network = from_keras(model)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-4)


def test_activations_without_a_rule_and_other_objects_are_refused():
    model = keras.Sequential([layers.Input((3,)), layers.Dense(1, activation=keras.ops.sin)])
    with pytest.raises(UnsupportedOperatorError, match=r"Sequential: .*Sin"):
        from_keras(model)
    with pytest.raises(ModelFileError, match="no Keras model"):
        from_keras(42)
